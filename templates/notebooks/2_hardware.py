# %% [markdown]
# # What the hardware did
#
# The planner predicts every cycle of every instruction before anything is built, and writes it into `plan.json`. The
# engine counts its own cycles. This notebook shows both: what is **predicted** per instruction, and the totals that are
# **counted** by the engine's registers, on a board or in the cycle-accurate simulation.

# %%
import sys

sys.path.insert(0, "..")  # the driver lies beside this folder

import helpers
import matplotlib.pyplot as plt
from squeeze_driver import Accelerator

plan = helpers.load_plan()
engine = plan["engine"]
print(
    f"{helpers.plain(plan['network'])} on {plan['board']}: {engine['pix']} x {engine['cin']} x {engine['cout']}"
    f" multipliers at {plan['clock_mhz']:g} MHz, {len(plan['instructions'])} instructions"
)

# %% [markdown]
# ## One picture, counted
#
# The counters hold the last picture: from its first pixel in to its last logit out. The prediction is for streams that
# never pause; what a DMA needs to begin shows as a difference of some cycles.

# %%
with Accelerator() as accelerator:
    best = accelerator.classify("../pictures/coffee.jpg", k=1)[0]
    counted = accelerator.counters()
print(f"{helpers.plain(best.name)}, {100 * best.probability:.1f} %\n")

predicted = {"cycles": plan["cycles"]["predicted"], "busy": sum(entry["busy"] for entry in plan["instructions"])}
for cause in ("weights", "input", "output"):
    predicted[f"stall_{cause}"] = sum(entry["waits"][cause] for entry in plan["instructions"])
names = {"cycles": "all cycles", "busy": "computing", **{f"stall_{key}": name for key, name, _ in helpers.CAUSES[1:]}}
print(
    helpers.table(
        ("cycles", "predicted", helpers.COUNTED, "difference"),
        [
            (names[key], f"{predicted[key]:,}", f"{counted[key]:,}", f"{counted[key] - predicted[key]:+,}")
            for key in predicted
        ],
    )
)
rate = plan["clock_mhz"] * 1e6 / counted["cycles"]
print(f"\n{rate:.1f} pictures a second at {plan['clock_mhz']:g} MHz, one after the other ({helpers.COUNTED})")

# %% [markdown]
# ## Timeline
#
# Each bar is an instruction: a band of rows of one layer. A layer and the 1x1 convolution behind it take turns, so that
# only a band of the wide map between them has to be stored. Within an instruction the colours show how its cycles
# divide, not their order.

# %%
helpers.timeline(plan)
plt.show()

# %% [markdown]
# ## Utilization
#
# Products of the network against those that the array could compute in the same cycles. Lanes stay empty where a layer
# has fewer channels or pixels than the array takes at once.

# %%
helpers.utilization(plan)
plt.show()

# %% [markdown]
# ## Activation memory
#
# All activations stay on chip. A feature map is drawn from the first row written until its last row has been read: maps
# grow in places that others leave, row by row.

# %%
helpers.memory_map(plan)
plt.show()

# %% [markdown]
# ## Weight store
#
# Tiles of weights are encoded dense or with a bitmap of what is not zero, whichever is shorter.

# %%
helpers.weight_store(plan)
plt.show()
