"""Float network -> integer network whose entropy-coded weights fit a given memory: compression without labels.

One number decides everything: the step that a weight of average importance is rounded to.  From it the step of
every filter follows, such that the last bit of every weight is worth the same in Kullback-Leibler
divergence of the predictions (reverse water-filling).  The largest quality that fits is found by
bisection on that number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from squeeze_hls.errors import DoesNotFitError, InputError
from squeeze_hls.network.ir import Conv, Graph, IntNetwork
from squeeze_hls.progress import SILENT, Listener, Stage
from squeeze_hls.quantize import calibrated, coded, integers, measure, rate, scales, statistics
from squeeze_hls.quantize import operators as batch
from squeeze_hls.quantize.sensitivity import sensitivities

# Figures in brackets are ``bits + log2(divergence) / 2``, lower is better: float v1.1 with Caffe's preprocessing in
# 460,800 bytes, on the first 16 calibration pictures, judged on 100 others.  As it is 1.334; other seeds 1.320 and
# 1.335, so differences under a few hundredths mean nothing.
FIRST_STEP = 1.5e-3  # square root of nats: where the search starts, a guess for three bits per weight
FINEST, COARSEST = 2.0**-14, 16.0  # ends of the search; chosen, not measured
LEAST_BITS = 1.0  # per weight, on average: below, too little of a network is left; chosen, not measured
PROBE = 24  # pictures on which the step is searched; chosen for time, the stage after it corrects the step
JUDGES = 100  # pictures from which sensitivities are found; chosen for time, not measured
CLOSE = 0.005  # of the room that may stay empty; chosen
PASSES = 6  # of the search; chosen, a step that is too coarse is safe
HELD_BACK = 5  # one picture in so many judges the fine-tuning; chosen
TRUST = 0.5  # power of the measured sensitivity of a filter against its layer's mean [0: 1.388, 1: 1.624]
LEAST_SENSITIVITY = 0.02  # of the layer's mean [0.002: 1.325, 0.2: 1.277]
REFIT = 1.25  # largest change of a step once the integers are known [1, that is none: 1.362; 2: 1.257]


@dataclass(frozen=True, kw_only=True)
class StageLog:
    """What a network is like after one stage."""

    name: str
    bytes: int  # of its weights
    difference: measure.Difference  # from the float network, on the calibration pictures themselves


@dataclass(frozen=True, kw_only=True, eq=False)
class Compressed:
    """A network and how it came about."""

    network: IntNetwork
    step: float  # square root of nats
    bits: int  # that its weights take in the store
    stages: tuple[StageLog, ...]


def compress(
    graph: Graph,
    images: np.ndarray,
    room: int,
    *,
    stored_bits: Callable[[IntNetwork], int] = rate.stored_bits,
    listener: Listener = SILENT,
    seed: int = 0,
    batches: int = 0,
) -> Compressed:
    """Compress a float network until its weights take at most ``room`` bits of the store.

    ``images`` are u8 (N, H, W, 3) raw RGB pictures of the network's input size, no labels.  ``batches`` of
    fine-tuning follow, which need PyTorch; they count where pictures that were held back profit.  The same arguments
    give the same integers, on the same machine with the same number of threads.  Raises DoesNotFitError where
    less than a bit per weight is left, InputError where the pictures do not fit.
    """
    _check(graph, images, room, batches)
    with listener.stage("prepare") as stage:
        given = calibrated.prepare(graph, images, seed=seed, mirror=True)
        stage.outcome = f"{len(images)} pictures and their mirror images"
    with listener.stage("sensitivity") as stage:
        rng = np.random.default_rng(seed)
        sensitivity = sensitivities(given.graph, images[:JUDGES], given.border, rng, stage.progress)
        stage.outcome = f"of {sum(map(len, sensitivity.values())):,} filters, by backpropagation"
    task = _Task(given=given, images=images, sensitivity=sensitivity, room=room, stored_bits=stored_bits)
    with listener.stage("allocate") as stage:
        step = task.allocate(stage)
    with listener.stage("compress") as stage:
        network, step, bits = task.compress(step, stage)
    found = {"compressed": (network, bits)}
    if batches:
        with listener.stage("fine-tune") as stage:
            tuned = task.finetune(network, step, batches, seed, stage)
        if tuned is not None:
            network, bits = found["fine-tuned"] = tuned, stored_bits(tuned)
    with listener.stage("measure") as stage:
        stages = task.measure(found, stage)
    return Compressed(network=network, step=step, bits=bits, stages=stages)


def _check(graph: Graph, images: np.ndarray, room: int, batches: int) -> None:
    weights = _count(graph)
    if room < LEAST_BITS * weights:
        raise DoesNotFitError(
            f"{graph.name}: {weights:,} weights in {max(room, 0) / 8:,.0f} bytes are {max(room, 0) / weights:.2f} bits "
            f"each; {LEAST_BITS:g} is the least that leaves a working network. Use a smaller network or a larger board."
        )
    if batches and len(images) < 2 * HELD_BACK:
        raise InputError(f"{len(images)} pictures are too few to fine-tune on; give {2 * HELD_BACK} or more")


def _count(graph: Graph) -> int:
    """How many weights a network has."""
    return sum(node.weight.size for node in graph.nodes if isinstance(node, Conv))


@dataclass(frozen=True, kw_only=True, eq=False)
class _Task:
    """What is to be compressed, how far, and what is known of it; each method is one stage."""

    given: calibrated.Prepared
    images: np.ndarray  # u8 (N, H, W, 3), without the mirror images
    sensitivity: dict[str, np.ndarray]  # of every convolution's filters, float64 (O,)
    room: int  # bits
    stored_bits: Callable[[IntNetwork], int]

    @property
    def weights(self) -> int:
        return _count(self.given.graph)

    def at(self, step: float, pictures: calibrated.Prepared, stage: Stage) -> IntNetwork:
        """The network whose weight of average importance is rounded to ``step``."""

        def fit(
            conv: Conv, seen: statistics.Moments, scale_in: float, scale_out: float, wide: bool
        ) -> tuple[Conv, np.ndarray, np.ndarray]:
            own = self.sensitivity[conv.name]
            return _fit(conv, seen, scale_in, scale_out, wide, sensitivity=own, step=step)

        detail = f"step {step:.2e}"
        return calibrated.calibrate(pictures, fit, lambda _, done, total: stage.progress(done, total, detail))

    def allocate(self, stage: Stage) -> float:
        """The step at which the weights just fit, found on a few of the pictures."""
        count = len(self.images)
        some = self.given.images[np.linspace(0, count - 1, min(PROBE, count)).astype(int)]
        probe = replace(self.given, images=some)
        step = _search(lambda s: self.stored_bits(self.at(s, probe, stage)), self.room, self.weights)
        stage.outcome = f"step {step:.2e}, {self.room / self.weights:.2f} bits per weight"
        return step

    def compress(self, step: float, stage: Stage) -> tuple[IntNetwork, float, int]:
        """The network on all pictures, its step, a coarser one where the weights do not fit, and their bits."""
        network = self.at(step, self.given, stage)
        while (bits := self.stored_bits(network)) > self.room and step < COARSEST:
            step *= _coarser(bits, self.room, self.weights)
            network = self.at(step, self.given, stage)
        stage.outcome = f"{bits / self.weights:.2f} bits per weight, {-(-bits // 8):,} of {self.room // 8:,} bytes"
        if bits > self.room:
            raise DoesNotFitError(
                f"{network.name}: the weights still take {bits // 8:,} bytes, {self.room // 8:,} are left for them"
            )
        return network, step, bits

    def finetune(self, network: IntNetwork, step: float, batches: int, seed: int, stage: Stage) -> IntNetwork | None:
        """The network fine-tuned on most of the pictures, if its predictions on the others are better for it."""
        from squeeze_hls.quantize.finetune import finetune

        graph, images = self.given.graph, self.images
        held = np.arange(len(images)) % HELD_BACK == 0
        price = step * step * coded.SLOPE / 2  # nats: half the squared error in units of the sensitivity

        def fits(tuned: IntNetwork) -> bool:
            return self.stored_bits(tuned) <= self.room

        tuned = finetune(graph, network, images[~held], batches, price=price, fits=fits, seed=seed, stage=stage)
        if tuned is None:
            stage.outcome = "its weights did not fit any more: left as it was"
            return None
        true = batch.logits(graph, images[held], self.given.border)
        before, after = (
            measure.difference(measure.integer_logits(n, images[held]), true).divergence for n in (network, tuned)
        )
        stage.outcome = f"divergence {before:.4f} to {after:.4f} nats on {held.sum()} pictures held back"
        if after < before:
            return tuned
        stage.outcome += ": left as it was"
        return None

    def measure(self, found: dict[str, tuple[IntNetwork, int]], stage: Stage) -> tuple[StageLog, ...]:
        """The float network and each of those found, with the bits of its weights, on the pictures."""
        true = batch.logits(self.given.graph, self.images, self.given.border)
        stages = [StageLog(name="float", bytes=4 * self.weights, difference=measure.difference(true, true))]
        for name, (network, bits) in found.items():
            away = measure.difference(measure.integer_logits(network, self.images, stage.progress), true)
            stages.append(StageLog(name=name, bytes=-(-bits // 8), difference=away))
        stage.outcome = f"{away.agreement:.1f} % of predictions unchanged, divergence {away.divergence:.4f} nats"
        return tuple(stages)


def _coarser(bits: int, room: int, weights: int) -> float:
    """By what the step is to be multiplied: a bit less per weight for twice the step, where none is zero."""
    return 2.0 ** ((bits - (1 - CLOSE / 2) * room) / weights)


def _search(bits_at: Callable[[float], int], room: int, weights: int) -> float:
    """A step at which the weights take nearly all of the room, or the finest one where they need less."""
    step, too_fine, fits = FIRST_STEP, 0.0, np.inf
    for _ in range(PASSES):
        bits = bits_at(step)
        if (1 - CLOSE) * room <= bits <= room or (bits < room and step == FINEST):
            return step
        too_fine, fits = (step, fits) if bits > room else (too_fine, step)
        step = float(np.clip(step * _coarser(bits, room, weights), FINEST, COARSEST))
        if not too_fine < step < fits:
            step = (too_fine * fits) ** 0.5
    return min(fits, COARSEST)


def _fit(
    conv: Conv,
    given: statistics.Moments,
    scale_in: float,
    scale_out: float,
    wide: bool,
    *,
    sensitivity: np.ndarray,
    step: float,
) -> tuple[Conv, np.ndarray, np.ndarray]:
    """Short integer weights (O, kh, kw, I), their scales (O,), and ``conv`` with the bias that goes with them."""
    start = conv.weight.reshape(len(conv.bias), -1).astype(np.float64)
    target = statistics.best_weights(given, start, np.ones(start.shape, bool))
    least = calibrated.least_scale(conv, target, scale_in, scale_out)
    finest = scales.weight_scale(target, given.hessian, least)  # at which 6 bits hold the weights
    spare = coded.spare_variance(given.hessian)[1] * scale_in**2
    wanted = step / np.sqrt(_even(sensitivity, wide) * np.exp(np.log(spare).mean()))
    scale = np.maximum(np.minimum(wanted, 4 * np.abs(target).max()), finest)
    scale = integers.on_lattice(scale, scale_in, scale_out, wide=wide)
    chosen = coded.round_coded(target, given.hessian, scale)
    better = np.clip(scales.refit(chosen, target, given.hessian, scale), scale / REFIT, scale * REFIT)
    scale = integers.on_lattice(np.maximum(better, least), scale_in, scale_out, wide=wide)
    chosen = coded.settle(chosen, target, given.hessian, scale)
    bias = (given.mean_out - (chosen * scale[:, None]) @ given.mean_in) * scale_in
    return replace(conv, bias=bias), chosen.reshape(conv.weight.shape), scale


def _even(sensitivity: np.ndarray, wide: bool) -> np.ndarray:
    """Sensitivities that a few pictures support: drawn to the layer's mean, which they keep.

    The filters of the last convolution are classes, of which the pictures show a few: they count alike.
    """
    mean = max(float(sensitivity.mean()), 1e-30)
    if wide:
        return np.full(len(sensitivity), mean)
    drawn = np.maximum(sensitivity / mean, LEAST_SENSITIVITY) ** TRUST
    return drawn * mean / drawn.mean()
