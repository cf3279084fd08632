"""Extent, the forward pass alone and MONAI on one slide with one model, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.contenders import Way
from benchmarks.job import Facts
from benchmarks.measure import Measured
from benchmarks.tables import Table

MOST_TO_FORWARD, MOST_READ, LEAST_TO_MONAI, MOST_BYTES, MOST_APART = 1.25, 1.5, 5.0, 1e9, 1e-4
ROUNDING_STEPS = 0.5 + 255 * MOST_APART  # of a stored value, when the map is that close


@dataclass(frozen=True)
class SideBySide:
    """What was measured of one job. `extent` and `forward` follow `ways`; `monai` may be empty.

    The first of `ways` is what a user gets without asking.
    """

    facts: Facts
    ways: Sequence[Way]
    extent: Sequence[Measured]
    forward: Sequence[Measured]
    monai: Sequence[Measured]

    def tables(self) -> list[Table]:
        return [self._contenders(), self._promises(), self._phases()]

    def _contenders(self) -> Table:
        facts = self.facts
        width, height = facts.size_level0
        everyone = [*self.extent, *self.forward, *self.monai]
        return Table(
            f"Model at {facts.mpp:g} µm/px, slide of {width:,} x {height:,} pixels",
            COLUMNS,
            [self._row(measured) for measured in everyone],
            [
                f"{facts.tissue_mm2:.1f} mm² of tissue are {facts.tissue_megapixels:.1f} MP of the "
                f"model's; {facts.windows} windows read {facts.read_megapixels:.1f} MP.",
                LEGEND,
            ],
        )

    def _row(self, measured: Measured) -> list[str]:
        seconds = [timing.seconds for timing in measured.timings]
        off = measured.deviation
        return [
            measured.name,
            f"{measured.seconds:.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
            f"{measured.cpu_seconds:.2f}",
            f"{self.facts.tissue_megapixels / measured.seconds:.1f}",
            f"{self.facts.read_megapixels / measured.seconds:.1f}"
            if measured not in self.monai
            else "",
            f"{measured.alone.loading_bytes / 1e6:,.0f}, {measured.alone.peak_bytes / 1e6:,.0f}",
            f"{measured.alone.ready_first:.1f}, {measured.alone.ready_again:.1f}",
            f"{measured.alone.first.seconds:.2f}",
            "" if off is None else f"{off.largest:.1e}, {off.mean:.1e}",
            "" if off is None or off.stored_steps is None else f"{off.stored_steps:.3f}",
        ]

    def _promises(self) -> Table:
        rows = [
            _at_most(
                f"end to end / forward pass, {way}", extent.ratios_to(forward), MOST_TO_FORWARD
            )
            for way, extent, forward in zip(self.ways, self.extent, self.forward, strict=True)
        ]
        read = self.facts.read_megapixels / self.facts.tissue_megapixels
        rows.append(_at_most("read area / tissue area", [read], MOST_READ))
        usual = self.extent[0]
        rows += [
            _at_least(f"{monai.name} / {usual.name}", monai.ratios_to(usual), LEAST_TO_MONAI)
            for monai in self.monai
        ]
        for way, extent in zip(self.ways, self.extent, strict=True):
            gigabytes = max(extent.alone.loading_bytes, extent.alone.peak_bytes) / 1e9
            rows.append(_at_most(f"peak memory, GB, {way}", [gigabytes], MOST_BYTES / 1e9))
        rows += self._exactness()
        return Table("What was promised of it", ("", "median", "range", "limit", "held"), rows)

    def _exactness(self) -> list[list[str]]:
        rows = []
        for way, extent in zip(self.ways, self.extent, strict=True):
            off = extent.deviation
            if way.precision != "fp32" or off is None or off.stored_steps is None:
                continue
            for what, value, limit in (
                ("largest distance from one pass", off.largest, MOST_APART),
                ("the same after rounding, steps of 1/255", off.stored_steps, ROUNDING_STEPS),
            ):
                shown = [f"{what}, {way}", f"{value:.2g}", "", f"≤ {limit:.4g}"]
                rows.append([*shown, _yes(value <= limit)])
        return rows

    def _phases(self) -> Table:
        named = list(dict.fromkeys(p for measured in self.extent for p in measured.phases))
        rows = [
            [str(way), *(f"{measured.phases.get(p, 0.0):.2f}" for p in named)]
            for way, measured in zip(self.ways, self.extent, strict=True)
        ]
        return Table("Where Extent's seconds go, as its progress tells them", ("", *named), rows)


LEGEND = (
    "Seconds: median of the rounds (lowest to highest), Extent's from opening the slide to the "
    "published result, MONAI's to the merged map in memory. Ready: from the start of a process "
    "until the model is loaded and compiled, the first time and the second; first run: what the "
    "second process does next. Peak (PSS of the process tree): loading for the first time, loading "
    "and running the second. Off one pass: the largest and the mean distance of probabilities, "
    "before rounding, over the tissue of a crop; stored: the largest distance of the published "
    "map, in its steps of 1/255."
)
COLUMNS = (
    "",
    "seconds",
    "CPU s",
    "tissue MP/s",
    "read MP/s",
    "peak MB",
    "ready s",
    "first run s",
    "off one pass",
    "stored, steps",
)


def _at_most(what: str, values: Sequence[float], limit: float) -> list[str]:
    return _judged(what, values, f"≤ {limit:g}", median(values) <= limit)


def _at_least(what: str, values: Sequence[float], limit: float) -> list[str]:
    return _judged(what, values, f"≥ {limit:g}", median(values) >= limit)


def _judged(what: str, values: Sequence[float], limit: str, held: bool) -> list[str]:
    spread = f"{min(values):.2f} to {max(values):.2f}" if len(values) > 1 else ""
    return [what, f"{median(values):.2f}", spread, limit, _yes(held)]


def _yes(held: bool) -> str:
    return "yes" if held else "no"
