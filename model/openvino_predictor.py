"""Networks on the CPU, through OpenVINO."""

import hashlib
import sys
import warnings
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from .predictor import IN_FLIGHT, Execution, Maps, Patches, Pending

# Else OpenVINO reports to its makers that it was used; without that module it has a silent one
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
import openvino  # noqa: E402

if TYPE_CHECKING:
    from .network import Network

PREPARED_LAYERS = "64"  # kept: windows differ in shape, and each would leave 2 MB behind
TRACED_SIDE = 256  # pixels; the trace holds for any shape, and takes seconds for large ones
_RECIPE = ("network.py", "network_config.py", "int8.py", "openvino_predictor.py")


class OpenVinoPredictor:
    """Runs a network on the CPU through OpenVINO. Serves one thread."""

    def __init__(self, compiled: openvino.CompiledModel, precision: str) -> None:
        """Use `of` or `compiled_before`."""
        self._compiled = compiled
        self._requests = cycle([_Request(compiled) for _ in range(IN_FLIGHT)])
        self.describe = f"openvino {openvino.__version__.split('-')[0]} cpu {precision}"

    @classmethod
    def of(cls, network: "Network", execution: Execution) -> Self:
        """Compile a network: that takes seconds, and torch. `execution` holds no `auto`."""
        import torch

        from .network import Probabilities

        module = Probabilities(network).eval()
        example = torch.zeros((1, TRACED_SIDE, TRACED_SIDE, 3), dtype=torch.uint8)
        with torch.no_grad(), warnings.catch_warnings():
            # OpenVINO traces; torch would rather have its slower export used
            warnings.simplefilter("ignore", DeprecationWarning)
            model = openvino.convert_model(
                module, example_input=example, input=[([-1, -1, -1, 3], openvino.Type.u8)]
            )
        compiled = openvino.Core().compile_model(model, "CPU", _hints(execution))
        return cls(compiled, execution.precision)

    @classmethod
    def compiled_before(cls, kept: bytes, execution: Execution) -> Self | None:
        """From what `keep` gave in another process; None where that is of no use here."""
        if not kept:
            return None
        try:
            compiled = openvino.Core().import_model(kept, "CPU", _hints(execution))
        except RuntimeError:  # another processor, or another version of OpenVINO
            return None
        return cls(compiled, execution.precision)

    def keep(self) -> bytes:
        """What `compiled_before` takes; a few MB, and as good as a program: trust its keeper."""
        kept: bytes = self._compiled.export_model().getvalue()
        return kept

    def __call__(self, patches: Patches) -> Maps:
        return self.begin(patches)()

    def begin(self, patches: Patches) -> Pending:
        return next(self._requests).begin(patches)


class _Request:
    """One inference after the other."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._patches: Patches | None = None  # OpenVINO reads them where they are

    def begin(self, patches: Patches) -> Pending:
        self._request.wait()  # for one whose maps nobody asked for
        self._patches = patches
        self._request.start_async([patches], share_inputs=True)
        return self._result

    def _result(self) -> Maps:
        self._request.wait()
        return np.array(self._request.get_output_tensor().data, dtype=np.float32)


def compiled_name(digest: str, execution: Execution) -> str:
    """What a compiled model is kept under: begins with the SHA-256 of its checkpoint's file.

    Another processor, OpenVINO, or way to convert networks makes another name. `execution` may
    say `auto` of the precision: what that comes to follows from the file.
    """
    core, folder = openvino.Core(), Path(__file__).parent
    made_by = (
        openvino.__version__,
        *(core.get_property("CPU", p) for p in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")),
        execution.precision,
        sorted(_hints(execution).items()),
        *(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _RECIPE),
    )
    return f"{digest}-{hashlib.sha256(repr(made_by).encode()).hexdigest()[:32]}"


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies in bf16."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _hints(execution: Execution) -> dict[str, str]:
    # In int8 there are layers left over, which are quicker in bf16
    bf16 = execution.precision in ("bf16", "int8") or (
        execution.precision == "auto" and cpu_computes_bf16()
    )
    hints = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
        "CPU_RUNTIME_CACHE_CAPACITY": PREPARED_LAYERS,
    }
    return hints | ({"INFERENCE_NUM_THREADS": str(execution.threads)} if execution.threads else {})
