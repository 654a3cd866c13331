"""What NonMaxSuppression reads: the candidates in front of what picks some of them, in bodies of If and Loop as well.

A file may ask class by class, in a loop or written out one after the other, pick rows above a threshold first, or move
the boxes of different classes apart by what it adds to them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from onnxsal.graph import attributes, dims
from onnxsal.graph.as_run import constant_of
from onnxsal.graph.names import node_title
from onnxsal.graph.scopes import bodies
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.decoding import form_of, unit_of
from onnxsal.tasks.detection.origin import Origin, Turn, Walk
from onnxsal.tasks.detection.pieces import logits_behind, pieces_of
from onnxsal.tasks.detection.rows import Rows, count_of, whole
from onnxsal.tasks.held import operand, reduced_axes, uniform

_RANK, _BOTH = 3, 2
_DEPTH = 12
_WHOLE = frozenset({ir.DataType.INT64, ir.DataType.INT32})
_SHIFTS = frozenset({"Mul", "Unsqueeze", "Slice", "Identity", "Reshape", "Cast"})
"""What makes of classes what moves their boxes apart."""
_ONE_BY_ONE = "the file asks for all classes but that"


def of_suppression(graph: ir.Graph) -> Candidates | None:
    """Return the candidates of inputs 0 and 1 of a NonMaxSuppression; None where they prove none."""
    read = rows_read(graph)
    if read is not None and read.boxes.added is not None:  # what it reads itself are not the boxes
        return _of_rows(graph, read)
    found = _of_whole(graph)
    return found if found is not None or read is None else _of_rows(graph, read)


def _of_whole(graph: ir.Graph) -> Candidates | None:
    nodes = [node for node in graph if node.op_type == "NonMaxSuppression" and not node.domain]
    if len(nodes) != 1 or nodes[0].inputs[0] is None or nodes[0].inputs[1] is None:
        return None
    node, boxes, scores = nodes[0], nodes[0].inputs[0], nodes[0].inputs[1]
    shape, count = dims(scores), count_of(boxes, 2)
    if shape is None or len(shape) != 3 or not isinstance(shape[1], int) or count is None or shape[2] != count:
        return None
    if not any(each is node for output in graph.outputs for each in _all_behind(output)):
        return None
    found = pieces_of(boxes, 2)
    middle = int(attributes(node).get("center_point_box", 0)) == 1
    form = "cxcywh" if middle else form_of(found)
    if form is None:  # corners in either order give the same IoU, so that NonMaxSuppression proves none
        return None
    return Candidates(
        tuple(str(v.name) for v in graph.outputs), whole(boxes, 2), form,
        unit_of([v for p in found for v in p.values]), probabilities=whole(scores, 1), logits=logits_behind(scores, 1),
        overlap=_number(node, 3), least=_number(node, 4), several=True, count=count,
        proof=f"what {node_title(node)} reads",
    )  # fmt: skip


def _number(node: ir.Node, at: int) -> float | None:
    found = constant_of(node.inputs[at]) if len(node.inputs) > at else None
    return float(found.reshape(-1)[0]) if found is not None and found.size else None


def _all_behind(value: ir.Value) -> Iterator[ir.Node]:
    """Yield the nodes that a value hangs on, with those that hold the bodies of others among them."""
    seen, waiting = set[ir.Node](), [value.producer()]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        inner = [v for body in bodies(node) for each in (*body, *_inside(body)) for v in each.inputs]
        waiting += [v.producer() for v in (*node.inputs, *inner) if v is not None]


def _inside(body: ir.Graph) -> list[ir.Node]:
    return [node for graph in body.subgraphs() for node in graph]


@dataclass(frozen=True)
class RowsRead:
    """What all NonMaxSuppression of a file read, as values of the graph itself: boxes and scores of all candidates."""

    nodes: Sequence[ir.Node]
    boxes: Origin
    scores: Origin
    at: int | None
    """The axis of the scores that is that of the classes; None where a candidate has one score."""
    classes: tuple[int, ...] | None
    """The classes that are asked for one after the other; None of all of the axis."""

    @property
    def batched(self) -> bool:
        """Whether the values have an axis of the batch in front."""
        return len(dims(self.boxes.value) or ()) == _RANK

    @property
    def by_best(self) -> bool:
        """Whether a candidate's one score is that of its best class, of all that are read."""
        turn = None if self.at is None else self.scores.turns.get(self.at)
        node = turn.producer() if isinstance(turn, ir.Value) else None
        return self.at is None or (node is not None and node.op_type == "ReduceMax")

    @property
    def count(self) -> int | None:
        """How many candidates there are."""
        size = (dims(self.boxes.value) or ())[self.boxes.axes[1] or 0]
        return size if isinstance(size, int) else None


