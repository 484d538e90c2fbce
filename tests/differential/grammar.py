"""The grammar: a Fire-like network, most of its decisions plain, with a twist here and there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from squeeze_hls.frontend import PREPROCESS_KEY
from tests.differential.case import Case
from tests.differential.choices import Choices, Made
from tests.differential.convs import conv, max_pool
from tests.differential.dialects import Dialect
from tests.differential.heads import head, tail
from tests.differential.inputs import picture
from tests.differential.qdq import ActivationsOnly, Float8, Qcdq, Qdq
from tests.differential.qonnx_nodes import Qonnx, WeightsOnly
from tests.differential.settings import Settings, settings, spread
from tests.differential.twists import between
from tests.differential.writer import Map, Steps, Writer

DIALECTS: dict[str, type[Dialect]] = {
    d.name: d for d in (Dialect, Qdq, Qonnx, Qcdq, ActivationsOnly, WeightsOnly, Float8)
}
DIALECT_WEIGHTS = (34, 26, 20, 10, 4, 4, 1)


def generate(seed: int, made: Made | None = None) -> Case:
    """The case of a seed; with ``made``, of these decisions."""
    c = Choices(seed, made)
    dialect = DIALECTS[c.pick("dialect", list(DIALECTS), DIALECT_WEIGHTS)]
    opset = c.pick("opset", dialect.opsets, (40, *(60 / (len(dialect.opsets) - 1),) * (len(dialect.opsets) - 1)))
    kind = np.float32
    if dialect is Dialect:
        kind = c.pick("float type", (np.float32, np.float16), (96, 4))
    w = Writer(c, opset, kind)
    d = dialect(w)
    chosen = settings(c, dialect is not Dialect)
    w.batch = chosen.batch if chosen.batch != "?" else "N"
    case = Case(
        seed=seed, made=c.made, dialect=d.name, model=None, size=chosen.size, given=chosen.given, carried=chosen.carried
    )  # type: ignore[arg-type]
    how = case.preprocess()
    source = w.name("image")
    x = Map(name=source, shape=(3, *chosen.size), size=spread(how.scale))
    if d.quantizes:
        d.pixel, d.black = how.scale[0], int(np.clip(round(how.mean[0]), 0, 255))  # type: ignore[attr-defined]
    x, case.picture_quantizer = picture(w, d, x, chosen.layout)
    w.picture = x
    end = tail(w, d, head(w, d, _body(w, d, x)))
    outputs = [end.name]
    if c.rare("a second output"):
        outputs.append(c.pick("second output is", [n.output[0] for n in w.nodes]))
    _unused(w, source)
    case.model = w.model(source, chosen.shape, outputs, TensorProto.UINT8 if chosen.layout == "bytes" else w.own_type)
    _finish(c, case, chosen)
    case.ending, case.half, case.logits_away = tuple(end.ending), w.half, end.away
    case.uneven = w.uneven
    case.layout = chosen.layout
    return case


def _body(w: Writer, d: Dialect, x: Map) -> Map:
    """The first convolution, then Fire modules, with pooling between."""
    c = w.c
    kernel = c.pick("conv1/kernel", (3, 1, 2, 5, 7), (70, 8, 6, 8, 8))
    stride = c.pick("conv1/stride", (1, 2), (4, 6))
    pad = c.pick("conv1/pad", (0, kernel // 2), (6, 4))
    outputs = c.pick("conv1/channels", (4, 2, 3, 6, 8, 5))
    late = d.quantizes and c.below("conv1/quantized late", 2, (8, 2)) == 1
    y = conv(w, d, "conv1", x, outputs, kernel, stride=stride, pad=pad)
    y = between(w, "behind conv1", y, 1)
    steps = d.steps("conv1", y.size)
    y = d.activation("conv1", y, None if late else steps)
    y = between(w, "behind relu1", y, 2)
    if c.below("pool1", 2, (35, 65)):
        y = _pooled(w, d, "pool1", y, steps)
    if late:
        y = d.quantize("conv1/late", y, steps)
    for number in range(c.pick("fires", (1, 0, 2), (60, 15, 25))):
        y = between(w, f"before fire{number}", y, 2)
        y = _fire(w, d, f"fire{number}", y)
        if c.below(f"pool{number} behind fire", 2, (75, 25)):
            y = _pooled(w, d, f"fire{number}/pool", y, y.steps)
    return y


def _pooled(w: Writer, d: Dialect, site: str, x: Map, steps: Steps | None) -> Map:
    """Pooling of real values, or of the integers between two quantizer nodes."""
    if steps is None or x.steps is None or not hasattr(d, "quantize_only") or not w.c.rare(f"{site}/integers", 6):
        return max_pool(w, site, x)
    scale, zero = d.names(site, x.steps)  # type: ignore[attr-defined]
    q = x.to(d.quantize_only(x.name, x.steps, scale, zero))
    q = max_pool(w, site, q)
    return d.dequantize(q, q.name, x.steps, scale, zero)  # type: ignore[attr-defined]


def _fire(w: Writer, d: Dialect, site: str, x: Map) -> Map:
    """Squeeze, expand, concatenate; maybe a bypass."""
    c = w.c
    thin = conv(w, d, f"{site}/squeeze", x, c.pick(f"{site}/squeeze/channels", (3, 2, 4, 1)), 1)
    thin = d.activation(f"{site}/squeeze", thin, d.steps(f"{site}/squeeze", 1.0))
    thin = between(w, f"{site}/behind squeeze", thin, 1)
    branches = c.pick(f"{site}/branches", (2, 3, 1, 4), (84, 7, 6, 3))
    bypass = branches == 2 and c.below(f"{site}/bypass", 2, (86, 14)) == 1 and x.channels > 1
    widths = [c.pick(f"{site}/branch{i}/channels", (3, 2, 4, 1)) for i in range(branches)]
    if bypass:
        widths = [x.channels // 2, x.channels - x.channels // 2]
    whole = c.below(f"{site}/quantized in parts", 2) == 0
    common = d.steps(f"{site}/expand", 1.0)
    parts = []
    for i, width in enumerate(widths):
        kernel = 1 if i % 2 == 0 else 3
        read = d.read_again(f"{site}/branch{i}", thin)
        y = conv(w, d, f"{site}/branch{i}", read, width, kernel, pad=kernel // 2, joined=True)
        steps = None if whole else _part(w, f"{site}/branch{i}", common)
        parts.append(d.activation(f"{site}/branch{i}", y, steps))
    y = _joined(w, site, thin, parts)
    if whole:
        y = d.quantize(f"{site}/expand", y, common)
    return _bypassed(w, d, site, x, y) if bypass else y


def _part(w: Writer, site: str, common: Steps | None) -> Steps | None:
    """The quantizer of one half of a concatenation: that of both, or one of its own."""
    factor = w.c.pick(f"{site}/scale by", (1.0, 1.01, 2.0, 0.7, 64.0), (90, 2, 3, 3, 2))
    return None if common is None else replace(common, scale=float(np.float32(common.scale * factor)))


def _joined(w: Writer, site: str, thin: Map, parts: list[Map]) -> Map:
    c = w.c
    if c.rare(f"{site}/with squeeze", 2):
        parts.append(thin)
    if c.rare(f"{site}/twice", 1):
        parts.append(parts[0])
    if len(parts) > 1 and c.below(f"{site}/turned", 2, (8, 2)):
        parts.reverse()
    axis = c.pick(f"{site}/axis", (1, -3, 2, 3), (92, 7, 0.5, 0.5))
    if w.opset < 11 and axis < 0:
        axis = 1
    shape = list(parts[0].shape)
    shape[axis % 4 - 1] = sum(p.shape[axis % 4 - 1] for p in parts)
    size = float(np.mean([p.size for p in parts]))
    if len(parts) == 1 and not c.below(f"{site}/concat of one", 2):
        return parts[0]
    same = parts[0].steps is not None and all(p.steps == parts[0].steps for p in parts)
    joined = parts[0].to(w.op("Concat", *(p.name for p in parts), axis=axis), shape, size)
    return replace(joined, steps=parts[0].steps) if same else joined


def _bypassed(w: Writer, d: Dialect, site: str, x: Map, y: Map) -> Map:
    """The sum of a Fire module's input and output, or nearly."""
    c = w.c
    if x.shape != y.shape:
        return y
    kinds = ("Add", "Sum", "turned", "Sum of 3", "Mul", "Sub", "Max", "Mean")
    kind = c.pick(f"{site}/sum", kinds, (70, 12, 8, 6, 1, 1, 1, 1))
    operands = {"turned": (y, x), "Sum of 3": (x, y, x)}.get(kind, (x, y))
    op = {"turned": "Add", "Sum of 3": "Sum"}.get(kind, kind)
    size = x.size + y.size
    z = y.to(w.op(op, *(m.name for m in operands)), size=size)
    if c.below(f"{site}/relu behind sum", 2, (7, 3)):
        z = z.to(w.op("Relu", z.name))
    if c.below(f"{site}/sum is not quantized", 2, (85, 15)):
        return z
    return d.quantize(f"{site}/sum", z, d.steps(f"{site}/sum", size))


