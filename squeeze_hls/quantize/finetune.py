"""Fine-tuning a compressed network by distillation: it learns the float network's predictions, without labels.

Weights and activations are rounded as hardware does; gradients pass through the rounding (Bengio et al. 2013).
Weights are counted in their steps, which stay as they are, and a bit costs what it did when they were rounded
(``coded.SLOPE``), so the store stays about as full as it is.  PyTorch is imported here only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze_hls.errors import InputError, MissingToolError
from squeeze_hls.network import arith
from squeeze_hls.network.ir import Graph, IntNetwork, verify_int_network
from squeeze_hls.network.operators import Add, Concat, Conv, Convolution, GlobalAverage, IntAdd, IntConv, MaxPool
from squeeze_hls.progress import Stage
from squeeze_hls.quantize import coded, export, integers

if TYPE_CHECKING:
    import torch

BATCH = 8
RATE = 5e-3  # of Adam, in steps of a weight; falls to nothing along a cosine
BIAS_RATE = 1e-2  # in steps of the outputs
SMALLEST_CROP = 0.6  # of a side
SLOPES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16)  # of the last rounding, see ``coded.choose``
REFRESH = 20  # batches for which the bits of the values stay as they are


def torch_module() -> Any:
    """PyTorch; raises MissingToolError where it is not installed."""
    try:
        import torch
    except ImportError as error:
        raise MissingToolError("PyTorch is not installed: pip install 'squeeze-hls[train]'") from error
    return torch


@dataclass(frozen=True, kw_only=True, eq=False)
class _Layer:
    """A convolution in training."""

    conv: IntConv
    step: torch.Tensor  # (O,) of the weights
    weight: torch.Tensor  # (O, I, kh, kw), in steps
    bias: torch.Tensor  # (O,), in units of the output's scale
    scale_in: float
    scale_out: float

    def integers(self) -> np.ndarray:
        return self.weight.detach().double().numpy().transpose(0, 2, 3, 1)


def finetune(
    graph: Graph,
    network: IntNetwork,
    images: np.ndarray,
    batches: int,
    *,
    price: float,
    fits: Callable[[IntNetwork], bool],
    seed: int,
    stage: Stage,
) -> IntNetwork | None:
    """The network after so many batches of training on what the float ``graph`` says about crops of the pictures.

    ``graph`` reads raw pixels and has the nodes of ``network``; ``images`` are u8 (N, H, W, 3); ``price`` is that of a
    bit in nats.  None where the result cannot be rounded such that it ``fits``.  The same arguments give the same
    integers, on the same machine with the same number of threads.  Raises InputError where the predictions are
    no numbers any more.
    """
    torch = torch_module()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    layers = {conv.name: _layer(torch, network, conv) for conv in network.convs}
    optimizer = torch.optim.Adam(
        [
            {"params": [layer.weight for layer in layers.values()], "lr": RATE},
            {"params": [layer.bias for layer in layers.values()], "lr": BIAS_RATE},
        ]
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, batches)
    teacher = _teacher(torch, graph)
    values: dict[str, Any] = {}
    for number in range(batches):
        if number % REFRESH == 0:
            values = {name: _values(torch, layer) for name, layer in layers.items()}
        x = _crops(torch, images, rng)
        with torch.no_grad():
            true = _float_logits(torch, graph, teacher, network.pad_value, x)
        own = _logits(torch, network, layers, x)
        divergence = torch.nn.functional.kl_div(
            torch.log_softmax(own, 1), torch.log_softmax(true, 1), log_target=True, reduction="batchmean"
        )
        if not torch.isfinite(divergence):
            raise InputError(f"{network.name}: the predictions are no numbers any more; leave the fine-tuning away")
        bits = sum(_bits(torch, layer.weight, values[name]) for name, layer in layers.items())
        optimizer.zero_grad()
        (divergence + price * bits).backward()
        optimizer.step()
        schedule.step()
        stage.progress(number + 1, batches, f"divergence {divergence.item():.4f}")
    for slope in SLOPES:
        nodes = tuple(_integer(layers[n.name], slope) if isinstance(n, IntConv) else n for n in network.nodes)
        tuned = replace(network, nodes=nodes)
        if fits(tuned):
            verify_int_network(tuned)
            return tuned
    return None


def _layer(torch: Any, network: IntNetwork, conv: IntConv) -> _Layer:
    scale_in, scale_out = network.scale[conv.inputs[0]], network.scale[conv.output]
    step = export.weight_scale(conv, scale_in, scale_out)
    weight = torch.from_numpy(conv.weight.transpose(0, 3, 1, 2).astype(np.float32))
    bias = torch.from_numpy((conv.bias * step * scale_in / scale_out).astype(np.float32))
    return _Layer(
        conv=conv,
        step=torch.from_numpy(step.astype(np.float32)),
        weight=weight.requires_grad_(),
        bias=bias.requires_grad_(),
        scale_in=scale_in,
        scale_out=scale_out,
    )


def _integer(layer: _Layer, slope: float) -> IntConv:
    """The integers of a trained layer; its steps, hence multipliers and shifts, are what they were."""
    real = layer.integers()
    weight = coded.choose(real, coded.bits_of(coded.choose(real, np.zeros(coded.VALUES), 0.0)), slope)
    unit = layer.step.double().numpy() * layer.scale_in / layer.scale_out
    bias = np.rint(layer.bias.detach().double().numpy() / unit)
    limit = integers.BIAS_MAX - arith.ACTIVATION_MAX * np.abs(weight).sum(axis=(1, 2, 3))
    return replace(layer.conv, weight=weight.astype(np.int8), bias=np.clip(bias, -limit, limit).astype(np.int32))


def _values(torch: Any, layer: _Layer) -> torch.Tensor:
    """Bits of the values -32..31 in a code for the layer's integers."""
    now = coded.choose(layer.integers(), np.zeros(coded.VALUES), 0.0)
    return torch.from_numpy(coded.bits_of(now).astype(np.float32))


