"""Each loss against a plain reading of its definition."""

import math

import pytest
import torch
from torch import Tensor

from model.labelled import IGNORED
from model.losses import LOSSES, combined, cross_entropy, dice, mean_squared_error


def example(classes: int = 3) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(5)
    logits = torch.randn(2, classes, 4, 5, generator=rng) * 2
    labels = torch.randint(0, classes, (2, 4, 5), generator=rng)
    labels[0, 1:3, 2:] = IGNORED
    return logits, labels


def labelled_pixels(logits: Tensor, labels: Tensor) -> list[tuple[list[float], int]]:
    """Probabilities and label of each pixel that somebody labelled."""
    pixels = []
    for n in range(logits.shape[0]):
        for y in range(logits.shape[2]):
            for x in range(logits.shape[3]):
                if labels[n, y, x] != IGNORED:
                    powers = [math.exp(float(v)) for v in logits[n, :, y, x]]
                    share = [power / sum(powers) for power in powers]
                    pixels.append((share, int(labels[n, y, x])))
    return pixels


def test_cross_entropy() -> None:
    pixels = labelled_pixels(*example())
    naive = sum(-math.log(share[label]) for share, label in pixels) / len(pixels)
    assert float(cross_entropy(*example())) == pytest.approx(naive, rel=1e-5)


def test_mean_squared_error() -> None:
    pixels = labelled_pixels(*example())
    naive = sum(
        sum((p - (c == label)) ** 2 for c, p in enumerate(share)) for share, label in pixels
    ) / len(pixels)
    assert float(mean_squared_error(*example())) == pytest.approx(naive, rel=1e-5)


def test_dice() -> None:
    pixels = labelled_pixels(*example())
    scores = []
    for c in (1, 2):
        both = sum(share[c] for share, label in pixels if label == c)
        either = sum(share[c] for share, _ in pixels) + sum(label == c for _, label in pixels)
        scores.append((2 * both + 1) / (either + 1))
    assert float(dice(*example())) == pytest.approx(1 - sum(scores) / 2, rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_what_nobody_labelled_changes_nothing(name: str) -> None:
    logits, labels = example()
    other = logits.clone()
    other.movedim(1, -1)[labels == IGNORED] = 50.0 * torch.tensor([1.0, -1.0, 3.0])
    assert torch.allclose(LOSSES[name](logits, labels), LOSSES[name](other, labels))
    leaf = logits.clone().requires_grad_()
    LOSSES[name](leaf, labels).backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    ignored = (labels == IGNORED)[:, None].expand_as(leaf.grad)
    assert (leaf.grad[ignored] == 0).all() and (leaf.grad[~ignored] != 0).any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_crop_that_nobody_labelled_has_a_finite_loss_and_no_gradient(name: str) -> None:
    logits, labels = example()
    leaf = logits.clone().requires_grad_()
    loss = LOSSES[name](leaf, torch.full_like(labels, IGNORED))
    loss.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert torch.isfinite(loss) and (leaf.grad == 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_a_step_against_the_gradient_says_the_label_more_loudly(name: str) -> None:
    labels = torch.tensor([[[1, 0], [1, 1]]])
    leaf = torch.zeros(1, 2, 2, 2, requires_grad=True)
    before = LOSSES[name](leaf, labels)
    before.backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    wanted = torch.where(labels == 1, -1.0, 1.0)
    assert (leaf.grad[:, 1].sign() == wanted).all() and (leaf.grad[:, 0].sign() == -wanted).all()
    with torch.no_grad():
        assert LOSSES[name](leaf - leaf.grad, labels) < before


@pytest.mark.parametrize("name", LOSSES)
def test_the_truth_costs_nothing(name: str) -> None:
    labels = torch.tensor([[[1, 0], [2, IGNORED]]])
    sure = torch.nn.functional.one_hot(labels.where(labels != IGNORED, 0), 3).movedim(-1, 1) * 40.0
    assert float(LOSSES[name](sure, labels)) == pytest.approx(0, abs=1e-5)


def test_losses_add_up_by_weight() -> None:
    logits, labels = example()
    total = combined({"dice": 2.0, "cross-entropy": 0.5}, logits, labels)
    assert torch.allclose(total, 2 * dice(logits, labels) + 0.5 * cross_entropy(logits, labels))
