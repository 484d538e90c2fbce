"""Each kind of bad and hostile input: its exit code, one line, nothing left after."""

import io
import os
import resource
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.cli.conftest import Run, tree

HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]x[/] \u202e\r\n$(touch owned)"


def altered(source: Path, target: Path, change: Callable[[onnx.ModelProto], None]) -> Path:
    model = onnx.load(source)
    change(model)
    onnx.save(model, target)
    return target


def unsupported_operator(model: onnx.ModelProto) -> None:
    next(node for node in model.graph.node if node.op_type == "MaxPool").op_type = "LpPool"


def hostile_names(model: onnx.ModelProto) -> None:
    node = next(node for node in model.graph.node if node.op_type == "Conv")
    node.name, node.op_type = HOSTILE, "Erf"


def not_a_number(model: onnx.ModelProto) -> None:
    weight = next(i for i in model.graph.initializer if len(i.dims) == 4)
    values = numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))


def dilation(model: onnx.ModelProto) -> None:
    node = [node for node in model.graph.node if node.op_type == "Conv"][3]
    for attribute in list(node.attribute):
        if attribute.name == "dilations":
            node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("dilations", [2, 2]))


def external_data(model: onnx.ModelProto) -> None:
    weight = next(i for i in model.graph.initializer if len(i.dims) == 4)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../../../etc/passwd")


MODELS = {
    "unsupported operator": (unsupported_operator, "LpPool"),
    "terminal escapes": (hostile_names, "Erf"),
    "NaN": (not_a_number, "NaN"),
    "dilation": (dilation, "dilation"),
}


@pytest.mark.parametrize("kind", MODELS)
def test_models(run: Run, here: Path, digits: Path, tmp_path: Path, kind: str) -> None:
    change, word = MODELS[kind]
    bad = altered(digits / "digits.onnx", tmp_path / "bad.onnx", change)
    result = run("build", bad, "--board", "pynq-z2", "--out", "out").refused(2)
    assert word.lower() in result.err.lower()
    assert tree(here) == {}


def test_external_data_outside_the_folder(run: Run, here: Path, digits: Path, tmp_path: Path) -> None:
    model = onnx.load(digits / "digits.onnx")
    external_data(model)
    (tmp_path / "bad.onnx").write_bytes(model.SerializeToString())
    run("build", tmp_path / "bad.onnx", "--board", "pynq-z2").refused(2)
    assert tree(here) == {}


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x08\x07", bytes(1000), b"PK\x03\x04", b"\xff" * 100], ids=lambda c: repr(c[:8])
)
@pytest.mark.parametrize("suffix", [".onnx", ".net"])
def test_files_that_are_no_model(run: Run, here: Path, tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"bad{suffix}"
    path.write_bytes(content)
    run("build", path, "--board", "pynq-z2").refused(2, f"bad{suffix}")
    assert tree(here) == {}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_model(run: Run, here: Path, digits: Path, tmp_path: Path, share: float) -> None:
    content = (digits / "digits.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: int(len(content) * share)])
    run("build", tmp_path / "cut.onnx", "--board", "pynq-z2").refused(2, "cut.onnx")
    assert tree(here) == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "missing.onnx", "--board", "pynq-z2"], ["missing.onnx"]),
        (["build", "squeezenet1.1-w7", "--board", "pynq-z2"], ["squeezenet1.1-w7", "squeezenet1.1-w6"]),
        (["build", HOSTILE, "--board", "pynq-z2"], []),
        (["build", "MODEL"], ["--board"]),
        (["build", "MODEL", "--board", "pynq-z3"], ["pynq-z3", "pynq-z2"]),
        (["build", "MODEL", "--board", "missing.toml"], ["missing.toml"]),
        (["build", "MODEL", "--board", HOSTILE], []),
        (["build", "MODEL", "--board", "pynq-z2", "--flow", "vhdl"], ["vhdl"]),
        (["build", "MODEL", "--board", "pynq-z2", "--verify", "vivado"], ["--verify"]),
        (["build", "MODEL", "--board", "pynq-z2", "--clock", "0"], ["--clock"]),
        (["build", "MODEL", "--board", "pynq-z2", "--clock", "nan"], ["--clock"]),
        (["build", "MODEL", "--board", "pynq-z2", "--image", "missing.png"], ["missing.png"]),
        (["build", "MODEL", "--board", "pynq-z2", "--image", "MODEL"], ["not a picture"]),
        (["build", "MODEL", "--board", "pynq-z2", "--out", "/etc/passwd/x"], ["/etc/passwd"]),
        (["build", "MODEL", "--board", "pynq-z2", "--preprocess", "keras"], ["keras"]),
        (["build", "MODEL", "--board", "pynq-z2", "--labels", "missing.txt"], ["missing.txt"]),
        (["build", "MODEL", "--board", "pynq-z2", "--calibration", "missing"], ["missing"]),
        (["build", "MODEL", "--engine", "missing"], ["missing"]),
        (["build", "MODEL", "--frobnicate"], ["--frobnicate"]),
        (["build", "MODEL", "MODEL", "--board", "pynq-z2"], ["unexpected"]),
        (["run", "MODEL"], ["IMAGE"]),
        (["run", "MODEL", "missing.png"], ["missing.png"]),
        (["run", "MODEL", "MODEL"], ["not a picture"]),
        (["run", "MODEL", "PICTURE", "--on", "fpga"], ["--on"]),
        (["run", "MODEL", "PICTURE", "--top", "0"], ["--top"]),
        (["run", "MODEL", "PICTURE", "--logits", "no/such/folder.npy"], ["no/such"]),
        (["run", "MODEL", "PICTURE", "--logits", "."], ["folder"]),
        (["run", "MODEL", "PICTURE", "--on", "executor", "--board", "pynq-z3"], ["pynq-z3"]),
        (["evaluate", "MODEL"], ["--images"]),
        (["evaluate", "MODEL", "--images", "missing"], ["missing"]),
        (["evaluate", "MODEL", "--images", "."], ["no pictures"]),
        (["quantize", "MODEL"], ["-o"]),
        (["quantize", "MODEL", "-o", "no/such/q.onnx"], ["no/such"]),
        (["quantize", "MODEL", "-o", "q.onnx", "--format", "tflite"], ["tflite"]),
        (["unpack", "missing", "-o", "w.npz"], ["missing"]),
        (["unpack", "MODEL", "-o", "w.npz"], ["build folder"]),
        (["unpack", ".", "-o", "w.npz"], ["report.json"]),
        (["frobnicate"], ["frobnicate"]),
    ],
    ids=lambda value: " ".join(value)[:60].encode("unicode_escape").decode() if isinstance(value, list) else None,
)
def test_arguments(run: Run, here: Path, digits: Path, arguments: list[str], words: list[str]) -> None:
    stands_for = {"MODEL": digits / "digits.onnx", "PICTURE": digits / "test" / "1" / "1500.png"}
    run(*(stands_for.get(a, a) for a in arguments)).refused(2, *words)
    assert tree(here) == {}


