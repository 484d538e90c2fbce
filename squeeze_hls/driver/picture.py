"""Any picture to the u8 (H, W, 3) RGB array that the engine takes: decoded, resized and cropped as the model says."""

from __future__ import annotations

import io
import os
import warnings
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .errors import NotAnImage

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 256 * 2**20
_BILINEAR = getattr(Image, "Resampling", Image).BILINEAR  # moved in Pillow 9.1
CROP_ONLY = 1.15  # a picture at most this much larger than the input is cropped, not resized


def prepare(
    image: Any,
    input_shape: tuple[int, int, int],
    resize: tuple[int, int],
    levels: tuple[bytes, bytes, bytes] | None = None,
) -> np.ndarray:
    """A picture as u8 ``input_shape``: resized to the rows and columns of ``resize``, then cropped.

    ``image`` is what ``to_rgb`` takes.  A picture that covers the input and is at most 1.15 times as large on both
    sides counts as resized already and is only cropped.  ``levels`` (R, G, B tables of 256 bytes) replace the values of
    what is left, whatever size it had.
    """
    picture = to_rgb(image)
    height, width = input_shape[:2]
    rows, columns = picture.shape[:2]
    if not (height <= rows <= CROP_ONLY * height and width <= columns <= CROP_ONLY * width):
        rows, columns = max(height, resize[0]), max(width, resize[1])
        picture = np.asarray(Image.fromarray(picture).resize((columns, rows), _BILINEAR))
    top, left = (rows - height) // 2, (columns - width) // 2
    picture = picture[top : top + height, left : left + width]
    if levels is not None:
        tables = np.frombuffer(b"".join(levels), np.uint8).reshape(3, 256)
        picture = tables[np.arange(3), picture]
    return np.ascontiguousarray(picture)


def to_rgb(image: Any) -> np.ndarray:
    """A picture as u8 (H, W, 3) RGB; raises NotAnImage, saying why, where it is none.

    ``image`` is a path, a Pillow image of any mode, or an array: (H, W) or (H, W, 1) grey, (H, W, 3) RGB or
    (H, W, 4) RGBA; u8, bool, whole numbers up to 255, or up to 65535 where a value exceeds 255, or floats from 0 to 1,
    or to 255 where a value exceeds 1.  Transparency is laid over white.  OpenCV's arrays are BGR: give
    ``frame[:, :, ::-1]``.
    """
    if isinstance(image, (str, os.PathLike)):
        return _from_file(os.fspath(image))
    if isinstance(image, Image.Image):
        return _from_pillow(image)
    if isinstance(image, np.ndarray):
        return _from_array(np.asarray(image))
    raise NotAnImage(f"a {type(image).__name__} is no picture; give a path, a Pillow image or a NumPy array")


def _from_file(path: str) -> np.ndarray:
    try:
        size = os.path.getsize(path)
        if size > MAX_FILE_BYTES:
            raise NotAnImage(f"{path}: {size} bytes are too many for a picture")
        if path.lower().endswith(".npy"):
            return _from_array(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))
        with open(path, "rb") as stream:
            data = stream.read(MAX_FILE_BYTES)
    except OSError as error:
        raise NotAnImage(f"{path}: cannot be read: {error.strerror or error}") from error
    except (EOFError, ValueError) as error:
        raise NotAnImage(f"{path}: not an array of plain numbers ({error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            return _from_pillow(Image.open(io.BytesIO(data), formats=FORMATS))
    except NotAnImage as error:
        raise NotAnImage(f"{path}: {error}") from error
    except Exception as error:  # decoders raise whatever a malformed file makes them stumble over
        raise NotAnImage(f"{path}: not a picture, or a damaged one ({type(error).__name__}: {error})") from error


def _from_pillow(image: Image.Image) -> np.ndarray:
    _check_size(image.size)
    try:
        image = ImageOps.exif_transpose(image) or image
        if image.mode.startswith("I") or image.mode == "F":
            return _repeated(_scaled_grey(np.asarray(image)))
        if _has_transparency(image):
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:  # pixels are decoded only here
        raise NotAnImage(f"the picture is damaged ({error})") from error


def _has_transparency(image: Image.Image) -> bool:
    """``has_transparency_data``, which Pillow has since 10.1."""
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return True
    return image.mode == "P" and image.palette is not None and image.palette.mode.endswith("A")


def _scaled_grey(grey: np.ndarray) -> np.ndarray:
    values = grey.astype(np.float64)
    if not np.isfinite(values).all():
        raise NotAnImage("the picture holds NaN or infinity")
    return np.clip(values / (256 if values.max() > 255 else 1), 0, 255).astype(np.uint8)


def _from_array(array: np.ndarray) -> np.ndarray:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.size == 0 or array.shape[2] not in (1, 3, 4):
        hint = "; transpose (3, H, W) to (H, W, 3)" if array.ndim == 3 and array.shape[0] in (1, 3, 4) else ""
        raise NotAnImage(f"an array of shape {array.shape} is no picture: (H, W), (H, W, 3) or (H, W, 4) is{hint}")
    _check_size(array.shape[1::-1])
    array = _bytes(array)
    if array.shape[2] == 1:
        return _repeated(array[:, :, 0])
    if array.shape[2] == 4:
        return _from_pillow(Image.fromarray(np.ascontiguousarray(array)))
    return np.ascontiguousarray(array)


def _bytes(array: np.ndarray) -> np.ndarray:
    """Pixel values as u8."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise NotAnImage(f"an array of {array.dtype} is no picture: numbers are")
    low, high = float(array.min()), float(array.max())
    limit = 255 if array.dtype.kind == "f" else 65535
    if not (low >= 0 and high <= limit):  # also true for NaN
        raise NotAnImage(f"values from {low:g} to {high:g} are no pixels: {array.dtype} from 0 to {limit} are")
    if array.dtype.kind == "f":
        return np.rint(array.astype(np.float64) * (255 if high <= 1 else 1)).astype(np.uint8)
    return (array >> 8 if high > 255 else array).astype(np.uint8)


def _repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _check_size(size: tuple[int, ...]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise NotAnImage(f"{width} x {height} are more than {MAX_PIXELS} pixels")
