"""Which input of a file is explained, and what the others are: held at what, by whom, or read by nobody.

What the graph and the user leave open is asked, with the words to answer in, never guessed.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from onnxsal.anatomy.entry import shown
from onnxsal.decisions import Decision
from onnxsal.errors import UnsaidError, UnsupportedError, UsageError, nearest
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.model.asked import Asked
from onnxsal.model.defaults import Fill, is_mask, ones, states, zeros
from onnxsal.model.dimensions import Dimensions, declared
from onnxsal.model.living import living
from onnxsal.model.text_defaults import is_cache, text_fill
from onnxsal.model.text_roles import Text, looked_at, text_of, vectors_among

FEWEST = 3
"""Axes of an input of integers that may be a picture, and so be what is explained."""


@dataclass(frozen=True)
class Input:
    """An input of a file, and what it is."""

    name: str
    shape: str
    """As messages tell it, the type too: ``[batch, 3, 224, 224] of float``."""
    role: str
    """``explained``, ``held``, ``unread``, or ``inside``: the value that is explained is computed from it."""
    at: str = ""
    """What it is held at."""
    why: str = ""
    """Who said so."""

    def decision(self) -> Decision:
        """Return it as what was decided of the file."""
        value = f"{self.role} at {self.at}" if self.at else self.role
        return Decision(f"input {self.name}", value, self.why)


@dataclass(frozen=True)
class Roles:
    """What each input of a file is."""

    explained: str | None
    """An input's name, or that of a float value inside."""
    inner: bool = False
    """Whether it is one inside."""
    fills: Mapping[str, Fill] = field(default_factory=dict)
    """What the others are held at where that is a default."""
    unread: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    """Inputs that the explained value is computed from and that nobody holds."""
    text: Text | None = None
    """The ids of tokens that are explained, by the vectors that they become."""

    @property
    def trivial(self) -> bool:
        """Whether there is nothing to be done."""
        return not (self.inner or self.fills or self.unread)


def explained_among(graph: ir.Graph, names: Sequence[str]) -> str:
    """Return which of the inputs that are given is explained.

    Raises: UsageError: none of them can be, or several.
    """
    check_names(graph, names)
    found = _candidates([v for v in graph.inputs if v.name in names])
    if len(found) != 1:
        listed = ", ".join(f"{v.name!r} {shown(v)}" for v in found) or "none"
        raise UsageError(
            f"nothing says which of {', '.join(map(repr, names))} is explained (floats: {listed}): open the model "
            "first, load(path, explained=NAME, inputs={...})"
        )
    return str(found[0].name)


def free_inputs(graph: ir.Graph) -> list[ir.Value]:
    """Return the inputs that have no default of their own."""
    return [v for v in graph.inputs if v.name not in graph.initializers]


def roles_of(graph: ir.Graph, asked: Asked) -> Roles:
    """Return what each input of a file is.

    Raises: UsageError: there is no such input or value. UnsaidError: nothing says which one is explained, or what
    another is held at; the message says what to write.
    """
    free, given = free_inputs(graph), asked.held
    text = text_of(graph, asked, free)
    if text is not None:
        check_names(graph, given)
        return _of_text(graph, asked, free, text)
    if not given and asked.explained is None and len(free) == 1:
        return Roles(str(free[0].name))
    check_names(graph, given)
    if asked.explained is not None and asked.explained not in [v.name for v in graph.inputs]:
        return _inside(graph, asked, free)
    read = living(graph, asked.head)
    rest = [v for v in free if v.name not in given and v.name != asked.explained and v in read]
    unread = [str(v.name) for v in free if v.name not in given and v.name != asked.explained and v not in read]
    if asked.explained is not None:
        _check_explained(graph, asked)
        source = next(v for v in graph.inputs if v.name == asked.explained)
        return Roles(asked.explained, fills=_filled(graph, rest, asked, source), unread=tuple(unread))
    return _chosen(graph, asked, rest, unread)


def _of_text(graph: ir.Graph, asked: Asked, free: Sequence[ir.Value], text: Text) -> Roles:
    """Return the roles where token ids are explained: what is beside them has defaults that its name tells."""
    ids = next(v for v in free if v.name == text.embedding.ids)
    vectors = values_by_name(graph)[text.embedding.value]
    past, read = living(graph, asked.head, without=vectors), living(graph, asked.head)
    left = [v for v in free if v.name not in asked.held and v is not ids]
    fills = _filled(graph, [v for v in left if v in past], asked, ids, of_text=True)
    unread = [str(v.name) for v in left if v not in past and v not in read]
    return Roles(text.embedding.value, True, fills, tuple(unread), (text.embedding.ids,), text)


