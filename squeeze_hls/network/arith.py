"""The integer arithmetic, defined once.

Everything that computes (golden model, program executor, HLS C++, RTL) cites this module.

==============  ==========================================================================
image           u8, H x W x 3, raw pixels
activations     u8, one scale per tensor, zero point 0
weights         s6 in [-32, 31], one scale per output channel, zero point 0
bias            s24 at scale ``s_in * s_w``
accumulator     s24, proven to be exact from the actual weights (``accumulator_bound``)
requantize      ``y = clamp((acc * M + 2**(S - 1)) >> S, 0, top)``, arithmetic shift
multiplier M    u17 in [2**16, 2**17), per output channel
shift S         per output channel ``S_layer - offset``, offset in [0, 15], 1 <= S <= 41
addition        ``y = clamp((sum(x_i * A_i) + 2**15) >> 16, 0, top)``, u8 ``x_i`` of any scales
multiplier A    u24, ``scale_i / scale_out`` in units of 2**-16
==============  ==========================================================================

``top`` is 255 for activations and 65535 for the last convolution, whose outputs are summed over
the pixels of each channel to the s32 logits.  A network that was quantized to fewer steps, or with a
clipped range, has a smaller one.
"""

from __future__ import annotations

import math

import numpy as np

ACTIVATION_MAX = 255
WIDE_MAX = 65535
WEIGHT_BITS = 6
WEIGHT_MIN, WEIGHT_MAX = -32, 31
ACCUMULATOR_BITS = 24
ACCUMULATOR_MAX = 2 ** (ACCUMULATOR_BITS - 1) - 1
MULTIPLIER_MIN, MULTIPLIER_MAX = 2**16, 2**17 - 1
SHIFT_MIN, SHIFT_MAX = 1, 41
SHIFT_OFFSET_MAX = 15
LOGIT_MAX = 2**31 - 1
ADD_SHIFT = 16
ADD_MULTIPLIER_END = 2**24


def requantize(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, top: int) -> np.ndarray:
    """Scale accumulators to activations.

    ``acc`` is (..., C) of any integer type and already holds the bias; ``multiplier`` and ``shift``
    are (C,); returns int64 (..., C) in [0, top].  Halves round up (towards +infinity).
    """
    product = acc.astype(np.int64) * multiplier.astype(np.int64)
    shift = shift.astype(np.int64)
    rounded = (product + (np.int64(1) << (shift - 1))) >> shift
    return np.clip(rounded, 0, top)


def multiplier_and_shift(scale: float) -> tuple[int, int]:
    """Write a positive real factor as ``M * 2**-S`` with M in [2**16, 2**17).

    Raises ValueError where S leaves [1, 41].
    """
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"the factor must be positive and finite, not {scale}")
    mantissa, exponent = math.frexp(scale)  # scale = mantissa * 2**exponent, mantissa in [0.5, 1)
    multiplier = round(mantissa * 2**17)
    shift = 17 - exponent
    if multiplier == 2**17:
        multiplier, shift = 2**16, shift - 1
    if not SHIFT_MIN <= shift <= SHIFT_MAX:
        raise ValueError(f"the factor {scale} needs a shift of {shift}, outside [{SHIFT_MIN}, {SHIFT_MAX}]")
    return multiplier, shift


def accumulator_bound(weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Largest possible magnitude of any (partial) accumulator, per output channel.

    ``weight`` is (O, ...) integer, ``bias`` (O,); returns int64 (O,):
    ``255 * sum(abs(w)) + abs(bias)``.
    """
    flat = np.abs(weight.astype(np.int64)).reshape(weight.shape[0], -1)
    return ACTIVATION_MAX * flat.sum(axis=1) + np.abs(bias.astype(np.int64))


def conv_size(size: int, kernel: int, stride: int, pad_before: int, pad_after: int) -> int:
    """Output rows (or columns) of a convolution."""
    return (size + pad_before + pad_after - kernel) // stride + 1


def pool_size(size: int, kernel: int, stride: int, ceil: bool) -> int:
    """Output rows (or columns) of an unpadded pooling; with ``ceil`` a cut-off last window counts.

    A last window that would start beyond the input does not count, as in Caffe and PyTorch.
    """
    if not ceil:
        return (size - kernel) // stride + 1
    out = -(-(size - kernel) // stride) + 1
    return out - 1 if (out - 1) * stride >= size else out
