"""How a laboratory stains and scans: colours that say nothing about tumour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .synthetic_noise import Floats

_HAEMATOXYLIN = (0.65, 0.70, 0.29)  # Ruifrok & Johnston 2001
_EOSIN = (0.13, 0.88, 0.45)
_INKS = ((0.9, 0.25, 0.7), (1.0, 0.65, 0.12), (0.9, 0.9, 0.9), (0.2, 0.9, 0.9))
_STEPS = 1024  # table entries per unit of optical density


@dataclass(frozen=True)
class Look:
    """One slide's stains and scanner. Colours are RGB; optical densities are decadic."""

    haematoxylin: tuple[float, ...]
    eosin: tuple[float, ...]
    ink: tuple[float, ...]
    white: tuple[float, ...]  # of glass, 0-255
    gamma: float
    blur_um: float
    noise: float  # optical density
    quality: int  # JPEG

    def colours(
        self, eosin: Floats, haematoxylin: Floats, ink: Floats, grain: Floats
    ) -> NDArray[np.uint8]:
        """uint8 [h, w, 3] from amounts of the stains, float32 [h, w] each.

        RGB = white * 10^-(gamma * sum of amount * stain), by table: no rounding of one pixel
        depends on its neighbours in memory.
        """
        rgb = np.empty((*eosin.shape, 3), np.uint8)
        for c in range(3):
            density = haematoxylin * np.float32(self.haematoxylin[c])
            density += eosin * np.float32(self.eosin[c])
            density += ink * np.float32(self.ink[c])
            density += grain * np.float32(self.noise)
            density *= np.float32(_STEPS)
            np.clip(density, -0.1 * _STEPS, 3 * _STEPS - 1, out=density)
            rgb[..., c] = self._table(c)[density.astype(np.int32) + _STEPS]
        return rgb

    def _table(self, channel: int) -> NDArray[np.uint8]:
        density = (np.arange(4 * _STEPS) - _STEPS + 0.5) / _STEPS
        light = self.white[channel] * 10.0 ** (-self.gamma * density)
        return np.clip(np.round(light), 0, 255).astype(np.uint8)


def draw_look(site: int, seed: int) -> Look:
    """The look of one slide: most of it its site's, a little its own."""
    lab, own = np.random.default_rng([site, 3]), np.random.default_rng([seed, site, 4])

    def amount(low: float, high: float, wobble: float) -> float:
        return float(lab.uniform(low, high) * own.uniform(1 - wobble, 1 + wobble))

    def stain(vector: tuple[float, ...], strength: float) -> tuple[float, ...]:
        turned = np.array(vector) + lab.uniform(-0.09, 0.09, 3) + own.uniform(-0.02, 0.02, 3)
        turned = np.maximum(turned, 0.03)
        return tuple(float(v) * strength / float(np.linalg.norm(turned)) for v in turned)

    return Look(
        haematoxylin=stain(_HAEMATOXYLIN, amount(0.75, 1.35, 0.10)),
        eosin=stain(_EOSIN, amount(0.65, 1.25, 0.12)),
        ink=_INKS[int(own.integers(len(_INKS)))],
        white=tuple(float(v) for v in 244 + lab.uniform(-7, 7) + lab.uniform(-4, 4, 3)),
        gamma=amount(0.85, 1.15, 0.04),
        blur_um=amount(0.6, 1.5, 0.15),
        noise=amount(0.004, 0.014, 0.1),
        quality=int(lab.integers(72, 93)),
    )
