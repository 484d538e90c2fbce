"""A second network for the engine of a build: the same one with fewer classes, as an update without a new bitstream.

Whoever needs a few classes of many keeps those channels of the last convolution: smaller, quicker, and every logit that
is left is what it was.  The classes are those that the sample pictures bring up, so that there is something to see.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain

import numpy as np

from squeeze_hls.artifacts.model_file import DeployModel, pack_model
from squeeze_hls.network.ir import IntConv, IntNetwork
from squeeze_hls.plan import Plan

NAME = "fewer-classes"
EACH = 5  # classes that one picture brings in


def choose_classes(logits: np.ndarray) -> list[int]:
    """The most likely classes of each of (N, classes) logits, half of all classes at most, in ascending order."""
    most = max(1, logits.shape[1] // 2)
    ranked = np.argsort(-logits, axis=1, kind="stable")[:, :EACH]
    by_rank = dict.fromkeys(chain.from_iterable(ranked.T.tolist()))
    return sorted(list(by_rank)[:most])


def keep_classes(network: IntNetwork, classes: Sequence[int]) -> IntNetwork:
    """The network with these outputs only.

    Raises ValueError where its classes are not the outputs of one convolution.
    """
    averaged = network.averaged
    chosen = list(classes)

    def cut(conv: IntConv) -> IntConv:
        parts = {name: getattr(conv, name)[chosen] for name in ("weight", "bias", "multiplier", "shift")}
        return replace(conv, **parts)

    if not any(isinstance(node, IntConv) and node.output == averaged for node in network.nodes):
        raise ValueError(f"{network.name}: no single convolution gives the classes")
    return replace(
        network,
        name=NAME,
        nodes=tuple(cut(n) if isinstance(n, IntConv) and n.output == averaged else n for n in network.nodes),
        labels=tuple(network.labels[i] for i in chosen) if network.labels else (),
    )


def model_file(plan: Plan, name: str) -> bytes:
    """``model.sqz`` of a plan."""
    network = plan.network
    return pack_model(
        DeployModel(
            name=name,
            engine=plan.engine.id,
            input_shape=network.input_shape,
            resize=network.preprocess.resized(network.input_shape),
            levels=network.preprocess.levels,
            classes=network.classes,
            logit_scale=float(network.scale.get(network.nodes[-1].output, 1.0)),
            labels=network.labels,
            program=plan.program_bin,
            weights=plan.weights_bin,
        )
    )