def suppressions(graph: ir.Graph) -> list[ir.Node]:
    """Return every NonMaxSuppression of a graph and of the bodies inside it."""
    return [node for node in graph.all_nodes() if node.op_type == "NonMaxSuppression" and not node.domain]


def rows_read(graph: ir.Graph, *, proved: bool = True) -> RowsRead | None:
    """Return what the NonMaxSuppression of a file read; None where that is not seen, or they read different rows.

    Args: proved: whether it has to be known which classes they are asked for, and that outputs hang on them.
    """
    walk, nodes = Walk.of(graph), suppressions(graph)
    found = [read for node in nodes if (read := _read_by(walk, node)) is not None and read.boxes.value.graph is graph
             and read.scores.value.graph is graph]  # fmt: skip
    if not found or len(found) < len(nodes):
        return None
    first, turns = found[0], [_class_turn(each) for each in found]
    same = all((each.boxes.value, each.scores.value, each.at) == (first.boxes.value, first.scores.value, first.at)
               for each in found)  # fmt: skip
    if not proved:
        return replace(first, nodes=nodes)
    if not same or not _holders(walk, graph, nodes) <= {node for v in graph.outputs for node in _all_behind(v)}:
        return None
    if first.at is None or turns == [None]:
        return replace(first, nodes=nodes) if len(nodes) == 1 else None
    return _asked_for(replace(first, nodes=nodes), turns, walk)


def _holders(walk: Walk, graph: ir.Graph, nodes: Sequence[ir.Node]) -> set[ir.Node]:
    """Return the nodes of the graph itself that are, or hold, these."""
    found = set[ir.Node]()
    for node in nodes:
        each = node
        while each.graph is not graph and isinstance(each.graph, ir.Graph):
            each = walk.holders[each.graph]
        found.add(each)
    return found


def _read_by(walk: Walk, node: ir.Node) -> RowsRead | None:
    boxes, scores = (operand(node, at) for at in (0, 1))
    if boxes is None or scores is None:
        return None
    rows, own = walk.origin(boxes, _RANK), walk.origin(scores, _RANK)
    own = walk.further(_of_all_classes(own, rows.added))
    shape, other = dims(rows.value), dims(own.value)
    if shape is None or other is None or rows.picks != own.picks or own.added is not None:
        return None
    if len(shape) != rows.rank or len(other) != own.rank or None in rows.axes[1:] or own.axes[2] is None:
        return None
    places, taken = set(range(len(other))), {own.axes[2]}
    batch = 0 if len(shape) == _RANK else None
    if batch is not None:
        # Of one picture a turn may leave its axis where that of the classes is asked for: [1, P] of [1, K, P].
        picture = own.axes[1] == 0 and other[0] == 1
        same = picture or (_is_batch(own, batch) and rows.turns.get(0) == own.turns.get(0) and 0 not in own.axes[1:])
        if not same or not _is_batch(rows, batch) or 0 in rows.axes[1:]:
            return None
        taken.add(0)
    left = places - taken
    if len(left) > 1 or len(shape) - (batch is not None) != _BOTH:
        return None
    at = next(iter(left), None)
    counts = shape[rows.axes[1] or 0], other[own.axes[2]]
    known = at is None or isinstance(other[at], int)
    return RowsRead([node], rows, own, at, None) if counts[0] == counts[1] and known else None


