"""Drawing on pictures: outlines, tints, scale bars and text. For people to look at, not to measure.

Colours are told apart by brightness as well as by hue, so that colour-blind people see the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .resample import RGB

Colour = tuple[int, int, int]
Points = npt.NDArray[np.float64]  # [n, 2]: x, y in a picture's pixels, edges at whole numbers
Share = npt.NDArray[np.float32]  # [h, w], 0-1: how much of a pixel is covered

DARK: Colour = (16, 20, 40)
BRIGHT: Colour = (255, 222, 51)
# Dark blue to yellow, even in brightness to every kind of eye: five stops along cividis
# (Nuñez, Anderton & Renslow 2018, https://doi.org/10.1371/journal.pone.0199239)
SCALE = ((0, 34, 78), (64, 77, 107), (123, 123, 120), (188, 174, 108), (254, 232, 56))
FINER = 2  # lines are drawn on a grid so many times finer, then averaged
TEXT_SIZE = 18


def colours(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """The colour of each value 0-1 on the scale; float32 [..., 3], 0-255."""
    stops = np.linspace(0, 1, len(SCALE))
    channels = np.array(SCALE, np.float64).T
    mixed = np.stack([np.interp(values, stops, channel) for channel in channels], axis=-1)
    return mixed.astype(np.float32)


def paint(
    picture: RGB, share: Share, colour: Colour | npt.NDArray[np.float32], opacity: float = 1.0
) -> None:
    """Mix a colour, or one a pixel ([h, w, 3]), into a picture where `share` covers it."""
    rows = np.flatnonzero(share.any(axis=1))
    if not len(rows):
        return
    part = slice(int(rows[0]), int(rows[-1]) + 1)
    weight = share[part, :, None] * np.float32(opacity)
    new = np.asarray(colour, np.float32)
    new = new[part] if new.ndim == 3 else new
    picture[part] = np.rint(picture[part] * (1 - weight) + new * weight).astype(np.uint8)


def rounded(ring: Points, cut: Points) -> Points:
    """A closed ring with each corner cut off, by `cut` (x, y) or half its edges if they are short.

    Takes the stairs out of outlines traced along pixel edges; `cut` is half a pixel of theirs.
    """
    start, end = ring[:-1], ring[1:]
    edge = end - start
    with np.errstate(divide="ignore"):
        part = np.minimum(cut / np.abs(edge), 0.5).min(axis=1, keepdims=True)
    points = np.stack([start + part * edge, end - part * edge], axis=1).reshape(-1, 2)
    return np.concatenate([points, points[:1]])


def strokes(rings: Sequence[Points], size: tuple[int, int], widths: Sequence[float]) -> list[Share]:
    """How much of each pixel lines along `rings` cover, for each of `widths` in pixels.

    `size` is the picture's width and height. However small a ring, it leaves a dot.
    """
    width, height = size
    canvas = Image.new("1", (width * FINER, height * FINER))
    draw = ImageDraw.Draw(canvas)
    for ring in rings:
        draw.line((ring * FINER).ravel().tolist(), fill=1)
    thin = np.asarray(canvas)
    return [_averaged(_thickened(thin, line * FINER / 2)) for line in widths]


def _thickened(thin: npt.NDArray[np.bool_], radius: float) -> npt.NDArray[np.bool_]:
    """Every set pixel becomes a disk."""
    reach = int(radius)
    thick = thin.copy()
    rows, columns = np.nonzero(thin)
    height, width = thin.shape
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if (dx or dy) and dx * dx + dy * dy <= radius * radius:
                y, x = np.clip(rows + dy, 0, height - 1), np.clip(columns + dx, 0, width - 1)
                thick[y, x] = True
    return thick


def _averaged(mask: npt.NDArray[np.bool_]) -> Share:
    height, width = mask.shape[0] // FINER, mask.shape[1] // FINER
    blocks = mask.reshape(height, FINER, width, FINER)
    share: Share = blocks.mean(axis=(1, 3), dtype=np.float32)
    return share


@dataclass(frozen=True)
class ScaleBar:
    """A bar of `pixels` pixels and what it stands for."""

    pixels: float
    text: str

    @classmethod
    def fitting(cls, um_per_pixel: float, longest_px: float) -> "ScaleBar":
        """The longest bar of 1, 2 or 5 times a power of ten that fits."""
        longest_um = um_per_pixel * longest_px
        power = 10.0 ** np.floor(np.log10(longest_um))
        um = float(power * max(step for step in (1, 2, 5) if step * power <= longest_um))
        return cls(um / um_per_pixel, f"{um / 1000:g} mm")


class Card:
    """A white sheet: a picture at the top, what explains it beneath."""

    def __init__(self, picture: RGB, *, margin: int = 20, least_width: int = 640) -> None:
        height, width = picture.shape[:2]
        self._margin = margin
        self._y = height + 2 * margin
        self._line = TEXT_SIZE + 14
        size = (max(width, least_width) + 2 * margin, self._y + 2 * self._line + margin)
        self._sheet = Image.new("RGB", size, "white")
        self._sheet.paste(Image.fromarray(picture), (margin, margin))
        self._draw = ImageDraw.Draw(self._sheet)
        self._font = ImageFont.load_default(TEXT_SIZE)
        self._small = ImageFont.load_default(TEXT_SIZE * 2 // 3)
        self._draw.rectangle(
            (margin - 1, margin - 1, margin + width, margin + height), outline=(200, 200, 200)
        )

    def scale_bar(self, bar: ScaleBar) -> None:
        """Left below the picture."""
        y = self._y + TEXT_SIZE // 2
        right = self._margin + bar.pixels
        self._draw.rectangle((self._margin, y - 3, right, y + 2), fill=DARK)
        self._text(right + 12, 0, bar.text)

    def colour_bar(self, low: str, high: str, *, length: int = 160) -> None:
        """Right below the picture: the scale between two words."""
        x = self._sheet.width - self._margin - self._font.getlength(high)
        self._text(x, 0, high)
        x -= length + 10
        bar = np.linspace(0, 1, length, dtype=np.float32)[None].repeat(TEXT_SIZE, 0)
        pixels = np.rint(colours(bar)).astype(np.uint8)
        self._sheet.paste(Image.fromarray(pixels), (int(x), self._y))
        self._text(x - 10 - self._font.getlength(low), 0, low)

    def words(self, text: str) -> None:
        """One line at the bottom."""
        self._text(self._margin, 1, text)

    def _text(self, x: float, line: int, text: str) -> None:
        y = self._y + line * self._line + TEXT_SIZE // 2
        for number, part in enumerate(text.split("²")):
            if number:  # Pillow's own font has no "²"
                self._draw.text((x, y - 5), "2", fill=DARK, font=self._small, anchor="lm")
                x += self._small.getlength("2")
            self._draw.text((x, y), part, fill=DARK, font=self._font, anchor="lm")
            x += self._font.getlength(part)

    @property
    def pixels(self) -> RGB:
        """The whole sheet; uint8 [h, w, 3]."""
        return np.asarray(self._sheet)
