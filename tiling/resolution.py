"""Which µm/px a slide is taken to have."""

from dataclasses import dataclass

from annotations.errors import ResolutionError

from .frame import Pair

MPP_RANGE = (0.05, 20.0)


@dataclass(frozen=True)
class Resolution:
    """What a user said of the level-0 µm/px: `mpp` fills a gap; with `force` it overrides."""

    mpp: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.mpp is not None and not plausible_mpp(self.mpp):
            raise ResolutionError(
                f"--mpp {self.mpp:g} is not a resolution: it must lie within "
                f"{MPP_RANGE[0]:g} and {MPP_RANGE[1]:g} µm/px"
            )

    def applied_to(self, stored: Pair | None) -> Pair | None:
        """The µm/px to use, x and y; None where it is missing or absurd."""
        known = stored is not None and all(plausible_mpp(value) for value in stored)
        if self.mpp is not None and (self.force or not known):
            return (self.mpp, self.mpp)
        return stored if known else None


def plausible_mpp(value: float) -> bool:
    """Whether a number can be the µm/px of a slide."""
    return MPP_RANGE[0] <= value <= MPP_RANGE[1]
