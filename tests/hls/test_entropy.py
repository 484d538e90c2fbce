"""Entropy-coded weights in the compiled engine: the decoder against the codec, whole networks, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from squeeze_hls import tools
from squeeze_hls.board import load_board
from squeeze_hls.emit import hls
from squeeze_hls.engine.config import STORE_WORD_BITS, EngineConfig
from squeeze_hls.engine.entropy import CHUNK_BITS, EXTRA_MAX, SETS, STATE_BITS, STATES, Table, decode
from squeeze_hls.engine.fields import ENTRY, FORMAT_VERSION, HEADER, LAYER, Record
from squeeze_hls.engine.packets import padded
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import IntConv
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.sim.csim import Start, Transfer
from tests.networks import random_network

from .conftest import RESIDENT, Build, Unit, record_words
from .patterns import PATTERNS, Layer, every_extra, laplace, longest, make_layer
from .test_emit import compile_bench, write
from .test_networks import PORTS, WIDTHS, check
from .test_packets import Bench, altered, reprogrammed

CODED = replace(RESIDENT, tables=4)
ENGINES = [
    CODED,
    replace(CODED, pix=1, cin=4, cout=4, tables=1),
    replace(CODED, pix=4, cin=16, cout=16, tables=8),
]
by_array = pytest.mark.parametrize("engine", ENGINES, ids=lambda e: f"{e.pix}x{e.cin}x{e.cout}")
OVERHEAD = 16  # cycles of a tile beside its chunks, at most

# --- the decoder ---


def expand(unit: Unit, engine: EngineConfig, layer: Layer, store: bytes, start: int) -> np.ndarray:
    """What the decoder makes of store words from `start` on: int8 (n, lanes), no chunk waited for."""
    rows = [
        {f.name: getattr(table, f.name)[state] for f in ENTRY.fields}
        for table in layer.tables
        for state in range(STATES)
    ]
    entries = [word for row in rows for word in ENTRY.pack(row)]
    beats = np.frombuffer(padded(store), "<i4")
    record = record_words(layer.shape.record(start, layer.choice))
    got = unit("expander", np.concatenate([record, [len(entries)], entries, beats]), engine)
    sizes = np.zeros(max(layer.shape.groups), int)
    for group, _, chunks in layer.shape.parts(engine):
        sizes[group] += chunks
    weights = []
    for chunks in sizes.tolist():
        assert chunks <= got[0] <= chunks + OVERHEAD, "one chunk a cycle"
        weights.append(got[1 : 1 + chunks * engine.chunk].reshape(-1, engine.chunk))
        got = got[1 + chunks * engine.chunk :]
    assert not got.size
    return np.concatenate(weights)


def store_of(bits: np.ndarray, start: int, rng: np.random.Generator) -> bytes:
    """Words with the bits from word `start` on, and any others around them."""
    words = rng.integers(0, 2, (start + 9) * STORE_WORD_BITS + bits.size // STORE_WORD_BITS * STORE_WORD_BITS)
    words[start * STORE_WORD_BITS :][: bits.size] = bits
    return np.packbits(words.astype(np.uint8), bitorder="little").tobytes()


@by_array
@pytest.mark.parametrize("pattern", range(len(PATTERNS)), ids=lambda i: PATTERNS[i].__name__)
def test_the_decoder_gives_what_was_encoded(unit: Unit, engine: EngineConfig, pattern: int, full: bool) -> None:
    for seed in range(100 if full else 12):  # times 7 patterns and 3 arrays
        layer = make_layer(seed, pattern, engine)
        store = store_of(layer.bits, seed, np.random.default_rng(seed))
        np.testing.assert_array_equal(expand(unit, engine, layer, store, seed), layer.chunks)


def test_the_longest_chunks_fill_a_store_word(unit: Unit) -> None:
    layers = [make_layer(seed, PATTERNS.index(longest), CODED) for seed in range(12)]
    single = [layer for layer in layers if 0 in layer.shape.groups[1:]]
    assert single
    for layer in single:
        assert layer.bits.size == SETS * 8 * STATE_BITS + CHUNK_BITS * len(layer.chunks)


@by_array
def test_any_bits_decode_as_the_codec_says(unit: Unit, engine: EngineConfig) -> None:
    """Also by tables that no encoder knows, as long as no chunk is too long."""
    for seed in range(12):
        layer = make_layer(seed, PATTERNS.index(every_extra), engine)
        rng = np.random.default_rng(seed)
        if seed % 2:
            layer = replace(layer, tables=[any_table(rng) for _ in layer.tables])
        bits = rng.integers(0, 2, CHUNK_BITS * (len(layer.chunks) + 8)).astype(np.uint8)
        expected = decode(bits, layer.table_of, engine.chunk, layer.tables)
        assert expected is not None
        np.testing.assert_array_equal(expand(unit, engine, layer, store_of(bits, 0, rng), 0), expected)


def any_table(rng: np.random.Generator) -> Table:
    """Entries of nine bits a lane at most."""
    bits = rng.integers(0, STATE_BITS + 1, STATES)
    extra = rng.integers(0, np.minimum(EXTRA_MAX, CHUNK_BITS // 8 - bits) + 1)
    return Table(bits, rng.integers(0, STATES, STATES), extra, rng.integers(0, STATES, STATES))


@by_array
def test_garbage_is_expanded_to_the_end(unit: Unit, engine: EngineConfig) -> None:
    """Entries of any bits, a store of any bits, layers beyond its end: neither a wait nor an address outside."""
    for seed in range(12):
        layer = make_layer(seed, seed % len(PATTERNS), engine)
        rng = np.random.default_rng(seed)
        noise = [{f.name: rng.integers(0, 1 << f.width, STATES) for f in ENTRY.fields} for _ in layer.tables]
        garbage = replace(layer, tables=[Table(**columns) for columns in noise])
        start = [0, engine.store_words - 2, engine.store_words, (1 << 24) - 1][seed % 4]
        expand(unit, engine, garbage, rng.integers(0, 256, 9 * engine.store_words).astype(np.uint8).tobytes(), start)


# --- whole networks ---


def coded_plan(seed: int, engine: EngineConfig) -> Plan | None:
    """A random network of Laplacian weights on an engine, where it fits."""
    network = random_network(seed, small=bool(seed % 3))
    rng = np.random.default_rng(seed)
    nodes = tuple(laplacian(rng, node) if isinstance(node, IntConv) else node for node in network.nodes)
    try:
        return make_plan(replace(network, nodes=nodes), load_board("zcu104"), PlanOptions(engine=engine))
    except (DoesNotFitError, InputError):
        return None


def laplacian(rng: np.random.Generator, conv: IntConv) -> IntConv:
    """Other weights, and shifts that keep the outputs' range."""
    kept = rng.random(conv.weight.shape) < rng.uniform(0.3, 1)
    weight = np.where(kept, laplace(rng, kept.shape, rng.uniform(0.6, 4)), 0)
    smaller = np.abs(conv.weight).mean() / max(0.2, np.abs(weight).mean())
    shift = np.maximum(conv.shift - int(np.log2(max(smaller, 1))), 17)
    return replace(conv, weight=weight.astype(np.int8), shift=shift.astype(np.int32))


