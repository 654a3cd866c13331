"""What is asked of a file that no file can hold, or not of this model."""

from __future__ import annotations

from collections import Counter

import onnx_ir as ir

from onnxsal.anatomy.drawn import drawn_note
from onnxsal.compiler.inputs import EXPLAIN
from onnxsal.compiler.work import Form, Work
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.explanation.request import no_sign
from onnxsal.model import Model


def check_sign(work: Work) -> None:
    """Raise where a sign is chosen of maps that have none."""
    if work.request.common.sign is not None and not work.is_own(work.parts[0]):
        raise no_sign(work.request.steps, work.request.model)


def check_given(model: Model, form: Form) -> None:
    """Raise where detections are asked for of what detects nothing, or a picture of what is none."""
    if "detections" in form.outputs and "detections" not in model.task.told:
        if model.task.has_boxes:
            raise UnsupportedError("give=detections: no operator leaves out boxes that are turned; predict lists them")
        raise UsageError(f"give=detections is for detectors, and the task is {model.task.name!r}")
    if form.outputs == ("detections",):
        raise UsageError("give=detections alone explains nothing: give saliency, raw or drawing beside it")
    if "drawing" in form.outputs and len(model.size) != 2:
        raise UnsupportedError(
            f"give=drawing is a picture, and maps of this model are {' x '.join(map(str, model.size))} numbers "
            f"({model.modality.name}): leave it out, and draw what saliency holds"
        )


def check_names(work: Work) -> None:
    """Raise where the model has an input or output of a name that the file gives to its own."""
    graph = work.request.model.anatomy.model.graph
    inputs = {*(() if work.form.switches.always else (EXPLAIN,)), *(fed.name for fed in work.inputs)}
    taken = {str(v.name) for v in (*graph.inputs, *graph.outputs)}
    for kind, names in (("input", inputs), ("output", {*work.form.outputs, *work.told})):
        for name in sorted(names & taken):
            raise UnsupportedError(
                f"the compiled model would have an {kind} {name!r}, and the model has a value of that name already as "
                "input or output: rename it there (is it a compiled model?)"
            )


def check_domains(model: Model) -> None:
    """Raise where a model has operators that the standard does not know."""
    graph = model.anatomy.model.graph
    nodes: Counter[str] = Counter(f"{n.domain}.{n.op_type}" for n in graph.all_nodes() if _is_custom(n))
    if nodes:
        named = ", ".join(f"{name} ({count})" for name, count in sorted(nodes.items()))
        raise UnsupportedError(
            f"the model has operators outside the standard domain, which few runtimes know: {named}. Keep them with "
            "--keep-custom (keep_custom=True), or export the model without them"
        )


def check_repeatable(model: Model) -> None:
    """Raise where a model draws random numbers on which its score depends."""
    if model.drawn:
        raise UnsupportedError(
            f"{drawn_note(model.drawn)}, so each run of the file would explain another score. Write it all the same "
            "with --keep-random (keep_random=True), or export the model without them"
        )


def _is_custom(node: ir.Node) -> bool:
    return node.domain not in ("", "ai.onnx")
