"""Where rows that are read in a body of If, Loop or Scan come from: a walk back to a value of the graph around it.

Only what orders, names, picks or goes through axes turn by turn is walked: every number stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.scopes import bodies
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.held import numbers_of, operand

Turn = ir.Value | int
"""By what one place of an axis is taken: the number of a loop's turn, or a constant."""

_COPIES = frozenset({"Identity", "Cast"})
_RENAMES = frozenset({"Unsqueeze", "Squeeze", "Reshape", "Flatten", *_COPIES})
_LEAD = 2
"""Inputs of a Loop's body in front of its states."""
_BOTH = 2
_DEPTH = 60
_LARGEST = 1 << 31


@dataclass(frozen=True)
class Origin:
    """A value, and what its axes are to what was walked from."""

    value: ir.Value
    axes: tuple[int | None, ...]
    """Of each axis that was walked from, that of the value; None where the value has none."""
    turns: Mapping[int, Turn] = field(default_factory=dict)
    """Axes of which one place is taken."""
    picks: tuple[ir.Value, ...] = ()
    """The indices that rows were picked by, last first."""
    added: ir.Value | None = None
    """What was added to all numbers of a row."""

    @property
    def rank(self) -> int:
        """How many axes the value has."""
        return len({axis for axis in self.axes if axis is not None} | self.turns.keys())

    def behind(self, value: ir.Value, place: Callable[[int], int | None], turns: Mapping[int, Turn] | None = None,
               **changed: object) -> Origin:  # fmt: skip
        """Return the same of what a value was made of. Args: place: of an axis, that in front, None where it is new."""
        axes = tuple(None if axis is None else place(axis) for axis in self.axes)
        kept = {new: by for axis, by in self.turns.items() if (new := place(axis)) is not None}
        return replace(self, value=value, axes=axes, turns={**kept, **(turns or {})}, **changed)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Walk:
    """A walk in a graph and the bodies inside it."""

    holders: Mapping[ir.Graph, ir.Node]
    """The node of each body."""

    @classmethod
    def of(cls, graph: ir.Graph) -> Walk:
        """Return the walk in a graph."""
        return cls({body: node for node in graph.all_nodes() for body in bodies(node)})

    def origin(self, value: ir.Value, rank: int) -> Origin:
        """Return where a value of some rank comes from, as far back as that is seen."""
        return self.further(Origin(value, tuple(range(rank))))

    def further(self, found: Origin) -> Origin:
        """Return the same, walked as far back as that is seen."""
        for _ in range(_DEPTH):
            before = self._before(found)
            if before is None:
                break
            found = before
        return found

    def _before(self, of: Origin) -> Origin | None:
        node = of.value.producer()
        if node is None:
            return self._outside(of)
        follow = None if node.domain else _STEPS.get(node.op_type)
        source = operand(node, 0)
        return None if follow is None or source is None else follow(self, of, node, source)

    def _outside(self, of: Origin) -> Origin | None:
        """Return what a body's input is handed, where that is the same at every turn or one place of an axis."""
        body = of.value.graph
        node = self.holders.get(body) if isinstance(body, ir.Graph) else None
        if node is None or body is None or not of.value.is_graph_input():
            return None
        at = list(body.inputs).index(of.value)
        if node.op_type == "Loop" and at >= _LEAD:
            return self._state(of, body.outputs[at - 1], node.inputs[at])
        if node.op_type != "Scan":
            return None
        reads = int(attributes(node)["num_scan_inputs"])
        states = len(node.inputs) - reads
        if at < states:
            return self._state(of, body.outputs[at], node.inputs[at])
        axes = attributes(node).get("scan_input_axes") or [0] * reads
        axis = int(axes[at - states]) % (of.rank + 1)
        source = node.inputs[at]
        turn = body.inputs[states]  # of all that is gone through in step, by one value
        return None if source is None else of.behind(source, lambda own: own + (own >= axis), {axis: turn})

    def _state(self, of: Origin, after: ir.Value, given: ir.Value | None) -> Origin | None:
        """Return what a state was at first, where no turn changes it."""
        while after is not of.value:
            node = after.producer()
            if node is None or node.domain or node.op_type != "Identity" or node.inputs[0] is None:
                return None
            after = node.inputs[0]
        return None if given is None else replace(of, value=given)

    def _copied(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        return replace(of, value=source) if is_float(source) or node.op_type == "Identity" else None

    def _unsqueezed(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        axes = _axes(node, of.rank)
        if axes is None:
            return None
        return of.behind(source, lambda own: None if own in axes else own - sum(axis < own for axis in axes))

    def _squeezed(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        axes = _axes(node, of.rank + len(_numbers(operand(node, 1)) or []))
        if not axes:
            return None
        left = [axis for axis in range(of.rank + len(axes)) if axis not in axes]
        return of.behind(source, lambda own: left[own], dict.fromkeys(axes, 0))

    def _turned(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin:
        perm = list(attributes(node).get("perm") or reversed(range(of.rank)))
        return of.behind(source, lambda own: perm[own])

    def _reshaped(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        """Axes of one come and go; whatever else is reshaped is not walked."""
        old, new = dims(source), dims(of.value)
        if old is None or new is None:
            return None
        left, own = ([axis for axis, size in enumerate(shape) if size != 1] for shape in (old, new))
        if [old[axis] for axis in left] != [new[axis] for axis in own] or len({*left}) != len(left):
            return None
        places = dict(zip(own, left, strict=True))
        return of.behind(source, places.get, {axis: 0 for axis, size in enumerate(old) if size == 1})

    def _gathered(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        index = operand(node, 1)
        turn, kept = self._turn(index)
        if turn is None:
            return self._picked(of, node, source, index)
        rank = of.rank + (not kept)
        axis = int(attributes(node).get("axis", 0)) % rank
        if kept:
            return of.behind(source, lambda own: None if own == axis else own, {axis: turn})
        return of.behind(source, lambda own: own + (own >= axis), {axis: turn})

    def _picked(self, of: Origin, node: ir.Node, source: ir.Value, index: ir.Value | None) -> Origin | None:
        """Return all rows of which some were picked by an index of one axis."""
        if index is None or _rank(index) != 1:
            return None
        axis = int(attributes(node).get("axis", 0)) % of.rank
        return replace(of, value=source, picks=(*of.picks, index)) if self._is_of_rows(of, axis) else None

    def _by_places(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        """Return the same of a GatherND whose indices, [M, 1], are of the first axis, as a mask picks rows."""
        index = operand(node, 1)
        shape = dims(index) if index is not None else None
        if index is None or shape is None or len(shape) != _BOTH or shape[1] != 1 or not self._is_of_rows(of, 0):
            return None
        return replace(of, value=source, picks=(*of.picks, index))

    def _is_of_rows(self, of: Origin, axis: int) -> bool:
        """Whether an axis is one of several that are left, and not gone through turn by turn."""
        return axis in of.axes

    def _sliced(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        axes, steps = (_numbers(operand(node, at)) for at in (3, 4))
        starts, ends = operand(node, 1), operand(node, 2)
        axes = axes if axes is not None else [0] if operand(node, 3) is None else []
        if len(axes) != 1 or (steps or [1]) != [1]:
            return None
        first, last = _numbers(starts), _numbers(ends)
        axis = axes[0] % of.rank
        if first == [0] and last is not None and last[0] >= _LARGEST:
            return replace(of, value=source)
        if first is not None and last is not None and last[0] - first[0] == 1 and first[0] >= 0:
            return of.behind(source, lambda own: None if own == axis else own, {axis: first[0]})
        turn, _ = self._turn(starts)
        if turn is None or isinstance(turn, int) or not self._is_next(ends, turn):
            return None
        return of.behind(source, lambda own: None if own == axis else own, {axis: turn})

    def _split(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        """Return the same of the one place of an axis that an output of a Split has."""
        axis, sizes = int(attributes(node).get("axis", 0)) % of.rank, _numbers(operand(node, 1))
        if sizes is None:
            sizes = [(dims(v) or (0,) * of.rank)[axis] for v in node.outputs]  # type: ignore[misc]
        at = list(node.outputs).index(of.value)
        if set(sizes[: at + 1]) != {1}:
            return None
        return of.behind(source, lambda own: None if own == axis else own, {axis: at})

    def _is_next(self, value: ir.Value | None, turn: Turn) -> bool:
        """Whether a value is the number of a turn and one."""
        node = _named(value)
        if node is None or node.op_type != "Add":
            return False
        terms = [self._turn(v)[0] for v in node.inputs]
        return turn in terms and 1 in terms

    def _turn(self, value: ir.Value | None) -> tuple[Turn | None, bool]:
        """Return by what a value takes one place, and whether it has an axis; None where it is neither constant nor the
        number of a turn."""
        found = _numbers(value)
        if found is not None and value is not None:
            kept = _has_axis(value)
            return (found[0], kept) if len(found) == 1 and found[0] >= 0 else (None, False)
        each, kept = value, False
        while each is not None and (node := each.producer()) is not None and node.op_type in _RENAMES:
            kept = node.op_type in ("Unsqueeze", "Reshape", "Flatten") or (kept and node.op_type in _COPIES)
            each = node.inputs[0]
        body = each.graph if each is not None and each.is_graph_input() else None
        holder = self.holders.get(body) if isinstance(body, ir.Graph) else None
        counts = holder is not None and holder.op_type == "Loop" and body is not None and each is body.inputs[0]
        return (each, kept) if counts else (None, False)

    def _summed(self, of: Origin, node: ir.Node, source: ir.Value) -> Origin | None:
        """Return the rows to which one number each was added, as classes are moved apart."""
        last = of.rank - 1
        for own, other in ((source, operand(node, 1)), (operand(node, 1), source)):
            if own is not None and other is not None and of.added is None and _is_of_one(other, last, own):
                return replace(of, value=own, added=other)
        return None


def _is_of_one(value: ir.Value, last: int, beside: ir.Value) -> bool:
    """Whether a value has one number for all of a last axis, and the other has several."""
    shape, other = dims(value), dims(beside)
    node = value.producer()
    while node is not None and node.op_type in ("Mul", "Cast", "Identity") and shape is None:
        inner = next((v for v in node.inputs if v is not None and _numbers(v) is None and constant_of(v) is None), None)
        shape, node = (None, None) if inner is None else (dims(inner), inner.producer())
    by_rank = node is not None and node.op_type == "Unsqueeze" and (_numbers(operand(node, 1)) or [0])[0] in (last, -1)
    wide = other is None or other[-1] != 1
    return wide and (shape[-1] == 1 and len(shape) == last + 1 if shape is not None else by_rank)


def _rank(value: ir.Value | None, depth: int = 8) -> int | None:
    """Return how many axes an index has, whose shape a body may not say; None where that is not seen."""
    if value is None or not depth:
        return None
    shape, node = dims(value), value.producer()
    if shape is not None or node is None:
        return None if shape is None else len(shape)
    if node.op_type in ("NonZero", "Transpose", *_COPIES):
        return _BOTH if node.op_type == "NonZero" else _rank(node.inputs[0], depth - 1)
    axes, inner = _numbers(operand(node, 1)), _rank(node.inputs[0], depth - 1)
    if node.op_type == "Gather":
        index = _rank(operand(node, 1), depth - 1)
        return None if inner is None or index is None else inner + index - 1
    if axes is None or (inner is None and node.op_type != "Reshape"):
        return None
    return {"Squeeze": (inner or 0) - len(axes), "Unsqueeze": (inner or 0) + len(axes), "Reshape": len(axes)}.get(
        node.op_type
    )


def _named(value: ir.Value | None) -> ir.Node | None:
    """Return what makes a value, whatever it is only named anew by."""
    node = None if value is None else value.producer()
    while node is not None and node.op_type in _RENAMES:
        node = None if node.inputs[0] is None else node.inputs[0].producer()
    return node


def _numbers(value: ir.Value | None) -> list[int] | None:
    """Return the integers of a constant, whatever it is only named anew by: bodies are not folded."""
    for _ in range(_DEPTH):
        if value is None:
            return None
        found = numbers_of(value)
        node = value.producer()
        if found is not None or node is None or node.domain or node.op_type not in _RENAMES:
            return found
        value = node.inputs[0]
    return None


def _has_axis(value: ir.Value) -> bool:
    shape, node = dims(value), value.producer()
    if shape is not None:
        return len(shape) > 0
    found = constant_of(value)
    return found.ndim > 0 if found is not None else node is not None and node.op_type in ("Unsqueeze", "Reshape")


def _axes(node: ir.Node, rank: int) -> list[int] | None:
    found = _numbers(operand(node, 1))
    return None if found is None else sorted(axis % rank for axis in found)


_STEPS: Mapping[str, Callable[[Walk, Origin, ir.Node, ir.Value], Origin | None]] = {
    "Identity": Walk._copied, "Cast": Walk._copied, "Unsqueeze": Walk._unsqueezed, "Squeeze": Walk._squeezed,
    "Transpose": Walk._turned, "Reshape": Walk._reshaped, "Gather": Walk._gathered, "GatherND": Walk._by_places,
    "Slice": Walk._sliced, "Split": Walk._split, "Add": Walk._summed,
}  # fmt: skip
"""What is walked through."""


__all__ = ["Origin", "Turn", "Walk"]
