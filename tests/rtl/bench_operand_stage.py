"""operand_stage: rotation, masks and the flags, OPERAND_LATENCY cycles later."""

from __future__ import annotations

from collections import deque

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from tests.rtl.common import LATENCIES, assert_same, failure, pack, parameters, random_generator, start, unpack

CYCLES = 1000


@cocotb.test()
async def rotates_and_masks(dut):
    p = parameters()
    pix, cin = p["PIX"], p["CIN"]
    rng = random_generator()
    await start(dut, dict.fromkeys(("bank_data", "rotate", "mask", "valid", "first", "last"), 0), CYCLES + 100)
    before: deque = deque([None] * LATENCIES.operands)
    for cycle in range(CYCLES):
        banks = rng.integers(0, 256, (pix, cin))
        rotate, mask = int(rng.integers(pix)), rng.random(pix) < 0.3
        flags = tuple(int(f) for f in rng.integers(0, 2, 3))
        dut.bank_data.value, dut.rotate.value, dut.mask.value = pack(banks, 8), rotate, pack(mask.astype(int), 1)
        dut.valid.value, dut.first.value, dut.last.value = flags
        await RisingEdge(dut.clk)
        if (due := before.popleft()) is not None:
            act, old_flags = due
            got = unpack(int(dut.act.value), pix * cin, 8).reshape(pix, cin)
            assert_same(got, act, f"cycle {cycle}: [lane, channel]")
            got_flags = (int(dut.act_valid.value), int(dut.act_first.value), int(dut.act_last.value))
            if got_flags != old_flags:
                raise failure(f"cycle {cycle}: valid, first, last are {got_flags}, not {old_flags}")
        lanes = np.stack([banks[(rotate + lane) % pix] for lane in range(pix)])
        before.append((np.where(mask[:, None], 0, lanes), flags))
