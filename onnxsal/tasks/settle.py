"""What settles the scores of classes that no activation ends: who was asked, the file's words, a run, or nobody."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.decisions import Decision
from onnxsal.graph.columns import columns_of
from onnxsal.graph.maps import ML
from onnxsal.graph.names import node_title
from onnxsal.graph.program import values_by_name
from onnxsal.tasks.activation import is_unbounded
from onnxsal.tasks.evidence import SUM, Evidence, Settled, are_shares, are_within
from onnxsal.tasks.outputs import VOID, behind, made_by
from onnxsal.tasks.registry import get
from onnxsal.tasks.task import Task

VALUE = "value"
"""The activation of numbers of which nothing says whether they are probabilities: they are shown as they are."""

IMAGENET = (1000, 1001)
"""Numbers of classes of which one alone is true."""

_OPTIONS = (
    "--activation softmax or sigmoid where they are logits, none where they are probabilities, --task regression or "
    "embedding"
)


def proven(task: Task, proof: str, evidence: Evidence) -> Settled:
    """Return what is to be said of probabilities that a graph proves: where no logit is, that there is none."""
    decided = Decision("activation", str(task.probabilities_by), proof)
    return Settled(task, (decided,), () if "logit" in task.kinds else _no_logit(task, evidence))


def _no_logit(task: Task, evidence: Evidence) -> tuple[str, ...]:
    """Return what is to be said of gradients where there is no logit; of tables nothing, whose shares need none."""
    return () if columns_of(evidence.graph) else (_itself(task),)


def _itself(task: Task) -> str:
    return (
        f"no logit is proven in front of {task.output!r}: gradients, too, explain the probability itself, whose slope "
        "fades where it is near 0 or 1"
    )


def scores(task: Task, value: ir.Value, evidence: Evidence) -> Settled:
    """Return the task of several scores without an activation. Args: value: what holds them."""
    if evidence.activation is not None:
        return _decided(task, evidence.activation, "asked for")
    said = evidence.said
    if said is not None and said.fits(task.size) and (said.kind != "regression" or evidence.task is None):
        if said.kind == "regression":
            return numbers(get("regression").assume(evidence.graph), evidence)
        return _decided(task.activated(said.kind), said.kind, said.where)
    if is_unbounded(value):
        return _assumed(task, "nothing bounds them")
    return _asked_by_running(task, evidence)


def _decided(task: Task, activation: str, why: str) -> Settled:
    held = activation == "none"
    return Settled(task, (Decision("activation", activation, why),), (_itself(task),) if held else ())


def _assumed(task: Task, why: str) -> Settled:
    """Return the softmax of classes of which one is true, which is what most files without an activation leave out."""
    if task.size in IMAGENET:
        return _decided(task, "softmax", f"{why}, and of {task.size:,} classes, as ImageNet has, one is true")
    note = (
        f"nothing says what makes probabilities of the {task.size} numbers in {task.output!r}: softmax is taken, as "
        "for classes of which one is true (--activation softmax); --activation sigmoid where several can be, "
        "--task regression where they are no scores of classes, --task embedding where they are a vector to compare"
    )
    return Settled(task, (Decision("activation", "softmax", f"{why}, assumed"),), assumed=(note,))


def _asked_by_running(task: Task, evidence: Evidence) -> Settled:
    rows = evidence.rows(task)
    if are_shares(rows):
        why = f"{len(rows)} made-up inputs (seed 0) gave rows in [0, 1] that sum to 1 within {SUM:g}"
        held = task.activated("none")
        note = (
            f"{task.output!r} holds probabilities, as {why}; no graph proves it: --activation softmax or sigmoid where "
            "they are logits"
        )
        return Settled(held, (Decision("activation", "none", why),), (note, *_no_logit(held, evidence)))
    if are_within(rows):
        note = (
            f"{task.output!r} holds numbers in [0, 1] that do not sum to 1, and nothing says whether they are "
            "probabilities: they are explained and shown as they are, also by methods and metrics that ask for one; "
            f"{_OPTIONS} where they are neither"
        )
        why = f"{len(rows)} made-up inputs (seed 0) gave numbers in [0, 1], open what they are"
        return Settled(task.activated(VALUE), (Decision("activation", VALUE, why),), (note,))
    why = "a run on made-up inputs (seed 0) gave numbers outside [0, 1]" if len(rows) else "a run told nothing"
    return _assumed(task, why)


def numbers(task: Task, evidence: Evidence) -> Settled:
    """Return the task of numbers that are no scores of classes, or of one of which nothing says what it is."""
    if evidence.task == task.name:
        return Settled(task, (Decision("task", task.name, "asked for"),))
    said = evidence.said
    if said is not None and said.kind == "regression" and said.fits(task.size):
        return Settled(task, (Decision("task", task.name, said.where),))
    if task.size == 1 and said is not None and said.kind == "sigmoid" and said.fits(1):
        return _decided(_one_logit(evidence, "sigmoid"), "sigmoid", said.where)
    made = made_by(values_by_name(evidence.graph)[task.logit])
    if task.size == 1 and made in VOID:
        note = (
            f"{task.output!r} is {made} over one number, which is the same whatever goes in: --activation sigmoid "
            "(activation=) explains the number in front of it as a logit"
        )
        return Settled(task, (Decision("task", task.name, f"{made} over one number proves no classes"),), (note,))
    if task.size == 1 and evidence.names in (1, 2):
        return _named(task, evidence)
    if (proof := _regressor(values_by_name(evidence.graph)[task.logit])) is not None:
        return Settled(task, (Decision("task", task.name, f"{proof} makes {task.output!r}"),))
    note = (
        f"{task.output!r} is one number, and nothing says what: it is explained and shown as it is, also by methods "
        "and metrics that ask for a probability; --task regression where that is right, --activation sigmoid where it "
        "is a logit, none where it is a probability"
    )
    return Settled(task, (Decision("task", task.name, "one number a picture and no activation, open what it is"),),
                   (note,))  # fmt: skip


def _regressor(value: ir.Value) -> str | None:
    """Return the node of ai.onnx.ml for regression that a value is from, as messages call it; None of any other."""
    node = list(behind(value))[-1].producer()
    found = node is not None and node.domain == ML and node.op_type.endswith("Regressor")
    return node_title(node) if node is not None and found else None


def _one_logit(evidence: Evidence, activation: str) -> Task:
    return get("classification").assume(evidence.graph).activated(activation)


def _named(task: Task, evidence: Evidence) -> Settled:
    """Return the two classes that labels name, of a number that is a logit or a probability, which a run tells."""
    held = are_within(evidence.rows(task))
    activation, what = ("none", "a probability") if held else ("sigmoid", "a logit")
    note = (
        f"{task.output!r} is one number of which labels name the classes, and {what}, as made-up inputs gave numbers "
        f"{'in' if held else 'outside'} [0, 1] (--activation {activation}); --task regression where it is neither"
    )
    why = f"labels name its classes; made-up inputs (seed 0) gave numbers {'in' if held else 'outside'} [0, 1]"
    return Settled(_one_logit(evidence, activation), (Decision("activation", activation, why),), (note,))
