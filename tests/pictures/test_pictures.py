"""Pictures from files, arrays, folders and packed sets, honest and hostile."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squeeze_hls.errors import InputError
from squeeze_hls.network import pictures
from squeeze_hls.network.ir import CAFFE, Preprocess

RED, GREEN = (255, 0, 0), (0, 255, 0)


def flag(height: int = 6, width: int = 8) -> np.ndarray:
    """Red above, green below."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2], image[height // 2 :] = RED, GREEN
    return image


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def packed(path: Path, count: int = 3, **changes: object) -> Path:
    """An .npz set of ``count`` grey pictures, 10, 20, ...; ``changes`` replace or (None) leave out arrays."""
    files = [encoded(Image.new("RGB", (9, 7), (10 * (i + 1),) * 3)) for i in range(count)]
    arrays: dict = {
        "jpeg": np.frombuffer(b"".join(files), np.uint8),
        "offsets": np.cumsum([0, *map(len, files)]),
        "labels": np.arange(count, dtype=np.int16) + 5,
        "filename": np.array([f"picture{i}.jpg" for i in range(count)]),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


# --- files ---


@pytest.mark.parametrize(
    ("mode", "expected"), [("RGB", (200, 100, 50)), ("L", (124, 124, 124)), ("P", None), ("CMYK", (200, 100, 50))]
)
def test_modes(mode: str, expected: tuple[int, int, int] | None, tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), (200, 100, 50)).convert(mode)
    file = tmp_path / "picture.tif"
    image.save(file)
    got = pictures.read(file)
    assert got.dtype == np.uint8 and got.shape == (4, 5, 3)
    if expected:
        assert tuple(got[0, 0].tolist()) == expected


def test_transparency_is_laid_over_white() -> None:
    assert pictures.decode(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 0))), "x")[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bit_grey_is_reduced() -> None:
    image = Image.fromarray(np.full((3, 3), 0x8000, np.uint16))
    assert pictures.decode(encoded(image), "x")[0, 0].tolist() == [128, 128, 128]


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: what was on the left is above
    got = pictures.decode(encoded(Image.fromarray(flag()), exif=exif), "x")
    assert got.shape == (8, 6, 3)
    assert got[0, 0].tolist() == list(GREEN) and got[0, 5].tolist() == list(RED)


def test_arrays(tmp_path: Path) -> None:
    file = tmp_path / "picture.npy"
    np.save(file, flag())
    np.testing.assert_array_equal(pictures.read(file), flag())
    np.testing.assert_array_equal(pictures.load(file)[0].pixels, flag())


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((1, 4, 4, 3), np.uint8), np.array([{}])]
)
def test_other_arrays_are_refused(array: np.ndarray, tmp_path: Path) -> None:
    file = tmp_path / "picture.npy"
    np.save(file, array, allow_pickle=True)
    with pytest.raises(InputError, match=r"picture\.npy"):
        pictures.read(file)


def test_an_array_whose_header_claims_terabytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "picture.npy"
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (1 << 20, 1 << 20, 3)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.write(b"\0" * 100)
    with pytest.raises(InputError, match="not a NumPy array"):
        pictures.read(file)


@pytest.mark.parametrize(
    "data", [b"", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"just text\n" * 20, b"\x89PNG\r\n\x1a\n" + b"\0" * 64]
)
def test_what_is_no_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "picture.jpg"
    file.write_bytes(data)
    with pytest.raises(InputError) as refused:
        pictures.read(file)
    assert str(file) in str(refused.value) and "\n" not in str(refused.value)


