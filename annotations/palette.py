"""A steady colour for each label, the same in every format that Extent writes."""

import colorsys
import hashlib

from annotations.outline import IGNORE, TUMOUR

Colour = tuple[int, int, int]
"""Red, green, blue, each 0-255."""

_FIXED: dict[str, Colour] = {TUMOUR: (200, 0, 0), IGNORE: (180, 180, 180)}


def colour(label: str) -> Colour:
    """The label's colour: fixed for `tumour` and `ignore`, else drawn from its name."""
    if label in _FIXED:
        return _FIXED[label]
    hue = hashlib.sha256(label.encode()).digest()[0] / 256
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.8, 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def hex_colour(label: str) -> str:
    """`#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour(label))
