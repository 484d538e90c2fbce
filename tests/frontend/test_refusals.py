"""What the engine cannot compute is refused by node name, in one line, with the reason and the way out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.errors import InputError
from tests.frontend.build import Builder, fire, fire_model, load, relu, tail

REMOVE = "Re-export the model or remove the layer."


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(model, folder)
    message = str(caught.value)
    assert "\n" not in message and "\x1b" not in message and len(message) < 600
    return message


def activation(op: str, **attributes: object) -> onnx.ModelProto:
    return fire_model(activation=lambda b, x: b.node(op, x, name="act", **attributes))


def conv1(**attributes: object) -> onnx.ModelProto:
    return fire_model(**attributes)


def middle(make: Callable[[Builder, str], str], channels: int = 6) -> onnx.ModelProto:
    """A layer between the ReLU of conv1 and the Fire."""
    b = Builder()
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1", strides=[2, 2]))
    return b.model(tail(b, fire(b, make(b, x), channels)))


def ending(make: Callable[[Builder, str], str]) -> onnx.ModelProto:
    """Instead of the global average and what follows."""
    b = Builder()
    return b.model(make(b, relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))))


def behind_average(make: Callable[[Builder, str], str]) -> onnx.ModelProto:
    return ending(lambda b, x: make(b, b.node("GlobalAveragePool", x, name="average")))


def gemm(b: Builder, x: str) -> str:
    return b.node("Gemm", b.node("Flatten", x), b.const(np.ones((6, 4))), name="fc")


def matmul(b: Builder, x: str) -> str:
    return b.node("MatMul", x, b.const(np.ones((1, 4))), name="fc")


def grouped(group: int) -> onnx.ModelProto:
    return middle(lambda b, x: relu(b, b.conv(x, b.weights(6, 6 // group, 3, 3), name="dw", group=group)))


def tap_before_relu(b: Builder) -> onnx.ModelProto:
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    y = b.conv(x, b.weights(6, 6, 1, 1), name="split")
    return b.model(tail(b, b.node("Concat", y, b.node("Relu", y), axis=1), 12))


def residual_before_relu(b: Builder) -> onnx.ModelProto:
    x = relu(b, b.conv("x", b.weights(6, 3, 3, 3), name="conv1"))
    y = b.node("Add", b.conv(x, b.weights(6, 6, 1, 1), name="branch"), x)
    return b.model(tail(b, b.node("Relu", y), 6))


def training_norm(b: Builder, x: str) -> str:
    ones = [b.const(np.ones(6)) for _ in range(4)]
    return relu(b, b.node("BatchNormalization", x, *ones, name="norm", training_mode=1, outputs=("y", "m", "v")))


def norm_behind_relu(b: Builder, x: str) -> str:
    return b.node("BatchNormalization", x, *[b.const(np.ones(6)) for _ in range(4)], name="norm")


def norm_and_other_reader(b: Builder) -> onnx.ModelProto:
    x = b.conv("x", b.weights(6, 3, 3, 3), name="conv1")
    normed = b.node("Relu", norm_behind_relu(b, x))
    return b.model(tail(b, b.node("Concat", normed, b.node("Relu", x), axis=1), 12))


def training_dropout(b: Builder, x: str) -> str:
    return b.node("Dropout", x, b.const(0.5), b.const(True, bool), name="drop")


def pad_values(b: Builder, x: str) -> str:
    return b.node("Pad", x, b.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), b.const(1.0), name="pad")


def pad_in_front_of_pool(b: Builder, x: str) -> str:
    x = b.node("Pad", x, b.const([0, 0, 1, 1, 0, 0, 1, 1], np.int64), name="pad")
    return b.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2])


REFUSALS: dict[str, tuple[onnx.ModelProto, str]] = {
    "dilation": (
        conv1(dilations=[2, 2]),
        f"Conv 'conv1': dilation 2 is not supported; the engine computes dilation 1. {REMOVE}",
    ),
    "dilation of one axis": (
        conv1(dilations=[1, 3]),
        f"Conv 'conv1': dilation 1x3 is not supported; the engine computes dilation 1. {REMOVE}",
    ),
    "stride": (conv1(strides=[1, 2]), "Conv 'conv1': stride 1x2 is not supported; both axes must have the same."),
    "padding": (conv1(pads=[3, 0, 0, 0]), "Conv 'conv1': padding 3 is not supported for a kernel of 3; it may be"),
    "negative padding": (conv1(pads=[0, 0, -1, 0]), "Conv 'conv1': padding -1 is not supported for a kernel of 3"),
    "1-D padding": (conv1(pads=[0, 0]), "Conv 'conv1': pads [0, 0] are not those of a picture."),
    "auto_pad": (conv1(auto_pad="ELSEWHERE"), "Conv 'conv1': auto_pad 'ELSEWHERE' does not exist."),
    "kernel_shape": (conv1(kernel_shape=[5, 5]), "Conv 'conv1': weights of shape [6, 3, 3, 3] contradict its"),
    "attribute type": (conv1(group=1.5), "Conv 'conv1': attribute 'group' has the wrong type."),
    "depthwise": (
        grouped(6),
        "Conv 'dw': depthwise convolution (6 groups) is not supported; it would use one input-channel lane of the "
        "engine's CIN, 1/CIN of the array. Replace it by a full convolution, as in SqueezeNet.",
    ),
    "groups": (grouped(2), f"Conv 'dw': 2 groups are not supported; the engine computes 1 group. {REMOVE}"),
    "input channels": (
        middle(lambda b, x: x, channels=7),
        "Conv 'fire2/squeeze1x1': its weights want 7 input channels, 'relu_out' has 6.",
    ),
    "bias shape": (
        middle(lambda b, x: relu(b, b.conv(x, b.weights(6, 6, 1, 1), name="c", bias=b.const(np.ones(5))))),
        "Conv 'c': it has 6 filters but biases of shape [5].",
    ),
    "1-D convolution": (
        middle(lambda b, x: relu(b, b.node("Conv", x, b.const(np.ones((6, 6, 1))), name="c"))),
        "Conv 'c': weights of shape [6, 6, 1] are not those of a 2-D convolution.",
    ),
    "NaN": (
        middle(lambda b, x: relu(b, b.conv(x, np.full((6, 6, 1, 1), np.nan), name="c"))),
        "Conv 'c': 36 of its 36 weights are not finite (NaN or infinity). The training diverged",
    ),
    "infinite bias": (
        middle(lambda b, x: relu(b, b.conv(x, b.weights(2, 6, 1, 1), name="c", bias=b.const([0, np.inf]))), channels=2),
        "Conv 'c': 1 of its 2 biases are not finite (NaN or infinity).",
    ),
    "float64 beyond float32": (
        middle(lambda b, x: relu(b, b.conv(x, b.const(np.full((6, 6, 1, 1), 1e99), np.float64), name="c", outputs_=6))),
        "Conv 'c': 36 of its 36 weights are not finite",
    ),
    "weights that are computed": (
        middle(lambda b, x: relu(b, b.conv(x, x, name="c", outputs_=6))),
        "Conv 'c': its weights depend on the picture.",
    ),
    "missing weights": (
        middle(lambda b, x: relu(b, b.conv(x, "nowhere", name="c", outputs_=6))),
        "Conv 'c': its weights 'nowhere' are missing from the file. Export the model again with its weights.",
    ),
    "missing input": (
        middle(lambda b, x: relu(b, b.conv("nowhere", b.weights(6, 6, 1, 1), name="c"))),
        "Conv 'c': it reads 'nowhere', which no node before it writes.",
    ),
    "no ReLU": (
        middle(lambda b, x: b.conv(x, b.weights(6, 6, 1, 1), name="bare")),
        "Conv 'bare': no ReLU follows it; the engine's activations are unsigned, every convolution needs one. "
        "Retrain with ReLU after it.",
    ),
    "no ReLU before the average": (
        ending(lambda b, x: b.node("GlobalAveragePool", b.conv(x, b.weights(5, 6, 1, 1), name="last"))),
        "Conv 'last': no ReLU follows it",
    ),
    "with and without ReLU": (tap_before_relu(Builder()), "Conv 'split': its output is used with and without ReLU"),
    "ReLU after the residual": (residual_before_relu(Builder()), "Conv 'branch': no ReLU follows it"),
    "ReLU on the picture": (
        middle(lambda b, x: relu(b, b.conv(b.node("Relu", "x", name="r"), b.weights(6, 3, 1, 1)))),
        "Relu 'r': it reads the picture itself; the picture must go into exactly one convolution. Re-export the model.",
    ),
    "LeakyRelu": (
        activation("LeakyRelu", alpha=0.1),
        "LeakyRelu 'act': activation LeakyRelu is not supported; the engine computes ReLU. Retrain with ReLU.",
    ),
    "Sigmoid": (activation("Sigmoid"), "Sigmoid 'act': activation Sigmoid is not supported; the engine computes ReLU."),
    "HardSwish": (activation("HardSwish"), "HardSwish 'act': activation HardSwish is not supported"),
    "Clip 6": (
        fire_model(activation=lambda b, x: b.node("Clip", x, b.const(0.0), b.const(6.0), name="relu6")),
        "Clip 'relu6': clipping to [0, 6] is not supported; the engine computes ReLU. Retrain with ReLU",
    ),
    "Clip from -1": (
        fire_model(activation=lambda b, x: b.node("Clip", x, b.const(-1.0), name="hard")),
        "Clip 'hard': clipping to [-1, inf] is not supported; the engine computes ReLU.",
    ),
    "unknown operator": (activation("Erosion"), f"Erosion 'act': operator Erosion is not supported. {REMOVE}"),
    "unknown domain": (
        fire_model(activation=lambda b, x: b.node("com.example.Relu", x, name="act")),
        f"com.example.Relu 'act': operator com.example.Relu is not supported. {REMOVE}",
    ),
    "training norm": (
        fire_model(activation=training_norm, opset=15),
        "BatchNormalization 'norm': it is in training mode. Call model.eval() before exporting.",
    ),
    "norm after ReLU": (
        middle(norm_behind_relu),
        "BatchNormalization 'norm': batch normalization is only supported directly after a convolution whose output "
        "nothing else reads. Move it there, or fold it into the weights.",
    ),
    "norm of a tensor that others read": (
        norm_and_other_reader(Builder()),
        "BatchNormalization 'norm': batch normalization is only supported directly after a convolution whose output",
    ),
    "training dropout": (middle(training_dropout), "Dropout 'drop': it is in training mode."),
    "padding with ones": (middle(pad_values), "Pad 'pad': padding with values other than 0 is not supported."),
    "padding the pool": (
        middle(pad_in_front_of_pool),
        "Pad 'pad': padding is only supported directly in front of a convolution.",
    ),
    "padded pool": (
        middle(lambda b, x: b.node("MaxPool", x, name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])),
        "MaxPool 'pool': padding 1 is not supported; the engine pools without padding",
    ),
    "pool padded in front": (  # as many windows as in ceil mode, but other ones
        middle(lambda b, x: b.node("MaxPool", x, name="pool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 1, 0, 0])),
        "MaxPool 'pool': padding 0,1,0,0 is not supported; the engine pools without padding",
    ),
    "oblong pool": (
        middle(lambda b, x: b.node("MaxPool", x, name="pool", kernel_shape=[3, 2], strides=[2, 2])),
        "MaxPool 'pool': kernel 3x2 is not supported; both axes must have the same.",
    ),
    "pool larger than the picture": (
        middle(lambda b, x: b.node("MaxPool", x, name="pool", kernel_shape=[9, 9])),
        "MaxPool 'pool': its output would be empty (shape [1, 6, 0, 1]). Use a larger input picture.",
    ),
    "average pool": (
        middle(lambda b, x: b.node("AveragePool", x, name="pool", kernel_shape=[2, 2])),
        "AveragePool 'pool': a window of 2x2 on 8x9 pixels is not supported; the engine averages the whole",
    ),
    "concat of rows": (
        middle(lambda b, x: b.node("Concat", x, x, name="rows", axis=2)),
        "Concat 'rows': only concatenation of channels (axis 1) is supported.",
    ),
    "transpose": (
        middle(lambda b, x: b.node("Transpose", x, name="t", perm=[0, 2, 3, 1])),
        "Transpose 't': transposed feature maps are not supported. Export the model in NCHW layout, as PyTorch does.",
    ),
    "constant added": (
        middle(lambda b, x: b.node("Add", x, b.const(1.0), name="plus")),
        "Add 'plus': adding a constant is not supported.",
    ),
    "softmax in the middle": (middle(lambda b, x: b.node("Softmax", x, name="s")), "Softmax 's': softmax before the"),
    "flatten before the average": (
        ending(lambda b, x: b.node("Flatten", x, name="f")),
        "Flatten 'f': it flattens the channels of [1, 6, 15, 17] before the global average.",
    ),
    "no average": (
        ending(lambda b, x: x),
        "model.onnx: output 'relu_out' is not the global average of a convolution. Re-export the model: features, "
        "1x1 convolution, ReLU, global average.",
    ),
    "mean of channels": (
        ending(lambda b, x: b.node("ReduceMean", x, name="m", axes=[1])),
        "ReduceMean 'm': a mean over axes [1] of [1, 6, 15, 17] is not supported; the engine averages height",
    ),
    "mean of everything": (
        ending(lambda b, x: b.node("ReduceMean", x, name="m")),
        "ReduceMean 'm': a mean over all axes of [1, 6, 15, 17] is not supported",
    ),
    "Gemm": (
        behind_average(gemm),
        "Gemm 'fc': a fully connected layer is not supported; the engine's classifier is a 1x1 convolution with ReLU "
        "before the global average. Replace it so, as in SqueezeNet, and retrain.",
    ),
    "MatMul": (behind_average(matmul), "MatMul 'fc': a fully connected layer is not supported"),
    "conv after the average": (
        behind_average(lambda b, x: b.conv(x, b.weights(4, 6, 1, 1), name="fc")),
        "Conv 'fc': layers after the global average are not supported (the logits must be its output).",
    ),
    "softmax of nothing": (
        behind_average(lambda b, x: b.node("Softmax", x, name="s", axis=3)),
        "Softmax 's': axis 3 is not that of the classes.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refused(case: str, tmp_path: Path) -> None:
    model, start = REFUSALS[case]
    message = refusal(model, tmp_path)
    assert message[: len(start)] == start


def interface(change: Callable[[onnx.GraphProto], None]) -> onnx.ModelProto:
    model = fire_model()
    change(model.graph)
    return model


def shape(*dims: int | str | None) -> Callable[[onnx.GraphProto], None]:
    def change(graph: onnx.GraphProto) -> None:
        graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, dims))

    return change


def integers(graph: onnx.GraphProto) -> None:
    graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def second_input(graph: onnx.GraphProto) -> None:
    graph.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3, 8, 8)))


def second_output(graph: onnx.GraphProto) -> None:
    graph.output.append(helper.make_tensor_value_info("relu_out", TensorProto.FLOAT, None))


def no_input(graph: onnx.GraphProto) -> None:
    del graph.input[:]


def no_output(graph: onnx.GraphProto) -> None:
    del graph.output[:]


def picture_is_constant(graph: onnx.GraphProto) -> None:
    graph.initializer.append(numpy_helper.from_array(np.zeros((1, 3, 17, 19), np.float32), "x"))


INTERFACES: dict[str, tuple[Callable[[onnx.GraphProto], None], str]] = {
    "grey": (shape("N", 1, 17, 19), "model.onnx: input 'x' has shape ?x1x17x19, not batch x 3 x height x width."),
    "NHWC": (
        shape(1, 17, 19, 3),
        "model.onnx: input 'x' has shape 1x17x19x3, not batch x 3 x height x width. Only colour pictures are read. "
        "It looks like NHWC layout; export in NCHW, as PyTorch does.",
    ),
    "no batch": (shape(3, 17, 19), "model.onnx: input 'x' has shape 3x17x19, not batch x 3 x height x width."),
    "no shape": (shape(), "model.onnx: input 'x' has shape unknown, not batch x 3 x height x width."),
    "dynamic": (
        shape("N", 3, "h", "w"),
        "model.onnx: input 'x' has a dynamic height or width; hardware is made for one size. Give it with --input "
        "HxW, such as --input 224x224, or export the model with a fixed size.",
    ),
    "huge": (shape(1, 3, 4096, 4096), "model.onnx: input 'x' is 4096x4096; up to 4096 a side and 1,048,576 pixels are"),
    "empty": (shape(1, 3, 0, 19), "model.onnx: input 'x' is 0x19; up to"),
    "negative": (shape(1, 3, -5, 19), "model.onnx: input 'x' is -5x19; up to"),
    "tiny": (shape(1, 3, 2, 2), "Conv 'conv1': its output would be empty (shape [1, 6, 0, 0]). Use a larger"),
    "integers": (integers, "model.onnx: input 'x' is not a floating-point tensor."),
    "two inputs": (second_input, "model.onnx: 2 inputs; the engine takes one picture. Export a model with one input."),
    "two outputs": (second_output, "model.onnx: 2 outputs; the engine gives one vector of logits."),
    "no input": (no_input, "model.onnx: 0 inputs; the engine takes one picture."),
    "no output": (no_output, "model.onnx: 0 outputs; the engine gives one vector of logits."),
    "constant input": (picture_is_constant, "model.onnx: 0 inputs; the engine takes one picture."),
}  # fmt: skip


@pytest.mark.parametrize("case", INTERFACES)
def test_inputs_and_outputs(case: str, tmp_path: Path) -> None:
    change, start = INTERFACES[case]
    message = refusal(interface(change), tmp_path)
    assert message[: len(start)] == start
