# %% [markdown]
# # Classify pictures
#
# The accelerator classifies a few sample pictures, then a moving one. The notebook is the same on a board and on the
# simulated board of `squeeze-hls notebook BUILD_DIR`; there a picture takes a few seconds, because every clock cycle of
# the engine is simulated.

# %%
import itertools
import sys
import time

sys.path.insert(0, "..")  # the driver lies beside this folder

import helpers
import matplotlib.pyplot as plt
from IPython.display import display
from squeeze_driver import Accelerator

accelerator = Accelerator()
model = accelerator.model
height, width, _ = model.input_shape
print(f"{helpers.plain(model.name)} on the {helpers.WHERE}: {model.classes} classes, {height} x {width} pixels")

# %% [markdown]
# ## Pictures
#
# Any path, Pillow image or array will do; the driver resizes it as the network wants it. Change the list to your own.

# %%
pictures = ["../pictures/coffee.jpg", "../pictures/chelsea.jpg", "../pictures/rocket.jpg"]
rows = [(helpers.open_picture(path), accelerator.classify(path, k=5)) for path in pictures]
helpers.show_guesses(rows)
plt.show()

# %%
for path, (_, guesses) in zip(pictures, rows):
    best = guesses[0]
    print(f"{path}: {helpers.plain(best.name)} (class {best.index}), {100 * best.probability:.1f} %")

# %% [markdown]
# ## Live frames
#
# `SOURCE` is a camera's number, a video file (both with OpenCV), an animated GIF or a folder of frames. `None` takes
# the board's first camera where there is one; else a window moves over a sample picture, as a camera would.

# %%
SOURCE = None
FRAMES = 6

figure, axes = plt.subplots(figsize=(3.4, 3.6))
shown = display(figure, display_id=True)
for number, frame in enumerate(itertools.islice(helpers.frames(SOURCE), FRAMES), 1):
    started = time.perf_counter()
    guess = accelerator.classify(frame, k=1)[0]
    seconds = time.perf_counter() - started
    axes.clear()
    axes.imshow(frame)
    axes.axis("off")
    axes.set_title(f"{number}: {helpers.plain(guess.name)}, {100 * guess.probability:.0f} %", fontsize=10)
    shown.update(figure)
    kind = "simulating it took" if helpers.SIMULATED else "took"
    print(f"frame {number}: {helpers.plain(guess.name):28} {100 * guess.probability:5.1f} %   {kind} {seconds:.2f} s")
plt.close(figure)

# %%
accelerator.close()
