"""weight_tile: both tiles filled chunk by chunk in random order, while the other is read."""

from __future__ import annotations

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from tests.rtl.common import assert_same, pack, parameters, random_generator, start, unpack


@cocotb.test()
async def tiles_take_turns(dut):
    p = parameters()
    cin, cout, words = p["CIN"], p["COUT"], p["TILE_WORDS"]
    chunk = min(8, cin)
    rng = random_generator()
    inputs = dict.fromkeys(("tw_valid", "tw_buffer", "tw_word", "tw_output", "tw_half", "tw_data", "raddr"), 0)
    per_tile = words * cout * (cin // chunk)
    await start(dut, inputs, 20 * per_tile)
    tiles = np.zeros((2, words, cout, cin), dtype=np.int64)
    for turn in range(4):
        filled, read = turn % 2, 1 - turn % 2
        tiles[filled] = rng.integers(-32, 32, (words, cout, cin))
        pending: int | None = None
        for place in rng.permutation(per_tile):
            word, output, half = np.unravel_index(int(place), (words, cout, cin // chunk))
            while rng.random() < 0.2:
                dut.tw_valid.value = 0
                dut.tw_data.value = int(rng.integers(64))
                await RisingEdge(dut.clk)
            dut.tw_valid.value, dut.tw_buffer.value = 1, filled
            dut.tw_word.value, dut.tw_output.value, dut.tw_half.value = int(word), int(output), int(half)
            dut.tw_data.value = pack(tiles[filled, word, output, half * chunk : (half + 1) * chunk], 6)
            asked = int(rng.integers(words))
            dut.raddr.value = read * words + asked
            await RisingEdge(dut.clk)
            if turn and pending is not None:
                got = unpack(int(dut.rdata.value), cout * cin, 6, signed=True).reshape(cout, cin)
                assert_same(got, tiles[read, pending], f"turn {turn}, word {pending}: [output, channel]")
            pending = asked
            dut.tw_valid.value = 0
        for _ in range(2):
            await RisingEdge(dut.clk)
