"""Rows of candidates: which channels of which values of a graph hold a number for each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import Trace


@dataclass(frozen=True)
class Rows:
    """Channels ``start`` to ``stop`` of a value, or of one value per level, level behind level.

    A value is [B, ..., C] or [B, C, ...]: whatever other axes it has are those of its candidates, in their order.
    """

    values: tuple[str, ...]
    axis: int | None
    """That of the channels; None where the value has none and holds one number a candidate."""
    start: int
    stop: int
    batched: bool = True
    """Whether the first axis is that of the batch; without one there is one picture."""

    @property
    def channels(self) -> int:
        """How many numbers a candidate has."""
        return self.stop - self.start

    def part(self, start: int, stop: int) -> Rows:
        """Return some of the channels, counted from the first of these."""
        return Rows(self.values, self.axis, self.start + start, self.start + stop, self.batched)

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> ir.Value:
        """Return the numbers, float32 [B, N, C]. Raises: UnsupportedError: a value's shape is not known."""
        each = [self._level(op, op.cast(values[name], ir.DataType.FLOAT), dims(values[name])) for name in self.values]
        return each[0] if len(each) == 1 else op.Concat(*each, axis=1)

    def _level(self, op: Tape, value: ir.Value, shape: tuple[int | str | None, ...] | None) -> ir.Value:
        if shape is None:  # a file may say more of an output than anything inside it proves
            raise UnsupportedError(
                f"nothing in the graph proves the shape of {' or '.join(map(repr, self.values))}, which holds numbers "
                "of each candidate: has its operator an attribute too many, or is it of nobody's?"
            )
        if not self.batched:
            value = op.Unsqueeze(value, [0])
        rank, axis = len(shape) + (not self.batched), self._axis(len(shape))
        if axis is None:
            return op.Unsqueeze(value if rank == 2 else op.Flatten(value, axis=1), [2])
        if axis != rank - 1:
            value = op.Transpose(value, perm=[*(a for a in range(rank) if a != axis), axis])
        whole = shape[self.axis or 0]
        if rank != 3:
            value = op.Reshape(value, [0, -1, whole if isinstance(whole, int) else self.stop])
        is_whole = (self.start, self.stop) == (0, whole)
        return value if is_whole else op.Slice(value, [self.start], [self.stop], [2])

    def _axis(self, rank: int) -> int | None:
        """Return the axis of the channels where there is one of the batch."""
        return None if self.axis is None else self.axis % rank + (not self.batched)


@dataclass(frozen=True)
class Places(Rows):
    """x and y, the first two numbers, of each point of a candidate, of a value [N, K, 2] or more, or [B, N, K, ...]."""

    def _level(self, op: Tape, value: ir.Value, shape: tuple[int | str | None, ...] | None) -> ir.Value:
        value = value if self.batched else op.Unsqueeze(value, [0])
        return op.Reshape(op.Slice(value, [0], [2], [3]), [0, 0, self.stop])


def whole(value: ir.Value, axis: int | None, *, batched: bool = True) -> Rows:
    """Return all channels of a value."""
    size = 1 if axis is None else (dims(value) or ())[axis]
    assert isinstance(size, int)
    return Rows((str(value.name),), axis, 0, size, batched)


def count_of(value: ir.Value, axis: int | None, *, batched: bool = True) -> int | None:
    """Return how many candidates a value has rows of; None where only running tells."""
    found = 1
    for at, size in enumerate(dims(value) or (None,)):
        if at == axis or (at == 0 and batched):
            continue
        if not isinstance(size, int):
            return None
        found *= size
    return found


def flat(op: Tape, rows: ir.Value, count: int | None, channels: int) -> ir.Value:
    """Return rows [B, N, C] as [B, N x C], candidate by candidate."""
    return op.Flatten(rows, axis=1) if count is None else op.Reshape(rows, [-1, count * channels])
