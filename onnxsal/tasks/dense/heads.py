"""Where dense scores are in a graph, and what proves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import onnx_ir as ir

from onnxsal.anatomy.layout import tags_of
from onnxsal.anatomy.parts import Entry
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.outputs import ACTIVATIONS, DRESS, behind, made_by, main_output, named_outputs, source

_OVER = frozenset({"Softmax", "LogSoftmax", "ArgMax", "TopK"})
"""What goes over the axis of the classes."""

_WORDS = {2: "height, width", 3: "depth, height, width"}

_THRESHOLDS = frozenset({"Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_LEVELS = 255.0


@dataclass(frozen=True)
class DenseHead:
    """What ``Dense`` is made of."""

    output: str
    logit: str
    probability: str | None
    activation: str
    axis: int
    classes: int
    grid: tuple[int, ...]
    exclusive: bool
    proof: str


def main_head(graph: ir.Graph, *, proven: bool, named: Callable[[int], bool] | None = None) -> DenseHead:
    """Return the head of the main one of the outputs that have one.

    Args:
        proven: a Softmax, Sigmoid or ArgMax goes over the classes; else shapes that allow them are enough.
        named: whether so many classes have names, which is asked of several then.
    Raises: UnsupportedError: no output has one.
    """
    entry = recognise(graph)[1]
    found = [(output, _behind(output, entry, proven=proven)) for output in graph.outputs]
    heads = [(output, head) for output, head in found if isinstance(head, DenseHead)]
    heads = [(v, head) for v, head in heads if named is None or (head.classes > 1 and named(head.classes))]
    if heads:
        return heads[main_output([output for output, _ in heads])][1]
    reasons = named_outputs([f"{output.name!r} {reason}" for output, reason in found])
    raise UnsupportedError(f"none is proven to hold one score per class of every position: {reasons}")


def _behind(output: ir.Value, entry: Entry, *, proven: bool) -> DenseHead | str:
    """Return the head behind an output, or why there is none."""
    chain = list(dressed(output))
    activated = next((v for v in chain if made_by(v) in ACTIVATIONS), None)
    over = next((v for v in chain if made_by(v) in _OVER), None)
    last = over if activated is None else activated
    rest = chain if last is None else list(behind(_operand(last)))
    place = next((found for v in rest if (found := _place(v, over, entry)) is not None), None)
    if place is None:
        return f"has not the shape [batch, classes, {_WORDS[rank_of(entry)]}]{_open(rest, entry)}"
    if over is None and place.has_classes and place.axis != 1:  # by proportions, which a crop inside may change
        place = replace(place, axis=_axis_followed(place.logit, entry) or place.axis)
    if place.axis is None:
        return f"has shape {list(place.shape)} behind the batch, and nothing says which of its axes holds the classes"
    if over is not None and place.classes == 1:
        return f"is {made_by(over)} over an axis of one number, which is the same whatever goes in"
    if proven and over is None and (why := _unproven(activated, place, entry)):
        return f"{why}; if its channels are classes, say so: task='dense' (--task dense)"
    made = "" if activated is None else made_by(activated)
    activation = "sigmoid" if place.classes == 1 else ACTIVATIONS.get(made, "softmax")
    exclusive = place.classes > 1 and (over is not None or activation == "softmax")
    return DenseHead(
        str(output.name), str(place.logit.name), _held(activated, place), activation, place.axis, place.classes,
        place.grid, exclusive, "" if last is None else f"{made_by(last)} makes {last.name!r}",
    )  # fmt: skip


def dressed(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield a map and the values that it is only a form of: resized, as bytes, above a threshold, as colours."""
    while value is not None:
        yield value
        node = value.producer()
        value = None if node is None or node.domain not in ("", "ai.onnx.ml") else _undressed(node)


def _undressed(node: ir.Node) -> ir.Value | None:
    value, other = (*node.inputs, None, None)[:2]
    if node.op_type in DRESS:
        return source(node.outputs[0])
    if node.op_type in ("Resize", "Round", "Floor", "Clip"):
        return value
    if node.op_type in _THRESHOLDS or (node.op_type == "Mul" and _number(other) == _LEVELS):
        return None if _number(other) is None else value
    if node.op_type == "Gather" and value is not None and value.const_value is not None:
        return other  # colours by the number of the class
    return None


def _number(value: ir.Value | None) -> float | None:
    """Return a constant that is one number."""
    tensor = None if value is None else value.const_value
    return float(tensor.numpy().reshape(())) if tensor is not None and tensor.size == 1 else None


def rank_of(entry: Entry) -> int:
    """Return how many axes of positions dense scores have: those of a volume, else rows and columns."""
    return 3 if len(entry.spatial) == 3 and "C" in entry.value_axes else 2


