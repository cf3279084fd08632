"""Patches in, probabilities out: numpy at the door, OpenVINO or torch behind it.

Both take a second or more to load: neither is, before it is clear that it computes.
"""

import ctypes
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from annotations.errors import UsageError

from .compiled import Shelf

if TYPE_CHECKING:
    from .card import ModelCard
    from .checkpoint import Checkpoint
    from .network import Network

NVIDIA_DRIVER, AMD_DRIVER = "libcuda.so.1", Path("/dev/kfd")
Patches = npt.NDArray[np.uint8]  # [N, H, W, 3]
Maps = npt.NDArray[np.float32]  # [N, classes, H / output stride, W / output stride]
Pending = Callable[[], Maps]
Key = TypeVar("Key")
IN_FLIGHT = 2  # windows that a predictor may have under way


@dataclass(frozen=True)
class Execution:
    """How to compute; `auto` picks CUDA where there is one, else OpenVINO on the CPU.

    Precision `auto` is bf16 where the processor computes in it, else fp32; int8 through OpenVINO
    where the model's card says that it loses nothing. `threads` 0 leaves the number to the library.
    """

    device: str = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    threads: int = 0


class Predictor(Protocol):
    """A network ready to run."""

    @property
    def describe(self) -> str:
        """Runtime, device and precision, for provenance."""

    def __call__(self, patches: Patches) -> Maps:
        """uint8 [N, H, W, 3] -> float32 [N, classes, h, w], classes summing to 1.

        H and W are multiples of the network's total stride; any number of shapes may follow each
        other, though a new one costs some milliseconds.
        """

    def begin(self, patches: Patches) -> Pending:
        """The same, perhaps while the caller does other things; call what is returned for the maps.

        At most IN_FLIGHT may be under way, and are asked for in the order in which they began.
        """


def in_flight(
    predictor: Predictor, patches: Iterable[tuple[Key, Patches]]
) -> Iterator[tuple[Key, Maps]]:
    """Each key with its maps, in order: computed while the caller uses the ones before."""
    under_way: deque[tuple[Key, Pending]] = deque()
    try:
        for key, pixels in patches:
            under_way.append((key, predictor.begin(pixels)))
            if len(under_way) == IN_FLIGHT:
                first, maps = under_way.popleft()
                yield first, maps()
        while under_way:
            first, maps = under_way.popleft()
            yield first, maps()
    finally:
        for _, maps in under_way:
            maps()  # nothing goes on behind the back of who leaves early


def resolved(execution: Execution, card: "ModelCard | None" = None) -> Execution:
    """The same without `auto`: the device, runtime and precision that this machine would use.

    `card` is that of the model to compute; without it, int8 is neither chosen nor checked.

    Raises:
        UsageError: a device or runtime that this machine does not have, or int8 where the
            machine or the model cannot.
    """
    device = execution.device
    if device == "auto":
        device = "cuda" if execution.runtime != "openvino" and _has_cuda() else "cpu"
    _check_device(device)
    runtime = execution.runtime
    if runtime == "auto":
        runtime = "torch" if device.startswith("cuda") else "openvino"
    if runtime == "openvino" and device != "cpu":
        raise UsageError("--runtime openvino runs on the CPU; leave --device out or say cpu")
    precision = execution.precision
    if precision == "auto":
        precision = "bf16" if device != "cpu" or _cpu_computes_bf16() else "fp32"
        if precision == "bf16" and runtime == "openvino" and card and card.int8_holds:
            precision = "int8"
    elif precision == "int8":
        _check_int8(runtime, card)
    return replace(execution, device=device, runtime=runtime, precision=precision)


def load_predictor(checkpoint: "Checkpoint", execution: Execution) -> Predictor:
    """Make a checkpoint ready for patches of any shape (sides: multiples of its total stride).

    Raises:
        UsageError: a device or runtime that this machine does not have.
    """
    execution = resolved(execution, checkpoint.card)
    if execution.runtime == "openvino":
        from .openvino_predictor import OpenVinoPredictor

        return OpenVinoPredictor.of(_network(checkpoint, execution), execution)
    from .torch_predictor import CudaPredictor, TorchPredictor

    kind = TorchPredictor if execution.device == "cpu" else CudaPredictor
    return kind(checkpoint.network, execution)


def ready_predictor(
    digest: str, execution: Execution, shelf: Shelf, load: Callable[[], "Checkpoint"]
) -> Predictor:
    """The same for the checkpoint whose file has that SHA-256.

    Where `shelf` has it compiled, that takes a tenth of a second and nothing else of it is read;
    else `load` gives the checkpoint, and what is compiled is put on the shelf.

    Raises:
        UsageError: a device or runtime that this machine does not have; what `load` raises.
    """
    execution = resolved(execution)
    if execution.runtime != "openvino":
        return load_predictor(load(), execution)
    from .openvino_predictor import OpenVinoPredictor, compiled_name

    name = compiled_name(digest, execution)
    kept = OpenVinoPredictor.compiled_before(shelf.find(name), execution)
    if kept is not None:
        return kept
    predictor = OpenVinoPredictor.of(_network(load(), execution), execution)
    shelf.keep(name, predictor.keep())
    return predictor


def is_compiled(digest: str, execution: Execution, shelf: Shelf) -> bool:
    """Whether `ready_predictor` would find that checkpoint compiled; so it was loaded once."""
    execution = resolved(execution)
    if execution.runtime != "openvino":
        return False
    from .openvino_predictor import compiled_name

    return bool(shelf.find(compiled_name(digest, execution)))


def gpu_of(seat: int) -> str:
    """The device of the `seat`-th of several processes that share this machine's GPUs."""
    import torch

    return f"cuda:{seat % torch.cuda.device_count()}" if torch.cuda.is_available() else "cuda"


def _has_cuda() -> bool:
    """Whether torch sees a GPU; without a driver it sees none, and is not asked."""
    try:
        ctypes.CDLL(NVIDIA_DRIVER)
    except OSError:
        if not AMD_DRIVER.exists():
            return False
    import torch

    return torch.cuda.is_available()


def _check_device(device: str) -> None:
    """Raises UsageError for a device that is not there."""
    if device == "cpu":
        return
    if not re.fullmatch(r"cuda(:[0-9]{1,3})?", device):
        raise UsageError(f"--device {device}: known are auto, cpu, cuda and cuda:N")
    import torch

    if not torch.cuda.is_available():
        raise UsageError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {device}: there are {torch.cuda.device_count()} here, from 0")


def _check_int8(runtime: str, card: "ModelCard | None") -> None:
    """Raises UsageError where int8 cannot be computed."""
    if runtime != "openvino":
        raise UsageError("--precision int8 runs through OpenVINO on the CPU, not through torch")
    if not _cpu_computes_bf16():  # older ones add up int8 in numbers that overflow
        raise UsageError("--precision int8: this processor is too old for it; take fp32")
    if card and not card.int8:
        raise UsageError(
            f"--precision int8: {card.name} does not say how to round its values; a model that "
            "this version trains does, others run in bf16 or fp32"
        )


def _network(checkpoint: "Checkpoint", execution: Execution) -> "Network":
    """What is to be computed. Raises CheckpointError: what the card says for int8 does not fit."""
    if execution.precision != "int8":
        return checkpoint.network
    from .int8 import rounded

    return rounded(checkpoint.network, checkpoint.card.int8)


def _cpu_computes_bf16() -> bool:
    from .openvino_predictor import cpu_computes_bf16

    return cpu_computes_bf16()
