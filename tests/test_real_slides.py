"""The model that ships on real slide files of every kind, checked by an independent script."""

import json
import subprocess
import sys
from pathlib import Path

import openslide
import pytest
import tifffile

IDC, PACKER, SVS = "8865", "packer_example", "CMU-1-Small-Region"
DICOM, NDPI, NO_MPP = "dicom_cmu1_small_region", "fluorescence TRITC", "TCGA-CR-7395-01A-01-TS1"
EXTENT = [sys.executable, "-m", "service.cli"]


def predict(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*EXTENT, "predict", *map(str, arguments), "--model", "breast-idc"]
    return subprocess.run(command, capture_output=True, text=True)


def files(data: Path) -> dict[str, Path]:
    slides = data / "slides"
    return {
        IDC: data / "idc" / "8865.tiff",
        PACKER: slides / "packer_example.tif",
        SVS: slides / "CMU-1-Small-Region.svs",
        DICOM: slides / "dicom_cmu1_small_region",
        NDPI: slides / "fluorescence TRITC.ndpi",
        NO_MPP: slides / "TCGA-CR-7395-01A-01-TS1.svs",
    }


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One batch over all of them and two that OpenSlide refuses; its folder and what it said."""
    out = tmp_path_factory.mktemp("real") / "out"
    refused = [data / "slides" / name for name in ("broken.svs", "kidney-48-5.tif")]
    done = predict(*files(data).values(), *refused, "--out", out)
    assert done.returncode == 1, "some slides fail, the others are finished"
    assert "Traceback" not in done.stderr
    return out, done.stderr


@pytest.mark.parametrize("name", [IDC, PACKER, SVS, DICOM, NDPI])
def test_results_keep_the_contract(results: tuple[Path, str], data: Path, name: str) -> None:
    checker = data.parent / "check" / "check_result.py"
    if not checker.exists():
        pytest.skip(f"no {checker}")
    folder = results[0] / name
    mpp = json.loads((folder / "summary.json").read_text())["mpp"][0]
    command = [sys.executable, checker, files(data)[name], folder, str(mpp)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", [IDC, PACKER, SVS, DICOM, NDPI])
def test_openslide_sees_the_whole_map(results: tuple[Path, str], name: str) -> None:
    folder = results[0] / name
    placed = json.loads((folder / "summary.json").read_text())
    with openslide.OpenSlide(folder / "probability.tiff") as opened:
        assert list(opened.dimensions) == placed["map"]["size"]
        expected = placed["mpp"][0] * placed["map"]["downsample"][0]
        assert float(opened.properties["openslide.mpp-x"]) == pytest.approx(expected, rel=1e-5)
        with tifffile.TiffFile(folder / "probability.tiff") as stored:
            assert opened.level_count == len(stored.pages)


def test_the_same_glass_as_svs_and_as_dicom_gives_the_same_area(results: tuple[Path, str]) -> None:
    areas = [
        json.loads((results[0] / name / "summary.json").read_text())["tissue_area_mm2"]
        for name in (SVS, DICOM)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def test_slides_that_fail_are_named_with_the_way_out(results: tuple[Path, str]) -> None:
    _, said = results
    lines = {line.split(" failed")[0].removeprefix("extent: "): line for line in said.splitlines()}
    assert "--mpp" in lines[NO_MPP]
    assert "not a slide format" in lines["broken"] and "not a slide format" in lines["kidney-48-5"]


def test_a_slide_without_resolution_works_once_it_is_given(data: Path, tmp_path: Path) -> None:
    done = predict(files(data)[NO_MPP], "--mpp", "0.25", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / NO_MPP / "summary.json").read_text())
    assert summary["mpp"] == [0.25, 0.25]


def test_tumour_is_found_where_the_expert_saw_it(results: tuple[Path, str]) -> None:
    """A slide of the training set: no measure of skill, but of everything being in its place."""
    summary = json.loads((results[0] / IDC / "summary.json").read_text())
    assert summary["tumour_area_mm2"] == pytest.approx(2.2, rel=0.6)
