"""Rules of control flow: If, Loop, Scan. What a body reads from outside is an operand as well.

A loop is run again with its states written down before every turn; then a Scan goes through the turns backwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.autodiff.decompose import graft, standing_alone
from onnxsal.autodiff.registry import PLAIN, Call, Gradient, vjp
from onnxsal.autodiff.walk import backward
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph.operands import captured
from onnxsal.graph.shapes import dims, is_float
from onnxsal.graph.tape import Tape

_BRANCHES = ("then_branch", "else_branch")


@vjp("If")
def _if(call: Call) -> list[Gradient]:
    op, node = call.op, call.node
    outer = captured(node)
    wanted = _wanted(call, outer, call.needed[1:])
    if not wanted:
        return [None] * (1 + len(outer))
    then, other = (_branch(call, node.attributes[name].as_graph(), outer, wanted) for name in _BRANCHES)
    made = op.emit("If", node.inputs[0], outputs=len(wanted), then_branch=then, else_branch=other)
    grads = dict(zip(wanted, made, strict=True))
    for value, g in grads.items():
        g.type, g.shape = ir.TensorType(_numbers(value)), value.shape
    return [None, *(grads.get(v) for v in outer)]


def _wanted(call: Call, values: Sequence[ir.Value], needed: Sequence[bool]) -> list[ir.Value]:
    """Return those of the values read in a body that a gradient flows to.

    Raises: UnsupportedError: one is a sequence or an optional value that could not be followed.
    """
    wanted = [v for v, need in zip(values, needed, strict=True) if need]
    for value in wanted:
        if not isinstance(value.type, ir.TensorType):
            node = call.node
            kind = "an optional value" if isinstance(value.type, ir.OptionalType) else "a sequence"
            raise UnsupportedError(
                f"{node.op_type} {node.name or node.outputs[0].name!r} reads {value.name!r}, {kind} made outside of "
                "its body and known only when it is run: it has no gradient"
            )
    return wanted


def _numbers(value: ir.Value) -> ir.DataType:
    """Return the type of a value's gradient: its own, float32 for quantised numbers."""
    return value.dtype if value.dtype is not None and is_float(value) else ir.DataType.FLOAT


def _zeros(op: Tape, value: ir.Value) -> ir.Value:
    return op.zeros_like(value, _numbers(value))


def _branch(call: Call, branch: ir.Graph, outer: Sequence[ir.Value], wanted: Sequence[ir.Value]) -> ir.Graph:
    inner = call.op.body()
    outputs, nodes = _laid_out(inner, branch, [], [], outer)
    seeds = _seeds(inner, zip(outputs, call.grads, strict=True))
    grads = backward(inner, seeds, wanted, call.rules or PLAIN, nodes)
    return inner.give(*(_zeros(inner, v) if g is None else g for v, g in zip(wanted, grads, strict=True)))


def _laid_out(
    inner: Tape, body: ir.Graph, likes: Sequence[ir.Value], given: Sequence[ir.Value], outer: Sequence[ir.Value]
) -> tuple[list[ir.Value], list[ir.Node]]:
    """Lay a body's nodes out on a tape, its inputs replaced; return its outputs and the nodes."""
    graph = standing_alone(body, likes, outer, inner.graph.opset_imports).graph
    by_name = {str(v.name): v for v in outer}
    by_name.update({str(own.name): value for own, value in zip(body.inputs, given, strict=True)})
    values, nodes = graft(inner, graph, {v: by_name[str(v.name)] for v in graph.inputs})
    return [values.get(v, v) for v in graph.outputs], nodes


def _seeds(inner: Tape, pairs: Iterable[tuple[ir.Value, Gradient]]) -> dict[ir.Value, ir.Value]:
    """One value may be several outputs: its gradients add up."""
    seeds: dict[ir.Value, ir.Value] = {}
    for value, g in pairs:
        if g is not None:
            seeds[value] = inner.Add(seeds[value], g) if value in seeds else g
    return seeds


@dataclass(frozen=True)
class _Turns:
    """A loop by its parts: what is carried, what is read at every turn, what is written at every turn."""

    body: ir.Graph
    states: list[ir.Value]
    reads: list[ir.Value]
    lead: int
    """How many of the body's inputs come before the states (Loop has two), and of its outputs (one)."""
    in_axes: list[int]
    in_ways: list[int]
    out_axes: list[int]
    out_ways: list[int]


@vjp("Scan")
def _scan(call: Call) -> list[Gradient]:
    node, a = call.node, call.attributes
    m = a["num_scan_inputs"]
    inputs = [v for v in node.inputs if v is not None]
    n = len(inputs) - m
    k = len(node.outputs) - n
    turns = _Turns(
        node.attributes["body"].as_graph(), inputs[:n], inputs[n:], 0,
        list(a.get("scan_input_axes") or [0] * m), list(a.get("scan_input_directions") or [0] * m),
        list(a.get("scan_output_axes") or [0] * k), list(a.get("scan_output_directions") or [0] * k),
    )  # fmt: skip
    stacks = _stacked_scan(call, turns) if n else []
    return _backwards(call, turns, stacks)


