"""Sizes, cycles and refusals of the planner, against figures worked by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.ir import Concat, GlobalAverage, IntAdd, IntNetwork, MaxPool, Pads
from squeeze_hls.plan import PlanOptions, make_plan
from squeeze_hls.plan.addresses import pool_done
from squeeze_hls.plan.checks import PlanError, check_program
from squeeze_hls.plan.engine import EngineConfig, power_of_two_pieces
from squeeze_hls.plan.fields import INSTRUCTION, LAYER, RECORDS
from squeeze_hls.plan.layers import Layout
from squeeze_hls.plan.planner import room_for_weights
from squeeze_hls.plan.program import pack_program, parse_program
from squeeze_hls.plan.resources import bram36, resources
from squeeze_hls.plan.schedule import conv_rows, split_rows
from tests.networks import int_conv, random_network

ONE = Pads(top=1, left=1, bottom=1, right=1)


def fire_network(classes: int = 10, squeeze: int = 4, expand: int = 8, size: int = 17) -> IntNetwork:
    """conv1 3x3/2, pool, one Fire, conv10."""
    rng = np.random.default_rng(0)
    nodes = (
        int_conv(rng, "conv1", "image", (16, 3, 3, 3), stride=2),
        MaxPool(name="pool1", input="conv1", output="pool1", kernel=3, stride=2, ceil=False),
        int_conv(rng, "squeeze", "pool1", (squeeze, 1, 1, 16)),
        int_conv(rng, "one", "squeeze", (expand, 1, 1, squeeze)),
        int_conv(rng, "three", "squeeze", (expand, 3, 3, squeeze), pads=ONE),
        Concat(name="concat", inputs=("one", "three"), output="fire"),
        int_conv(rng, "conv10", "fire", (classes, 1, 1, 2 * expand), wide=True),
        GlobalAverage(name="average", input="conv10", output="logits"),
    )
    return IntNetwork(name="fire", input="image", input_shape=(size, size, 3), nodes=nodes)


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
    assert [(layer.top_a, layer.top_b) for layer in layers] == [(15, 0), (255, 0), (254, 3), (4095, 0)]
    assert plan.timing.total == make_plan(fire_network(), load_board("pynq-z2")).timing.total


@pytest.mark.parametrize(
    ("layer", "name", "value"), [(0, "top_a", 0), (0, "top_a", 256), (2, "top_b", 0), (3, "top_a", 0)]
)
def test_largest_outputs_beyond_their_type_are_refused(layer: int, name: str, value: int) -> None:
    plan = make_plan(fire_network(), load_board("pynq-z2"))
    check_program(plan.program, plan.engine)
    program = parse_program(plan.program_bin)
    setattr(program.layers[layer], name, value)
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


def refuse(network: IntNetwork, match: str, error: type[Exception] = InputError, **options: object) -> None:
    with pytest.raises(error, match=match):
        make_plan(network, load_board("pynq-z2"), PlanOptions(**options))  # type: ignore[arg-type]


def changed(network: IntNetwork, name: str, **changes: object) -> IntNetwork:
    nodes = tuple(replace(n, **changes) if n.name == name else n for n in network.nodes)  # type: ignore[arg-type]
    return replace(network, nodes=nodes)


def test_a_bypass_is_refused_for_now() -> None:
    network = fire_network()
    nodes = list(network.nodes)
    nodes.insert(6, IntAdd(name="bypass", inputs=("fire", "fire"), output="sum", multiplier=(65536, 65536)))
    nodes[7] = replace(nodes[7], input="sum")
    refuse(replace(network, nodes=tuple(nodes)), "Add 'bypass': bypass networks are not supported yet")


def test_strides_kernels_and_pads_that_the_engine_lacks_are_refused() -> None:
    network = fire_network()
    refuse(changed(network, "squeeze", stride=2), "squeeze: stride 2")
    uneven = Pads(top=2, left=1, bottom=0, right=1)
    refuse(changed(network, "three", pads=uneven), "three: 3x3 convolutions need a padding of 1")
    refuse(changed(network, "squeeze", pads=ONE), "squeeze: a padded 1x1 convolution")
    refuse(changed(network, "pool1", stride=1), "pool1: pooling 3x3/1")


def test_a_tile_that_is_too_deep_is_refused_with_its_size() -> None:
    network = fire_network(squeeze=209)
    engine = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(4096,), store_pieces=(65536,))
    refuse(network, "reads 2160 inputs, the engine's weight tile holds 640", engine=engine)


def test_resident_weights_that_do_not_fit_name_what_is_short_and_what_would_fit() -> None:
    rng = np.random.default_rng(0)
    network = fire_network()
    nodes = tuple(
        int_conv(rng, "conv10", "fire", (90_000, 1, 1, 16), wide=True) if n.name == "conv10" else n
        for n in network.nodes
    )
    big = replace(network, nodes=nodes)
    refuse(big, r"BRAM36 needed \d+ at least .* available.*--weights streamed", DoesNotFitError, weights="resident")


def test_a_map_that_fits_no_memory_names_the_layer() -> None:
    engine = EngineConfig(pix=3, cin=8, cout=16, act_pieces=(64,), store_pieces=(65536,))
    refuse(
        fire_network(size=65),
        r"activation memory: .* take [\d,]+ bytes at least, the engine has 1,536",
        DoesNotFitError,
        engine=engine,
    )


def test_an_unknown_residency_is_refused() -> None:
    refuse(random_network(0), "weights: 'sometimes'", weights="sometimes")


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
