"""The weight store: literals worked by hand, round trips, the choice of the encoding, and corrupted stores."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from squeeze_hls.board import load_board
from squeeze_hls.engine.executor import Executor
from squeeze_hls.engine.program import pack_program, parse_program
from squeeze_hls.engine.store import StoreReader
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import Concat, GlobalAverage, IntNetwork, Pads
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.plan.decode import decode_weights
from squeeze_hls.plan.weights import encode_tile
from tests.networks import int_conv


def test_dense_literal() -> None:
    # One chunk of four weights: tag 00, then 1, -1, 31, -32 of six bits each, lowest bit first.
    tile = np.array([1, -1, 31, -32], np.int8).reshape(1, 1, 4)
    bits = "00" + "100000" + "111111" + "111110" + "000001"
    expected = int(bits[::-1], 2).to_bytes(9, "little")
    assert encode_tile([tile], 4) == expected


def test_bitmap_literal() -> None:
    # Two chunks of four: (0, 0, 5, 0) and (0, 0, 0, 0). Dense would take 48 bits, the bitmap 4 + 6 + 4 = 14.
    tile = np.array([0, 0, 5, 0, 0, 0, 0, 0], np.int8).reshape(2, 1, 4)
    bits = "10" + "0010" + "101000" + "0000"
    assert encode_tile([tile], 4) == int(bits[::-1], 2).to_bytes(9, "little")


def test_both_halves_of_a_tile_follow_each_other_in_one_word() -> None:
    one = np.array([3, 0, 0, 0], np.int8).reshape(1, 1, 4)
    two = np.array([0, 0, 0, -2], np.int8).reshape(1, 1, 4)
    bits = "10" + "1000" + "110000" + "10" + "0001" + "011111"
    assert encode_tile([one, two], 4) == int(bits[::-1], 2).to_bytes(9, "little")


@pytest.mark.parametrize("chunk", [4, 8])
def test_round_trip(chunk: int) -> None:
    rng = np.random.default_rng(chunk)
    store, expected = b"", []
    for density in (0.0, 0.05, 0.3, 0.5, 0.84, 0.9, 1.0):
        shapes = [(int(rng.integers(1, 9)), 8, 8) for _ in range(int(rng.integers(1, 3)))]
        halves = [np.where(rng.random(s) < density, rng.integers(-32, 32, s), 0).astype(np.int8) for s in shapes]
        expected.append((len(store) // 9, shapes, halves))
        store += encode_tile(halves, chunk)
    reader = StoreReader(store, chunk)
    for word, shapes, halves in expected:
        decoded, _ = reader.tile(word, shapes)
        for got, want in zip(decoded, halves, strict=True):
            np.testing.assert_array_equal(got, want)


def test_the_smaller_encoding_is_taken() -> None:
    rng = np.random.default_rng(0)
    sizes = {}
    for density in (0.2, 1.0):
        tile = np.where(rng.random((16, 16, 8)) < density, rng.integers(1, 32, (16, 16, 8)), 0).astype(np.int8)
        sizes[density] = len(encode_tile([tile], 8))
    assert sizes[1.0] == 9 * -(-(2 + 2048 * 6) // 72)
    assert sizes[0.2] < 0.4 * sizes[1.0]


def test_a_store_that_ends_early_is_refused() -> None:
    tile = np.ones((8, 16, 8), np.int8)
    store = encode_tile([tile], 8)
    with pytest.raises(InputError, match="ends in the middle"):
        StoreReader(store[:-9], 8).tile(0, [(8, 16, 8)])


def test_a_sparse_store_that_ends_early_is_refused() -> None:
    tile = np.zeros((8, 16, 8), np.int8)
    tile[:, :, 0] = 7
    store = encode_tile([tile], 8)
    with pytest.raises(InputError, match="ends in the middle"):
        StoreReader(store[: len(store) // 18 * 9], 8).tile(0, [(8, 16, 8)])


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InputError, match="unknown encoding"):
        StoreReader(bytes([3]) + bytes(8), 8).tile(0, [(1, 1, 8)])


# --- whole stores, with entropy-coded layers ---


def laplace_network(scale: float) -> IntNetwork:
    """conv1, one Fire whose first layer is uniform, conv10; all other weights are Laplacian."""
    rng = np.random.default_rng(5)
    wide = {"pads": Pads(top=1, left=1, bottom=1, right=1)}
    nodes = (
        int_conv(rng, "conv1", "image", (32, 3, 3, 3), style="laplace", scale=scale),
        int_conv(rng, "squeeze", "conv1", (24, 1, 1, 32)),
        int_conv(rng, "one", "squeeze", (40, 1, 1, 24), style="laplace", scale=3 * scale),
        int_conv(rng, "three", "squeeze", (64, 3, 3, 24), style="laplace", scale=scale, **wide),
        Concat(name="concat", inputs=("one", "three"), output="fire"),
        int_conv(rng, "conv10", "fire", (10, 1, 1, 104), style="laplace", scale=scale, wide=True),
        GlobalAverage(name="average", inputs=("conv10",), output="logits"),
    )
    return IntNetwork(name="laplace", input="image", input_shape=(9, 9, 3), nodes=nodes)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(laplace_network(1.5), load_board("pynq-z2"))


def test_layers_are_coded_where_that_is_shorter(plan: Plan) -> None:
    coded = {layer.name: len(code) for layer, code in zip(plan.layers, plan.store.codes, strict=True)}
    assert coded == {"conv1": 1, "squeeze": 0, "one+three": 2, "conv10": 1}  # uniform weights take 6 bits in any code
    pair = plan.program.layers[2]
    assert pair.entropy and pair.a.table != pair.b.table
    assert 0 < len(plan.program.tables) <= plan.engine.tables == 8


def test_a_coded_store_is_smaller(plan: Plan) -> None:
    small = plan.store.layer_words
    bits = {layer.name: 72 * n for layer, n in zip(plan.layers, small, strict=True)}
    weights = plan.network.convs[3].weight  # the 3x3 half is by far the largest
    share = np.bincount(weights.reshape(-1) + 32) / weights.size
    entropy = -(share * np.log2(np.where(share > 0, share, 1))).sum()
    assert bits["one+three"] < 1.04 * entropy * weights.size + 6 * 1000  # and 40 x 24 weights of the other one


def test_the_executor_and_the_report_read_the_same_weights(plan: Plan) -> None:
    decoded = decode_weights(plan.network, plan.engine, plan.program_bin, plan.weights_bin)
    for conv in plan.network.convs:
        np.testing.assert_array_equal(decoded[conv.name], conv.weight)
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    plain = make_plan(plan.network, load_board("pynq-z2"), PlanOptions(weights="streamed"))
    assert plain.engine.tables == 0 and not plain.program.tables and not any(plain.store.codes)
    runs = [Executor(p.engine, p.program_bin, p.weights_bin).run(image) for p in (plan, plain)]
    np.testing.assert_array_equal(*runs)


def test_tables_survive_the_program(plan: Plan) -> None:
    parsed = parse_program(plan.program_bin)
    assert pack_program(parsed) == plan.program_bin
    for got, table in zip(parsed.tables, plan.program.tables, strict=True):
        for name in ("bits", "base", "extra", "value"):
            np.testing.assert_array_equal(getattr(got, name), getattr(table, name))


def test_an_engine_without_decoder_takes_no_coded_program(plan: Plan) -> None:
    plain = dataclasses.replace(plan.engine, tables=0)
    again = make_plan(plan.network, load_board("pynq-z2"), PlanOptions(engine=dataclasses.replace(plan.engine)))
    assert again.weights_bin == plan.weights_bin
    program = parse_program(plan.program_bin)
    program.header.engine = plain.identity
    with pytest.raises(DoesNotFitError, match=r"needs \d tables of the entropy code, the engine has 0"):
        Executor(plain, pack_program(program), plan.weights_bin)


def test_a_layer_whose_table_is_missing_is_refused(plan: Plan) -> None:
    program = parse_program(plan.program_bin)
    program.layers[2].b.table = 7
    with pytest.raises(InputError, match="a table that the program does not have"):
        parse_program(pack_program(program))


def test_a_table_that_no_encoder_makes_is_refused(plan: Plan) -> None:
    for name, value in (("bits", 7), ("extra", 6)):
        program = parse_program(plan.program_bin)
        getattr(program.tables[0], name)[5] = value
        with pytest.raises(InputError, match="none that an encoder makes"):
            parse_program(pack_program(program))


def test_a_coded_layer_that_is_cut_off_is_refused(plan: Plan) -> None:
    record = plan.program.layers[3]
    tiles = [{"a": plan.layers[3].a.tiles.shape[1:]}]
    reader = StoreReader(plan.weights_bin[:-9], plan.engine.chunk, plan.program.tables)
    with pytest.raises(InputError, match="cut off or altered"):
        reader.layer(record, tiles)
