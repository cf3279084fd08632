"""Networks through torch: on CUDA, and as the reference on the CPU."""

import torch

from .network import Network, Probabilities
from .predictor import Execution, Maps, Patches


class TorchPredictor:
    """Runs a network through torch. Serves one thread."""

    def __init__(self, network: Network, execution: Execution) -> None:
        """`execution` holds no `auto`."""
        if execution.threads:
            torch.set_num_threads(execution.threads)
        self._device = torch.device(execution.device)
        self._precision = execution.precision
        module = Probabilities(network).eval()
        self._module = module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.describe = f"torch {torch.__version__} {self._device.type} {self._precision}"

    def __call__(self, patches: Patches) -> Maps:
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, torch.bfloat16, enabled=self._precision == "bf16"),
        ):
            out: Maps = self._module(torch.from_numpy(patches).to(self._device)).cpu().numpy()
        return out
