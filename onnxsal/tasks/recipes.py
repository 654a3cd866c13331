"""How numbers that no value of a graph holds are written from values that are there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import Tape, attributes
from onnxsal.graph.program import Trace


@dataclass(frozen=True)
class Recipe:
    """A value as it is, or what its operator makes of other operands than the graph feeds it; times a factor."""

    value: str
    operands: tuple[Recipe | None, ...] = ()
    """What the operator reads instead; None where it reads what the graph feeds it. Without any: the value itself."""
    factor: float = 1.0

    def times(self, factor: float) -> Recipe:
        """Return the same, multiplied."""
        return Recipe(self.value, self.operands, self.factor * factor)

    @property
    def source(self) -> str:
        """The first value that it is written from."""
        return next((each.source for each in self.operands if each is not None), self.value)

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> ir.Value:
        """Return the numbers, float32, of a graph's values by name."""
        found = values[self.value]
        made = self._again(op, values, found) if self.operands else op.cast(found, ir.DataType.FLOAT)
        return made if self.factor == 1.0 else op.Mul(made, self.factor)

    def _again(self, op: Tape, values: Mapping[str, ir.Value] | Trace, found: ir.Value) -> ir.Value:
        node = found.producer()
        assert node is not None
        pairs = zip(self.operands, node.inputs, strict=True)
        inputs = [given if each is None else each.write(op, values) for each, given in pairs]
        own = {name: value for name, value in attributes(node).items() if name in node.attributes}
        made = op.emit(node.op_type, *inputs, outputs=len(node.outputs), **own)
        return made[list(node.outputs).index(found)]


def again(value: ir.Value, operands: Mapping[int, Recipe]) -> Recipe:
    """Return what a value's operator makes of other operands, by their places."""
    node = value.producer()
    assert node is not None
    return Recipe(str(value.name), tuple(operands.get(at) for at in range(len(node.inputs))))
