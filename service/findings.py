"""What is found on a map: the lesions, how far an expert's may reach, and the headline figures."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from annotations import Feature

from .contours import Reach, contour_features
from .lesions import Lesion, lesion_features
from .wording import interval_words, number


@dataclass(frozen=True)
class Findings:
    """The places above `threshold`, a probability, and the contours around and within them."""

    threshold: float
    lesions: Sequence[Lesion]
    reach: Reach

    def measures(self, tissue_mm2: float) -> dict[str, object]:
        """The headline figures, as summary.json has them.

        Map pixels may stick out of the slide, so a fraction is capped at 1.
        """
        return {
            "tumour_area_mm2": self.area_mm2,
            **self.reach.as_rows(),
            "tissue_area_mm2": tissue_mm2,
            "tumour_fraction": self._fraction_of(tissue_mm2),
            "max_diameter_mm": self._max_diameter_mm,
        }

    def caption(self, tissue_mm2: float) -> str:
        """The same in a sentence."""
        interval = self.reach.interval
        within = f" ({interval_words(interval)})" if interval else ""
        if not self.lesions:
            return f"No tumour{within} in {number(tissue_mm2)} mm² of tissue"
        count = len(self.lesions)
        return (
            f"{number(self.area_mm2)} mm²{within} of {number(tissue_mm2)} mm² tissue "
            f"({self._fraction_of(tissue_mm2):.1%}) in {count:,} region{'s' * (count > 1)}, "
            f"largest diameter {number(self._max_diameter_mm)} mm"
        )

    def features(self, class_name: str, key: str) -> Iterator[Feature]:
        """The lesions for QuPath, then the contours; ids follow from `key` and the shapes."""
        return chain(
            lesion_features(self.lesions, class_name, key),
            contour_features(self.reach, class_name, key),
        )

    @property
    def area_mm2(self) -> float:
        return math.fsum(lesion.area_mm2 for lesion in self.lesions)

    @property
    def _max_diameter_mm(self) -> float:
        return max((lesion.max_diameter_mm for lesion in self.lesions), default=0.0)

    def _fraction_of(self, tissue_mm2: float) -> float:
        return min(1.0, self.area_mm2 / tissue_mm2) if tissue_mm2 else 0.0
