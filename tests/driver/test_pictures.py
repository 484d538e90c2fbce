"""Pictures of any size, mode and type, as the compiler prepares them; and what is no picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squeeze_hls import driver
from squeeze_hls.driver import picture
from squeeze_hls.network import pictures
from squeeze_hls.network.ir import Preprocess
from tests.driver.conftest import LEVELS


def modes(rng: np.random.Generator) -> list[Image.Image]:
    rgba = Image.fromarray(rng.integers(0, 256, (300, 280, 4), np.uint8), "RGBA")
    grey16 = Image.fromarray(rng.integers(0, 65536, (50, 60)).astype(np.uint16))
    return [
        *(rgba.convert(mode) for mode in ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "YCbCr", "HSV", "I", "F")),
        grey16,
    ]


@pytest.mark.parametrize("index", range(12))
def test_pillow_images_as_the_compiler_prepares_them(index: int, tmp_path: Path) -> None:
    image = modes(np.random.default_rng(index))[index]
    np.testing.assert_array_equal(picture.to_rgb(image), pictures._to_rgb(image))
    for kind in ("png", "tiff"):
        try:
            image.save(tmp_path / f"x.{kind}")
        except OSError:
            continue  # this mode is none of that format
        path = tmp_path / f"x.{kind}"
        np.testing.assert_array_equal(picture.to_rgb(path), pictures.read(path))


PREPROCESSINGS = {
    "in proportion": Preprocess(),
    "to a square": Preprocess(resize=(256, 256)),
    "to rows and columns": Preprocess(resize=(240, 300)),
    "smaller than the input": Preprocess(resize=(20, 30)),
    "with levels": Preprocess(levels=LEVELS),
}


@pytest.mark.parametrize(
    "size",
    [(1, 1), (500, 1), (1, 500), (40, 30), (227, 227), (256, 256), (258, 257), (640, 480), (230, 1000), (3000, 7)],
)
@pytest.mark.parametrize("shape", [(224, 224, 3), (227, 227, 3), (32, 20, 3), (17, 64, 3)])
@pytest.mark.parametrize("how", PREPROCESSINGS.values(), ids=list(PREPROCESSINGS))
def test_every_size_as_the_compiler_prepares_it(
    size: tuple[int, int], shape: tuple[int, int, int], how: Preprocess
) -> None:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size[::-1], 3), np.uint8)
    ours = picture.prepare(pixels, shape, how.resized(shape), how.levels)
    np.testing.assert_array_equal(ours, pictures.prepare(pixels, shape, how))
    assert ours.flags.c_contiguous and ours.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(path.name for path in pictures.BUILTIN.glob("*.jpg")))
def test_files_as_the_compiler_prepares_them(name: str) -> None:
    path, shape = pictures.BUILTIN / name, (224, 224, 3)
    expected = pictures.prepare(pictures.read(path), shape, Preprocess())
    np.testing.assert_array_equal(picture.prepare(str(path), shape, (256, 256)), expected)
    np.testing.assert_array_equal(picture.prepare(Image.open(path), shape, (256, 256)), expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_as_the_compiler_turns_it(tmp_path: Path, orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(pixels).save(path, exif=exif)
    np.testing.assert_array_equal(picture.to_rgb(path), pictures.read(path))
    with Image.open(path) as image:
        np.testing.assert_array_equal(picture.to_rgb(image), pictures.read(path))
    if orientation == 6:  # as a telephone that is held upright says
        np.testing.assert_array_equal(picture.to_rgb(path), np.rot90(pixels, 3))


def test_transparent_palettes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).quantize(7).save(tmp_path / "clear.gif", transparency=3)
    np.testing.assert_array_equal(picture.to_rgb(tmp_path / "clear.gif"), pictures.read(tmp_path / "clear.gif"))


def test_floats_as_the_compiler_takes_them(tmp_path: Path) -> None:
    """A grey picture of floats, as a file and as an array."""
    grey = np.random.default_rng(0).uniform(0, 255, (9, 11)).astype(np.float32)
    Image.fromarray(grey).save(tmp_path / "f.tiff")
    np.testing.assert_array_equal(picture.to_rgb(tmp_path / "f.tiff"), pictures.read(tmp_path / "f.tiff"))
    np.testing.assert_array_equal(picture.to_rgb(grey)[:, :, 0], np.rint(grey))
    grey[3, 4] = np.nan
    Image.fromarray(grey).save(tmp_path / "nan.tiff")
    for image in (tmp_path / "nan.tiff", Image.fromarray(grey), grey):
        with pytest.raises(driver.NotAnImage, match="NaN|nan"):
            picture.to_rgb(image)


def test_arrays_of_every_kind() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for array in (
        rgb,
        rgb.astype(np.int64),
        rgb.astype(np.float32),
        rgb / 255,
        np.asfortranarray(rgb),
        np.dstack([rgb, np.full((5, 7), 255, np.uint8)]),
        rgb.astype(np.uint16) << 8,
    ):
        np.testing.assert_array_equal(picture.to_rgb(array), rgb)
    np.testing.assert_array_equal(picture.to_rgb(rgb[:, :, ::-1])[:, :, ::-1], rgb)
    for grey in (rgb[:, :, 0], rgb[:, :, :1]):
        np.testing.assert_array_equal(picture.to_rgb(grey), np.repeat(rgb[:, :, :1], 3, axis=2))
    np.testing.assert_array_equal(picture.to_rgb(rgb > 100)[rgb > 100], 255)
    clear = np.zeros((2, 2, 4), np.uint8)
    np.testing.assert_array_equal(picture.to_rgb(clear), np.full((2, 2, 3), 255))


@pytest.mark.parametrize(
    "array, match",
    [
        (np.zeros((3, 8, 8), np.uint8), "transpose"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros(5, np.uint8), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
        (np.zeros((2, 4, 4, 3), np.uint8), "shape"),
        (np.full((4, 4, 3), np.nan), "no pixels"),
        (np.full((4, 4, 3), np.inf), "no pixels"),
        (np.full((4, 4, 3), -1), "no pixels"),
        (np.full((4, 4, 3), 70_000), "no pixels"),
        (np.full((4, 4, 3), 256.0), "no pixels"),
        (np.full((4, 4, 3), "x"), "numbers are"),
        (np.full((4, 4, 3), 1j), "numbers are"),
        (np.full((4, 4, 3), None, object), "numbers are"),
        (np.broadcast_to(np.uint8(0), (10_000, 10_000, 3)), "more than"),
    ],
)
def test_arrays_that_are_no_pictures(array: np.ndarray, match: str) -> None:
    with pytest.raises(driver.NotAnImage, match=match):
        picture.to_rgb(array)


def test_files_that_are_no_pictures(tmp_path: Path, root: Path) -> None:
    jpeg = pictures.DEFAULT_PICTURE.read_bytes()
    for name, data in (
        ("empty.jpg", b""),
        ("text.png", b"not a picture"),
        ("empty.npy", b""),
        ("cut.jpg", jpeg[:5000]),
        ("drawing.svg", b"<svg/>"),
        ("bomb.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', 'fortran_order': False, 'shape': (99999999, 9999, 3), }"),
        ("pickle.npy", b"\x80\x04N."),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(driver.NotAnImage, match=name):
            picture.to_rgb(tmp_path / name)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    for path in ("none.jpg", ".", "bomb.png"):
        with pytest.raises(driver.NotAnImage):
            picture.to_rgb(str(tmp_path / path))
    for other in (None, 7, b"bytes", [[1, 2]], object()):
        with pytest.raises(driver.NotAnImage, match="no picture"):
            picture.to_rgb(other)
    np.save(tmp_path / "good.npy", np.zeros((4, 4, 3), np.uint8))
    assert picture.to_rgb(tmp_path / "good.npy").shape == (4, 4, 3)
