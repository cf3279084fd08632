"""How a slide's tissue looks, in a few numbers: what its stain absorbs, and how sharp it is."""

import math
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .resample import RGB
from .tissue_mask import Mask

WHITE = 245.0  # what glass lets through, of 255
FIELD = "appearance"  # of summary.json
MOST_PIXELS = 1 << 16  # looked at, or up to twice as many
LEAST_PIXELS = 100
LEAST_DENSITY = 0.06  # mean over the channels; under it there is glass within the tissue
LEAST_VALUE = 1e-3  # of any number here
DIGITS = 4


def density_of(levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Decadic optical density of intensities 0-255, with WHITE as glass; floats keep their kind."""
    density: npt.NDArray[Any] = -np.log10(np.maximum(levels, 1) / WHITE)
    return density


@dataclass(frozen=True)
class Appearance:
    """Numbers of a slide's tissue at about 16 µm/px; optical density is decadic.

    `optical_density`, `density_spread`: median and interquartile range over the tissue, of the
    mean of the channels. `red_to_green`, `blue_to_green`: what the stain absorbs of one colour
    beside another, as ratios of median densities. `sharpness`: as Focus has it.
    """

    optical_density: float
    density_spread: float
    red_to_green: float
    blue_to_green: float
    sharpness: float | None = None

    @classmethod
    def of(cls, pixels: RGB, tissue: Mask, sharpness: float | None) -> Self | None:
        """Of a picture uint8 [h, w, 3] where `tissue`, bool [h, w], says; None of too little.

        Medians and quartiles in place of mean and covariance, for a clot or a blot of ink is not
        what a slide looks like.
        """
        where = np.flatnonzero(tissue)
        where = where[:: max(1, len(where) // MOST_PIXELS)]
        table = density_of(np.arange(256))
        density = table.take(pixels.reshape(-1, 3).take(where, axis=0))
        density = density[density.mean(axis=1) > LEAST_DENSITY]
        if len(density) < LEAST_PIXELS:
            return None
        low, middle, high = np.percentile(density.mean(axis=1), [25, 50, 75])
        red, green, blue = np.maximum(np.median(density, axis=0), LEAST_VALUE)
        return cls(
            optical_density=_rounded(middle),
            density_spread=_rounded(high - low),
            red_to_green=_rounded(red / green),
            blue_to_green=_rounded(blue / green),
            sharpness=None if sharpness is None else _rounded(sharpness),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError: no appearance."""
        sharpness = values["sharpness"]
        look = cls(
            optical_density=float(values["optical_density"]),
            density_spread=float(values["density_spread"]),
            red_to_green=float(values["red_to_green"]),
            blue_to_green=float(values["blue_to_green"]),
            sharpness=None if sharpness is None else float(sharpness),
        )
        if not all(v is None or 0 < v < math.inf for v in astuple(look)):
            raise ValueError("what slides look like is told by numbers above 0")
        return look

    @classmethod
    def from_summary(cls, summary: Mapping[str, Any]) -> Self | None:
        """What summary.json states; None where it states none, as before there was any.

        Raises:
            KeyError, TypeError, ValueError: what it states is no appearance.
        """
        stated = summary.get(FIELD)
        return cls.from_json(stated) if stated else None

    def to_json(self) -> dict[str, float | None]:
        return asdict(self)


def _rounded(value: float) -> float:
    return round(max(float(value), LEAST_VALUE), DIGITS)
