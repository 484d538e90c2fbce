"""Receiver, program memory and expander under cocotb."""

from __future__ import annotations

import pytest

from tests.rtl.runner import RTL, run, shapes

BENCH = RTL.parent.parent / "tests" / "rtl" / "expander_bench.sv"
EXPANDERS = shapes(
    [(8, 16, 80, 6144, 0), (8, 16, 80, 6144, 4), (4, 16, 64, 0, 0)],
    [(16, 32, 40, 32768, 8), (4, 4, 20, 2048, 2), (4, 8, 20, 2048, 1), (16, 16, 40, 6144, 0), (8, 8, 33, 0, 0)],
)


@pytest.mark.parametrize(("cin", "cout", "tile_words", "store_words", "tables"), EXPANDERS)
def test_expander(cin, cout, tile_words, store_words, tables):
    parameters = {"CIN": cin, "COUT": cout, "TILE_WORDS": tile_words, "STORE_WORDS": store_words, "TABLES": tables}
    run("expander_bench", "bench_expander", parameters, sources=[BENCH])


@pytest.mark.parametrize(("store_words", "tables", "seed"), shapes([(64, 4, 1), (0, 0, 3)], [(20, 1, 2)]))
def test_receiver(store_words, tables, seed):
    parameters = {
        "CIN": 8,
        "STORE_WORDS": store_words,
        "TABLES": tables,
        "ACT_DEPTH": 5120,
        "PARAM_DEPTH": 64,
        "PROGRAM_DEPTH": 8,
    }
    parameters |= {"LAYER_DEPTH": 4, "BUFFER_DEPTH": 6, "ENGINE_ID": 0x1234ABCD}
    run("receiver", "bench_receiver", parameters, seed=seed)
