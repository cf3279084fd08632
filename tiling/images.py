"""The one file that reads and writes flat images: PNG and JPEG through Pillow."""

import io
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from annotations.errors import SlideError

from .frame import Box, Pair
from .resample import RGB

MAX_PIXELS = 100_000_000  # held in memory as a whole, with transparency four times
JPEG_QUALITY = 80
FLAT_SUFFIXES = {".png", ".jpg", ".jpeg"}


class FlatLevel:
    """A flat image as the only level of a slide."""

    downsample: Pair = (1.0, 1.0)

    def __init__(self, pixels: RGB) -> None:
        self._pixels = pixels
        self.size: tuple[int, int] = (pixels.shape[1], pixels.shape[0])

    def read(self, box: Box) -> RGB:
        """uint8 [h, w, 3]."""
        return self._pixels[box.y : box.bottom, box.x : box.right]


def _open(path: Path) -> Image.Image:
    too_large = SlideError(
        f"{path.name}: over {MAX_PIXELS // 10**6} megapixels are too many for a flat image; "
        "convert it to a tiled pyramidal TIFF"
    )
    try:
        with warnings.catch_warnings():  # Pillow's own limit is another
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=("PNG", "JPEG"))
    except Image.DecompressionBombError as error:
        raise too_large from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise SlideError(f"{path.name}: not a readable PNG or JPEG image: {error}") from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise too_large
    return image


def read_rgb(path: Path) -> RGB:
    """A whole image on white; uint8 [h, w, 3].

    Raises:
        SlideError: missing, broken, deeper than 8 bits, or larger than MAX_PIXELS.
    """
    with _open(path) as image:
        if image.mode.startswith(("I", "F")):
            raise SlideError(f"{path.name}: has more than 8 bits per channel; convert it to 8")
        try:
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                return np.asarray(
                    Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
                )
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:
            raise SlideError(f"{path.name}: broken image: {error}") from error


def read_grey(path: Path) -> npt.NDArray[np.uint8]:
    """A single-channel image as stored (palette indices stay indices); uint8 [h, w]."""
    with _open(path) as image:
        try:
            if image.mode not in ("L", "P", "1"):
                raise SlideError(
                    f"{path.name}: has colours, or over 8 bits; needed is one value a pixel, 0-255"
                )
            stored = np.asarray(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise SlideError(f"{path.name}: broken image: {error}") from error
    return stored.astype(np.uint8)


def write_png(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Write uint8 [h, w] or [h, w, 3] by way of a temporary file; equal pixels give equal bytes."""
    temporary = path.with_name(f".{path.name}.part")
    temporary.write_bytes(png_bytes(pixels))
    temporary.replace(path)


def png_bytes(pixels: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of uint8 [h, w] or [h, w, 3], made quickly rather than small."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def jpeg(pixels: RGB) -> bytes:
    """uint8 [h, w, 3] as a JPEG file to look at."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def resize(pixels: RGB, width: int, height: int) -> RGB:
    """Area-averaged copy; uint8 [height, width, 3]. For pictures only, never for measuring."""
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
