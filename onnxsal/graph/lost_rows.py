"""Putting back the axis of the batch where a file for one picture takes it off on the way to an output.

``model(x)[0]``, Squeeze, ``Reshape(-1)``, a mean over the batch of one: what lies behind is of one picture. Images are
followed from the input (``places``) to where their axis goes; from there on every operator is written once more with
that axis in front (``with_batch``). Where an operator has no such form, what it puts out is given an axis of one: right
for one picture at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnxsal.errors import ModelError
from onnxsal.graph.attributes import attributes
from onnxsal.graph.batch import fixed_batch, set_size
from onnxsal.graph.infer import infer_shapes
from onnxsal.graph.names import node_title
from onnxsal.graph.places import Places, follow_images
from onnxsal.graph.scopes import PREFIX
from onnxsal.graph.shapes import dims, static
from onnxsal.graph.tape import Tape
from onnxsal.graph.with_batch import (
    WHOLE,
    WRITTEN,
    Made,
    sliced_axes,
    taken_away,
    with_batch,
    without_axes,
    without_one,
)


@dataclass(frozen=True)
class Restored:
    """A model whose outputs have the axis of the batch that the file takes off."""

    model: ir.Model
    lost: dict[str, str]
    """The outputs that had not, and the node that takes it off each, as messages call it."""
    unseen: frozenset[str]
    """Those of them of which nothing showed that it is the images' axis: an operator on the way is not followed."""


def restored(model: ir.Model, name: str, outputs: Iterable[str] | None = None) -> Restored | None:
    """Return a model in normal form with the axis of the batch put back where its outputs have lost it; None where none
    has.

    A free batch becomes one of 1: a file that puts out what is of its first picture takes one at a time.

    Args: name: the input whose leading axis is the batch. outputs: those that are asked for; by default all.
    """
    asked = None if outputs is None else set(outputs)
    batch = fixed_batch(model, name)
    suspects = [
        str(v.name) for v in model.graph.outputs if _may_have_lost(v, batch) and (asked is None or v.name in asked)
    ]
    if not suspects or batch not in (None, 1):
        return None
    try:
        work = model.clone() if batch else set_size(model, name, {0: 1})
    except ModelError:  # it does not take one picture
        return None
    walk = _Walk(work.graph, name)
    lost = {each: found for each in suspects if (found := walk.restore(each))}
    if not lost:
        return None
    work.graph.sort()
    RemoveUnusedNodesPass()(work)
    infer_shapes(work)
    return Restored(work, lost, frozenset(walk.unseen))


def _may_have_lost(value: ir.Value, batch: int | None) -> bool:
    """Whether an output's shape, all numbers, has no batch in front."""
    shape = static(value)
    return shape is not None and not (shape and shape[0] == batch)


