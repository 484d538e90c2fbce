# %% [markdown]
# # Accuracy and speed, against ONNX Runtime
#
# The same quantized network runs on the accelerator, with integers, and in ONNX Runtime on this machine's processor, as
# `model.onnx`, with floating point between the quantizers. Both get the same pixels.

# %%
import glob
import os
import sys
import time

sys.path.insert(0, "..")  # the driver lies beside this folder

import helpers
import matplotlib.pyplot as plt
import numpy as np
from squeeze_driver import Accelerator

FOLDER = "../pictures"  # pictures, or folders of pictures that are named after their class
MOST = 8  # pictures; the simulated board takes a few seconds for each

# %% [markdown]
# ## Pictures, and what is known of them
#
# A picture's class is known where its folder is named after the class, by number or name, or its file by name (numbers
# behind a name are left away). Of the sample pictures two show something that ImageNet has a class for.

# %%
KNOWN = {"coffee": ["espresso"], "chelsea": ["tabby", "tiger cat", "Egyptian cat"]}

accelerator = Accelerator()
labels = [label.lower() for label in accelerator.model.labels]


def right_classes(path):
    """Classes that are right for a picture; an empty set where nothing is known."""
    stem = os.path.splitext(os.path.basename(path))[0]
    for name in (os.path.basename(os.path.dirname(path)), stem):
        if name.isdigit() and int(name) < accelerator.model.classes and name != stem:
            return {int(name)}
        words = name.rstrip("0123456789-_ ").replace("_", " ")
        found = {i for word in KNOWN.get(words, [words]) for i, label in enumerate(labels) if label == word.lower()}
        if found:
            return found
    return set()


suffixes = (".jpg", ".jpeg", ".png", ".bmp")
paths = sorted(glob.glob(os.path.join(FOLDER, "**", "*"), recursive=True))
paths = [path for path in paths if path.lower().endswith(suffixes)][:MOST]
truth = [right_classes(path) for path in paths]
print(f"{len(paths)} pictures, the class of {sum(map(bool, truth))} is known")

# %% [markdown]
# ## On the accelerator
#
# The next picture is sent while the present one is computed.

# %%
images = accelerator.prepare(paths)
started = time.monotonic()
logits = accelerator.run(images)
wall = time.monotonic() - started
cycles = accelerator.counters()["cycles"]
clock_mhz = helpers.load_plan()["clock_mhz"]
by_cycles = clock_mhz * 1e6 / cycles
if helpers.SIMULATED:
    print(f"{len(images)} pictures in {wall:.1f} s: that is the time of the simulation and says nothing about a board.")
    print(
        f"{cycles:,} cycles a picture at {clock_mhz:g} MHz: {by_cycles:.1f} pictures a second (counted in simulation)"
    )
    speeds = [("accelerator\n(simulated cycles)", by_cycles)]
else:
    print(f"{len(images)} pictures in {wall:.3f} s: {len(images) / wall:.1f} pictures a second (measured)")
    print(f"{cycles:,} cycles a picture at {clock_mhz:g} MHz would be {by_cycles:.1f} pictures a second")
    speeds = [("accelerator\n(measured)", len(images) / wall)]

# %% [markdown]
# ## In ONNX Runtime, on the same machine

# %%
try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("ONNX Runtime is not installed on this machine, so there is nothing to compare with: pip install onnxruntime")

theirs = None
if onnxruntime:
    session = onnxruntime.InferenceSession("../model.onnx", providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    # The model wants pixels as the engine takes them, less the colour that pads the image.
    pixels = images.astype(np.float32) - np.array(helpers.load_plan()["pad_value"], np.float32)
    pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    walls = []
    for _ in range(4):  # the first time prepares; of the others the best counts, as others use this machine, too
        started = time.monotonic()
        theirs = np.concatenate([session.run(None, {name: pixels[i : i + 1]})[0] for i in range(len(pixels))])
        walls.append(time.monotonic() - started)
    wall = min(walls[1:])
    speeds.append((f"ONNX Runtime\n({os.cpu_count()} cores, measured)", len(images) / wall))
    print(f"{len(images)} pictures in {wall:.3f} s: {len(images) / wall:.1f} pictures a second (measured)")

# %% [markdown]
# ## Side by side

# %%
mine = logits.argmax(axis=1)
other = mine if theirs is None else theirs.argmax(axis=1)
rows = []
for i, path in enumerate(paths):
    here = accelerator.guesses(logits[i], 1)[0]
    verdict = "" if not truth[i] else "right" if mine[i] in truth[i] else "wrong"
    there = "not run" if theirs is None else "the same" if other[i] == mine[i] else f"class {other[i]}"
    rows.append((os.path.basename(path), helpers.plain(here.name), f"{100 * here.probability:.1f} %", there, verdict))
print(helpers.table(("picture", "accelerator", "", "ONNX Runtime", "known class"), rows))
print()
if theirs is not None:
    print(f"top-1 agreement: {(mine == other).sum()} of {len(paths)}")
known = [i for i in range(len(paths)) if truth[i]]
if known:
    right = sum(mine[i] in truth[i] for i in known)
    print(f"top-1 accuracy where the class is known: {right} of {len(known)} on the accelerator")
    if theirs is not None:
        print(f"{sum(other[i] in truth[i] for i in known)} of {len(known)} in ONNX Runtime")

# %%
if theirs is not None:
    helpers.agreement(logits * accelerator.model.logit_scale, theirs)
    plt.show()

# %%
helpers.speeds(speeds)
plt.show()

# %%
accelerator.close()
