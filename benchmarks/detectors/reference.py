"""Gradients of a candidate's score by PyTorch's autograd in float64, through what modules detach; how firm they are."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np
import torch
from forms import Candidate, Form
from torch import nn

NEARBY, STEPS = 1e-6, (3e-4, 1e-5, 1e-7)
"""How far away the gradient is taken again, and how far quotients reach: of the input's standard deviation. Between two
ends that are far apart deformable attention has kinks, and top-k changes places; near ones lose digits."""


@dataclass(frozen=True)
class Reference:
    """What autograd says of one candidate.

    Args:
        grad: d score / d input, float64 in the input's shape.
        float32_error: of float32's own gradient, relative in the 2-norm: what can be asked of others.
        kink: 1 - cosine of the gradients here and 1e-6 of a deviation away, the larger of two; 0 where it is smooth.
        slope_error: relative difference of the gradient's slope from central differences along it; the least of them.
    """

    outputs: dict[str, np.ndarray]
    candidate: Candidate
    score: float
    grad: np.ndarray
    float32_error: float
    kink: float
    slope_error: float


@contextmanager
def attached() -> Iterator[None]:
    """Let gradients through what a module detaches: an ONNX file cannot say it."""
    with mock.patch.object(torch.Tensor, "detach", lambda self: self):
        yield


def sound(module: nn.Module) -> nn.Module:
    """The module with gradients laid out row by row in front of every batch normalisation.

    PyTorch 2.13.0 mixes them up on the CPU where they come as tokens of one picture (findings/torch-batchnorm-of-one).
    """

    def in_rows(_: nn.Module, __: object, y: torch.Tensor) -> None:
        if y.requires_grad:
            y.register_hook(lambda grad: grad.contiguous())

    for each in module.modules():
        if isinstance(each, nn.modules.batchnorm._BatchNorm):
            each.register_forward_hook(in_rows)
    return module


def refer(form: Form) -> Reference:
    """Return the reference of a form's best candidate."""
    wide = sound(copy.deepcopy(form.module).to(torch.float64))
    x = form.x.to(torch.float64)
    with torch.no_grad():
        outputs = _named(form, wide, x)
    arrays = {name: value.numpy() for name, value in outputs.items()}
    candidate = form.best(arrays)
    grad = _gradient(form, wide, x, candidate)
    narrow = _gradient(form, sound(copy.deepcopy(form.module)), form.x, candidate)
    return Reference(
        outputs=arrays, candidate=candidate, score=float(arrays[candidate.output][candidate.index]), grad=grad,
        float32_error=float(np.linalg.norm(narrow - grad) / np.linalg.norm(grad)),
        kink=_kink(form, wide, candidate, grad), slope_error=_slope_error(form, wide, candidate, grad),
    )  # fmt: skip


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Return the cosine of two arrays, as float64."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _named(form: Form, module: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    return dict(zip(form.outputs, module(x), strict=True))


def _gradient(form: Form, module: nn.Module, x: torch.Tensor, candidate: Candidate) -> np.ndarray:
    leaf = x.clone().requires_grad_(True)
    with attached():
        score = _named(form, module, leaf)[candidate.output][candidate.index]
        (grad,) = torch.autograd.grad(score, leaf)
    return grad.double().numpy()


def _kink(form: Form, module: nn.Module, candidate: Candidate, grad: np.ndarray) -> float:
    x, draw = form.x.to(torch.float64), torch.Generator().manual_seed(7)
    away = [x + NEARBY * x.std() * torch.randn(x.shape, generator=draw, dtype=x.dtype) for _ in range(2)]
    return max(1 - cosine(_gradient(form, module, each, candidate), grad) for each in away)


def _slope_error(form: Form, module: nn.Module, candidate: Candidate, grad: np.ndarray) -> float:
    x, length = form.x.to(torch.float64), float(np.linalg.norm(grad))
    along = torch.from_numpy(grad / length)

    @torch.no_grad()
    def score(step: float) -> float:
        return float(_named(form, module, x + step * along)[candidate.output][candidate.index])

    reaches = [float(x.std()) * step for step in STEPS]
    return min(abs((score(h) - score(-h)) / (2 * h) / length - 1) for h in reaches)