@by_array
def test_networks_with_coded_layers(build: Build, engine: EngineConfig, full: bool) -> None:
    simulation = build(engine, PORTS, WIDTHS)
    coded = 0
    for seed in range(300 if full else 30):
        plan = coded_plan(seed, engine)
        if plan is not None:
            coded += sum(map(bool, plan.store.codes))
            check(plan, seed, simulation)
    assert coded > (600 if full else 60)


# --- what is refused ---


@pytest.fixture(scope="module")
def bench(build: Build) -> Bench:
    """A network whose program has two tables, and coded layers between others."""
    bench = Bench(CODED, build, seed=7)
    assert [len(code) for code in bench.plan.store.codes] == [1, 0, 2, 0, 2, 0]
    assert len(bench.plan.program.tables) == 2
    return bench


def test_every_coded_layer_is_under_the_checksum_of_the_weights(bench: Bench) -> None:
    store = bench.plan.store
    for layer, code in enumerate(store.codes):
        if code:
            first = 9 * store.starts[layer] // 8 + 2  # packet header, and a word of which all bytes are the layer's
            for word in (first, first + 9 * store.layer_words[layer] // 8 - 3):
                assert bench.refused(altered(bench.weights, word, 1 << 20), reload=True) == 6


def test_every_table_is_under_the_checksum_of_the_program(bench: Bench) -> None:
    behind = len(bench.program.words) - 1
    for word in range(behind - len(bench.plan.program.tables) * STATES, behind, 17):
        assert bench.refused(altered(bench.program, word, 1 << 4), reload=True) == 5


def changed(bench: Bench, record: Record, index: int, **values: int) -> Transfer:
    """The program with other values in a record (the header: index 0; else a layer), its checksum put right."""
    first = 0 if record is HEADER else HEADER.words + index * record.words

    def change(words: np.ndarray) -> None:
        rows = record.unpack(words[first : first + record.words].tolist()) | values
        words[first : first + record.words] = record.pack(rows)

    return reprogrammed(bench, change)


@pytest.mark.parametrize("values", [{"version": FORMAT_VERSION - 1}, {"version": FORMAT_VERSION + 1}, {"tables": 5}])
def test_another_format_or_too_many_tables(bench: Bench, values: dict[str, int]) -> None:
    assert bench.refused(changed(bench, HEADER, 0, **values), reload=True) == 9


def test_fewer_or_more_tables_than_there_are(bench: Bench) -> None:
    for tables in (1, 3):
        assert bench.refused(changed(bench, HEADER, 0, tables=tables), reload=True) == 3


@pytest.mark.parametrize("half", ["a", "b"])
def test_a_layer_whose_table_is_not_there(bench: Bench, half: str) -> None:
    for layer, code in enumerate(bench.plan.store.codes):
        transfer = changed(bench, LAYER, layer, **{f"table_{half}": 2})
        if code:
            assert bench.refused(transfer, reload=True) == 9
        else:  # no table is looked at
            assert bench.run([transfer, Start()])[0].error == 0


def test_an_engine_without_decoder(build: Build) -> None:
    bench = Bench(RESIDENT, build, seed=7)
    assert bench.refused(changed(bench, LAYER, 1, entropy=1), reload=True) == 9
    assert bench.refused(changed(bench, HEADER, 0, tables=1), reload=True) == 9


def test_each_program_brings_its_tables(bench: Bench, build: Build) -> None:
    other = Bench(CODED, build, seed=4)
    assert len(other.plan.program.tables) == 3
    script, benches = [], [bench, other, bench]
    for each in benches:
        script += [*each.load, Transfer.of(each.image), Start()]
    for each, result in zip(benches, bench.run(script)[2::3], strict=True):
        each.check(result)


# --- what the bitstream begins with ---


def test_the_test_bench_begins_with_the_tables(needs_compiler: None, tmp_path: Path) -> None:
    plan = make_plan(random_network(6), load_board("pynq-z2"))
    assert plan.program.tables and any(plan.store.codes)
    write(hls.emit(plan), tmp_path)
    binary = compile_bench(tmp_path)
    for arguments in (["quick"], []):
        tools.run([str(binary), *arguments], log=tmp_path / "run.log", cwd=tmp_path / "tb", timeout=60)
        assert "all logits equal the golden model's" in (tmp_path / "run.log").read_text()


@pytest.mark.parametrize("coded", [True, False])
def test_initial_tables_are_those_of_the_program(coded: bool) -> None:
    network = random_network(1)
    if not coded:
        rng = np.random.default_rng(1)
        uniform = {c.name: rng.integers(-32, 32, c.weight.shape).astype(np.int8) for c in network.convs}
        nodes = (replace(n, weight=uniform[n.name]) if isinstance(n, IntConv) else n for n in network.nodes)
        network = replace(network, nodes=tuple(nodes))
    plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=CODED))
    assert bool(plan.program.tables) == coded
    words = np.frombuffer(plan.program_bin, "<u8")[-1 - STATES * len(plan.program.tables) : -1]
    text = hls.emit(plan)["src/code_memory.inc"].decode()
    copies = re.findall(r"\{\n(.*?)\n\}", text, re.S)
    entries = [re.findall(r"\{([\d,]+)\}", copy) for copy in copies]
    values = [[int.from_bytes(bytes(map(int, entry.split(","))), "little") for entry in copy] for copy in entries]
    assert values == [words.tolist() if coded else [0]] * CODED.chunk  # a copy for each lane


def test_an_engine_without_decoder_has_no_tables() -> None:
    plan = make_plan(random_network(1), load_board("pynq-z2"), PlanOptions(weights="streamed"))
    bundle = hls.emit(plan)
    assert plan.engine.tables == 0 and "src/code_memory.inc" not in bundle
    assert b"codes" not in bundle["src/squeeze_engine.cpp"]