def bomb() -> bytes:
    """A PNG that claims 60,000 x 60,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def pickled() -> bytes:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, ("touch owned",)

    buffer = io.BytesIO()
    np.save(buffer, np.array([Evil()], object), allow_pickle=True)
    return buffer.getvalue()


def lying_array() -> bytes:
    """An array header that claims 3 TB."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 10**6, 3)})
    return buffer.getvalue()


PICTURES = {
    "empty.png": b"",
    "text.jpg": b"hello",
    "bomb.png": bomb(),
    "pickled.npy": pickled(),
    "lying.npy": lying_array(),
    "script.svg": b"<svg onload='alert(1)'/>",
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures(run: Run, here: Path, quantized: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PICTURES[name])
    run("run", quantized, path).refused(2, name)
    assert tree(here) == {}


def test_a_truncated_picture(run: Run, here: Path, quantized: Path, digits: Path, tmp_path: Path) -> None:
    content = (digits / "test" / "1" / "1500.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    run("run", quantized, tmp_path / "cut.png").refused(2, "cut.png")


@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 4), (0, 64, 3)])
def test_arrays_of_another_shape(run: Run, here: Path, quantized: Path, tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "odd.npy", np.zeros(shape, np.uint8))
    run("run", quantized, tmp_path / "odd.npy").refused(2, "odd.npy")


def test_a_picture_set_with_pickles(run: Run, here: Path, quantized: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.npz", "w") as archive:
        for key in ("jpeg", "offsets"):
            archive.writestr(f"{key}.npy", pickled())
        archive.writestr("../../escape.npy", b"")
    run("evaluate", quantized, "--images", tmp_path / "evil.npz").refused(2, "evil.npz")
    assert tree(here) == {} and not (tmp_path.parent / "escape.npy").exists()


def test_a_folder_that_is_no_build_is_kept(run: Run, here: Path, quantized: Path) -> None:
    (here / "thesis").mkdir()
    (here / "thesis" / "chapter1.tex").write_text("years of work")
    run("build", quantized, "--board", "pynq-z2", "--out", "thesis").refused(2, "thesis", "--out")
    assert tree(here) == {"thesis/chapter1.tex": b"years of work"}


def test_no_compiler(run: Run, here: Path, quantized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(here))
    run("build", quantized, "--board", "pynq-z2", "--verify", "csim").refused(4, "g++", "--verify executor")
    assert tree(here) == {}


def test_no_onnxruntime(run: Run, quantized: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    command = ("run", quantized, digits / "test" / "1" / "1500.png", "--on", "onnxruntime")
    run(*command).refused(4, "squeeze-hls[onnx-tools]")


def test_a_read_only_folder(here: Path, quantized: Path) -> None:
    here.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(here, os.W_OK):
        pytest.skip("this user writes everywhere")
    command = [sys.executable, "-m", "squeeze_hls", "build", str(quantized), "--board", "pynq-z2", "--verify", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "error: " in done.stderr


def test_a_disk_that_is_full(here: Path, quantized: Path) -> None:
    """No file may grow beyond 20,000 bytes, as on a disk without room."""

    def small_files() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [sys.executable, "-m", "squeeze_hls", "build", str(quantized), "--board", "pynq-z2", "--verify", "none"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=small_files)
    assert done.returncode == 2 and "File too large" in done.stderr and done.stderr.count("\n") == 1
    assert tree(here) == {} and not (here / "build").exists()
