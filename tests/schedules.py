"""Plans with schedules and maps that no network of today leads to: for tests of planner and engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from squeeze_hls.board import load_board
from squeeze_hls.engine.config import EngineConfig
from squeeze_hls.engine.timing import predict
from squeeze_hls.network.ir import GlobalAverage, IntNetwork, Pads, verify_int_network
from squeeze_hls.plan import Plan, PlanOptions, make_plan
from squeeze_hls.plan.lowering import Layer, lower
from squeeze_hls.plan.memory import MemoryMap, Place, Ring, bank_words
from squeeze_hls.plan.planner import checked_program
from squeeze_hls.plan.schedule import Step, cut_into_stages, schedule
from squeeze_hls.plan.search import all_choices, search
from squeeze_hls.plan.weights import build_store
from tests.networks import int_conv

ENGINE = EngineConfig(pix=2, cin=4, cout=8, act_pieces=(1024,), tile_words=256, store_pieces=(4096,))
SIZE = 12
ONE = Pads(top=1, left=1, bottom=1, right=1)


def chain(seed: int = 3) -> IntNetwork:
    """Three 3x3 convolutions one after the other, then the classes."""
    rng = np.random.default_rng(seed)
    convs = [int_conv(rng, "one", "image", (6, 3, 3, 3), pads=ONE)]
    convs += [
        int_conv(rng, name, source, (6, 3, 3, 6), pads=ONE) for name, source in (("two", "one"), ("three", "two"))
    ]
    convs.append(int_conv(rng, "classes", "three", (5, 1, 1, 6), wide=True))
    return network_of(convs)


def network_of(convs: list) -> IntNetwork:
    nodes = (*convs, GlobalAverage(name="average", inputs=(convs[-1].output,), output="logits"))
    network = IntNetwork(name="graph", input="image", input_shape=(SIZE, SIZE, 3), nodes=nodes)
    verify_int_network(network)
    return network


def planned(plan: Plan, layers: Sequence[Layer], steps: Sequence[Step], memory: MemoryMap) -> Plan:
    """The plan with another schedule and memory map, proven; raises what ``checked_program`` does."""
    store = build_store(tuple(layers), plan.engine)
    program, bands = checked_program(plan.network, layers, steps, memory, store, plan.engine)
    return replace(
        plan, layers=tuple(layers), steps=tuple(steps), memory=memory, store=store, program=program, bands=bands,
        timing=predict(program, plan.engine),
    )  # fmt: skip


def interleaved(held: int, ahead: int = 2, engine: EngineConfig = ENGINE) -> Plan:
    """Row by row through all three convolutions, so that only ``held`` rows of each map between them are kept.

    ``ahead`` is how many rows a convolution runs ahead of the next one.
    """
    network = chain()
    plan = make_plan(network, load_board("zcu104"), PlanOptions(engine=engine))
    layers = plan.layers
    steps = []
    for row in range(SIZE + 2 * ahead):
        for layer in range(3):
            own = row - layer * ahead
            if 0 <= own < SIZE:
                steps.append(Step(layer, (own, own + 1)))
    steps.append(Step(3, (0, SIZE)))
    depth = {
        t: bank_words(rows * SIZE, -(-6 // engine.cin), engine.pix)
        for t, rows in (("one", held), ("two", held), ("three", SIZE))
    }
    rings, places, base = [], {}, 0
    for number, tensor in enumerate(depth):
        rings.append(Ring(name=tensor, first=0, last=3, depth=depth[tensor], base=base))
        places[tensor] = Place(number)
        base += depth[tensor]
    rings.append(Ring(name="gathered", first=0, last=0, depth=engine.act_depth - base, base=base))
    places["image"] = Place(len(rings) - 1)
    return planned(plan, layers, steps, MemoryMap(rings=tuple(rings), places=places))


def forked(engine: EngineConfig = ENGINE) -> tuple[IntNetwork, tuple[Layer, ...]]:
    """conv one; two reads one, and nobody two; three reads one, too, and the classes read three."""
    rng = np.random.default_rng(8)
    one = int_conv(rng, "one", "image", (6, 3, 3, 3), pads=ONE)
    two = int_conv(rng, "two", "one", (9, 3, 3, 6), pads=ONE)
    three = int_conv(rng, "three", "one", (7, 3, 3, 6), pads=ONE)
    classes = int_conv(rng, "classes", "three", (5, 3, 3, 7), pads=ONE, wide=True)
    to_two = int_conv(rng, "other", "two", (5, 1, 1, 9), wide=True)
    first, second, _ = lower(network_of([one, two, to_two]), engine)
    _, third, last = lower(network_of([one, three, classes]), engine)
    return network_of([one, two, three, classes]), (first, second, third, last)


def forked_plan(engine: EngineConfig = ENGINE) -> Plan:
    network, layers = forked(engine)
    stages = cut_into_stages(layers)
    fit = search(stages, all_choices(stages, engine), engine)
    base = make_plan(chain(), load_board("zcu104"), PlanOptions(engine=engine))
    return planned(replace(base, network=network), layers, schedule(stages, fit.chosen), fit.memory)


def interleaved_rows(engine: EngineConfig) -> Plan:
    return interleaved(held=4, engine=engine)
