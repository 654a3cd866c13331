"""Files of two sides, such as pictures and texts, that compare every one with every other: their rows are no one batch.

Exporters call the first axis of both ``batch``, or nothing: what is held of one side would be repeated for every row of
the other, and each row compared with all. Running the file with other numbers of rows on each side tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import Program, dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.image.modality import ImageModality
from onnxsal.modalities.tokens import Tokens
from onnxsal.modalities.tokens.embedding import is_ids
from onnxsal.model.batch_axis import Probe
from onnxsal.model.constants import fitting
from onnxsal.model.defaults import is_mask
from onnxsal.model.dimensions import declared
from onnxsal.model.input_size import Known, stated_sizes
from onnxsal.model.roles import free_inputs

TEXTS, TOKENS, OTHERS = "texts", "tokens", "others"
"""What the axes are called from then on, where the file calls them nothing or the same."""

_ROWS = {"texts": 3, "others": 2}


def told_apart(source: ir.Model, known: Known) -> ir.Model:
    """Return a file with the axis of its texts called otherwise than that of what they are compared with.

    Itself where its names tell already, or it does not run with three texts beside two of the others to a matrix of
    both.
    """
    texts, others = _sides(source.graph)
    if not texts or len(others) != 1 or _are_apart(source.graph, texts[0], others[0]) or not _may_pair(source.graph):
        return source
    feeds = _feeds(texts, others[0], known)
    if feeds is None:
        return source
    named = _renamed(source, texts)
    found = _run(named, feeds, known)
    pairs = {name: array.shape for name, array in found.items() if sorted(array.shape) == sorted(_ROWS.values())}
    if not pairs:
        return source
    axes = {_ROWS["texts"]: TEXTS, _ROWS["others"]: (declared(_sides(named.graph)[1][0]) or (None,))[0]}
    for value in named.graph.outputs:
        if value.name in pairs:
            value.shape = ir.Shape([axes[n] for n in pairs[str(value.name)]])
    return named


def _sides(graph: ir.Graph) -> tuple[list[ir.Value], list[ir.Value]]:
    """Return the inputs of ids, and those of floats of several axes; nothing where there are any besides."""
    free = free_inputs(graph)
    texts, others = [v for v in free if is_ids(v)], [v for v in free if is_float(v) and len(declared(v) or ()) > 2]
    return (texts, others) if len(texts) + len(others) == len(free) else ([], [])


def _are_apart(graph: ir.Graph, text: ir.Value, other: ir.Value) -> bool:
    """Whether the file fixes a number of rows, or an output is declared as a matrix of both by two names."""
    first = [(declared(v) or (None,))[0] for v in (text, other)]
    if any(isinstance(d, int) for d in first):
        return True
    named = None not in first and first[0] != first[1]
    return named and any(sorted(map(str, dims(v) or ())) == sorted(map(str, first)) for v in graph.outputs)


def _may_pair(graph: ir.Graph) -> bool:
    shapes = [dims(v) for v in graph.outputs]
    return any(shape is None or (len(shape) == 2 and not any(isinstance(d, int) for d in shape)) for shape in shapes)


def _feeds(texts: Sequence[ir.Value], other: ir.Value, known: Known) -> dict[str, NDArray[Any]] | None:
    """Return three texts of the first token and two of the others; None where nothing tells of which size."""
    sides = _size(other, known)
    if sides is None or other.dtype is None:
        return None
    held = [fitting(known.asked.held[str(v.name)], v).shape[1] for v in texts if v.name in known.asked.held]
    lengths = [d for v in texts if isinstance(d := (declared(v) or (None, None))[1], int)]
    length = (*held, *lengths, Tokens.default_size["T"])[0]
    found: dict[str, NDArray[Any]] = {
        str(v.name): np.full((_ROWS["texts"], length), int(is_mask(v)), v.dtype.numpy()) for v in texts if v.dtype
    }
    noise = np.random.default_rng(0).normal(0, 1, (_ROWS["others"], *sides))
    return {**found, str(other.name): noise.astype(other.dtype.numpy())}


def _size(other: ir.Value, known: Known) -> tuple[int, ...] | None:
    shape = (declared(other) or ())[1:]
    held = known.asked.held.get(str(other.name))
    if held is not None:
        return tuple(fitting(held, other).shape[1:])
    stated = dict(_sides_said(known)) if len(shape) == 3 else {}
    sizes = [d if isinstance(d, int) else stated.get(at) for at, d in enumerate(shape)]
    return tuple(n for n in sizes if n is not None) if None not in sizes else None


def _sides_said(known: Known) -> Iterator[tuple[int, int]]:
    """Yield axes behind the batch of pictures, channels first, and their lengths."""
    for stated in stated_sizes(ImageModality(), known)[:1]:
        yield from ((0, 3), (1, stated.sizes["H"]), (2, stated.sizes["W"]))


def _run(source: ir.Model, feeds: dict[str, NDArray[Any]], known: Known) -> dict[str, NDArray[Any]]:
    try:
        return dict(Probe(known.running).open(Program(source)).run(feeds))
    except (ModelError, UnsupportedError):  # their rows go together, or it does not run so: nothing is told
        return {}


def _renamed(source: ir.Model, texts: Sequence[ir.Value]) -> ir.Model:
    """Return a file with names of its own for the axes of both sides; what is declared inside may call both one.

    ONNX Runtime lays a value into the memory of another whose axes are called the same.
    """
    work = source.clone()
    own = {str(v.name) for v in texts}
    for node in work.graph:
        for value in node.outputs:
            if value.shape is not None:
                value.shape = ir.Shape([d if isinstance(d, int) else None for d in dims(value) or ()])
    for value in free_inputs(work.graph):
        rows, *rest = declared(value) or (None,)
        if value.name in own:
            value.shape = ir.Shape([TEXTS, *(TOKENS if d is None else d for d in rest)])
        else:
            value.shape = ir.Shape([OTHERS if rows is None else rows, *rest])
    return work
