"""Gradients of volumes against torch in float64, and their time over the forward, for three exports, random weights.

A small 3-D ResNet, a 3-D U-Net (the mean of a class over a box) and torchvision's r3d_18, by both exporters of torch.
The voxels' gradient of the file in float32 is held against torch's of the same module in float64, as torch's own in
float32 is: rectifiers near 0 turn over where numbers are rounded.

    python benchmarks/volumes.py [--rounds N] [--threads N]

Needs torch, torchvision and onnxscript.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

import onnxsal

library = torch.library.Library("torchvision", "DEF")
for schema in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
               "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"):  # fmt: skip
    library.define(schema)  # a torchvision without its own operators is imported all the same

BOX = (slice(4, 12), slice(8, 20), slice(6, 18))


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv3d(before, after, 3, stride, 1), nn.BatchNorm3d(after), nn.ReLU(),
            nn.Conv3d(after, after, 3, 1, 1), nn.BatchNorm3d(after),
        )  # fmt: skip
        self.short = nn.Conv3d(before, after, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum, rectified."""
        return torch.relu(self.way(x) + self.short(x))


class ResNet(nn.Module):
    """Three stages, a mean and a product."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(Block(1, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.head = nn.Linear(64, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [B, 4]."""
        return self.head(self.body(x).mean((2, 3, 4)))


class UNet(nn.Module):
    """Two levels, InstanceNorm and LeakyReLU, trilinear upwards, as scans are segmented."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = self._level(1, 12), self._level(12, 24)
        self.third, self.last = self._level(36, 12), nn.Conv3d(12, 3, 1)

    @staticmethod
    def _level(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv3d(before, after, 3, 1, 1), nn.InstanceNorm3d(after, affine=True), nn.LeakyReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return probabilities [B, 3, D, H, W]."""
        return torch.softmax(self.scores(x), 1)

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        fine = self.first(x)
        coarse = self.second(nn.functional.max_pool3d(fine, 2))
        up = nn.functional.interpolate(coarse, scale_factor=2, mode="trilinear", align_corners=False)
        return self.last(self.third(torch.cat([fine, up], 1)))


@dataclass(frozen=True)
class Subject:
    """A module, the shape of what it takes, its target as onnxsal is told it and as torch has it."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]
    target: Any
    score: Callable[[nn.Module, torch.Tensor], torch.Tensor]


def main() -> None:
    """Print one line for every subject and exporter."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    print(f"{'subject':34} cosine       largest/largest  forward ms  gradient ms  x forward  grad-cam++ x forward")
    for subject in subjects():
        x, exact, single = reference(subject)
        print(f"{subject.name + ' torch float32':34} {off(single, exact)}", flush=True)
        for dynamo in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                path = exported(subject, x, Path(folder) / "model.onnx", dynamo=dynamo)
                print(f"{subject.name + (' dynamo' if dynamo else ' torchscript'):34} "
                      f"{measured(path, subject, x, exact, options)}", flush=True)  # fmt: skip


def subjects() -> Iterator[Subject]:
    """Yield the modules, ready to run."""
    from torchvision.models.video import r3d_18

    classified = lambda module, x: module(x)[0, 1]
    box = [s.start for s in BOX] + [s.stop for s in BOX]
    segmented = lambda module, x: module.scores(x)[(0, 2, *BOX)].mean()
    for name, make, shape, target, score in (
        ("3-D ResNet 32x48x48", ResNet, (1, 32, 48, 48), 1, classified),
        ("3-D U-Net 24x40x32", UNet, (1, 24, 40, 32), onnxsal_box(2, box), segmented),
        ("r3d_18 8x112x112", lambda: r3d_18(weights=None, num_classes=10), (3, 8, 112, 112), 1, classified),
    ):
        torch.manual_seed(0)
        module = make()
        for part in module.modules():
            if isinstance(part, nn.BatchNorm3d):  # those of a fresh module would be identities
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
        yield Subject(name, module.eval(), shape, target, score)


def onnxsal_box(index: int, box: list[int]) -> Any:
    """Return the region of a class in a box of voxels."""
    from onnxsal.tasks.dense import Region

    return Region(index, box=tuple(box), pixels=True)


def reference(subject: Subject) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what goes in, float32, and torch's own gradient of it in float64 and in float32."""
    x = np.random.default_rng(0).normal(0, 1, (1, *subject.shape)).astype(np.float32)
    found = []
    for dtype in (torch.float64, torch.float32):
        given = torch.tensor(x, dtype=dtype, requires_grad=True)
        subject.score(subject.module.to(dtype), given).backward()
        assert given.grad is not None
        found.append(given.grad[0].numpy().astype(np.float64))
    return x, found[0], found[1]


def off(found: np.ndarray, exact: np.ndarray) -> str:
    """Return the cosine, and the largest difference over the largest value."""
    cosine = float((found * exact).sum() / np.sqrt((found**2).sum() * (exact**2).sum()))
    return f"{cosine:.9f}  {np.abs(found - exact).max() / np.abs(exact).max():.1e}"


def exported(subject: Subject, x: np.ndarray, path: Path, *, dynamo: bool) -> Path:
    """Return the file of a module."""
    torch.onnx.export(subject.module, (torch.tensor(x),), path, dynamo=dynamo, verbose=False)
    return path


def measured(path: Path, subject: Subject, x: np.ndarray, exact: np.ndarray, options: argparse.Namespace) -> str:
    """Return the columns of one file: agreement, then medians of runs by turns."""
    model = onnxsal.load(path, threads=options.threads)
    assert model.modality.name == "volume", model.modality.name
    found = onnxsal.explain(model, x, method="gradient", target=subject.target).raw.astype(np.float64)
    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(path, how, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    runs: dict[str, Callable[[], Any]] = {
        "forward": lambda: session.run(None, {name: x}),
        "gradient": lambda: onnxsal.explain(model, x, method="gradient", target=subject.target),
        "cam": lambda: onnxsal.explain(model, x, method="grad-cam++", target=subject.target),
    }
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    for turn in range(options.rounds + 1):
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            if turn:  # the first opens sessions
                seconds[key].append(1e3 * (time.perf_counter() - started))
    times = {key: median(each) for key, each in seconds.items()}
    return (f"{off(found, exact)}         {times['forward']:9.1f}  {times['gradient']:11.1f}  "
            f"{times['gradient'] / times['forward']:9.2f}  {times['cam'] / times['forward']:9.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