@vjp("Loop")
def _loop(call: Call) -> list[Gradient]:
    node = call.node
    states = [v for v in node.inputs[2:] if v is not None]
    k = len(node.outputs) - len(states)
    turns = _Turns(node.attributes["body"].as_graph(), states, [], 1, [], [], [0] * k, [0] * k)
    turn, *stacks = _stacked_loop(call, turns)
    return [None, None, *_backwards(call, turns, stacks, turn)]


def _stacked_scan(call: Call, turns: _Turns) -> list[ir.Value]:
    """Run a Scan again to write down every state before its turn."""
    inner = call.op.body()
    carried = [inner.argument(v) for v in turns.states]
    read = [inner.argument(v, _without(v, a)) for v, a in zip(turns.reads, turns.in_axes, strict=True)]
    outer = captured(call.node)
    outputs, _ = _laid_out(inner, turns.body, [*carried, *read], [*carried, *read], outer)
    n = len(carried)
    body = inner.give(*outputs[:n], *carried)
    made = call.op.emit(
        "Scan", *turns.states, *turns.reads, body=body, num_scan_inputs=len(read), scan_input_axes=turns.in_axes,
        scan_input_directions=turns.in_ways, outputs=2 * n,
    )  # fmt: skip
    return [_typed(v, s.dtype, _stacked(s)) for v, s in zip(made[n:], turns.states, strict=True)]


def _stacked_loop(call: Call, turns: _Turns) -> list[ir.Value]:
    """Run a Loop again to write down its counter and every state before its turn."""
    inner, op = call.op.body(), call.op
    counter = inner.argument(op.const(0, ir.DataType.INT64), [])
    going = inner.argument(op.const(True, ir.DataType.BOOL), [])
    carried = [inner.argument(v) for v in turns.states]
    own = [counter, going, *carried]
    _refuse_growth(call, turns, own)
    outputs, _ = _laid_out(inner, turns.body, own, own, captured(call.node))
    n = len(carried)
    body = inner.give(*outputs[: n + 1], counter, *carried)
    made = op.emit("Loop", call.node.inputs[0], call.node.inputs[1], *turns.states, body=body, outputs=2 * n + 1)
    first = _typed(made[n], counter.dtype, (None,))
    return [first, *(_typed(v, s.dtype, _stacked(s)) for v, s in zip(made[n + 1 :], turns.states, strict=True))]


def _refuse_growth(call: Call, turns: _Turns, own: Sequence[ir.Value]) -> None:
    try:
        alone = standing_alone(turns.body, own, captured(call.node), call.op.graph.opset_imports).graph
    except ModelError:
        return  # what the inference cannot follow is left to run time
    for i, (before, after) in enumerate(zip(own[2:], alone.outputs[1:], strict=False)):
        if _changes(before, after):
            raise UnsupportedError(
                f"Loop {call.node.name or call.node.outputs[0].name!r} has no gradient: its state number {i} changes "
                f"its shape from turn to turn, {list(dims(before) or ())} to {list(dims(after) or ())}"
            )


def _changes(before: ir.Value, after: ir.Value) -> bool:
    """Whether a turn is known to change a state's shape: states of all turns are written down in one tensor."""
    old, new = dims(before), dims(after)
    if old is None or new is None:
        return False
    return len(old) != len(new) or any(
        (isinstance(a, int) and isinstance(b, int) and a != b) or (isinstance(b, str) and b.endswith(f"*{a}"))
        for a, b in zip(old, new, strict=True)
    )


def _runs(loop: ir.Node) -> bool:
    """Whether it is known that a loop has a turn."""
    given = [v for v in loop.inputs[:2] if v is not None]
    return all(v.const_value is not None and bool((v.const_value.numpy() > 0).all()) for v in given)


def _typed(value: ir.Value, dtype: ir.DataType | None, shape: Sequence[int | str | None] | None) -> ir.Value:
    value.type = ir.TensorType(dtype or ir.DataType.FLOAT)
    value.shape = None if shape is None else ir.Shape(shape)
    return value


def _stacked(state: ir.Value) -> Sequence[int | str | None] | None:
    """The shape of what a state was before every turn; nothing where its rank is not known."""
    shape = dims(state)
    return None if shape is None else (None, *shape)


def _without(value: ir.Value, axis: int) -> list[int | str | None] | None:
    shape = dims(value)
    return None if shape is None else [d for i, d in enumerate(shape) if i != axis % len(shape)]


@dataclass(frozen=True)
class _Flows:
    """Through what of a loop a gradient flows: states, captured values, reads and writes, by their numbers."""

    states: list[int]
    caught: list[ir.Value]
    reads: list[int]
    writes: list[int]