def _bits(torch: Any, weight: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Bits of all weights, in straight lines between the integers."""
    place = (weight - arith.WEIGHT_MIN).clamp(0, coded.VALUES - 1.001)
    below = place.detach().floor()
    share, index = place - below, below.long()
    return (values[index] * (1 - share) + values[index + 1] * share).sum()


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Rounded to integers, with the gradient of what is not."""
    return values + (values.round() - values).detach()


def _crops(torch: Any, images: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Parts of random pictures, as large as the pictures again, half of them mirrored: float32 (BATCH, 3, H, W)."""
    height, width = images.shape[1:3]
    parts = []
    for index in rng.integers(0, len(images), BATCH):
        share = rng.uniform(SMALLEST_CROP, 1)
        rows, columns = max(1, int(share * height)), max(1, int(share * width))
        top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
        part = images[index, top : top + rows, left : left + columns]
        if rng.random() < 0.5:
            part = part[:, ::-1]
        tensor = torch.from_numpy(part.transpose(2, 0, 1)[None].astype(np.float32))
        parts.append(torch.nn.functional.interpolate(tensor, (height, width), mode="bilinear", antialias=True))
    return torch.cat(parts).round().clamp(0, 255)


def _teacher(torch: Any, graph: Graph) -> dict[str, torch.Tensor]:
    """Weights (O, I, kh, kw) of the float network's convolutions."""
    return {conv.name: torch.from_numpy(conv.weight.transpose(0, 3, 1, 2).copy()) for conv in graph.convs}


# --- what the operators compute; feature maps are (N, C, H, W) ---


def _convolved(torch: Any, node: Convolution, x: torch.Tensor, weight: Any, bias: Any, border: Any) -> torch.Tensor:
    p = node.pads
    if p and border is not None:
        shift = torch.tensor(border, dtype=torch.float32)[None, :, None, None]
        x = torch.nn.functional.pad(x - shift, (p.left, p.right, p.top, p.bottom)) + shift
    elif p:
        x = torch.nn.functional.pad(x, (p.left, p.right, p.top, p.bottom))
    return torch.nn.functional.conv2d(x, weight, bias, stride=node.stride)


def _float_conv(torch: Any, node: Conv, inputs: list[Any], border: Any, weights: dict[str, Any]) -> torch.Tensor:
    bias = torch.from_numpy(np.asarray(node.bias, np.float32))
    result = _convolved(torch, node, inputs[0], weights[node.name], bias, border)
    return result.relu() if node.relu else result


def _rounded_conv(torch: Any, node: IntConv, inputs: list[Any], border: Any, layers: dict[str, _Layer]) -> torch.Tensor:
    layer = layers[node.name]
    factor = (layer.step * (layer.scale_in / layer.scale_out))[:, None, None, None]
    weight = _rounded(layer.weight).clamp(arith.WEIGHT_MIN, arith.WEIGHT_MAX) * factor
    return _rounded(_convolved(torch, node, inputs[0], weight, layer.bias, border).clamp(0, node.top))


def _rounded_sum(node: IntAdd, inputs: list[Any]) -> torch.Tensor:
    scaled = [x * (m / 2**arith.ADD_SHIFT) for x, m in zip(inputs, node.multiplier, strict=True)]
    return _rounded(sum(scaled[1:], scaled[0]).clamp(max=node.top))


def _pooled(torch: Any, node: MaxPool, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.max_pool2d(x, node.kernel, node.stride, ceil_mode=node.ceil)


Compute = Callable[..., Any]  # of PyTorch, a node, its inputs, what surrounds the picture and the convolutions' weights

WITHOUT_WEIGHTS: dict[type, Compute] = {
    MaxPool: lambda torch, node, inputs, *_: _pooled(torch, node, inputs[0]),
    Concat: lambda torch, _node, inputs, *_: torch.cat(inputs, 1),
    GlobalAverage: lambda _torch, _node, inputs, *_: inputs[0].mean((2, 3), keepdim=True),
}
FLOAT: dict[type, Compute] = WITHOUT_WEIGHTS | {
    Conv: _float_conv,
    Add: lambda _torch, _node, inputs, *_: sum(inputs[1:], inputs[0]),
}
ROUNDED: dict[type, Compute] = WITHOUT_WEIGHTS | {
    IntConv: _rounded_conv,
    IntAdd: lambda _torch, node, inputs, *_: _rounded_sum(node, inputs),
}


def _tensors(
    torch: Any, table: dict[type, Compute], network: Graph | IntNetwork, weights: Any, border: Any, x: torch.Tensor
) -> dict[str, Any]:
    """Every tensor of the float network, or of the integer one in training."""
    tensors = {network.input: x}
    for node in network.nodes:
        edge = border if network.input in node.inputs else None
        tensors[node.output] = table[type(node)](torch, node, [tensors[t] for t in node.inputs], edge, weights)
    return tensors


def _float_logits(torch: Any, graph: Graph, weights: dict[str, Any], border: Any, x: torch.Tensor) -> torch.Tensor:
    return _tensors(torch, FLOAT, graph, weights, border, x)[graph.nodes[-1].output][:, :, 0, 0]


def _logits(torch: Any, network: IntNetwork, layers: dict[str, _Layer], x: torch.Tensor) -> torch.Tensor:
    """Logits in real units; feature maps between are integers."""
    means = _tensors(torch, ROUNDED, network, layers, network.pad_value, x)[network.nodes[-1].output]
    return means[:, :, 0, 0] * network.scale[network.averaged]