@dataclass(frozen=True)
class _Place:
    """A value with a score per position, and which of its axes behind the batch holds the classes, if any: the first or
    the last."""

    logit: ir.Value
    shape: tuple[int, ...]
    axis: int | None
    rank: int
    """Of positions."""

    @property
    def has_classes(self) -> bool:
        """Whether it has an axis for them."""
        return len(self.shape) > self.rank

    @property
    def classes(self) -> int:
        """How many; a value without an axis for them has one."""
        return 1 if not self.has_classes or self.axis is None else self.shape[self.axis - 1]

    @property
    def grid(self) -> tuple[int, ...]:
        """Height and width, of a volume depth first."""
        first = 1 if self.axis == 1 and self.has_classes else 0
        return self.shape[first : first + self.rank]


def _place(value: ir.Value, over: ir.Value | None, entry: Entry) -> _Place | None:
    """Return a value as one of scores of positions, or None where its shape is no such."""
    sizes = dims(value)
    shape = tuple(d for d in (sizes or ())[1:] if isinstance(d, int))
    if sizes is None or not is_float(value) or len(shape) != len(sizes) - 1:
        return None
    rank = rank_of(entry)
    if len(shape) == rank + 1:
        return _Place(value, shape, _axis_by(shape, entry.size) if over is None else _axis_of(over, shape), rank)
    if len(shape) == rank and over is None and _lies_over(shape, entry.size):
        return _Place(value, shape, 1, rank)  # [batch, height, width]: one class
    return None


def _held(activated: ir.Value | None, place: _Place) -> str | None:
    """Return the file's own probabilities; those of another shape than the logits are worked out anew."""
    if activated is None or made_by(activated) == "LogSoftmax":
        return None
    shape = dims(activated)
    alike = place.classes == 1 or (shape is not None and len(shape) == place.rank + 2 and shape == dims(place.logit))
    return str(activated.name) if alike else None


def _open(values: Sequence[ir.Value], entry: Entry) -> str:
    """Return what to say of a value that could be one if its size were known."""
    for value in values:
        shape = dims(value)
        known = shape is None or all(isinstance(d, int) for d in shape[1:])
        if is_float(value) and shape is not None and len(shape) == rank_of(entry) + 2 and not known:
            return f" of known size: {value.name!r} is {list(shape)}, though the input is opened for {entry.size}"
    return ""


def _unproven(activated: ir.Value | None, place: _Place, entry: Entry) -> str:
    """Return why nothing proves classes where neither Softmax nor ArgMax goes over them, or an empty text."""
    if activated is None:
        return "has no Softmax, Sigmoid or ArgMax"
    if place.classes > 1 and (place.classes, place.grid) == (entry.channels, entry.size):
        return "has the shape of the picture itself, which a Sigmoid may well put out"
    return ""


def _operand(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    return None if node is None else node.inputs[0]


def _axis_of(value: ir.Value, shape: tuple[int, ...]) -> int | None:
    """Return the axis of the classes in logits of that shape, over which a Softmax or an ArgMax goes.

    It may go over positions in a row: [batch, classes, positions] or [batch, positions, classes].
    """
    operand = _operand(value)
    sizes = None if operand is None else dims(operand)
    node = value.producer()
    if node is None or sizes is None:
        return None
    axis = int(attributes(node).get("axis", 0 if node.op_type == "ArgMax" else -1)) % len(sizes)
    found = {1: 1, len(sizes) - 1: len(shape)}.get(axis)
    return found if found is not None and sizes[axis] == shape[found - 1] else None


def _axis_by(shape: tuple[int, ...], size: tuple[int, ...] | None) -> int | None:
    """Return the axis of the classes where the others are the picture's height and width, made smaller alike.

    Exactly so, or else up to a part of a position, as strides leave it.
    """
    pairs = {1: shape[1:], len(shape): shape[:-1]}
    for near in (0.0, 1.0):
        fits = [axis for axis, pair in pairs.items() if _lies_over(pair, size, near)]
        if fits:
            return fits[0] if len(fits) == 1 else None
    return None


def _axis_followed(value: ir.Value, entry: Entry) -> int | None:
    """Return the axis of the classes where the picture's rows and columns are followed to the others."""
    rank = rank_of(entry)
    if value.graph is None or len(entry.spatial) != rank:
        return None
    tags = tags_of(value.graph, entry, value)
    found = [i for i, tag in enumerate(tags) if tag in tuple(entry.spatial)]
    return 1 if found == list(range(2, 2 + rank)) else rank + 1 if found == list(range(1, 1 + rank)) else None


def _lies_over(sides: tuple[int, ...], size: tuple[int, ...] | None, near: float = 1.0) -> bool:
    """Return whether so many positions lie over a picture (height, width): all sides made smaller alike."""
    if size is None or len(size) != len(sides) or min(sides) < 2:
        return False
    pairs = combinations(zip(sides, size, strict=True), 2)
    off = max(abs(own * other_size - other * own_size) for (own, own_size), (other, other_size) in pairs)
    return off == 0 or off < near * max(size)
