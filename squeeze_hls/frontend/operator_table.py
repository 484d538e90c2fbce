"""Every operator that is read, with all attributes, inputs and outputs that ONNX gives it, and what becomes of each.

Names, kinds and versions are those of ONNX's own schemas; a test compares the two, version by version.
``operator_check`` applies the table to every node before anything else reads it, so that what a handler
does not look at is either without effect, for the reason given here, or refused.  ``docs/operators.md``
is this table printed.
"""

from __future__ import annotations

from squeeze_hls.frontend.operator_parts import ALWAYS, Attribute, Input, Output, Row, Use, ignored, only, read, refused
from squeeze_hls.frontend.quantizers import DEQUANTIZE, QUANT, QUANT_DOMAINS, QUANTIZE

# The operator sets that the table describes, by domain.
NEWEST = {"": 28, "com.microsoft": 1, **dict.fromkeys(QUANT_DOMAINS, 2)}

_TRAINING = {"problem": "it is in training mode.", "way_out": "Call model.eval() before exporting."}
_FLOAT8 = "it concerns conversions to 8-bit floats, which are refused"
_WHOLE_MAP = "the one window is the whole map, without padding"
_BLOCKS = {"problem": "quantization in blocks is not supported.", "way_out": "Quantize per tensor or per channel."}


def _hint(until: int = 5, *, required: bool = False) -> Attribute:
    return ignored("consumed_inputs", "INTS", "a hint about memory", until=until, required=required)


def _outputs(*names: str) -> tuple[Output, ...]:
    return tuple(Output(name=name) for name in names)


def _unread(name: str, since: int = 1) -> Output:
    return Output(name=name, since=since, optional=True, use=Use.UNREAD)


def _batch_statistics(name: str) -> Output:
    """Before opset 14 a batch normalization with such an output is one in training."""
    return Output(name=name, until=13, optional=True, use=Use.REFUSED, note="training mode", **_TRAINING)  # type: ignore[arg-type]


_LEGACY_BROADCAST = (
    read("broadcast", "INT", "where it is 0 both shapes are equal", until=6),
    read("axis", "INT", "where the second shape stands in the first", until=6),
)
_BINARY = Row(
    attributes=(_hint(), *_LEGACY_BROADCAST),
    inputs=(Input(name="A", types="number"), Input(name="B", types="number")),
    outputs=_outputs("C"),
    one_type=True,
)
_SOFTMAX = Row(
    attributes=(read("axis", "INT", "that of the classes"),),
    inputs=(Input(name="input", types="float"),),
    outputs=_outputs("output"),
)


def _unary(types: str) -> Row:
    return Row(attributes=(_hint(),), inputs=(Input(name="X", types=types),), outputs=_outputs("Y"))


def _quantize(standard: bool) -> Row:
    attributes = (
        read("axis", "INT", "of constants; feature maps have one scale", since=13),
        ignored("saturate", "INT", _FLOAT8, since=19),
        only("block_size", "INT", 0, since=21, **_BLOCKS),
        read("output_dtype", "INT", "8 or 16 bits, and the type of the zero point where there is one", since=21),
        only("precision", "INT", 0, 1, since=23, note="float32"),
    )
    return Row(
        attributes=attributes if standard else (read("axis", "INT", "of constants; feature maps have one scale"),),
        inputs=(
            Input(name="x", types="float"),
            Input(name="y_scale", types="float", note="constant, positive"),
            Input(name="y_zero_point", types="integer", optional=True, note="constant"),
        ),
        outputs=_outputs("y"),
        since=10 if standard else 1,
    )


def _dequantize(standard: bool) -> Row:
    attributes = (
        read("axis", "INT", "of constants; feature maps have one scale", since=13),
        only("block_size", "INT", 0, since=21, **_BLOCKS),
        only("output_dtype", "INT", 0, 1, 10, 11, 16, since=23, note="floats of 16 bits or more; nothing is rounded"),
    )
    return Row(
        attributes=attributes if standard else (read("axis", "INT", "of constants; feature maps have one scale"),),
        inputs=(
            Input(name="x", note="integers"),
            Input(name="x_scale", types="float", note="constant, positive"),
            Input(name="x_zero_point", types="integer", optional=True, note="constant"),
        ),
        outputs=_outputs("y"),
        since=10 if standard else 1,
        integers=True,
    )


_QUANT = Row(
    attributes=(
        read("signed", "INT"),
        read("narrow", "INT"),
        read("rounding_mode", "STRING", "of constants any, of feature maps to nearest"),
    ),
    inputs=(
        Input(name="X", types="float"),
        Input(name="scale", types="float", note="constant, positive"),
        Input(name="zeropt", types="float", note="constant"),
        Input(name="bitwidth", types="float", note="constant, 2 to 32"),
    ),
    outputs=_outputs("Y"),
)

