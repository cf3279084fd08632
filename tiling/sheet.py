"""A sheet to look at: a picture, and beneath it what explains it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .draw import DARK, Pen, colours
from .resample import RGB

TEXT_SIZE = 18
SAMPLE, GAP, APART = 36, 8, 28  # of a legend: a line's length, from it to its words, to the next


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
    """A white sheet: a picture at the top, bars beneath, then lines of words, as many as it takes.

    Its width is the picture's, or a little more than `least_width`.
    """

    def __init__(self, picture: RGB, *, margin: int = 20, least_width: int = 640) -> None:
        height, width = picture.shape[:2]
        self._margin = margin
        self._y = height + 2 * margin
        self._line, self._lines = TEXT_SIZE + 14, 0
        size = (max(width, least_width) + 2 * margin, self._y + self._line + margin)
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

    def legend(self, entries: Sequence[tuple[Pen, str]]) -> None:
        """Lines and what they mean, beside one another where there is room."""
        x, line = self._margin, self._next_line()
        for pen, text in entries:
            taken = SAMPLE + GAP + self._length(text)
            if x > self._margin and x + taken > self._sheet.width - self._margin:
                x, line = self._margin, self._next_line()
            self._sample(x, line, pen)
            self._text(x + SAMPLE + GAP, line, text)
            x += round(taken) + APART

    def words(self, text: str) -> None:
        """A sentence, on as many lines as it takes."""
        room, line = self._sheet.width - 2 * self._margin, ""
        for word in text.split():
            longer = f"{line} {word}".lstrip()
            if line and self._length(longer) > room:
                self._text(self._margin, self._next_line(), line)
                longer = word
            line = longer
        self._text(self._margin, self._next_line(), line)

    def _next_line(self) -> int:
        """Make room for a line; returns its number, the bars' being 0."""
        self._sheet = ImageOps.expand(self._sheet, (0, 0, 0, self._line), "white")
        self._draw = ImageDraw.Draw(self._sheet)
        self._lines += 1
        return self._lines

    def _sample(self, x: float, line: int, pen: Pen) -> None:
        y = self._y + line * self._line + TEXT_SIZE // 2
        for colour, width in ((pen.casing, pen.casing_width), (pen.colour, pen.width)):
            top = y - round(width / 2)
            self._draw.rectangle((x, top, x + SAMPLE, top + round(width) - 1), fill=colour)

    def _length(self, text: str) -> float:
        """In pixels, as `_text` writes it."""
        squares = text.count("²")
        plain = self._font.getlength(text.replace("²", ""))
        return plain + squares * self._small.getlength("2")

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
