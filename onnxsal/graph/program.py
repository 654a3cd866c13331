"""Programs: ONNX graphs with named inputs and outputs that methods build and only ``runtime`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from onnxsal.graph.files import to_proto
from onnxsal.graph.label import lowest_format
from onnxsal.graph.operands import operands
from onnxsal.graph.scopes import PREFIX, separate_names
from onnxsal.graph.tape import Tape


@dataclass(frozen=True)
class Program:
    """An ONNX graph whose leading axis is the batch; never changed once made, extended through a trace."""

    model: ir.Model

    @property
    def inputs(self) -> dict[str, ir.Value]:
        """The graph's inputs by name."""
        return {str(v.name): v for v in self.model.graph.inputs}

    @property
    def outputs(self) -> dict[str, ir.Value]:
        """The graph's outputs by name."""
        return {str(v.name): v for v in self.model.graph.outputs}

    def extend(self) -> Trace:
        """Return a tape over a copy of the graph (weights shared); the program itself stays as it is."""
        return Trace(self.model.clone())

    def to_proto(self) -> onnx.ModelProto:
        """Return the program as a ModelProto."""
        return to_proto(self.model)


@dataclass(frozen=True)
class Keeping(Program):
    """A program of which some values stay outputs, whatever it is extended to: what comes next needs them too."""

    kept: tuple[str, ...] = ()

    def extend(self) -> Trace:
        """Return a tape over a copy of the graph that keeps these values."""
        return Trace(self.model.clone(), self.kept)


class Trace(Tape):
    """A tape over a model of its own: values are found by name, ``finish`` turns it into a program."""

    def __init__(self, model: ir.Model, kept: tuple[str, ...] = ()) -> None:
        super().__init__(model.graph)
        self.model = model
        self._values, self._kept = values_by_name(model.graph), kept

    def __getitem__(self, name: str) -> ir.Value:
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> list[str]:
        """Return the names of all values that the model came with."""
        return list(self._values)

    def rename(self, name: str, old: ir.Value, new: ir.Value) -> None:
        """Let ``name`` stand for ``new`` from here on; the value that had it gets a name of ours."""
        old.name = f"{PREFIX}was/{name}_{next(self._numbers)}"
        self._values[name] = new

    def finish(self, **outputs: ir.Value) -> Program:
        """Return the program with these outputs alone; whatever they do not need is removed, unused inputs stay."""
        return self.finish_with(outputs)

    def finish_with(self, outputs: Mapping[str, ir.Value]) -> Program:
        """Return the program with these outputs; for names that are not Python identifiers."""
        graph = self.graph
        graph.outputs.clear()
        for name, value in {**{name: self[name] for name in self._kept}, **outputs}.items():
            graph.outputs.append(self._named(name, value))
        drop_unread(self.model)
        separate_names(graph, self.unique)
        return Program(self.model)

    def _named(self, name: str, value: ir.Value) -> ir.Value:
        """A value keeps its name for those who refer to it; an output of another name is a copy of it."""
        if value.name == name:
            return value
        clash = self._values.get(name)
        if clash is not None and clash is not value:
            clash.name = f"{PREFIX}was/{name}_{next(self._numbers)}"
        out = ir.Value(name=name, type=value.type, shape=value.shape)
        label = f"{PREFIX}output/{name}_{next(self._numbers)}"
        self.graph.append(ir.node("Identity", [value], outputs=[out], name=label))
        return out


def drop_unread(model: ir.Model) -> None:
    """Remove nodes and weights that no output needs, in place; unused inputs stay.

    Of a node's outputs, those behind the last one that is read go. One between others keeps its name: left out, OpenCV
    gives it to operators that leave an input out, and IREE refuses the node.
    """
    named = {value: value.name for node in model.graph.all_nodes() for value in node.outputs[:-1]}
    RemoveUnusedNodesPass()(model)
    for node in model.graph.all_nodes():
        for value in node.outputs:
            if not value.name:
                value.name = named.get(value) or value.name
    _drop_dead(model.graph)
    _drop_unread(model.graph)


def _drop_dead(graph: ir.Graph) -> None:
    """Remove nodes that only bodies of removed nodes read: onnx_ir counts those as readers still."""
    alive, dead = set(graph.outputs), list[ir.Node]()
    for node in reversed(graph):
        if alive.isdisjoint(node.outputs):
            dead.append(node)
        else:
            alive.update(v for v in operands(node) if v is not None)
    graph.remove(dead)


def _drop_unread(graph: ir.Graph) -> None:
    """Remove weights, of bodies too, that only bodies of removed nodes read: onnx_ir counts those as readers still."""
    read = {value for node in graph.all_nodes() for value in node.inputs}
    read.update(value for each in (graph, *graph.subgraphs()) for value in (*each.outputs, *each.inputs))
    for each in (graph, *graph.subgraphs()):
        for name in [name for name, value in each.initializers.items() if value not in read]:
            each.initializers.pop(name)


def values_by_name(graph: ir.Graph) -> dict[str, ir.Value]:
    """Return every value of the main graph by its name."""
    values = {str(v.name): v for v in graph.inputs}
    values.update(graph.initializers)
    values.update({str(v.name): v for node in graph for v in node.outputs if v.name})
    return values


def empty(opset: int, *, domains: Mapping[str, int] | None = None) -> Trace:
    """Return a tape over a graph with nothing in it."""
    graph = ir.Graph([], [], nodes=[], opset_imports={**(domains or {}), "": opset}, name="onnxsal")
    model = ir.Model(graph, ir_version=10, producer_name="onnxsal")
    model.ir_version = lowest_format(model)
    return Trace(model)