def _is_batch(of: Origin, axis: int) -> bool:
    """Whether an axis is the first that was walked from, or taken picture by picture."""
    return of.axes[0] == axis or axis in of.turns


def _of_all_classes(of: Origin, added: ir.Value | None) -> Origin:
    """Return the scores of all classes where the best of each candidate was taken, and its class moves its box."""
    node = of.value.producer()
    if node is None or node.op_type != "ReduceMax" or added is None or node.inputs[0] is None:
        return of
    axes, moved = reduced_axes(node), apart_of(added)
    best = None if moved is None else moved.kind.producer()
    if axes is None or len(axes) != 1 or best is None or best.op_type != "ArgMax":
        return of
    keeps, source = bool(attributes(node).get("keepdims", 1)), node.inputs[0]
    axis = axes[0]
    own = int(attributes(best).get("axis", 0)) % len(dims(source) or (0,))
    if best.inputs[0] is not source or own != axis:
        return of
    if keeps:
        return of.behind(source, lambda at: at, {axis: of.value})
    return of.behind(source, lambda at: at + (at >= axis), {axis: of.value})


@dataclass(frozen=True)
class Apart:
    """What was added to boxes to move classes apart: the number of each candidate's class, so many times."""

    kind: ir.Value
    by: float | None
    """None where only running tells, as of one more than the largest coordinate."""

    def is_enough(self, graph: ir.Graph, unit: str) -> bool:
        """Whether no two boxes of neighbouring classes can meet that lie on the picture."""
        size = recognise(graph)[1].size
        least = 1 if unit == "shares" or size is None else max(size)
        return self.by is None or self.by >= least


def apart_of(added: ir.Value) -> Apart | None:
    """Return by what classes are moved apart, of what was added to their boxes."""
    each: ir.Value | None = added
    by: float | None = 1.0
    for _ in range(_DEPTH):
        node = None if each is None else each.producer()
        if each is None or node is None or node.domain:
            return None
        if node.op_type == "Cast" and node.inputs[0] is not None and node.inputs[0].dtype in _WHOLE:
            return Apart(_before_picks(node.inputs[0]), by)
        if node.op_type not in _SHIFTS:
            return None
        each, factor = operand(node, 0), operand(node, 1)
        if node.op_type == "Mul":
            each, factor = (factor, each) if _holds_one(each) else (each, factor)
            number = uniform(factor)
            by = None if by is None or number is None else by * abs(number)
    return None


def _holds_one(value: ir.Value | None) -> bool:
    """Whether a value is one number, by which classes are moved apart."""
    return value is not None and (dims(value) in ((), (1,)) or constant_of(value) is not None)


def _before_picks(value: ir.Value) -> ir.Value:
    node = value.producer()
    while node is not None and node.op_type in ("Gather", "GatherND", "Identity", "Slice") and node.inputs[0]:
        value = node.inputs[0]
        node = value.producer()
    return value


def _class_turn(read: RowsRead) -> Turn | None:
    """Return by what the class of one NonMaxSuppression is taken; None where it is asked for all of them."""
    return None if read.at is None else read.scores.turns.get(read.at)


def _asked_for(read: RowsRead, turns: Sequence[Turn | None], walk: Walk) -> RowsRead | None:
    """Return what is read with the classes that are asked for: in the turns of one loop, or one after the other."""
    assert read.at is not None
    size = (dims(read.scores.value) or ())[read.at]
    assert isinstance(size, int)
    if len(turns) == 1 and turns[0] is read.scores.turns[read.at] and isinstance(turns[0], ir.Value):
        if read.by_best:
            return read
        count = _times(walk, turns[0], size)
        return None if count is None else replace(read, classes=tuple(range(count)))
    found = [turn for turn in turns if isinstance(turn, int)]
    return replace(read, classes=tuple(sorted(found))) if len({*found}) == len(turns) else None