def _unused(w: Writer, source: str) -> None:
    """Nodes, initializers and an order that nobody needs."""
    c = w.c
    if c.rare("an unused node", 3):
        w.op("Sigmoid", c.pick("unused node reads", [source, *(n.output[0] for n in w.nodes)]))
    if c.rare("an unused constant", 3):
        w.const(np.zeros((2, 3)), hint="unused")
    if c.rare("nodes in a wrong order", 0.5):
        w.nodes.reverse()


def _finish(c: Choices, case: Case, chosen: Settings) -> None:
    if chosen.carried is not None:
        import json

        entry = case.model.metadata_props.add()
        entry.key, entry.value = PREPROCESS_KEY, json.dumps(chosen.carried)
    if c.rare("value_info is wrong", 1):
        name = case.model.graph.node[0].output[0]
        case.model.graph.value_info.append(helper.make_tensor_value_info(name, 1, [1, 2, 3]))
    if c.rare("shapes are told"):
        case.model.CopyFrom(_inferred(case))
    dead = sum(not numpy_helper.to_array(t).any() for t in case.model.graph.initializer if len(t.dims) == 4)
    case.facts = {"nodes": len(case.model.graph.node), "dead weights": dead}


def _inferred(case: Case):  # type: ignore[no-untyped-def]
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(case.model)
    except Exception:  # of a model that is not valid
        return case.model
