"""The operators of a network: what each reads and writes, and what it says of itself.

A node is a value.  It knows its shape, its type, how it prints, which of its tensors share a scale and which rules its
integers must keep; it computes nothing.  Each stage that computes has a table of its own, from the class of a node to
a function: ``golden.COMPUTE``, ``FORWARD``, ``EXACT`` and ``GRADIENT`` of ``quantize.operators``, ``export.WRITE`` and
others.  ``tests/conformance`` holds that no table lacks a row and that all tables mean the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from squeeze_hls.errors import InputError
from squeeze_hls.network import arith
from squeeze_hls.network.tensors import Operator

Shape = tuple[int, int, int]  # height, width, channels


def type_max(wide: bool) -> int:
    """Largest value of a u8 or (``wide``) u16 feature map."""
    return arith.WIDE_MAX if wide else arith.ACTIVATION_MAX


@dataclass(frozen=True, kw_only=True)
class Pads:
    """Zero (or, for the image, mean) pixels around a feature map."""

    top: int = 0
    left: int = 0
    bottom: int = 0
    right: int = 0

    def __bool__(self) -> bool:
        return any((self.top, self.left, self.bottom, self.right))

    def __str__(self) -> str:
        sides = (self.top, self.left, self.bottom, self.right)
        return str(sides[0]) if len(set(sides)) == 1 else ",".join(map(str, sides))


@dataclass(frozen=True, kw_only=True, eq=False)
class Node(Operator, ABC):
    """An operator of a network."""

    name: str

    rounds: ClassVar[bool] = False  # its output is rounded to a scale of its own
    shares_scale: ClassVar[bool] = False  # its output holds values of its inputs: all have one scale

    def shape(self, inputs: Sequence[Shape]) -> Shape:
        """Shape of the output; raises InputError where the inputs do not fit, or nothing would be left of them."""
        out = self._shape(inputs)
        if min(out) < 1:
            raise InputError(f"{self.name}: the output would be empty ({out[0]} x {out[1]}); the picture is too small")
        return out

    @abstractmethod
    def _shape(self, inputs: Sequence[Shape]) -> Shape: ...

    def type_name(self, source: str) -> str:
        """Type of the output's elements, where those of the first input have type ``source``."""
        return source

    @property
    @abstractmethod
    def text(self) -> str:
        """The operator as networks print it, without its tensors."""

    def verify(self) -> None:
        """Check the rules of ``arith`` on the node's integers, if it has any; InputError at the first broken one."""


# --- convolutions ---


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Node):
    """What float and integer convolutions have in common."""

    weight: np.ndarray  # (O, kh, kw, I)
    bias: np.ndarray  # (O,)
    stride: int
    pads: Pads

    unary = True
    rounds = True

    @property
    def kernel(self) -> tuple[int, int]:
        return self.weight.shape[1], self.weight.shape[2]

    @property
    def outputs(self) -> int:
        """Output channels."""
        return self.weight.shape[0]

    def _shape(self, inputs: Sequence[Shape]) -> Shape:
        ((height, width, channels),) = inputs
        kh, kw = self.kernel
        if self.weight.shape[3] != channels:
            raise InputError(
                f"{self.name}: the weights want {self.weight.shape[3]} input channels, "
                f"'{self.inputs[0]}' has {channels}"
            )
        return (
            arith.conv_size(height, kh, self.stride, self.pads.top, self.pads.bottom),
            arith.conv_size(width, kw, self.stride, self.pads.left, self.pads.right),
            self.outputs,
        )

    @property
    def text(self) -> str:
        kh, kw = self.kernel
        stride = f"/{self.stride}" if self.stride != 1 else ""
        return f"conv{kh}x{kw}{stride}" + (f" pad {self.pads}" if self.pads else "")


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Convolution):
    """Floating-point convolution, weights and bias float32, with an optional ReLU."""

    relu: bool
    weight_scale: np.ndarray | None = None  # float64 (O,): weight / scale are integers in [-32, 31]

    def type_name(self, source: str) -> str:
        return "f32"

    @property
    def text(self) -> str:
        return super().text + (" relu" if self.relu else "")