def _times(walk: Walk, turn: ir.Value, size: int) -> int | None:
    """Return how many turns a loop has, of an axis of a size; None where only running tells."""
    node = walk.holders[turn.graph] if isinstance(turn.graph, ir.Graph) else None
    if node is None or node.op_type == "Scan":
        return size
    found = constant_of(node.inputs[0])
    return None if found is None else min(int(np.asarray(found).reshape(-1)[0]), size)


def _of_rows(graph: ir.Graph, read: RowsRead) -> Candidates | None:
    """Return the candidates that are read, where it is proved what the numbers of their boxes are."""
    axis, node = read.boxes.axes[2], read.nodes[0]
    made = pieces_of(read.boxes.value, axis or 0)
    middles = int(attributes(node).get("center_point_box", 0)) == 1
    form = "cxcywh" if middles else form_of(made)
    scores, background = scores_of(read)
    moved = read.boxes.added
    if form is None or scores is None or read.count is None or (middles and moved is not None):
        return None  # what is added to a size as well moves no boxes apart
    unit = unit_of([v for p in made for v in p.values])
    apart = apart_of(moved) if moved is not None and read.by_best else None
    kind = None if apart is None or read.at is not None else apart.kind
    if moved is not None and read.at is None and (kind is None or count_of(kind, None, batched=read.batched) is None):
        return None
    together = apart is not None and apart.by == 0
    if apart is not None and not together and not apart.is_enough(graph, unit):
        return None  # some of other classes are struck as well, by where they lie
    logits = None if scores.axis is None else logits_behind(read.scores.value, scores.axis)
    part = None if logits is None else logits.part(scores.start, scores.stop)
    return Candidates(
        tuple(str(v.name) for v in graph.outputs), whole(read.boxes.value, axis, batched=read.batched), form,
        unit, probabilities=scores,
        logits=None if part is None else replace(part, batched=read.batched),
        labels=None if kind is None else whole(kind, None, batched=read.batched),
        background=background, background_by="" if background is None else _ONE_BY_ONE,
        overlap=_number(node, 3), least=_least(read), several=read.at is not None and moved is None,
        together=together, count=read.count,
        proof=f"what {node_title(node)} reads{_where(read)}",
    )  # fmt: skip


def scores_of(read: RowsRead) -> tuple[Rows | None, int | None]:
    """Return the scores of the classes that are asked for, and the one that is no object: the first, where all others
    are asked for."""
    value = read.scores.value
    if read.at is None:
        return whole(value, None, batched=read.batched), None
    found = whole(value, read.at, batched=read.batched)
    if read.classes is None or read.classes == tuple(range(found.channels)):
        return found, None
    count = len(read.classes)
    if read.classes == tuple(range(count)):
        return found.part(0, count), None
    return (found, 0) if read.classes == tuple(range(1, found.channels)) else (None, None)


def _least(read: RowsRead) -> float | None:
    """Return the score from which on a candidate is kept: the file's own, or that by which rows are picked first."""
    found = [_number(read.nodes[0], 4), *(_compared(pick) for pick in read.scores.picks)]
    known = [number for number in found if number is not None]
    return max(known) if known else None


def _compared(pick: ir.Value) -> float | None:
    each: ir.Value | None = pick
    for _ in range(_DEPTH):
        node = None if each is None else each.producer()
        if node is None or node.domain:
            return None
        if node.op_type in ("Greater", "GreaterOrEqual"):
            return _number(node, 1)
        each = operand(node, 0)
    return None


def _where(read: RowsRead) -> str:
    inner = [node for node in read.nodes if node.graph is not read.boxes.value.graph]
    inside = ", inside a body, as it is handed to that" if inner else ""
    return inside if len(read.nodes) == 1 else f" and {len(read.nodes) - 1} more like it{inside}"