def check_names(graph: ir.Graph, given: Iterable[str]) -> None:
    """Raises: UsageError: a file has no input of one of these names."""
    names = [str(v.name) for v in graph.inputs]
    for name in given:
        if name not in names:
            listed = ", ".join(repr(v.name) for v in free_inputs(graph))
            raise UsageError(f"the model has no input {name!r}{nearest(name, names)} (it has {listed or 'none'})")


def _check_explained(graph: ir.Graph, asked: Asked) -> None:
    if asked.explained in asked.held:
        raise UsageError(f"input {asked.explained!r} is explained and held at once: leave one of the two out")


def _chosen(graph: ir.Graph, asked: Asked, rest: Sequence[ir.Value], unread: Sequence[str]) -> Roles:
    """Return the roles where nobody says which input is explained."""
    found = _candidates(rest)
    if len(found) > 1:
        back = states(graph, found, asked.head, living(graph, asked.head))
        found = [v for v in found if v not in back] or found
    if len(found) > 1:
        raise UnsaidError(_several(found, rest))
    if not found:
        if not rest:
            raise _all_held(graph, asked, unread)
        found = [v for v in rest if not is_mask(v)]
        if len(found) != 1:
            raise UnsaidError(_of_integers(graph, found or rest, asked))
    (source,) = found
    others = [v for v in rest if v is not source]
    return Roles(str(source.name), fills=_filled(graph, others, asked, source), unread=tuple(unread))


def _candidates(rest: Sequence[ir.Value]) -> list[ir.Value]:
    """Inputs that may be what is explained: floats with axes, and pictures of bytes; numbers where there is no other.

    Numbers steer (a rate, a threshold): beside something with axes they are held.
    """
    pictures = [v for v in rest if v.dtype == ir.DataType.UINT8 and len(declared(v) or ()) >= FEWEST]
    floats = [v for v in rest if is_float(v)]
    return [v for v in rest if v in pictures or (v in floats and declared(v) != ())] or floats


def _filled(
    graph: ir.Graph, others: Sequence[ir.Value], asked: Asked, source: ir.Value | None, *, of_text: bool = False
) -> dict[str, Fill]:
    """Return the stated defaults of inputs that nobody holds. Args: of_text: the source are ids of tokens.

    Raises: UsageError: one has none.
    """
    known = Dimensions.of(graph, source, asked.held)
    back = states(graph, [v for v in others if is_float(v)], asked.head, living(graph, asked.head))
    made = {str(v.name): v for v in graph.outputs}
    found: dict[str, Fill] = {}
    missing: list[ir.Value] = []
    for value in others:
        fill = text_fill(value, known) if of_text else None
        if fill is None and not (of_text and is_cache(value)):
            fill = (
                zeros(value, known, made[back[value]])
                if value in back
                else ones(value, known)
                if is_mask(value)
                else None
            )
        if fill is None:
            missing.append(value)
        else:
            found[str(value.name)] = fill
    if missing:
        said = _missing(missing, _explained_words(source, asked))
        raise UnsaidError(said + (_instead(missing, source) if of_text else ""))
    return found


def _explained_words(source: ir.Value | None, asked: Asked) -> str:
    if source is not None:
        return f"{source.name!r} is explained, and nothing"
    return f"{asked.explained!r} inside is explained, past which they reach the output still, and nothing"


def _inside(graph: ir.Graph, asked: Asked, free: Sequence[ir.Value]) -> Roles:
    """Return the roles where a value inside is explained: what it is computed from may stay open."""
    name = str(asked.explained)
    values = values_by_name(graph)
    if name not in values or values[name].const_value is not None:
        raise UsageError(f"explained={name!r}: the model has no such input or value{nearest(name, values)}")
    source = values[name]
    front, past = living(graph, None, ends=[source]), living(graph, asked.head, without=source)
    read = living(graph, asked.head)
    left = [v for v in free if v.name not in asked.held]
    open_ = [str(v.name) for v in left if v in front and v not in past]
    rest = [v for v in left if v in past]
    unread = [str(v.name) for v in left if v not in front and v not in read]
    return Roles(name, True, _filled(graph, rest, asked, None) if rest else {}, tuple(unread), tuple(open_))


def float_values_behind(graph: ir.Graph, source: ir.Value, most: int = 6) -> list[str]:
    """Return the names of the first float values that are computed from one of integers and read for themselves.

    A quantiser dequantises an int8 table's rows once for each reader: those that Shape reads carry nothing on.
    """
    reached: set[ir.Value | None] = {source}
    found: list[str] = []
    for node in graph:
        if not any(v in reached for v in node.inputs) or node.op_type in ("Shape", "Size"):
            continue
        for value in node.outputs:
            if is_float(value) or (value.dtype is None and (node.op_type == "Gather" or _to_float(node))):
                found += [str(value.name)] if is_read(value) else []
            else:
                reached.add(value)
    return found[:most]