def _flows(call: Call, turns: _Turns) -> _Flows:
    node, n = call.node, len(turns.states)
    carried = zip([*turns.states, *turns.reads], call.needed[len(node.inputs) - n - len(turns.reads) :], strict=False)
    for value in [v for v, need in carried if need and not is_float(v)]:
        raise UnsupportedError(
            f"{node.op_type} {node.name or node.outputs[0].name!r} takes {value.name!r} from turn to turn, which holds "
            f"{value.type}: it has no gradient"
        )
    outer = list(zip(captured(node), call.needed[len(node.inputs) :], strict=True))
    return _Flows(
        [i for i, v in enumerate(turns.states) if is_float(v)],
        _wanted(call, *zip(*outer, strict=True)) if outer else [],
        [j for j, v in enumerate(turns.reads) if is_float(v) and call.needed[n + j]],
        [k for k, g in enumerate(call.grads[n:]) if g is not None],
    )


def _backwards(call: Call, turns: _Turns, stacks: list[ir.Value], turn: ir.Value | None = None) -> list[Gradient]:
    """Go through the turns from the last to the first; what is captured adds up over them."""
    op, node, n, flows = call.op, call.node, len(turns.states), _flows(call, turns)
    written = [call.grads[n + k] for k in flows.writes]
    starts = [op.zeros_like(node.outputs[i]) if (g := call.grads[i]) is None else g for i in flows.states]
    recorded = [*([] if turn is None else [turn]), *stacks]
    back = [1 - way for way in turns.in_ways]
    count = len(flows.states) + len(flows.caught) + len(flows.reads)
    sums = [_zeros(op, v) for v in flows.caught]

    def reverse(tape: Tape) -> list[ir.Value]:
        made = tape.emit(
            "Scan", *starts, *sums, *recorded, *turns.reads, *written,
            body=_reverse_body(call, turns, flows, turn),
            num_scan_inputs=len(recorded) + len(turns.reads) + len(written),
            scan_input_axes=[0] * len(recorded) + turns.in_axes + [turns.out_axes[k] for k in flows.writes],
            scan_input_directions=[1] * len(recorded) + back + [1 - turns.out_ways[k] for k in flows.writes],
            scan_output_axes=[turns.in_axes[j] for j in flows.reads],
            scan_output_directions=[back[j] for j in flows.reads], outputs=count,
        )  # fmt: skip
        return list(made)

    if turn is None or _runs(node):
        grads = reverse(op)
    else:
        # the runtime's Scan fails where there is no turn to read; the state then is what it was at the start
        some, none = op.body(), op.body()
        then, other = some.give(*reverse(some)), none.give(*starts, *sums)
        read = op.Greater(op.Size(turn), 0)
        grads = list(op.emit("If", read, outputs=count, then_branch=then, else_branch=other))
    whole = [turns.states[i] for i in flows.states] + flows.caught + [turns.reads[j] for j in flows.reads]
    grads = [_typed(g, _numbers(v), dims(v)) for g, v in zip(grads, whole, strict=True)]
    places = [*flows.states, *flows.caught, *(n + j for j in flows.reads)]
    found = dict(zip(places, grads, strict=True))
    return [found.get(i) for i in range(n + len(turns.reads))] + [found.get(v) for v in captured(node)]


def _reverse_body(call: Call, turns: _Turns, flows: _Flows, turn: ir.Value | None) -> ir.Graph:
    """One turn backwards: gradients of the states and sums so far in, then what the turn had read and what it wrote."""
    inner, n = call.op.body(), len(turns.states)
    g_states = [inner.argument(turns.states[i]) for i in flows.states]
    sums = [inner.argument(v) for v in flows.caught]
    for total, v in zip(sums, flows.caught, strict=True):
        total.type = ir.TensorType(_numbers(v))
    counter = [] if turn is None else [inner.argument(turn, [])]
    before = [inner.argument(v) for v in turns.states]
    seen = [inner.argument(v, _without(v, a)) for v, a in zip(turns.reads, turns.in_axes, strict=True)]
    pairs = [(i, g) for i, g in zip(flows.states, g_states, strict=True)]
    for k in flows.writes:
        output = call.node.outputs[n + k]
        pairs.append((n + k, inner.argument(output, _without(output, turns.out_axes[k]))))
    going = [] if turn is None else [inner.const(True, ir.DataType.BOOL)]
    own = [*counter, *going, *before, *seen]
    outputs, nodes = _laid_out(inner, turns.body, own, own, captured(call.node))
    seeds = _seeds(inner, [(outputs[turns.lead + i], g) for i, g in pairs])
    wrt = [*(before[i] for i in flows.states), *flows.caught, *(seen[j] for j in flows.reads)]
    found = backward(inner, seeds, wrt, call.rules or PLAIN, nodes)
    grads = [inner.zeros_like(v) if g is None else g for v, g in zip(wrt, found, strict=True)]
    first = len(flows.states)
    for c, total in enumerate(sums, first):
        grads[c] = inner.Add(total, grads[c])
    return inner.give(*grads)
