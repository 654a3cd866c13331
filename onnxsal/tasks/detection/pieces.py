"""What the channels of an output are put together from: a walk back through what joins, splits and orders values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.detection.rows import Rows
from onnxsal.tasks.held import numbers_of, operand

_NAMED_ANEW = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
_COPIES = frozenset({"Identity", "Cast", "Dropout"})
_LARGEST = 1 << 40
_DEPTH = 40


@dataclass(frozen=True)
class Piece:
    """Channels that one operator made: of one value, or of one a level."""

    values: tuple[ir.Value, ...]
    axis: int
    start: int
    stop: int

    @property
    def channels(self) -> int:
        """How many there are."""
        return self.stop - self.start

    @property
    def made_by(self) -> str:
        """The operator, alike on every level; empty where there is none or they differ."""
        made = {_made_by(value) for value in self.values}
        return made.pop() if len(made) == 1 else ""

    @property
    def rows(self) -> Rows:
        """The same by name."""
        return Rows(tuple(str(v.name) for v in self.values), self.axis, self.start, self.stop)

    @property
    def operands(self) -> Rows | None:
        """What an elementwise operator of one input reads there."""
        found = [_first(value) for value in self.values]
        if any(each is None for each in found):
            return None
        return Rows(tuple(str(v.name) for v in found if v is not None), self.axis, self.start, self.stop)

    def is_whole(self) -> bool:
        """Whether it is all channels of its values."""
        return all((self.start, self.stop) == (0, (dims(v) or ())[self.axis]) for v in self.values)


def pieces_of(value: ir.Value, axis: int) -> list[Piece]:
    """Return what the channels of a value, on that axis, are put together from, in their order.

    Channels keep their candidates in one order through all that is walked.
    """
    size = (dims(value) or ())[axis]
    return _pieces(_Range(value, axis, 0, size), _DEPTH) if isinstance(size, int) else []


def logits_behind(value: ir.Value, axis: int) -> Rows | None:
    """Return what stands in front of the Sigmoid or Softmax that makes scores; None where there is none."""
    found = pieces_of(value, axis)
    return found[0].operands if len(found) == 1 and activates(found[0]) else None


def activates(piece: Piece) -> bool:
    """Return whether a Sigmoid makes a piece, or a Softmax over its channels."""
    if piece.made_by == "Sigmoid":
        return True
    node = piece.values[0].producer()
    if piece.made_by != "Softmax" or node is None:
        return False
    rank = len(dims(piece.values[0]) or (0,))
    return int(attributes(node).get("axis", -1)) % rank == piece.axis


@dataclass(frozen=True)
class _Range:
    value: ir.Value
    axis: int
    start: int
    stop: int

    def leaf(self) -> Piece:
        return Piece((self.value,), self.axis, self.start, self.stop)


def _pieces(of: _Range, depth: int) -> list[Piece]:
    node = of.value.producer()
    if node is None or node.domain or not depth:
        return [of.leaf()]
    if node.op_type == "Concat":
        return _joined(of, node, depth)
    behind = _behind(of, node)
    return [of.leaf()] if behind is None else _pieces(behind, depth - 1)


def _behind(of: _Range, node: ir.Node) -> _Range | None:
    """Return the same channels of what a node only names, orders or cuts; None where it does anything else."""
    source = _first(of.value)
    if source is None or dims(source) is None:
        return None
    if node.op_type in _COPIES:
        return _Range(source, of.axis, of.start, of.stop) if is_float(source) else None
    if node.op_type == "Transpose":
        perm = list(attributes(node).get("perm") or reversed(range(len(dims(source) or ()))))
        others = [axis for axis in perm if axis != perm[of.axis]]
        return _Range(source, perm[of.axis], of.start, of.stop) if others == sorted(others) else None
    if node.op_type in _NAMED_ANEW:
        axis = axis_in_front(of.value, source, of.axis)
        return None if axis is None else _Range(source, axis, of.start, of.stop)
    if node.op_type == "Gather":
        return _one_of(of, node)
    if node.op_type in ("Split", "Slice"):
        at = _offset(of, node)
        return None if at is None else _Range(source, of.axis, at + of.start, at + of.stop)
    return None


def _one_of(of: _Range, node: ir.Node) -> _Range | None:
    """Return the same channels of the one value that a Gather takes out of several that were stacked, such as the last
    of a decoder's layers."""
    stacked, index = _first(of.value), constant_of(operand(node, 1))
    maker = None if stacked is None else stacked.producer()
    if stacked is None or maker is None or maker.op_type != "Concat" or index is None or index.ndim:
        return None
    rank = len(dims(stacked) or ())
    axis = int(attributes(node).get("axis", 0)) % rank
    sizes = {(dims(v) or (None,) * rank)[axis] if v is not None else None for v in maker.inputs}
    if int(attributes(maker)["axis"]) % rank != axis or sizes != {1}:
        return None
    found = maker.inputs[int(index) % len(maker.inputs)]
    return None if found is None else _Range(found, of.axis + (of.axis >= axis), of.start, of.stop)


