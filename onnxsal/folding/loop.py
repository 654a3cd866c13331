"""A record as one graph: the model lives in the body of a loop, and nowhere else.

Turn 0 takes the clean pictures (and the baseline, where the record wants its score): it gives the prediction, the
target and what the head puts out. Every further turn takes one chunk of draws. Who does not ask for an explanation
pays turn 0 alone. Weights that a loop reads from outside are slow and weights kept twice are large, so they lie inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.folding.graft import graft
from onnxsal.folding.guard import guarded
from onnxsal.folding.rows import Chunk, Schedule, Shape, Source, fill
from onnxsal.graph import Program, Tape, dims, infer_shapes
from onnxsal.records import Grids, HostMasks, Record

Values = Mapping[str, ir.Value]
FLOAT, INT64, DOUBLE = ir.DataType.FLOAT, ir.DataType.INT64, ir.DataType.DOUBLE


@dataclass(frozen=True)
class Folded:
    """What is needed to fold a record into a model."""

    record: Record
    forward: Program
    """The model from ``x`` to its own outputs, with every value that record and head share with it."""
    x: str
    """The name of the picture's input in all programs."""
    shape: Shape
    maps: int
    baseline: Callable[[Tape, ir.Value], ir.Value]
    """The baseline [B, C, H, W] of pictures x."""
    target: Callable[[Tape, ir.Value, ir.Value], Values]
    """The programs' target inputs, int64 [B], from the probabilities [B, classes] and the batch size [1]."""
    key: tuple[int, int] = (0, 0)

    @property
    def schedule(self) -> Schedule:
        """How its draws are cut into turns."""
        masks = self.record.draws.masks
        count = (
            0 if masks is None else self.maps if not isinstance(masks, Grids) or masks.top_k is None else masks.top_k
        )
        return Schedule(self.record.draws.samples, count)


class Body(Tape):
    """A tape over a loop's body: constants and weights stay inside; names are unique in the whole model."""

    def __init__(self, outer: Tape, name: str) -> None:
        super().__init__(ir.Graph([], [], nodes=[], opset_imports=dict(outer.graph.opset_imports), name=name))
        self._numbers = outer._numbers


def check_foldable(record: Record) -> None:
    """Raise UnsupportedError for a record that no graph can hold."""
    if isinstance(record.draws.masks, HostMasks):
        raise UnsupportedError("this method makes its masks on the host, which cannot be folded into a file")
    if isinstance(record.body, Record):
        raise UnsupportedError(
            "a sampling method round another sampling method cannot be folded into a file; wrap a gradient or a CAM"
        )


@dataclass
class _State:
    """The loop's carried values: first what they are before turn 0, then their places inside."""

    initial: dict[str, ir.Value] = field(default_factory=dict)

    def add(self, name: str, value: ir.Value) -> None:
        self.initial[name] = value


def fold_record(
    op: Tape, folded: Folded, x: ir.Value, explain: ir.Value
) -> tuple[dict[str, ir.Value], dict[str, ir.Value]]:
    """Return the model's own outputs, and what the tail needs: head outputs, sums, references; all with batch axis.

    Args: x: the clean pictures [B, C, H, W]. explain: a bool scalar; without it only turn 0 runs.
    """
    check_foldable(folded.record)
    state = _initial(op, folded, x)
    batch = op.Squeeze(op.Shape(x, start=0, end=1), [0])
    draws = op.Mul(batch, folded.schedule.turns)
    turns = op.Add(op.Where(explain, draws, op.const(0, INT64)), 1)
    names = list(state.initial)
    graph = _body(op, folded, x, state)
    made = op.emit(
        "Loop", turns, op.const(True, ir.DataType.BOOL), *state.initial.values(), outputs=len(names), body=graph
    )
    values: Sequence[ir.Value] = made if isinstance(made, tuple) else (made,)
    for name, value, inner in zip(names, values, list(graph.outputs)[1:], strict=True):
        value.type = inner.type
        del name
    found = dict(zip(names, values, strict=True))
    own = {n.removeprefix("out/"): v for n, v in found.items() if n.startswith("out/")}
    return own, {n: v for n, v in found.items() if not n.startswith("out/")}


