"""What nodes say of themselves, and who shares what with whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.errors import InputError
from squeeze_hls.network.ir import Graph, Preprocess, infer_shapes
from squeeze_hls.network.operators import Add, Concat, Conv, GlobalAverage, IntAdd, MaxPool, Node, Pads
from squeeze_hls.network.tensors import groups, readers


def conv(name: str, source: str, channels: int, kernel: int = 1, *, stride: int = 1, pads: Pads | None = None) -> Conv:
    return Conv(
        name=name, inputs=(source,), output=name, weight=np.zeros((4, kernel, kernel, channels), np.float32),
        bias=np.zeros(4, np.float32), stride=stride, pads=pads or Pads(), relu=name != "plain",
    )  # fmt: skip


def pool(name: str, source: str, kernel: int = 2) -> MaxPool:
    return MaxPool(name=name, inputs=(source,), output=name, kernel=kernel, stride=2, ceil=True)


NODES: tuple[Node, ...] = (
    conv("first", "image", 3, 3, stride=2, pads=Pads(left=1)),
    pool("pooled", "first"),
    conv("left", "pooled", 4),
    conv("plain", "pooled", 4, 3, pads=Pads(top=1, left=1, bottom=1, right=1)),
    Concat(name="joined", inputs=("left", "plain"), output="joined"),
    conv("right", "joined", 8),
    Add(name="sum", inputs=("right", "left", "left"), output="sum"),
    GlobalAverage(name="average", inputs=("sum",), output="logits"),
)
GRAPH = Graph(name="net", input="image", input_shape=(9, 10, 3), nodes=NODES, preprocess=Preprocess())  # type: ignore[arg-type]


def test_a_network_prints_itself() -> None:
    assert str(GRAPH) == (
        "network net(image: u8[9,10,3])\n"
        "first = conv3x3/2 pad 0,1,0,0 relu(image: u8[9,10,3]) -> f32[4,5,4]\n"
        "pooled = maxpool2x2/2 ceil(first: f32[4,5,4]) -> f32[2,3,4]\n"
        "left = conv1x1 relu(pooled: f32[2,3,4]) -> f32[2,3,4]\n"
        "plain = conv3x3 pad 1(pooled: f32[2,3,4]) -> f32[2,3,4]\n"
        "joined = concat(left: f32[2,3,4], plain: f32[2,3,4]) -> f32[2,3,8]\n"
        "right = conv1x1 relu(joined: f32[2,3,8]) -> f32[2,3,4]\n"
        "sum = add(right: f32[2,3,4], left: f32[2,3,4], left: f32[2,3,4]) -> f32[2,3,4]\n"
        "logits = average(sum: f32[2,3,4]) -> f32[1,1,4]\n"
    )


def test_poolings_and_concatenations_share_a_scale() -> None:
    parts: dict[str, set[str]] = {}
    for tensor, group in GRAPH.scale_groups.items():
        parts.setdefault(group, set()).add(tensor)
    assert sorted(map(sorted, parts.values())) == [
        ["first", "pooled"], ["image"], ["joined", "left", "plain"], ["logits"], ["right"], ["sum"],
    ]  # fmt: skip
    assert [node.name for node in NODES if node.rounds] == ["first", "left", "plain", "right", "sum"]


def test_groups_meet_whatever_joins_them_first() -> None:
    """a, b and c, d are joined in pairs, then the pairs by way of their last members."""
    chain = [
        Concat(name="", inputs=pair, output=f"o{i}") for i, pair in enumerate((("a", "b"), ("c", "d"), ("d", "b")))
    ]
    chain.append(Concat(name="other", inputs=("x", "a"), output="y"))
    found = groups(chain, lambda node: node.name != "other")
    assert list(found) == ["a", "b", "o0", "c", "d", "o1", "o2", "x", "y"]
    assert len({found[t] for t in ("a", "b", "c", "d", "o0", "o1", "o2")}) == 1
    assert (found["x"], found["y"]) == ("x", "y")


def test_along_a_chain_the_first_tensor_stands_for_all() -> None:
    assert set(groups([pool("b", "a"), pool("c", "b"), pool("d", "b")], lambda _: True).values()) == {"a"}


def test_readers_come_in_order_once_for_each_input() -> None:
    found = {tensor: [node.name for node in nodes] for tensor, nodes in readers(NODES).items()}
    assert found["pooled"] == ["left", "plain"]
    assert found["left"] == ["joined", "sum", "sum"]
    assert "logits" not in found


def test_renaming() -> None:
    renamed = NODES[6].renamed({"left": "l", "sum": "s", "unknown": "u"})
    assert renamed == Add(name="sum", inputs=("right", "l", "l"), output="s")


@pytest.mark.parametrize("inputs", ["image", ["image"], (), ("a", "b")])
def test_what_reads_one_tensor_is_given_one(inputs: object) -> None:
    with pytest.raises(TypeError, match="MaxPool that writes 'pooled': inputs are"):
        replace(NODES[1], inputs=inputs)  # type: ignore[arg-type]


def test_convolutions_are_themselves_alone() -> None:
    """Arrays have no truth value; two convolutions of the same tensors are two."""
    first, second = conv("a", "b", 3), conv("a", "b", 3)
    assert first != second and first == first
    assert pool("a", "b") == pool("a", "b") != pool("a", "c")


WRONG = {
    "tall: the weights want 5 input channels, 'image' has 3": conv("tall", "image", 5),
    "wide: the output would be empty (0 x 0); the picture is too small": conv("wide", "image", 3, 12, stride=4),
    "small: the output would be empty (0 x 0); the picture is too small": pool("small", "image", 12),
    "c: the concatenated feature maps differ in size: [(9, 10, 3), (4, 5, 4)]": Concat(
        name="c", inputs=("image", "first"), output="c"
    ),
    "s: the added feature maps differ in shape: [(9, 10, 3), (4, 5, 4)]": Add(
        name="s", inputs=("image", "first"), output="s"
    ),
    "late: tensor 'nothing' is read before anything writes it": pool("late", "nothing"),
    "first: tensor 'first' is written twice": NODES[0],
}


@pytest.mark.parametrize("message", WRONG)
def test_shapes_that_do_not_fit(message: str) -> None:
    with pytest.raises(InputError) as caught:
        infer_shapes("image", (9, 10, 3), (NODES[0], WRONG[message]))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("multiplier", "top"), [((1,), 255), ((0, 1), 255), ((1, 2**24), 255), ((1, 1), 0), ((1, 1), 256)]
)
def test_sums_that_arithmetic_does_not_know(multiplier: tuple[int, ...], top: int) -> None:
    good = IntAdd(name="sum", inputs=("a", "b"), output="sum", multiplier=(1, 2**24 - 1), top=1)
    good.verify()
    with pytest.raises(InputError, match="^sum: "):
        replace(good, multiplier=multiplier, top=top).verify()
