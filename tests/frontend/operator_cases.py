"""For every attribute, optional input and further output of the table: values, and a model for each."""

from __future__ import annotations

import numpy as np
from onnx import helper
from onnx.numpy_helper import from_array

from squeeze_hls.frontend.quantizers import QUANT
from tests.frontend import operator_builds as build
from tests.frontend.operator_builds import ROWS, array, fold
from tests.frontend.operator_case import Case, by_qonnx, folds, net

SPARSE = helper.make_sparse_tensor(from_array(np.ones(1, np.float32)), from_array(np.zeros(1, np.int64)), [3])
WHOLE = {"kernel_shape": [9, 10]}  # the map in front of the average
POOL = {"kernel_shape": [3, 3], "strides": [2, 2]}
SCALES = np.array([0.25, 0.5, 1.0], np.float32)
ZEROS = np.zeros(3, np.int8)
TRAINING = "it is in training mode. Call model.eval() before exporting."


def first_operator_sets() -> list[Case]:
    """``consumed_inputs``, ``broadcast`` and ``axis``."""
    a, row = array(3, 3), array(3, 3)[0]
    cases = []
    for op in ("Add", "Sub", "Mul", "Div"):
        axis, today = fold(op, "axis", a, row, broadcast=1), build.unsqueezed(op)
        cases += [
            folds(op, "consumed_inputs", 1, (None, [0, 1]), fold(op, "consumed_inputs", a, a)),
            folds(op, "broadcast", 6, (1, 0), fold(op, "broadcast", a, row), refused="shapes [3, 3] and [3] differ."),
            folds(op, "axis", 6, (None, 0, 1), axis, instead=today),
            folds(op, "axis", 1, (None, 0), axis, instead=today),
        ]
    for op in ("Abs", "Neg", "Sqrt", "Reciprocal"):
        cases.append(folds(op, "consumed_inputs", 5, (None, [0]), fold(op, "consumed_inputs", np.abs(a) + 1)))
    return [
        *cases,
        net("Relu", "consumed_inputs", 5, (None, [0]), build.activation("Relu", "consumed_inputs")),
        net("Clip", "consumed_inputs", 5, (None, [0]), build.activation("Clip", "consumed_inputs", min=0.0)),
        net("Sum", "consumed_inputs", 5, (None, [0, 0]), build.twice),
        folds("Reshape", "consumed_inputs", 4, (None, [0]), fold("Reshape", "consumed_inputs", row, shape=[3, 1])),
        net("Dropout", "consumed_inputs", 5, (None, [0]), build.middle("Dropout", "consumed_inputs", is_test=1)),
        net("BatchNormalization", "consumed_inputs", 5, ([0] * 5, [0, 0, 0, 1, 1]),
            build.norm("consumed_inputs", is_test=1)),
    ]  # fmt: skip


def linear_quantizers() -> list[Case]:
    q, d, w, whole = "QuantizeLinear", "DequantizeLinear", array(3, 3), array(3, 3, dtype=np.int8)
    half, blocks = np.float32(0.5), "quantization in blocks is not supported."
    cases = []
    for domain, opset in (("", 21), ("com.microsoft.", 13)):
        q, d = f"{domain}QuantizeLinear", f"{domain}DequantizeLinear"
        cases += [
            folds(q, "axis", opset, (0, 1, -1), fold(q, "axis", w, SCALES, ZEROS)),
            folds(d, "axis", opset, (0, 1, -1), fold(d, "axis", whole, SCALES, ZEROS)),
            folds(q, "y_zero_point", opset, (None, np.uint8(5), np.int8(-3)), fold(q, "", w, half, at=2)),
            folds(d, "x_zero_point", opset, (None, np.int8(5)), fold(d, "", whole, half, at=2)),
        ]
    q, d = "QuantizeLinear", "DequantizeLinear"
    return [
        *cases,
        folds(q, "saturate", 19, (None, 0), fold(q, "saturate", w * 90, SCALES, ZEROS), reference=True),
        folds(q, "block_size", 21, (0, 1), fold(q, "block_size", w, SCALES, ZEROS), refused=blocks),
        folds(d, "block_size", 21, (0, 1), fold(d, "block_size", whole, SCALES, ZEROS), refused=blocks),
        folds(q, "output_dtype", 21, (None, 3, 5, 4), fold(q, "output_dtype", w, half)),
        folds(q, "output_dtype", 21, (3, 2), fold(q, "output_dtype", w, SCALES, ZEROS),
              refused="output_dtype 2 is not the type of its zero point, int8."),
        folds(q, "precision", 23, (None, 11), fold(q, "precision", w, SCALES, ZEROS),
              refused="precision 11 is not supported."),
        folds(d, "output_dtype", 23, (None, 17), fold(d, "output_dtype", whole, SCALES, ZEROS),
              refused="output_dtype 17 is not supported."),
    ]  # fmt: skip


