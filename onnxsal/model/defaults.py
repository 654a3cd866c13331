"""Stated defaults of inputs that nobody holds: zeros of a state that comes back as an output, ones of a mask."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph.shapes import is_float
from onnxsal.model.dimensions import Dimensions, declared
from onnxsal.model.living import living
from onnxsal.model.mask_sense import left_out_by

ALL_COUNT = ("1 everywhere", "a mask of positions: all of them count")
NONE_OUT = ("0 everywhere", "a mask of positions that are left out, as the graph reads it: none is")
"""What a mask is held at, and why."""
_TIMES = frozenset(("in", "out", "input", "output", "prev", "previous", "next", "new", "old", "cur", "current", "init",
                    "initial", "final", "last", "past", "present", ""))  # fmt: skip
"""Words that tell the state before a step from that after it."""


@dataclass(frozen=True)
class Fill:
    """A default: a small array, which axes of it follow which of the explained input, and why."""

    array: NDArray[np.generic]
    follows: dict[int, int]
    at: str
    why: str
    counted: int | None = None
    """The axis along which the numbers are counted from 0; the array is of ones then."""


def is_mask(value: ir.Value) -> bool:
    """Whether an input is a mask of positions, [batch, positions] of numbers or bool.

    By its name 1 is a position that counts; one of padding says the contrary, and is none but where the graph proves
    what it says.
    """
    name = str(value.name).lower()
    if "mask" not in name or is_float(value) or len(declared(value) or ()) != 2:
        return False
    return "pad" not in name or left_out_by(value) is not None


def ones(value: ir.Value, known: Dimensions) -> Fill | None:
    """Return the ones of a mask, the zeros of one that leaves out; None where its size is not known."""
    if left_out_by(value) == 1:
        return _fill(value, known, 0, *NONE_OUT)
    return _fill(value, known, 1, *ALL_COUNT)


def zeros(value: ir.Value, known: Dimensions, output: ir.Value) -> Fill | None:
    """Return the zeros of a state that comes back as an output, None where its size is not known."""
    alike = "name and type, and the file says no shape of it" if _is_open(output) else "name, shape and type"
    why = f"a state: the output {output.name!r} has its {alike}"
    return _fill(value, known, 0, "0 everywhere", why, batch=known.only_open(declared(value) or ()))


def _is_open(output: ir.Value) -> bool:
    """Whether a file says of an output how many axes it has, and of none how long it is."""
    return all(size is None for size in declared(output) or (0,))


def _fill(
    value: ir.Value, known: Dimensions, number: int, at: str, why: str, *, batch: int | None = None
) -> Fill | None:
    shape, dtype = declared(value), value.dtype
    if shape is None or dtype is None:
        return None
    follows = known.following(shape) or ({} if batch is None else {batch: 0})
    sizes = [1 if i in follows else known.size(d) for i, d in enumerate(shape)]
    if not all(isinstance(size, int) for size in sizes):
        return None
    return Fill(np.full([size or 0 for size in sizes], number, dtype.numpy()), follows, at, why)


def states(
    graph: ir.Graph, among: Sequence[ir.Value], head: str | None, alive: Collection[ir.Value]
) -> dict[ir.Value, str]:
    """Return the inputs that come back as outputs of their name, shape and type, computed from them: a stream's state.

    Each with its output, of which the file may say the number of its axes alone. Names agree but for what tells before
    from after (``h0`` and ``hN``, ``state_in`` and ``state_out``). Where no output is left beside theirs, nothing tells
    a state from a signal, and there is none.
    """
    symbols = {d for v in graph.inputs for d in declared(v) or () if isinstance(d, str)}
    free = [v for v in graph.outputs if v.name != head]
    spare = len(free) - (0 if head is not None else 1)
    found: dict[ir.Value, str] = {}
    for value in among:
        match = next((o for o in free if value in alive and _comes_back(graph, value, o, symbols)), None)
        if match is not None:
            free.remove(match)
            found[value] = str(match.name)
    return found if len(found) <= spare else {}


def _bare(value: ir.Value) -> str:
    """Return a name without what tells before from after."""
    words = re.split(r"[^a-z0-9]+", str(value.name).lower())
    return "_".join(bare for word in words if word not in _TIMES and (bare := re.sub(r"(in|out|n|t|\d+)$", "", word)))


def _comes_back(graph: ir.Graph, value: ir.Value, output: ir.Value, symbols: Collection[str]) -> bool:
    shape, after = declared(value), declared(output)
    if not _bare(value) or _bare(value) != _bare(output) or value.dtype != output.dtype:
        return False
    if not shape or after is None or len(shape) != len(after):
        return False
    pairs = list(zip(shape, after, strict=True))
    agree = all(a == b or not (isinstance(b, int) or b in symbols) for a, b in pairs)
    says = _is_open(output) or any(a == b and a is not None for a, b in pairs)
    return agree and says and value in living(graph, None, ends=[output])