def axis_in_front(value: ir.Value, source: ir.Value, axis: int) -> int | None:
    """Return which axis of what was reshaped an axis of the result is; None where that is not seen."""
    new, old = dims(value), dims(source)
    if new is None or old is None:
        return None
    below = _product(new[axis + 1 :])
    found = [at for at, size in enumerate(old) if size == new[axis] and below and _product(old[at + 1 :]) == below]
    return found[-1] if found else None


def _product(shape: Sequence[int | str | None]) -> int:
    return prod(d for d in shape if isinstance(d, int)) if all(isinstance(d, int) for d in shape) else 0


def _offset(of: _Range, node: ir.Node) -> int | None:
    """Return where in its operand's channels those of a Split or Slice begin."""
    source = _first(of.value)
    assert source is not None
    rank = len(dims(source) or ())
    if node.op_type == "Split":
        if int(attributes(node).get("axis", 0)) % rank != of.axis:
            return None
        sizes = [(dims(v) or (None,) * rank)[of.axis] for v in node.outputs]
        before = sizes[: list(node.outputs).index(of.value)]
        return sum(d for d in before if isinstance(d, int)) if all(isinstance(d, int) for d in before) else None
    starts, axes, steps = (numbers_of(operand(node, at)) for at in (1, 3, 4))
    if starts is None or (axes is None and operand(node, 3) is not None) or (steps or [1]) != [1] * len(steps or [1]):
        return None
    named = [a % rank for a in (axes if axes is not None else range(len(starts)))]
    if named != [of.axis]:
        return None
    size = (dims(source) or ())[of.axis]
    return starts[0] % size if isinstance(size, int) and abs(starts[0]) < _LARGEST else None


def _joined(of: _Range, node: ir.Node, depth: int) -> list[Piece]:
    axis = int(attributes(node)["axis"]) % len(dims(of.value) or (0,))
    inputs = [v for v in node.inputs if v is not None]
    if axis != of.axis:
        return _levels(of, [_pieces(_Range(v, of.axis, of.start, of.stop), depth - 1) for v in inputs])
    found, at = list[Piece](), 0
    for value in inputs:
        size = (dims(value) or (None,) * (axis + 1))[axis]
        if not isinstance(size, int):
            return [of.leaf()]
        start, stop = max(of.start - at, 0), min(of.stop - at, size)
        if start < stop:
            found += _pieces(_Range(value, axis, start, stop), depth - 1)
        at += size
    return found


def _levels(of: _Range, levels: list[list[Piece]]) -> list[Piece]:
    """Return pieces of several levels where all levels are put together alike, else the whole as one."""
    forms = {tuple((p.start, p.stop, _made_by(p.values[0]), _side(p)) for p in level) for level in levels}
    if len(forms) != 1:
        return [of.leaf()]
    return [
        Piece(tuple(v for p in each for v in p.values), each[0].axis, each[0].start, each[0].stop)
        for each in zip(*levels, strict=True)
    ]


def _side(piece: Piece) -> tuple[int, int]:
    """Where the channels lie: Rows read every level by one rule."""
    return piece.axis, len(dims(piece.values[0]) or ())


def _made_by(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None or node.domain else node.op_type


def _first(value: ir.Value) -> ir.Value | None:
    node = value.producer()
    return None if node is None or not node.inputs else node.inputs[0]
