"""Fine-tuning's operators, in PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import Case
from tests.conformance.judges import Shares, assert_close, reals, total, within_a_step


def check_teacher(case: Case, rng: np.random.Generator) -> None:
    """Fine-tuning's real numbers."""
    torch, finetune = _training()
    graph, expected = reals(case, rng)
    x = torch.from_numpy(case.image.transpose(2, 0, 1)[None].astype(np.float32))
    weights = finetune._teacher(torch, graph)
    got = finetune._tensors(torch, finetune.FLOAT, graph, weights, case.network.pad_value, x)
    assert_close({tensor: values[0].numpy().transpose(1, 2, 0) for tensor, values in got.items()}, expected)


def check_student(case: Case, _: np.random.Generator) -> Shares:
    """Fine-tuning's integers: node by node on the golden model's, and all in a row."""
    torch, finetune = _training()
    network = case.network
    layers = {conv.name: finetune._layer(torch, network, conv) for conv in network.convs}

    def stacked(values: np.ndarray) -> Any:
        return torch.from_numpy(values.transpose(2, 0, 1)[None].astype(np.float32))

    whole = finetune._tensors(torch, finetune.ROUNDED, network, layers, network.pad_value, stacked(case.image))
    shares = []
    for node in network.nodes:
        border = network.pad_value if network.input in node.inputs else None
        inputs = [stacked(case.golden[tensor]) for tensor in node.inputs]
        alone = finetune.ROUNDED[type(node)](torch, node, inputs, border, layers)
        expected = case.golden[node.output]
        if node.output == "logits":  # means
            expected = expected.reshape(1, 1, -1) / case.golden[network.averaged][:, :, 0].size
            np.testing.assert_allclose(_channels_last(alone), expected, rtol=1e-5)
        else:
            shares.append(within_a_step(node.output, _channels_last(alone), expected))
        assert np.abs(_channels_last(whole[node.output]) - expected).mean() <= 1
    logits = finetune._logits(torch, network, layers, stacked(case.image)).detach().numpy()[0]
    step = network.scale[network.averaged]
    np.testing.assert_allclose(logits, case.golden["logits"] * network.scale["logits"], rtol=0.01, atol=2 * step)
    return total(shares)


def _channels_last(values: Any) -> np.ndarray:
    return values.detach().numpy()[0].transpose(1, 2, 0)


def _training() -> tuple[Any, Any]:
    torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
    from squeeze_hls.quantize import finetune

    return torch, finetune
