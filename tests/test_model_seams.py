"""The seam-free promise, clause by clause: a stitched map is what one pass would give."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, shipped_models
from model.network import Network, NetworkConfig
from model.openvino_predictor import cpu_computes_bf16
from model.predictor import Execution, Predictor, load_predictor
from model.segment import segment
from model.windows import window_maps
from tests.conftest import write_random_model
from tiling.frame import Box, Frame
from tiling.grid import Window, plan_windows
from tiling.images import write_png
from tiling.resolution import Resolution
from tiling.slide import Slide
from tiling.synthetic import SlideRecipe
from tiling.synthetic_files import write_drawn_slide
from tiling.tissue import find_tissue

TOLERANCE = 1e-4
REFERENCE = Execution(runtime="torch", precision="fp32")
Map = npt.NDArray[np.float32]


@pytest.fixture(scope="module", params=["trained", "random"])
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """The shipped network, and a random one of another shape."""
    if request.param == "trained":
        assert shipped_models(), "Extent ships no model"
        return load_checkpoint(find_checkpoint("breast-idc"))
    return load_checkpoint(write_random_model(tmp_path_factory.mktemp("m") / "random.safetensors"))


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Slide:
    """A drawn slide of odd size, at a resolution that is no whole fraction of the model's."""
    path = tmp_path_factory.mktemp("slide") / "drawn.tiff"
    recipe = SlideRecipe(seed=5, site=2, width=1701, height=1333, mpp=1.7)
    write_drawn_slide(path, recipe, downsamples=(1, 2))
    return Slide.open(path)


def windows_of(
    box: Box, network: NetworkConfig, side: int, halo: int, shift: int = 0
) -> list[Window]:
    """Windows of `side` over a box, their lattice shifted by `shift`, with a halo of one's own."""
    return [
        Window(Box(x, y, side, side).padded(halo), Box(x, y, side, side))
        for y in range(shift - side if shift else 0, box.height, side)
        for x in range(shift - side if shift else 0, box.width, side)
    ]


def stitched(
    slide: Slide,
    frame: Frame,
    checkpoint: Checkpoint,
    windows: Sequence[Window],
    predictor: Predictor,
) -> Map:
    """All windows' cores in one array over the frame; float32 [classes, h, w]."""
    network = checkpoint.card.network
    whole = frame.coarser(network.output_stride)
    out = np.full((network.classes, whole.height, whole.width), np.nan, np.float32)
    for window, core in window_maps(slide, frame, windows, predictor, network):
        box = window.write.scaled_down(network.output_stride)
        inside = box.intersection(whole.box)
        out[:, inside.y : inside.bottom, inside.x : inside.right] = core[
            :, inside.y - box.y : inside.bottom - box.y, inside.x - box.x : inside.right - box.x
        ]
    assert not np.isnan(out).any()
    return out