def test_a_cut_off_picture_is_refused() -> None:
    data = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)), "JPEG")
    with pytest.raises(InputError, match="damaged"):
        pictures.decode(data[: len(data) // 2], "x")


@pytest.mark.parametrize("side", [8_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(InputError, match="more than 50000000 pixels"):
        pictures.decode(data, "bomb")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for call in (pictures.load, pictures.read):
        with pytest.raises(InputError, match=r"nothing\.jpg"):
            call(tmp_path / "nothing.jpg")


# --- folders and sets ---


def test_a_folder_in_sorted_path_order(tmp_path: Path) -> None:
    for name in ("b.png", "a/2.png", "a/10.png", "c.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encoded(Image.fromarray(flag())))
    chosen = pictures.load(tmp_path)
    assert chosen.names == ("a/10.png", "a/2.png", "b.png", "c.JPG")
    assert chosen.labels is None
    assert [p.name for p in chosen] == list(chosen.names)


def test_folders_named_by_class_indices_label_their_pictures(tmp_path: Path) -> None:
    for folder in ("3", "12"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(encoded(Image.fromarray(flag())))
    chosen = pictures.load(tmp_path)
    assert [(p.name, p.label) for p in chosen] == [("12/x.png", 12), ("3/x.png", 3)]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(InputError, match="holds no pictures"):
        pictures.load(tmp_path)


def test_a_packed_set(tmp_path: Path) -> None:
    chosen = pictures.load(packed(tmp_path / "set.npz"))
    assert chosen.names == ("picture0.jpg", "picture1.jpg", "picture2.jpg")
    assert [(p.label, int(p.pixels[0, 0, 0]), p.pixels.shape) for p in chosen] == [
        (5, 10, (7, 9, 3)),
        (6, 20, (7, 9, 3)),
        (7, 30, (7, 9, 3)),
    ]
    assert [p.label for p in chosen[1:]] == [6, 7] and int(chosen[1:][0].pixels[0, 0, 0]) == 20
    plain = pictures.load(packed(tmp_path / "plain.npz", labels=None, filename=None))
    assert plain.labels is None and plain.names[1] == "plain.npz[1]"


@pytest.mark.parametrize(
    "changes",
    [
        {"jpeg": None},
        {"offsets": None},
        {"offsets": np.array([0, 50, 20, 60])},
        {"offsets": np.array([-5, 50, 60, 70])},
        {"offsets": np.array([0, 50, 60, 10**9])},
        {"offsets": np.array([0.0, 1.0])},
        {"labels": np.array([1, 2])},
        {"labels": np.array([{}], object)},
        {"jpeg": np.zeros((2, 2), np.uint8)},
    ],
)
def test_inconsistent_sets_are_refused(changes: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"set\.npz"):
        pictures.load(packed(tmp_path / "set.npz", **changes))


def test_a_set_whose_header_claims_terabytes_is_refused(tmp_path: Path) -> None:
    file = packed(tmp_path / "set.npz", jpeg=None)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (1 << 42,)})
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("jpeg.npy", buffer.getvalue() + b"\0" * 10)
    with pytest.raises(InputError, match="claims"):
        pictures.load(file)


def test_a_set_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "set.npz"
    file.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(InputError, match="not a readable"):
        pictures.load(file)


def test_the_builtin_pictures_are_there_and_small() -> None:
    chosen = pictures.builtin()
    assert len(chosen) >= 8
    assert all(p.pixels.shape == (256, 256, 3) for p in chosen)
    assert sum(f.stat().st_size for f in pictures.BUILTIN.glob("*.jpg")) <= 300_000
    licences = (pictures.BUILTIN / "LICENSES.md").read_text()
    assert all(f"`{name.split('.')[0].removesuffix('-crop')}`" in licences for name in chosen.names)
    assert pictures.DEFAULT_PICTURE.is_file()


# --- preparing ---


@pytest.mark.parametrize(("rows", "columns"), [(224, 224), (227, 227), (256, 256), (230, 250)])
def test_a_picture_slightly_larger_than_the_input_is_only_cropped(rows: int, columns: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (rows, columns, 3)).astype(np.uint8)
    top, left = (rows - 224) // 2, (columns - 224) // 2
    got = pictures.prepare(image, (224, 224, 3), CAFFE)
    np.testing.assert_array_equal(got, image[top : top + 224, left : left + 224])


SQUARE = replace(CAFFE, resize=(256, 256))


@pytest.mark.parametrize(("rows", "columns"), [(100, 300), (223, 224), (300, 300), (512, 224)])
@pytest.mark.parametrize("how", [SQUARE, CAFFE], ids=["to a square", "in proportion"])
def test_other_pictures_are_resized_and_cropped(rows: int, columns: int, how: Preprocess) -> None:
    image = flag(rows, columns)
    got = pictures.prepare(image, (224, 200, 3), how)
    assert got.shape == (224, 200, 3)
    assert got[0, 0].tolist() == list(RED) and got[-1, 0].tolist() == list(GREEN)
    assert abs(int((got[:, 0, 0] > 127).sum()) - 112) <= 1  # the middle stays in the middle


def test_an_input_larger_than_the_resize_is_reached() -> None:
    for how in (SQUARE, replace(CAFFE, resize=(256, 400)), CAFFE):
        assert pictures.prepare(flag(), (300, 310, 3), how).shape == (300, 310, 3)


@pytest.mark.parametrize(
    ("shape", "resize", "resized"),
    [
        ((224, 200, 3), None, (256, 229)),
        ((20, 48, 3), None, (23, 55)),
        ((48, 20, 3), (50, 60), (50, 60)),
        ((32, 32, 3), None, (37, 37)),
        ((32, 32, 3), (256, 256), (256, 256)),
    ],
)
def test_rows_and_columns_each_have_their_size(
    shape: tuple[int, int, int], resize: tuple[int, int] | None, resized: tuple[int, int]
) -> None:
    """The middle of the picture at the size that is asked for; an input that is no square has it in proportion."""
    image = np.random.default_rng(0).integers(0, 256, (90, 70, 3)).astype(np.uint8)
    whole = np.asarray(Image.fromarray(image).resize(resized[::-1], Image.Resampling.BILINEAR))
    top, left = (resized[0] - shape[0]) // 2, (resized[1] - shape[1]) // 2
    expected = whole[top : top + shape[0], left : left + shape[1]]
    np.testing.assert_array_equal(pictures.prepare(image, shape, Preprocess(resize=resize)), expected)


@pytest.mark.parametrize("side", [40, 64, 256, 1000])
def test_a_small_network_sees_a_large_picture_nearly_whole(side: int) -> None:
    """Of a border of an eighth all round, a 32 x 32 network sees the inner half; resized to 256 it would see none."""
    image = np.zeros((side, side, 3), np.uint8)
    edge = side // 8
    image[edge:-edge, edge:-edge] = 255
    got = pictures.prepare(image, (32, 32, 3), Preprocess())
    assert (got[0] < 128).all() and (got[:, 0] < 128).all() and (got[-1] < 128).all() and (got[:, -1] < 128).all()
    assert got[16, 16].tolist() == [255] * 3


# --- levels ---

LEVELS = (bytes(range(255, -1, -1)), bytes(i // 64 for i in range(256)), bytes((7 * i + 1) % 256 for i in range(256)))


@pytest.mark.parametrize("size", [(17, 19), (18, 20), (40, 50), (17, 300), (5, 4)])
def test_levels_replace_what_is_left_of_a_picture_once(size: tuple[int, int]) -> None:
    """After the crop, by the table of the colour, whether or not the picture had the right size already."""
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    how = replace(CAFFE, levels=LEVELS)
    plain, got = (pictures.prepare(image, (17, 19, 3), p) for p in (CAFFE, how))
    expected = np.array([[[LEVELS[c][pixel[c]] for c in range(3)] for pixel in row] for row in plain])
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.uint8 and got.flags.c_contiguous
    assert (pictures.prepare(got, (17, 19, 3), how) != got).any()  # twice is something else
