"""From a model to programs: the stem that makes the explained picture, the body behind it, the score of a target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxsal.anatomy.entry import counts_rows
from onnxsal.anatomy.layers import Layers, find_layers
from onnxsal.anatomy.parts import Entry, Head
from onnxsal.anatomy.score import Score
from onnxsal.graph import Program, Tape, dims
from onnxsal.graph.cut import cut, feed, placed, uses_of
from onnxsal.graph.program import Keeping, Trace
from onnxsal.graph.tape import STRAIGHT_THROUGH

X = "sal/x"
"""The explained picture: float32 [B, C, H, W], whatever the model's own layout and type."""

TARGET = "sal/target"
"""The explained class, int64 [B]; or the columns of a sum's terms, int64 [B, M]."""

COEFFICIENTS = "sal/coefficients"
"""What each term is multiplied with: float32 [B, M]."""

BOX = "sal/box"
"""The box that candidates are matched with, float32 [B, 4]: left, top, right, bottom in pixels of ``sal/x``."""

SCORE = "score"
"""What is explained: float32 [B]."""

LOGITS, PROBABILITIES, VALUES = "sal/logits", "sal/probabilities", "sal/values"
"""What a head's numbers are called, float32 [B, N]: of a classifier the scores of its classes."""

SHAPE = "sal/shape"
"""The shape of an output that only running tells: int64 [B, rank]."""

EMBEDDINGS = "sal/embeddings"
"""The vectors of which VALUES are the directions: float32 [B, N]."""

BOXES, LABELS = "sal/boxes", "sal/labels"
"""The corners of a detector's candidates, float32 [B, N x 4], and the class of each where it has one, [B, N]."""

ORIENTED, ANGLES = "sal/oriented", "sal/angles"
"""Middle and size of boxes that are turned round their middles, float32 [B, N x 4], and by how much, [B, N]. Units:
pixels, radians."""

KEYPOINTS, VISIBILITY = "sal/keypoints", "sal/visibility"
"""The numbers of a detector's keypoints, float32 [B, N x K x 2 or 3], and the logits of their visibility,
[B, N x K]."""

MASKS, PROTOTYPES = "sal/masks", "sal/prototypes"
"""What the masks of a detector's candidates are put together with, float32 [B, N x M], and of, [B, M, h, w]."""

MASK, CLASS = "sal/mask", "sal/class"
"""The share that each position has in a score, float32 [B, h, w]; the class that candidates are matched by, int64
[B]."""

OURS = frozenset({
    X, TARGET, COEFFICIENTS, SCORE, LOGITS, PROBABILITIES, VALUES, EMBEDDINGS, SHAPE, BOXES, LABELS, BOX, ORIENTED,
    ANGLES, KEYPOINTS, VISIBILITY, MASKS, PROTOTYPES, MASK, CLASS,
})  # fmt: skip
"""Names that programs give to what goes in and out."""


@dataclass(frozen=True)
class Anatomy:
    """What the graph proves about a model; ``graph`` is in normal form."""

    model: ir.Model
    entry: Entry
    head: Head
    layers: Layers

    def is_of(self, other: Anatomy) -> bool:
        """Return whether it is of the same graph, read in the same way: of other things by their size at most."""
        if self is other:
            return True
        parts = (self.model is other.model, self.head is other.head, self.layers is other.layers)
        return all(parts) and replace(self.entry, size=None) == replace(other.entry, size=None)


def dissect(model: ir.Model, entry: Entry, find: Callable[[ir.Graph], Head]) -> Anatomy:
    """Return the anatomy of a model in normal form.

    Args:
        entry: where it takes what it explains (``modalities.registry.recognise``).
        find: finds its head.
    Raises: what ``find`` raises.
    """
    head = find(model.graph)
    return Anatomy(model, entry, head, find_layers(model.graph, entry, head))


def stem(anatomy: Anatomy) -> Program:
    """Return the program from the model's own input to the explained picture ``sal/x``, float32 [B, C, H, W]."""
    op = Program(anatomy.model).extend()
    return op.finish_with({X: explained(op, op[anatomy.entry.value], anatomy.entry)})


def explained(op: Tape, value: ir.Value, entry: Entry) -> ir.Value:
    """Return the model's explained value as ``sal/x`` is: float32 [B, C, H, W]."""
    return entry.as_sal(op, op.cast(value, ir.DataType.FLOAT))


