# %% [markdown]
# # Another model without a new bitstream
#
# One bitstream runs every network that its memories hold. A `model.sqz` brings program and weights into the running
# engine: no Vivado, no restart. This build carries a second network in `update/`: the same one, cut down to the classes
# that the sample pictures bring up. It was made, and yours is made, with
#
#     squeeze-hls build update/fewer-classes.onnx --engine BUILD_DIR --out NEW
#
# which plans any network for the engine of `BUILD_DIR`, says so where it does not fit, and writes
# `NEW/deploy/model.sqz`.

# %%
import os
import sys
import time

sys.path.insert(0, "..")  # the driver lies beside this folder

import helpers
import matplotlib.pyplot as plt
import numpy as np
from squeeze_driver import Accelerator, load_model

PICTURE = "../pictures/rocket.jpg"
FIRST, SECOND = "../model.sqz", "../update/model.sqz"

accelerator = Accelerator()

# %% [markdown]
# ## Before


# %%
def try_out(what):
    """Logits and guesses of the picture, and a line about the model that gives them."""
    image = accelerator.prepare([PICTURE])
    logits = accelerator.run(image)[0]
    guesses = accelerator.guesses(logits)
    held = accelerator.identity()
    print(
        f"{what}: {helpers.plain(accelerator.model.name)}, {accelerator.model.classes} classes,"
        f" program {held['program_id']:08x}, {accelerator.counters()['cycles']:,} cycles ({helpers.COUNTED});"
        f" {helpers.plain(guesses[0].name)} {100 * guesses[0].probability:.1f} %"
    )
    return logits, guesses


before, guesses_before = try_out("before")

# %% [markdown]
# ## The update
#
# The time is that of the driver's software on this machine and of the engine's clock.


# %%
def update(path):
    """Load a model; returns seconds on the board's clock."""
    started, wall = helpers.board_seconds(), time.monotonic()
    accelerator.load_model(path)
    seconds, wall = helpers.board_seconds() - started, time.monotonic() - wall
    note = f" (simulating that took {wall:.1f} s)" if helpers.SIMULATED else ""
    print(f"{path}: {os.path.getsize(path):,} bytes; {1e3 * seconds:.0f} ms on the {helpers.WHERE}{note}")


update(SECOND)
after, guesses_after = try_out("after")

# %%
helpers.compare([("before: all classes", guesses_before), ("after: fewer classes", guesses_after)])
plt.show()

# %% [markdown]
# The classes that are left have the very same logits as before. Probabilities are shared out among fewer classes.

# %%
first, second = load_model(FIRST), load_model(SECOND)
clear = [i for i, label in enumerate(second.labels) if first.labels.count(label) == 1]  # names that only one class has
same = np.array_equal(before[[first.labels.index(second.labels[i]) for i in clear]], after[clear])
print(f"{second.classes} of {first.classes} classes kept; {len(clear)} logits compared by name, all equal: {same}")

# %% [markdown]
# ## And back

# %%
update(FIRST)
again, _ = try_out("back")
print("all logits as before:", np.array_equal(before, again))

# %%
accelerator.close()
