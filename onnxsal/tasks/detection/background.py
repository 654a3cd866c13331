"""Which score is that of no object, where a softmax has one: labels say it, else a rule that users are told of."""

from __future__ import annotations

from dataclasses import replace

from onnxsal.decisions import Decision
from onnxsal.errors import UsageError
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.evidence import Evidence
from onnxsal.tasks.label_sources import find_labels
from onnxsal.tasks.labels import Labels, is_background, labels_in


def settled_background(found: Candidates, evidence: Evidence) -> tuple[Candidates, tuple[Decision, ...], str]:
    """Return candidates with the background that their labels name, what was decided, and a note where none does."""
    if found.background is None or found.background_by:
        return found, (), ""
    labels = _labels(found, evidence)
    at = [i for i, name in enumerate(() if labels is None else labels.names) if is_background(name)]
    if labels is not None and len(at) == 1:
        why = f"{labels.source} calls it {labels.names[at[0]]!r}"
        return replace(found, background=at[0], background_by=why), (Decision("background", str(at[0]), why),), ""
    return found, (Decision("background", str(found.background), "assumed, see the notes"),), _note(found)


def _note(found: Candidates) -> str:
    first = found.background == 0
    where, kin = ("first", "SSD and its kin have") if first else ("last", "DETR and its kin have")
    return (
        f"nothing proves which of the {found.classes} scores is that of no object: the {where} is taken, as {kin} it; "
        "a label called 'background' among as many labels as scores, or 'background' in MODEL.detection.json beside "
        "the file, says which it is"
    )


def _labels(found: Candidates, evidence: Evidence) -> Labels | None:
    """Return as many labels as there are scores, where somebody gives them; what is wrong with them is told later."""
    try:
        if evidence.labels is not None:
            return _fitting(labels_in(evidence.labels), found)
        return find_labels(evidence.path or "model.onnx", found.classes, evidence.metadata).labels
    except UsageError:
        return None


def _fitting(labels: Labels, found: Candidates) -> Labels | None:
    return labels if len(labels) == found.classes else None
