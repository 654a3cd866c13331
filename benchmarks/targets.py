"""Numbers of regression and elements of outputs against captum on the same weights: largest differences.

    python benchmarks/targets.py [PART-OF-A-NAME ...]

Random weights, exported by both exporters of PyTorch, explained by onnxsal in float32, and in float64 by captum in
PyTorch: Saliency without absolute values, IntegratedGradients of 16 Gauss-Legendre nodes. A difference is the largest
one of the map over the largest value of the reference. Ends with 1 where that is above 1e-3 (of integrated gradients
1e-2: nodes of the path lie on the other side of a kink in float32), or above 1e-4 of a score.
Needs torch, torchvision, timm, captum and onnxscript beside onnxsal.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from captum.attr import IntegratedGradients, Saliency
from torch import nn

import onnxsal

# In place of this folder: transformers would take kernels.py here for a package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402

STEPS = 16
BATCHES = {"pixel_values": "pictures", "input_ids": "texts", "attention_mask": "texts", "logits_per_image": "pictures",
           "image_embeds": "pictures", "text_embeds": "texts"}  # fmt: skip
"""Of a model of two modalities."""
LIMITS, SCORE = (1e-3, 1e-2), 1e-4


class Detector(nn.Module):
    """Two heads of one trunk: boxes [B, 4 + K, N], and a mask [B, 8, h, w]."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.SiLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.BatchNorm2d(32),
                                   nn.SiLU(), nn.Conv2d(32, 32, 3, padding=1), nn.SiLU())  # fmt: skip
        self.rows, self.mask = nn.Conv2d(32, 9, 1), nn.ConvTranspose2d(32, 8, 2, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both."""
        y = self.trunk(x)
        rows = self.rows(y).flatten(2)
        return torch.cat([rows[:, :4], rows[:, 4:].sigmoid()], 1), self.mask(y)


class Tagger(nn.Module):
    """A step's class of a sequence [B, C, T]: convolution and a recurrent layer of two directions."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Conv1d(5, 12, 5, padding=2)
        self.cells, self.head = nn.LSTM(12, 10, batch_first=True, bidirectional=True), nn.Linear(20, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, T, K]."""
        return self.head(self.cells(self.front(x).relu().transpose(1, 2))[0]).log_softmax(-1)


class Table(nn.Module):
    """Three numbers of a row of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(12, 32), nn.GELU(), nn.LayerNorm(32), nn.Linear(32, 32), nn.Tanh(),
                                    nn.Linear(32, 3))  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [B, 3]."""
        return self.layers(x)


@dataclass(frozen=True)
class Job:
    """A network and what is asked of it: in onnxsal's words, and as PyTorch has it."""

    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    target: Any
    pick: Callable[[Any], torch.Tensor]
    outputs: tuple[str, ...] = ("y",)
    load: Mapping[str, Any] = field(default_factory=dict)


def _vision(name: str, outputs: int) -> Callable[[], nn.Module]:
    return lambda: tool.torchvision_models().get_model(name, weights=None, num_classes=outputs)


def _timm(name: str, outputs: int) -> Callable[[], nn.Module]:
    return lambda: tool.timm_package().create_model(name, num_classes=outputs, img_size=64, exportable=True)


UNIT: Mapping[str, Any] = {"preprocess": "unit"}
NUMBERS: Mapping[str, Any] = {"task": "regression", **UNIT}
JOBS: dict[str, Job] = {
    "resnet18, one number": Job(_vision("resnet18", 1), (1, 3, 64, 64), 0, lambda y: y[:, 0], load=NUMBERS),
    "mobilenet_v3_small, number 2 of 5": Job(
        _vision("mobilenet_v3_small", 5), (1, 3, 64, 64), 2, lambda y: y[:, 2], load=NUMBERS),
    "densenet121, numbers 3 minus 1": Job(
        _vision("densenet121", 4), (1, 3, 64, 64), (3, 1), lambda y: y[:, 3] - y[:, 1], load=NUMBERS),
    "vit_tiny_patch16_224, element": Job(
        _timm("vit_tiny_patch16_224", 7), (1, 3, 64, 64), "y[0, 4]", lambda y: y[:, 4], load=UNIT),
    "two heads, a row's score": Job(
        Detector, (1, 3, 48, 64), "rows[0, 6, 77]", lambda y: y[0][:, 6, 77], ("rows", "mask"), UNIT),
    "two heads, a window of the mask": Job(
        Detector, (1, 3, 48, 64), "mask[0, 3, 4:9, ::2]", lambda y: y[1][:, 3, 4:9, ::2].sum((1, 2)), ("rows", "mask"),
        UNIT),
    "lstm, step 7": Job(Tagger, (1, 5, 30), "y[0, 7, 2]", lambda y: y[:, 7, 2]),
    "lstm, a class at all steps": Job(Tagger, (1, 5, 30), "y[0, :, 4]", lambda y: y[:, :, 4].sum(1)),
    "mlp, one element minus another": Job(Table, (1, 12), "y[0, 1] minus y[0, 2]", lambda y: y[:, 1] - y[:, 2]),
}  # fmt: skip


