"""Finding the float value that token ids are turned into: rows of a table, whatever a file makes of looking them up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.names import node_title
from onnxsal.graph.operands import operands
from onnxsal.graph.shapes import rank

IDS = frozenset({ir.DataType.INT64, ir.DataType.INT32})
"""What ids are held in."""

_SAME = frozenset({"Cast", "Identity", "Clip", "Unsqueeze", "Squeeze", "Reshape", "Flatten", "Expand"})
"""What hands ids on, its first input."""

_SETTLED = frozenset({"Where", "Max", "Min", "Add", "Sub", "Mod"})
"""What hands ids on beside constants: an id out of range replaced, one moved by a number."""

_SCALED = frozenset({"Add", "Sub", "Mul", "Div"})
_LOOKED = 6
"""Nodes that a refusal names."""


@dataclass(frozen=True)
class Embedding:
    """Where ids become vectors: the input, the float value [N, T, C], and how that was found."""

    ids: str
    value: str
    why: str
    rows: int | None = None
    """How many ids there are, where the table says it."""


@dataclass
class Search:
    """What is found behind one input of ids, and what was looked at."""

    found: list[Embedding] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """What was looked at, as messages name it."""
        more = f" and {len(self.looked) - _LOOKED} more" if len(self.looked) > _LOOKED else ""
        return f"{', '.join(self.looked[:_LOOKED])}{more}" if self.looked else "nothing reads it"


def is_ids(value: ir.Value) -> bool:
    """Return whether an input may be one of ids: whole numbers [N, T]."""
    return value.dtype in IDS and rank(value) == 2


def is_whole(node: ir.Node) -> bool:
    """Return whether a node that hands ids on leaves them whole numbers."""
    return node.op_type != "Cast" or ir.DataType(node.attributes["to"].as_int()).is_integer()


def embeddings_of(graph: ir.Graph, ids: ir.Value) -> Search:
    """Return the values that ids are turned into by looking up rows of a table, or by a sum that amounts to that."""
    return _Walk(graph, ids).searched()


class _Walk:
    """Follows ids through a graph to what looks them up."""

    def __init__(self, graph: ir.Graph, ids: ir.Value) -> None:
        self.graph, self.ids = graph, ids
        self.fixed = _fixed(graph)
        self.passed: set[ir.Value | None] = {ids}
        self.search = Search()
        self.scales: set[str | None] = set()

    def searched(self) -> Search:
        for node in self.graph:
            if not any(v in self.passed for v in operands(node)):
                continue
            hit = self._looked_up(node)
            if hit is not None:
                self._enter(*hit)
            elif self._hands_on(node):
                self.passed.update(node.outputs)
            elif node.op_type not in ("Shape", "Size"):
                self.search.looked.append(node_title(node))
        self.search.found = [each for each in self.search.found if each.value not in self.scales]
        return self.search

    def _hands_on(self, node: ir.Node) -> bool:
        if node.domain:
            return False
        if node.op_type in _SAME:
            return is_whole(node) and node.inputs[0] in self.passed
        others = [v for v in node.inputs if v not in self.passed and v is not None]
        inside = node.op_type == "Where" and node.inputs[0] not in self.fixed
        return node.op_type in _SETTLED and all(v in self.fixed or (inside and v is node.inputs[0]) for v in others)

    def _looked_up(self, node: ir.Node) -> tuple[ir.Value, str, int | None] | None:
        """Return the value that a node looks ids up for, how it does, and how many there are."""
        at = _INDICES.get((node.domain, node.op_type))
        if at is not None and len(node.inputs) > at and node.inputs[at] in self.passed:
            table = node.inputs[0]
            if table is not None and table in self.fixed and _axis(node) == 0 and rank(table) in (2, None):
                return node.outputs[0], f"rows of the table {table.name!r}", _rows(table)
        one_hot = self._one_hot(node)
        return None if one_hot is None else (one_hot, "ones at the places of ids", _last(one_hot))

    def _one_hot(self, node: ir.Node) -> ir.Value | None:
        if node.domain or not any(v in self.passed for v in node.inputs):
            return None
        if node.op_type == "OneHot" and node.inputs[0] in self.passed:
            return node.outputs[0] if all(v in self.fixed for v in node.inputs[1:]) else None
        if node.op_type != "Equal":
            return None
        others = [v for v in node.inputs if v is not None and v not in self.passed]
        wide = len(others) == 1 and others[0] in self.fixed and (dims(others[0]) or (1,))[-1] not in (1, None)
        return node.outputs[0] if wide else None

    def _enter(self, value: ir.Value, why: str, rows: int | None) -> None:
        """Add the float value that looking up ends in."""
        maker = value.producer()
        hot = maker is not None and maker.op_type in ("OneHot", "Equal")
        end, how = self._summed(value) if hot else self._scaled(value)
        if end is None:
            self.search.looked.append(f"{why}, whole numbers that nothing scales")
        elif (_reads(end) or end.is_graph_output()) and end.name not in [each.value for each in self.search.found]:
            self.search.found.append(Embedding(str(self.ids.name), str(end.name), f"{why}{how}", rows))

    def _scaled(self, value: ir.Value) -> tuple[ir.Value | None, str]:
        """Return the floats that rows are, or that their whole numbers are scaled to."""
        maker = value.producer()
        table = maker.inputs[0] if maker is not None and not maker.domain else None
        if table is None or table.dtype is None or table.dtype.is_floating_point():
            return value, ""
        end: ir.Value | None = None
        while (node := _only_reader(value)) is not None and not node.domain and len(node.outputs) == 1:
            others = [v for v in node.inputs if v is not None and v is not value]
            if not all(v in self.fixed or self._is_scale(v) for v in others):
                break
            if node.op_type == "DequantizeLinear":
                return node.outputs[0], ", dequantised"
            floats = node.op_type == "Cast" and ir.DataType(node.attributes["to"].as_int()).is_floating_point()
            if not (floats and end is None) and node.op_type not in _SCALED:
                break
            value = node.outputs[0]
            end = value if floats or end is not None else None
        return end, ", scaled"

    def _summed(self, value: ir.Value) -> tuple[ir.Value | None, str]:
        """Return the rows that a table weighed with ones and zeros gives, or these where none is."""
        end: ir.Value | None = value if _made_by(value) == "OneHot" and _is_float(value) else None
        while (node := _only_reader(value)) is not None and not node.domain:
            if node.op_type == "MatMul" and node.inputs[0] is value and node.inputs[1] in self.fixed:
                return node.outputs[0], ", which a table is weighed with"
            others = [v for v in node.inputs if v is not None and v is not value]
            floats = node.op_type == "Cast" and ir.DataType(node.attributes["to"].as_int()).is_floating_point()
            if not floats and not (node.op_type == "Where" and all(v in self.fixed for v in others)):
                break
            value = end = node.outputs[0]
        return end, ""

    def _is_scale(self, value: ir.Value) -> bool:
        """Whether a value is looked up by the same ids, as the scale of each row is."""
        node = value.producer()
        while node is not None and node.op_type in ("Unsqueeze", "Cast", "Reshape"):
            value = node.inputs[0] if node.inputs[0] is not None else value
            node = value.producer()
        if node is None or node.op_type != "Gather" or node.inputs[1] not in self.passed:
            return False
        self.scales.add(node.outputs[0].name)
        return True


def _made_by(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None else node.op_type


def _is_float(value: ir.Value) -> bool:
    """Whether a OneHot puts out floats: the type is that of its values."""
    node = value.producer()
    values = None if node is None else node.inputs[2]
    dtype = value.dtype or (None if values is None else values.dtype)
    return dtype is None or dtype.is_floating_point()


def _reads(value: ir.Value) -> list[ir.Node]:
    """Return what reads a value for more than its shape."""
    return [node for node in value.consumers() if node.op_type not in ("Shape", "Size")]


_INDICES = {("", "Gather"): 1, ("com.microsoft", "GatherBlockQuantized"): 1}
"""Operators that look rows up, and which of their inputs the ids are."""


def _only_reader(value: ir.Value) -> ir.Node | None:
    readers = _reads(value)
    return readers[0] if len(readers) == 1 and not value.is_graph_output() else None


def _axis(node: ir.Node) -> int:
    name = "gather_axis" if node.op_type == "GatherBlockQuantized" else "axis"
    return node.attributes[name].as_int() if name in node.attributes else 0


def _rows(table: ir.Value) -> int | None:
    size = (dims(table) or (None,))[0]
    return size if isinstance(size, int) else None


def _last(value: ir.Value) -> int | None:
    size = (dims(value) or (None,))[-1]
    return size if isinstance(size, int) else None


def _fixed(graph: ir.Graph) -> set[ir.Value | None]:
    """Return the values that are computed from constants alone."""
    found: set[ir.Value | None] = {None, *graph.initializers.values()}
    for node in graph:
        if all(v in found for v in operands(node)) and not (node.domain == "" and node.op_type.startswith("Random")):
            found.update(node.outputs)
    return found


def told(searches: Sequence[tuple[ir.Value, Search]]) -> str:
    """Return what was looked at behind several inputs, as messages name it."""
    return "; ".join(f"behind {value.name!r}: {search.told}" for value, search in searches)
