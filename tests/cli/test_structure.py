"""Networks that the golden model computes and the engine does not: refused with exit code 3, before quantizing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Run, tree
from tests.frontend.build import Builder, fire, relu, save, tail

Make = Callable[[Builder, str], str]


def model(middle: Make, channels: int = 6) -> onnx.ModelProto:
    """conv1, pooling, something that the engine lacks, a Fire module, conv10."""
    b = Builder(("N", 3, 33, 33))
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1", strides=[2, 2]))
    x = b.node("MaxPool", x, name="pool1", kernel_shape=[3, 3], strides=[2, 2])
    return b.model(tail(b, fire(b, middle(b, x), channels)))


def conv(kernel: tuple[int, int], **attributes: object) -> Make:
    return lambda b, x: relu(b, b.conv(x, b.weights(6, 6, *kernel), name="odd", **attributes))


def branches(b: Builder, x: str) -> str:
    parts = [relu(b, b.conv(x, b.weights(2, 6, 1, 1), name=name)) for name in ("one", "two", "three")]
    return b.node("Concat", *parts, axis=1, name="joined")


def bypass(b: Builder, x: str) -> str:
    return b.node("Add", relu(b, b.conv(x, b.weights(6, 6, 3, 3), pads=[1, 1, 1, 1])), x, name="bypass")


def pooling(kernel: int, stride: int) -> Make:
    return lambda b, x: b.node(
        "MaxPool", conv((1, 1))(b, x), name="odd", kernel_shape=[kernel] * 2, strides=[stride] * 2
    )


def averaged_first() -> onnx.ModelProto:
    b = Builder(("N", 3, 33, 33))
    return b.model(tail(b, "x", 3))


MODELS: dict[str, tuple[onnx.ModelProto, str, str]] = {
    "5x5": (model(conv((5, 5), pads=[2, 2, 2, 2])), "5x5 kernels", "Retrain with 3x3"),
    "3x1": (model(conv((3, 1), pads=[1, 0, 1, 0])), "3x1 kernels", "Retrain with 3x3"),
    "stride 2": (model(conv((3, 3), strides=[2, 2])), "stride 2", "Retrain with max pooling"),
    "three branches": (model(branches), "read by one, two, three", "Retrain with Fire modules"),
    "bypass": (model(bypass), "bypass", "without bypass"),
    "pooling 3x3/1": (model(pooling(3, 1)), "pooling 3x3/1", "Retrain with one of these"),
    "pooling 4x4/2": (model(pooling(4, 2)), "pooling 4x4/2", "Retrain with one of these"),
    "one convolution": (averaged_first(), "first convolution is 1x1", "Retrain with one of these"),
}


@pytest.fixture(params=MODELS)
def odd(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, str]:
    """A model's file, what its refusal says, and the way out."""
    content, problem, way_out = MODELS[request.param]
    return save(content, tmp_path, "odd.onnx"), problem, way_out


@pytest.fixture
def nothing_is_quantized(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise AssertionError("quantized")

    monkeypatch.setattr("squeeze_hls.quantize.quantize", fail)
    monkeypatch.setattr("squeeze_hls.quantize.calibrated.prepare", fail)


def test_commands_that_plan_refuse_before_quantizing(
    run: Run, here: Path, odd: tuple[Path, str, str], digits: Path, built: Path, nothing_is_quantized: None
) -> None:
    path, *words = odd
    picture = digits / "test" / "1" / "1500.png"
    commands: tuple[tuple[object, ...], ...] = (
        ("build", path, "--board", "pynq-z2"),
        ("build", path, "--board", "zcu104", "--weights", "streamed"),
        ("build", path, "--engine", built, "--out", "update"),
        ("run", path, picture, "--on", "executor"),
        ("run", path, picture, "--on", "csim"),
        ("run", path, picture, "--on", "rtl"),
        ("evaluate", path, "--images", digits / "test", "--on", "executor", "--board", "kv260"),
        ("compress", path, "--fit", "pynq-z2", "--calibration", digits / "calibration", "-o", "small.onnx"),
    )
    for command in commands:
        result = run(*command, "--preprocess", "torchvision", "-q").refused(3, *words)
        assert result.err.endswith(".\n"), result.err
    assert tree(here) == {}


def test_commands_that_do_not_plan_take_them(run: Run, here: Path, odd: tuple[Path, str, str], digits: Path) -> None:
    path = odd[0]
    same = ("--preprocess", "torchvision", "--calibration", digits / "test" / "1", "-q")
    assert run("run", path, digits / "test" / "1" / "1500.png", *same).code == 0
    assert run("quantize", path, "-o", "q.onnx", *same).code == 0
    assert run("evaluate", "q.onnx", "--images", digits / "test", "-q").code == 0
    result = run("build", "q.onnx", "--board", "pynq-z2", "-q").refused(3, *odd[1:])
    assert result.out == "" and sorted(tree(here)) == ["q.onnx"]


def test_a_picture_that_no_memory_holds_is_refused_before_quantizing(
    run: Run, tmp_path: Path, nothing_is_quantized: None
) -> None:
    b = Builder(("N", 3, 700, 700))
    x = relu(b, b.conv("x", b.weights(16, 3, 3, 3), name="conv1", strides=[2, 2]))
    x = b.node("MaxPool", fire(b, x, 16), kernel_shape=[3, 3], strides=[2, 2])
    path = save(b.model(tail(b, x)), tmp_path)
    result = run("build", path, "--board", "pynq-z2", "--preprocess", "caffe", "-q")
    result.refused(3, "activation memory", "use a smaller picture or a bigger board")
