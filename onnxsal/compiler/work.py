"""What there is to assemble: what was asked for, where its target comes from, what the file takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Layer
from onnxsal.compiler.padded import Mask
from onnxsal.compiler.switches import Switches
from onnxsal.compiler.when import When
from onnxsal.explanation.request import Request
from onnxsal.folding import Finish, raw_shape, repeated
from onnxsal.graph import Program, Tape
from onnxsal.modalities.frame import Frame, Voxels
from onnxsal.modalities.image import Preprocess
from onnxsal.records import Record
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Fed

Kind = Literal["saliency", "raw", "drawing", "detections"]
KINDS: tuple[str, ...] = get_args(Kind)
Values = dict[str, ir.Value]
Result = Program | Record

LISTED = "detections"
"""The output whose rows say themselves of which picture they are, unless each picture has its own."""

SEED = Fed("seed", ir.DataType.INT64, ())
"""Of all draws of a thing."""


@dataclass(frozen=True)
class FileTarget:
    """Where the compiled model takes its target from: an input, the prediction, or what is fixed."""

    fixed: Target | None
    inputs: tuple[Fed, ...] = ()
    """The inputs of the file that say what is explained."""
    frame: Frame | Voxels | None = None
    """Where the positions of the output lie under a region that is fed; None where none is."""

    @property
    def is_program(self) -> bool:
        """Whether a program is the score, which takes no target."""
        return self.fixed is not None and self.fixed.program is not None

    def fixed_at(self, op: Tape, batch: ir.Value) -> Values:
        """Return the programs' target inputs, [B] or [B, M], of a fixed target; ``batch`` is [1]. None of others."""
        feeds = {} if self.fixed is None or self.fixed.is_open else self.fixed.feeds
        return {name: repeated(op, op.const(v), batch, v.ndim) for name, v in feeds.items()}

    @property
    def region(self) -> str | None:
        """The input that says where it is explained, by name."""
        return next((fed.name for fed in self.inputs if fed.by_place), None)

    @property
    def as_input(self) -> bool:
        """Whether the file is told what it explains."""
        return bool(self.inputs)

    def constants(self, name: str) -> dict[str, NDArray[Any]]:
        """Return what is fixed of the inputs that a task looks with, one row: a class by its name, and its box."""
        if self.fixed is None or not isinstance(self.fixed.target, int):
            return {}
        return {name: np.array([self.fixed.target]), **self.fixed.held}

    def opened(self, op: Tape) -> ir.Value | None:
        """Return a fixed target whose columns each picture decides, int64 [1]; None of others."""
        if self.fixed is None or not self.fixed.is_open or not isinstance(self.fixed.target, int):
            return None
        return op.const([self.fixed.target], ir.DataType.INT64)


@dataclass(frozen=True)
class Form:
    """What the file takes and gives."""

    outputs: tuple[Kind, ...] = ("saliency",)
    bytes_in: Preprocess | None = None
    """Preprocessing that becomes part of the model."""
    mask_in: Mask | None = None
    """The mask of texts that becomes an input."""
    explain_required: bool = False
    """Whether ``explain`` has no default: JavaScript's runtimes feed no input that has one."""
    by_row: bool = False
    """Whether every input and output has the batch in front, and rows are explained that ask for it."""
    seed_in: bool = False
    """Whether the seed is an input."""
    when: When | None = None
    """What decides which things are explained; None: all of them are."""
    switches: Switches = field(default_factory=Switches)
    """What is written otherwise for runtimes that have not every operator."""


@dataclass(frozen=True)
class Work:
    """Everything that is assembled: what was asked for, and a program or record for each layer."""

    request: Request
    goal: FileTarget
    form: Form
    parts: tuple[Result, ...]

    @property
    def layers(self) -> tuple[Layer | None, ...]:
        """The layer of each part."""
        return self.request.layers or (None,)

    @property
    def inputs(self) -> tuple[Fed, ...]:
        """What the file is told beside what it explains."""
        return (*self.goal.inputs, *((SEED,) if self.form.seed_in else ()))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one explained thing, [C, *S]."""
        return (self.request.model.anatomy.entry.channels, *self.request.model.size)

    @property
    def any_length(self) -> bool:
        """Whether the file takes things of any length, and not only of that which the model was opened for."""
        return self.request.model.sized is not None

    @property
    def told(self) -> dict[str, tuple[int | None, ...]]:
        """The outputs of what is looked for before anything is explained, and their shapes: those of detections are
        given where they are asked for, the others always."""
        told = {} if self.goal.is_program else dict(self.request.model.task.told)
        if self.form.by_row and LISTED in told:
            told[LISTED] = (None, 6)
        return {name: shape for name, shape in told.items() if name not in KINDS or name in self.form.outputs}

    @property
    def maps(self) -> tuple[str, ...]:
        """The outputs that explaining makes."""
        return tuple(name for name in self.form.outputs if name not in self.request.model.task.told)

    def is_own(self, part: Result) -> bool:
        """Whether a part's map is of the explained value itself, [C, *S], and not of a layer or of places."""
        return len(raw_shape(part)) == len(self.shape)

    def finish(self, part: Result, layer: Layer | None = None) -> Finish:
        """Return how a part's map becomes a saliency; maps of pixels have a sign, others do not."""
        common = self.request.common
        sign = self.request.pixel_sign(self.shape[0]) if self.is_own(part) else None
        if self.any_length:
            return Finish(self.shape[1:], sign, common.percentile, any_length=True)
        if layer is None:
            return Finish(self.shape[1:], sign, common.percentile)
        return Finish(self.shape[1:], sign, common.percentile, layer.placement, layer.grid)
