"""Columns: a file that takes rows of a table has one input for them, whatever it takes itself.

Pipelines of scikit-learn are exported with an input for every column, numbers and texts. In front of them goes one of
doubles, [rows, columns], of which each gets its own part in its own type. A text is a code there, its place among the
texts that the graph itself tells from one another; one more code stands for all others, which it cannot tell apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.attributes import attributes
from onnxsal.graph.cut import placed, uses_of
from onnxsal.graph.infer import BATCH
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.maps import ML
from onnxsal.graph.names import node_title
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import dims
from onnxsal.graph.tape import Tape

MARK = "onnxsal.columns"
"""Mark of the input that takes rows: its columns, as JSON."""

INPUT = "columns"
"""What it is called where there were several; with a number behind it where a value has that name."""

FEATURE_NAMES = "feature_names"
"""The key of a file's metadata under which the names of its columns are: a JSON list, or with commas between."""

_KINDS: dict[ir.DataType, Literal["number", "whole", "flag", "text"]] = {
    ir.DataType.FLOAT: "number", ir.DataType.DOUBLE: "number", ir.DataType.FLOAT16: "number",
    ir.DataType.INT64: "whole", ir.DataType.INT32: "whole", ir.DataType.BOOL: "flag", ir.DataType.STRING: "text",
}  # fmt: skip

_MOVES = frozenset({"Identity", "Concat", "Reshape", "Squeeze", "Unsqueeze", "Slice", "Gather", "Split", "Flatten",
                    "Transpose", "Where", "ArrayFeatureExtractor", "Expand", "Tile"})  # fmt: skip
"""Operators behind which a text is a text still, and the same one."""

_MOST = 1 << 20
"""Columns of an input: a record is kept of each, and a damaged shape may say 2**62."""

_FLOATS = (ir.DataType.FLOAT, ir.DataType.DOUBLE)

_PASSED = frozenset({"Cast", "Add", "Sub", "Mul", "Div", "IsNaN", "Not", "Equal", "Clip"})
"""Operators of one number each in front of which columns may lie still."""

_TELLS = {"OneHotEncoder": ("cats_strings",), "LabelEncoder": ("keys_strings", "keys_tensor"),
          "CategoryMapper": ("cats_strings",), "Equal": ()}  # fmt: skip
"""Operators that tell texts from one another, and what holds those that they know."""


@dataclass(frozen=True)
class Column:
    """A column of what a model takes."""

    name: str
    kind: Literal["number", "whole", "flag", "text"]
    """``whole``: numbers that the file takes as integers."""
    known: tuple[str, ...] = ()
    """Of texts: those that the graph tells from one another, each at its code; all others have the next code."""
    others: bool = True
    """Of texts: whether it takes others at all."""


def columns_of(graph: ir.Graph) -> tuple[Column, ...]:
    """Return the columns of a graph that takes rows of a table, none of another one."""
    marks = [v.metadata_props[MARK] for v in graph.inputs if MARK in v.metadata_props]
    return tuple(Column(**{**each, "known": tuple(each["known"])}) for each in json.loads(marks[0])) if marks else ()


def keep_marks(before: ir.Graph, after: ir.Graph) -> None:
    """Mark the input of a graph as it was before something rewrote that: a converter of opsets keeps no marks."""
    marks = {v.name: v.metadata_props[MARK] for v in before.inputs if MARK in v.metadata_props}
    for value in after.inputs:
        if value.name in marks:
            value.metadata_props[MARK] = marks[value.name]


def is_table(graph: ir.Graph) -> bool:
    """Return whether a graph proves that it takes rows of a table: all of its inputs are columns, [rows, k], and it has
    operators of ai.onnx.ml; where not each is one column, nor all are one vector of floats, one of these operators has
    to take a column as it is, for ids of tokens are [rows, k] too."""
    free = _free(graph)
    if not free or not all(map(_is_column, free)) or not any(node.domain == ML for node in graph):
        return False
    alone = free[0].dtype in _FLOATS if len(free) == 1 else all((dims(value) or ())[1] == 1 for value in free)
    return alone or any(node.domain == ML for value in free for node in _readers(value, _MOVES | _PASSED))


