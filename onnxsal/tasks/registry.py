"""The tasks: built-ins by the same registration as plug-ins, and which of them a graph proves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import onnx_ir as ir

from onnxsal import anatomy, plugins
from onnxsal.anatomy import Anatomy, Entry
from onnxsal.errors import EnvironmentSetupError, UnsupportedError, UsageError, nearest
from onnxsal.tasks.heads import Choice, Fits, choose, told
from onnxsal.tasks.outputs import named_outputs
from onnxsal.tasks.task import Task
from onnxsal.tasks.words import NOTHING, Words

plugins.offer(
    plugins.TASKS,
    {
        "next-token": "onnxsal.tasks.tokens.next_token:NextToken",
        "token-labels": "onnxsal.tasks.tokens.labels:TokenLabels",
        "detection": "onnxsal.tasks.detection.task:Detection",
        "ordinal": "onnxsal.tasks.ordinal:Ordinal",
        "ordinal-conditional": "onnxsal.tasks.ordinal:Conditional",
        "classification": "onnxsal.tasks.classification:Classification",
        "dense": "onnxsal.tasks.dense.task:Dense",
        "steps": "onnxsal.tasks.steps:Steps",
        "regression": "onnxsal.tasks.regression:Regression",
        "embedding": "onnxsal.tasks.embedding:Embedding",
        "element": "onnxsal.tasks.element:ElementTask",
    },
)

LAST = "element"
"""The task that is tried behind all others: it takes whatever is float."""

Kind = TypeVar("Kind", bound=type[Task])

_MADE: dict[str, type[Task]] = {}
"""The tasks that this program has made; what is on offer keeps its name."""


def task(name: str, *, when: str = "") -> Callable[[Kind], Kind]:
    """Return a decorator that registers a class of Task under a name.

    In the program that made it a task is recognised and can be named at once; packages offer theirs to all programs
    through the entry-point group ``onnxsal.tasks``. Of several that a graph proves the first has it, built-ins before
    others; ``load(task=...)`` names one.

    Args: when: which models it is for, in one line.
    Raises: UsageError: the decorator: it is no class of Task, or a built-in has the name.
    """

    def register(kind: Kind) -> Kind:
        if not (isinstance(kind, type) and issubclass(kind, Task)):
            raise UsageError(f"task {name!r}: expected a class of onnxsal.tasks.Task, got {kind!r}")
        plugins.check_free(plugins.TASKS, name, kind.__module__, kind="task")
        kind.name, kind.when = name, when
        _MADE[name] = kind
        return kind

    return register


def names() -> tuple[str, ...]:
    """Return the names of all tasks, built-in, plugged-in and made here, in the order in which a model is tried with
    them, without importing any."""
    every = tuple(dict.fromkeys((*plugins.offers(plugins.TASKS), *_MADE)))
    return (*(name for name in every if name != LAST), LAST)


def get(name: str) -> type[Task]:
    """Return a task by name.

    Raises: UsageError: there is none of that name. EnvironmentSetupError: the package that brings it is broken.
    """
    if not isinstance(name, str):
        raise UsageError(f"task={name!r}: expected the name of a task: {', '.join(names())}")
    if name in _MADE and name not in plugins.offers(plugins.TASKS):
        return _MADE[name]
    if name not in plugins.offers(plugins.TASKS):
        raise UsageError(f"there is no task {name!r}{nearest(name, names())} (tasks are {', '.join(names())})")
    offer = plugins.find(plugins.TASKS, name, kind="task", lister="onnxsal inspect")
    found = offer.load()
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise EnvironmentSetupError(f"{name!r} from {offer.origin} is not a task: {offer.target}")
    return found


@dataclass(frozen=True)
class Wanted:
    """What a user says of a model's outputs; None leaves it to the graph."""

    task: str | None = None
    head: str | None = None
    """The output that is explained."""
    activation: str | None = None
    """``softmax``, ``sigmoid`` or ``none``: what makes probabilities of it."""
    fits: Fits = field(default=lambda classes: False, compare=False)
    """Whether so many labels are known of the file."""
    words: Words = field(default=NOTHING, compare=False)
    """What else may be known of the file."""
    settled: Task | None = None
    """A task that running was asked for, in another graph of the same model."""
    outputs: tuple[str, ...] = ()
    """All outputs of the task that is explained, where it is known of which it is."""

    @classmethod
    def same(cls, task: Task) -> Wanted:
        """Return what finds a task again in another graph of the same model."""
        settled = task if task.by_running else None
        return cls(task.name, task.output, task.probabilities_by, settled=settled, outputs=task.outputs)

    @property
    def shown(self) -> tuple[str, ...]:
        """The outputs that are looked at; none: all of them."""
        return self.outputs or (() if self.head is None else (self.head,))


