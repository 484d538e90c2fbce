"""Sizes, cycles and refusals of the planner, against figures worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.addresses import pool_done
from squeeze_hls.engine.config import EngineConfig, power_of_two_pieces
from squeeze_hls.engine.fields import INSTRUCTION, LAYER, RECORDS
from squeeze_hls.engine.program import pack_program, parse_program
from squeeze_hls.engine.resources import bram36, resources
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import Concat, GlobalAverage, IntAdd, IntConv, IntNetwork, MaxPool, Pads
from squeeze_hls.plan import PlanOptions, make_plan
from squeeze_hls.plan.ahead import check_shapes, room_for_weights
from squeeze_hls.plan.checks import PlanError, check_program
from squeeze_hls.plan.lowering import Layout
from squeeze_hls.plan.schedule import conv_rows, split_rows
from squeeze_hls.quantize import integers
from tests.networks import int_conv, random_network
from tests.quantize.graphs import fire_graph

ONE = Pads(top=1, left=1, bottom=1, right=1)


def fire_network(classes: int = 10, squeeze: int = 4, expand: int = 8, size: int = 17) -> IntNetwork:
    """conv1 3x3/2, pool, one Fire, conv10."""
    rng = np.random.default_rng(0)
    nodes = (
        int_conv(rng, "conv1", "image", (16, 3, 3, 3), stride=2),
        MaxPool(name="pool1", inputs=("conv1",), output="pool1", kernel=3, stride=2, ceil=False),
        int_conv(rng, "squeeze", "pool1", (squeeze, 1, 1, 16)),
        int_conv(rng, "one", "squeeze", (expand, 1, 1, squeeze)),
        int_conv(rng, "three", "squeeze", (expand, 3, 3, squeeze), pads=ONE),
        Concat(name="concat", inputs=("one", "three"), output="fire"),
        int_conv(rng, "conv10", "fire", (classes, 1, 1, 2 * expand), wide=True),
        GlobalAverage(name="average", inputs=("conv10",), output="logits"),
    )
    return IntNetwork(name="fire", input="image", input_shape=(size, size, 3), nodes=nodes)


def deep_network(fires: int) -> IntNetwork:
    """fire_network with so many Fire modules."""
    network, rng = fire_network(), np.random.default_rng(0)
    nodes, source, channels = list(network.nodes[:2]), "pool1", 16
    for i in range(fires):
        thin, small, large, end = (f"{what}{i}" for what in ("squeeze", "one", "three", "fire"))
        nodes += [
            int_conv(rng, thin, source, (4, 1, 1, channels)),
            int_conv(rng, small, thin, (8, 1, 1, 4)),
            int_conv(rng, large, thin, (8, 3, 3, 4), pads=ONE),
            Concat(name=f"concat{i}", inputs=(small, large), output=end),
        ]
        source, channels = end, 16
    return replace(network, nodes=(*nodes, replace(network.nodes[-2], inputs=(source,)), network.nodes[-1]))


# --- tables ---


def test_record_sizes_are_what_the_hardware_stores() -> None:
    assert {r.name: r.words for r in RECORDS} == {
        "packet": 1, "header": 6, "layer": 6, "buffer": 1, "instruction": 2, "param": 1, "entry": 1,
    }  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: r.name)
def test_records_round_trip_at_their_limits(record) -> None:
    for values in ({f.name: 0 for f in record.fields}, {f.name: record.limit(f.name) for f in record.fields}):
        assert record.unpack(record.pack(values)) == values


def test_a_value_that_does_not_fit_its_field_is_refused() -> None:
    values = {f.name: 0 for f in INSTRUCTION.fields}
    with pytest.raises(ValueError, match="instruction.layer = 64"):
        INSTRUCTION.pack(values | {"layer": 64})
    with pytest.raises(ValueError, match="unknown fields"):
        LAYER.pack({f.name: 0 for f in LAYER.fields} | {"colour": 1})


# --- sizes ---


def test_power_of_two_pieces() -> None:
    assert power_of_two_pieces(50_693, 512) == (32768, 16384, 2048)  # 100 blocks of 512: 64 + 32 + 4
    assert power_of_two_pieces(5120, 512) == (4096, 1024)
    assert power_of_two_pieces(1, 512) == (512,)


def test_bram_counts() -> None:
    assert [bram36(d, b) for d, b in ((512, 72), (4096, 64), (1024, 64), (4096, 44), (512, 64), (1024, 32))] == [
        1, 8, 2, 5, 1, 1,
    ]  # fmt: skip


def test_resources_of_the_pynq_z2_engine() -> None:
    engine = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096, 1024), store_pieces=power_of_two_pieces(50_693, 512))
    used = resources(engine)
    assert used.bram36_parts == {"weights": 100, "requantization": 5, "activations": 30, "program": 1}
    assert (used.dsp, used.bram36) == (200, 136)


def test_layout_pads_every_segment_to_whole_words() -> None:
    layout = Layout((5, 9), 8)
    assert layout.words == 3
    assert layout.channel_of.tolist() == [*range(5), -1, -1, -1, *range(5, 14), *[-1] * 7]
    values = np.arange(14)
    np.testing.assert_array_equal(layout.collect(layout.spread(values)), values)


# --- rows ---


def test_pooled_rows_are_done_where_their_last_row_is() -> None:
    assert np.flatnonzero(pool_done(7, 3, False)).tolist() == [2, 4, 6]
    assert np.flatnonzero(pool_done(8, 3, False)).tolist() == [2, 4, 6]
    assert np.flatnonzero(pool_done(8, 3, True)).tolist() == [2, 4, 6, 7]
    assert np.flatnonzero(pool_done(7, 2, False)).tolist() == [1, 3, 5]
    assert np.flatnonzero(pool_done(7, 2, True)).tolist() == [1, 3, 5, 6]


def test_bands_of_a_pooled_layer_share_no_convolution_row() -> None:
    conv1 = make_plan(fire_network(size=33), load_board("pynq-z2")).layers[0]  # 16 rows, pooled to 7
    bands = [conv_rows(conv1, *band) for band in split_rows(7, 3)]
    assert bands == [(0, 5), (5, 9), (9, 15)]


# --- largest outputs ---


def test_limits_stand_in_the_layers_of_their_convolutions() -> None:
    network = fire_network()
    for name, limit in (("conv1", 15), ("one", 3), ("three", 254), ("conv10", 4095)):
        network = changed(network, name, limit=limit)
    plan = make_plan(network, load_board("pynq-z2"))
    layers = parse_program(plan.program_bin).layers
    assert [(layer.a.top, layer.b.top) for layer in layers] == [(15, 0), (255, 0), (254, 3), (4095, 0)]
    assert plan.timing.total == make_plan(fire_network(), load_board("pynq-z2")).timing.total


@pytest.mark.parametrize(("layer", "half", "value"), [(0, "a", 0), (0, "a", 256), (2, "b", 0), (3, "a", 0)])
def test_largest_outputs_beyond_their_type_are_refused(layer: int, half: str, value: int) -> None:
    plan = make_plan(fire_network(), load_board("pynq-z2"))
    check_program(plan.program, plan.engine)
    program = parse_program(plan.program_bin)
    getattr(program.layers[layer], half).top = value
    with pytest.raises(InputError, match="largest output is 0 or beyond its type"):
        parse_program(pack_program(program))
    with pytest.raises(PlanError, match=f"layer {layer}: the largest output"):
        check_program(program, plan.engine)


# --- cycles ---


def test_macs_and_ideal_cycles_by_hand() -> None:
    plan = make_plan(fire_network(), load_board("pynq-z2"))
    macs = 64 * 16 * 27 + 9 * (16 * 4 + 4 * 8 + 36 * 8 + 16 * 10)
    assert plan.macs == macs
    assert plan.ideal_cycles == -(-macs // 384)


# --- refusals ---


def refuse(network: IntNetwork, match: str, error: type[Exception] = DoesNotFitError, **options: object) -> None:
    with pytest.raises(error, match=match):
        make_plan(network, load_board("pynq-z2"), PlanOptions(**options))  # type: ignore[arg-type]


def changed(network: IntNetwork, name: str, **changes: object) -> IntNetwork:
    nodes = tuple(replace(n, **changes) if n.name == name else n for n in network.nodes)  # type: ignore[arg-type]
    return replace(network, nodes=nodes)


def inserted(network: IntNetwork, before: str, *nodes: object, **inputs: object) -> IntNetwork:
    """`nodes` in front of the node of that name, which then reads other `inputs`."""
    index = next(i for i, n in enumerate(network.nodes) if n.name == before)
    changed_nodes = changed(network, before, **inputs).nodes
    return replace(network, nodes=(*changed_nodes[:index], *nodes, *changed_nodes[index:]))  # type: ignore[arg-type]


def random_conv(name: str, source: str, shape: tuple[int, int, int, int], **more: object) -> IntConv:
    return int_conv(np.random.default_rng(1), name, source, shape, **more)  # type: ignore[arg-type]


def pool(name: str, source: str, kernel: int = 3) -> MaxPool:
    return MaxPool(name=name, inputs=(source,), output=name, kernel=kernel, stride=2, ceil=True)


FIRE = fire_network()
UNEVEN = Pads(top=2, left=1, bottom=0, right=1)
TWO = Pads(top=2, left=2, bottom=2, right=2)
MODULES = "Retrain with Fire modules"
LOGITS = "Retrain with a 1x1 convolution for the classes directly in front of the average"
# What a network has that the engine does not compute; the refusal; the way out.
REFUSALS: dict[str, tuple[IntNetwork, str, str]] = {
    "bypass": (
        inserted(
            FIRE,
            "conv10",
            IntAdd(name="bypass", inputs=("fire", "fire"), output="sum", multiplier=(65536, 65536)),
            inputs=("sum",),
        ),
        "Add 'bypass': bypass networks are not supported yet",
        "Use the network without bypass",
    ),
    "three branches": (
        inserted(
            FIRE, "concat", random_conv("extra", "squeeze", (8, 1, 1, 4)), inputs=("one", "three"),
        ),
        "tensor 'squeeze' is read by one, three, extra; the engine goes on with one",
        MODULES,
    ),
    "two 1x1": (
        changed(FIRE, "three", weight=random_conv("", "", (8, 1, 1, 4)).weight, pads=Pads()),
        "one, three: two convolutions of one tensor must be a 1x1 and a 3x3",
        MODULES,
    ),
    "a half that something else reads": (
        changed(
            inserted(FIRE, "conv10", Concat(name="wider", inputs=("fire", "one"), output="wider"), inputs=("wider",)),
            "conv10", weight=random_conv("", "", (10, 1, 1, 24)).weight,
        ),
        "one, three: the two halves must meet in one concatenation and nowhere else",
        MODULES,
    ),
    "stride inside": (
        changed(changed(FIRE, "one", stride=2), "three", stride=2),
        "one: stride 2 is only supported in the first",
        "Retrain with max pooling of stride 2",
    ),
    "5x5 inside": (
        changed(FIRE, "three", weight=random_conv("", "", (8, 5, 5, 4)).weight, pads=TWO),
        "three: 5x5 kernels are only supported in the first",
        "Retrain with 3x3",
    ),
    "3x1 inside": (
        changed(FIRE, "three", weight=random_conv("", "", (8, 3, 1, 4)).weight, pads=Pads(top=1, bottom=1)),
        "three: 3x1 kernels are only supported in the first",
        "Retrain with 3x3",
    ),
    "uneven padding": (
        changed(FIRE, "three", pads=UNEVEN),
        "three: 3x3 convolutions need a padding of 1 on every side",
        "Retrain with that",
    ),
    "padded 1x1": (
        changed(FIRE, "squeeze", pads=ONE),
        "squeeze: a padded 1x1 convolution is computed only where an average follows",
        "Retrain without its padding",
    ),
    "pooling of another stride": (
        changed(FIRE, "pool1", stride=1),
        "pool1: pooling 3x3/1 is not 2x2/2 or 3x3/2",
        "Retrain with one of these",
    ),
    "pooling of another size": (
        changed(FIRE, "pool1", kernel=5),
        "pool1: pooling 5x5/2 is not 2x2/2 or 3x3/2",
        "Retrain with one of these",
    ),
    "two poolings in a row": (
        inserted(FIRE, "squeeze", pool("pool2", "pool1", 2), inputs=("pool2",)),
        "pool2: pooling is computed directly after a convolution or a Fire module only",
        "Retrain with the pooling there",
    ),
    "a picture pooled first": (
        inserted(FIRE, "conv1", pool("shrink", "image", 2), inputs=("shrink",)),
        "shrink: pooling is computed directly after a convolution",
        "Retrain with the pooling there",
    ),
    "an average of a pooling": (
        changed(inserted(FIRE, "average", pool("late", "conv10", 2), inputs=("late",)), "conv10", wide=False),
        "average: the engine averages what a convolution gives, unpooled",
        LOGITS,
    ),
    "an average of a concatenation": (
        replace(FIRE, nodes=(*FIRE.nodes[:6], replace(FIRE.nodes[7], inputs=("fire",)))),
        "one, three: their concatenation is averaged",
        LOGITS,
    ),
    "an averaged first convolution": (
        replace(FIRE, nodes=(replace(FIRE.nodes[0], wide=True), replace(FIRE.nodes[7], inputs=("conv1",)))),
        "conv1: the first convolution is the one that is averaged",
        LOGITS,
    ),
    "a first convolution of stride 3": (
        changed(FIRE, "conv1", stride=3),
        "conv1: the first convolution is 3x3 with stride 3; the engine computes square kernels of 2 to 7",
        "Retrain with one of these",
    ),
    "a first convolution of 9x9": (
        changed(fire_network(size=33), "conv1", weight=random_conv("", "", (16, 9, 9, 3)).weight),
        "conv1: the first convolution is 9x9 with stride 2",
        "Retrain with one of these",
    ),
    "too many channels": (
        fire_network(squeeze=209),
        "one.three: one output channel reads 2160 inputs, the engine's weight tile holds 2048",
        "Retrain with fewer input channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_what_the_engine_does_not_compute_is_refused_with_a_way_out(kind: str) -> None:
    network, match, way_out = REFUSALS[kind]
    for check in (make_plan, check_shapes):
        with pytest.raises(DoesNotFitError, match=match) as caught:
            check(network, load_board("pynq-z2"))
        message = str(caught.value)
        assert way_out in message and message.endswith(".") and "\n" not in message


def test_what_a_program_cannot_count_is_refused() -> None:
    for network, match in (
        (deep_network(40), "the network has 82 layers, a program holds 64. Use one with fewer layers."),
        (deep_network(30), "the network has 33 buffers, a program holds 32. Use one with fewer layers."),
        (replace(FIRE, input_shape=(17, 4100, 3)), "2,049 rows or columns of a feature map, a program holds 2,047"),
        (replace(FIRE, input_shape=(2048, 17, 3)), "2,048 rows of the padded picture, a program holds 2,047"),
        (fire_network(classes=66_000), "66,000 classes, a program holds 65,535. Use one with fewer classes"),
        (fire_network(classes=65_500), "65,568 output channels in all, a program holds 65,535"),
    ):
        for check in (make_plan, check_shapes):
            with pytest.raises(DoesNotFitError, match=match):
                check(network, load_board("pynq-z2"))


def test_a_picture_of_more_rows_than_credits_count_is_refused() -> None:
    """Few bands, each of which frees more rows than its field holds."""
    conv1 = random_conv("conv1", "image", (16, 2, 2, 3))
    nodes = (conv1, replace(FIRE.nodes[2], inputs=("conv1",)), *FIRE.nodes[3:])
    refuse(replace(FIRE, input_shape=(2040, 3, 3), nodes=nodes), "rows more than the credits .* fewer rows")


def test_a_frozen_engine_refuses_more_layers_than_it_holds() -> None:
    board, network = load_board("pynq-z2"), deep_network(16)
    engine = make_plan(fire_network(), board).engine
    with pytest.raises(DoesNotFitError, match="34 layers, engine .* holds 32. Build for the board without --engine."):
        check_shapes(network, board, engine)


def test_shapes_are_refused_without_any_weights() -> None:
    board = load_board("pynq-z2")
    check_shapes(integers.hollow(fire_graph()), board)
    graph = fire_graph()
    nodes = tuple(replace(n, kernel=5) if isinstance(n, MaxPool) else n for n in graph.nodes)
    with pytest.raises(DoesNotFitError, match="pool1: pooling 5x5/2"):
        check_shapes(integers.hollow(replace(graph, nodes=nodes)), board)


def test_shapes_that_fit_no_memory_are_refused_before_there_are_weights() -> None:
    board = load_board("pynq-z2")
    with pytest.raises(DoesNotFitError, match="activation memory: .* use a smaller picture"):
        check_shapes(fire_network(squeeze=64, expand=256, size=901), board)
    with pytest.raises(DoesNotFitError, match="DSP: .* a smaller array"):
        check_shapes(fire_network(), replace(board, pix=7, cout=32))
    small = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(64,), store_pieces=(65536,))
    with pytest.raises(DoesNotFitError, match="the engine has 1,536"):
        check_shapes(fire_network(size=65), board, small)
    with pytest.raises(DoesNotFitError, match="30 words to carry between .* without --engine"):
        check_shapes(fire_network(size=65), board, replace(small, carry_words=1))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_can_be_planned_passes_the_check_of_its_shapes(seed: int) -> None:
    network, board = random_network(seed), load_board("pynq-z2")
    plan = make_plan(network, board)
    check_shapes(network, board)
    check_shapes(network, board, plan.engine)


def test_a_tile_that_is_too_deep_for_a_frozen_engine_is_refused_with_its_size() -> None:
    network = fire_network(squeeze=209)
    engine = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096,), store_pieces=(65536,))
    refuse(network, "reads 2160 inputs, the engine's weight tile holds 640. Build .* without --engine", engine=engine)


def test_resident_weights_that_do_not_fit_name_what_is_short_and_what_would_fit() -> None:
    rng = np.random.default_rng(0)
    network = fire_network()
    nodes = tuple(
        int_conv(rng, "conv10", "fire", (60_000, 1, 1, 16), wide=True) if n.name == "conv10" else n
        for n in network.nodes
    )
    big = replace(network, nodes=nodes)
    refuse(big, r"BRAM36 needed \d+ at least .* available.*--weights streamed", weights="resident")


def test_a_map_that_fits_no_memory_names_the_layer() -> None:
    engine = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(64,), store_pieces=(65536,))
    refuse(
        fire_network(size=65),
        r"activation memory: .* take [\d,]+ bytes at least, the engine has 1,536",
        engine=engine,
    )


def test_an_unknown_residency_is_refused() -> None:
    refuse(random_network(0), "weights: 'sometimes'", InputError, weights="sometimes")


@pytest.mark.parametrize(("board", "size"), [("pynq-z2", 17), ("pynq-z2", 161), ("zcu104", 17)])
def test_room_for_weights_is_what_the_smallest_engine_leaves(board: str, size: int) -> None:
    network, target = fire_network(size=size), load_board(board)
    words = room_for_weights(network, target)
    engine = make_plan(network, target).engine
    if target.available_uram:
        assert words == target.available_uram * 4096
        return
    smallest = next(
        replace(engine, act_pieces=power_of_two_pieces(512 * n, 512))
        for n in range(1, 99)
        if _planned(network, target, engine, n)
    )
    full, more = (
        replace(smallest, store_pieces=power_of_two_pieces(words + extra, 512)) for extra in (0, 512 * engine.pix)
    )
    assert resources(full).bram36 <= target.available_bram36 < resources(more).bram36


def _planned(network: IntNetwork, board: object, engine: EngineConfig, blocks: int) -> bool:
    trial = replace(engine, act_pieces=power_of_two_pieces(512 * blocks, 512))
    try:
        make_plan(network, board, PlanOptions(engine=trial))  # type: ignore[arg-type]
    except DoesNotFitError:
        return False
    return True


def test_room_for_weights_is_refused_where_activations_take_all() -> None:
    with pytest.raises(DoesNotFitError):
        room_for_weights(fire_network(squeeze=64, expand=256, size=701), load_board("pynq-z2"))