def needed_moments(record: Record) -> dict[str, bool]:
    """Return the body's outputs whose sums are kept, and whether their squares are too."""
    if record.tail is None:
        return {record.moments.names[0]: record.moments.shown != "mean"}
    kinds = [name.partition("/") for name in record.tail.inputs]
    return {
        name: any(kind in ("square", "variance") and of == name for kind, _, of in kinds)
        for name in record.moments.names
        if any(of == name and kind in ("mean", "square", "variance") for kind, _, of in kinds)
    }


def _initial(op: Tape, folded: Folded, x: ir.Value) -> _State:
    state, batch = _State(), op.Shape(x, start=0, end=1)
    for name, value in folded.forward.outputs.items():
        if not name.startswith("sal/"):
            state.add(f"out/{name}", _empty(op, value))
    for name in folded.record.body.inputs:
        if name != folded.x:
            state.add(f"target/{name}", op.Expand(op.const(0, INT64), batch))
    for name, value in _head_outputs(folded.record).items():
        state.add(name, _empty(op, value))
    if _top(folded.record):
        state.add("kept", op.const(np.zeros((0, _top(folded.record) or 0), np.int64)))
    for name in _references(folded.record):
        state.add(name, op.Expand(op.const(0.0, FLOAT), batch))
    shapes = _output_shapes(folded)
    for name, squares in needed_moments(folded.record).items():
        for kind in ("sum", "squares") if squares else ("sum",):
            zeros = op.Concat(batch, list(shapes[name]), axis=0) if shapes[name] else batch
            state.add(f"{kind}/{name}", op.ConstantOfShape(zeros, value=ir.tensor(np.zeros(1, np.float64))))
    return state


def _empty(op: Tape, value: ir.Value) -> ir.Value:
    shape = [d if isinstance(d, int) else 0 for d in dims(value) or (0,)]
    dtype = value.dtype or FLOAT
    return op.const(np.zeros([0, *shape[1:]], dtype.numpy()), dtype)


def _head_outputs(record: Record) -> dict[str, ir.Value]:
    """The head's outputs that masks or tail use."""
    if record.head is None:
        return {}
    wanted = {*(record.tail.inputs if record.tail else ()), *(("maps",) if record.draws.masks else ())}
    typed = _typed(record.head)
    return {name: value for name, value in typed.outputs.items() if name in wanted}


def _top(record: Record) -> int | None:
    return record.draws.masks.top_k if isinstance(record.draws.masks, Grids) else None


def _kept(op: Tape, maps: ir.Value, top: int) -> ir.Value:
    """Return which maps have the highest standard deviation, ascending, int64 [B, top]."""
    centred = op.Sub(maps, op.ReduceMean(maps, [2, 3], keepdims=1))
    spread = op.ReduceMean(op.Mul(centred, centred), [2, 3], keepdims=0)
    _, best = op.TopK(spread, [top], axis=1, outputs=2)
    ascending, _ = op.TopK(best, [top], axis=1, largest=0, outputs=2)
    return ascending  # type: ignore[no-any-return]


def _references(record: Record) -> list[str]:
    return [n for n in (record.tail.inputs if record.tail else ()) if n.startswith("reference/")]


def _typed(program: Program) -> Program:
    copy = program.model.clone()
    infer_shapes(copy)
    return Program(copy)


def _output_shapes(folded: Folded) -> dict[str, tuple[int, ...]]:
    """The shape of each summed output behind the batch axis; one number per mask for scores."""
    if folded.record.moments.per == "mask":
        return dict.fromkeys(folded.record.moments.names, (folded.schedule.masks,))
    assert isinstance(folded.record.body, Program)
    typed = _typed(folded.record.body)
    return {n: tuple(int(d or 0) for d in (dims(typed.outputs[n]) or ())[1:]) for n in folded.record.moments.names}  # type: ignore[arg-type]


