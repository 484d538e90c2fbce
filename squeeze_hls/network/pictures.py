"""Pictures in: files, arrays, folders and packed sets to u8 (H, W, 3) RGB arrays.

Pictures may come from strangers, so sizes are checked before anything is decoded, only plain raster
formats are decoded, and nothing is unpickled.
"""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps

from squeeze_hls.errors import InputError
from squeeze_hls.network.ir import Levels, Preprocess, Shape
from squeeze_hls.paths import CALIBRATION

BUILTIN = CALIBRATION
DEFAULT_PICTURE = BUILTIN / "coffee.jpg"
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".npy")
MAX_PIXELS = 50_000_000
MAX_FILE_BYTES = 256 * 2**20
MAX_SET_BYTES = 4 * 2**30
CROP_ONLY = 1.15  # a picture at most this much larger than the input is cropped, not resized


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One decoded picture."""

    name: str
    pixels: np.ndarray  # u8 (H, W, 3) RGB
    label: int | None = None  # class index


class PictureSet(Sequence[Picture]):
    """Named pictures, each decoded when it is asked for.

    ``labels`` is int64 (N,) class indices, or None where the source has none.
    """

    def __init__(self, names: Sequence[str], decode: Callable[[int], np.ndarray], labels: np.ndarray | None = None):
        self.names = tuple(names)
        self.labels = labels
        self._decode = decode

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index):  # type: ignore[no-untyped-def,override]
        if isinstance(index, slice):
            chosen = range(len(self))[index]
            labels = None if self.labels is None else self.labels[index]
            return PictureSet([self.names[i] for i in chosen], lambda i: self._decode(chosen[i]), labels)
        index = range(len(self))[index]  # negative indices, IndexError
        label = None if self.labels is None else int(self.labels[index])
        return Picture(name=self.names[index], pixels=self._decode(index), label=label)

    def __iter__(self) -> Iterator[Picture]:
        return (self[i] for i in range(len(self)))


# One picture: a file, an image, or u8 (H, W, 3) RGB.  Any number: a folder or an ``.npz`` set too, u8 (N, H, W, 3) RGB,
# a set, or single pictures one after the other.
One: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray
Given: TypeAlias = One | PictureSet | Sequence[One]


def gather(given: Given, labels: np.ndarray | Sequence[int] | None = None) -> PictureSet:
    """Pictures in any of the forms that a caller may have them in, as a set; see ``Given``.

    Pictures may have any size.  ``labels`` are class indices (N,), in place of those that the set has itself.  Raises
    InputError for what is no picture, no picture at all, and another number of labels.
    """
    chosen = _gathered(given)
    if not len(chosen):
        raise InputError("no pictures were given")
    if labels is None:
        return chosen
    classes = np.asarray(labels)
    if classes.shape != (len(chosen),) or classes.dtype.kind not in "iu":
        raise InputError(f"labels are {classes.dtype} {classes.shape}, not one class index for each of {len(chosen)}")
    return PictureSet(chosen.names, lambda i: chosen[i].pixels, classes.astype(np.int64))


def _gathered(given: Given) -> PictureSet:
    if isinstance(given, PictureSet):
        return given
    if isinstance(given, (str, os.PathLike)):
        return load(Path(given))
    if isinstance(given, np.ndarray) and given.ndim == 4:
        given = list(given)
    each = [given] if isinstance(given, (np.ndarray, Image.Image)) else list(given)
    names = [_name(one, i) for i, one in enumerate(each)]
    return PictureSet(names, lambda i: single(each[i], names[i]))


def _name(one: One, index: int) -> str:
    if isinstance(one, (str, os.PathLike)):
        return os.fspath(one)
    return str(getattr(one, "filename", "") or f"picture {index}")


def single(one: One, name: str = "picture") -> np.ndarray:
    """One picture as u8 (H, W, 3) RGB; raises InputError, naming ``name``, where it is none."""
    if isinstance(one, (str, os.PathLike)):
        return read(Path(one))
    if isinstance(one, Image.Image):
        return _converted(one, name)
    if not isinstance(one, np.ndarray):
        raise InputError(f"{name}: a picture is a path, an image or a uint8 array, not {type(one).__name__}")
    if one.dtype != np.uint8 or one.ndim != 3 or one.shape[2] != 3 or one.size == 0:
        raise InputError(f"{name}: a picture array is uint8 (height, width, 3) RGB, this is {one.dtype} {one.shape}")
    return one


def load(source: str | Path) -> PictureSet:
    """Open a picture file, a u8 (H, W, 3) RGB ``.npy``, a folder or an ``.npz`` set.

    A folder gives its pictures, those of sub-folders too, in sorted path order; where every picture
    lies in a sub-folder that is named by a class index, they are labelled.  An ``.npz`` set has the
    keys ``jpeg`` (u8, all files' bytes one after the other), ``offsets`` (N + 1), and optionally
    ``labels`` and ``filename``.  Raises InputError where the source is missing, or is none of these;
    a file that turns out not to be a picture raises it when the picture is asked for.
    """
    path = Path(source)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"{path}: no such picture, folder or .npz set")
    if path.suffix.lower() == ".npz":
        return _packed(path)
    return PictureSet([path.name], lambda _: read(path))


def builtin() -> PictureSet:
    """The few freely usable pictures that come with the package, for calibration without a data set."""
    return _folder(BUILTIN)


def stack(pictures: PictureSet, shape: Shape, preprocess: Preprocess) -> np.ndarray:
    """All pictures of a set, prepared for a network: u8 (N, H, W, 3)."""
    return np.stack([prepare(picture.pixels, shape, preprocess) for picture in pictures])


def prepare(picture: np.ndarray, shape: Shape, preprocess: Preprocess) -> np.ndarray:
    """Resize and crop u8 (H, W, 3) RGB to the network's input ``shape``, then apply ``preprocess.levels``.

    The picture is resized to ``preprocess.resize``, without it to 256 / 224 of the input, and centre-cropped.  A
    picture that covers the input and is at most 1.15 times as large on both sides counts as resized already and is
    only cropped: 227 x 227 crops for a 224 x 224 network, 256 x 256 pictures for either.
    """
    height, width = shape[:2]
    rows, columns = picture.shape[:2]
    if not (height <= rows <= CROP_ONLY * height and width <= columns <= CROP_ONLY * width):
        rows, columns = preprocess.resized(shape)
        resized = Image.fromarray(picture).resize((columns, rows), Image.Resampling.BILINEAR)
        picture = np.asarray(resized)
    top, left = (rows - height) // 2, (columns - width) // 2
    picture = picture[top : top + height, left : left + width]
    return np.ascontiguousarray(apply_levels(picture, preprocess.levels) if preprocess.levels else picture)


def apply_levels(pixels: np.ndarray, levels: Levels) -> np.ndarray:
    """u8 (..., 3) RGB with every value replaced by what its colour's table says."""
    tables = np.frombuffer(b"".join(levels), np.uint8).reshape(3, 256)
    return tables[np.arange(3), pixels]


def read(path: str | Path) -> np.ndarray:
    """One picture file or ``.npy`` as u8 (H, W, 3) RGB; raises InputError where it is none."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"{path}: {size} bytes are too many for a picture (at most {MAX_FILE_BYTES}); reduce it")
        if path.suffix.lower() == ".npy":
            return _read_array(path)
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error


def decode(data: bytes, name: str) -> np.ndarray:
    """The bytes of a picture file as u8 (H, W, 3) RGB, turned as its EXIF orientation says.

    Transparency is laid over white; 16-bit grey is reduced to 8 bits.  Raises InputError, naming
    ``name``, where the bytes are no picture, are cut off, or describe more than 50 million pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            return _converted(Image.open(io.BytesIO(data), formats=FORMATS), name)
    except InputError:
        raise
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{name}: not a picture; give one of {', '.join(FORMATS)} or a u8 HxWx3 .npy") from error
    except Image.DecompressionBombError as error:
        raise InputError(f"{name}: more than {MAX_PIXELS} pixels; reduce the picture") from error
    except Exception as error:  # decoders raise whatever a malformed file makes them stumble over
        raise _damaged(name, error) from error


def _converted(image: Image.Image, name: str) -> np.ndarray:
    """An image, whose pixels may not have been decoded yet, as u8 (H, W, 3) RGB."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise InputError(f"{name}: {width} x {height} are more than {MAX_PIXELS} pixels; reduce the picture")
    try:
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:
        raise _damaged(name, error) from error


def _damaged(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: the picture is damaged ({error}); save it again")


def _to_rgb(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image).astype(np.float64)
        grey = np.clip(grey / (256 if grey.max() > 255 else 1), 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def _read_array(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # mapped: a header that lies allocates nothing
    except ValueError as error:
        raise InputError(f"{path}: not a NumPy array of plain numbers ({error})") from error
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise InputError(
            f"{path}: a picture array is uint8 (height, width, 3) RGB, this is {array.dtype} {array.shape}"
        )
    return np.array(array)


def _folder(path: Path) -> PictureSet:
    files = sorted(
        p
        for p in path.rglob("*")
        if p.suffix.lower() in SUFFIXES
        and p.is_file()
        and not any(x.startswith(".") for x in p.relative_to(path).parts)
    )
    if not files:
        raise InputError(f"{path}: the folder holds no pictures ({' '.join(SUFFIXES)})")
    names = [p.relative_to(path).as_posix() for p in files]
    classes = [name.split("/")[-2] if "/" in name else "" for name in names]
    labelled = all(c.isascii() and c.isdigit() and len(c) < 10 for c in classes)
    labels = np.array([int(c) for c in classes], np.int64) if labelled else None
    return PictureSet(names, lambda i: read(files[i]), labels)


def _packed(path: Path) -> PictureSet:
    try:
        with zipfile.ZipFile(path) as archive:
            data = _member(archive, path, "jpeg", "u", 1)
            offsets = _member(archive, path, "offsets", "iu", 8).astype(np.int64)
            count = len(offsets) - 1
            members = archive.namelist()
            labels = _member(archive, path, "labels", "iu", 8) if "labels.npy" in members else None
            files = _member(archive, path, "filename", "U", 4096) if "filename.npy" in members else None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: not a readable .npz set ({error})") from error
    if count < 1 or offsets[0] < 0 or offsets[-1] > len(data) or (np.diff(offsets) <= 0).any():
        raise InputError(f"{path}: 'offsets' must rise from 0 to at most the {len(data)} bytes of 'jpeg'")
    for key, values in (("labels", labels), ("filename", files)):
        if values is not None and len(values) != count:
            raise InputError(f"{path}: '{key}' has {len(values)} entries for {count} pictures")
    names = [str(f) for f in files] if files is not None else [f"{path.name}[{i}]" for i in range(count)]

    def picture(i: int) -> np.ndarray:
        return decode(data[offsets[i] : offsets[i + 1]].tobytes(), f"{path.name}[{i}]")

    return PictureSet(names, picture, None if labels is None else labels.astype(np.int64))


def _member(archive: zipfile.ZipFile, path: Path, key: str, kinds: str, itemsize: int) -> np.ndarray:
    """One-dimensional array ``key``; its size is checked before it is allocated."""
    try:
        info = archive.getinfo(f"{key}.npy")
    except KeyError:
        raise InputError(f"{path}: the set has no '{key}'; it needs 'jpeg' and 'offsets'") from None
    with archive.open(info) as stream:
        try:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(stream)
        except ValueError as error:
            raise InputError(f"{path}: '{key}' is not a NumPy array of plain numbers ({error})") from error
        if len(shape) != 1 or dtype.kind not in kinds or dtype.itemsize > itemsize:
            raise InputError(f"{path}: '{key}' is {dtype} {shape}, not a plain list")
        size = shape[0] * dtype.itemsize
        if size > min(MAX_SET_BYTES, info.file_size):
            raise InputError(f"{path}: '{key}' claims {size} bytes; the file holds less, or it is too large")
        return np.frombuffer(stream.read(size), dtype)
