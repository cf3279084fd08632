"""Patches in, probabilities out: numpy at the door, OpenVINO or torch behind it."""

import sys
import warnings
from dataclasses import dataclass, replace
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from annotations.errors import UsageError

from .checkpoint import Checkpoint
from .network import Probabilities

# Else OpenVINO reports to its makers that it was used; without that module it has a silent one
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

TRACED_SIDE = 256  # pixels; the trace holds for any shape, and takes seconds for large ones
Patches = npt.NDArray[np.uint8]  # [N, H, W, 3]
Maps = npt.NDArray[np.float32]  # [N, classes, H / output stride, W / output stride]


@dataclass(frozen=True)
class Execution:
    """How to compute; `auto` picks CUDA where there is one, else OpenVINO on the CPU.

    Precision `auto` is bf16 where the processor computes in it, else fp32. `threads` 0 leaves
    the number to the library.
    """

    device: str = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
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


class OpenVinoPredictor:
    """Runs a network on the CPU through OpenVINO."""

    def __init__(self, compiled: openvino.CompiledModel, precision: str) -> None:
        """Use `of` or `compiled_before`."""
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self.describe = f"openvino {openvino.__version__.split('-')[0]} cpu {precision}"

    @classmethod
    def of(cls, module: Probabilities, precision: str, threads: int) -> Self:
        """Compile a network: that takes seconds."""
        example = torch.zeros((1, TRACED_SIDE, TRACED_SIDE, 3), dtype=torch.uint8)
        with torch.no_grad(), warnings.catch_warnings():
            # OpenVINO traces; torch would rather have its slower export used
            warnings.simplefilter("ignore", DeprecationWarning)
            model = openvino.convert_model(
                module, example_input=example, input=[([-1, -1, -1, 3], openvino.Type.u8)]
            )
        compiled = openvino.Core().compile_model(model, "CPU", _hints(precision, threads))
        return cls(compiled, precision)

    @classmethod
    def compiled_before(cls, kept: bytes, precision: str, threads: int) -> Self:
        """From what another process on this machine kept: that takes a fraction of a second."""
        return cls(openvino.Core().import_model(kept, "CPU", _hints(precision, threads)), precision)

    def keep(self) -> bytes:
        """What `compiled_before` takes."""
        kept: bytes = self._compiled.export_model().getvalue()
        return kept

    def __call__(self, patches: Patches) -> Maps:
        return np.array(self._request.infer([patches])[0], dtype=np.float32)


class TorchPredictor:
    """Runs a network through torch, on CUDA or as the reference on the CPU."""

    def __init__(self, module: Probabilities, device: str, precision: str) -> None:
        self._device = torch.device(device)
        self._precision = precision
        self._module = module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.describe = f"torch {torch.__version__} {self._device.type} {precision}"

    def __call__(self, patches: Patches) -> Maps:
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"),
        ):
            out: Maps = self._module(torch.from_numpy(patches).to(self._device)).cpu().numpy()
        return out


def _hints(precision: str, threads: int) -> dict[str, object]:
    hints: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _openvino_type(precision),
    }
    return hints | ({"INFERENCE_NUM_THREADS": str(threads)} if threads else {})


def _openvino_type(precision: str) -> openvino.Type:
    return openvino.Type.bf16 if precision == "bf16" else openvino.Type.f32


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies in bf16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def resolved(execution: Execution) -> Execution:
    """The same without `auto`: the device, runtime and precision that this machine would use.

    Raises:
        UsageError: a device or runtime that this machine does not have.
    """
    cuda = torch.cuda.is_available()
    device = execution.device
    if device == "auto":
        device = "cuda" if cuda and execution.runtime != "openvino" else "cpu"
    if device.startswith("cuda") and not cuda:
        raise UsageError("--device cuda: torch sees no CUDA device here; use --device cpu")
    if not device.startswith(("cpu", "cuda")):
        raise UsageError(f"--device {device}: known are auto, cpu, cuda and cuda:N")
    runtime = execution.runtime
    if runtime == "auto":
        runtime = "torch" if device.startswith("cuda") else "openvino"
    if runtime == "openvino" and device != "cpu":
        raise UsageError("--runtime openvino runs on the CPU; leave --device out or say cpu")
    precision = execution.precision
    if precision == "auto":
        precision = "bf16" if device != "cpu" or cpu_computes_bf16() else "fp32"
    return replace(execution, device=device, runtime=runtime, precision=precision)


def load_predictor(checkpoint: Checkpoint, execution: Execution, *, kept: bytes = b"") -> Predictor:
    """Make a checkpoint ready for patches of any shape (sides: multiples of its total stride).

    `kept`: what `OpenVinoPredictor.keep` gave for the same arguments, which saves seconds.

    Raises:
        UsageError: a device or runtime that this machine does not have.
    """
    execution = resolved(execution)
    if kept and execution.runtime == "openvino":
        return OpenVinoPredictor.compiled_before(kept, execution.precision, execution.threads)
    module = Probabilities(checkpoint.network).eval()
    if execution.runtime == "openvino":
        return OpenVinoPredictor.of(module, execution.precision, execution.threads)
    if execution.threads:
        torch.set_num_threads(execution.threads)
    return TorchPredictor(module, execution.device, execution.precision)
