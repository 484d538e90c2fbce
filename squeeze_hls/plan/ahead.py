"""What a network's shapes alone say about it on a board, before its integers are known.

Finding the integers takes most of a build's time, so whatever can be refused without them is refused here.
"""

from __future__ import annotations

from dataclasses import replace

from squeeze_hls.board import Board
from squeeze_hls.engine.config import BRAM_WORDS, URAM_WORDS, EngineConfig, power_of_two_pieces
from squeeze_hls.engine.resources import resources
from squeeze_hls.errors import DoesNotFitError
from squeeze_hls.network.ir import IntNetwork
from squeeze_hls.plan.planner import (
    check_board,
    engine_layers,
    fit_activations,
    fit_frozen,
    size_activations,
    with_store,
    without_memories,
)


def check_shapes(network: IntNetwork, board: Board, engine: EngineConfig | None = None) -> None:
    """Raise DoesNotFitError where no weights at all would make the network fit the board, or its frozen engine."""
    if engine is not None:
        fit_frozen(engine_layers(network, engine), engine)
        return
    sized, layers = without_memories(network, board)
    check_board(board, resources(sized), ("dsp",))  # what else the engine takes depends on its weight store
    fit_activations(sized, layers, board)


def words_of_weights(network: IntNetwork, board: Board) -> int:
    """72-bit words that the resident weights of a network take on a board, whether there is room for them or not."""
    return with_store(*without_memories(network, board), board)[1].words


def room_for_weights(network: IntNetwork, board: Board) -> int:
    """The most 72-bit words that resident weights of a network's shape may take on a board.

    The activations get the least memory with which the network can be computed.
    Raises DoesNotFitError where nothing is left for the weights.
    """
    sized, layers = without_memories(network, board)
    if board.available_uram:
        return board.available_uram * URAM_WORDS

    def plan_with(blocks: int) -> None:
        pieces = power_of_two_pieces(blocks * BRAM_WORDS, BRAM_WORDS)
        size_activations(replace(sized, store_pieces=pieces), layers, board)

    plan_with(1)
    low, high = 1, board.available_bram36  # bisection: `low` fits
    while high - low > 1:
        middle = (low + high) // 2
        try:
            plan_with(middle)
            low = middle
        except DoesNotFitError:
            high = middle
    return low * BRAM_WORDS
