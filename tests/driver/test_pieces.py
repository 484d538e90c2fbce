"""The driver's parts that need no board, against the compiler's own."""

from __future__ import annotations

import ast
import hashlib
import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from squeeze_hls import driver, golden, pictures
from squeeze_hls.driver import guesses, hardware, model, packets, picture
from squeeze_hls.emit.design import describe
from squeeze_hls.emit.driver import constants
from squeeze_hls.emit.registers import ERRORS
from squeeze_hls.ir import Preprocess
from squeeze_hls.plan import Plan
from squeeze_hls.plan import packets as reference
from tests.driver.conftest import deployed, random_images

FOLDER = Path(driver.__file__).parent
SOURCES = sorted(FOLDER.glob("*.py"))
ALLOWED = {"numpy", "PIL", "pynq"} | set(sys.stdlib_module_names)
SINCE_3_9 = {
    "removeprefix",
    "removesuffix",
    "bit_count",
    "pairwise",
    "cache",
    "to_thread",
    "TaskGroup",
    "is_relative_to",
}


# --- the folder stands alone ---


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_syntax_and_imports(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    first = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    if path.name not in ("__init__.py", "_generated.py"):
        assert "__future__" in first, "annotations of today would be evaluated"
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert all(name.name.split(".")[0] in ALLOWED for name in node.names), ast.unparse(node)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 1 if node.level else str(node.module).split(".")[0] in ALLOWED, ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert node.attr not in SINCE_3_9, node.attr
        if isinstance(node, ast.Call):
            assert not {"strict", "kw_only", "slots"} & {k.arg for k in node.keywords}, ast.unparse(node)


def test_it_imports_alone(tmp_path: Path) -> None:
    """Under its name on the board, without this package and without PYNQ."""
    (tmp_path / "squeeze_driver").mkdir()
    for path in SOURCES:
        (tmp_path / "squeeze_driver" / path.name).write_bytes(path.read_bytes())
    code = "import sys, squeeze_driver; print(squeeze_driver.Accelerator, {'squeeze_hls', 'pynq'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "<class 'squeeze_driver.accelerator.Accelerator'> set()\n"


def test_generated_constants_are_up_to_date() -> None:
    assert (FOLDER / "_generated.py").read_text() == constants()


def test_error_texts_are_those_of_the_document(root: Path) -> None:
    table = (root / "docs" / "program.md").read_text().split("| code | meaning |")[1].split("\n\n")[0]
    meanings = [row.split("|")[2].strip() for row in table.splitlines()[2:]]
    assert len(meanings) == len(ERRORS)
    for text, meaning in zip(ERRORS, meanings, strict=True):
        assert meaning.startswith(text), meaning


@pytest.mark.parametrize("streamed", [False, True])
def test_parts_are_those_of_the_block_design(streamed: bool) -> None:
    design = describe("zynq-7000", "xc7z020clg400-1", 100.0, streamed=streamed, rtl_top="top")
    names = [hardware.ENGINE, hardware.DMA, *([hardware.DMA_WEIGHTS] if streamed else [])]
    assert [slave.cell for slave in design.slaves if slave.cell != "intc"] == names
    assert f"{hardware.ENGINE}/interrupt" in design.interrupts


# --- packets ---


@pytest.mark.parametrize("name", ["plan", "other_plan", "streamed_plan"])
def test_packets_byte_for_byte(name: str, request: pytest.FixtureRequest) -> None:
    plan: Plan = request.getfixturevalue(name)
    loaded = model.parse_model(deployed(plan))
    image = random_images(plan, 1)[0]
    identity = plan.engine.identity
    ours = [
        packets.image_packet(image, loaded.program_crc),
        packets.program_packet(loaded.program, identity),
        packets.weights_packet(loaded.weights, identity),
    ]
    theirs = [
        reference.image_packet(image, plan.program_bin),
        reference.program_packet(plan.program_bin, plan.engine),
        reference.weights_packet(plan.weights_bin, plan.engine),
    ]
    if plan.engine.streamed:
        stream = reference.streamed_words(plan.program, plan.weights_bin)
        ours.append(packets.stream_packet(loaded.stream, loaded.program_crc))
        theirs.append(reference.stream_packet(stream, plan.program_bin))
    else:
        assert loaded.stream == b""
    assert [packet.tobytes() for packet in ours] == [packet.data for packet in theirs]


def test_logits_of_an_odd_number_of_classes() -> None:
    words = np.array([-1, 2**31 - 1, -(2**31), 0], "<i4")
    for classes in (3, 4):
        np.testing.assert_array_equal(
            packets.parse_logits(words.view(np.uint8), classes), reference.parse_logits(words.view("<u8"), classes)
        )


def test_a_packet_that_is_too_long() -> None:
    with pytest.raises(ValueError, match="too long"):
        packets.header(1, 0, packets.MAX_WORDS + 1)


def test_default_bitstream_is_beside_the_folder() -> None:
    assert hardware.default_bitfile() == str(FOLDER.parent / "squeeze_engine.bit")


# --- model.sqz ---


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def altered(data: bytes, **values: object) -> bytes:
    """The same file with other values in its description, and a right checksum."""
    (length,) = struct.unpack_from("<I", data, 12)
    description = json.loads(data[16 : 16 + length]) | values
    text = json.dumps(description).encode()
    return sealed(data[:12] + struct.pack("<I", len(text)) + text + data[16 + length : -32])


def test_a_model_as_the_compiler_writes_it(plan: Plan) -> None:
    loaded = model.parse_model(deployed(plan, "name"))
    assert (loaded.name, loaded.engine_id, loaded.input_shape) == (
        "name",
        plan.engine.identity,
        plan.network.input_shape,
    )
    assert (loaded.program, loaded.weights) == (plan.program_bin, plan.weights_bin)
    assert loaded.weights_crc == plan.program.header.weights_crc


def test_truncated_anywhere(plan: Plan) -> None:
    data = deployed(plan)
    for length in [*range(0, 200), *range(200, len(data), 997), len(data) - 1]:
        with pytest.raises(driver.BadModel):
            model.parse_model(data[:length])


def test_a_flipped_bit_anywhere(plan: Plan) -> None:
    data = deployed(plan)
    for at in [*range(0, 100), *range(100, len(data), 997), len(data) - 1]:
        with pytest.raises(driver.BadModel):
            model.parse_model(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@pytest.mark.parametrize(
    "values",
    [
        {"program_bytes": 2**40},
        {"program_bytes": -8},
        {"program_bytes": 0},
        {"weights_bytes": 1},
        {"weights_bytes": True},
        {"input_shape": [10**9, 10**9, 3]},
        {"input_shape": [8, 8]},
        {"input_shape": [8, 8, 4]},
        {"input_shape": [8, 8, 3]},
        {"input_shape": None},
        {"resize": 10**12},
        {"classes": 0},
        {"classes": 10**9},
        {"classes": 3},
        {"labels": ["one"]},
        {"labels": "text"},
        {"logit_scale": 0.0},
        {"logit_scale": 1},
        {"logit_scale": float("nan")},
        {"logit_scale": float("inf")},
        {"engine": "xyz"},
        {"engine": "00000000"},
        {"engine": 7},
        {"name": "x" * 2000},
        {"name": ["x"]},
    ],
    ids=str,
)
def test_descriptions_that_lie(plan: Plan, values: dict[str, object]) -> None:
    with pytest.raises(driver.BadModel, match="malformed"):
        model.parse_model(altered(deployed(plan), **values))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"program_bytes": ' + b"9" * 5000 + b"}"]
)
def test_descriptions_that_are_none(text: bytes) -> None:
    with pytest.raises(driver.BadModel):
        model.parse_model(sealed(struct.pack("<8sII", model.MAGIC, 1, len(text)) + text))


def test_heads_that_lie(plan: Plan, tmp_path: Path) -> None:
    body = deployed(plan)[:-32]
    for head, match in (
        (struct.pack("<8sII", b"SQUEEZE!", 1, 10), "not a squeeze-hls model"),
        (struct.pack("<8sII", model.MAGIC, 2, 10), "version 2"),
        (struct.pack("<8sII", model.MAGIC, 1, 2**32 - 1), "longer than the file"),
    ):
        with pytest.raises(driver.BadModel, match=match):
            model.parse_model(sealed(head + body[16:]))
    with open(tmp_path / "huge.sqz", "wb") as stream:
        stream.truncate(2**36)  # sparse
    for path, match in (("huge.sqz", "too many"), ("none.sqz", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(driver.BadModel, match=match):
            model.load_model(tmp_path / path)


def replaced(data: bytes, words: dict[int, int]) -> bytes:
    """The model with 64-bit words of its program replaced, and all checksums right."""
    (length,) = struct.unpack_from("<I", data, 12)
    description = json.loads(data[16 : 16 + length])
    start = 16 + length
    program = bytearray(data[start : start + description["program_bytes"]])
    for at, value in words.items():
        struct.pack_into("<Q", program, 8 * at, value)
    program[-8:] = struct.pack("<Q", zlib.crc32(program[:-8]))
    return sealed(data[:start] + bytes(program) + data[start + len(program) : -32])


def test_programs_that_lie(streamed_plan: Plan) -> None:
    """A program whose tables are longer than it, whose layers do not exist, or which streams without end."""
    data = deployed(streamed_plan)
    assert model.parse_model(replaced(data, {})).stream
    words = np.frombuffer(streamed_plan.program_bin, "<u8")
    header = len(streamed_plan.program.layers), len(streamed_plan.program.buffers)
    instruction = model.WORDS["header"] + header[0] * model.WORDS["layer"] + header[1] * model.WORDS["buffer"]
    for at, value, match in (
        (0, int(words[0]) | 0xFFFF << 32, "longer than the program"),
        (0, int(words[0]) ^ 3, "version"),
        (instruction, int(words[instruction]) | 63, "does not exist|not .* words"),
    ):
        with pytest.raises(driver.BadModel, match=match):
            model.parse_model(replaced(data, {at: value}))


# --- pictures ---


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


@pytest.mark.parametrize(
    "size", [(1, 1), (40, 30), (227, 227), (256, 256), (258, 257), (640, 480), (230, 1000), (3000, 7)]
)
@pytest.mark.parametrize("shape", [(224, 224, 3), (227, 227, 3), (32, 20, 3)])
def test_every_size_as_the_compiler_prepares_it(size: tuple[int, int], shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(size[0]).integers(0, 256, (*size[::-1], 3), np.uint8)
    ours = picture.prepare(pixels, shape, 256)
    np.testing.assert_array_equal(ours, pictures.prepare(pixels, shape, Preprocess(resize=256)))
    assert ours.flags.c_contiguous and ours.dtype == np.uint8


@pytest.mark.parametrize("name", sorted(path.name for path in pictures.BUILTIN.glob("*.jpg")))
def test_files_as_the_compiler_prepares_them(name: str) -> None:
    path, shape = pictures.BUILTIN / name, (224, 224, 3)
    expected = pictures.prepare(pictures.read(path), shape, Preprocess(resize=256))
    np.testing.assert_array_equal(picture.prepare(str(path), shape, 256), expected)
    np.testing.assert_array_equal(picture.prepare(Image.open(path), shape, 256), expected)


def test_exif_orientation_and_transparent_palettes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(picture.to_rgb(tmp_path / "turned.png"), np.rot90(pixels, 3))
    Image.fromarray(pixels).quantize(7).save(tmp_path / "clear.gif", transparency=3)
    np.testing.assert_array_equal(picture.to_rgb(tmp_path / "clear.gif"), pictures.read(tmp_path / "clear.gif"))


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


# --- guesses ---


@pytest.mark.parametrize("seed", range(5))
def test_guesses_as_the_golden_model_gives_them(plan: Plan, seed: int) -> None:
    network = plan.network
    logits = np.random.default_rng(seed).integers(-5000, 5000, network.classes).astype(np.int32)
    logits[: network.classes // 2] = logits[-(network.classes // 2) :]
    scale = network.scale.get(network.nodes[-1].output, 1.0)
    ours = guesses.top_k(logits, scale, network.labels, 3)
    assert [tuple(guess) for guess in ours] == golden.top_k(network, logits, 3)
    assert guesses.top_k(np.array([5, 7]), 1.0, ["a", "b"], 9)[0].name == "b"
