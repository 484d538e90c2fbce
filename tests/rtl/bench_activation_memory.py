"""cocotb bench of the activation memory: random reads and writes of all ports against an array."""

from __future__ import annotations

import os
import random

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from tests.rtl.common import parameters

PIX = parameters()["PIX"]
CIN = parameters()["CIN"]
DEPTH = parameters()["DEPTH"]
SEED = cocotb.RANDOM_SEED
CYCLES = int(os.environ.get("CYCLES", "6000"))


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def random_accesses(dut) -> None:
    """Reads return what was written up to the cycle before; the loader waits exactly where the banks are the same."""
    rng = random.Random(SEED)
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    model = np.full((PIX, DEPTH), -1, object)  # -1: never written
    # Few addresses, at the edges of the power-of-two pieces, so that writes are read again.
    edges = [0, DEPTH - 1, *(DEPTH >> k << k for k in range(DEPTH.bit_length()))]
    places = sorted({a for e in edges for a in (e - 1, e, e + 1) if 0 <= a < DEPTH})
    await RisingEdge(dut.clk)
    pending: list[list[tuple[int, set[int]]]] = []  # reads in flight: address and allowed words per bank
    loader = None
    blocked = 0
    for cycle in range(CYCLES):
        writes = []
        dut.ow_valid.value = output = int(rng.random() < 0.6)
        ow = (rng.randrange(PIX), rng.choice(places), rng.getrandbits(8 * CIN))
        dut.ow_bank.value, dut.ow_addr.value, dut.ow_data.value = ow
        if output:
            writes.append(ow)
        if loader is None and rng.random() < 0.7:
            loader = (rng.randrange(PIX), rng.choice(places), rng.getrandbits(8 * CIN))
        dut.lw_valid.value = int(loader is not None)
        if loader is not None:
            dut.lw_bank.value, dut.lw_addr.value, dut.lw_data.value = loader
        reads = [rng.choice(places) for _ in range(PIX)]
        dut.raddr.value = sum(a << 17 * b for b, a in enumerate(reads))
        await RisingEdge(dut.clk)
        if loader is not None:
            ready = int(dut.lw_ready.value)
            wanted = int(not (output and ow[0] == loader[0]))
            assert ready == wanted, f"seed {SEED}, cycle {cycle}: lw_ready {ready}, expected {wanted}"
            blocked += 1 - ready
            if ready:
                writes.append(loader)
                loader = None
        allowed = [(a, {model[b, a]}) for b, a in enumerate(reads)]
        for bank, address, data in writes:
            model[bank, address] = data
            if allowed[bank][0] == address:
                allowed[bank][1].add(data)  # read and write in one cycle: either word
        pending.append(allowed)
        if len(pending) == 3:  # read 2 cycles ago
            words = int(dut.rdata.value)
            for bank, (address, good) in enumerate(pending.pop(0)):
                got = words >> 8 * CIN * bank & (1 << 8 * CIN) - 1
                assert -1 in good or got in good, (
                    f"seed {SEED}, cycle {cycle}, bank {bank}, address {address}: got {got:x}, "
                    f"expected {' or '.join(f'{g:x}' for g in good)}"
                )
    assert blocked > CYCLES // 100, "too few collisions to test them"
