"""Holding inputs: each becomes a constant of the graph, repeated over the batch of what is explained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.entry import COUNTED, shown
from onnxsal.decisions import Decision
from onnxsal.errors import UsageError
from onnxsal.graph.cut import placed
from onnxsal.graph.initializers import add_initializer
from onnxsal.graph.operands import computed_from
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.graph.tape import Tape
from onnxsal.model.asked import Asked
from onnxsal.model.constants import constants, fitting
from onnxsal.model.defaults import Fill
from onnxsal.model.dimensions import Dimensions, declared
from onnxsal.model.living import remove_inputs, remove_outputs
from onnxsal.model.merged import BRANCH
from onnxsal.model.roles import Input, Roles, check_names, free_inputs, roles_of
from onnxsal.model.text_roles import read_ids

_FLAT = 2
"""Axes behind the first that an input has at most that holds the rows of a table or a graph, and no images."""

_ANY = re.compile(r"b|n|bs|s\d+|.*(batch|dim|unk|unnamed|dynamic).*", re.IGNORECASE)
"""Names of an axis that say that it is the batch, or nothing: exporters give them."""

SAID = "as was said"
FOUND = "the first convolution reads it, and it answers clicks and tones as a spectrogram does"
"""Why a value inside is explained: a user named it, or it was found."""

UNREAD = "what is explained is not computed from it, so that 0 is as good as anything"

DECIDES = "nothing came before: of the two branches in the file it takes the one without a cache"


@dataclass(frozen=True)
class Held:
    """A file whose further inputs are held."""

    model: ir.Model
    """The graph without them: of the file itself where none is held."""
    roles: Roles
    inputs: tuple[Input, ...]
    """What every input of the file is."""
    rows: Mapping[str, int]
    """Held inputs that may have to be repeated over a batch that the file fixes to 1, and along which axis."""

    lost: tuple[str, ...] = ()
    """Outputs that are left out, since they are computed from inputs that the head is not."""
    still: tuple[str, ...] = ()
    """Outputs that are left out, since what is explained does not move them."""
    why: str = SAID
    """Why a value inside is explained."""
    ids: NDArray[Any] | None = None
    """What is read of the ids past the vectors that they become, [1, T]; None where that is only how many they are."""
    together: tuple[str, int] | None = None
    """A held input that says that the first axis of the explained one is no batch, and how long that is."""

    @property
    def decided(self) -> tuple[Decision, ...]:
        """What was decided of the inputs; nothing where there is but one."""
        several = len(self.inputs) > 1 or self.roles.inner
        inner = [Decision("explained", str(self.roles.explained), self.why)] if self.roles.inner else []
        whole = [Decision("batch", "none", self._whole())] if self.together else []
        return (*inner, *whole, *(each.decision() for each in self.inputs)) if several else ()

    def _whole(self) -> str:
        name, rows = self.together or ("", 1)
        return f"{name!r} is held at {rows} rows: so many of {self.roles.explained!r} go in together, and are no batch"

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of defaults, and of inputs that nothing reads."""
        given = {*self.roles.fills, *self.roles.unread}
        defaults = [i for i in self.inputs if i.role == "held" and i.name in given]
        alike = {(i.at, i.why): [j.name for j in defaults if (j.at, j.why) == (i.at, i.why)] for i in defaults}
        stated = [
            f"{_some(names)} held at {at} ({why}); --input {names[0]}=... (inputs=) holds it at something else"
            for (at, why), names in alike.items()
        ]
        unread = [repr(i.name) for i in self.inputs if i.role == "unread"]
        said = [f"{_listed(unread)}: {UNREAD}"] if unread else []
        gone = [f"outputs that are computed from them are left out: {', '.join(self.lost)}"] if self.lost else []
        same = f"outputs that are not computed from {self.roles.explained!r} are left out: {', '.join(self.still)}"
        last = [*([same] if self.still else []), *([self._whole()] if self.together else []), *self._past()]
        return (*stated, *said, *gone, *last)

    def _past(self) -> list[str]:
        """Say that ids do more than becoming what is explained; comparing them is no more than telling pads."""
        text = self.roles.text
        if text is None or not text.past.own:
            return []
        ids, value = text.embedding.ids, text.embedding.value
        return [f"{ids!r} is read past {value!r} too: there it is the text's, and what it does there is not explained"]


def _listed(names: list[str]) -> str:
    return f"input{'s' if len(names) > 1 else ''} {_shortened(names)}"