def is_read(value: ir.Value) -> bool:
    """Return whether a value is put out, or read for more than its shape."""
    readers = [node.op_type for node in value.consumers()]
    return value.is_graph_output() or any(reader not in ("Shape", "Size") for reader in readers)


def _to_float(node: ir.Node) -> bool:
    to = node.attributes.get("to") if node.op_type == "Cast" else None
    return to is not None and ir.DataType(to.as_int()).is_floating_point()


def _several(found: Sequence[ir.Value], rest: Sequence[ir.Value]) -> str:
    listed = ", ".join(f"{v.name!r} {shown(v)}" for v in found)
    first = found[0]
    return (
        f"the model takes several inputs, and nothing says which one is explained: {listed}. Name it and hold the "
        f"others: --explained {first.name} {_to_write([v for v in rest if v is not first])} (in Python "
        "load(explained=..., inputs={...}))"
    )


def _of_integers(graph: ir.Graph, found: Sequence[ir.Value], asked: Asked) -> str:
    """Say that none of several inputs is of floats, and what can be explained behind them: the first float value."""
    listed = ", ".join(f"{v.name!r} {shown(v)}" for v in found)
    said = f"the model takes several inputs, none of floats, and integers have no gradient: {listed}"
    made = vectors_among(graph, found)
    if sum(map(len, made.values())) > 1:
        return f"{said}. {_of_several(found, made)}"
    inside = next((name for v in found for name in float_values_behind(graph, v)), None)
    looked = looked_at(graph, found)
    said = f"{said}. Where ids of tokens become vectors was not found ({looked})" if looked else said
    if inside is None:
        return f"{said}. No float value that is computed from one of them was found, so nothing can be explained"
    past = living(graph, asked.head, without=values_by_name(graph)[inside])
    rest = [v for v in free_inputs(graph) if v in past and v.name not in asked.held and not is_mask(v)]
    held = f" {_to_write(rest)}" if rest else ""
    return (
        f"{said}. Name a float value that is computed from one of them: --explained {shlex.quote(inside)}{held} (in "
        "Python load(explained=..., inputs={...}))"
    )


def _of_several(found: Sequence[ir.Value], made: Mapping[str, Sequence[str]]) -> str:
    """Say that ids become several vectors, and how one of these is explained."""
    if len(made) == 1:
        ((name, values),) = made.items()
        return (
            f"{name!r} becomes several vectors: name one, --explained {values[0]} (explained=; of {', '.join(values)})"
        )
    first = next(iter(made))
    return (
        f"Ids of {', '.join(map(repr, made))} become vectors: name one and hold the others, --explained {first} "
        f"{_to_write([v for v in found if v.name != first])} (in Python load(explained=..., inputs={{...}}))"
    )


def _missing(missing: Sequence[ir.Value], explained: str) -> str:
    named = ", ".join(f"{v.name!r} {shown(v)}" for v in missing)
    are = "they are" if len(missing) > 1 else "it is"
    return (
        f"the model takes {named} beside: {explained} says what {are} held at. Write {_to_write(missing)} (in "
        "Python load(inputs={...}))"
    )


def _instead(missing: Sequence[ir.Value], ids: ir.Value | None) -> str:
    """Say how what an encoder made is explained in place of a decoder's text."""
    made = [v for v in missing if is_float(v) and not is_cache(v)]
    if len(missing) != 1 or not made or ids is None:
        return ""
    return f"; or explain {made[0].name!r} and hold the text: --explained {made[0].name} {_to_write([ids])}"


def _to_write(values: Sequence[ir.Value]) -> str:
    return " ".join(f"--input {v.name}={'NUMBER' if declared(v) in ((), (1,)) else 'FILE.npy'}" for v in values)


def _all_held(graph: ir.Graph, asked: Asked, unread: Sequence[str]) -> UsageError | UnsupportedError:
    """Return that nothing is left to explain: the file takes nothing, all is held, or the rest is not read."""
    taken = ", ".join(f"{v.name!r}" for v in free_inputs(graph) if v.name in asked.held)
    if not taken:
        return UnsupportedError(
            "the model takes no input that its outputs are computed from: there is nothing to explain"
        )
    if not unread:
        return UsageError(f"every input of the model is held ({taken}): leave one out, or name a float value inside, "
                          "--explained NAME")  # fmt: skip
    return UsageError(
        f"nothing is left to explain: {asked.head or 'what is put out'!r} is not computed from "
        f"{', '.join(map(repr, unread))}, and {taken} is held: explain another output, --head NAME (head=), leave one "
        "out, or name a float value inside, --explained NAME"
    )
