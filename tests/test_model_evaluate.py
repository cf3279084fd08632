"""From stored results to figures: slides whose answer is known, selections, the page."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from annotations.errors import CohortError, ResultError, UsageError
from annotations.labels import LabelRules
from model.area_interval import AreaInterval
from model.checkpoint import ModelCard
from model.cohort import Case, Cohort, hashed_patient, read_cohort
from model.evaluate import headline, measure_cases, slide_row, summarise
from model.labelled import ExpertLabels
from model.measure import Question, SlideMeasures, measure_slide
from model.network import NetworkConfig
from model.object_rules import ObjectRules
from model.selection import select_cases
from service.evaluation_report import Evaluation, write_report
from service.evaluation_sections import objects as objects_chapter
from tests.fabricated import write_rectangles, write_result_folder, write_tissue
from tiling.frame import Frame
from tiling.images import read_grey, write_png
from tiling.slide import Slide

QUESTION = Question(("background", "tumour"), "tumour", LabelRules(), cell_um=200.0)
WIDTH, HEIGHT, MPP = 400, 300, 4.0  # a slide; its map has a quarter of that a side
FRAME = Frame.over((0, 0), (WIDTH, HEIGHT), (MPP, MPP), 16.0)
TUMOUR = (100, 80, 300, 240)  # level-0 pixels: 50 x 40 map pixels


def drawn_map(left: int, top: int, right: int, bottom: int) -> npt.NDArray[np.uint8]:
    """A map that is sure of one rectangle of map pixels."""
    values = np.full((FRAME.height, FRAME.width), 20, np.uint8)
    values[top:bottom, left:right] = 240
    return values


def a_case(folder: Path, name: str = "s", patient: str = "p", tumour: bool = True) -> Case:
    slide = write_tissue(folder / f"{name}.png", WIDTH, HEIGHT)
    outlines = write_rectangles(folder / f"{name}.geojson", *([TUMOUR] if tumour else []))
    return Case(slide, outlines, patient, mpp=MPP)


def measured(folder: Path, case: Case, values: npt.NDArray[np.uint8]) -> SlideMeasures:
    result = write_result_folder(folder / "out" / case.slide.stem, case.slide.stem, FRAME, values)
    return measure_slide(case, result, QUESTION)


def test_a_slide_whose_dice_is_known(tmp_path: Path) -> None:
    m = measured(tmp_path, a_case(tmp_path), drawn_map(30, 20, 80, 60))  # truth: 25-75, 20-60
    pixel = 16.0**2 / 1e6
    assert m.dice == 2 * 45 / (50 + 50)
    assert m.counts.tolist() == [45 * 40, 5 * 40, 5 * 40, 100 * 75 - 55 * 40]
    assert m.expert_area_mm2 == pytest.approx(2000 * pixel)
    assert m.tumour_area_mm2 == pytest.approx(2000 * pixel)
    assert m.false_positive_mm2 == pytest.approx(200 * pixel)
    assert m.boundary.hd95_um == 5 * 16


def test_the_same_map_as_the_outline_is_perfect(tmp_path: Path) -> None:
    m = measured(tmp_path, a_case(tmp_path), drawn_map(25, 20, 75, 60))
    assert m.dice == 1 and m.boundary.hd95_um == 0
    assert m.cell_truth[m.cell_scores > 0.9].all() and m.cell_truth.any()


def test_without_tumour_there_is_no_dice_but_false_alarms_in_mm2(tmp_path: Path) -> None:
    case = a_case(tmp_path, tumour=False)
    m = measured(tmp_path, case, drawn_map(0, 0, 10, 10))
    row = slide_row(m)
    assert row["dice"] is None and row["recall"] is None and row["hd95_um"] is None
    assert row["false_positive_mm2"] == pytest.approx(100 * 16.0**2 / 1e6)
    figures = summarise([m], cell_um=200, seed=0, resamples=20)
    json.dumps(figures, allow_nan=False)
    per_slide, cells = figures["per_slide"], figures["cells"]
    assert isinstance(per_slide, dict) and isinstance(cells, dict)
    assert per_slide["dice"]["value"] is None and cells["auc"]["value"] is None
    assert per_slide["false_positive_mm2_without_tumour"]["value"] == row["false_positive_mm2"]


def test_an_expert_who_saw_no_tumour_needs_no_file(tmp_path: Path) -> None:
    case = replace(a_case(tmp_path), annotations=None)
    assert measured(tmp_path, case, drawn_map(0, 0, 10, 10)).dice is None


def test_tumour_that_the_tissue_mask_missed_still_counts_as_missed(tmp_path: Path) -> None:
    case = a_case(tmp_path)
    white = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    write_png(case.slide, white)
    m = measured(tmp_path, case, np.zeros((FRAME.height, FRAME.width), np.uint8))
    assert m.counts.tolist() == [0, 0, 2000, 0]
    assert m.dice == 0


def test_nobody_looks_where_nothing_is_labelled(tmp_path: Path) -> None:
    case = a_case(tmp_path)
    grid = np.full((6, 8), 255, np.uint8)  # 50 px cells
    grid[:, 4:] = 0
    write_png(tmp_path / "cells.png", grid)
    by_grid = measured(
        tmp_path, replace(case, labelled=tmp_path / "cells.png"), drawn_map(25, 20, 60, 60)
    )
    assert by_grid.histogram.sum() == 50 * 75
    assert by_grid.counts.tolist() == [10 * 40, 0, 15 * 40, 50 * 75 - 25 * 40]
    assert len(by_grid.cell_truth) == 24
    region = write_rectangles(tmp_path / "region.geojson", (200, 0, 400, 300))
    outlined = measure_slide(replace(case, labelled=region), tmp_path / "out" / "s", QUESTION)
    assert (outlined.histogram == by_grid.histogram).all()


def test_cells_of_another_size_than_the_labelled_grids_are_judged_by_majority(
    tmp_path: Path,
) -> None:
    grid = np.full((6, 8), 255, np.uint8)
    grid[:, 4:] = 0
    write_png(tmp_path / "cells.png", grid)
    case = replace(a_case(tmp_path), labelled=tmp_path / "cells.png")
    result = write_result_folder(tmp_path / "r", "s", FRAME, drawn_map(25, 20, 75, 60))
    m = measure_slide(case, result, replace(QUESTION, cell_um=160.0))  # 10 map pixels
    assert len(m.cell_truth) == 5 * 8  # the 8th row is half a cell, judged as well
    assert m.cell_truth.sum() == 2 * 4  # columns 50-59, 60-69 whole; 70-74 is no majority


def test_a_cells_score_is_its_mean_probability(tmp_path: Path) -> None:
    values = np.zeros((FRAME.height, FRAME.width), np.uint8)
    values[:10, :5] = 255
    result = write_result_folder(tmp_path / "r", "s", FRAME, values)
    m = measure_slide(a_case(tmp_path), result, replace(QUESTION, cell_um=160.0))
    assert m.cell_scores[0] == pytest.approx(0.5)
    assert m.cell_scores[1:].max() == 0


def test_a_threshold_is_the_results_own(tmp_path: Path) -> None:
    case = a_case(tmp_path)
    values = drawn_map(25, 20, 75, 60)
    result = write_result_folder(tmp_path / "r", "s", FRAME, values, threshold=240 / 255)
    assert measure_slide(case, result, QUESTION).counts[:2].tolist() == [0, 0]


def test_pixels_between_strips_and_bounds_are_counted_once(tmp_path: Path) -> None:
    """A map of odd size whose frame begins within the slide."""
    frame = Frame((13.0, 7.0), (3.9, 4.3), (15.6, 17.2), 71, 53)
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (53, 71), dtype=np.uint8)
    case = a_case(tmp_path)
    result = write_result_folder(tmp_path / "r", "s", frame, values)
    m = measure_slide(case, result, QUESTION)
    with Slide.open(case.slide) as slide:
        expert = ExpertLabels(
            case, slide, frame, classes=QUESTION.classes, rules=QUESTION.rules
        ).labels(frame.box)
    for side in (0, 1):
        expected = np.bincount(values[expert == side], minlength=256)
        assert (m.histogram[side] == expected).all()


@pytest.mark.parametrize(
    "damage", ["gone", "no map", "cut short", "not JSON", "other slide", "size"]
)
def test_results_that_cannot_be_measured_are_named(tmp_path: Path, damage: str) -> None:
    case = a_case(tmp_path)
    result = write_result_folder(tmp_path / "r", "s", FRAME, drawn_map(0, 0, 9, 9))
    summary, stored = result / "summary.json", result / "probability.tiff"
    if damage == "gone":
        summary.unlink()
    elif damage == "no map":
        stored.unlink()
    elif damage == "cut short":
        stored.write_bytes(stored.read_bytes()[:60])
    elif damage == "not JSON":
        summary.write_text("{")
    elif damage == "other slide":
        summary.write_text(summary.read_text().replace('"slide": "s"', '"slide": "t"'))
    else:
        summary.write_text(summary.read_text().replace("100, 75", "100, 76"))
    with pytest.raises(ResultError, match=r"predict|of t, not of s"):
        measure_slide(case, result, QUESTION)


def test_cells_below_a_pixel_are_refused(tmp_path: Path) -> None:
    result = write_result_folder(tmp_path / "r", "s", FRAME, drawn_map(0, 0, 9, 9))
    with pytest.raises(UsageError, match=r"--cell-um 15.*16 µm"):
        measure_slide(a_case(tmp_path), result, replace(QUESTION, cell_um=15.0))


def a_cohort(folder: Path, patients: str) -> Cohort:
    rows = ["slide,annotations,patient"]
    for patient in patients:
        case = a_case(folder, f"slide-{patient}", patient)
        rows.append(f"{case.slide.name},slide-{patient}.geojson,{patient}")
    (folder / "cohort.csv").write_text("\n".join(rows))
    return read_cohort(folder / "cohort.csv")


def a_card(digest: str = "", **patients: str) -> ModelCard:
    hashes = {
        split: tuple(hashed_patient(name, "salt") for name in names)
        for split, names in patients.items()
    }
    network = NetworkConfig(stem_stride=2, widths=(8,), convolutions=(1,), output_stride=2)
    return ModelCard(
        "m", network, ("background", "tumour"), 1, 4.0,
        cohort_digest=digest, patient_salt="salt", patients=hashes,
    )  # fmt: skip


def names(cases: tuple[Case, ...]) -> str:
    return "".join(case.patient for case in cases)


def test_on_its_own_cohort_a_model_is_measured_on_its_test_patients(tmp_path: Path) -> None:
    cohort = a_cohort(tmp_path, "abcd")
    card = a_card(cohort.digest, train="ab", validation="c", test="d")
    chosen = select_cases(cohort, card)
    assert (names(chosen.cases), chosen.split, chosen.left_out, chosen.seen) == (
        "d",
        "test",
        (),
        (),
    )


@pytest.mark.parametrize(("split", "seen"), [("train", "ab"), ("validation", "c")])
def test_splits_that_a_model_has_seen_are_measured_only_when_asked(
    tmp_path: Path, split: str, seen: str
) -> None:
    cohort = a_cohort(tmp_path, "abcd")
    card = a_card(cohort.digest, train="ab", validation="c", test="d")
    with pytest.raises(CohortError, match=f"{', '.join(seen)}.*--include-seen"):
        select_cases(cohort, card, split)
    chosen = select_cases(cohort, card, split, include_seen=True)
    assert (names(chosen.cases), chosen.seen) == (seen, tuple(seen))


def test_on_another_cohort_every_slide_but_those_of_seen_patients(tmp_path: Path) -> None:
    cohort = a_cohort(tmp_path, "abcde")
    card = a_card("another", train="ab", validation="c", test="d")
    chosen = select_cases(cohort, card)
    assert (names(chosen.cases), chosen.split, chosen.left_out) == ("de", None, ("a", "b", "c"))
    chosen = select_cases(cohort, card, include_seen=True)
    assert (names(chosen.cases), chosen.seen) == ("abcde", ("a", "b", "c"))


def test_a_model_that_kept_no_test_patients_says_so(tmp_path: Path) -> None:
    cohort = a_cohort(tmp_path, "ab")
    with pytest.raises(CohortError, match="kept none of its patients for test"):
        select_cases(cohort, a_card(cohort.digest, train="ab"))
    with pytest.raises(CohortError, match="train, validation, test"):
        select_cases(cohort, a_card(cohort.digest, train="ab"), "tset")


def test_what_was_seen_marks_every_figure(tmp_path: Path) -> None:
    cohort = a_cohort(tmp_path, "ab")
    for case in cohort.cases:
        name = case.slide.stem
        write_result_folder(tmp_path / "out" / name, name, FRAME, drawn_map(30, 20, 80, 60))
    cases = [replace(case, mpp=MPP) for case in cohort.cases]
    measures = measure_cases(cases, tmp_path / "out", QUESTION)
    chosen = select_cases(cohort, a_card("", train="a"), include_seen=True)
    marked = summarise(measures, cell_um=200, seed=0, selection=chosen, resamples=50)
    assert marked["includes_seen"] is True and "better" in str(marked["warning"])
    for group in ("pixels", "cells", "per_slide"):
        figures = marked[group]
        assert isinstance(figures, dict)
        assert all(figure["includes_seen"] is True for figure in figures.values())
    rows = marked["slides"]
    assert isinstance(rows, list)
    assert [row["includes_seen"] for row in rows] == [True, False]
    plain = summarise(measures, cell_um=200, seed=0, resamples=50)
    assert plain["includes_seen"] is False and "warning" not in plain


def test_figures_pool_slides_and_name_the_patients(tmp_path: Path) -> None:
    good = measured(tmp_path, a_case(tmp_path, "good", "p"), drawn_map(25, 20, 75, 60))
    bad = measured(tmp_path, a_case(tmp_path, "bad", "q"), drawn_map(0, 0, 0, 0))
    figures = summarise([good, bad], cell_um=200, seed=0)
    pixels, per_slide = figures["pixels"], figures["per_slide"]
    assert isinstance(pixels, dict) and isinstance(per_slide, dict)
    assert pixels["dice"] == {"value": 2 * 2000 / (4000 + 2000), "low": 0, "high": 1}
    assert per_slide["dice"]["value"] == 0.5
    assert per_slide["area_ratio"]["n"] == 1
    assert (figures["n_slides"], figures["n_patients"]) == (2, 2)
    assert figures == summarise([good, bad], cell_um=200, seed=0)
    with pytest.raises(CohortError, match="no slides"):
        summarise([], cell_um=200, seed=0)


def test_the_card_says_how_labels_were_read() -> None:
    rules = {"classes": {"tumour": ["lesion"]}, "ignore": ["blur"], "unlabelled": None}
    card = replace(a_card(), training={"config": {"labels": rules}})
    question = Question.of_card(card, 100.0)
    assert question.rules.known("Lesion") == "tumour"
    assert question.rules.known("cancer") is None and question.rules.unlabelled is None
    assert Question.of_card(a_card()).rules == LabelRules()
    with pytest.raises(UsageError, match="--cell-um"):
        Question.of_card(card, -1.0)


def test_lesions_and_false_alarms_of_a_slide(tmp_path: Path) -> None:
    values = drawn_map(30, 20, 80, 60)
    values[65:73, 88:96] = 250  # a place far from the tumour
    m = measured(tmp_path, a_case(tmp_path), values)
    assert m.lesions.lesions == 1 and m.lesions.found.sum() == 1
    found, false_alarms = m.lesions.above(m.threshold)
    row = slide_row(m)
    assert (row["n_lesions"], row["lesions_found"]) == (1, found) == (1, 1)
    assert row["false_alarms"] == false_alarms >= 1


def test_every_figure_of_every_group_has_an_interval(tmp_path: Path) -> None:
    good = measured(tmp_path, a_case(tmp_path, "good", "p"), drawn_map(25, 20, 75, 60))
    bad = measured(tmp_path, a_case(tmp_path, "bad", "q"), drawn_map(30, 20, 90, 60))
    figures = summarise([good, bad], cell_um=200, seed=0, resamples=50)
    for name in ("pixels", "cells", "per_slide", "lesions", "reliability"):
        group = figures[name]
        assert isinstance(group, dict)
        for key, row in group.items():
            if key != "false_positive_mm2_without_tumour":
                assert row["low"] <= row["value"] <= row["high"], key
    reliability = figures["reliability"]
    assert isinstance(reliability, dict)
    assert reliability["ece"]["value"] == pytest.approx(
        np.mean([slide_row(m)["ece"] for m in (good, bad)])
    )
    json.dumps(figures, allow_nan=False)


def test_the_interval_that_a_result_states_is_held_against_the_experts_area(
    tmp_path: Path,
) -> None:
    case = a_case(tmp_path)
    result = write_result_folder(tmp_path / "r", "s", FRAME, drawn_map(25, 20, 75, 60))
    path = result / "summary.json"
    promise = {"level": 0.8, "kind": "approximate", "patients": 20, "slack": 0.2}
    stated = {"low": 0.4, "high": 0.6, **promise}
    for interval, within in ((stated, 1), ({**stated, "high": 0.5}, 0), (None, None)):
        path.write_text(json.dumps({**json.loads(path.read_text()), "area_interval_mm2": interval}))
        m = measure_slide(case, result, QUESTION)  # the expert's area: 0.512 mm²
        rows = summarise([m], cell_um=200, seed=0, resamples=5)["area_intervals"]
        assert isinstance(rows, list)
        assert [row["slides_within"] for row in rows] == ([] if within is None else [within])
    path.write_text(json.dumps({**json.loads(path.read_text()), "area_interval_mm2": {"low": 1}}))
    with pytest.raises(ResultError, match="predict the slide again"):
        measure_slide(case, result, QUESTION)


def an_evaluation(folder: Path, *names: str) -> Evaluation:
    """A slide a name, of a patient each; without tumour where a name begins with none."""
    cases, measures = [], []
    for index, name in enumerate(names):
        case = a_case(folder, name, f"p{index}", tumour=not name.startswith("none"))
        cases.append(case)
        measures.append(measured(folder, case, drawn_map(20 + 5 * index, 20, 75, 60)))
    metrics = summarise(measures, cell_um=200.0, seed=0, resamples=50)
    return Evaluation(cases, measures, metrics, folder / "out", QUESTION)


CHAPTERS = [
    "pictures", "slides", "tissue", "outlines", "lesions", "area", "probabilities", "method"
]  # fmt: skip


def test_the_report_is_one_file_that_needs_no_other(tmp_path: Path) -> None:
    evaluation = an_evaluation(tmp_path, "one", "two <b>", "none")
    out = tmp_path / "report"
    write_report(out, evaluation)
    page = (out / "report.html").read_text(encoding="utf-8")
    sources = re.findall(r'src="([^"]{0,30})', page)
    assert len(sources) == 9 and all(s.startswith("data:image/png;base64,") for s in sources)
    assert re.findall(r'href="([^"]*)"', page) == [f"#{name}" for name in CHAPTERS]
    assert re.findall(r'<section id="([^"]*)"', page) == CHAPTERS
    assert "two &lt;b&gt;" in page and "two <b>" not in page
    assert "http" not in page and "<script" not in page
    assert "95 % of what 50 resamples of patients give" in page
    pictures = sorted(path.name for path in (out / "pictures").iterdir())
    assert pictures == [
        "area-ratios.png", "areas.png", "froc.png", "precision-recall.png", "probabilities.png",
        "reliability.png", "roc.png", "slide-1.png", "slide-2.png",
    ]  # fmt: skip
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_report(out, evaluation)
    assert before == {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_the_report_shows_the_figures_of_metrics_json(tmp_path: Path) -> None:
    evaluation = an_evaluation(tmp_path, "one", "two", "three")
    write_report(tmp_path / "report", evaluation)
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    for group in ("pixels", "cells", "lesions", "reliability"):
        for row in evaluation.metrics[group].values():
            low, value, high = (f"{row[part]:.3f}" for part in ("low", "value", "high"))
            assert f"{value} ({low}\u00a0to\u00a0{high})" in page


def test_the_report_of_slides_without_tumour_says_what_is_not_defined(tmp_path: Path) -> None:
    write_report(tmp_path / "report", an_evaluation(tmp_path, "none", "none-either"))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "not defined" in page and "No slide has tumour" in page
    assert "area called tumour, in mm²" in page and "False alarms a slide" in page
    pictures = sorted(path.name for path in (tmp_path / "report" / "pictures").iterdir())
    assert pictures == ["areas.png", "probabilities.png", "reliability.png"]


@pytest.mark.parametrize("value", [0, 255])
def test_the_report_of_a_constant_map_of_one_patient(tmp_path: Path, value: int) -> None:
    case = a_case(tmp_path)
    m = measured(tmp_path, case, np.full((FRAME.height, FRAME.width), value, np.uint8))
    metrics = summarise([m], cell_um=200.0, seed=0, resamples=20)
    json.dumps(metrics, allow_nan=False)
    write_report(tmp_path / "report", Evaluation([case], [m], metrics, tmp_path / "out", QUESTION))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert ("Bland-Altman:" in page) == (value == 255)


def test_a_stated_interval_is_shown_beside_its_promise(tmp_path: Path) -> None:
    evaluation = an_evaluation(tmp_path, "one", "two")
    stated = AreaInterval(0.0, 9.0, 0.8, "approximate", 20, 0.2)
    measures = [replace(m, area_interval=stated) for m in evaluation.measures]
    metrics = summarise(measures, cell_um=200.0, seed=0, resamples=20)
    write_report(tmp_path / "report", replace(evaluation, measures=measures, metrics=metrics))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "80% of patients" in page and "2 of 2 patients" in page and "0 to 9" in page


def test_cells_are_those_of_an_independent_check(data: Path, tmp_path: Path) -> None:
    """Real slides and outlines, made-up maps: truth cell by cell, and the published measures."""
    idc, check = data / "idc", data.parent / "check" / "idc_cells.py"
    if not check.is_file():
        pytest.skip(f"no independent check at {check}")
    rows = (idc / "cohort.csv").read_text().splitlines()
    chosen = [row for row in rows if row.split(",")[2] in ("patient", "8975", "8913", "8955")]
    (tmp_path / "cohort.csv").write_text("\n".join(chosen))
    for name in {part for row in chosen[1:] for part in row.split(",") if "." in part} | {"cells"}:
        if not (tmp_path / name).exists() and not name.startswith("cells/"):
            (tmp_path / name).symlink_to(idc / name)
    cohort = read_cohort(tmp_path / "cohort.csv")
    measures = []
    for case in cohort.cases:
        with Slide.open(case.slide) as slide:
            frame, name = slide.frame(4.0).coarser(4), slide.name
        noise = np.random.default_rng(0).random((frame.height // 7 + 1, frame.width // 7 + 1))
        values = np.kron(noise, np.full((7, 7), 255))[: frame.height, : frame.width]
        result = write_result_folder(tmp_path / name, name, frame, values.astype(np.uint8))
        measures.append(measure_slide(case, result, QUESTION))
        assert case.labelled is not None
        cells = read_grey(case.labelled)
        assert (measures[-1].cell_truth == (cells[cells != 255] == 1)).all()
    figures = summarise(measures, cell_um=200.0, seed=0)["cells"]
    assert isinstance(figures, dict)
    command = [sys.executable, str(check), str(tmp_path), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for name, key in (("balanced accuracy", "balanced_accuracy"), ("F1", "f1"), ("AUC", "auc")):
        found = re.search(rf"{name} ([\d.]+)", said.splitlines()[-1])
        assert found and float(found[1]) == pytest.approx(figures[key]["value"], abs=1e-3)


def objects_of(folder: Path, name: str, values: npt.NDArray[np.uint8]) -> SlideMeasures:
    """Two objects of 20 x 20 map pixels, as an expert drew them, against a map."""
    slide = write_tissue(folder / f"{name}.png", WIDTH, HEIGHT)
    drawn = (40, 40, 120, 120), (160, 40, 240, 120)  # map pixels 10-30 and 40-60
    outlines = write_rectangles(folder / f"{name}.geojson", *drawn)
    result = write_result_folder(folder / "maps" / name, name, FRAME, values)
    rules = ObjectRules(16.0, fill_um2=16.0**2 * 4, least_um2=16.0**2 * 10)
    question = replace(QUESTION, objects=rules)
    return measure_slide(Case(slide, outlines, f"p-{name}", mpp=MPP), result, question)


def test_objects_are_counted_one_by_one(tmp_path: Path) -> None:
    apart = drawn_map(10, 10, 30, 30)
    apart[10:30, 40:60] = 240
    apart[20:22, 20:22] = 0  # a hole, to be filled
    apart[60:63, 60:63] = 240  # too small
    joined = drawn_map(10, 10, 60, 30)
    measures = [objects_of(tmp_path, "apart", apart), objects_of(tmp_path, "joined", joined)]
    figures: Any = summarise(measures, cell_um=200, seed=0, resamples=50)
    rows = figures["slides"]
    assert [row["n_objects"] for row in rows] == [2, 2]
    assert [row["n_objects_found"] for row in rows] == [2, 1]
    assert rows[0]["object_f1"] == 1 and rows[0]["object_dice"] == pytest.approx(1)
    assert rows[1]["object_f1"] == pytest.approx(2 / 3)
    objects = figures["objects"]
    assert objects["recall"]["value"] == 0.75 and objects["precision"]["value"] == 1
    assert objects["f1"]["low"] == pytest.approx(2 / 3) and objects["f1"]["high"] == 1
    assert headline(figures)["objects"] == objects
    chapter = objects_chapter(figures)
    assert "The experts drew 4 objects, the model 3." in chapter


def test_objects_where_nobody_looked_do_not_count(tmp_path: Path) -> None:
    values = drawn_map(10, 10, 30, 30)
    measured_all = objects_of(tmp_path, "all", values)
    region = write_rectangles(tmp_path / "region.geojson", (0, 0, 140, 300))
    case = Case(tmp_path / "all.png", tmp_path / "all.geojson", "p", mpp=MPP, labelled=region)
    question = replace(QUESTION, objects=ObjectRules(16.0))
    half = measure_slide(case, tmp_path / "maps" / "all", question)
    assert measured_all.objects is not None and half.objects is not None
    assert (measured_all.objects.f1, half.objects.f1) == (pytest.approx(2 / 3), 1)


def test_without_objects_nothing_is_said_of_them(tmp_path: Path) -> None:
    figures = summarise(
        [measured(tmp_path, a_case(tmp_path), drawn_map(30, 20, 80, 60))],
        cell_um=200,
        seed=0,
        resamples=20,
    )
    assert "object" not in json.dumps(figures)
    assert objects_chapter(figures) == ""