ANYTHING = Wanted()


def recognise(graph: ir.Graph, wanted: Wanted = ANYTHING) -> Task:
    """Return the task that a graph in normal form proves, the first of all, or the one that is wanted.

    Raises: UnsupportedError: none; every task says what the outputs are instead. UsageError: there is no such task,
    output or activation.
    """
    if wanted.settled is not None:
        return wanted.settled
    found = choice_of(graph, wanted).task
    return found if wanted.activation in (None, found.probabilities_by) else found.activated(str(wanted.activation))


def choice_of(graph: ir.Graph, wanted: Wanted = ANYTHING) -> Choice:
    """Return which output is explained, as which task, and why. Raises: as ``recognise``."""
    with _only(graph, wanted.shown):
        found = _wanted(graph, wanted)
        if wanted.outputs or len(graph.outputs) == 1:
            return Choice(found, "asked for" if wanted.head is not None else "the only output", (repr(found.output),))
        return choose(graph, found, partial(_alone, graph, _tried(found, wanted)), wanted.fits)


def read_alone(graph: ir.Graph, output: str) -> dict[str, str | None]:
    """Return how an output would be read if it were the head: its task, what it holds, and how an element is named."""
    try:
        task = recognise(graph, Wanted(head=output))
        element = recognise(graph, Wanted(LAST, head=output))
    except UnsupportedError as error:
        return {"task": None, "holds": str(error), "element": None}
    value = next(v for v in graph.outputs if v.name == output)
    return {"task": task.name, "holds": told(value, task), "element": element.example}


def _wanted(graph: ir.Graph, wanted: Wanted) -> Task:
    asked = None if wanted.task is None else get(wanted.task)
    found = _proven(graph, wanted.words) if asked is None else asked.find_said(graph, wanted.words, asked=True)
    if wanted.task is None and wanted.activation is not None and found.probabilities_by is None:
        return get("classification").assume(graph)  # who speaks of an activation speaks of classes
    return found


def _tried(found: Task, wanted: Wanted) -> list[type[Task]]:
    """Return the tasks that other outputs are tried with: the one that was found first; what was asked for alone."""
    others = [] if wanted.task is not None else [name for name in names() if name not in (found.name, LAST)]
    return [type(found), *(kind for kind in map(_there, others) if kind is not None)]


def _there(name: str) -> type[Task] | None:
    """Return a task; None where the package that brings it is broken, which hurts only who asks for it."""
    try:
        return get(name)
    except EnvironmentSetupError:
        return None


def _alone(graph: ir.Graph, tried: Sequence[type[Task]], output: str) -> Task | None:
    """Return the first task that an output proves; None where it proves none."""
    with _only(graph, (output,)):
        for kind in tried:
            try:
                return kind.find(graph)
            except UnsupportedError:
                continue
    return None


@contextmanager
def _only(graph: ir.Graph, heads: Sequence[str]) -> Iterator[None]:
    """Show a graph with some outputs alone to who looks for a head; with all of them where none is named."""
    every = list(graph.outputs)
    names = [str(v.name) for v in every]
    for head in heads:
        if head not in names:
            raise UsageError(
                f"head={head!r}: the model has no such output{nearest(head, names)} (it has "
                f"{named_outputs(list(map(repr, names)))})"
            )
    graph.outputs[:] = [value for value in every if not heads or value.name in heads]
    try:
        yield
    finally:
        graph.outputs[:] = every


def _proven(graph: ir.Graph, words: Words) -> Task:
    """Return the first task that the graph proves. Raises: UnsupportedError: not even the last one takes it."""
    for each in names():
        try:
            return get(each).find_said(graph, words)
        except (UnsupportedError, EnvironmentSetupError):  # a broken package hurts only who needs it
            if each == LAST:
                raise
    raise AssertionError


def assumed(graph: ir.Graph, output: str) -> list[str]:
    """Return the tasks that an output may be of, as far as its shape tells."""
    found = []
    with _only(graph, (output,)):
        for each in names():
            try:
                get(each).assume(graph)
            except (UnsupportedError, EnvironmentSetupError):
                continue
            found.append(each)
    return found


def dissect(model: ir.Model, entry: Entry, wanted: Wanted = ANYTHING) -> Anatomy:
    """Return the anatomy of a model in normal form, for the task that is wanted or the first that the graph proves.

    Args: entry: where it takes what it explains (``modalities.registry.recognise``).
    Raises: as ``recognise``.
    """
    return anatomy.dissect(model, entry, partial(recognise, wanted=wanted))
