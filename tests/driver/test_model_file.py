"""``model.sqz`` as the driver reads it: whole and right, or refused."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import driver
from squeeze_hls.driver import model
from squeeze_hls.network.ir import Preprocess
from squeeze_hls.plan import Plan
from tests.driver.conftest import LEVELS, deployed


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


def test_how_pictures_are_prepared(plan: Plan) -> None:
    """As the compiler prepares them, in files of either version; a resize of one number is a square."""
    shape = plan.network.input_shape
    assert shape[0] != shape[1], "a network whose input is no square, as its resize is none"
    how = Preprocess(resize=(300, 300))
    for preprocess, version in (
        (plan.network.preprocess, 2),
        (how, 1),
        (replace(how, levels=LEVELS), 2),
        (replace(how, resize=(301, 300)), 2),
    ):
        data = deployed(replace(plan, network=replace(plan.network, preprocess=preprocess)))
        assert struct.unpack_from("<I", data, 8) == (version,)
        loaded = model.parse_model(data)
        assert loaded.resize == preprocess.resized(shape) and loaded.levels == preprocess.levels
    assert model.parse_model(altered(deployed(plan), resize=256)).resize == (256, 256)


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
        {"resize": [256]},
        {"resize": [256, 0]},
        {"resize": [256, 10**12]},
        {"resize": [256, 256, 256]},
        {"resize": "12"},
        {"levels": None},
        {"levels": [[0] * 256] * 2},
        {"levels": [[0] * 256] * 4},
        {"levels": [[0] * 256, [0] * 256, [0] * 255]},
        {"levels": [[0] * 256, [0] * 256, [256] * 256]},
        {"levels": [[0] * 256, [0] * 256, [-1] * 256]},
        {"levels": [[0] * 256, [0] * 256, [True] * 256]},
        {"levels": [0, 0, 0]},
        {"levels": "abc"},
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
        (struct.pack("<8sII", model.MAGIC, 3, 10), "version 3"),
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