def _shortened(names: list[str]) -> str:
    """Return names as messages have them: a decoder has dozens of a kind."""
    more = f" and {len(names) - _SAID} more" if len(names) > _SAID + 1 else ""
    return ", ".join(names[:_SAID] if more else names) + more


_SAID = 3
"""Inputs that a note names where there are many."""


def _some(names: list[str]) -> str:
    return f"{_listed([repr(name) for name in names])} {'are' if len(names) > 1 else 'is'}"


def held(source: ir.Model, asked: Asked) -> Held:
    """Return a file with all inputs held but the one that is explained.

    Raises: UsageError: nothing says which one is explained, or what another is held at, or it does not fit.
    """
    roles = roles_of(source.graph, asked)
    if roles.trivial and not asked.held:
        return Held(source, roles, _told(source.graph, roles, asked), {})
    work = source.clone()
    graph = work.graph
    told = _told(graph, roles, asked)
    like = roles.text.embedding.ids if roles.text else None if roles.inner else str(roles.explained)
    explained = None if like is None else _input(graph, like)
    known = Dimensions.of(graph, explained, asked.held)
    together = None if explained is None or roles.inner else _together(graph, explained, asked, known)
    if together is not None and explained is not None:
        explained.shape = ir.Shape([together[1], *(declared(explained) or ())[1:]])
        known = Dimensions.of(graph, explained, asked.held)
    lost = remove_inputs(graph, [_input(graph, name) for name in roles.unread]) if roles.unread else ()
    rows: dict[str, int] = {}
    for name, fill in _fills(graph, roles, asked, known).items():
        value = _input(graph, name)
        if not fill.follows and explained is not None and (at := _row_axis(fill.array, explained)) is not None:
            rows[name] = at
        _hold(graph, value, fill, explained)
    for name in roles.open if roles.inner else (str(roles.explained),):
        _size(_input(graph, name), known)
    still = _without_still(graph, str(roles.explained), asked)
    text = roles.text
    ids = None if text is None or explained is None else read_ids(text, explained, asked)
    why = FOUND if roles.explained == asked.found else SAID
    if text is not None:
        why = f"{text.embedding.ids!r} becomes these: {text.embedding.why}"
    return Held(work, roles, told, rows, lost, still, why, ids, together)


def _without_still(graph: ir.Graph, explained: str, asked: Asked) -> tuple[str, ...]:
    """Take out the outputs that are the same whatever the explained value is; return their names.

    Raises: UsageError: one of them is asked for.
    """
    moved = computed_from(graph, [values_by_name(graph)[explained]])
    still = [v for v in graph.outputs if v not in moved]
    if asked.head in [v.name for v in still]:
        others = ", ".join(repr(v.name) for v in graph.outputs if v in moved) or "none"
        raise UsageError(f"head={asked.head!r}: it is not computed from {explained!r}, which is explained (of that are "
                         f"{others}); --explained NAME (explained=) explains another value")  # fmt: skip
    return remove_outputs(graph, still) if 0 < len(still) < len(graph.outputs) else ()


def _together(graph: ir.Graph, explained: ir.Value, asked: Asked, known: Dimensions) -> tuple[str, int] | None:
    """Return a held input with as many rows as the explained one has to have, and how many: atoms of one molecule are
    no batch. None where the axis is called a batch, all are held at one row, or at different numbers, or images go in.
    """
    axis, *others = declared(explained) or (None,)
    if not isinstance(axis, str) or _ANY.fullmatch(axis) or not others or len(others) > _FLAT:
        return None
    rows = {}
    for name, constant in asked.held.items():
        value = _input(graph, name)
        at = known.batch_axis(declared(value) or ())
        array = fitting(constant, value)
        if at is not None and (declared(value) or ())[at] == axis and at < array.ndim:
            rows[name] = array.shape[at]
    several = [(name, count) for name, count in rows.items() if count != 1]
    return several[0] if several and len(set(rows.values())) == 1 else None


def fixed(source: ir.Model, inputs: Mapping[str, Any]) -> ir.Model:
    """Return a file with some inputs held, and all others as they are; a batch that is open stays one row of theirs.

    Raises: UsageError: there is no such input, or what it is held at does not fit.
    """
    given = constants(inputs)
    check_names(source.graph, given)
    if not given:
        return source
    work = source.clone()
    left = [v for v in free_inputs(work.graph) if v.name not in given and is_float(v) and len(declared(v) or ()) > 1]
    like = left[0] if left else None
    known = Dimensions.of(work.graph, like, given)
    roles = Roles(None if like is None else str(like.name))
    for name, fill in _fills(work.graph, roles, Asked(inputs=given), known).items():
        _hold(work.graph, _input(work.graph, name), fill, like)
    return work


