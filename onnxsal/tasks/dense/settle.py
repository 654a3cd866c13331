"""What is said of dense scores beside their graph: who ends them, which of several outputs they are."""

from __future__ import annotations

from dataclasses import replace

from onnxsal.decisions import Decision
from onnxsal.tasks.dense.scores import DenseScores
from onnxsal.tasks.evidence import SUM, Evidence, Settled, are_shares, are_within

NAMED = "there are as many labels as it has channels"
_OPTIONS = "--activation softmax, sigmoid, or none where they are probabilities"


def settled(task: DenseScores, evidence: Evidence) -> Settled:
    """Return the task with the probabilities that its graph proves, that were asked for, or that running tells."""
    found, why = _activated(task, evidence), task.proof or ("asked for" if evidence.task == task.name else NAMED)
    notes = (f"{task.output!r} is taken for {task.name}: {NAMED}; --task says another",) if why == NAMED else ()
    return replace(found, decisions=(Decision("task", task.name, why), *found.decisions), notes=(*notes, *found.notes))


def _activated(task: DenseScores, evidence: Evidence) -> Settled:
    if evidence.activation is not None:
        return Settled(task, (Decision("activation", task.activation, "asked for"),))
    if task.proof:
        return Settled(task, (Decision("activation", task.activation, task.proof),))
    rows = evidence.rows(task)
    by_position = rows.reshape(-1, task.classes, task.positions).transpose(0, 2, 1).reshape(-1, task.classes)
    runs = f"{len(rows)} made-up inputs (seed 0) gave"
    if task.classes > 1 and are_shares(by_position):
        return _said(task.activated("none"), f"{runs} numbers in [0, 1] that sum to 1 over the classes within {SUM:g}")
    if are_within(by_position):
        return _said(task.activated("none"), f"{runs} numbers in [0, 1]")
    return _said(task, f"{runs} numbers outside [0, 1]" if len(rows) else "a run told nothing", assumed=True)


def _said(task: DenseScores, why: str, *, assumed: bool = False) -> Settled:
    what = f"{task.activation} is taken" if assumed else "they are taken for probabilities"
    note = f"nothing proves what makes probabilities of the numbers in {task.output!r}: {what}, as {why}; {_OPTIONS}"
    return Settled(task, (Decision("activation", task.activation, why),), (note,))
