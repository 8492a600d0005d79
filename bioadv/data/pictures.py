"""One picture file as pixels: what its kind, depth, transparency and orientation mean, or why it is refused.

* Grey pictures have one channel, all others three: palettes are looked up, CMYK is converted by the plain formula
  (no colour profile), of 16-bit colour the upper eight bits are kept.
* Deep grey is scaled by its documented range: 16 bits by 65535, a TIFF of 12 bits by 4095; floats have to lie in
  [0, 1]. Kinds without a documented range (32-bit and signed integers) are refused.
* Transparent parts show white, as on a page.
* The orientation that a camera notes (EXIF) is applied.
* A file of several frames is refused, except a phone's MPO, whose first frame is the photograph.
"""

from __future__ import annotations

import functools
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# No other kind is opened, whatever a file is called: to read PostScript is to run a program.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
UNREAD = (".dng", ".heic", ".heif", ".jxl", ".raw", ".svg")  # pictures too, but none that Pillow knows
GREY, DEEP = ("1", "L", "LA", "La"), ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class _UnusableError(ValueError):
    """A picture that can be read and not be used; the text goes on after the name of the file."""


@functools.cache
def suffixes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Suffixes, in lower case, of the kinds that are read, and of other kinds of picture."""
    known = Image.registered_extensions()
    read = tuple(sorted(suffix for suffix, kind in known.items() if kind in FORMATS))
    return read, (*(suffix for suffix in known if suffix not in read), *UNREAD)


def read(file: Path) -> np.ndarray:
    """The pixels of a picture file: (H, W, 1) or (H, W, 3), uint8, or float32 in [0, 1] for deep grey.

    Raises ``ValueError`` with the file, the reason and the remedy for everything else: a damaged or foreign file, one
    that is no regular file (a pipe is not waited for), a picture too large to be decoded safely.
    """
    try:
        mode = file.stat().st_mode
    except OSError as error:  # a link to nothing or in a circle
        raise ValueError(f"{file} cannot be read as an image ({error.strerror}); mend the link or remove it") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
        raise ValueError(f"{file} is {kind}, not an image file; rename or remove it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of untidy metadata, which many cameras write
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(file, formats=FORMATS) as image:
                return _pixels(image)
        except _UnusableError as error:
            raise ValueError(f"{file} {error}") from None
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is too large an image ({error}); resize it") from error
        except Exception as error:  # on damaged files Pillow raises errors of any kind
            reason = str(error) or type(error).__name__
            raise ValueError(
                f"{file} cannot be read as an image ({reason}); repair it, save it anew as PNG, or remove it"
            ) from error


def _pixels(image: Image.Image) -> np.ndarray:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":
        raise _UnusableError(f"holds {frames} frames; save each as a file of its own, or the first alone")
    scale = _scale(image) if image.mode in DEEP else None
    grey = image.mode in GREY or scale is not None
    image = ImageOps.exif_transpose(image)
    if scale is not None:
        pixels = np.asarray(image).astype(np.float32)[..., None]
        if not (pixels.min() >= 0 and pixels.max() <= scale):  # a NaN is never inside
            span = f"[{pixels.min():g}, {pixels.max():g}]"
            raise _UnusableError(f"has values that span {span}, not [0, {scale:g}]; scale them and save it again")
        return pixels / np.float32(scale)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return np.asarray(image.convert("L"))[..., None] if grey else np.asarray(image.convert("RGB"))


def _scale(image: Image.Image) -> float:
    """The largest value that a deep grey picture may have, from what its format documents."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF: 258 bits per sample, 262 how values are to be read
    if tags.get(262) == 0:
        raise _UnusableError("is a TIFF in which 0 is white; invert it and save it again")
    if "transparency" in image.info:
        raise _UnusableError("is deep grey with a transparent value; remove the transparency and save it again")
    if image.mode == "F":
        return 1.0
    if image.mode == "I" and image.format != "PPM":  # Pillow stretches a PPM's values to 0..65535
        raise _UnusableError(
            "holds signed or 32-bit integers, which have no documented range; save it as 8- or 16-bit grey"
        )
    return float(2 ** tags[258][0] - 1) if tags else 65535.0
