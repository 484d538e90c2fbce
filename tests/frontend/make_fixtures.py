"""Makes the torch exports in ``fixtures/``; run in an environment with torch 2.13, onnx and onnxscript.

    python tests/frontend/make_fixtures.py

The networks have torchvision's SqueezeNet layout with tiny widths; weights are random (seeded).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import nn

FIXTURES = Path(__file__).resolve().parent / "fixtures"


class Fire(nn.Module):
    def __init__(self, inputs: int, squeeze: int, expand: int, norm: bool) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.squeeze_norm = nn.BatchNorm2d(squeeze) if norm else nn.Identity()
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze_activation(self.squeeze_norm(self.squeeze(x)))
        return torch.cat(
            [self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))], 1
        )


class SqueezeNet(nn.Module):
    def __init__(self, *, norm: bool = False, mean: bool = False, view: bool = False, classes: int = 10) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8) if norm else nn.Identity(),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(8, 4, 4, norm),
            Fire(8, 4, 6, norm),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(12, 4, 8, norm),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(16, classes, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )
        self.mean, self.view = mean, view

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        if self.mean:
            return self.classifier[:-1](x).mean([2, 3])
        x = self.classifier(x)
        return x.view(x.size(0), -1) if self.view else torch.flatten(x, 1)


def network(**options: bool) -> nn.Module:
    torch.manual_seed(1)
    model = SqueezeNet(**options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model.eval()


def export(name: str, model: nn.Module, *, dynamo: bool, opset: int, batch: bool = False, **options: object) -> None:
    path = FIXTURES / f"{name}.onnx"
    picture = torch.zeros(2 if batch else 1, 3, 34, 38)
    if batch and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim("batch")},)
    elif batch:
        options["dynamic_axes"] = {"x": {0: "batch"}}
    if dynamo:
        options["external_data"] = False
    torch.onnx.export(model, (picture,), str(path), dynamo=dynamo, opset_version=opset, input_names=["x"], **options)
    exported = onnx.load(path)  # without the exporter's notes, which hold paths of this machine
    exported.ClearField("doc_string")
    for node in exported.graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
    exported.graph.ClearField("metadata_props")
    exported.graph.ClearField("value_info")
    for value in (*exported.graph.input, *exported.graph.output, *exported.graph.initializer):
        value.ClearField("metadata_props")
    onnx.save(exported, path)


def main() -> None:
    warnings.simplefilter("ignore")
    FIXTURES.mkdir(exist_ok=True)
    export("torch_legacy", network(), dynamo=False, opset=13)
    export("torch_legacy_batch_view", network(view=True), dynamo=False, opset=11, batch=True)
    export("torch_legacy_mean", network(mean=True), dynamo=False, opset=17)
    keep_norm = {"do_constant_folding": False, "training": torch.onnx.TrainingMode.PRESERVE}
    export("torch_legacy_norm", network(norm=True), dynamo=False, opset=17, **keep_norm)
    export("torch_dynamo", network(), dynamo=True, opset=18)
    export("torch_dynamo_batch_view", network(view=True), dynamo=True, opset=20, batch=True)
    export("torch_dynamo_mean", network(mean=True), dynamo=True, opset=18)
    export("torch_dynamo_norm", network(norm=True), dynamo=True, opset=18, optimize=False)


if __name__ == "__main__":
    main()
