"""A trained network rounded to whole numbers of 8 bits.

Written as an ordinary network that rounds its weights and what goes into its convolutions;
OpenVINO knows that pattern and multiplies in int8. The stem, a twentieth of the arithmetic, reads
pixels as they are.
"""

from collections.abc import Iterable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from annotations.errors import CheckpointError

from .network import Block, Network

HIGHEST, HIGHEST_WEIGHT = 255, 127  # of values, which are never below 0; of weights of either sign
UNROUNDED = "stem"
SMALLEST = 1e-6  # a range or a channel of nothing but zeros is taken as this wide


class RoundedWeights(nn.Module):
    """A convolution whose weights are whole multiples of a step, one step an output channel."""

    steps: Tensor
    zeros: Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        largest = convolution.weight.detach().abs().amax((1, 2, 3)).clamp(min=SMALLEST)
        self.convolution = convolution
        self.register_buffer("steps", largest / HIGHEST_WEIGHT)
        self.register_buffer("zeros", torch.zeros(len(largest), dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        made = self.convolution
        weights = torch.fake_quantize_per_channel_affine(
            made.weight, self.steps, self.zeros, 0, -HIGHEST_WEIGHT, HIGHEST_WEIGHT
        )
        return torch.conv2d(x, weights, made.bias, made.stride, made.padding)


class RoundedReLU(nn.Module):
    """A rectified unit whose values are whole multiples of a step, at most `highest`."""

    def __init__(self, highest: float) -> None:
        super().__init__()
        self.step = max(highest, SMALLEST) / HIGHEST

    def forward(self, x: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(torch.relu(x), self.step, 0, 0, HIGHEST)


@torch.inference_mode()
def value_ranges(network: Network, patches: Iterable[Tensor]) -> dict[str, float]:
    """The largest value after each rectified unit, by its name, over patches: uint8 [N, H, W, 3].

    What larger values there are elsewhere will count as that large. Patches should hold what the
    network is for: some dozens of training crops. Rounded to 4 digits.
    """
    ranges = dict.fromkeys(_rectified(network), 0.0)

    def note(name: str, values: Tensor) -> None:
        ranges[name] = max(ranges[name], float(values.max()))

    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _unit, _inputs, values, name=name: note(name, values)
        )
        for name in ranges
    ]
    for batch in patches:
        network(batch.permute(0, 3, 1, 2).float())
    for hook in hooks:
        hook.remove()
    return {name: float(f"{highest:.4g}") for name, highest in ranges.items()}


def rounded(network: Network, ranges: Mapping[str, float]) -> Network:
    """A copy of a trained network that computes in steps of 8 bits; `ranges` of `value_ranges`.

    Raises:
        CheckpointError: ranges of another network, or none that values can have.
    """
    names = _rectified(network)
    if set(ranges) != set(names) or not all(_is_range(highest) for highest in ranges.values()):
        raise CheckpointError("the card's ranges for int8 are not those of its network")
    copy = deepcopy(network).eval()
    for module in copy.modules():
        if isinstance(module, Block):
            fused = fuse_conv_bn_eval(module[0], module[1])  # type: ignore[type-var, arg-type]
            module[0], module[1] = fused, nn.Identity()
    for name in names:
        copy.set_submodule(name, RoundedReLU(ranges[name]))
    for name, module in list(copy.named_modules()):
        if isinstance(module, nn.Conv2d) and name != UNROUNDED:
            copy.set_submodule(name, RoundedWeights(module))
    return copy


def _rectified(network: Network) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, nn.ReLU)]


def _is_range(highest: object) -> bool:
    return isinstance(highest, int | float) and 0 <= highest < float("inf")
