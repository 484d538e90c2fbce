"""Multipliers and biases at which outputs change where the model's do.

A quantized model gives output ``k`` from that sum of products on for which ``(products + bias) * factor`` rounds to
``k``.  The engine's factor has 17 bits and its bias is an integer, so that some of these thresholds may lie one sum
off; with the few steps of low-bit activations, and channels whose sums pile up on them, that is seen.  A
neighbouring multiplier or bias often puts them right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from squeeze_hls.network import arith
from squeeze_hls.network.ir import IntConv

NEIGHBOURS = 8  # multipliers on either side that are tried
WORTH_SAYING = 0.005  # of the outputs of a convolution
FAR = 2.0**40  # beyond all sums of products
TIE = 1e-9  # relative: a threshold this near to an integer is a sum that lies exactly on a half


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted:
    """A convolution, and how many of its thresholds within reach are not the model's."""

    conv: IntConv
    wrong: int
    thresholds: int
    share: float  # of the outputs, about: those whose sum lies between the model's threshold and ours


def fit(conv: IntConv, bias: np.ndarray, factor: np.ndarray) -> Fitted:
    """``conv`` with the multipliers and biases that give most thresholds of the real ones.

    ``bias`` (O,) is real, in accumulator units, ``factor`` (O,) the real value of such a unit in output steps.  The
    model rounds halves to even.  Channels whose thresholds are all right, and u16 outputs, stay as they are.
    """
    if conv.top > arith.ACTIVATION_MAX:
        return Fitted(conv=conv, wrong=0, thresholds=0, share=0.0)
    steps = np.arange(1, conv.top + 1)
    wanted = _wanted(steps, bias, factor)
    flat = conv.weight.reshape(len(bias), -1).astype(np.int64)
    lowest, highest = (arith.ACTIVATION_MAX * part.sum(axis=1) for part in (np.minimum(flat, 0), np.maximum(flat, 0)))
    reached = (wanted > lowest[:, None]) & (wanted <= highest[:, None])
    multiplier, offset = conv.multiplier.astype(np.int64), conv.bias.astype(np.int64)

    def wrong(rows: np.ndarray, more: int, higher: int) -> np.ndarray:
        """Thresholds that are not the model's, of channels with another multiplier and bias."""
        m = multiplier[rows] + more
        half = (2 * steps - 1) << (conv.shift[rows].astype(np.int64)[:, None] - 1)
        found = -(-half // m[:, None]) - (offset[rows] + higher)[:, None]
        count = ((found != wanted[rows]) & reached[rows]).sum(axis=1)
        inside = (m >= arith.MULTIPLIER_MIN) & (m <= arith.MULTIPLIER_MAX)
        return np.where(inside, count, len(steps) + 1)

    everything = np.arange(len(bias))
    best = wrong(everything, 0, 0)
    rows = everything[best > 0]
    least, chosen = best[rows], np.zeros((len(rows), 2), np.int64)
    tried = [(m, b) for m in range(-NEIGHBOURS, NEIGHBOURS + 1) for b in (-1, 0, 1)]
    for more, higher in sorted(tried, key=lambda t: (abs(t[1]), abs(t[0]))):
        count = wrong(rows, more, higher)
        better = count < least
        least, chosen[better] = np.where(better, count, least), (more, higher)
    best[rows] = least
    multiplier[rows] += chosen[:, 0]
    offset[rows] += chosen[:, 1]
    fitted = replace(conv, multiplier=multiplier.astype(np.int32), bias=offset.astype(np.int32))
    within = max(int(reached.sum()), 1)
    return Fitted(conv=fitted, wrong=int(best.sum()), thresholds=within, share=float(best @ factor) / within)


def _wanted(steps: np.ndarray, bias: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The least sums of products (O, steps), int64, at which the model's outputs reach each step."""
    exact = np.clip((steps - 0.5) / factor[:, None] - bias[:, None], -FAR, FAR)
    near = np.rint(exact)
    on_half = np.abs(exact - near) <= TIE * np.maximum(np.abs(exact), 1)
    even = steps % 2 == 0  # a half goes to the even one of its neighbours
    return np.where(on_half, near + ~even, np.ceil(exact)).astype(np.int64)


def note(found: list[Fitted]) -> tuple[str, ...]:
    """What the user should know where thresholds stay wrong."""
    seen = [f for f in found if f.share > WORTH_SAYING]
    if not seen:
        return ()
    worst = max(seen, key=lambda f: f.share)
    return (
        f"{len(seen)} convolutions give some outputs one step beside the model's, '{worst.conv.name}' about "
        f"{worst.share:.1%} of them: sums on exact halves are rounded up, not to even, and biases to whole sums.",
    )
