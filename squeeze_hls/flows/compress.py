"""A model compressed until it fits: a board's room for weights, and the stages from file to integers."""

from __future__ import annotations

from squeeze_hls.board import Board, load_board
from squeeze_hls.engine.config import STORE_WORD_BITS
from squeeze_hls.flows.source import Source, calibration_set, read
from squeeze_hls.network.ir import Graph, IntNetwork
from squeeze_hls.network.pictures import PictureSet, stack
from squeeze_hls.plan.ahead import room_for_weights, words_of_weights
from squeeze_hls.progress import SILENT, Listener, tell
from squeeze_hls.quantize import integers, rate
from squeeze_hls.quantize.compression import Compressed
from squeeze_hls.quantize.compression import compress as compress_graph

MAX_PICTURES = 300  # with their mirror images all activations of a layer are held, 2.5 GB


def compress(
    source: Source, board: str | None, limit: int | None, seed: int, batches: int, listener: Listener
) -> tuple[Compressed, int]:
    """Compress a model for a board by name, or for so many bytes; also the bits of the store that it may fill."""
    chosen = calibration_set(source.calibration, listener, MAX_PICTURES)
    assert chosen is not None
    with listener.stage("load") as stage:
        graph, _ = read(source, listener)
        target = load_board(board) if board else None
        room = room_bits(graph, target) if target else 8 * (limit or 0)
        stage.outcome = f"{graph.name}, {room // 8:,} bytes for the weights"
    done = fit(graph, chosen, room, target, seed=seed, batches=batches, listener=listener)
    tell(done.network.notes, listener)
    return done, room


def fit(
    graph: Graph,
    chosen: PictureSet,
    room: int,
    board: Board | None,
    *,
    seed: int = 0,
    batches: int = 0,
    listener: Listener = SILENT,
) -> Compressed:
    """Compress a float network on pictures of any size to ``room`` bits, counted in the board's own store."""

    def stored_bits(network: IntNetwork) -> int:
        return words_of_weights(network, board) * STORE_WORD_BITS if board else rate.stored_bits(network)

    images = stack(chosen, graph.input_shape, graph.preprocess)
    return compress_graph(graph, images, room, stored_bits=stored_bits, listener=listener, seed=seed, batches=batches)


def room_bits(graph: Graph, board: Board) -> int:
    """Bits of the board's memory that are left for the resident weights of a network.

    Raises DoesNotFitError where there are none.
    """
    return room_for_weights(integers.hollow(graph), board) * STORE_WORD_BITS