def _body(outer: Tape, folded: Folded, x: ir.Value, state: _State) -> ir.Graph:
    op = Body(outer, "sal/turn")
    turn = op.input(f"sal/turn_{next(op._numbers)}", INT64, [])
    go = op.input(f"sal/go_{next(op._numbers)}", ir.DataType.BOOL, [])
    carried = {
        n: op.input(f"sal/carried_{next(op._numbers)}", v.dtype or FLOAT, _open(v)) for n, v in state.initial.items()
    }
    first = op.Equal(turn, 0)
    base = folded.baseline(op, x)
    chunk = folded.schedule.chunk(op, op.Max(op.Sub(turn, 1), op.const(0, INT64)))
    z = guarded(
        op,
        first,
        lambda t: {"z": _clean(t, folded, x, base)},
        lambda t: {"z": _drawn(t, folded, chunk, (x, base), carried)},
    )["z"]
    values = _forward(op, folded, z)
    results = _results(op, folded, (first, chunk, z, x), values, carried)
    op.graph.outputs.append(op.Identity(go))
    for name, value in results.items():
        out: ir.Value = op.Identity(value)
        out.type = ir.TensorType(state.initial[name].dtype or FLOAT)
        op.graph.outputs.append(out)
    return op.graph


def _open(value: ir.Value) -> list[None] | None:
    """A carried value's shape changes after turn 0: only its rank is known, if that."""
    known = dims(value)
    return None if known is None else [None] * len(known)


def _clean(op: Tape, folded: Folded, x: ir.Value, base: ir.Value) -> ir.Value:
    return op.Concat(x, base, axis=0) if _references(folded.record) else op.Identity(x)  # type: ignore[no-any-return]


def _drawn(op: Tape, folded: Folded, chunk: Chunk, pictures: tuple[ir.Value, ir.Value], carried: Values) -> ir.Value:
    one = op.Unsqueeze(chunk.image, [0])
    x, base = (op.Gather(p, one, axis=0) for p in pictures)
    maps = op.Gather(carried["maps"], chunk.image, axis=0) if chunk.masks is not None else None
    if maps is not None and "kept" in carried:
        maps = op.Gather(maps, op.Gather(carried["kept"], chunk.image, axis=0), axis=0)
    return fill(op, folded.record.draws, chunk, Source(x, base, maps, folded.shape, folded.key))


def _forward(op: Tape, folded: Folded, z: ir.Value) -> dict[str, ir.Value]:
    """Write the model into the body; return its values by their names in the programs."""
    named: dict[str, ir.Value] = {}
    outputs = graft(op, folded.forward, {folded.x: z}, {}, named)
    return {**named, **outputs}


def _results(
    op: Tape,
    folded: Folded,
    turn: tuple[ir.Value, Chunk, ir.Value, ir.Value],
    values: Values,
    carried: Values,
) -> dict[str, ir.Value]:
    first, chunk, z, x = turn
    count = op.Shape(x, start=0, end=1)
    targets = _targets(op, folded, first, values, carried, count)

    def clean(t: Tape) -> dict[str, ir.Value]:
        return {**carried, **targets, **_from_clean(t, folded, values, (z, count), targets)}

    def drawn(t: Tape) -> dict[str, ir.Value]:
        return {**carried, **targets, **_from_draws(t, folded, values, (z, chunk), (targets, carried))}

    return guarded(op, first, clean, drawn)


def _targets(
    op: Tape, folded: Folded, first: ir.Value, values: Values, carried: Values, count: ir.Value
) -> dict[str, ir.Value]:
    names = [n for n in carried if n.startswith("target/")]
    if not names:
        return {}

    def fresh(t: Tape) -> dict[str, ir.Value]:
        probabilities = t.Slice(values["sal/probabilities"], [0], count, [0])
        return {f"target/{n}": v for n, v in folded.target(t, probabilities, count).items()}

    return guarded(op, first, fresh, lambda t: {n: carried[n] for n in names})


