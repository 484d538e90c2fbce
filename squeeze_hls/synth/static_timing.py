"""Static timing of a netlist, register to register, before place and route: an estimate.

Delays of cells are known (``delays.py``), those of wires are not: models of them, which look at fan-out alone, stand
for a design that places well and for one that does not.  Paths from and to ports of the module are left out.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from squeeze_hls.synth import delays
from squeeze_hls.synth.cells import CLOCKS, FLIP_FLOPS, IGNORED, Bit
from squeeze_hls.synth.names import bit_names, cell_name

UNCERTAINTY_NS = 0.3  # of the clock: jitter and skew
PATHS = 12  # clusters that a report shows


@dataclass(frozen=True)
class NetModel:
    """The delay of a routed wire in ns, by the number of inputs it reaches."""

    name: str
    meaning: str
    delay: Callable[[int], float]


def _logarithmic(fanout: int) -> float:
    return 0.35 + 0.14 * math.log2(fanout)


NET_MODELS = (
    NetModel("flat45", "0.45 ns every wire", lambda fanout: 0.45),
    NetModel("opt", "0.35 ns + 0.14 a doubling of the fan-out, 1.3 at most", lambda f: min(1.3, _logarithmic(f))),
    NetModel(
        "mix",
        "as opt up to 64 loads, then 0.35 ns a doubling",
        lambda f: _logarithmic(f) if f <= 64 else _logarithmic(64) + 0.35 * math.log2(f / 64),
    ),
)
OPTIMISTIC, PESSIMISTIC = NET_MODELS[1], NET_MODELS[2]


@dataclass(frozen=True, kw_only=True)
class Path:
    """The slowest way into a cluster of end points: bits of one register, or of one input of a memory."""

    start: str
    end: str
    ns: float  # with clock-to-output and set-up time
    levels: int  # cells on the way
    fanout: int  # largest of a wire on the way
    module: str  # instance that the end is in, "" the top
    endpoints: int  # of the cluster
    failing: int  # of them, at the clock that was asked for


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What one model of wires says."""

    model: NetModel
    worst_ns: float
    endpoints: int
    failing: int
    paths: tuple[Path, ...]  # slowest first, all clusters

    @property
    def fmax_mhz(self) -> float:
        return 1000 / (self.worst_ns + UNCERTAINTY_NS)


class _Way(NamedTuple):
    source: Bit
    delay: float  # of the cell
    routed: bool


class _End(NamedTuple):
    bit: Bit
    setup: float
    routed: bool
    label: str
    module: str


