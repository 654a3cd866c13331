"""Guarding: what explaining costs is paid only where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from onnxsal.graph.tape import Tape


class Branch(Tape):
    """A tape over a branch's graph: nodes go into the branch, constants into the model, where they are shared."""

    def __init__(self, outer: Tape, name: str) -> None:
        graph = ir.Graph([], [], nodes=[], opset_imports=dict(outer.graph.opset_imports), name=name)
        super().__init__(graph)
        self.outer = outer
        self._numbers = outer._numbers

    def weight(self, tensor: ir.TensorProtocol) -> ir.Value:
        """Return an initializer of the model."""
        return self.outer.weight(tensor)

    def const(self, value: object, dtype: ir.DataType | None = None) -> ir.Value:
        """Return a constant of the model, the same one for equal contents."""
        return self.outer.const(value, dtype)


Build = Callable[[Tape], Mapping[str, ir.Value]]


def guarded(op: Tape, condition: ir.Value, then: Build, otherwise: Build) -> dict[str, ir.Value]:
    """Return what ``then`` builds where the scalar ``condition`` holds, else what ``otherwise`` builds (same names)."""
    branches = [(_branch(op, "explain", then)), (_branch(op, "predict", otherwise))]
    names = list(branches[0][1])
    made = op.emit("If", condition, outputs=len(names), then_branch=branches[0][0], else_branch=branches[1][0])
    for value, name in zip(made, names, strict=True):
        value.type, value.shape = branches[0][1][name].type, branches[0][1][name].shape
    return dict(zip(names, made, strict=True))


def _branch(op: Tape, name: str, build: Build) -> tuple[ir.Graph, Mapping[str, ir.Value]]:
    tape = Branch(op, f"sal/{name}")
    outputs = dict(build(tape))
    for key, value in outputs.items():
        node = value.producer()
        if node is None or node.graph is not tape.graph or value in tape.graph.outputs:
            outputs[key] = tape.copy(value)  # ONNX Runtime leaves the first of two outputs that are one value unwritten
        tape.graph.outputs.append(outputs[key])
    return tape.graph, outputs
