"""What `extent info` says of a slide."""

import json
from pathlib import Path

import numpy as np
import pytest

from annotations.errors import SlideError
from service.info import SlideFacts, describe_slide
from tiling.images import write_png
from tiling.resolution import Resolution


def _shown(facts: SlideFacts) -> dict[str, str]:
    return dict(facts.lines())


def _pink(path: Path, width: int = 400, height: int = 300) -> Path:
    pixels = np.full((height, width, 3), 245, np.uint8)
    pixels[50:250, 100:300] = (200, 120, 170)
    pixels[50:250:3, 100:300] = (150, 80, 140)
    write_png(path, pixels)
    return path


def test_an_aperio_slide(data: Path) -> None:
    facts = describe_slide(data / "slides" / "CMU-1-Small-Region.svs")
    assert (facts.name, facts.format) == ("CMU-1-Small-Region", "Aperio SVS")
    assert facts.size == (2220, 2967)
    assert facts.mpp == pytest.approx((0.499, 0.499))
    assert (facts.objective_power, facts.mpp_from) == ("20", "stated by the file")
    assert facts.read_level == 0
    assert facts.tissue_mm2 is not None and 0.5 < facts.tissue_mm2 < 1.64
    assert facts.warnings == ()
    assert _shown(facts)["usable"] == "yes, at 4 µm/px from level 0"
    assert _shown(facts)["physical size"] == "1.11 x 1.48 mm"


def test_nothing_that_names_a_patient_is_told(data: Path) -> None:
    facts = describe_slide(data / "slides" / "CMU-1-Small-Region.svs")
    told = json.dumps(facts.as_dict()) + str(_shown(facts))
    for secret in ("label", "macro", "Filename", "ScanScope", "User", str(data)):
        assert secret not in told


def test_a_slide_without_resolution_names_the_way_out(data: Path) -> None:
    path = data / "slides" / "TCGA-CR-7395-01A-01-TS1.svs"
    facts = describe_slide(path)
    assert (facts.mpp, facts.read_level, facts.tissue_mm2) == (None, None, None)
    assert any("--mpp" in warning for warning in facts.warnings)
    assert _shown(facts)["usable"].startswith("no")
    given = describe_slide(path, Resolution(0.5))
    assert (given.mpp, given.mpp_from) == ((0.5, 0.5), "given with --mpp")
    assert given.read_level is not None


def test_the_level_that_is_read_is_named(data: Path) -> None:
    facts = describe_slide(data / "slides" / "packer_example.tif")
    assert [level.downsample for level in facts.levels] == pytest.approx([1, 2, 4.0058], rel=1e-4)
    assert facts.read_level == 2 and all(level.read for level in facts.levels)
    finer = describe_slide(data / "slides" / "packer_example.tif", model_mpp=2.0)
    assert finer.read_level == 1


def test_a_resolution_that_is_overridden_is_told(data: Path) -> None:
    path = data / "slides" / "packer_example.tif"
    facts = describe_slide(path, Resolution(0.5, force=True))
    assert facts.mpp == (0.5, 0.5)
    assert any("0.987" in warning for warning in facts.warnings)


def test_a_flat_image_is_its_own_only_level(tmp_path: Path) -> None:
    facts = describe_slide(_pink(tmp_path / "cut.png"), Resolution(4.0))
    assert facts.format == "flat PNG image"
    assert [(level.width, level.height) for level in facts.levels] == [(400, 300)]
    assert facts.read_level == 0
    assert facts.tissue_mm2 is not None
    assert 0.8 * 0.8 <= facts.tissue_mm2 <= 0.96 * 0.96  # with its margin


def test_a_slide_too_coarse_for_the_model_says_so(tmp_path: Path) -> None:
    facts = describe_slide(_pink(tmp_path / "coarse.png"), Resolution(10.0))
    assert facts.read_level is None and facts.tissue_mm2
    assert any("too coarse" in warning for warning in facts.warnings)


def test_a_slide_without_tissue_says_so(tmp_path: Path) -> None:
    write_png(tmp_path / "glass.png", np.full((200, 300, 3), 245, np.uint8))
    facts = describe_slide(tmp_path / "glass.png", Resolution(4.0))
    assert facts.tissue_mm2 == 0
    assert any("no tissue" in warning for warning in facts.warnings)


def test_a_broken_slide_is_refused(data: Path) -> None:
    with pytest.raises(SlideError, match=r"broken\.svs"):
        describe_slide(data / "slides" / "broken.svs")