@dataclass(frozen=True, kw_only=True, eq=False)
class IntConv(Convolution):
    """Integer convolution, then requantization (which includes the ReLU).

    The weights are int8 in [-32, 31], the bias is int32 that fits 24 bits.
    """

    multiplier: np.ndarray  # int32 (O,) in [2**16, 2**17)
    shift: np.ndarray  # int32 (O,)
    wide: bool = False  # u16 output: the convolution whose outputs are averaged
    limit: int | None = None  # largest output value, where that is not the largest of its type

    @property
    def top(self) -> int:
        """Largest output value."""
        return type_max(self.wide) if self.limit is None else self.limit

    def type_name(self, source: str) -> str:
        return "u16" if self.wide else "u8"

    def verify(self) -> None:
        most = type_max(self.wide)
        for label, values in (("bias", self.bias), ("multiplier", self.multiplier), ("shift", self.shift)):
            self._check(values.shape == (self.outputs,), f"{label} has shape {values.shape}, not ({self.outputs},)")
        self._check(_within(self.weight, arith.WEIGHT_MIN, arith.WEIGHT_MAX), "weights leave [-32, 31]")
        multipliers_fit = _within(self.multiplier, arith.MULTIPLIER_MIN, arith.MULTIPLIER_MAX)
        self._check(multipliers_fit, "multipliers leave [2^16, 2^17)")
        self._check(1 <= self.top <= most, f"the largest output {self.top} is not in [1, {most}]")
        self._check(_within(self.shift, arith.SHIFT_MIN, arith.SHIFT_MAX), "shifts leave [1, 41]")
        self._check(int(np.ptp(self.shift)) <= arith.SHIFT_OFFSET_MAX, "shifts are more than 15 apart")
        bound = arith.accumulator_bound(self.weight, self.bias)
        worst = int(bound.argmax())
        self._check(
            bound[worst] <= arith.ACCUMULATOR_MAX,
            f"output channel {worst} can reach {bound[worst]} in the accumulator, more than "
            f"{arith.ACCUMULATOR_MAX} (24 bits signed). Quantize with smaller weights for this channel.",
        )

    def _check(self, good: bool, what: str) -> None:
        if not good:
            raise InputError(f"{self.name}: {what}")


def _within(values: np.ndarray, low: int, high: int) -> bool:
    return bool(values.min() >= low and values.max() <= high)


# --- sums ---


@dataclass(frozen=True, kw_only=True, eq=False)
class Sum(Node):
    """What float and integer additions have in common."""

    rounds = True

    def _shape(self, inputs: Sequence[Shape]) -> Shape:
        if len(set(inputs)) != 1:
            raise InputError(f"{self.name}: the added feature maps differ in shape: {list(inputs)}")
        return inputs[0]

    @property
    def text(self) -> str:
        return "add"


@dataclass(frozen=True, kw_only=True)
class Add(Sum):
    """Element-wise sum of feature maps, as in a bypass network."""


@dataclass(frozen=True, kw_only=True)
class IntAdd(Sum):
    """Element-wise sum of u8 feature maps, each with a scale of its own: see ``arith``."""

    multiplier: tuple[int, ...]  # of each input: its scale / the output's, in 2**-16
    top: int = arith.ACTIVATION_MAX  # largest output value

    def verify(self) -> None:
        fits = len(self.multiplier) == len(self.inputs)
        fits &= all(0 < m < arith.ADD_MULTIPLIER_END for m in self.multiplier)
        if not fits or not 1 <= self.top <= arith.ACTIVATION_MAX:
            raise InputError(
                f"{self.name}: the scales of what is added and of the sum are more than a factor of 256 apart"
            )


# --- operators without arithmetic of their own stand in both networks ---


@dataclass(frozen=True, kw_only=True)
class MaxPool(Node):
    """Unpadded max pooling."""

    kernel: int
    stride: int
    ceil: bool

    unary = True
    shares_scale = True

    def _shape(self, inputs: Sequence[Shape]) -> Shape:
        ((height, width, channels),) = inputs
        rows, columns = (arith.pool_size(size, self.kernel, self.stride, self.ceil) for size in (height, width))
        return rows, columns, channels

    @property
    def text(self) -> str:
        return f"maxpool{self.kernel}x{self.kernel}/{self.stride}" + (" ceil" if self.ceil else "")


@dataclass(frozen=True, kw_only=True)
class Concat(Node):
    """Channel concatenation, in the order of ``inputs``."""

    shares_scale = True

    def _shape(self, inputs: Sequence[Shape]) -> Shape:
        if len({(height, width) for height, width, _ in inputs}) != 1:
            raise InputError(f"{self.name}: the concatenated feature maps differ in size: {list(inputs)}")
        height, width, _ = inputs[0]
        return height, width, sum(channels for _, _, channels in inputs)

    @property
    def text(self) -> str:
        return "concat"


@dataclass(frozen=True, kw_only=True)
class GlobalAverage(Node):
    """Mean (Graph) or s32 sum (IntNetwork) over all pixels of each channel; the output is the logits."""

    unary = True

    def _shape(self, inputs: Sequence[Shape]) -> Shape:
        return 1, 1, inputs[0][2]

    def type_name(self, source: str) -> str:
        return "f32" if source == "f32" else "s32"

    @property
    def text(self) -> str:
        return "average"


GraphNode = Conv | MaxPool | Concat | Add | GlobalAverage
IntNode = IntConv | MaxPool | Concat | IntAdd | GlobalAverage
