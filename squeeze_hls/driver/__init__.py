"""Driver for squeeze-hls accelerators on PYNQ boards.

Needs pynq, numpy and Pillow, and Python 3.8 or newer.  Start with ``Accelerator``.
"""

from .accelerator import Accelerator
from .errors import (
    AcceleratorError,
    AcceleratorTimeout,
    BadModel,
    Closed,
    DmaError,
    EngineError,
    InUse,
    NotAnImage,
    WrongModel,
)
from .guesses import Guess
from .model import Model, load_model

__all__ = [
    "Accelerator",
    "AcceleratorError",
    "AcceleratorTimeout",
    "BadModel",
    "Closed",
    "DmaError",
    "EngineError",
    "Guess",
    "InUse",
    "Model",
    "NotAnImage",
    "WrongModel",
    "load_model",
]
