"""The one file that knows OpenSlide."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide

from annotations.errors import SlideError

from .frame import Box, Pair
from .resample import RGB, Level
from .tile_grid import TileSize

CACHE_BYTES = 48 << 20
LEAST_SIDE, MOST_SIDE = 256, 4096  # pixels read at a time, across and down
# What may leave the house: nothing that can name a patient
SHOWN_PROPERTIES = (
    "openslide.vendor",
    "openslide.objective-power",
    "openslide.mpp-x",
    "openslide.mpp-y",
    "openslide.level-count",
    "openslide.bounds-x",
    "openslide.bounds-y",
    "openslide.bounds-width",
    "openslide.bounds-height",
    "aperio.AppMag",
    "aperio.MPP",
    "hamamatsu.SourceLens",
    "hamamatsu.XOffsetFromSlideCentre",
    "hamamatsu.YOffsetFromSlideCentre",
)
SHOWN_PREFIX = "openslide.level["  # sizes of levels and of their tiles


@dataclass(frozen=True)
class OpenedSlide:
    """What OpenSlide says of a file: its levels on exact pixel grids, and its facts."""

    vendor: str
    size_level0: tuple[int, int]
    stored_level_sizes: tuple[tuple[int, int], ...]
    levels: list[Level]
    properties: dict[str, str]
    handle: openslide.OpenSlide

    def close(self) -> None:
        self.handle.close()

    @property
    def shown_properties(self) -> dict[str, str]:
        """Those that cannot name a patient."""
        return {
            name: value
            for name, value in self.properties.items()
            if name in SHOWN_PROPERTIES or name.startswith(SHOWN_PREFIX)
        }

    @property
    def largest_tile(self) -> tuple[int, int]:
        """Width and height of the largest tile of any level; 0 x 0 where nothing is said of any."""
        sizes = [(0, 0)]
        for level in range(len(self.stored_level_sizes)):
            key = f"{SHOWN_PREFIX}{level}].tile-"
            with suppress(KeyError, ValueError):
                sizes.append(
                    (int(self.properties[key + "width"]), int(self.properties[key + "height"]))
                )
        return max(sizes, key=lambda size: size[0] * size[1])

    @property
    def mpp(self) -> Pair | None:
        """µm per level-0 pixel, x and y, where the file states both as numbers."""
        with suppress(KeyError, ValueError):
            return (
                float(self.properties[openslide.PROPERTY_NAME_MPP_X]),
                float(self.properties[openslide.PROPERTY_NAME_MPP_Y]),
            )
        return None

    @property
    def bounds_level0(self) -> Box:
        """The scanned part of the plane; the whole plane where the file does not say."""
        names = ("X", "Y", "WIDTH", "HEIGHT")
        with suppress(KeyError, ValueError):
            box = Box(
                *(
                    int(self.properties[getattr(openslide, f"PROPERTY_NAME_BOUNDS_{n}")])
                    for n in names
                )
            )
            clipped = box.intersection(Box(0, 0, *self.size_level0))
            if clipped.area:
                return clipped
        return Box(0, 0, *self.size_level0)


class OpenSlideLevel:
    """A level whose pixels OpenSlide returns unaltered: its downsample is a whole number."""

    def __init__(self, slide: openslide.OpenSlide, index: int, name: str) -> None:
        self._slide, self._index, self._name = slide, index, name
        self._step = round(slide.level_downsamples[index])
        self.size: tuple[int, int] = slide.level_dimensions[index]
        self.tile: TileSize = tuple(  # type: ignore[assignment]  # mypy: two items from a generator
            _whole_tiles(slide.properties.get(f"{SHOWN_PREFIX}{index}].tile-{side}", ""))
            for side in ("width", "height")
        )

    @property
    def downsample(self) -> Pair:
        return (float(self._step), float(self._step))

    def read(self, box: Box) -> RGB:
        """uint8 [h, w, 3]; transparent pixels are white."""
        try:
            image = self._slide.read_region(
                (box.x * self._step, box.y * self._step), self._index, (box.width, box.height)
            )
        except openslide.OpenSlideError as error:
            raise SlideError(f"{self._name}: cannot read pixels at {box}: {error}") from error
        if image.getchannel("A").getextrema()[0] == 255:
            return np.array(image.convert("RGB"))
        rgba = np.asarray(image)
        alpha = rgba[..., 3:].astype(np.uint16)
        on_white = rgba[..., :3].astype(np.uint16) * alpha + 255 * (255 - alpha)
        rgb: RGB = ((on_white + 127) // 255).astype(np.uint8)
        return rgb

    def decode(self, column: int, row: int) -> RGB:
        """The tiles of the file that a tile of `tile` holds; uint8 [h, w, 3]."""
        place = Box(column * self.tile[0], row * self.tile[1], *self.tile)
        return self.read(place.intersection(Box(0, 0, *self.size)))


def _whole_tiles(stated: str) -> int:
    """Pixels to read at a time along one side: whole tiles of the file, as far as it states them.

    Scanners write tiles of a few rows, and some slides are of tiles as large as themselves.
    """
    side = int(stated) if stated.isascii() and stated.isdigit() else 0
    return -(-LEAST_SIDE // side) * side if 0 < side <= MOST_SIDE else LEAST_SIDE


def open_slide(path: Path) -> OpenedSlide:
    """Open a slide file.

    Only levels with a whole-number downsample are offered: on others OpenSlide interpolates
    between pixels, differently for every origin.

    Raises:
        SlideError: OpenSlide does not know the format, or the file is broken.
    """
    try:
        slide = openslide.OpenSlide(path)
        slide.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        properties = dict(slide.properties)
        whole = [
            OpenSlideLevel(slide, index, path.name)
            for index, downsample in enumerate(slide.level_downsamples)
            if abs(downsample - round(downsample)) < 1e-9
        ]
        sizes = tuple(slide.level_dimensions)
    except openslide.OpenSlideUnsupportedFormatError:
        raise SlideError(
            f"{path.name}: not a slide format that OpenSlide reads (is it a tiled, pyramidal "
            "whole-slide file? Flat cut-outs may be PNG or JPEG)"
        ) from None
    except openslide.OpenSlideError as error:
        raise SlideError(f"{path.name}: broken slide file: {error}") from error
    return OpenedSlide(
        vendor=properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
        size_level0=sizes[0],
        stored_level_sizes=sizes,
        levels=list(whole),
        properties=properties,
        handle=slide,
    )


def versions() -> dict[str, str]:
    """The versions of the library and its binding."""
    return {"openslide": openslide.__library_version__, "openslide-python": openslide.__version__}