def qonnx() -> list[Case]:
    values = np.arange(-24, 25, dtype=np.float32) / 8  # halves of a step too, and beyond 4 bits
    modes = ("ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN")
    plain = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    cases = []
    for op in QUANT:
        for part, choices in {"signed": (1, 0), "narrow": (0, 1), "rounding_mode": modes}.items():
            others = {k: v for k, v in plain.items() if k != part}
            make = fold(op, part, values, np.float32(0.25), np.float32(0), np.float32(4), **others)
            cases.append(folds(op, part, 13, choices, make, judge=by_qonnx))
    return cases


def constants() -> list[Case]:
    numbers = {
        "value": (from_array(array(3)), from_array(array(4))),
        "value_float": (1.0, 2.0),
        "value_floats": ([1.0], [2.0, 3.0]),
        "value_int": (1, 2),
        "value_ints": ([1], [2, 3]),
    }
    others = {"sparse_value": SPARSE, "value_string": "a", "value_strings": ["a"]}
    first, second = numbers["value"]
    return [
        *(folds("Constant", k, 13, ({k: v}, {k: w}), build.constant) for k, (v, w) in numbers.items()),
        folds("Constant", "value", 9, ({"value": first}, {"value": second}), build.constant),
        *(
            folds("Constant", k, 13, ({"value_int": 1}, {k: v}), build.constant, refused="are not supported.")
            for k, v in others.items()
        ),
        folds("ConstantOfShape", "value", 20, (None, from_array(np.array([7])), from_array(np.array([0.5]))),
              fold("ConstantOfShape", "value", np.array([2, 3]))),
        folds("Cast", "to", 5, ("FLOAT", "INT32", "FLOAT16"), fold("Cast", "to", array(3, 3)),
              instead=build.cast_today),
        folds("Cast", "to", 13, (1, 6, 7, 9, 10, 11), fold("Cast", "to", array(3, 3) / 2)),
        # ONNX Runtime refuses these two where the target is no 8-bit float
        folds("Cast", "saturate", 19, (None, 0), fold("Cast", "saturate", array(3, 3), to=10), reference=True),
        folds("Cast", "round_mode", 24, (None, "down"), fold("Cast", "round_mode", array(3, 3) / 7, to=10),
              reference=True),
        folds("Concat", "axis", 13, (0, 1, -1), fold("Concat", "axis", array(2, 2), array(2, 2) + 1)),
        folds("Concat", "axis", 3, (None, 1, 0), fold("Concat", "axis", array(2, 2), array(2, 2) + 1)),
        folds("Gather", "axis", 13, (None, 1, -1), fold("Gather", "axis", array(3, 3), np.array([2, -3]))),
        folds("Reshape", "shape", 4, ([3, 3], [-1], [1, 9]), fold("Reshape", "shape", array(3, 3))),
        folds("Reshape", "allowzero", 14, (1,), fold("Reshape", "allowzero", array(0, 3), np.array([3, 0])),
              others=(0,)),
        folds("Shape", "start", 15, (None, 1, -1, 5), fold("Shape", "start", array(2, 3, 4))),
        folds("Shape", "end", 15, (None, 1, -1, -7), fold("Shape", "end", array(2, 3, 4))),
        folds("Slice", "starts", 9, ([0], [2], [-1]), fold("Slice", "starts", array(4, 3), ends=[9])),
        folds("Slice", "ends", 9, ([1], [-1], [9]), fold("Slice", "ends", array(4, 3), starts=[0])),
        folds("Slice", "axes", 9, (None, [1], [-1]), fold("Slice", "axes", array(4, 3), starts=[1], ends=[3])),
        folds("Slice", "axes", 13, (None, np.array([1]), np.array([-1])),
              fold("Slice", "", array(4, 3), np.array([1]), np.array([3]), at=3)),
        folds("Slice", "steps", 13, (None, np.array([2])),
              fold("Slice", "", array(4, 3), np.array([0]), np.array([9]), at=4)),
        folds("Slice", "steps", 13, (None, np.array([-1])),
              fold("Slice", "", array(4, 3), np.array([-9]), np.array([-5]), np.array([0]), at=4)),
        folds("Squeeze", "axes", 12, (None, [0], [-1]), fold("Squeeze", "axes", array(1, 3, 1))),
        folds("Squeeze", "axes", 13, (None, np.array([0])), fold("Squeeze", "", array(1, 3, 1), at=1)),
        folds("Transpose", "perm", 13, (None, [0, 1, 2], [1, 2, 0]), fold("Transpose", "perm", array(2, 3, 4))),
        folds("Unsqueeze", "axes", 12, ([0], [1, 2], [-1]), fold("Unsqueeze", "axes", array(3, 3))),
    ]  # fmt: skip


