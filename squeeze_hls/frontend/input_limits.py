"""How large a model may be.

Models come from strangers: every size is compared with its limit before memory is allocated for it.
The largest SqueezeNet has 1.25 million weights; the limits leave more than an order of magnitude.
"""

from __future__ import annotations

MAX_MODEL_BYTES = 64 << 20  # a model file; parsing may need a multiple of it
MAX_EXTERNAL_BYTES = 256 << 20  # all external data of a model together
MAX_NODES = 10_000
MAX_TENSOR_ELEMENTS = 1 << 26  # one stored weight tensor
MAX_FOLDED_ELEMENTS = 1 << 26  # everything that constant folding makes, together
MAX_SIDE = 4096  # height or width of the input picture
MAX_PIXELS = 1 << 20  # height * width of the input picture
MAX_MAP_ELEMENTS = 1 << 26  # one feature map
MAX_TEXT_BYTES = 1 << 20  # preprocessing and label files, metadata values
MAX_CLASSES = 1 << 16