def _from_clean(
    op: Tape, folded: Folded, values: Values, rows: tuple[ir.Value, ir.Value], targets: Values
) -> dict[str, ir.Value]:
    z, count = rows
    found = {
        f"out/{n}": op.Slice(values[n], [0], count, [0]) for n in folded.forward.outputs if not n.startswith("sal/")
    }
    record = folded.record
    if record.head is not None:
        wanted = _head_outputs(record)
        feeds = {folded.x: z, **_repeated(op, targets, bool(_references(record)))}
        outputs = graft(op, record.head, feeds, values, outputs=list(wanted))
        found.update({name: op.Slice(outputs[name], [0], count, [0]) for name in wanted})
    top = _top(record)
    if top:
        found["kept"] = _kept(op, found["maps"], top)
    references = _references(record)
    if references and isinstance(record.body, Program):
        names = [name.removeprefix("reference/") for name in references]
        outputs = graft(op, record.body, {folded.x: z, **_repeated(op, targets, True)}, values, outputs=names)
        end = op.Mul(count, 2)
        found.update({f"reference/{name}": op.Slice(outputs[name], count, end, [0]) for name in names})
    return found


def _repeated(op: Tape, targets: Values, twice: bool) -> dict[str, ir.Value]:
    named = {name.removeprefix("target/"): v for name, v in targets.items()}
    return {n: op.Concat(v, v, axis=0) for n, v in named.items()} if twice else named


def _from_draws(
    op: Tape, folded: Folded, values: Values, rows: tuple[ir.Value, Chunk], state: tuple[Values, Values]
) -> dict[str, ir.Value]:
    (z, chunk), (targets, carried) = rows, state
    assert isinstance(folded.record.body, Program)
    one, many = op.Unsqueeze(chunk.image, [0]), op.Shape(chunk.samples)
    feeds = {n.removeprefix("target/"): op.Expand(op.Gather(v, one, axis=0), many) for n, v in targets.items()}
    needed = needed_moments(folded.record)
    outputs = graft(op, folded.record.body, {folded.x: z, **feeds}, values, outputs=list(needed))
    found = {}
    for name, squares in needed.items():
        y = op.Cast(outputs[name], to=DOUBLE)
        found[f"sum/{name}"] = _added(op, folded, carried[f"sum/{name}"], y, chunk)
        if squares:
            found[f"squares/{name}"] = _added(op, folded, carried[f"squares/{name}"], op.Mul(y, y), chunk)
    return found


def _added(op: Tape, folded: Folded, total: ir.Value, y: ir.Value, chunk: Chunk) -> ir.Value:
    """Add a chunk's outputs to the sums of its image: by mask, or all of them with their weights."""
    if folded.record.moments.per == "mask":
        assert chunk.masks is not None
        image = op.Expand(chunk.image, op.Shape(chunk.masks))
        places = op.Concat(op.Unsqueeze(image, [1]), op.Unsqueeze(chunk.masks, [1]), axis=1)
        return op.ScatterND(total, places, op.Reshape(y, [-1]), reduction="add")  # type: ignore[no-any-return]
    weights = folded.record.draws.weights
    if weights is not None:
        w = op.Gather(op.const(np.array(weights, np.float64)), chunk.samples)
        y = op.Mul(y, op.Reshape(w, op.Concat(op.Shape(w), [1] * (_depth(folded) - 1), axis=0)))
    place = op.Reshape(chunk.image, [1, 1])
    return op.ScatterND(total, place, op.ReduceSum(y, [0], keepdims=1), reduction="add")  # type: ignore[no-any-return]


def _depth(folded: Folded) -> int:
    return len(next(iter(_output_shapes(folded).values()))) + 1
