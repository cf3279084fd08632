"""What more patients are worth: cross-validated as ever, but trained on fewer of them.

    python -m benchmarks.learning_curve COHORT.csv --out DIR [--patients 4,8,12] [--config NAME]
        [--folds 5] [--seed 0] [--full FOLDS] [--picture FILE.png] [--markdown docs/results.md]

Each fold holds out the patients that `extent crossvalidate` would, and trains on the first n of the
others in an order drawn from the seed, so that the 4 are among the 8; as many steps whatever n.
DIR/patients-<n>/ is what `extent crossvalidate` would write; finished folds and maps are taken as
they are, so that a stopped run goes on. FOLDS is what it wrote with all patients: the last point.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.tables import Table, put_section
from model.cohort import Cohort, read_cohort
from model.config import TrainConfig
from model.crossvalidate import Split, fold_splits, train_folds
from model.figures import Line, write_learning_curve
from model.measure import Question
from service.calibrating import judge_folds
from service.cli_options import say
from service.cli_train import load_config
from service.measuring import METRICS_FILE
from service.tasks import MapSettings
from service.training_folder import writing_folder

FIGURES = {
    ("cells", "balanced_accuracy"): "balanced accuracy, cells",
    ("cells", "f1"): "F1, cells",
    ("cells", "auc"): "AUC, cells",
    ("pixels", "dice"): "Dice, pixels",
}


@dataclass(frozen=True)
class CrossValidation:
    """What all points of a curve have in common."""

    cohort: Cohort
    config: TrainConfig
    folds: int
    seed: int

    def splits(self, count: int | None = None) -> list[Split]:
        """Who is trained on and held out in each fold; of the former, all or the first `count`."""
        return [
            {**split, "train": split["train"][:count]}
            for split in fold_splits(self.cohort, self.config, self.folds, self.seed)
        ]

    def trained_on(self, count: int, out: Path, console: Console) -> None:
        """Cross-validate with `count` patients to train on in each fold; writes into `out`."""
        config, splits = self.config, self.splits(count)
        with writing_folder(out):
            say(console, f"training on {count} patients, into {out}")
            folds = train_folds(self.cohort, config, splits, out=out, seed=self.seed, resume=True)
            question = Question(config.classes, config.foreground, config.labels)
            judge_folds(folds, out, question, console, MapSettings(), seed=self.seed)


def metrics_in(out: Path) -> dict[str, Any]:
    """What a cross-validation wrote of its figures."""
    found: dict[str, Any] = json.loads((out / METRICS_FILE).read_text(encoding="utf-8"))
    return found


def table_of(points: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a point; `points`: metrics by how many patients were trained on, in words."""
    rows = []
    for trained_on, metrics in points.items():
        figures = [metrics[group][name] for group, name in FIGURES]
        shown = [f"{f['value']:.3f} ({f['low']:.3f} to {f['high']:.3f})" for f in figures]
        rows.append([trained_on, *shown])
    return Table("What more patients are worth", ("trained on", *FIGURES.values()), rows)


def draw(path: Path, points: Mapping[float, Mapping[str, Any]]) -> None:
    """A panel a figure over the number of patients trained on."""
    curves = {}
    for (group, name), words in FIGURES.items():
        rows = [metrics[group][name] for metrics in points.values()]
        parts = {part: [row[part] for row in rows] for part in ("value", "low", "high")}
        curves[words] = Line({"at": list(points), **parts})
    write_learning_curve(path, curves)


def points_of(asked: argparse.Namespace, counts: Sequence[int], whole: float) -> dict[float, Any]:
    """Metrics by patients trained on; `whole`: how many that is where none is left out."""
    points: dict[float, Any] = {n: metrics_in(asked.out / f"patients-{n}") for n in sorted(counts)}
    return points | ({whole: metrics_in(asked.full)} if asked.full else {})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", default="4,8,12")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", type=Path, metavar="FOLDS")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


def main() -> None:
    asked, console = arguments(), Console()
    cohort, config = read_cohort(asked.cohort), load_config(asked.config)
    plan = CrossValidation(cohort, config, asked.folds, asked.seed)
    counts = [int(text) for text in asked.patients.split(",")]
    for count in counts:
        plan.trained_on(count, asked.out / f"patients-{count}", console)
    most = [len(split["train"]) for split in plan.splits()]
    points = points_of(asked, counts, sum(most) / len(most))
    table = table_of({f"{n:g} patients": metrics for n, metrics in points.items()})
    table.show(console)
    draw(asked.picture or asked.out / "learning-curve.png", points)
    if asked.markdown:
        put_section(asked.markdown, "learning-curve", table.markdown())


if __name__ == "__main__":
    main()
