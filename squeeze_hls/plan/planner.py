"""IntNetwork, board and options -> Plan: everything that the back ends and the driver need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from squeeze_hls.board import Board
from squeeze_hls.engine.addresses import pooled
from squeeze_hls.engine.config import BRAM_WORDS, URAM_WORDS, EngineConfig, power_of_two_pieces
from squeeze_hls.engine.program import Program, check_capacity, pack_program
from squeeze_hls.engine.resources import Resources, resources, store_blocks
from squeeze_hls.engine.timing import Timing, predict
from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import IntNetwork, verify_int_network
from squeeze_hls.plan import overview
from squeeze_hls.plan.assemble import Band, assemble
from squeeze_hls.plan.checks import check_program, set_waits
from squeeze_hls.plan.hazards import prove
from squeeze_hls.plan.limits import MAX_TILE_WORDS, check_limits
from squeeze_hls.plan.lowering import Layer, lower
from squeeze_hls.plan.memory import MemoryMap
from squeeze_hls.plan.schedule import Choice, Stage, Step, cut_into_stages, schedule
from squeeze_hls.plan.search import Fit, all_choices, any_fit, search
from squeeze_hls.plan.weights import Store, build_store

TABLES = 8  # of the entropy code; 4 would take half a percent more (docs/entropy.md)
WORTHWHILE = 1.002  # a smaller activation memory is taken when it costs less than this factor in cycles


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """What the user chooses."""

    weights: str = "auto"  # "auto", "resident" or "streamed"
    clock_mhz: float | None = None  # default: the board's
    engine: EngineConfig | None = None  # plan for this frozen engine


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Plan:
    """A network on an engine.  All cycles are predicted; ``print(plan)`` shows it layer by layer."""

    network: IntNetwork
    board: Board
    engine: EngineConfig
    clock_mhz: float
    layers: tuple[Layer, ...]
    stages: tuple[Stage, ...]
    chosen: tuple[Choice, ...]
    steps: tuple[Step, ...]  # in the order of the instructions
    memory: MemoryMap
    store: Store
    program: Program
    bands: tuple[Band, ...]
    timing: Timing
    resources: Resources

    @property
    def residency(self) -> str:
        return "streamed" if self.engine.streamed else "resident"

    @cached_property
    def program_bin(self) -> bytes:
        """Payload of the program packet."""
        return pack_program(self.program)

    @property
    def weights_bin(self) -> bytes:
        """The weight store, 9 bytes a word."""
        return self.store.data

    @cached_property
    def stream_bin(self) -> bytes:
        """What is streamed for each frame in streamed mode: a layer's words for each of its instructions."""
        if not self.engine.streamed:
            return b""
        return b"".join(self.store.layer_slice(band.layer) for band in self.bands)

    @property
    def macs(self) -> int:
        """Multiplications a frame, as the network defines them."""
        return sum(layer.macs for layer in self.layers)

    @property
    def ideal_cycles(self) -> int:
        """Cycles if every product of the array were useful in every cycle."""
        return -(-self.macs // self.engine.macs)

    @property
    def utilization(self) -> float:
        return self.ideal_cycles / self.timing.total

    @property
    def cycles(self) -> int:
        """Cycles of one picture."""
        return int(self.timing.total)

    @property
    def fps(self) -> float:
        """Pictures a second at ``clock_mhz``."""
        return self.clock_mhz * 1e6 / self.timing.total

    @property
    def table(self) -> tuple[overview.LayerRow, ...]:
        """What each layer takes, in the order of computation."""
        return overview.layer_rows(self)

    def __repr__(self) -> str:
        return f"<Plan of {self.network.name} on {self.board.name}: {self.cycles:,} cycles, weights {self.residency}>"

    def __str__(self) -> str:
        return overview.text(self)

    def _repr_html_(self) -> str:
        return overview.html(self)


def make_plan(network: IntNetwork, board: Board, options: PlanOptions | None = None) -> Plan:
    """Plan a network for a board, or for a frozen engine.

    Raises DoesNotFitError naming what is short by how much and what would fit, or what the engine cannot compute.
    """
    options = options or PlanOptions()
    verify_int_network(network)
    if options.weights not in ("auto", "resident", "streamed"):
        raise InputError(f"weights: '{options.weights}' is none of auto, resident, streamed")
    clock = options.clock_mhz or board.clock_mhz
    if options.engine is not None:
        layers = engine_layers(network, options.engine)
        return _finish(network, board, clock, options.engine, layers, build_store(layers, options.engine))
    sized, layers = without_memories(network, board)
    engine, fit, store = _size_memories(sized, layers, board, options.weights)
    return _finish(network, board, clock, engine, layers, store, fit)


def engine_layers(network: IntNetwork, engine: EngineConfig) -> tuple[Layer, ...]:
    """What the engine computes one after the other; raises DoesNotFitError where it cannot."""
    layers = lower(network, engine)
    check_limits(layers, engine)
    return layers


def without_memories(network: IntNetwork, board: Board) -> tuple[EngineConfig, tuple[Layer, ...]]:
    """The board's array and what it computes; memories for weights and activations are not sized yet."""
    bare = EngineConfig(
        pix=board.pix, cin=board.cin, cout=board.cout, act_pieces=(BRAM_WORDS,), tile_words=MAX_TILE_WORDS
    )
    layers = engine_layers(network, bare)
    return _size_tables(bare, layers), layers


def _power_of_two(value: int, smallest: int) -> int:
    return max(smallest, 1 << (value - 1).bit_length())


def _size_tables(engine: EngineConfig, layers: tuple[Layer, ...]) -> EngineConfig:
    """Depths of tile and tables: the defaults, so that bitstreams are shared, or more where the network needs it."""
    deepest = max(layer.tile_depth(g) for layer in layers for g in range(layer.groups))
    params = sum(half.groups * engine.cout for layer in layers for half in layer.halves)
    carry = max((_carry_words(layer, engine) for layer in layers if layer.pool), default=0)
    return replace(
        engine,
        tile_words=max(EngineConfig.tile_words, deepest),
        param_depth=_power_of_two(params, EngineConfig.param_depth),
        layer_depth=_power_of_two(len(layers), EngineConfig.layer_depth),
        carry_words=_power_of_two(carry, EngineConfig.carry_words),
    )


def _carry_words(layer: Layer, engine: EngineConfig) -> int:
    assert layer.pool is not None
    columns = pooled(layer.conv_shape[1], layer.pool.kernel, layer.pool.ceil)
    return len(layer.halves) * layer.groups * columns * (engine.cout // engine.cin)


def _size_memories(
    engine: EngineConfig, layers: tuple[Layer, ...], board: Board, weights: str
) -> tuple[EngineConfig, Fit, Store]:
    """Give the weights their store, and the activations what is left, as little of it as costs no speed."""
    if weights != "streamed":
        resident, store = with_store(engine, layers, board)
        try:
            return *size_activations(resident, layers, board), store
        except DoesNotFitError as error:
            if weights == "resident":
                raise DoesNotFitError(_resident_refusal(resident, store, board, error)) from None
    return *size_activations(engine, layers, board), build_store(layers, engine)


def with_store(engine: EngineConfig, layers: tuple[Layer, ...], board: Board) -> tuple[EngineConfig, Store]:
    """The engine with a store, and with a decoder of the entropy code where it is used and the board has the LUTs."""
    plain = replace(engine, store_pieces=(BRAM_WORDS,))
    coded = replace(plain, tables=TABLES)
    if resources(coded).lut <= board.available_lut and (store := build_store(layers, coded)).tables:
        engine = coded
    else:
        engine, store = plain, build_store(layers, plain)
    if store.words <= board.available_uram * URAM_WORDS:
        return replace(engine, store_pieces=power_of_two_pieces(store.words, URAM_WORDS), store_uram=True), store
    return replace(engine, store_pieces=power_of_two_pieces(store.words, BRAM_WORDS)), store


def size_activations(engine: EngineConfig, layers: tuple[Layer, ...], board: Board) -> tuple[EngineConfig, Fit]:
    """The engine with as little activation memory as costs no speed."""
    stages = cut_into_stages(layers)
    options = all_choices(stages, engine)

    def at(count: int) -> tuple[EngineConfig, Fit]:
        sized = _with_activations(engine, count)
        return sized, search(stages, options, sized)

    steps = _activation_steps(engine, board)
    best = at(steps)
    fastest = best[1].cycles
    low, high = 0, steps  # bisection: `high` fits and is fast enough
    while high - low > 1:
        middle = (low + high) // 2
        try:
            trial = at(middle)
        except DoesNotFitError:
            low = middle
            continue
        if trial[1].cycles <= fastest * WORTHWHILE:
            high, best = middle, trial
        else:
            low = middle
    return best


def fit_activations(engine: EngineConfig, layers: tuple[Layer, ...], board: Board) -> Fit:
    """Some bands and memory map with all the memory that the board has left."""
    stages = cut_into_stages(layers)
    sized = _with_activations(engine, _activation_steps(engine, board))
    return any_fit(stages, all_choices(stages, engine), sized)


def _smallest_activations(engine: EngineConfig) -> int:
    """Words of each bank, in steps of which it grows."""
    return BRAM_WORDS if engine.cin >= 8 else 2 * BRAM_WORDS


def _with_activations(engine: EngineConfig, count: int) -> EngineConfig:
    smallest = _smallest_activations(engine)
    return replace(engine, act_pieces=power_of_two_pieces(count * smallest, smallest))


def _activation_steps(engine: EngineConfig, board: Board) -> int:
    """The largest activation memory that the board has room for; raises DoesNotFitError where there is none."""
    one, two = (resources(_with_activations(engine, count)).bram36 for count in (1, 2))
    steps = (board.available_bram36 - one) // (two - one) + 1
    if steps < 1:
        raise DoesNotFitError(f"BRAM36: {one} needed at least, {board.available_bram36} available on {board.name}")
    return min(steps, 65536 // _smallest_activations(engine))


def _resident_refusal(engine: EngineConfig, store: Store, board: Board, error: DoesNotFitError) -> str:
    need, have = resources(engine).bram36, board.available_bram36
    if need <= have:
        return f"{error}; try --weights streamed, or a board with more memory"
    weights = store_blocks(store.words)
    return (
        f"resident weights do not fit {board.name}: BRAM36 needed {need} at least ({weights} for {len(store.data):,} "
        f"bytes of encoded weights), {have} available. What fits: --weights streamed, a model pruned until its "
        f"encoded weights take at most {max(0, have - (need - weights))} BRAM36, or a larger board (zcu104, kv260)"
    )


def _finish(
    network: IntNetwork,
    board: Board,
    clock: float,
    engine: EngineConfig,
    layers: tuple[Layer, ...],
    store: Store,
    fit: Fit | None = None,
) -> Plan:
    stages = cut_into_stages(layers)
    if not engine.streamed and store.words > engine.store_words:
        raise DoesNotFitError(
            f"the weights take {store.words:,} words of the store, engine {engine.id} has {engine.store_words:,}"
        )
    fit = fit or fit_frozen(layers, engine)
    steps = schedule(stages, fit.chosen)
    program, bands = checked_program(network, layers, steps, fit.memory, store, engine)
    used = resources(engine)
    plan = Plan(
        network=network,
        board=board,
        engine=engine,
        clock_mhz=clock,
        layers=layers,
        stages=stages,
        chosen=fit.chosen,
        steps=steps,
        memory=fit.memory,
        store=store,
        program=program,
        bands=bands,
        timing=predict(program, engine),
        resources=used,
    )
    check_board(board, used)
    return plan


def checked_program(
    network: IntNetwork,
    layers: Sequence[Layer],
    steps: Sequence[Step],
    memory: MemoryMap,
    store: Store,
    engine: EngineConfig,
) -> tuple[Program, tuple[Band, ...]]:
    """The program of a schedule, with its waits, proven; and what its instructions mean.

    Raises DoesNotFitError where the engine's tables are too small, HazardError where a row would not be there when it
    is read, PlanError for what else is wrong with schedule or memory map.
    """
    program, bands = assemble(network, layers, steps, memory, store, engine)
    check_capacity(program, engine)
    set_waits(program, engine)
    check_program(program, engine)
    prove(program, layers, bands, engine)
    return program, bands


def fit_frozen(layers: tuple[Layer, ...], engine: EngineConfig) -> Fit:
    """Bands and memory map on an engine whose memories have their sizes."""
    records = sum(half.groups for layer in layers for half in layer.halves) * engine.cout
    carry = max((_carry_words(layer, engine) for layer in layers if layer.pool), default=0)
    for what, need, have in (
        ("layers", len(layers), engine.layer_depth),
        ("output channels in all", records, engine.param_depth),
        ("words to carry between bands that are pooled", carry, engine.carry_words),
    ):
        if need > have:
            raise DoesNotFitError(
                f"the network has {need:,} {what}, engine {engine.id} holds {have:,}. Build for the board without "
                "--engine."
            )
    stages = cut_into_stages(layers)
    return search(stages, all_choices(stages, engine), engine)


def check_board(board: Board, used: Resources, names: tuple[str, ...] = ("dsp", "bram36", "lut", "ff")) -> None:
    """Raise DoesNotFitError where the engine takes more of something than the board has."""
    for name in names:
        need, have = getattr(used, name), getattr(board, f"available_{name}")
        if need > have:
            raise DoesNotFitError(
                f"{name.upper()}: {need:,} needed, {have:,} available on {board.name}; use a smaller array or a bigger "
                "board"
            )
