"""Gradient graphs: inside a trace for methods, as a whole model for users."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.autodiff.contrib import lower_contrib
from onnxsal.autodiff.endings import crossings, flow, named
from onnxsal.autodiff.lowering import lower_gradients
from onnxsal.autodiff.registry import PLAIN, RuleSet
from onnxsal.autodiff.rulesets import rule_set
from onnxsal.autodiff.sequences import lower_sequences
from onnxsal.autodiff.walk import backward
from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.graph import infer_shapes, made_whole, normalise, to_proto, warn_of_files
from onnxsal.graph.lower import lower_opset
from onnxsal.graph.moved import write_moved
from onnxsal.graph.processor import check_processor
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.graph.unknown import check_operators
from onnxsal.graph.unsigned import write_unsigned

ZERO = "onnxsal.zero/"
"""Metadata, by the name of an output, of gradients that are 0 whatever the input: why."""

_LISTED = 8
"""Names that a message lists."""


def gradients_of(op: Trace, y: ir.Value, wrt: Sequence[ir.Value], rules: RuleSet = PLAIN) -> list[ir.Value]:
    """Return d(sum of ``y``)/d(value) for every value of ``wrt``, in its shape; zeros where ``y`` is independent of it.

    With ``y`` one score per image, the gradient of the sum is each image's own gradient.
    Raises: UnsupportedError: operators on the way have no rule.
    """
    infer_shapes(op.model)
    grads = backward(op, {y: op.full_like(y, 1)}, wrt, rules)
    return [op.zeros_like(v) if g is None else g for v, g in zip(wrt, grads, strict=True)]


def gradient(
    model: ir.Model, *, of: Sequence[str], wrt: Sequence[str], rules: str = "plain", opset: int | None = None
) -> onnx.ModelProto:
    """Return what ``gradient_model`` does, as one message; weights that exceed 2 GB stay references, with a warning."""
    made = gradient_model(model, of=of, wrt=wrt, rules=rules, opset=opset)
    warn_of_files(made)
    return to_proto(made, source=model)


def gradient_model(
    model: ir.Model, *, of: Sequence[str], wrt: Sequence[str], rules: str = "plain", opset: int | None = None
) -> ir.Model:
    """Return the model with inputs ``seed/<of>`` and outputs ``grad/<wrt>`` added, of standard operators only.

    Args: of: float values, by their names in the user's file. wrt: inputs, intermediate values or initializers.
    rules: ``plain``, ``guided``, ``deconv`` or ``attnlrp``. opset: of the result, where it is not to be 21 or the
    model's own.
    Shape: a seed has the shape and type of its value, a gradient that of its own. Where a gradient is differentiated
    again by the same value, the new ``grad/<wrt>`` takes the place of the old.
    Where a gradient is 0 whatever the input, the metadata ``onnxsal.zero/grad/<wrt>`` says why: it ends at steps, or
    ``of`` does not depend on the value.
    Raises: UsageError: no such value, one that holds integers, or a name that is taken. UnsupportedError: operators
    without rule.
    """
    chosen = rule_set(rules)
    _check_names(of, wrt)
    check_operators(model)
    check_processor(model)
    work = standardised(model, frozenset(wrt))
    write_unsigned(work.graph)
    write_moved(work.graph)
    trace = Trace(work)
    _check_free(trace, [f"seed/{name}" for name in of])
    _check_floats(trace, of, wrt, chosen)
    ys, xs = ([trace[name] for name in dict.fromkeys(names)] for names in (of, wrt))
    seeds = {y: trace.input(f"seed/{y.name}", _dtype(y), y.shape) for y in ys}
    grads = backward(trace, seeds, xs, chosen)
    outputs = {str(v.name): v for v in trace.graph.outputs}
    for x, g in zip(xs, grads, strict=True):
        if g is None:
            _say_zero(trace, x, ys, chosen)
        outputs[f"grad/{x.name}"] = _shaped(trace, _zeros(trace, x) if g is None else g, x)
    made = trace.finish_with(outputs).model
    write_moved(made.graph)
    if opset is not None:
        lower_opset(made, opset)
    return made_whole(made)


def _check_names(of: Sequence[str], wrt: Sequence[str]) -> None:
    for option, names in (("of", of), ("wrt", wrt)):
        if isinstance(names, str):
            raise UsageError(f"{option}={names!r}: expected a list of names, [{names!r}]")
    if not of or not wrt:
        raise UsageError("name at least one value to differentiate (of) and one to differentiate by (wrt)")


def _check_free(trace: Trace, seeds: Sequence[str]) -> None:
    taken = [name for name in dict.fromkeys(seeds) if name in trace]
    if taken:
        raise UsageError(
            f"the model has {' and '.join(map(repr, taken))} already (is it a gradient graph?): differentiate the "
            "model that it was made from, by everything at once"
        )


def standardised(model: ir.Model, keep: frozenset[str] = frozenset()) -> ir.Model:
    """Return the normal form of a model, of standard operators on tensors as far as they are known.

    The runtime's own operators and the standard's Gradient are taken apart, sequences that can be followed are gone.
    Args: keep: names of values that must stay values of the graph.
    """
    work = normalise(lower_gradients(lower_contrib(model)), keep=keep)
    return normalise(work, keep=keep) if lower_sequences(work.graph) else work


def _shaped(trace: Trace, g: ir.Value, x: ir.Value) -> ir.Value:
    copy: ir.Value = trace.Identity(g)
    copy.shape, copy.type = x.shape, ir.TensorType(_dtype(x))
    return copy


def _zeros(trace: Trace, x: ir.Value) -> ir.Value:
    return trace.zeros_like(trace.OptionalGetElement(x) if isinstance(x.type, ir.OptionalType) else x)


def _dtype(value: ir.Value) -> ir.DataType:
    return value.dtype or ir.DataType.FLOAT


def _check_floats(trace: Trace, of: Sequence[str], wrt: Sequence[str], rules: RuleSet) -> None:
    """Refuse names that are no float value; the one to use instead has to be on the way from ``wrt`` to ``of``."""
    for name in (*of, *wrt):
        if name not in trace:
            hint = nearest(name, trace.names())
            raise UsageError(f"the model has no value {name!r}{hint or ';'} {_ends(trace)}")
        if isinstance(trace[name].type, ir.SequenceType):
            raise UsageError(f"value {name!r} is a sequence and has no gradient: name one of its tensors")
    for name in (*of, *wrt):
        value = trace[name]
        if not is_float(value):
            instead = _float_neighbour(value, _on_the_way(trace, of, wrt, rules, by=name in wrt))
            hint = f"; use the float value {instead.name!r}" if instead is not None else ""
            raise UsageError(f"value {name!r} holds {value.dtype} and has no gradient{hint}")


def _on_the_way(trace: Trace, of: Sequence[str], wrt: Sequence[str], rules: RuleSet, *, by: bool) -> Container[Any]:
    """Return the values that serve in place of one of ``wrt`` (``by``) or ``of``: a gradient reaches them.

    The others of the same kind that are integers too say nothing; where all of the other side are, anything may serve.
    """
    ys, xs = ([trace[name] for name in names if is_float(trace[name])] for names in (of, wrt))
    if not (ys if by else xs):
        return _Anything()
    if by:
        return flow(trace.graph, [], ys, rules).counted
    return flow(trace.graph, xs, _everything(trace), rules).smooth


def _everything(trace: Trace) -> list[ir.Value]:
    return [v for node in trace.graph for v in node.outputs]


class _Anything:
    """What holds every value."""

    def __contains__(self, value: object) -> bool:
        return True


def _say_zero(trace: Trace, x: ir.Value, ys: Sequence[ir.Value], rules: RuleSet) -> None:
    """Note in the model's metadata why a gradient is 0 whatever the input: at which steps it ends, or a wrong name."""
    found = flow(trace.graph, [x], ys, rules)
    ends = [named(node) for node in crossings(found)[:_LISTED]]
    where = f"it ends at {', '.join(ends)}, which changes in steps" if ends else "no gradient passes what lies between"
    if not any(y in found.data for y in ys):
        where = f"{', '.join(repr(str(y.name)) for y in ys)} does not depend on {x.name!r} in any way"
    trace.model.metadata_props[f"{ZERO}grad/{x.name}"] = f"0 whatever the input: {where}"


def _ends(trace: Trace) -> str:
    """What the graph takes in and puts out: with a name of another model's in hand, the nearest one helps little."""
    ends = [[str(value.name) for value in values] for values in (trace.graph.inputs, trace.graph.outputs)]
    taken, given = (", ".join([repr(name) for name in names[:_LISTED]] + ["..."] * (len(names) > _LISTED))
                    for names in ends)  # fmt: skip
    return f"it takes {taken or 'nothing'} and gives {given}"


def _float_neighbour(value: ir.Value, serving: Container[Any]) -> ir.Value | None:
    """Return the float value nearest to an integer one among those that serve: one it was made of, or that it makes."""
    seen: list[tuple[ir.Value, bool]] = [(value, True), (value, False)]
    for current, upwards in seen:
        producer = current.producer()
        if upwards:
            near = [] if producer is None else [v for v in producer.inputs[:1] if v is not None]
        else:
            near = [v for node in current.consumers() for v in node.outputs]
        for candidate in near:
            if is_float(candidate) and candidate in serving and candidate.const_value is None:
                return candidate
            if (candidate, upwards) not in seen and len(seen) < 64:
                seen.append((candidate, upwards))
    return None


__all__ = ["UnsupportedError", "gradient", "gradients_of"]
