"""What a reader tells of a slide: numbers, and the name of its format; no text out of the file."""

import math
from contextlib import suppress
from typing import Any

from tiling.deepzoom import DeepZoom
from tiling.slide import Slide
from tiling.stored import format_name, stored_levels

VENDOR = "openslide.vendor"  # OpenSlide's own word
OBJECTIVE = "openslide.objective-power"


def facts_of(slide: Slide, zoom: DeepZoom) -> dict[str, Any]:
    """JSON: `format`, `size_level0` [w, h], `bounds_level0` [x, y, w, h] (the scanned part), `mpp`
    [x, y] or None, `objective_power` or None, `levels` (a list of `width`, `height`,
    `downsample`), `properties` (numbers, as the file writes them), `tile_size` and `dzi_levels` of
    its deep-zoom tiles.
    """
    bounds = slide.bounds_level0
    objective = _number(slide.properties.get(OBJECTIVE, ""))
    return {
        "format": format_name(slide),
        "size_level0": list(slide.size_level0),
        "bounds_level0": [bounds.x, bounds.y, bounds.width, bounds.height],
        "mpp": None if slide.mpp is None else list(slide.mpp),
        "objective_power": objective if objective and objective > 0 else None,
        "levels": [
            {"width": level.width, "height": level.height, "downsample": level.downsample}
            for level in stored_levels(slide)
        ],
        "properties": {
            name: value
            for name, value in sorted(slide.properties.items())
            if not name.startswith("openslide.level[")
            and (name == VENDOR or _number(value) is not None)
        },
        "tile_size": zoom.tile,
        "dzi_levels": zoom.levels,
    }


def _number(text: str) -> float | None:
    with suppress(ValueError):
        value = float(text)
        return value if math.isfinite(value) else None
    return None
