"""Settle a random-weight PyTorch classifier, export it, and record what autograd says of its input gradient.

Used by ``recipe.py`` beside it (the committed miniatures) and by ``benchmarks/zoo.py`` (the same at full size).
Needs torch, torchvision, timm and onnxscript; no test imports it.
"""

from __future__ import annotations

import copy
import functools
import importlib
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


@dataclass(frozen=True)
class Example:
    """A batch and what float64 autograd makes of it; the gradient is of ``logits[b, target[b]]``."""

    x: np.ndarray
    target: np.ndarray
    logits: np.ndarray
    grad: np.ndarray

    def save(self, path: Path, **recipe: Any) -> None:
        """Write the arrays as float32 (target: int64) with ``recipe`` as JSON text."""
        packages = ("torch", "torchvision", "timm", "onnx", "onnxscript", "onnxruntime", "numpy")
        recipe |= {"versions": {name: version(name) for name in packages}}
        arrays = {name: getattr(self, name).astype(np.float32) for name in ("x", "logits", "grad")}
        np.savez_compressed(path, target=self.target.astype(np.int64), recipe=json.dumps(recipe), **arrays)


@functools.cache
def torchvision_models() -> Any:
    """torchvision.models, also where the package's compiled operators are absent: no classifier uses them."""
    for operator in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, operator):
            torch.library.define(
                f"torchvision::{operator}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    return importlib.import_module("torchvision.models")


def timm_package() -> Any:
    """timm, which imports torchvision."""
    torchvision_models()
    return importlib.import_module("timm")


@torch.no_grad()
def settle(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """The model in evaluation mode with no parameter left at a constant, and batch statistics that fit it.

    A fresh model has zero biases, unit scales and layer scales of 1e-6: gradients through those would be untested.
    """
    norms = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in (m.weight,) if p is not None}
    for name, p in model.named_parameters():
        if p.numel() and bool((p == p.flatten()[0]).all()):
            zero_means_offset = float(p.flatten()[0]) == 0 and id(p) not in norms and p.dim() > 0
            fresh = torch.randn_like(p) * 0.05 if zero_means_offset else torch.rand_like(p) + 0.5
            p.copy_(fresh if "bias" not in name else torch.randn_like(p) * 0.1)
    model.eval()
    _fit_batch_statistics(model, x)
    return model.eval()


@torch.no_grad()
def enliven(model: nn.Module) -> nn.Module:
    """The model with every matrix and kernel redrawn at the deviation sqrt(2 / fan-in).

    The usual 0.02 suits a width of a thousand; in a miniature it leaves attention uniform and the gradient nearly zero.
    """
    for p in model.parameters():
        if p.dim() > 1:
            p.copy_(torch.randn_like(p) * (2 / p[0].numel()) ** 0.5)
    return model


def _fit_batch_statistics(model: nn.Module, x: torch.Tensor) -> None:
    batch = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    for m in batch:
        m.reset_running_stats()
        m.momentum = None
        m.train()
    if batch:
        model(x)
    for m in batch:
        m.eval()
        # A channel that hardly varied over a small batch would be blown up, and float32 with it.
        m.running_var.clamp_(min=0.2 * float(m.running_var.mean()))
        m.running_var.mul_(torch.rand_like(m.running_var) * 0.5 + 0.75)
        m.running_mean.add_(torch.randn_like(m.running_mean) * 0.1 * m.running_var.sqrt())


def inputs(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Standard normal numbers, float32, from NumPy's generator."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def record(model: nn.Module, x: torch.Tensor, seed: int) -> Example:
    """Logits and input gradient in float64 at random targets; ``x`` may be float16, it is widened."""
    classes = copy.deepcopy(model)(x).shape[1]  # a copy, since some models keep what a forward pass computed
    target = np.random.default_rng(seed + 1).choice(classes, size=len(x), replace=False)
    return Example(x.numpy(), target, *_differentiate(model, x, target, torch.float64))


def float32_error(model: nn.Module, example: Example) -> float:
    """How far float32 autograd is from the example's gradient, relative, in the 2-norm: what can be asked of others."""
    _, grad = _differentiate(model, torch.from_numpy(example.x), example.target, torch.float32)
    return float(np.linalg.norm(grad - example.grad) / np.linalg.norm(example.grad))


def _differentiate(model: nn.Module, x: torch.Tensor, target: np.ndarray, kind: torch.dtype) -> tuple[np.ndarray, ...]:
    model, x = copy.deepcopy(model).to(kind), x.detach().to(kind).requires_grad_(True)
    logits = model(x)
    (grad,) = torch.autograd.grad(logits[torch.arange(len(x)), torch.from_numpy(target)].sum(), x)
    return logits.detach().numpy(), grad.numpy()


def export(model: nn.Module, x: torch.Tensor, path: Path, *, exporter: str, opset: int) -> None:
    """Write the model with input ``x``, output ``logits`` and a dynamic batch axis, all in one file."""
    for p in model.parameters():
        p.requires_grad_(False)
    shape: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}, "logits": {0: "batch"}}, "do_constant_folding": True}
    if exporter == "dynamo":
        shape = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "external_data": False}
    # The fused inference attention has no exporter in TorchScript's table; the written-out one has.
    torch.backends.mha.set_fastpath_enabled(False)
    names = {"input_names": ["x"], "output_names": ["logits"]}
    torch.onnx.export(
        model, (x,), str(path), dynamo=exporter == "dynamo", opset_version=opset, verbose=False, **names, **shape
    )


def strip(path: Path) -> None:
    """Drop the exporter's stack traces and comments, which are most of a small file; the graph stays as it is."""
    model = onnx.load(path)
    for item in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, model.graph):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    onnx.save(model, path)


def check(path: Path, example: Example) -> float:
    """Largest difference of ONNX Runtime's logits from the example's, as a share of their spread.

    Also runs a batch of three, so that a batch axis which the exporter froze does not pass for a dynamic one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name, kind = session.get_inputs()[0].name, session.get_inputs()[0].type
    x = example.x.astype(np.float16 if "float16" in kind else np.float32)
    session.run(None, {name: np.concatenate([x, x[:1]])})
    return float(np.abs(session.run(None, {name: x})[0] - example.logits).max() / example.logits.std())