@dataclass(frozen=True)
class Gap:
    """How far a score and a map are from the reference, relative."""

    score: float
    maps: tuple[float, ...]

    @property
    def right(self) -> bool:
        """Whether all are within the limits."""
        return self.score <= SCORE and all(gap <= limit for gap, limit in zip(self.maps, LIMITS, strict=False))

    @property
    def cells(self) -> str:
        """The cells of a table."""
        return " | ".join(f"{each:.1e}" for each in (self.score, *self.maps))


def apart(found: Any, reference: torch.Tensor) -> float:
    """Return the largest difference over the largest value."""
    other = reference.detach().double().numpy().reshape(np.shape(found))
    return float(np.abs(np.asarray(found, np.float64) - other).max() / np.abs(other).max())


def job_gap(job: Job, exporter: str, folder: Path) -> Gap:
    """Return the largest differences of one network by one exporter."""
    torch.manual_seed(0)
    network, x = job.make().eval(), tool.inputs(job.shape, 1)
    tool.settle(network, x if len(job.shape) < 4 else tool.inputs((4, *job.shape[1:]), 2))
    path = folder / "model.onnx"
    write(network, (x,), path, exporter, (("x",), job.outputs))
    model = onnxsal.load(path, **job.load)
    double = copy.deepcopy(network).double()
    score = lambda each: job.pick(double(each))
    wide = x.double().requires_grad_(True)
    reference = Saliency(score).attribute(wide, abs=False)
    whole = IntegratedGradients(score).attribute(x.double(), n_steps=STEPS, method="gausslegendre")
    thing = x.numpy()
    plain = onnxsal.explain(model, thing, method="gradient", target=job.target)
    summed = onnxsal.explain(model, thing, method="integrated-gradients", target=job.target, steps=STEPS)
    value = float(score(x.double()).detach()[0])
    return Gap(abs(plain.logit - value) / max(1, abs(value)), (apart(plain.raw, reference), apart(summed.raw, whole)))


def write(network: nn.Module, given: tuple[torch.Tensor, ...], path: Path, exporter: str, names: Any) -> None:
    """Export with a batch that is left open: of several inputs each has the one that it is named for."""
    inputs, outputs = names
    batches = dict.fromkeys((*inputs, *outputs), "batch") if len(inputs) == 1 else BATCHES
    torch.backends.mha.set_fastpath_enabled(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if exporter == "dynamo":
            shapes = tuple({0: torch.export.Dim.DYNAMIC if len(inputs) == 1 else batches[name]} for name in inputs)
            torch.onnx.export(network, given, path, dynamo=True, input_names=inputs, output_names=outputs,
                              dynamic_shapes=shapes, external_data=False, verbose=False, opset_version=18)  # fmt: skip
        else:
            axes = {name: {0: batch} for name, batch in batches.items()}
            torch.onnx.export(network, given, path, dynamo=False, input_names=inputs, output_names=outputs,
                              dynamic_axes=axes, opset_version=17)  # fmt: skip


def gaps(names: list[str]) -> Iterator[tuple[str, str, Gap]]:
    """Yield name, exporter and differences of all that is asked for."""
    with tempfile.TemporaryDirectory() as folder:
        for exporter in ("torchscript", "dynamo"):
            for name, job in JOBS.items():
                if not names or any(each in name for each in names):
                    yield name, exporter, job_gap(job, exporter, Path(folder))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*", help="part of a name; all where none is given")
    print("| network, what is asked | exporter | score | gradient | integrated gradients |\n" + "| --- " * 5 + "|")
    rows = []
    for name, exporter, gap in gaps(parser.parse_args().name):
        print(f"| {name} | {exporter} | {gap.cells} |", flush=True)
        rows.append(gap)
    sys.exit(not rows or not all(gap.right for gap in rows))


if __name__ == "__main__":
    main()
