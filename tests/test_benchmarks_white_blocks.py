"""The benchmark of white blocks: it paints what it says and sees no change where there is none."""

from pathlib import Path

import numpy as np

from benchmarks.white_blocks import BLOCK, Painted, blocks, table_of
from model.checkpoint import load_checkpoint
from model.predictor import Execution, load_predictor
from tests.drawn import draw_case
from tiling.resolution import Resolution
from tiling.slide import Slide


def test_changes_end_where_the_network_sees_no_more(random_model: Path, tmp_path: Path) -> None:
    path, _ = draw_case(tmp_path, 0)
    checkpoint = load_checkpoint(random_model)
    predictor = load_predictor(checkpoint, Execution(device="cpu", precision="fp32"))
    assert checkpoint.card.network.receptive_radius * checkpoint.card.mpp < 250
    with Slide.open(path, Resolution(4.0)) as slide:
        painted = Painted(slide, checkpoint, predictor)
    where = np.zeros(painted.tissue_pixels.shape, bool)
    assert not painted.change("p", where, 255).bands[:, 1:].any(), (
        "nothing painted, nothing changed"
    )
    where[150:200, 150:200] = True
    change = painted.change("p", where, 255)
    pixels, apart, up = change.bands.T
    assert (pixels > 0).all() and apart[0] > 0 and apart[-1] == 0 and up[-1] == 0
    row = table_of({"a block white": [change]}).rows[0]
    assert row[0] == "a block white" and row[3] == "0.000"


def test_blocks_are_whole_cells_of_tissue() -> None:
    tissue = np.zeros((120, 230), bool)
    tissue[:, :100] = True
    everywhere, some = blocks(tissue, 1.0, 0), blocks(tissue, 0.5, 0)
    assert everywhere[:BLOCK, : 2 * BLOCK].all() and not everywhere[:, 2 * BLOCK :].any()
    assert not everywhere[2 * BLOCK :].any(), "the last row of cells is mostly beyond the slide"
    assert (some <= everywhere).all()