@dataclass
class TimingGraph:
    """The registers, memories and gates of a flat module as Yosys' write_json gives it."""

    module: Mapping[str, Any]
    scale: float = 1.0  # of all delays: the speed grade
    ways: dict[Bit, list[_Way]] = field(default_factory=dict)  # into each bit that a gate drives
    starts: dict[Bit, tuple[float, str]] = field(default_factory=dict)  # clock-to-output time, and port
    ends: list[_End] = field(default_factory=list)

    def __post_init__(self) -> None:
        cells = self.module["cells"]
        self._driver: dict[Bit, tuple[str, str, str]] = {}  # cell, its type, port
        self.fanout: Counter[Bit] = Counter()
        self._names = bit_names(self.module)
        for name, cell in cells.items():
            for port, direction in cell["port_directions"].items():
                for bit in cell["connections"].get(port, ()):
                    if direction == "output":
                        self._driver[bit] = name, cell["type"], port
                    elif port not in CLOCKS:
                        self.fanout[bit] += 1
        for name, cell in cells.items():
            if cell["type"] not in IGNORED:
                self._add(name, cell)

    def _add(self, name: str, cell: Mapping[str, Any]) -> None:
        kind = cell["type"]
        for start in delays.starts(cell):
            self.starts[start.bit] = start.delay, start.port
        for arc, delay in delays.through(cell):
            way = _Way(arc.source, delay, self._routed(arc.source, kind, arc.port))
            self.ways.setdefault(arc.target, []).append(way)
        label = None
        for end in delays.setups(cell):
            label = label or cell_name(name, cell, self._names)
            self.ends.append(
                _End(end.bit, end.setup, self._routed(end.bit, kind, end.port), *_cluster(label, kind, end.port))
            )

    def _routed(self, bit: Bit, load: str, port: str) -> bool:
        _, driver, output = self._driver.get(bit, ("", "", ""))
        return not delays.dedicated(driver, output, load, port, self.fanout[bit])

    @cached_property
    def order(self) -> list[Bit]:
        """Driven bits, each after those it follows; ValueError for a combinational loop."""
        waiting = {bit: sum(way.source in self.ways for way in ways) for bit, ways in self.ways.items()}
        followers: dict[Bit, list[Bit]] = defaultdict(list)
        for bit, ways in self.ways.items():
            for way in ways:
                followers[way.source].append(bit)
        ready = [bit for bit, count in waiting.items() if not count]
        for bit in ready:
            for follower in followers[bit]:
                waiting[follower] -= 1
                if not waiting[follower]:
                    ready.append(follower)
        if len(ready) != len(self.ways):
            raise ValueError("the netlist has a combinational loop")
        return ready

    def analyse(self, model: NetModel, clock_mhz: float) -> Analysis:
        """Arrival times at all end points, and the clusters they form."""
        wire = {bit: self.scale * model.delay(max(1, count)) for bit, count in self.fanout.items()}
        arrival = {bit: self.scale * delay for bit, (delay, _) in self.starts.items()}
        before: dict[Bit, Bit] = {}
        for bit in self.order:
            best = arrival.get(bit, -math.inf)
            for way in self.ways[bit]:
                time = arrival.get(way.source, -math.inf) + self.scale * way.delay + way.routed * wire[way.source]
                if time > best:
                    best, before[bit] = time, way.source
            arrival[bit] = best
        budget = 1000 / clock_mhz - UNCERTAINTY_NS
        clusters: dict[tuple[str, str], list[tuple[float, Bit]]] = defaultdict(list)
        for end in self.ends:
            if (time := arrival.get(end.bit, -math.inf)) > 0:
                total = time + end.routed * wire[end.bit] + self.scale * end.setup
                clusters[end.label, end.module].append((total, end.bit))
        paths = []
        for (label, module), members in clusters.items():
            worst, bit = max(members, key=lambda member: member[0])
            failing = sum(total > budget for total, _ in members)
            paths.append(self._path(bit, before, label, module, worst, len(members), failing))
        paths.sort(key=lambda path: (-path.ns, path.end, path.start))
        return Analysis(
            model=model,
            worst_ns=paths[0].ns if paths else 0.0,
            endpoints=sum(path.endpoints for path in paths),
            failing=sum(path.failing for path in paths),
            paths=tuple(paths),
        )

    def _path(
        self, bit: Bit, before: Mapping[Bit, Bit], label: str, module: str, ns: float, endpoints: int, failing: int
    ) -> Path:
        levels, fanout = 0, self.fanout[bit]
        while bit in before:
            levels += self._driver[bit][1] != "INV"
            bit = before[bit]
            fanout = max(fanout, self.fanout[bit])
        name, kind, port = self._driver[bit]
        start = cell_name(name, self.module["cells"][name], self._names)
        start = start if kind in FLIP_FLOPS else f"{start} {port}"
        return Path(
            start=without_indices(start), end=label, ns=ns, levels=levels, fanout=fanout, module=module,
            endpoints=endpoints, failing=failing,
        )  # fmt: skip

    def fanouts(self) -> Iterator[tuple[int, str]]:
        """Loads of every register, memory and shift register output, most first, with its name."""
        loads = ((self.fanout[bit], bit) for bit in self.starts)
        for count, bit in heapq.nlargest(50, loads, key=lambda entry: entry[0]):
            name, kind, port = self._driver[bit]
            yield count, self._names.get(bit) or f"{cell_name(name, self.module['cells'][name], self._names)} {port}"


def _cluster(label: str, kind: str, port: str) -> tuple[str, str]:
    """Name of the cluster that an end point belongs to, and the instance it is in."""
    name = without_indices(label)
    module = name.rpartition(".")[0]
    return name if kind in FLIP_FLOPS and port == "D" else f"{name} {without_digits(port)}", module


def without_indices(name: str) -> str:
    return re.sub(r"\[\d+\]", "", name)


def without_digits(port: str) -> str:
    return re.sub(r"\d+$", "", port)
