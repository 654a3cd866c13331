"""The bundled model's network, in PyTorch, and its way into an ONNX file that names every value after its part."""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from scenes import LABELS
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

SIZE = 96


class Convolution(nn.Module):
    """A 3 x 3 convolution with batch normalisation that ``fold`` takes away."""

    def __init__(self, channels: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, outputs, 3, stride, 1, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.convolution(x))

    def fold(self) -> None:
        self.convolution, self.norm = fuse_conv_bn_eval(self.convolution, self.norm), nn.Identity()


class Residual(nn.Module):
    """Two convolutions round which the input goes unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = Convolution(channels, channels), Convolution(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Network(nn.Module):
    """A small residual network: features on a grid, their means, one linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.widen = Convolution(3, 12, 2), Convolution(12, 24, 2)
        self.block1 = Residual(24)
        self.deepen = Convolution(24, 48)
        self.block2, self.block3 = Residual(48), Residual(48)
        self.head = nn.Linear(48, len(LABELS))

    def features(self, x: Tensor) -> Tensor:
        x = self.block1(torch.relu(self.widen(torch.relu(self.stem(x)))))
        return self.block3(self.block2(torch.relu(self.deepen(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).mean(dim=(2, 3)))


def folded(network: Network) -> Network:
    """Return the network for use: each batch normalisation is part of the convolution before it."""
    network.eval()
    for module in network.modules():
        if isinstance(module, Convolution):
            module.fold()
    return network.to(memory_format=torch.contiguous_format)


def export(network: Network, path: Path, notes: dict[str, str]) -> None:
    """Write the network as ONNX: ``picture`` float32 [N, 3, 96, 96] to ``logits`` [N, classes]."""
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 3, SIZE, SIZE),),
        input_names=["picture"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("N")},),
        opset_version=18,
        verbose=False,
    )
    assert program is not None
    model = _renamed(program.model_proto)
    onnx.helper.set_model_props(model, notes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _renamed(exported: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with values named after the network's parts, and without the exporter's own notes."""
    names, part = {"picture": "picture", "logits": "logits"}, ""
    graph = exported.graph
    for tensor in graph.initializer:
        names[tensor.name] = tensor.name.replace(".convolution", "")
    for node in graph.node:
        owner = next((names[name] for name in node.input if name.endswith(".weight")), None)
        part = _part_after(part, node.op_type, owner)
        names.setdefault(node.output[0], f"{part}/{node.op_type.lower()}")
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            [_node(node, names) for node in graph.node],
            "shapes",
            [onnx.helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, ["N", 3, SIZE, SIZE])],
            [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", len(LABELS)])],
            [onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(t), names[t.name]) for t in graph.initializer],
        ),
        opset_imports=exported.opset_import,
        ir_version=10,
        producer_name="onnxsal models/recipe.py",
    )


def _part_after(part: str, operator: str, owner: str | None) -> str:
    if owner is not None:
        return owner.removesuffix(".weight")
    return {"Add": part.rpartition(".")[0], "ReduceMean": "pool"}.get(operator, part)


def _node(node: onnx.NodeProto, names: dict[str, str]) -> onnx.NodeProto:
    inputs, outputs = ([names.get(name, name) for name in side] for side in (node.input, node.output))
    renamed = onnx.helper.make_node(node.op_type, inputs, outputs, name=outputs[0])
    renamed.attribute.extend(node.attribute)
    return renamed
