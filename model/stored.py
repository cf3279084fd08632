"""A slide's result as it lies on disk: what measuring needs of it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from annotations.errors import ResultError
from tiling.appearance import Appearance
from tiling.frame import Frame, Pair
from tiling.maps import StoredMap
from tiling.tile_file import CACHE_BYTES

from .area_interval import AreaInterval

MAP_FILE = "probability.tiff"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class StoredResult:
    """One slide's result folder. `frame` is the map's; `mpp_level0` the slide's as it was used.

    `tumour_area_mm2`: of the whole map, less the regions that were too small to be counted;
    `area_interval`: what the expert's would lie within, where the model says so; `appearance`:
    what the slide looks like, where there is enough tissue.
    """

    folder: Path
    slide: str
    frame: Frame
    mpp_level0: Pair
    threshold: float
    tumour_area_mm2: float
    area_interval: AreaInterval | None = None
    appearance: Appearance | None = None

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read summary.json.

        Raises:
            ResultError: missing, or not a summary.
        """
        path = folder / SUMMARY_FILE
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            place = summary["map"]
            mpp, origin, downsample, size = (
                (float(x), float(y)) for x, y in (summary["mpp"], *(place[k] for k in _PLACE))
            )
            per_pixel = (mpp[0] * downsample[0], mpp[1] * downsample[1])
            frame = Frame(origin, downsample, per_pixel, int(size[0]), int(size[1]))
            threshold, area = float(summary["threshold"]), float(summary["tumour_area_mm2"])
            interval = AreaInterval.from_summary(summary)
            look = Appearance.from_summary(summary)
            return cls(folder, str(summary["slide"]), frame, mpp, threshold, area, interval, look)
        except FileNotFoundError as error:
            raise ResultError(f"{folder}: holds no result; predict the slide first") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ResultError(
                f"{path}: not a summary of a result ({error!r}); predict the slide again"
            ) from error

    def open_map(self, cache_bytes: int = CACHE_BYTES) -> StoredMap:
        """The map of the foreground class, keeping so much of it in memory; close it after use.

        Raises:
            ResultError: missing, broken, or of another size than the summary says.
        """
        stored = StoredMap(self.folder / MAP_FILE, cache_bytes)
        if stored.size != (self.frame.width, self.frame.height):
            stored.close()
            raise ResultError(
                f"{self.folder / MAP_FILE}: has {stored.size[0]} x {stored.size[1]} pixels, but "
                f"{SUMMARY_FILE} says {self.frame.width} x {self.frame.height}; "
                "predict the slide again"
            )
        return stored


_PLACE = ("origin_level0", "downsample", "size")
