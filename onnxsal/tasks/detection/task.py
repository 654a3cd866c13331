"""Detection: boxes with classes, whatever a file puts out of them.

A target is a candidate's score of a class, or a coordinate of its box (ODAM: Zhao et al. 2023, arXiv:2304.06354). It is
matched on the clean picture; methods that change the picture match it anew each time (D-RISE: Petsiuk et al. 2021,
arXiv:2006.03204, eq. 1, without the cosine of class vectors).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.score import Picked
from onnxsal.anatomy.select import (
    ANGLES,
    BOX,
    BOXES,
    CLASS,
    KEYPOINTS,
    LABELS,
    LOGITS,
    MASK,
    MASKS,
    ORIENTED,
    PROBABILITIES,
    PROTOTYPES,
    VISIBILITY,
)  # fmt: skip
from onnxsal.decisions import Decision
from onnxsal.errors import NotSeenError, UnsupportedError, UsageError, nearest
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.modalities.frame import Frame, Voxels
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.detection.anew import MATCH, SURE, Parts
from onnxsal.tasks.detection.background import settled_background
from onnxsal.tasks.detection.box import Asked, Box, number, placed
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.compiled import Seen
from onnxsal.tasks.detection.described import of_json
from onnxsal.tasks.detection.explained import anew
from onnxsal.tasks.detection.found import MOST, OVERLAP, Detected, Rule
from onnxsal.tasks.detection.heads import proven
from onnxsal.tasks.detection.instances import BoxPrediction, Details, Instance
from onnxsal.tasks.detection.levels import levels_of
from onnxsal.tasks.detection.matched import match, numbers_of_box
from onnxsal.tasks.detection.overlap import iou
from onnxsal.tasks.detection.part import Reading, split
from onnxsal.tasks.detection.rest import with_rest
from onnxsal.tasks.detection.search import Search, name_of
from onnxsal.tasks.detection.unproven import refusal
from onnxsal.tasks.detection.words import names_in, of_metadata, of_pair, told_apart
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Fed, Numbers, Prediction, Sought, Task
from onnxsal.tasks.words import NOTHING, Words

RULE = Rule()

ALL = "all"
"""The target that is every detection."""

INPUT = "input"
"""The target that a compiled file takes as an input."""

FED_BOX = Fed("box", ir.DataType.FLOAT, (4,))
"""The box that a compiled file takes: left, top, right, bottom in pixels of its picture."""

SCORES = ("logit", "probability")
"""Kinds of scores of classes; others are of parts of a candidate."""


@task("detection", when="boxes with classes: YOLO, SSD, DETR, Faster R-CNN and their kin")
@dataclass(frozen=True)
class Detection(Task):
    """Where the candidates of a detector are, for a picture of one size (height, width)."""

    by_rivals: ClassVar[bool] = False

    candidates: Candidates
    picture: tuple[int, int]
    rule: Rule = RULE
    names: tuple[str, ...] = ()
    """Of its classes, where the JSON beside the file has them."""
    said: bool = False
    """Whether words of the file took part, which its graph does not have."""
    reading: Reading | None = None
    """The part of a candidate that is explained inside a compiled file."""
    number: int | None = None
    """Which detection of every picture is explained there; None of the best, or of what is named."""

    @classmethod
    def find(cls, graph: ir.Graph) -> Self:
        """Return the task of the candidates that parts of a graph prove. Raises: UnsupportedError: they prove none."""
        return cls.find_said(graph, NOTHING)

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> Self:
        """Return the same, or what the file's metadata and the JSON beside it say."""
        told_of = of_json(graph, words)
        if told_of is not None:
            return cls._of(graph, told_of.candidates, names=told_of.names, said=True)
        found = told_apart(proven(graph), words)
        if found is not None:
            names = names_in(words) if found.labels is not None else ()
            whole = with_rest(graph, found, words)
            said = bool(names) or whole.beside != with_rest(graph, found, NOTHING).beside
            return cls._of(graph, whole, names=names, said=said)
        stated = of_pair(graph, words) or of_metadata(graph, words)
        if stated is not None:
            return cls._of(graph, with_rest(graph, stated.candidates, words), names=stated.names, said=True)
        raise UnsupportedError(refusal(graph, words))

    @classmethod
    def _of(cls, graph: ir.Graph, found: Candidates, *, names: tuple[str, ...] = (), said: bool = False) -> Self:
        size = recognise(graph)[1].size
        if size is None or len(size) != 2:
            raise UnsupportedError(
                "boxes are of a picture of known height and width, and nothing says them: "
                "open the model for a size, --size (size=)"
            )
        if found.grid is not None:
            found.grid.check(found.count, (size[0], size[1]), found.proof)
        overlap = (found.overlap or RULE.overlap) if found.suppress else None
        rule = Rule(max(RULE.threshold, found.least or 0.0), overlap, found.several, found.together)
        scores = found.logits or found.probabilities
        value = scores.values[0] if scores is not None and len(scores.values) == 1 else found.outputs[0]
        return cls(found.outputs[0], value, found, (size[0], size[1]), rule, names, said)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The file's outputs that it is of."""
        return self.candidates.outputs

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores and boxes are read from."""
        return self.candidates.reads

    @property
    def kinds(self) -> Mapping[str, str]:
        """Scores, [B, candidates x classes], and the corners of boxes, [B, candidates x 4], candidate by candidate."""
        found, points = self.candidates, self.candidates.keypoints
        scores = {"logit": LOGITS} if found.has_logits else {}
        turned = {} if found.turned is None else {"angle": ANGLES}
        keypoints = {} if points is None else {"keypoint": KEYPOINTS}
        visible = {} if points is None or points.logits is None else {"visibility": VISIBILITY}
        return {**scores, "probability": PROBABILITIES, "box": BOXES, **turned, **keypoints, **visible}

    @property
    def beside(self) -> Mapping[str, str]:
        """The class of each candidate, where each has one of its own; middles and sizes of turned boxes; what masks are
        put together of."""
        found = self.candidates
        labels = {} if found.labels is None else {"label": LABELS}
        turned = {} if found.turned is None else {"oriented": ORIENTED}
        return labels | turned | ({} if found.masks is None else {"mask": MASKS, "prototype": PROTOTYPES})

    def ruled(self, threshold: float | None, overlap: float | None) -> Self:
        """Return the same with another threshold of scores, another IoU from which on two are one object."""
        for name, value in (("threshold", threshold), ("iou", overlap)):
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise UsageError(f"{name}={value!r}: expected a number from 0 to 1")
        least = self.rule.threshold if threshold is None else threshold
        same = self.rule.overlap if overlap is None else overlap
        return replace(self, rule=replace(self.rule, threshold=least, overlap=same))

    def settled(self, evidence: Evidence) -> Settled:
        """Return the task with the score of no object that labels name, where its graph does not prove which it is."""
        found, decisions, note = settled_background(self.candidates, evidence)
        same = found == self.candidates
        return Settled(self if same else replace(self, candidates=found, said=True), decisions, (note,) if note else ())

    @property
    def probabilities_by(self) -> str | None:
        """What makes probabilities of logits where the file does not; None where it does."""
        return None if self.candidates.probabilities is not None else self.candidates.activation

    def kind(self, wanted: str) -> str:
        """Return the kind that a method would like: what changes the picture is matched anew in every one."""
        if wanted == "probability":
            return MATCH
        return wanted if wanted in self.kinds and wanted in SCORES else next(iter(self.kinds))

    def checked_kind(self, given: str) -> str:
        """Return a kind that was asked for. Raises: UsageError: there is no such."""
        known = (*(kind for kind in self.kinds if kind in SCORES), MATCH)
        if given not in known:
            raise UsageError(f"score={given!r}: expected {' or '.join(known)}{nearest(str(given), known)}")
        return given

    def ends(self, kind: str) -> tuple[float, float] | None:
        """Return the least and the greatest number of a kind."""
        shares = kind in ("probability", MATCH, f"mask {MATCH}") or kind.startswith(SURE)
        return (0.0, 1.0) if shares else None

    @property
    def by_running(self) -> bool:
        """Whether words tell of it, which another graph of the same model does not have."""
        return self.said

    @property
    def alone(self) -> bool:
        """Whether its candidates are those of one picture."""
        return not self.candidates.batched or self.candidates.count is None

    @property
    def size(self) -> int:
        """Candidates times classes; at least the classes where only running tells how many candidates there are."""
        return (self.candidates.count or 1) * self.candidates.classes

    @property
    def has_boxes(self) -> bool:
        """That is what it is about."""
        return True

    @property
    def labelled(self) -> int:
        """Every class has a name; of files that number their classes nothing says how many there are."""
        return len(self.names) if self.candidates.labels is not None else self.candidates.classes

    @property
    def name_counts(self) -> tuple[int, ...]:
        """As many names as classes, or one less where one of these is no object; as the JSON says where it does."""
        if self.names or self.candidates.labels is not None:
            return (len(self.names),)
        less = () if self.candidates.background is None else (self.labelled - 1,)
        return (self.labelled, *less)

    def named(self, labels: Labels) -> Labels:
        """Return labels as the classes are counted. Raises: UsageError: they are of another number."""
        at, count = self.candidates.background, self.candidates.classes
        if at is not None and len(labels) == count - 1:
            return replace(labels, names=(*labels.names[:at], "background", *labels.names[at:]))
        return labels if self.candidates.labels is not None else labels.checked(count)

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names that the JSON beside the file gives."""
        return self.names

    @property
    def decided(self) -> tuple[Decision, ...]:
        """What its candidates were found by."""
        found = self.candidates
        boxes = f"{found.form} in {found.unit}"
        return (Decision("task", self.name, found.proof), Decision("boxes", boxes, found.proof))

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return scores and corners, float32."""
        return self.candidates.write(op, values, self.picture)

    def levels(self, graph: ir.Graph) -> Sequence[Sequence[str]]:
        """Return the values that each level's scores and boxes are read from."""
        return levels_of(graph, self.candidates)

    def scored(self, op: Trace, kind: str) -> Picked | None:
        """Return the score that is matched anew in every picture, or that of a mask; None of other kinds."""
        if kind == MATCH:
            return match(op, self.candidates, self.ends(kind))
        return Parts(self.candidates, self.picture).scored(op, kind, self.ends(kind))

    def placed(self, target: Any, frame: Frame | Voxels | None, labels: Labels | None) -> Any:
        """Return a target with its box on the model's picture; text such as ``dog@10,20,200,180`` has one."""
        if isinstance(target, tuple):
            raise UsageError("a pair of detections is not explained: one is, or all with the target 'all'")
        return placed(target, frame if isinstance(frame, Frame) else None, self.picture, labels)

    def is_several(self, target: Any, labels: Labels | None) -> bool:
        """Whether it is ``all``, where no class is called so."""
        return isinstance(target, str) and target.strip() == ALL and not (labels is not None and ALL in labels.names)

    def several(self, target: Any, numbers: Numbers, labels: Labels | None) -> list[Any]:
        """Return the targets that one stands for: of ``all`` every detection, best first."""
        if not self.is_several(target, labels):
            return [target]
        found = self._search(labels).table(numbers).detections(self.rule)
        if not found:
            raise NotSeenError(self.nothing(numbers, labels))
        return [f"#{k}" for k in range(1, len(found) + 1)]

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the candidate that a target means: None is the best detection, a label its best one, ``#k`` the k-th,
        a ``Box`` the one that matches it best.

        Raises: NotSeenError: nothing is detected, or not that label. UsageError: there is no such class or number.
        """
        asked = target if isinstance(target, Asked) else placed(target, None, self.picture, labels)
        search = self._search(labels)
        return search.found(asked, numbers) if numbers else search.without_picture(asked)

    def nothing(self, numbers: Numbers, labels: Labels | None) -> str:
        """Return why ``predict`` shows nothing of a picture."""
        search = self._search(labels)
        return search.nothing(search.table(numbers))

    def nearest(self, numbers: Numbers, labels: Labels | None) -> Prediction | None:
        """Return the best candidate, its box in pixels of the model's picture; None where there is no candidate."""
        best = self._search(labels).table(numbers).best()
        return None if best is None else self._prediction(0, best, numbers, labels)

    def _search(self, labels: Labels | None) -> Search:
        return Search(self.candidates, self.picture, self.rule, labels)

    def aimed(self, target: Target, kind: str) -> Target:
        """Return a target as the score of a kind is fed: what is matched anew is fed its class and its box."""
        if not isinstance(target, Instance):
            return target
        return anew(target, self.candidates) if kind == MATCH else target

    def opened(self, target: Target) -> Self:
        """Return the same with the number of the detection, and the part of a candidate, that a compiled file is of."""
        return replace(self, reading=target.reading, number=target.number) if isinstance(target, Instance) else self

    def as_inputs(self, target: Any) -> tuple[tuple[Fed, ...], Any] | None:
        """Return the class (``input``), the box of a class that is fixed (``dog@input``), or both (``input@input``);
        with a part behind it that of the candidate (``dog@input left``)."""
        text, part = split(target.strip()) if isinstance(target, str) else ("", None)
        name, at, place = (each.strip() for each in text.rpartition("@"))
        if place != INPUT:
            return super().as_inputs(target)
        if number(name) is not None:
            raise UsageError(f"{target!r}: a number says where, a box too: name a label, or take it as an input")
        inputs = ((self.fed,) if not at or name == INPUT else ()) + ((FED_BOX,) if at else ())
        wanted = None if name in ("", INPUT) else name
        return inputs, wanted if part is None else Asked(wanted, None, part=part)

    def again(self, target: Target, asked: Any, frame: Frame | None) -> Any:
        """Return the box of a candidate, with its class: a number is another object's on another picture."""
        if not isinstance(target, Instance) or target.detected is None:
            return asked
        return Asked(target.detected.index, frame, target.asked_box or target.detected.box, target.part)

    @property
    def told(self) -> Mapping[str, tuple[int | None, ...]]:
        """What is explained, box, score and class, of each picture; what is detected, on which picture. No operator
        leaves out turned boxes."""
        listed = self.candidates.turned is None or self.rule.overlap is None
        return {"explained": (6,), **({"detections": (None, 7)} if listed else {})}

    @property
    def means(self) -> Mapping[str, str]:
        """In words."""
        sides = "left, top, right, bottom in pixels of the model's picture"
        return {
            "box": f"float32 [B, 4]: {sides}; the candidate that matches it best is explained",
            "explained": f"float32 [B, 6]: {sides}, score, class of what is explained; where nothing is, NaN, "
                         "and the map is 0",
            "detections": f"float32 [D, 7], best first: which picture, {sides}, score, class",
        }  # fmt: skip

    def sought(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], kind: str
    ) -> Sought | None:
        """Return the best detection of each picture, that of a class, or the candidate at a box, or a part of it; and
        all detections."""
        seen = Seen.of_numbers(op, numbers, self.candidates, self.rule)
        index, box = given.get(self.fed.name), given.get(FED_BOX.name)
        found = seen.sought(index, box, self.picture, anew=kind == MATCH, part=self.reading, number=self.number)
        told = {"detections": seen.detections()} if "detections" in self.told else {}
        return replace(found, told={**found.told, **told})

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the detections, best first; boxes in pixels of the model's picture."""
        found = self._search(labels).table(numbers).detections(self.rule)[:top]
        return [self._prediction(k, each, numbers, labels) for k, each in enumerate(found, 1)]

    def _prediction(self, at: int, found: Detected, numbers: Numbers, labels: Labels | None) -> BoxPrediction:
        """Return what is told of a candidate, which is the detection of that number, 0 where it is none."""
        column = self.candidates.column(found.row, found.index)
        logit = float(numbers["logit"][column]) if "logit" in numbers else float("nan")
        told = BoxPrediction(found.index, name_of(labels, found.index), found.score, logit, at, found.box)
        return Details(self.candidates, numbers, self.picture).told(found, told)

    def onto_photo(self, predictions: Sequence[Prediction], frame: Frame | None) -> list[Prediction]:
        """Return predictions with their boxes in pixels of the photograph."""
        return [p.onto(frame, self.picture) if isinstance(p, BoxPrediction) else p for p in predictions]

    @property
    def most(self) -> int:
        """All that are detected are shown."""
        return MOST

    def alike(self, target: Target, numbers: Numbers) -> int:
        """Return how many other detections have the label of this one."""
        own = target.detected if isinstance(target, Instance) else None
        if own is None:
            return 0
        others = [d for d in self._search(None).table(numbers).detections(self.rule) if d.index == own.index]
        boxes = np.array([d.box for d in others], np.float32).reshape(-1, 4)
        return int((iou(boxes, np.array(own.box)[None]) < OVERLAP).sum())

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the score and its logit; of a part how sure it is, NaN where it does not say, and the number."""
        if not isinstance(target, Instance) or target.detected is None:
            return super().shown(target, numbers)
        if target.part is not None:
            return target.shown
        found = target.detected
        logit = self._prediction(0, found, numbers, None).logit
        return found.score, logit

    def any_target(self, rows: int, *, weighted: bool) -> dict[str, NDArray[Any]]:
        """Return the first column, the whole picture as a box and as a mask, and the first class."""
        height, width = self.picture
        box = np.array([[0, 0, width, height, 0]], np.float32)[:, : numbers_of_box(self.candidates)]
        masks = self.candidates.masks
        mask = {} if masks is None else {MASK: np.ones((rows, *masks.grid), np.float32)}
        fed: dict[str, NDArray[Any]] = {BOX: box.repeat(rows, axis=0), CLASS: np.zeros(rows, np.int64), **mask}
        return {**super().any_target(rows, weighted=weighted), **fed}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        found = self.candidates
        return {"name": self.output, "task": self.name, "logit": self.logit, "outputs": list(found.outputs),
                "classes": found.classes if found.labels is None else None, "candidates": found.count,
                "boxes": found.form, "unit": found.unit, "proof": found.proof,
                "suppressed": found.suppress,
                "parts": [part.said for part in found.beside]}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name, "classes": self.labelled, "threshold": self.rule.threshold,
                "iou": self.rule.overlap}  # fmt: skip


__all__ = ["Box", "BoxPrediction", "Detection"]
