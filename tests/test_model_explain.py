"""Why here: what is said of a region hangs on what the network learned, and adds up."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from annotations.errors import UsageError
from model.attribution import (
    MOST_ACROSS,
    Patches,
    density_of,
    integrated_gradients,
    occlusion,
    stand_ins_of,
)
from model.checkpoint import Checkpoint, ModelCard, save_checkpoint
from model.explain import Explanation, explain
from model.network import Network, NetworkConfig
from model.optics import STAINS
from model.site import MOST_SIDE, Score, as_planes
from model.stand_in import SIDES, find_stand_in
from tiling.frame import Box
from tiling.images import write_png
from tiling.resolution import Resolution
from tiling.slide import Slide

SIZE = 512
SIDE = 60  # of the region; level-0 pixels are of 4 µm, as are the model's


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Tissue with nests full of haematoxylin, places full of eosin, glass on the right.

    uint8 [SIZE, SIZE, 3], and where the nests are.
    """
    random = np.random.default_rng(seed)
    fields = ndimage.gaussian_filter(random.standard_normal((2, SIZE, SIZE)), (0, 14, 14))
    nests, pink = (field > np.quantile(field, 0.8) for field in fields)
    pink &= ~nests
    grain = ndimage.gaussian_filter(random.standard_normal((2, SIZE, SIZE)), (0, 1, 1)) * 0.4
    haematoxylin = np.where(nests, 0.9, 0.15) * (1 + grain[0])
    eosin = np.where(pink, 1.0, 0.4) * (1 + grain[1])
    density = np.stack([haematoxylin, eosin], axis=-1).clip(0) @ STAINS[:2]
    pixels = 255 * np.exp(-density)
    glass = np.arange(SIZE) > 400
    pixels[:, glass], nests[:, glass] = 246, False
    return np.rint(pixels).astype(np.uint8), nests


