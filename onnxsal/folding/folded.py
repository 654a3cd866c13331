"""What a record needs to be folded, and what of it has to be carried from the draws to the tail."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.folding.noise import Key
from onnxsal.folding.planes import IMAGE
from onnxsal.folding.rows import Schedule, Shape
from onnxsal.graph import Program, Tape, dims, infer_shapes
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.records import Boxes, CoarseMasks, Grids, HostMasks, Record

Values = Mapping[str, ir.Value]
Declared = Boxes | CoarseMasks


@dataclass(frozen=True)
class Folded:
    """A record, and what surrounds it."""

    record: Record
    x: str
    """The name of the picture's input in all programs."""
    shape: Shape
    """Of one thing [C, *S], or of what the draws vary in its place; draws have its positions as rows and columns."""
    maps: int
    """Of the layer; 0 where there is none."""
    baseline: Callable[[Tape, ir.Value], ir.Value]
    """The baseline [B, C, rows, columns] of x."""
    key: tuple[int, int] = (0, 0)
    """Seed and image; of ``seeds`` the image alone."""
    rows: int = 8
    """Draws that go through the model at once."""
    any_length: bool = False
    """Whether the positions lie in a row of any length, and ``shape`` has but one of them."""
    most_cells: int | None = None
    """Cells that drawn masks of such a row have at most, where there is one a position; None: as the record says."""
    seeds: ir.Value | None = None
    """Of each thing, uint32 [B], where they are known when the graph runs."""
    noise_held: bool = False
    """Whether noise lies in the file, drawn when it is written, in place of the operators that draw it."""

    def key_of(self, op: Tape, thing: ir.Value) -> Key:
        """Return the key that a thing's noise is drawn with. Args: thing: its number, int64, a scalar."""
        return self.key if self.seeds is None else (op.Gather(self.seeds, thing), self.key[1])

    @property
    def body(self) -> Program:
        """The program of every draw. Raises: UnsupportedError: it is a record itself."""
        if isinstance(self.record.body, Record):
            raise UnsupportedError(
                "a sampling method round another sampling method cannot be compiled; wrap a gradient or a CAM"
            )
        return self.record.body

    @property
    def masks(self) -> int:
        """How many masks a sample has; 0 without, or where each is a sample of its own."""
        masks = self.record.draws.masks
        if isinstance(masks, Grids):
            return masks.top_k or self.maps
        return 0 if masks is None or masks.random else masks.count

    @property
    def noise_draws(self) -> int | None:
        """How many draws of noise lie in the file; None where operators draw it."""
        draws = self.record.draws
        if not self.noise_held:
            return None
        return draws.samples * (self.masks or 1 if draws.allocation != "shared" else 1)

    @property
    def declared(self) -> Declared | None:
        """Masks that do not depend on the picture. Raises: UnsupportedError: the method makes them on the host."""
        masks = self.record.draws.masks
        if isinstance(masks, HostMasks):
            raise _made_on_the_host(masks)
        return None if isinstance(masks, Grids) else masks

    @property
    def size(self) -> tuple[int, ...]:
        """The positions S of what is varied."""
        return self.shape[1:]

    @property
    def maps_size(self) -> tuple[int, ...]:
        """The positions of the head's maps; 0 rows and columns where there are none."""
        maps = self.head_outputs().get("maps")
        return (0, 0) if maps is None else _inner(maps)[1:]

    @property
    def placement(self) -> Placement:
        """Where these maps lie in the picture."""
        masks = self.record.draws.masks
        return masks.placement if isinstance(masks, Grids) and len(self.size) <= IMAGE else WHOLE_IMAGE

    def many(self, op: Tape, length: ir.Value) -> int | ir.Value:
        """Return how many masks a sample has, as ``masks``: of a row of any length ([1]) an int64 scalar."""
        masks = self.record.draws.masks
        if not (self.any_length and isinstance(masks, Boxes)):
            return self.masks
        assert masks.steps is not None
        step = masks.steps[1]
        return op.Squeeze(op.Div(op.Add(length, step - 1), step), [0])

    def schedule(self, masks: int | ir.Value) -> Schedule:
        """Return how its draws are cut into turns. Raises: UnsupportedError: draws that only streaming makes."""
        if self.record.draws.allocation == "neyman":
            raise UnsupportedError(
                "draws that depend on scores found before cannot go into a file: compile with estimator=plain "
                "or estimator=independent"
            )
        return Schedule(samples_of(self.record), masks, self.rows)

    @property
    def top(self) -> int | None:
        """How many of the maps are drawn, where it is not all."""
        masks = self.record.draws.masks
        return masks.top_k if isinstance(masks, Grids) else None

    @property
    def references(self) -> list[str]:
        """The body's outputs on the baseline that the tail takes."""
        asked = self.record.tail.inputs if self.record.tail is not None else ()
        return [name.removeprefix("reference/") for name in asked if name.startswith("reference/")]

    @property
    def moments(self) -> dict[str, bool]:
        """The body's outputs whose sums are kept, and whether their squares are too."""
        kept, tail = self.record.moments, self.record.tail
        if tail is None:
            return {kept.names[0]: kept.shown != "mean"}
        kinds = [name.partition("/") for name in tail.inputs]
        return {
            name: any(kind in ("square", "variance") and of == name for kind, _, of in kinds)
            for name in (*kept.names, *(("mask",) if kept.per == "weighted" else ()))
            if any(of == name and kind in ("mean", "square", "variance") for kind, _, of in kinds)
        }

    def head_outputs(self) -> dict[str, ir.Value]:
        """Return the head's outputs that masks or tail use, or that the draws vary, with their types."""
        record = self.record
        if record.head is None:
            return {}
        wanted = {record.varies, *(record.tail.inputs if record.tail else ())}
        wanted.update(("maps",) if isinstance(record.draws.masks, Grids) else ())
        return {name: value for name, value in typed(record.head).outputs.items() if name in wanted}

    def sum_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Return the shape of each summed output behind the batch axis; one number per mask for scores.

        None stands for what is known when the graph runs: how many masks there are, or how long a row is.
        """
        names, length = self.record.moments.names, (None,)
        if self.record.moments.per == "mask":
            return dict.fromkeys(names, length if self.any_length else (self.masks,))
        if self.record.moments.per == "weighted":
            whole = self.shape if self.record.draws.channels else self.size
            return dict.fromkeys((*names, "mask"), length if self.any_length else whole)
        outputs = typed(self.body).outputs
        if self.any_length:
            return {name: _open(outputs[name]) for name in names}
        return {name: _inner(outputs[name]) for name in names}


def _made_on_the_host(masks: HostMasks) -> UnsupportedError:
    if masks.random:
        return UnsupportedError(
            "this method draws its masks in Python, which no graph can hold, and is not compiled; use it with explain"
        )
    return UnsupportedError(
        "this method makes its masks in Python, which no graph can hold, and is not compiled; use it with explain, or "
        "declare rectangles as such (onnxsal.records.Boxes)"
    )


def _inner(value: ir.Value) -> tuple[int, ...]:
    shape = tuple(d for d in (dims(value) or ())[1:] if isinstance(d, int))
    assert len(shape) == len(dims(value) or ()) - 1, f"the shape of {value.name!r} is not known"
    return shape


def _open(value: ir.Value) -> tuple[int | None, ...]:
    return tuple(d if isinstance(d, int) else None for d in (dims(value) or ())[1:])


def fits_any_length(record: Record) -> bool:
    """Return whether a record of things in a row says what it does of rows of any length."""
    draws, given = record.draws, record.draws.baseline
    if draws.noise is not None or draws.channels or record.varies != "x" or isinstance(record.body, Record):
        return False
    if given in ("blur", "uniform") or (not isinstance(given, str) and np.ndim(given) > 1):
        return False
    masks = draws.masks
    along = isinstance(masks, CoarseMasks) and masks.row is not None
    return masks is None or along or (isinstance(masks, Boxes) and masks.steps is not None)


def typed(program: Program) -> Program:
    """Return the program with the shapes of all its values."""
    copy = program.model.clone()
    infer_shapes(copy)
    return Program(copy)


def raw_shape(result: Program | Record) -> tuple[int | None, ...]:
    """Return the shape of a program's or record's map behind the batch axis; None where a side is not known."""
    if isinstance(result, Record) and result.tail is None:
        if result.moments.per == "weighted":
            return (None,) * positions_of(result)
        name = result.moments.names[0]
        if isinstance(result.body, Record):
            return raw_shape(result.body)
        value = typed(result.body).outputs[name]
    else:
        program = result.tail if isinstance(result, Record) else result
        assert program is not None
        value = typed(program).outputs["saliency"]
    return tuple(d if isinstance(d, int) else None for d in (dims(value) or ())[1:])


def positions_of(result: Program | Record) -> int:
    """Return how many axes of positions there are in what a program or record explains."""
    program: Program | Record = result
    while isinstance(program, Record):
        program = program.body
    return len(dims(next(iter(program.inputs.values()))) or (None,) * 4) - 2


def total_weight(record: Record) -> float:
    """Return what sums over the draws are divided by."""
    weights = record.draws.weights
    return float(samples_of(record)) if weights is None else float(np.sum(weights))


def samples_of(record: Record) -> int:
    """Return how many samples are drawn: each of masks that are drawn themselves is one."""
    masks = record.draws.masks
    return masks.count if isinstance(masks, CoarseMasks) else record.draws.samples


def image_elements(shape: Shape) -> int:
    """Return how many numbers one picture has."""
    return math.prod(shape)