def one_pass(slide: Slide, frame: Frame, checkpoint: Checkpoint) -> Map:
    """The network over the whole plane at once, padded by the halo."""
    network = checkpoint.card.network
    stride, halo = network.total_stride, network.halo
    width, height = (-(-side // stride) * stride for side in (frame.width, frame.height))
    patch = slide.read(frame, Box(0, 0, width, height).padded(halo))
    maps = load_predictor(checkpoint, REFERENCE)(patch[None])[0]
    margin, whole = halo // network.output_stride, frame.coarser(network.output_stride)
    return maps[:, margin : margin + whole.height, margin : margin + whole.width]


def difference(a: Map, b: Map) -> float:
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("side", [64, 224, 512])
def test_stitched_is_one_pass_for_any_window(
    slide: Slide, checkpoint: Checkpoint, side: int
) -> None:
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    windows = windows_of(frame.box, network, side, network.halo)
    predictor = load_predictor(checkpoint, REFERENCE)
    whole = one_pass(slide, frame, checkpoint)
    assert whole[1].std() > 0.01, "a flat map proves nothing"
    assert difference(stitched(slide, frame, checkpoint, windows, predictor), whole) <= TOLERANCE


def test_a_shifted_lattice_changes_nothing(slide: Slide, checkpoint: Checkpoint) -> None:
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    windows = windows_of(frame.box, network, 256, network.halo, shift=3 * network.total_stride)
    predictor = load_predictor(checkpoint, REFERENCE)
    shifted = stitched(slide, frame, checkpoint, windows, predictor)
    assert difference(shifted, one_pass(slide, frame, checkpoint)) <= TOLERANCE


def test_openvino_in_fp32_keeps_the_promise(slide: Slide, checkpoint: Checkpoint) -> None:
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    windows = windows_of(frame.box, network, 256, network.halo)
    execution = Execution(runtime="openvino", precision="fp32")
    predictor = load_predictor(checkpoint, execution)
    tiled = stitched(slide, frame, checkpoint, windows, predictor)
    assert difference(tiled, one_pass(slide, frame, checkpoint)) <= TOLERANCE


@pytest.mark.skipif(not cpu_computes_bf16(), reason="this processor computes in neither")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_no_window_shows_in_coarser_numbers(
    slide: Slide, precision: Literal["bf16", "int8"]
) -> None:
    checkpoint = load_checkpoint(find_checkpoint("breast-idc"))
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    predictor = load_predictor(checkpoint, Execution("cpu", "openvino", precision))
    small, large, shifted = (
        stitched(
            slide,
            frame,
            checkpoint,
            windows_of(frame.box, network, side, network.halo, by),
            predictor,
        )
        for side, by in ((64, 0), (512, 0), (256, 3 * network.total_stride))
    )
    assert difference(small, large) <= TOLERANCE
    assert difference(shifted, large) <= TOLERANCE
    assert 0 < np.abs(large - one_pass(slide, frame, checkpoint)).mean() < 0.005


def test_without_a_halo_the_seams_show(slide: Slide, checkpoint: Checkpoint) -> None:
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    windows = windows_of(frame.box, network, 256, halo=0)
    predictor = load_predictor(checkpoint, REFERENCE)
    tiled = stitched(slide, frame, checkpoint, windows, predictor)
    assert difference(tiled, one_pass(slide, frame, checkpoint)) > 100 * TOLERANCE


def test_a_lattice_off_the_stride_shows(slide: Slide, checkpoint: Checkpoint) -> None:
    """Why window origins lie on the total stride: pooling falls elsewhere otherwise."""
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    off = network.output_stride
    predictor = load_predictor(checkpoint, REFERENCE)
    box = Box(256, 256, 256, 256)
    moved = Box(box.x + off, box.y + off, 256, 256)
    maps = {
        window.write: core
        for window, core in window_maps(
            slide,
            frame,
            [Window(b.padded(network.halo), b) for b in (box, moved)],
            predictor,
            network,
        )
    }
    assert difference(maps[box][:, 1:, 1:], maps[moved][:, :-1, :-1]) > 10 * TOLERANCE


def test_flat_cut_outs_are_mirrored(checkpoint: Checkpoint, slide: Slide, tmp_path: Path) -> None:
    at = slide.frame(4.0)
    write_png(tmp_path / "cut.png", slide.read(at, Box(200, 150, 333, 270)))
    cut = Slide.open(tmp_path / "cut.png", Resolution(4.0))
    network, frame = checkpoint.card.network, cut.frame(checkpoint.card.mpp)
    halo = network.halo
    mirrored = cut.read(frame, frame.box.padded(halo))
    inner = cut.read(frame, frame.box)
    pad = np.pad(inner, [(halo, halo), (halo, halo), (0, 0)], "reflect")
    assert np.array_equal(mirrored, pad)
    windows = windows_of(frame.box, network, 96, halo)
    predictor = load_predictor(checkpoint, REFERENCE)
    tiled = stitched(cut, frame, checkpoint, windows, predictor)
    assert difference(tiled, one_pass(cut, frame, checkpoint)) <= TOLERANCE


def test_a_constant_slide_gives_a_constant_map(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Mirrored at its edges, a slide of one colour has no edges at all."""
    write_png(tmp_path / "flat.png", np.full((300, 410, 3), (190, 120, 170), np.uint8))
    flat = Slide.open(tmp_path / "flat.png", Resolution(4.0))
    network, frame = checkpoint.card.network, flat.frame(checkpoint.card.mpp)
    windows = windows_of(frame.box, network, 128, network.halo)
    predictor = load_predictor(checkpoint, REFERENCE)
    tiled = stitched(flat, frame, checkpoint, windows, predictor)
    assert float(np.ptp(tiled[1])) <= TOLERANCE


def stored_map(
    slide: Slide, checkpoint: Checkpoint, work: Path, write_side: int
) -> npt.NDArray[np.uint8]:
    predictor = load_predictor(checkpoint, REFERENCE)
    result = segment(slide, checkpoint, predictor, work=work, key="k", write_side=write_side)
    with result.canvas:
        return np.stack(
            [result.canvas.read(p, result.frame.box) for p in range(len(result.classes))]
        )


def test_stored_maps_of_two_window_sizes_agree(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Through the whole chain; rounding to a byte may tip over at most by one."""
    small, large = (
        stored_map(slide, checkpoint, tmp_path / str(side), side).astype(int) for side in (100, 640)
    )
    assert np.abs(small - large).max() <= 1
    assert (small != large).mean() < 1e-3


def test_outside_the_tissue_the_map_is_zero(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    values = stored_map(slide, checkpoint, tmp_path, 256)
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    whole = frame.coarser(network.output_stride)
    tissue = find_tissue(slide, frame, output_stride=network.output_stride).on(whole, whole.box)
    assert not tissue.all() and tissue.any()
    assert not values[:, ~tissue].any()
    assert (values[:, tissue].sum(0) > 200).all(), "inside it the classes share the probability"


def test_windows_already_done_are_not_computed_again(
    slide: Slide, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    def refuse(patches: npt.NDArray[np.uint8]) -> Map:
        raise AssertionError("computed a window twice")

    refuse.describe = "refuses"  # type: ignore[attr-defined]
    first = stored_map(slide, checkpoint, tmp_path, 256)
    again = segment(slide, checkpoint, refuse, work=tmp_path, key="k", write_side=256)  # type: ignore[arg-type]
    with again.canvas:
        assert np.array_equal(again.canvas.read(1, again.frame.box), first[1])


@pytest.mark.parametrize(
    "config",
    [
        NetworkConfig(),
        NetworkConfig(widths=(8, 16, 16), convolutions=(1, 1, 1), output_stride=8),
        NetworkConfig(
            stem_stride=2, widths=(8, 8, 8, 8), convolutions=(2, 1, 3, 1), output_stride=2
        ),
    ],
)
def test_receptive_radius_is_a_bound_and_not_a_loose_one(config: NetworkConfig) -> None:
    """Measured by gradients through non-negative weights, over all phases of the stride."""
    torch.manual_seed(0)
    network = Network(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    stride, middle = config.output_stride, 384
    widest = 0
    for phase in range(0, config.total_stride, stride):
        patches = torch.full((1, 3, 768, 64), 200.0, requires_grad=True)
        row = (middle + phase) // stride
        network(patches)[0, 1, row].sum().backward()
        assert patches.grad is not None
        rows = torch.nonzero(patches.grad.abs().sum((0, 1, 3)))[:, 0]
        above = row * stride - int(rows.min())
        below = int(rows.max()) - (row * stride + stride - 1)
        widest = max(widest, above, below)
    assert widest <= config.receptive_radius <= config.halo
    assert widest >= 0.8 * config.receptive_radius


def test_classes_share_probability_one(checkpoint: Checkpoint) -> None:
    patch = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    maps = load_predictor(checkpoint, REFERENCE)(patch)
    assert maps.dtype == np.float32
    assert np.allclose(maps.sum(1), 1, atol=1e-5)


def test_planned_windows_write_each_tissue_pixel_once(slide: Slide, checkpoint: Checkpoint) -> None:
    network, frame = checkpoint.card.network, slide.frame(checkpoint.card.mpp)
    tissue = find_tissue(slide, frame, output_stride=network.output_stride)
    windows = plan_windows(
        frame, tissue, write_side=96, halo=network.halo, stride=network.total_stride
    )
    count = np.zeros((frame.height + 96, frame.width + 96), int)
    for window in windows:
        assert window.write.x % network.total_stride == window.write.y % network.total_stride == 0
        count[window.write.y : window.write.bottom, window.write.x : window.write.right] += 1
    assert count.max() == 1
    assert (count[: frame.height, : frame.width][tissue.in_box(frame.box)] == 1).all()