TABLE: dict[str, Row] = {
    "Abs": _unary("number"),
    "Add": _BINARY,
    "AveragePool": Row(
        attributes=(
            read("kernel_shape", "INTS", "the size of the map", required=True),
            read("pads", "INTS", "0 only"),
            read("auto_pad", "STRING", "NOTSET or VALID"),
            ignored("strides", "INTS", _WHOLE_MAP),
            ignored("count_include_pad", "INT", _WHOLE_MAP, since=7),
            ignored("ceil_mode", "INT", _WHOLE_MAP, since=10),
            only("dilations", "INTS", 1, since=19),
        ),
        inputs=(Input(name="X"),),
        outputs=_outputs("Y"),
    ),
    "BatchNormalization": Row(
        attributes=(
            read("epsilon", "FLOAT"),
            ignored("momentum", "FLOAT", "it concerns training"),
            _hint(required=True),
            only("is_test", "INT", 1, default=0, until=6, **_TRAINING),
            only("spatial", "INT", 1, until=8, problem="statistics per pixel (spatial 0) are not supported."),
            only("training_mode", "INT", 0, since=14, **_TRAINING),
        ),
        inputs=(
            Input(name="X"),
            Input(name="scale", types="float", note="constant"),
            Input(name="B", types="float", note="constant"),
            Input(name="mean", types="float", note="constant", until=13),
            Input(name="input_mean", types="float", note="constant", since=14),
            Input(name="var", types="float", note="constant", until=13),
            Input(name="input_var", types="float", note="constant", since=14),
        ),
        outputs=(
            *_outputs("Y"),
            *map(_batch_statistics, ("mean", "var", "saved_mean", "saved_var")),
            _unread("running_mean", since=14),
            _unread("running_var", since=14),
        ),
    ),
    "Cast": Row(
        attributes=(
            read("to", "STRING", "numbers; of feature maps floats of 16 bits or more", required=True, until=5),
            read("to", "INT", "numbers; of feature maps floats of 16 bits or more", required=True, since=6),
            ignored("saturate", "INT", _FLOAT8, since=19),
            ignored("round_mode", "STRING", _FLOAT8, since=24),
        ),
        inputs=(Input(name="input"),),
        outputs=_outputs("output"),
    ),
    "Clip": Row(
        attributes=(_hint(), read("min", "FLOAT", until=10), read("max", "FLOAT", until=10)),
        inputs=(
            Input(name="input", types="number"),
            Input(name="min", types="number", note="constant", since=11, optional=True),
            Input(name="max", types="number", note="constant", since=11, optional=True),
        ),
        outputs=_outputs("output"),
        one_type=True,
        integers=True,
    ),
    "Concat": Row(
        attributes=(
            read("axis", "INT", "of feature maps the channels", until=3),
            read("axis", "INT", "of feature maps the channels", since=4, required=True),
        ),
        inputs=(Input(name="inputs", most=ALWAYS),),
        outputs=_outputs("concat_result"),
        one_type=True,
        integers=True,
    ),
    "Constant": Row(
        attributes=(
            read("value", "TENSOR", "numbers", required=True, until=10),
            read("value", "TENSOR", "numbers", since=11),
            refused("sparse_value", "SPARSE_TENSOR", "sparse constants", since=11),
            read("value_float", "FLOAT", since=12),
            read("value_floats", "FLOATS", since=12),
            read("value_int", "INT", since=12),
            read("value_ints", "INTS", since=12),
            refused("value_string", "STRING", "text", since=12),
            refused("value_strings", "STRINGS", "text", since=12),
        ),
        outputs=_outputs("output"),
    ),
    "ConstantOfShape": Row(
        attributes=(read("value", "TENSOR", "one number"),),
        inputs=(Input(name="input", types="index"),),
        outputs=_outputs("output"),
        since=9,
    ),
    "Conv": Row(
        attributes=(
            read("kernel_shape", "INTS", "the size of the weights"),
            read("strides", "INTS", "equal on both axes"),
            read("pads", "INTS", "smaller than the kernel, 1 around one of 1x1"),
            read("auto_pad", "STRING"),
            read("dilations", "INTS", "1 only"),
            read("group", "INT", "1 only"),
        ),
        inputs=(
            Input(name="X"),
            Input(name="W", note="constant"),
            Input(name="B", types="float", note="constant", optional=True),
        ),
        outputs=_outputs("Y"),
    ),
    "Div": _BINARY,
    "Dropout": Row(
        attributes=(
            _hint(),
            only("is_test", "INT", 1, default=0, until=6, **_TRAINING),
            ignored("ratio", "FLOAT", "it concerns training", until=11),
            ignored("seed", "INT", "it concerns training", since=12),
        ),
        inputs=(
            Input(name="data", types="float"),
            Input(name="ratio", since=12, optional=True, use=Use.IGNORED, note="it concerns training"),
            Input(name="training_mode", types="bool", since=12, optional=True, note="constant, false only"),
        ),
        outputs=(*_outputs("output"), _unread("mask")),
    ),
    "Flatten": Row(
        attributes=(read("axis", "INT"),), inputs=(Input(name="input"),), outputs=_outputs("output"), integers=True
    ),
    "Gather": Row(
        attributes=(read("axis", "INT"),),
        inputs=(Input(name="data"), Input(name="indices", types="index")),
        outputs=_outputs("output"),
    ),
    "GlobalAveragePool": Row(inputs=(Input(name="X"),), outputs=_outputs("Y")),
    "Identity": Row(inputs=(Input(name="input"),), outputs=_outputs("output"), integers=True),
    "LogSoftmax": _SOFTMAX,
    "MaxPool": Row(
        attributes=(
            read("kernel_shape", "INTS", "equal on both axes", required=True),
            read("strides", "INTS", "equal on both axes"),
            read("pads", "INTS", "none, or what completes the last window"),
            read("auto_pad", "STRING"),
            ignored("storage_order", "INT", "it orders the Indices", since=8),
            read("ceil_mode", "INT", since=10),
            read("dilations", "INTS", "1 only", since=10),
        ),
        inputs=(Input(name="X"),),
        outputs=(*_outputs("Y"), _unread("Indices", since=8)),
        integers=True,
    ),
    "Mul": _BINARY,
    "Neg": _unary("signed"),
    "Pad": Row(
        attributes=(
            read("mode", "STRING", "constant only"),
            read("paddings", "INTS", "rows and columns", required=True, until=1),
            read("pads", "INTS", "rows and columns", required=True, since=2, until=10),
            read("value", "FLOAT", "0 only", until=10),
        ),
        inputs=(
            Input(name="data"),
            Input(name="pads", types="index", since=11, note="constant, rows and columns"),
            Input(name="constant_value", since=11, optional=True, note="constant, 0 only"),
            Input(
                name="axes",
                types="index",
                since=18,
                optional=True,
                use=Use.REFUSED,
                note="padding of chosen axes",
                problem="padding of chosen axes is not supported.",
                way_out="Re-export the model with opset 17 or older.",
            ),
        ),
        outputs=_outputs("output"),
    ),
    "Reciprocal": _unary("float"),
    "ReduceMean": Row(
        attributes=(
            read("axes", "INTS", "height and width", until=17),
            read("keepdims", "INT"),
            read("noop_with_empty_axes", "INT", since=18),
        ),
        inputs=(
            Input(name="data"),
            Input(name="axes", types="index", since=18, optional=True, note="constant, height and width"),
        ),
        outputs=_outputs("reduced"),
    ),
    "Relu": _unary("signed"),
    "Reshape": Row(
        attributes=(_hint(4), read("shape", "INTS", until=4), read("allowzero", "INT", since=14)),
        inputs=(Input(name="data"), Input(name="shape", types="index", since=5, note="constant")),
        outputs=_outputs("reshaped"),
        integers=True,
    ),
    "Shape": Row(
        attributes=(read("start", "INT", since=15), read("end", "INT", since=15)),
        inputs=(Input(name="data"),),
        outputs=_outputs("shape"),
        integers=True,
    ),
    "Slice": Row(
        attributes=(
            read("starts", "INTS", required=True, until=9),
            read("ends", "INTS", required=True, until=9),
            read("axes", "INTS", until=9),
        ),
        inputs=(
            Input(name="data"),
            Input(name="starts", types="index", since=10),
            Input(name="ends", types="index", since=10),
            Input(name="axes", types="index", since=10, optional=True),
            Input(name="steps", types="index", since=10, optional=True),
        ),
        outputs=_outputs("output"),
    ),
    "Softmax": _SOFTMAX,
    "Sqrt": _unary("float"),
    "Squeeze": Row(
        attributes=(read("axes", "INTS", until=12),),
        inputs=(Input(name="data"), Input(name="axes", types="index", since=13, optional=True, note="constant")),
        outputs=_outputs("squeezed"),
        integers=True,
    ),
    "Sub": _BINARY,
    "Sum": Row(
        attributes=(_hint(),),
        inputs=(Input(name="data_0", most=ALWAYS, note="feature maps"),),
        outputs=_outputs("sum"),
        one_type=True,
    ),
    "Transpose": Row(
        attributes=(read("perm", "INTS"),),
        inputs=(Input(name="data"),),
        outputs=_outputs("transposed"),
        integers=True,
    ),
    "Unsqueeze": Row(
        attributes=(read("axes", "INTS", required=True, until=12),),
        inputs=(Input(name="data"), Input(name="axes", types="index", since=13, note="constant")),
        outputs=_outputs("expanded"),
        integers=True,
    ),
    **dict.fromkeys(QUANT, _QUANT),
    **{op: _quantize(standard="." not in op) for op in QUANTIZE},
    **{op: _dequantize(standard="." not in op) for op in DEQUANTIZE},
}
