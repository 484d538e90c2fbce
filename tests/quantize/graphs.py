"""Small float Fire networks for the tests of the quantizer."""

from __future__ import annotations

import numpy as np

from squeeze_hls.network.ir import CAFFE, Concat, Conv, GlobalAverage, Graph, MaxPool, Pads, Preprocess

PAD = Pads(top=1, left=1, bottom=1, right=1)


def fire_graph(
    seed: int = 0, *, density: float = 1.0, first_pads: Pads | None = None, preprocess: Preprocess = CAFFE
) -> Graph:
    """conv1, pool, two Fire modules, conv10 with a padded border; 21 x 19 pictures, 7 classes."""
    rng = np.random.default_rng(seed)
    nodes: list = []

    def conv(name: str, source: str, outputs: int, kernel: int, inputs: int, **more: object) -> str:
        weight = rng.normal(0, (2 / (kernel * kernel * inputs)) ** 0.5, (outputs, kernel, kernel, inputs))
        weight *= rng.random(weight.shape) < density
        bias = rng.normal(0, 0.1, outputs)
        nodes.append(
            Conv(
                name=name, inputs=(source,), output=name,
                weight=weight.astype(np.float32), bias=bias.astype(np.float32),
                stride=int(more.get("stride", 1)), pads=more.get("pads", Pads()), relu=True,  # type: ignore[call-overload,arg-type]
            )
        )  # fmt: skip
        return name

    def fire(name: str, source: str, squeeze: int, expand: int, inputs: int) -> str:
        thin = conv(f"{name}/squeeze", source, squeeze, 1, inputs)
        halves = (conv(f"{name}/expand1x1", thin, expand, 1, squeeze),)
        halves += (conv(f"{name}/expand3x3", thin, expand, 3, squeeze, pads=PAD),)  # type: ignore[assignment]
        nodes.append(Concat(name=f"{name}/concat", inputs=halves, output=name))
        return name

    conv("conv1", "image", 8, 3, 3, stride=2, pads=first_pads or Pads())
    nodes.append(MaxPool(name="pool1", inputs=("conv1",), output="pool1", kernel=3, stride=2, ceil=True))
    fire("fire2", "pool1", 6, 10, 8)
    fire("fire3", "fire2", 8, 12, 20)
    conv("conv10", "fire3", 7, 1, 24, pads=PAD)
    nodes.append(GlobalAverage(name="average", inputs=("conv10",), output="logits"))
    return Graph(
        name="small",
        input="image",
        input_shape=(21, 19, 3),
        nodes=tuple(nodes),
        preprocess=preprocess,
        labels=tuple(f"class {i}" for i in range(7)),
    )


def pictures(count: int = 12, seed: int = 1) -> np.ndarray:
    """u8 (N, 21, 19, 3): smooth random colour fields with noise, as pictures are."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 6, 5, 3)).repeat(4, axis=1).repeat(4, axis=2)[:, :21, :19]
    return np.clip(coarse + rng.normal(0, 20, coarse.shape), 0, 255).astype(np.uint8)


def model_input(graph: Graph, images: np.ndarray) -> np.ndarray:
    """What the float network wants: float32 (N, H, W, 3)."""
    how = graph.preprocess
    ordered = images if how.channels == "RGB" else images[..., ::-1]
    return ((ordered - np.array(how.mean)) * np.array(how.scale)).astype(np.float32)
