"""What a detector's outputs are, and which candidate of them a reference is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Candidate:
    """One box and one class: which element of which output is its score, and where it lies in the input's pixels."""

    output: str
    index: tuple[int, ...]
    row: int
    label: int
    box: tuple[float, float, float, float]

    @property
    def target(self) -> str:
        """The element as onnxsal's ``-t`` takes it."""
        return f"{self.output}[{', '.join(map(str, self.index))}]"


@dataclass(frozen=True)
class Form:
    """A detector with random weights: a module that gives what the file gives, and how it is written.

    Args:
        outputs: names, in the order of the module's results.
        facts: what each output is; goes into the JSON beside the file.
        best: the candidate with the highest class score.
    """

    name: str
    module: nn.Module
    x: torch.Tensor
    outputs: tuple[str, ...]
    facts: Mapping[str, Any]
    best: Callable[[Outputs], Candidate]
    opset: int = 17
    dynamo: bool = False
    write: Callable[[Path], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """PyTorch's exporter puts a wrapper, and all in it, back into the mode that the wrapper was made in."""
        self.module.eval()

    def export(self, path: Path) -> None:
        """Write the file, by the form's own exporter or PyTorch's."""
        if self.write is not None:
            return self.write(path)
        names: dict[str, Any] = {"input_names": ["images"], "output_names": list(self.outputs)}
        extra = {"external_data": False} if self.dynamo else {"do_constant_folding": True}
        torch.backends.mha.set_fastpath_enabled(False)  # the fused attention has no exporter in TorchScript's table
        with torch.no_grad():
            torch.onnx.export(
                self.module, (self.x,), str(path), dynamo=self.dynamo, opset_version=self.opset, verbose=False,
                **names, **extra,
            )  # fmt: skip
        return None


def corners(box: Sequence[float], size: tuple[float, float] = (1, 1)) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom in pixels of a centre, width and height in shares of ``size`` (width, height)."""
    x, y, w, h = (float(v) for v in box)
    return ((x - w / 2) * size[0], (y - h / 2) * size[1], (x + w / 2) * size[0], (y + h / 2) * size[1])


def best_column(output: str, classes: int) -> Callable[[Outputs], Candidate]:
    """Of ``output`` [1, 4 + classes + ..., N]: centre, width and height in pixels, then class scores."""

    def best(outputs: Outputs) -> Candidate:
        rows = outputs[output][0]
        label, row = np.unravel_index(np.argmax(rows[4 : 4 + classes]), (classes, rows.shape[1]))
        return Candidate(output, (0, 4 + int(label), int(row)), int(row), int(label), corners(rows[:4, row]))

    return best


def best_row(output: str) -> Callable[[Outputs], Candidate]:
    """Of ``output`` [1, N, 6 + ...]: left, top, right, bottom in pixels, score, class, sorted by the file."""

    def best(outputs: Outputs) -> Candidate:
        rows = outputs[output][0]
        row = int(np.argmax(rows[:, 4]))
        left, top, right, bottom = (float(v) for v in rows[row, :4])
        return Candidate(output, (0, row, 4), row, int(rows[row, 5]), (left, top, right, bottom))

    return best


def best_of_pair(
    scores: str, boxes: str, size: tuple[int, int], *, first: int = 0, last: int | None = None, relative: bool = True
) -> Callable[[Outputs], Candidate]:
    """Of ``scores`` [1, N, K] and ``boxes`` [1, N, 4], centre, width and height in shares of ``size``, or corners.

    Args: first, last: the classes that are no background; relative: whether boxes are shares, with their centre first.
    """

    def best(outputs: Outputs) -> Candidate:
        kept = outputs[scores][0][:, first:last]
        row, label = (int(i) for i in np.unravel_index(np.argmax(kept), kept.shape))
        found = outputs[boxes][0][row]
        box = corners(found, size) if relative else tuple(float(v) for v in found)
        return Candidate(scores, (0, row, first + label), row, first + label, box)  # type: ignore[arg-type]

    return best


def best_listed(outputs: Outputs) -> Candidate:
    """Of ``boxes`` [N, 4] (corners in pixels), ``labels`` [N] and ``scores`` [N]."""
    row = int(np.argmax(outputs["scores"]))
    left, top, right, bottom = (float(v) for v in outputs["boxes"][row])
    return Candidate("scores", (row,), row, int(outputs["labels"][row]), (left, top, right, bottom))
