"""What readers of outlines may need to know of a slide."""

from contextlib import suppress

from annotations import SlidePlane

from .frame import Pair
from .slide import Slide


def slide_plane(slide: Slide) -> SlidePlane:
    """A slide's size, µm/px, bounds and (Hamamatsu) offset from the centre of the glass."""
    bounds = slide.bounds_level0
    return SlidePlane(
        *slide.size_level0,
        mpp=slide.mpp,
        centre_offset_nm=_centre_offset_nm(slide),
        bounds_origin=(float(bounds.x), float(bounds.y)),
    )


def _centre_offset_nm(slide: Slide) -> Pair | None:
    with suppress(KeyError, ValueError):
        return (
            float(slide.properties["hamamatsu.XOffsetFromSlideCentre"]),
            float(slide.properties["hamamatsu.YOffsetFromSlideCentre"]),
        )
    return None