def half_full(nests: np.ndarray) -> Box:
    """The region of which nests fill closest to a half, away from the edges."""
    share = ndimage.uniform_filter(nests.astype(float), SIDE)[100:400, 100:330]
    y, x = np.unravel_index(np.abs(share - 0.5).argmin(), share.shape)
    return Box(100 + int(x) - SIDE // 2, 100 + int(y) - SIDE // 2, SIDE, SIDE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A small network that learned to find the nests of other slides."""
    torch.manual_seed(0)
    config = NetworkConfig(
        stem_stride=2, widths=(8, 16, 16), convolutions=(1, 1, 1), output_stride=4, dropout=0.0
    )
    network = Network(config)
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    slides = [drawn(seed) for seed in range(1, 4)]
    for step in range(100):
        pixels, nests = slides[step % 3]
        y, x = 96 * (step % 4), 80 * (step % 5)
        planes = as_planes(pixels[y : y + 96, x : x + 96])
        wanted = torch.from_numpy(nests[y + 2 : y + 96 : 4, x + 2 : x + 96 : 4]).long()[None]
        loss = torch.nn.functional.cross_entropy(network(planes), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    card = ModelCard("nests", config, ("other", "tumour"), foreground=1, mpp=4.0)
    path = tmp_path_factory.mktemp("nests") / "nests.safetensors"
    return save_checkpoint(path, card, network.eval())


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "drawn.png"
    write_png(path, drawn(0)[0])
    return path


def ask(slide: Path, checkpoint: Checkpoint, region: Box) -> Explanation:
    with Slide.open(slide, Resolution(4.0)) as opened:
        return explain(opened, checkpoint, region, lambda done, total: None)


@pytest.fixture(scope="module")
def found(slide: Path, trained: Checkpoint) -> Explanation:
    return ask(slide, trained, half_full(drawn(0)[1]))


def in_window(found: Explanation, values: np.ndarray) -> np.ndarray:
    """What lies on the drawn picture, in the window's pixels."""
    x, y = (round(edge) for edge in found.site.frame.origin_level0)
    height, width = found.site.pixels.shape[:2]
    return values[y : y + height, x : x + width]


def test_influence_lies_on_nests(found: Explanation) -> None:
    pixels, nests = drawn(0)
    nests, glass = in_window(found, nests), in_window(found, pixels).min(axis=2) > 240
    gradients = found.stains.sum(axis=0)
    assert found.score > found.replaced and 0.1 < nests.mean() < 0.6
    assert gradients[nests].mean() > 4 * abs(gradients[~nests].mean())
    assert found.influence[nests].mean() > 1.5 * found.influence[~nests].mean()
    assert np.abs(gradients[glass]).sum() <= 0.1 * np.abs(gradients).sum()


def test_haematoxylin_makes_the_nests(found: Explanation) -> None:
    nests = in_window(found, drawn(0)[1])
    haematoxylin, eosin, _ = (plane[nests].sum() for plane in found.stains)
    assert haematoxylin > 2 * abs(eosin)


def test_gradients_add_up_to_what_they_explain(found: Explanation) -> None:
    assert found.stains.sum() == pytest.approx(found.score - found.replaced, rel=0.03)
    assert found.left_over < 0.03


def test_occlusion_and_gradients_agree_and_shuffled_weights_do_not(found: Explanation) -> None:
    assert found.agreement > 0.5
    assert len(found.correlations) == 3
    assert abs(np.mean(found.correlations)) < 0.5 * found.agreement


def test_influence_ends_where_the_receptive_field_does(found: Explanation) -> None:
    network = found.site.frame.mpp[0] * 32  # a little over the radius of this network, in µm
    assert 0 < found.reach_um < network
    assert 0.3 < found.inside_share < 1
    assert found.places[0].effect == pytest.approx(found.effects.max(), rel=1e-6)
    assert all(place.outside_um < network for place in found.places)


def test_what_replaces_itself_changes_nothing(trained: Checkpoint, found: Explanation) -> None:
    score = Score.of(found.site, trained.network.requires_grad_(False), trained.card)
    density = density_of(as_planes(found.site.pixels))
    effects = occlusion(score, density, density, found.patches, lambda: None)
    assert np.abs(effects).max() < 1e-5
    assert np.abs(integrated_gradients(score, density, density, lambda: None)).max() == 0


def test_the_same_inputs_give_the_same_values(
    slide: Path, trained: Checkpoint, found: Explanation
) -> None:
    again = ask(slide, trained, half_full(drawn(0)[1]))
    np.testing.assert_array_equal(again.effects, found.effects)
    np.testing.assert_array_equal(again.stains, found.stains)
    assert again.correlations == found.correlations


@pytest.mark.parametrize(
    ("region", "said"),
    [
        (Box(600, 10, 50, 50), "outside what was scanned"),
        (Box(440, 100, 60, 60), "no tissue"),
        (Box(0, 0, MOST_SIDE + 8, 8), "too large"),
        (Box(10, 10, 0, 8), "at least 1"),
    ],
)
def test_regions_that_cannot_be_explained(
    tmp_path: Path, trained: Checkpoint, region: Box, said: str
) -> None:
    pixels = np.concatenate([drawn(0)[0], np.full((SIZE, 64, 3), 246, np.uint8)], axis=1)
    write_png(tmp_path / "wide.png", pixels)
    with pytest.raises(UsageError, match=said):
        ask(tmp_path / "wide.png", trained, region)


@pytest.mark.parametrize(("height", "width"), [(96, 96), (160, 352), (768, 512)])
def test_patches_share_every_pixel(height: int, width: int) -> None:
    patches = Patches.over(height, width)
    ones = np.ones((len(patches.rows), len(patches.columns)))
    np.testing.assert_allclose(patches.spread(ones)[12:-24, 12:-24], 1, atol=1e-12)
    assert max(ones.shape) <= MOST_ACROSS and patches.rows.max() == 1


def test_stroma_stands_in_without_edges() -> None:
    pixels, nests = drawn(5)
    probability = ndimage.uniform_filter(nests.astype(np.float32), 4)[2::4, 2::4]
    stand_in = find_stand_in(pixels, probability, 4)
    box = stand_in.box
    taken = slice(box.y, box.bottom), slice(box.x, box.right)
    assert stand_in.probability < 0.2 and nests[taken].mean() < 0.25
    assert (pixels[taken].min(axis=2) < 240).mean() > 0.9, "tissue, no glass"
    spread = stand_in.spread(3 * SIDES[0], 3 * SIDES[0], 1).astype(int)
    inner = np.abs(np.diff(stand_in.texture.astype(int), axis=0)).max()
    assert max(np.abs(np.diff(spread, axis=axis)).max() for axis in (0, 1)) <= max(
        inner, np.abs(np.diff(stand_in.texture.astype(int), axis=1)).max()
    )
    turned = stand_ins_of(stand_in, 64, 64)
    assert len(turned) == 4 and not torch.equal(turned[0], turned[1])


def test_without_tissue_nothing_stands_in() -> None:
    glass = np.full((128, 128, 3), 246, np.uint8)
    with pytest.raises(UsageError, match="too little tissue"):
        find_stand_in(glass, np.zeros((32, 32), np.float32), 4)