def _input(graph: ir.Graph, name: str) -> ir.Value:
    return next(v for v in graph.inputs if v.name == name)


def _fills(graph: ir.Graph, roles: Roles, asked: Asked, known: Dimensions) -> dict[str, Fill]:
    found = dict(roles.fills)
    for name, constant in asked.held.items():
        value = _input(graph, name)
        array = fitting(constant, value)
        axis = known.batch_axis(declared(value) or ())
        follows = {} if axis is None or axis >= array.ndim else {axis: 0}
        if follows and array.shape[axis or 0] != 1:
            raise UsageError(
                f"input {name!r} takes {shown(value)}, whose axis {axis} is the batch of {roles.explained!r}: hold it "
                f"at one row, which is repeated; it is held at {constant.said} of shape {list(array.shape)}"
            )
        found[name] = Fill(array, follows, constant.said, "as was said")
    return found


def _row_axis(array: NDArray[Any], explained: ir.Value) -> int | None:
    """Return the axis of a held input that may be the batch, where the file fixes that of the explained one to 1."""
    own = declared(explained) or ()
    if len(own) < 2 or own[0] != 1 or array.ndim < 2:
        return None
    return next((i for i, size in enumerate(array.shape) if size == 1), None)


def _hold(graph: ir.Graph, value: ir.Value, fill: Fill, explained: ir.Value | None) -> None:
    """Let what read an input read a constant; it keeps the input's name."""
    name = str(value.name)
    graph.inputs.remove(value)
    graph.initializers.pop(name, None)
    value.name = f"sal/was/{name}"
    follows = {} if explained is None else fill.follows
    op = Tape(graph)
    constant = add_initializer(graph, f"sal/held/{name}" if follows else name, ir.tensor(fill.array, dtype=value.dtype))
    with placed(graph):
        made = repeated(op, constant, follows, explained) if explained is not None and follows else constant
        made = made if fill.counted is None else op.Sub(op.CumSum(made, fill.counted), 1)
        made = op.Identity(made) if value.is_graph_output() else made
    made.name, made.type, made.shape = name, value.type, made.shape or value.shape
    value.replace_all_uses_with(made, replace_graph_outputs=True)


def repeated(op: Tape, value: ir.Value, follows: Mapping[int, int], like: ir.Value) -> ir.Value:
    """Return a constant repeated along axes of one, as often as other axes of ``like`` are long."""
    shape = op.Shape(like)
    shape.name = shape.name if str(shape.name).startswith(COUNTED) else f"{COUNTED}{shape.name}"
    rank = len(declared(value) or ())
    counts = [op.Gather(shape, [follows[i]], axis=0) if i in follows else op.const([1], ir.DataType.INT64)
              for i in range(rank)]  # fmt: skip
    return op.Tile(value, counts[0] if rank == 1 else op.Concat(*counts, axis=0))


def _size(explained: ir.Value, known: Dimensions) -> None:
    """Give the explained input the lengths that held ones say of its open axes."""
    shape = declared(explained)
    if shape is not None and any(d in known.sizes for d in shape[1:] if isinstance(d, str)):
        explained.shape = ir.Shape([shape[0], *(known.sizes.get(d, d) if isinstance(d, str) else d for d in shape[1:])])


def _told(graph: ir.Graph, roles: Roles, asked: Asked) -> tuple[Input, ...]:
    named = "as was said" if asked.explained is not None else "the only one that is left"
    found = []
    for value in graph.inputs:
        name = str(value.name)
        if name in graph.initializers and name not in asked.held:
            continue
        one = Input(name, shown(value), "held")
        if name in asked.held:
            found.append(replace(one, at=asked.held[name].told, why="as was said"))
        elif name in roles.fills:
            found.append(replace(one, at=roles.fills[name].at, why=roles.fills[name].why))
        elif name in roles.unread and BRANCH in value.metadata_props:
            found.append(replace(one, at=value.metadata_props[BRANCH].lower(), why=DECIDES))
        elif name in roles.unread:
            found.append(replace(one, role="unread", why=UNREAD))
        elif name in roles.open:
            found.append(replace(one, role="inside", why=f"{roles.explained!r} is computed from it"))
        elif name == roles.explained:
            found.append(replace(one, role="explained", why=named))
    return tuple(found)