def entered(anatomy: Anatomy) -> Program:
    """Return the whole model behind its picture: from ``sal/x`` to its own outputs and its head's numbers.

    The model's own values keep their names inside. A value that came out of a DequantizeLinear is quantised again, so
    that the first layer stays integer.
    """
    op = Program(anatomy.model).extend()
    own = {str(v.name): v for v in op.graph.outputs}
    _enter(op, anatomy.entry)
    return op.finish_with({**own, **anatomy.head.write(op, op)})


def body(anatomy: Anatomy) -> Program:
    """Return the program from ``sal/x`` to its head's numbers alone, float32 [B, N] of every kind, and what is beside
    them."""
    op, head = entered(anatomy).extend(), anatomy.head
    return op.finish_with({name: op[name] for name in (*head.kinds.values(), *head.beside.values())})


def _enter(op: Trace, entry: Entry) -> None:
    """Cut the graph at the explained value and feed ``sal/x`` there; the model's own input goes."""
    old, source = op[entry.value], op[entry.input]
    x = op.input(X, ir.DataType.FLOAT, _shape(old, entry))

    def fed() -> ir.Value:
        return _like(op, op.cast(entry.as_own(op, x), old.dtype), old)

    value = cut(op, old, fed)
    _count(op, entry, source, value)
    op.graph.inputs.remove(source)
    op.rename(entry.value, old, value)


def _count(op: Trace, entry: Entry, source: ir.Value, value: ir.Value) -> None:
    """Let what counts the rows of the model's own input count those of the explained value, in that one's axes."""
    uses = [use for use in uses_of(source) if counts_rows(use[0])]
    if not uses or entry.input == entry.value:
        return
    maker = value.producer()
    with placed(op.graph, after=maker, before=maker):
        order = [entry.value_axes.index(letter) for letter in entry.input_axes]
        feed(uses, value if order == sorted(order) else op.Transpose(value, perm=order))


def _shape(old: ir.Value, entry: Entry) -> list[int | str | None]:
    shape = dims(old)
    return entry.sal_shape((None,) * len(entry.value_axes) if shape is None else shape)


def _like(op: Trace, value: ir.Value, old: ir.Value) -> ir.Value:
    """Quantise and dequantise as the value it replaces was, straight through."""
    node = old.producer()
    if node is None or node.op_type != "DequantizeLinear":
        return value
    scale, zero = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if zero is None:
        return value
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else None
    quantised = op.QuantizeLinear(value, scale, zero, axis=axis)
    producer = quantised.producer()
    assert producer is not None
    producer.metadata_props[STRAIGHT_THROUGH] = "1"
    return op.DequantizeLinear(quantised, scale, zero, axis=axis)


def select(
    anatomy: Anatomy, kind: str = "logit", *, weighted: bool = False, keep: bool = False, whole: Program | None = None
) -> Score:
    """Return the score from ``sal/x`` and ``sal/target`` (int64 [B]) to ``score``, float32 [B].

    Args: kind: one that the head has. weighted: the score is a sum of M terms: ``sal/target`` is [B, M], and
    ``sal/coefficients`` (float32 [B, M]) says what each is multiplied with. Nothing else is: a class at minus infinity
    beside them is not touched. keep: the head's numbers stay outputs, of whatever the score is extended to. whole: the
    ``body``, where it is made already.
    """
    whole = body(anatomy) if whole is None else whole
    kept = tuple(whole.outputs) if keep else ()
    op = Keeping(whole.model, kept).extend()
    own = anatomy.head.scored(op, kind)
    if own is not None:
        made = op.finish_with({SCORE: own.value})
        return Score(made.model, kept, kind=kind, ends=own.ends, reads=own.reads, pick=own.pick)
    source = anatomy.head.kinds[kind]
    made = op.finish_with({SCORE: (_sum if weighted else _one)(op, op[source])})
    return Score(made.model, kept, kind=kind, ends=anatomy.head.ends(kind), source=source)


def _one(op: Trace, scores: ir.Value) -> ir.Value:
    target = op.input(TARGET, ir.DataType.INT64, rows_of(op))
    return op.Squeeze(op.GatherElements(scores, op.Unsqueeze(target, [1]), axis=1), [1])


def _sum(op: Trace, scores: ir.Value) -> ir.Value:
    target = op.input(TARGET, ir.DataType.INT64, [*rows_of(op), "terms"])
    coefficients = op.input(COEFFICIENTS, ir.DataType.FLOAT, [*rows_of(op), "terms"])
    terms = op.Mul(op.GatherElements(scores, target, axis=1), coefficients)
    return op.ReduceSum(terms, [1], keepdims=0)


def rows_of(op: Trace) -> list[int | str | None]:
    """Return the shape of what has one number a row of ``sal/x``."""
    return [(dims(op[X]) or ("batch",))[0]]
