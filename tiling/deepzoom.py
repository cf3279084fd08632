"""Deep-zoom pyramids: which tiles there are, and where.

A pyramid covers the full plane: its finest level has level-0 pixels, each coarser one half as many
a side, rounded up, down to a single pixel at level 0. Tiles do not overlap.
"""

from dataclasses import dataclass
from typing import Literal

from .frame import Box, Frame

TILE = 256


@dataclass(frozen=True)
class DeepZoom:
    """The tiles over a plane of `width` x `height` level-0 pixels; `tile` is their side."""

    width: int
    height: int
    tile: int = TILE

    @property
    def levels(self) -> int:
        return (max(self.width, self.height) - 1).bit_length() + 1

    def downsample(self, level: int) -> int:
        """Level-0 pixels per pixel of a level."""
        return 1 << (self.levels - 1 - level)

    def size(self, level: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        step = self.downsample(level)
        return -(-self.width // step), -(-self.height // step)

    def tiles(self, level: int) -> tuple[int, int]:
        """Columns and rows of tiles of a level."""
        width, height = self.size(level)
        return -(-width // self.tile), -(-height // self.tile)

    def frame(self, level: int) -> Frame:
        """The grid of a level's pixels; resolution plays no part here, so it says 1 µm/px at
        level 0."""
        step = float(self.downsample(level))
        return Frame((0.0, 0.0), (step, step), (step, step), *self.size(level))

    def box(self, level: int, column: int, row: int) -> Box | None:
        """A tile in its level's pixels, cut at the level's end; None when there is no such tile."""
        if not 0 <= level < self.levels:
            return None
        columns, rows = self.tiles(level)
        if not (0 <= column < columns and 0 <= row < rows):
            return None
        whole = Box(column * self.tile, row * self.tile, self.tile, self.tile)
        return whole.intersection(Box(0, 0, *self.size(level)))

    def xml(self, suffix: Literal["jpeg", "png"]) -> str:
        """The .dzi document."""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
            f'Format="{suffix}" Overlap="0" TileSize="{self.tile}">'
            f'<Size Width="{self.width}" Height="{self.height}"/></Image>\n'
        )
