"""What training makes small. Each takes logits and labels and looks at labelled pixels only.

Logits: float32 [N, C, h, w]. Labels: int64 [N, h, w], class indices, IGNORED where nobody said.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .labelled import IGNORED


def _labelled(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities [N, C, h, w], one-hot labels alike (0 where ignored), mask [N, 1, h, w]."""
    known = labels != IGNORED
    one_hot = F.one_hot(labels.where(known, 0), logits.shape[1]).movedim(-1, 1)
    mask = known[:, None].to(logits.dtype)
    return logits.softmax(1), one_hot * mask, mask


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled pixels of -log p(label)."""
    total = F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def mean_squared_error(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over labelled pixels of the squared distance of p from the one-hot label."""
    probabilities, one_hot, mask = _labelled(logits, labels)
    squared = ((probabilities - one_hot) ** 2 * mask).sum()
    return squared / mask.sum().clamp(min=1)


def dice(logits: Tensor, labels: Tensor) -> Tensor:
    """1 - soft Dice over the batch, the mean over classes but the first (Milletari et al. 2016)."""
    probabilities, one_hot, mask = _labelled(logits, labels)
    overlap = (probabilities * one_hot).sum((0, 2, 3))
    total = (probabilities * mask).sum((0, 2, 3)) + one_hot.sum((0, 2, 3))
    return 1 - ((2 * overlap + 1) / (total + 1))[1:].mean()


LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": cross_entropy,
    "mean-squared-error": mean_squared_error,
    "dice": dice,
}


def combined(weights: Mapping[str, float], logits: Tensor, labels: Tensor) -> Tensor:
    """The weighted sum of named losses; a scalar."""
    parts = [weight * LOSSES[name](logits, labels) for name, weight in weights.items()]
    return torch.stack(parts).sum()