def pooling() -> list[Case]:
    a, m = "AveragePool", "MaxPool"
    return [
        net(a, "kernel_shape", 13, ([9, 10],), build.ending(a, "kernel_shape"), others=([2, 2],)),
        net(a, "pads", 13, (None, [0] * 4), build.ending(a, "pads", **WHOLE), others=([1] * 4,)),
        net(a, "auto_pad", 13, (None, "VALID"), build.ending(a, "auto_pad", **WHOLE), others=("SAME_UPPER",)),
        net(a, "strides", 13, (None, [3, 5]), build.ending(a, "strides", **WHOLE)),
        net(a, "count_include_pad", 13, (0, 1), build.ending(a, "count_include_pad", **WHOLE)),
        net(a, "ceil_mode", 13, (0, 1), build.ending(a, "ceil_mode", strides=[2, 3], **WHOLE)),
        net(a, "dilations", 19, (None, [2, 2]), build.ending(a, "dilations", **WHOLE),
            refused="dilations 2, 2 is not supported."),
        net(m, "kernel_shape", 13, ([2, 2], [3, 3]), build.middle(m, "kernel_shape"), others=([3, 2],)),
        net(m, "strides", 13, (None, [2, 2], [3, 3]), build.middle(m, "strides", kernel_shape=[2, 2]),
            others=([2, 1],)),
        net(m, "pads", 13, (None, [0, 0, 1, 1]), build.middle(m, "pads", **POOL), others=([1, 1, 1, 1],)),
        net(m, "auto_pad", 13, (None, "VALID"), build.middle(m, "auto_pad", **POOL),
            others=("SAME_UPPER", "SAME_LOWER")),
        net(m, "auto_pad", 13, (None, "SAME_UPPER", "SAME_LOWER"),
            build.middle(m, "auto_pad", kernel_shape=[1, 1], strides=[4, 4]),
            refused="auto_pad with a stride beyond the kernel has no one meaning."),
        net(m, "storage_order", 13, (0, 1), build.middle(m, "storage_order", **POOL)),
        net(m, "ceil_mode", 13, (None, 1), build.middle(m, "ceil_mode", **POOL)),
        net(m, "dilations", 13, (None, [1, 1]), build.middle(m, "dilations", **POOL), others=([2, 2],)),
        net(m, "Indices", 13, (False, True), build.output_used(m, **POOL),
            refused="its output Indices is used; only the first is computed."),
        net("ReduceMean", "axes", 17, ([2, 3], [-1, 2]), build.ending("ReduceMean", "axes"), others=(None, [1])),
        net("ReduceMean", "axes", 18, (np.array([2, 3]), np.array([-1, 2])), build.ending("ReduceMean", "", at=1),
            others=(None, np.array([1]))),
        net("ReduceMean", "keepdims", 13, (0,), build.mean_softmax, others=(None, 1), softmax=True),
        net("ReduceMean", "noop_with_empty_axes", 18, (1,), build.noop_mean, others=(0, None)),
    ]  # fmt: skip