def join_columns(source: ir.Model) -> None:
    """Give a file of columns that was just read one input for them, and name the rows; leave any other file.

    Raises: UnsupportedError: what a text is compared with cannot be told from the graph; there are too many columns.
    """
    if not is_table(source.graph):
        return
    graph, values = source.graph, _free(source.graph)
    _check_width(values)
    columns = tuple(column for value in values for column in _columns(value, alone=len(values) == 1))
    columns = _named(columns, source.metadata_props.get(FEATURE_NAMES))
    if len(values) > 1 or values[0].dtype not in _FLOATS:
        entry = _joined(graph, values, columns)
    else:
        (entry,) = values
        entry.shape = ir.Shape([_rows(values), *(dims(entry) or ())[1:]])
    entry.metadata_props[MARK] = json.dumps([asdict(column) for column in columns])


def _check_width(values: Sequence[ir.Value]) -> None:
    wide = max(values, key=_width)
    if _width(wide) > _MOST:
        raise UnsupportedError(
            f"the model's input {wide.name!r} has {_width(wide):,} columns; up to {_MOST:,} are told from one another"
        )


def _width(value: ir.Value) -> int:
    width = (dims(value) or (0, 0))[1]
    return width if isinstance(width, int) else 0


def _free(graph: ir.Graph) -> list[ir.Value]:
    return [v for v in graph.inputs if v.name not in graph.initializers]


def _is_column(value: ir.Value) -> bool:
    shape = dims(value) if isinstance(value.type, ir.TensorType) else None
    if shape is None or len(shape) != 2 or value.dtype not in _KINDS:
        return False
    rows, width = shape
    return isinstance(width, int) and width > 0 and (rows == 1 or not isinstance(rows, int) or rows < 1)


def _rows(values: Sequence[ir.Value]) -> int | str:
    """Return the axis of the rows: 1 where the file fixes that, else a name."""
    return 1 if any((dims(value) or (None,))[0] == 1 for value in values) else BATCH


def _columns(value: ir.Value, *, alone: bool) -> list[Column]:
    assert value.dtype is not None
    width, kind = _width(value), _KINDS[value.dtype]
    known, others = _texts(value) if kind == "text" else ((), True)
    stem = "x{}" if alone else f"{value.name}[{{}}]"
    names = [str(value.name)] if width == 1 and not alone else [stem.format(i) for i in range(width)]
    return [Column(name, kind, known, others) for name in names]


def _named(columns: tuple[Column, ...], said: str | None) -> tuple[Column, ...]:
    """Return the columns by the names that the file's metadata has for them, where these are as many."""
    if said is None:
        return columns
    try:
        found = json.loads(said)
    except ValueError:
        found = said.split(",")
    names = [str(each).strip() for each in found] if isinstance(found, list) else []
    if len(names) != len(columns) or len(set(names)) != len(names) or not all(names):
        return columns
    return tuple(Column(name, c.kind, c.known, c.others) for name, c in zip(names, columns, strict=True))


def _joined(graph: ir.Graph, values: Sequence[ir.Value], columns: Sequence[Column]) -> ir.Value:
    """Return the one input that takes the place of several."""
    graph.opset_imports.setdefault("", 13)  # a file of ai.onnx.ml alone says none
    op, taken, start = Tape(graph), values_by_name(graph), 0
    name = next(n for n in (INPUT, *(f"{INPUT}_{i}" for i in range(len(taken) + 1))) if n not in taken)
    rows = _rows(values)
    whole = op.input(name, ir.DataType.DOUBLE, [rows, len(columns)])
    with placed(graph):
        for value in values:
            width = (dims(value) or (0, 0))[1]
            assert isinstance(width, int)
            part = op.Gather(whole, list(range(start, start + width)), axis=1)
            _fed(op, value, _as_own(op, part, value, columns[start]), rows)
            start += width
    return whole


