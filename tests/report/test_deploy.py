"""``model.sqz``: comes back as it went in; anything else is refused in one line."""

import dataclasses
import hashlib
import json
import struct
from typing import Any

import pytest

from squeeze_hls.artifacts.model_file import MAX_BYTES, DeployModel, pack_model, read_model
from squeeze_hls.errors import InputError

MODEL = DeployModel(
    name="tiny",
    engine="0123abcd",
    input_shape=(227, 224, 3),
    resize=(256, 256),
    classes=3,
    logit_scale=0.125,
    labels=("tench", "góldfish", "\x1b[31mshark"),
    program=bytes(range(64)),
    weights=b"\x07" * 90,
)


def forged(
    change: dict[str, Any] | None = None, *, text: bytes | None = None, version: int = 1, extra: bytes = b""
) -> bytes:
    """A file with a valid checksum and a bad description."""
    data = pack_model(MODEL)
    length = struct.unpack_from("<I", data, 12)[0]
    description = json.loads(data[16 : 16 + length])
    payload = data[16 + length : -32]
    if text is None:
        text = json.dumps({**description, **(change or {})}).encode()
    body = struct.pack("<8sII", b"SQUEEZE\0", version, len(text)) + text + payload + extra
    return body + hashlib.sha256(body).digest()


def test_what_goes_in_comes_out() -> None:
    data = pack_model(MODEL)
    assert read_model(data) == MODEL
    assert pack_model(read_model(data)) == data
    assert read_model(forged()) == MODEL


LEVELS = (bytes(range(256)), bytes(256), bytes(range(255, -1, -1)))


def version(data: bytes) -> int:
    return struct.unpack_from("<I", data, 8)[0]


def test_what_readers_of_version_1_would_not_notice_has_version_2() -> None:
    """Everything else is written as it was."""
    assert version(pack_model(MODEL)) == 1
    for model in (
        dataclasses.replace(MODEL, resize=(259, 256)),
        dataclasses.replace(MODEL, levels=LEVELS),
        dataclasses.replace(MODEL, resize=(259, 256), levels=LEVELS),
    ):
        assert version(pack_model(model)) == 2 and read_model(pack_model(model)) == model


def test_a_square_and_no_levels_are_written_as_they_were() -> None:
    data = pack_model(MODEL)
    assert b'"resize":256,' in data and b"levels" not in data
    assert read_model(forged({"resize": [256, 256]})) == MODEL


def test_labels_may_be_absent() -> None:
    bare = dataclasses.replace(MODEL, labels=())
    assert read_model(pack_model(bare)) == bare


def test_every_altered_byte_is_noticed() -> None:
    data = pack_model(MODEL)
    for position in range(len(data)):
        bad = bytearray(data)
        bad[position] ^= 1
        with pytest.raises(InputError):
            read_model(bytes(bad))


def test_every_truncation_is_noticed() -> None:
    data = pack_model(MODEL)
    for length in range(len(data)):
        with pytest.raises(InputError):
            read_model(data[:length])


@pytest.mark.parametrize(
    "change",
    [
        {"program_bytes": -1},
        {"program_bytes": 10**12},
        {"program_bytes": 1.0},
        {"weights_bytes": 0},
        {"classes": 0},
        {"classes": True},
        {"classes": 4},
        {"labels": "abc"},
        {"labels": [1, 2, 3]},
        {"labels": ["x" * 10_000, "", ""]},
        {"input_shape": [227, 224]},
        {"input_shape": [227, 224, 4]},
        {"input_shape": [10**9, 224, 3]},
        {"input_shape": None},
        {"logit_scale": 0},
        {"logit_scale": float("nan")},
        {"logit_scale": float("inf")},
        {"logit_scale": "1"},
        {"engine": "0123ABCD"},
        {"engine": "../../.."},
        {"engine": None},
        {"name": 7},
        {"resize": 0},
        {"resize": [256]},
        {"resize": [256, 0]},
        {"resize": [256, 256, 256]},
        {"resize": [256, "256"]},
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
    ],
    ids=str,
)
def test_bad_descriptions(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"^evil\.sqz: "):
        read_model(forged(change), "evil.sqz")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SQUEEZE\0",
        b"PK\3\4" + bytes(100),
        forged(version=3),
        forged(text=b""),
        forged(text=b"[]"),
        forged(text=b"null"),
        forged(text=b"{}"),
        forged(text=b"\xff" * 10),
        forged(text=b"[" * 100_000),
        forged(extra=b"more"),
    ],
)
def test_files_that_are_no_model(data: bytes) -> None:
    with pytest.raises(InputError):
        read_model(data)


def test_a_description_longer_than_the_file() -> None:
    body = struct.pack("<8sII", b"SQUEEZE\0", 1, 2**32 - 1) + b"{}"
    with pytest.raises(InputError, match="longer than the file"):
        read_model(body + hashlib.sha256(body).digest())


def test_huge_files() -> None:
    with pytest.raises(InputError, match="too many"):
        read_model(bytes(MAX_BYTES + 1))