class _Walk:
    """Values of one image, and what they are with the axis of the batch in front."""

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self.graph, self.op = graph, Tape(graph)
        self.outputs = {str(v.name): v for v in graph.outputs}
        images = next(v for v in graph.inputs if v.name == name)
        self.moving = _moving(graph, images)
        self.axes = _followed(graph, images)
        self.rows: dict[ir.Value, ir.Value] = {}
        self.unseen: set[str] = set()

    def restore(self, output: str) -> str:
        """Give an output its axis of the batch back; return the node that takes it off, nothing where it has it."""
        value = self.outputs[output]
        shape = static(value)
        if value not in self.moving or value in self.axes or shape is None:
            return ""
        region = self._region(value)
        for node in region:
            self._write(node)
        row = self.rows.get(value)
        row = self.op.Unsqueeze(value, [0]) if row is None else row
        self._put_out(output, without_one(self.op, row) if shape[:1] == (1,) else row)
        if not any(v in self.axes for node in region for v in node.inputs):
            self.unseen.add(output)
        return node_title(region[0]) if region else f"what makes {output!r}"

    def _region(self, value: ir.Value) -> list[ir.Node]:
        """Return the nodes, in order, between a value in which the images are not followed and those in which they are,
        or what no rule is there for."""
        found, waiting = set[ir.Node](), [value]
        while waiting:
            node = waiting.pop().producer()
            if node is None or node in found or node.domain or node.op_type not in WRITTEN:
                continue
            found.add(node)
            waiting += [v for v in node.inputs if v is not None and v in self.moving and v not in self.axes]
        return [node for node in self.graph if node in found]

    def _write(self, node: ir.Node) -> None:
        if node.outputs[0] in self.rows:
            return
        made = self._taken_off(node)
        if made is None:
            made = with_batch(self.op, node, [None if v is None else self._row(v) for v in node.inputs])
        for old, new in zip(node.outputs, made or (), strict=False):
            self.rows[old] = new
            self._take_name(old, new)

    def _row(self, value: ir.Value) -> ir.Value | None:
        """Return a value with the axis of the batch in front, None where it is the same for all images."""
        if value not in self.moving:
            return None
        if value in self.rows:
            return self.rows[value]
        axis = self.axes.get(value)
        return self.op.Unsqueeze(value, [0]) if axis is None else self.op.Unsqueeze(self._front(value), [axis + 1])

    def _front(self, value: ir.Value) -> ir.Value:
        """Return a value in which the images are followed, with their axis in front."""
        axis, count = self.axes[value], len(dims(value) or ())
        order = [axis, *(i for i in range(count) if i != axis)]
        return value if not axis else self.op.Transpose(value, perm=order)

    def _taken_off(self, node: ir.Node) -> Made:
        """Return what a node that only takes the images' axis off is of; None for any other."""
        value = node.inputs[0]
        if value is None or value not in self.axes or any(v in self.moving for v in node.inputs[1:]):
            return None
        if node.op_type in ("Reshape", "Flatten"):
            return with_batch(self.op, node, [self._front(value), *[None] * (len(node.inputs) - 1)])
        axis, gone = self.axes[value], taken_away(node)
        if node.op_type == "Slice" and axis in (sliced_axes(node) or ()):
            return (self.op.Unsqueeze(self._front(value), [axis + 1]),)
        rest = [a + 1 if a < axis else a for a in gone if a != axis]
        if axis not in gone or not (rest or node.op_type in WHOLE):
            return None
        return without_axes(self.op, node, self._front(value), rest)

    def _take_name(self, old: ir.Value, new: ir.Value) -> None:
        """Let a value that was made here, and its node, have the names that users know."""
        before, after = old.producer(), new.producer()
        if str(new.name).startswith(PREFIX) and before is not None and after is not None:
            name, old.name = old.name, self.op.unique("of/one")
            new.name, after.name, before.name = name, before.name, self.op.unique("of/one")

    def _put_out(self, output: str, row: ir.Value) -> None:
        """Let a value be the output of that name in place of another."""
        old, own = self.outputs[output], row.name == output or str(row.name).startswith(PREFIX)
        new = row if own and not row.is_graph_output() else self.op.copy(row)
        for each in (old, *self.rows.values()):
            if each.name == output and each is not new:
                each.name = self.op.unique("of/one")
        new.name = output
        new.metadata_props.update(old.metadata_props)
        self.graph.outputs[list(self.graph.outputs).index(old)] = new


def _moving(graph: ir.Graph, images: ir.Value) -> set[ir.Value]:
    """Return the values that depend on the images and not on how many there are."""
    moving = {images}
    for node in graph:
        bodies = any(a.type == ir.AttributeType.GRAPH for a in node.attributes.values())
        if bodies or (any(v in moving for v in node.inputs) and node.op_type not in ("Shape", "Size")):
            moving.update(node.outputs)
    return moving


def _followed(graph: ir.Graph, images: ir.Value) -> dict[ir.Value, int]:
    """Return the axis of the images, one of one, in the values in which it is one of its own."""
    places, found = follow_images(graph, images, 1), {images: 0}
    for node in graph:
        read = [found[v] for v in node.inputs if v in found]
        if read and (node.inputs[0] not in found or found[node.inputs[0]] not in _ended(node)):
            found.update(_placed(node, places))
    return found


def _ended(node: ir.Node) -> list[int]:
    """Return the axes that a node takes away, cuts, or lays together with others."""
    if node.op_type == "Flatten" and not attributes(node)["axis"]:
        return [0]
    if node.op_type == "Split":
        return [attributes(node)["axis"] % max(len(dims(node.outputs[0]) or ()), 1)]
    return (sliced_axes(node) or []) if node.op_type == "Slice" else taken_away(node)


def _placed(node: ir.Node, places: Places) -> dict[ir.Value, int]:
    known = {v: places[v] for v in node.outputs if v in places and places[v].inner == 1}
    return {v: place.axis for v, place in known.items() if (static(v) or ())[place.axis : place.axis + 1] == (1,)}


__all__ = ["Restored", "restored"]