def _as_own(op: Tape, part: ir.Value, value: ir.Value, column: Column) -> ir.Value:
    """Return a part of the rows in the type that an input has; a text by its code."""
    if column.kind != "text":
        return op.cast(part, value.dtype)
    texts = [*column.known, *([other_than(column.known)] if column.others else [])]
    table = add_initializer(op.graph, f"sal/texts/{value.name}", _strings(texts))
    last = np.float64(len(texts) - 1)  # no code lies outside: models are tried with noise, too
    code = op.Min(op.Max(part, np.zeros(1)), np.full(1, last))
    return op.Gather(table, op.Cast(code, to=int(ir.DataType.INT64)), axis=0)


def _strings(texts: Sequence[str]) -> ir.StringTensor:
    return ir.StringTensor([text.encode() for text in texts], shape=ir.Shape([len(texts)]))


def _fed(op: Tape, value: ir.Value, made: ir.Value, rows: int | str) -> None:
    """Let what read an input read something else, which has its name from then on."""
    name, graph = str(value.name), op.graph
    graph.inputs.remove(value)
    value.name = f"sal/was/{name}"
    made = op.Identity(made) if value.is_graph_output() else made
    made.name, made.type, made.shape = name, value.type, ir.Shape([rows, *(dims(value) or ())[1:]])
    value.replace_all_uses_with(made, replace_graph_outputs=True)


def other_than(known: Iterable[str]) -> str:
    """Return a text that is none of these."""
    found = "other"
    while found in known:
        found += "?"
    return found


def _texts(value: ir.Value) -> tuple[tuple[str, ...], bool]:
    """Return the texts that a graph tells from one another in an input, and whether it takes others.

    Raises: UnsupportedError: an operator does something else with them.
    """
    found: dict[str, None] = {}
    others = True
    for node in _readers(value, _MOVES):
        if node.op_type not in _TELLS or node.domain not in ("", ML) or (node.op_type == "Equal" and not _held(node)):
            raise UnsupportedError(
                f"column {value.name!r} holds texts, and {node_title(node)} reads them: which texts make a difference "
                f"there is not known from the graph (it is of {', '.join(_TELLS)}). Export the model without that step "
                "and hand over what it gives"
            )
        found |= dict.fromkeys(_known(node))
        others &= not (node.op_type == "OneHotEncoder" and attributes(node).get("zeros", 1) == 0)
    return tuple(found), others or not found


def _readers(value: ir.Value, through: frozenset[str]) -> Iterator[ir.Node]:
    """Yield the nodes that read an input, behind operators that hand it on: as what they move, not as where to."""
    waiting, seen = [value], {value}
    while waiting:
        for node, place in uses_of(waiting.pop()):
            if node.op_type not in through or (place and node.op_type in ("Gather", "ArrayFeatureExtractor")):
                yield node
                continue
            behind = [v for v in node.outputs if v not in seen]
            seen.update(behind)
            waiting += behind


def _known(node: ir.Node) -> list[str]:
    """Return the texts that a node tells from all others."""
    held: list[object] = [attributes(node).get(name) for name in _TELLS[node.op_type]]
    held += _held(node)
    return [_decoded(text) for each in held if each is not None for text in _listed(each)]


def _held(node: ir.Node) -> list[ir.TensorProtocol]:
    """Return the constants among the operands of a node."""
    found = [None if v is None else ir.convenience.get_const_tensor(v) for v in node.inputs]
    return [tensor for tensor in found if tensor is not None]


def _listed(held: object) -> list[object]:
    if isinstance(held, ir.TensorProtocol):
        return held.numpy().reshape(-1).tolist() if held.dtype == ir.DataType.STRING else []
    return list(held) if isinstance(held, (list, tuple)) else []


def _decoded(text: object) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
