"""One generated model with everything that its judgement needs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from squeeze_hls.network.ir import TORCHVISION, Preprocess

Said = dict[str, Any]  # keys of a preprocessing file or of the metadata
PICTURES = 4


@dataclass(kw_only=True)
class Case:
    """``ending`` are the functions between the logits and the model's output."""

    seed: int
    made: dict[str, int]  # the decisions
    dialect: str
    model: onnx.ModelProto
    size: tuple[int, int]  # height and width of the picture
    ending: tuple[str, ...] = ()
    layout: str = "NCHW"
    uneven: bool = False  # channels are far apart in size: what 8 bits for all of them lose is not judged
    half: bool = False  # something is computed in float16
    picture_quantizer: bool = False
    logits_away: float = 0.0  # how far a quantizer may round the logits, which is left out with a note
    given: str | Said | None = None  # --preprocess: a name, or the contents of a file
    carried: Said | None = None  # preprocessing in the model's metadata
    facts: dict[str, int] = field(default_factory=dict)  # what was written, for the tally

    @property
    def batch(self) -> int:
        """What the model declares; 1 where that is a symbol."""
        return max(self.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value, 1)

    def pictures(self) -> np.ndarray:
        """u8 (PICTURES, H, W, 3): smooth, noisy, and with extreme pixels."""
        rng = np.random.default_rng(self.seed)
        height, width = self.size
        result = rng.integers(0, 256, (PICTURES, height, width, 3))
        ramp = np.add.outer(np.arange(height) * 255 / height, np.arange(width) * 255 / width) / 2
        result[0] = np.clip(
            ramp[:, :, None] + rng.integers(-60, 60, (1, 1, 3)) + rng.normal(0, 12, result[0].shape), 0, 255
        )
        result[1, : height // 2] = rng.integers(0, 2, (height // 2, width, 3)) * 255
        return result.astype(np.uint8)

    def preprocess(self) -> Preprocess:
        """What counts: the file's keys, else the metadata's, else torchvision's, in the model's order of colours."""
        named = {"caffe": {"channels": "BGR", "mean": (104.0, 117.0, 123.0), "scale": (1.0, 1.0, 1.0)}}
        named["torchvision"] = {k: getattr(TORCHVISION, k) for k in ("channels", "mean", "scale")}
        given = named[self.given] if isinstance(self.given, str) else self.given or {}
        said = {**(self.carried or {}), **given}
        turn = -1 if said.get("channels") == "BGR" else 1
        usual = {"channels": "RGB", "mean": TORCHVISION.mean[::turn], "scale": TORCHVISION.scale[::turn]}
        said = {**usual, **said}
        return Preprocess(channels=said["channels"], mean=tuple(said["mean"]), scale=tuple(said["scale"]))

    def write(self, folder: Path) -> tuple[Path, str | None]:
        """The model's file, and what goes to ``load_graph(preprocess=...)``."""
        path = folder / "model.onnx"
        path.write_bytes(self.model.SerializeToString())
        if not isinstance(self.given, dict):
            return path, self.given
        file = folder / "preprocess.json"
        file.write_text(json.dumps(self.given))
        return path, str(file)

    def listing(self) -> str:
        """The model, one node a line, with the decisions that led to it."""
        stored = {t.name: t for t in self.model.graph.initializer}
        opsets = ", ".join(f"{o.domain or 'onnx'} {o.version}" for o in self.model.opset_import)
        lines = [
            f"seed {self.seed}, {self.dialect}, {opsets}, picture {self.size[0]}x{self.size[1]}",
            f"decisions {json.dumps(self.made)}",
            f"preprocess given {self.given}, in the model {self.carried}; ending {list(self.ending)}",
        ]
        for value in self.model.graph.input:
            lines.append(f"  input {value.name!r} {_shape(value)}")
        for node in self.model.graph.node:
            inputs = ", ".join(_operand(name, stored) for name in node.input)
            attributes = ", ".join(f"{a.name}={_short(helper.get_attribute_value(a))}" for a in node.attribute)
            domain = f"{node.domain}." if node.domain else ""
            lines.append(
                f"  {', '.join(node.output)} = {domain}{node.op_type}({inputs})"
                + f" {{{attributes}}}" * bool(attributes)
            )
        lines.append(f"  output {', '.join(o.name for o in self.model.graph.output)}")
        return "\n".join(line.encode("unicode_escape").decode() for line in lines)


def _shape(value: onnx.ValueInfoProto) -> list[str | int]:
    return [d.dim_param or d.dim_value or "?" for d in value.type.tensor_type.shape.dim]


def _operand(name: str, stored: dict[str, onnx.TensorProto]) -> str:
    if name not in stored:
        return name or "-"
    return _short(numpy_helper.to_array(stored[name]))


def _short(value: Any) -> str:
    if isinstance(value, onnx.TensorProto):
        value = numpy_helper.to_array(value)
    if isinstance(value, np.ndarray):
        flat = value.reshape(-1)
        shown = ",".join(f"{float(v):.6g}" for v in flat[:4]) + (",.." if flat.size > 4 else "")
        return f"{value.dtype.name}{list(value.shape)}({shown})"
    return str(value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