def convolutions() -> list[Case]:
    n = "BatchNormalization"
    statistics = (2, "mean"), (3, "var"), (4, "saved_mean"), (5, "saved_var")
    return [
        net("Conv", "kernel_shape", 13, (None, [3, 3]), build.conv1("kernel_shape"), others=([2, 2],)),
        net("Conv", "strides", 13, (None, [2, 2]), build.conv1("strides"), others=([1, 2],)),
        net("Conv", "pads", 13, (None, [1, 0, 2, 1]), build.conv1("pads"), others=([3, 0, 0, 0],)),
        net("Conv", "auto_pad", 13, (None, "VALID", "SAME_UPPER", "SAME_LOWER"),
            build.conv1("auto_pad", size=2, strides=[2, 2])),
        net("Conv", "auto_pad", 13, ("NOTSET", "SAME_UPPER", "VALID"), build.conv1("auto_pad", pads=[1, 1, 1, 1]),
            refused="and pads exclude each other."),
        net("Conv", "dilations", 13, (None, [1, 1]), build.conv1("dilations"), others=([2, 2],)),
        net("Conv", "group", 13, (1,), build.groups, others=(3,)),
        net("Conv", "B", 13, (None, np.linspace(-1, 1, 6)), build.biases),
        net(n, "epsilon", 15, (None, 0.5), build.norm("epsilon")),
        net(n, "momentum", 13, (None, 0.1), build.norm("momentum")),
        net(n, "is_test", 6, (1, 0, None), build.norm("is_test"), refused=TRAINING),
        net(n, "spatial", 8, (1, 0), build.norm("spatial"), refused="statistics per pixel (spatial 0) are not supp"),
        net(n, "training_mode", 15, (None, 1), build.norm("training_mode"), refused=TRAINING),
        *(net(n, name, 13, (1, count), build.norm_outputs, refused=TRAINING) for count, name in statistics),
        *(
            net(n, name, 15, (None, name), build.norm_output_used, refused=f"its output {name} is used; only the first")
            for name in ("running_mean", "running_var")
        ),
        net("Pad", "paddings", 1, (ROWS, [0] * 8), build.pad("paddings"), instead=build.pad_amounts),
        net("Pad", "pads", 10, (ROWS, [0] * 8), build.pad("pads"), others=([0, 1, 0, 0, 0, 0, 0, 0],)),
        net("Pad", "mode", 10, (None, "constant"), build.pad("mode", pads=ROWS), others=("reflect",)),
        net("Pad", "value", 10, (None, 0.0), build.pad("value", pads=ROWS), others=(1.0,)),
        net("Pad", "constant_value", 13, (None, 0.0), build.pad_value, others=(1.0,)),
        net("Pad", "axes", 18, (None, [2, 3]), build.pad_axes,
            refused="padding of chosen axes is not supported. Re-export the model with opset 17 or older."),
    ]  # fmt: skip


def others() -> list[Case]:
    d = "Dropout"
    return [
        net("Cast", "to", 13, (1, 7), build.middle("Cast", "to"), refused="a cast of a feature map to integers"),
        net("Clip", "min", 10, (0.0,), build.activation("Clip", "min"), others=(None, -1.0, 0.5)),
        net(
            "Clip",
            "max",
            10,
            (None, float(np.finfo(np.float32).max)),
            build.activation("Clip", "max", min=0.0),
            others=(0.75,),
        ),
        net("Clip", "min", 13, (np.float32(0),), build.activation("Clip", "", at=1), others=(None, np.float32(-1))),
        net("Clip", "max", 13, (None, np.inf), build.clip_inputs, others=(0.75,)),
        net("Concat", "axis", 13, (1, -3), build.concat, others=(2,)),
        net(d, "is_test", 6, (1, 0, None), build.middle(d, "is_test"), refused=TRAINING),
        net(d, "ratio", 10, (None, 0.9), build.middle(d, "ratio")),
        net(d, "seed", 13, (None, 5), build.middle(d, "seed")),
        net(d, "ratio", 13, (None, np.float32(0.9)), build.middle(d, "", at=1)),
        net(d, "training_mode", 13, (np.False_, np.True_), build.middle(d, "", at=2), refused=TRAINING),
        net(d, "mask", 13, (False, True), build.output_used(d), refused="its output mask is used; only the first"),
        net("Flatten", "axis", 13, (1, 0, -3), build.flatten_softmax, others=(2, -2, 4), softmax=True),
        *(
            net(op, "axis", opset, (1, -3), build.softmax(op, "axis"), others=(None, 2), softmax=True)
            for op in ("Softmax", "LogSoftmax")
            for opset in (12, 13)
        ),
    ]


CASES: list[Case] = [
    *first_operator_sets(),
    *linear_quantizers(),
    *qonnx(),
    *constants(),
    *pooling(),
    *convolutions(),
    *others(),
]
