"""A drawn cohort: slides of several sites, their outlines, and cohort.csv."""

import csv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from annotations import WritableFormat, write_outlines

from .synthetic import SlideRecipe
from .synthetic_files import write_drawn_slide

Progress = Callable[[int, int], None]
_FORMATS: tuple[tuple[WritableFormat, str], ...] = (
    ("asap", ".xml"),
    ("qupath", ".geojson"),
    ("imagescope", ".imagescope.xml"),
)
_SIZES = ((3000, 2500), (2600, 2900), (3200, 2300))


@dataclass(frozen=True)
class CohortPlan:
    """How many slides of how many sites; the last sites are for test and validation."""

    sites: int
    slides_per_site: int
    seed: int

    def recipes(self) -> list[tuple[str, str, SlideRecipe]]:
        """Name, split and recipe of each slide."""
        result = []
        for site in range(self.sites):
            for i in range(self.slides_per_site):
                number = site * self.slides_per_site + i
                width, height = _SIZES[number % len(_SIZES)]
                recipe = SlideRecipe(
                    seed=self.seed * 10_000 + number,
                    site=self.seed * 100 + site,
                    width=width,
                    height=height,
                    tumour=self.split(site) != "train" or number % 6 != 3,
                )
                result.append((f"site{site + 1}-slide{i + 1}", self.split(site), recipe))
        return result

    def split(self, site: int) -> str:
        """Whole sites are held out, so that the test shows what a new laboratory would see."""
        held_out = max(1, self.sites // 4)
        if site >= self.sites - held_out:
            return "test"
        return "validation" if site >= self.sites - 2 * held_out else "train"


def draw_cohort(
    folder: Path, *, sites: int, slides_per_site: int, seed: int, progress: Progress | None = None
) -> Path:
    """Draw slides at 2 µm/px with outlines in three formats; returns the path of cohort.csv.

    At least three sites, so that each split has one. `progress` is called with slides done and
    slides in all. The same arguments give the same bytes.
    """
    if sites < 3:
        raise ValueError(f"{sites} sites cannot make three splits: at least 3")
    folder.mkdir(parents=True, exist_ok=True)
    recipes = CohortPlan(sites, slides_per_site, seed).recipes()
    with ThreadPoolExecutor(2) as pool:
        rows = []
        jobs = pool.map(lambda job: _draw(folder, *job), list(enumerate(recipes)))
        for done, row in enumerate(jobs, start=1):
            rows.append(row)
            if progress:
                progress(done, len(recipes))
    path = folder / "cohort.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("slide", "annotations", "patient", "split"))
        writer.writerows(rows)
    return path


def _draw(folder: Path, number: int, job: tuple[str, str, SlideRecipe]) -> tuple[str, ...]:
    """Write one slide and its outlines; returns its row of cohort.csv."""
    name, split, recipe = job
    slide, (kind, suffix) = folder / f"{name}.tiff", _FORMATS[number % len(_FORMATS)]
    outlines = folder / f"{name}{suffix}"
    write_drawn_slide(slide, recipe)
    write_outlines(outlines, recipe.drawn().outlines(), format=kind, mpp=recipe.mpp)
    return slide.name, outlines.name, name, split
