"""Networks through torch: on CUDA, and as the reference on the CPU."""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle, pairwise

import numpy as np
import torch
from torch import nn
from torch.backends import cudnn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .network import Network, Probabilities
from .predictor import IN_FLIGHT, Execution, Maps, Patches, Pending


class TorchPredictor:
    """Runs a network through torch on the CPU. Serves one thread."""

    def __init__(self, network: Network, execution: Execution) -> None:
        """`execution` holds no `auto`."""
        if execution.threads:
            torch.set_num_threads(execution.threads)
        self._precision = execution.precision
        self._module = _placed(Probabilities(network).eval(), torch.device("cpu"))
        self.describe = _described("cpu", execution)

    def __call__(self, patches: Patches) -> Maps:
        with _computing("cpu", self._precision):
            maps: Maps = self._module(torch.from_numpy(patches)).numpy()
        return maps

    def begin(self, patches: Patches) -> Pending:
        return lambda: self(patches)


class CudaPredictor:
    """Runs a network through torch on a GPU. Serves one thread.

    Each call has a stream of its own in turn, and page-locked memory on both ways: while one
    window is computed the next one travels.
    """

    def __init__(self, network: Network, execution: Execution) -> None:
        """`execution` holds no `auto`."""
        self._device, self._precision = torch.device(execution.device), execution.precision
        network = folded(network)
        if self._precision == "bf16":
            network = network.to(torch.bfloat16)
        self._module = _placed(Probabilities(network).eval(), self._device)
        self._streams = cycle([_stream(self._device) for _ in range(IN_FLIGHT)])
        torch.cuda.synchronize(self._device)  # the weights are there before any stream asks
        self.describe = _described("cuda", execution)

    def __call__(self, patches: Patches) -> Maps:
        return self.begin(patches)()

    def begin(self, patches: Patches) -> Pending:
        stream = next(self._streams)
        with torch.cuda.stream(stream), _computing("cuda", self._precision):
            going = torch.from_numpy(patches).pin_memory()
            maps = self._module(going.to(self._device, non_blocking=True))
            coming = torch.empty(maps.shape, dtype=maps.dtype, pin_memory=True)
            coming.copy_(maps, non_blocking=True)
            done = stream.record_event()

        def result() -> Maps:
            done.synchronize()
            return np.array(coming.numpy())  # a copy: page-locked memory goes back at once

        return result


def folded(network: Network) -> Network:
    """The same network with every batch normalisation made part of the convolution before it."""
    network = copy.deepcopy(network).eval()
    for block in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        for (at, first), (_, second) in pairwise(list(enumerate(block))):
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                block[at] = fuse_conv_bn_eval(first, second)
                block[at + 1] = nn.Identity()
    return network


def _stream(device: torch.device) -> torch.cuda.Stream:
    made: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return made


def _placed(module: nn.Module, device: torch.device) -> nn.Module:
    """On its device, channels last, which convolutions there are fastest with."""
    placed: nn.Module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed


@contextmanager
def _computing(device: str, precision: str) -> Iterator[None]:
    """For inference alone; equal patches give equal bytes, and fp32 means it (no TF32)."""
    exact = {"deterministic": True, "allow_tf32": False, "fp32_precision": "ieee"}
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"))
        stack.enter_context(cudnn.flags(enabled=True, **exact))
        yield


def _described(device: str, execution: Execution) -> str:
    return f"torch {torch.__version__} {device} {execution.precision}"
