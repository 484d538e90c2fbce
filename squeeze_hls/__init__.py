"""Quantized SqueezeNets in ONNX to FPGA accelerators whose weights stay on chip.

The names in ``__all__`` are the Python interface, which docs/api.md describes.  Each is imported when it is first asked
for, so that ``import squeeze_hls`` stays quick.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from squeeze_hls.api import Board as Board
    from squeeze_hls.api import Build as Build
    from squeeze_hls.api import Compressed as Compressed
    from squeeze_hls.api import DoesNotFitError as DoesNotFitError
    from squeeze_hls.api import Graph as Graph
    from squeeze_hls.api import Guess as Guess
    from squeeze_hls.api import InputError as InputError
    from squeeze_hls.api import IntNetwork as IntNetwork
    from squeeze_hls.api import MismatchError as MismatchError
    from squeeze_hls.api import MissingToolError as MissingToolError
    from squeeze_hls.api import Plan as Plan
    from squeeze_hls.api import SqueezeError as SqueezeError
    from squeeze_hls.api import ToolFailedError as ToolFailedError
    from squeeze_hls.api import boards as boards
    from squeeze_hls.api import build as build
    from squeeze_hls.api import classify as classify
    from squeeze_hls.api import compare as compare
    from squeeze_hls.api import compress as compress
    from squeeze_hls.api import evaluate as evaluate
    from squeeze_hls.api import load as load
    from squeeze_hls.api import models as models
    from squeeze_hls.api import open_build as open_build
    from squeeze_hls.api import plan as plan
    from squeeze_hls.api import quantize as quantize
    from squeeze_hls.api import run as run
    from squeeze_hls.api import save as save
    from squeeze_hls.api import simulate as simulate
    from squeeze_hls.api import synthesize as synthesize
    from squeeze_hls.api import verify as verify

__all__ = [
    "Board",
    "Build",
    "Compressed",
    "DoesNotFitError",
    "Graph",
    "Guess",
    "InputError",
    "IntNetwork",
    "MismatchError",
    "MissingToolError",
    "Plan",
    "SqueezeError",
    "ToolFailedError",
    "boards",
    "build",
    "classify",
    "compare",
    "compress",
    "evaluate",
    "load",
    "models",
    "open_build",
    "plan",
    "quantize",
    "run",
    "save",
    "simulate",
    "synthesize",
    "verify",
]

# Packages whose name is that of a function: importing anything below them binds the package to the name.
_CALLED = ("plan", "quantize")


class _CalledPackage(ModuleType):
    """A package that calls the function of its name: one object, whatever was imported first."""

    @property
    def __wrapped__(self) -> Any:
        """The function, for ``inspect.signature``."""
        return getattr(importlib.import_module("squeeze_hls.api"), self.__name__.rpartition(".")[2])

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.__wrapped__(*arguments, **options)


class _Package(ModuleType):
    """This package, whose names arrive when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name in _CALLED:
            return importlib.import_module(f"squeeze_hls.{name}")  # which is bound to the name
        if name not in __all__:
            raise AttributeError(f"module 'squeeze_hls' has no attribute '{name}'")
        return getattr(importlib.import_module("squeeze_hls.api"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _CALLED and isinstance(value, ModuleType):
            value.__class__ = _CalledPackage
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
