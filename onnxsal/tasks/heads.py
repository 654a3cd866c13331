"""Which of several outputs is explained: what tells it, and what is said of the others.

In this order: as many labels as are known; a Softmax or Sigmoid; what is not L2-normalised, as embeddings are. Outputs
that others are worked out from, and those that hang on fewer operators, are features and auxiliary heads.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from onnxsal.decisions import Decision
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.normalised import embeds
from onnxsal.tasks.outputs import ACTIVATIONS, ancestors, behind, made_by, main_outputs, origin
from onnxsal.tasks.task import Task

Alone = Callable[[str], Task | None]
"""The task of one output by its name, as if there were no other: the same one where that takes it; or None."""

Fits = Callable[[int], bool]
"""Whether so many labels are known of a file."""

THING = "THING"
"""What stands in a command to copy for the thing that is explained, where nobody knows it."""

_SHOWN = 3
_BESIDE = 4
"""Operators that a head of its own may have beside those that another output is worked out from."""

_WHY = (
    "as many labels as are known are its own",
    "it passes a Softmax or Sigmoid, and the others do not",
    "the others are embeddings",
)


@dataclass(frozen=True)
class Choice:
    """The task that was chosen, why, and what nothing tells it from."""

    task: Task
    why: str
    outputs: tuple[str, ...]
    """How the chosen output, and then the others that hold floats, are called in messages."""
    rivals: tuple[tuple[str, str], ...] = ()
    """Outputs that are as likely: their names, and how they are called in messages."""

    @property
    def decision(self) -> Decision:
        """What a manifest tells."""
        return Decision("head", self.task.output, self.why)

    @property
    def note(self) -> str:
        """What users are told."""
        mine, *others = self.outputs
        shown = ", ".join(others[:_SHOWN]) + (f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else "")
        doubt = f": nothing tells whether {self._or()} is meant" if self.rivals else ""
        return f"explains {mine}{doubt}; the file also gives {shown}: --head NAME (head=) explains another"

    def question(self, file: str) -> str:
        """Return what has to be answered before anything is explained; nothing where nothing is open."""
        if not self.rivals:
            return ""
        names = [self.task.output, *(name for name, _ in self.rivals)]
        command = f"onnxsal explain {shlex.quote(Path(file).name or 'MODEL')} {THING} --head"
        copies = "".join(f"\n  {command} {shlex.quote(name)}" for name in names[:_SHOWN])
        return f"nothing tells which output is to be explained, {self.outputs[0]} or {self._or()}: name one{copies}"

    def _or(self) -> str:
        told = [told for _, told in self.rivals]
        return " or ".join(told[:_SHOWN]) + (f" or {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")


@dataclass(frozen=True)
class _Candidate:
    output: ir.Value
    task: Task

    def rank(self, fits: Fits) -> tuple[bool, bool, bool]:
        """Return what speaks for it, what counts most first."""
        if not self.task.labelled:
            return False, False, False
        known = any(count > 0 and fits(count) for count in self.task.name_counts)
        proved = bool(getattr(self.task, "proof", "") or _activation(self.output))
        return known, proved, not embeds(self.output)

    @property
    def told(self) -> str:
        """How messages call it."""
        return f"{self.output.name!r} ({told(self.output, self.task)})"


def told(output: ir.Value, task: Task) -> str:
    """Return what an output holds, in few words: what makes its numbers, and how many there are."""
    made, classes = _activation(output), task.labelled
    if task.by_element:
        return made or "any element"
    if not classes:
        return ", ".join([*([made] if made else []), task.name])
    many = "one number" if classes == 1 else f"{classes} classes"
    return f"{made} over {many}" if made else many


def choose(graph: ir.Graph, found: Task, alone: Alone, fits: Fits) -> Choice:
    """Return which output is explained, of those that are of the same task as the one that was found first."""
    floats = [v for v in graph.outputs if isinstance(v.type, ir.TensorType) and is_float(v)]
    own = next((v for v in graph.outputs if v.name == found.output), None)
    if own is None:
        return Choice(found, "the task says so", (repr(found.output),))
    if len(found.outputs) > 1 or not found.by_rivals:
        others = [_shape_told(v) for v in floats if v.name not in found.outputs]
        several = f"{' and '.join(map(repr, found.outputs))} ({found.name})"
        mine = several if len(found.outputs) > 1 else _Candidate(own, found).told
        return Choice(found, f"it is of the task {found.name}", (mine, *others))
    if found.is_features:  # what others are worked out from is what it looks for
        others = [_shape_told(v) for v in floats if v is not own]
        return Choice(found, f"the first {found.name} of the file", (_Candidate(own, found).told, *others))
    read = _read(graph, found, alone)
    candidates = [each for each in read if each.task.name == found.name]
    every = [candidates[i] for i in main_outputs([each.output for each in candidates])]
    ranks = [each.rank(fits) for each in every]
    best = [each for each, rank in zip(every, ranks, strict=True) if rank == max(ranks)]
    chosen = next((each for each in best if each.output is own), best[0])
    rivals = [c for c in (*best, *_strangers(chosen, read, fits)) if c is not chosen and not _hangs_on(c, chosen)]
    own_numbers = origin(chosen.output)  # logits of texts turn round those of pictures, and are no others
    rivals = [] if chosen.task.by_element else [c for c in rivals if origin(c.output) is not own_numbers]
    others = [_shape_told(v) for v in floats if origin(v) is not own_numbers]
    return Choice(
        chosen.task, _why(chosen, candidates, ranks, rivals), (chosen.told, *others),
        tuple((str(each.output.name), each.told) for each in rivals),
    )  # fmt: skip


def _read(graph: ir.Graph, found: Task, alone: Alone) -> list[_Candidate]:
    """Return the outputs that some task takes, each with it."""
    made = [(v, found if v.name == found.output else alone(str(v.name))) for v in graph.outputs]
    return [_Candidate(value, task) for value, task in made if task is not None]


def _strangers(chosen: _Candidate, read: Sequence[_Candidate], fits: Fits) -> list[_Candidate]:
    """Return the outputs of other tasks that are as likely: where nothing proves that the chosen one holds classes."""
    if not chosen.task.labelled or any(chosen.rank(fits)[:2]):
        return []
    return [each for each in read if each.task.name != chosen.task.name and not embeds(each.output)]


def _why(
    chosen: _Candidate, candidates: Sequence[_Candidate], ranks: Sequence[tuple[bool, ...]], rivals: Sequence[object]
) -> str:
    if rivals:
        return "the first of several that nothing tells apart"
    apart = [at for at in range(len(_WHY)) if len({rank[at] for rank in ranks}) > 1]
    if apart:
        return _WHY[apart[0]]
    if len(candidates) == 1:
        return f"no other output is of the task {chosen.task.name}"
    return "the others are features that it is worked out from, or hang on fewer operators"


def _hangs_on(candidate: _Candidate, chosen: _Candidate) -> bool:
    """Whether an output is a head on the way to the chosen one: it has few operators of its own, the other has many."""
    theirs, ours = (_all_behind(each.output) for each in (candidate, chosen))
    own, beyond = len(theirs - ours), len(ours - theirs)
    return beyond > _BESIDE * max(own, 2)


def _all_behind(value: ir.Value) -> set[ir.Node]:
    node = value.producer()
    return ancestors(value) | ({node} if node is not None else set())


def _activation(output: ir.Value) -> str:
    """Return the operator that makes probabilities of an output, an empty text where none does."""
    return next((op for value in behind(output) if (op := made_by(value)) in ACTIVATIONS), "")


def _shape_told(value: ir.Value) -> str:
    return f"{value.name!r} [{', '.join('?' if d is None else str(d) for d in dims(value) or ('?',))}]"


__all__ = ["Choice", "choose", "told"]
