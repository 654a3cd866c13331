"""What a task is: what a model's outputs mean, what may be asked of them, and what is shown of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, TARGET, Anatomy
from onnxsal.anatomy.parts import Head
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UsageError, nearest
from onnxsal.graph import Tape
from onnxsal.modalities.frame import Frame, Voxels
from onnxsal.modalities.registry import Sample
from onnxsal.tasks.evidence import Evidence, Settled
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.target import Target
from onnxsal.tasks.words import Words

MOST = 5
"""How much of a picture is shown where nobody says it."""

Floats = NDArray[np.float32]
Numbers = Mapping[str, Floats]
"""What a model puts out for one picture: [N] of every kind."""


@dataclass(frozen=True)
class Prediction:
    """One class and how sure the model is of it."""

    index: int
    label: str
    probability: float
    logit: float

    @property
    def told(self) -> str:
        """What it is called in a list."""
        return f"{self.label} ({self.index})"


@dataclass(frozen=True)
class Fed:
    """The input of a compiled file that says what is explained: its name, its type, and its shape behind the batch."""

    name: str
    dtype: ir.DataType
    shape: tuple[int, ...]
    by_place: bool = False
    """Whether it has a number for each place of what is explained, whose size stands in place of ``shape``."""


@dataclass(frozen=True)
class Place:
    """A region that a compiled file is fed, and where the positions of the output lie under it."""

    region: ir.Value
    """Bool [B, *S]."""
    frame: Frame | Voxels


@dataclass(frozen=True)
class Sought:
    """What a compiled file explains of each picture, looked for before anything is explained."""

    feeds: Mapping[str, ir.Value]
    """The programs' target inputs by name."""
    seen: ir.Value
    """Whether there is something to explain, bool [B]."""
    told: Mapping[str, ir.Value]
    """More outputs of the file."""
    score: ir.Value
    """How sure the model is of it, [B]."""


@dataclass(frozen=True)
class Task(Head):
    """What a model's outputs mean. An instance is what was recognised in one graph: where its numbers are.

    A score is a sum over columns of these numbers, [B, N] of every kind; ``write`` and ``kinds`` say what they are
    (see ``anatomy.parts.Head``), and a target says which of them, with which coefficients.
    """

    name: ClassVar[str] = ""
    """As ``onnxsal.task`` registered it."""
    when: ClassVar[str] = ""

    noun: ClassVar[str] = "target"
    """What stands in front of its targets' names, such as ``class``."""

    by_rivals: ClassVar[bool] = True
    """Whether another output of the same task may be meant in its place."""

    is_features: ClassVar[bool] = False
    """Whether its output may be what others are worked out from, and ``find`` tells which of several it is."""

    by_element: ClassVar[bool] = False
    """Whether its targets name what is explained whatever the output."""

    @classmethod
    def find(cls, graph: ir.Graph) -> Self:
        """Return the task that a graph in normal form proves.

        Raises: UnsupportedError: it proves none; the message says what its outputs are instead.
        """
        raise NotImplementedError

    @classmethod
    def assume(cls, graph: ir.Graph) -> Self:
        """Return the task of a graph of which a user says that it is this one: what shapes allow is enough.

        Raises: UnsupportedError: it cannot be.
        """
        return cls.find(graph)

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> Self:
        """Return the task that a graph proves, or the words of its file with it; where it is asked for, as ``assume``.

        Raises: UnsupportedError: it is none. UsageError: the words are wrong.
        """
        return cls.assume(graph) if asked else cls.find(graph)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The file's outputs that it is of."""
        return (self.output,)

    @property
    def own_names(self) -> tuple[str, ...]:
        """The names of its classes, where it was told them as it was recognised."""
        return ()

    @property
    def own_source(self) -> str:
        """Where those are from."""
        return "the description beside the file"

    @property
    def most(self) -> int:
        """How much of a picture ``predict`` shows where nobody says it."""
        return MOST

    @property
    def probabilities_by(self) -> str | None:
        """What makes probabilities of its numbers: ``softmax``, ``sigmoid``; None where it has none."""
        return None

    def activated(self, activation: str) -> Self:
        """Return the same with other probabilities: ``softmax``, ``sigmoid`` or ``none``, as a user says.

        Raises: UsageError: it has no probabilities, or there is no such activation.
        """
        raise UsageError(f"activation={activation!r}: the task {self.name!r} makes no probabilities")

    def ruled(self, threshold: float | None, overlap: float | None) -> Self:
        """Return the same with other limits of what is detected: its score, and how far two may overlap (IoU).

        Raises: UsageError: it detects nothing, or they are not of 0 to 1.
        """
        raise UsageError(f"threshold and iou are for detections, and the task is {self.name!r}")

    def settled(self, evidence: Evidence) -> Settled:
        """Return the task after what is known of a file beside what its graph proves, and what was decided by it."""
        return Settled(self)

    def check(self, numbers: Numbers) -> None:
        """Raise where the numbers of a picture cannot be what the task says that they are.

        Raises: ModelError: they are not finite. UsageError: they are not what a user says.
        """
        if not all(np.isfinite(values).all() for values in numbers.values()):
            raise not_finite()

    @property
    def example(self) -> str:
        """What a target may be, for who has to name one; nothing where none has to be."""
        return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What users are told where nothing proves what its output holds."""
        return ()

    @property
    def by_running(self) -> bool:
        """Whether running the model told a part of it, which its graph does not tell again."""
        return False

    @property
    def alone(self) -> bool:
        """Whether its numbers are those of one input, however many go in."""
        return False

    def rows_on(self, axis: int) -> Self:
        """Return the same with its batch on an axis of its output, where running showed it."""
        return self

    @property
    def weighted(self) -> bool:
        """Whether its targets have coefficients, such as the means over regions have; one column alone has none."""
        return False

    @property
    def size(self) -> int:
        """How many columns its numbers have, N."""
        raise NotImplementedError

    @property
    def numbered(self) -> int:
        """How many targets have a number that a compiled file is fed: by default its columns."""
        return self.size

    @property
    def has_regions(self) -> bool:
        """Whether what it predicts has a place in the picture, and its targets are asked for at one (``where``)."""
        return False

    @property
    def has_boxes(self) -> bool:
        """Whether what it predicts are boxes in the picture."""
        return False

    @property
    def labelled(self) -> int:
        """How many names its labels are; 0 where nothing has a name."""
        return 0

    def placed(self, target: Any, frame: Frame | Voxels | None, labels: Labels | None) -> Any:
        """Return a user's target as ``resolve`` takes it: what it says of a photograph is said of the model's picture.

        Args: frame: where the model's picture lies in the photograph, or in itself where there is none; None where
        there is no picture. Raises: UsageError, ImageError: it cannot be.
        """
        return target

    def in_text(self, target: Any, sample: Sample, labels: Labels | None) -> Any:
        """Return a user's target as ``resolve`` takes it: what it says of words is said of the tokens of a text.

        Raises: UsageError, NotSeenError: it cannot be.
        """
        return target

    def predict_in(self, sample: Sample, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return what ``predict`` does, of the words of a text."""
        return self.predict(numbers, labels, top)

    @property
    def decided(self) -> tuple[Decision, ...]:
        """What was decided of the outputs, and why."""
        return ()

    @property
    def how(self) -> str:
        """How to ask for an explanation, where nothing that is predicted says it."""
        return ""

    def looked_at(self, target: Any, see: Callable[[Any], Numbers]) -> Any:
        """Return a user's target with the things in it seen by the model, such as a picture to be like.

        Args: see: from a thing to what the model puts out for it. Raises: UsageError.
        """
        return target

    @property
    def name_counts(self) -> tuple[int, ...]:
        """How many labels may name what it has."""
        return (self.labelled,)

    def named(self, labels: Labels) -> Labels:
        """Return labels that a user gives, as the task names what it has.

        Raises: UsageError: they are of another number.
        """
        if not self.labelled:
            raise UsageError(
                f"{labels.source}: {len(labels)} labels, and the output {self.output!r} is taken for {self.name}, "
                "whose numbers have no names: leave them out, or say what it holds with --task (task=)"
            )
        return labels.checked(self.labelled)

    def is_several(self, target: Any, labels: Labels | None) -> bool:
        """Whether a target stands for several, so that there is an explanation of each."""
        return False

    def several(self, target: Any, numbers: Numbers, labels: Labels | None) -> list[Any]:
        """Return the targets that one stands for, such as everything that is seen; itself alone mostly."""
        return [target]

    def aimed(self, target: Target, kind: str) -> Target:
        """Return a resolved target as the score of a kind is fed."""
        return target

    def again(self, target: Target, asked: Any, frame: Frame | None) -> Any:
        """Return how what a target was resolved to is asked for on a changed picture; mostly as it was asked for."""
        return asked

    def opened(self, target: Target) -> Self:
        """Return the task whose ``targets`` are those of a target that each picture decides, inside a compiled file."""
        return self

    def onto_photo(self, predictions: Sequence[Prediction], frame: Frame | None) -> list[Prediction]:
        """Return predictions with the places in them in pixels of the photograph."""
        return list(predictions)

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return what a user's target means; None is what the model predicts.

        Args: numbers: of the picture that is explained; empty where there is none yet. Raises: UsageError.
        """
        raise NotImplementedError

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return what is shown of a picture, at most ``top`` of it, first what counts most."""
        raise NotImplementedError

    def compared(self, numbers: Sequence[Numbers]) -> Floats | None:
        """Return how like each other things are, [K, K]; None where the task does not compare."""
        return None

    @property
    def heading(self) -> str:
        """What stands above what is predicted; nothing in most tasks."""
        return ""

    def where(self, target: Target) -> NDArray[np.bool_] | None:
        """Return the positions of the output that a target is asked for at, bool [h, w]; None where it has no place."""
        return None

    def nothing(self, numbers: Numbers, labels: Labels | None) -> str:
        """Return why ``predict`` shows nothing of a picture."""
        return "nothing is seen"

    def nearest(self, numbers: Numbers, labels: Labels | None) -> Prediction | None:
        """Return what comes nearest to being shown where nothing is; None of most tasks."""
        return None

    def alike(self, target: Target, numbers: Numbers) -> int:
        """Return how many other objects of the same label a picture shows, where a target is one of several."""
        return 0

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return what an Explanation calls score and logit; NaN where there is no such number."""
        found = [target.value(numbers[kind]) if kind in numbers else float("nan") for kind in ("probability", "logit")]
        return found[0], found[1]

    @property
    def fed(self) -> Fed:
        """The input of a compiled file whose target is one: by default a column, int64 [B]."""
        return Fed("target", ir.DataType.INT64, ())

    def as_inputs(self, target: Any) -> tuple[tuple[Fed, ...], Any] | None:
        """Return the inputs of a compiled file that a target asks for, and what of it is fixed, None where nothing is;
        None of a target that asks for none."""
        return ((self.fed,), None) if isinstance(target, str) and target == "input" else None

    @property
    def told(self) -> Mapping[str, tuple[int | None, ...]]:
        """The shape of every output, float32, that compiled files have of what they looked for; None: many."""
        return {}

    @property
    def means(self) -> Mapping[str, str]:
        """What those outputs mean, and the inputs of ``as_inputs`` beside a class."""
        return {}

    def sought(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: Mapping[str, ir.Value], kind: str
    ) -> Sought | None:
        """Return what a compiled file explains of each picture; None where ``targets`` says it.

        Args: numbers: [B, N] by kind. given: the inputs of ``as_inputs``, or what is fixed of them, [B, ...]. kind: of
        the score.
        """
        return None

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return, inside a compiled file, the programs' target inputs by name.

        Args: numbers: [B, N] by kind. given: the file's input that ``fed`` describes, of B or of one for all, or a
        target whose columns depend on the picture; None for what is predicted. batch: how many pictures, int64 [1].
        """
        if given is None and self.size > 1:
            raise UsageError(f"a compiled file of the task {self.name!r} needs a target that is fixed, or an input")
        return {TARGET: op.Expand(op.const([0]) if given is None else given, batch)}

    def targets_at(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value, place: Place, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return, inside a compiled file, the programs' target inputs of a class at a region that is fed, of a task
        that asks for one in ``as_inputs``. Coefficients are 0 where it has nothing to explain.

        Args: numbers: [B, N] by kind; empty where no class is predicted. given: classes, int64 [B], -1 for the one that
        is predicted there.
        """
        raise NotImplementedError

    by_length: ClassVar[bool] = False
    """Whether there are more numbers of a longer text, and targets find theirs among them."""

    def of_any_length(self, graph: ir.Graph) -> Self:
        """Return the task on a graph that takes texts of any length."""
        return self

    def any_target(self, rows: int, *, weighted: bool) -> dict[str, NDArray[Any]]:
        """Return what a score program may be fed to see how it runs: the first column, or what tells it from another.

        Args: rows: how many pictures. weighted: whether it takes coefficients.
        """
        if not weighted:
            return {TARGET: np.zeros(rows, np.int64)}
        pair, signs = np.array([[0, min(1, self.size - 1)]], np.int64), np.array([[1, -1]], np.float32)
        return {TARGET: pair.repeat(rows, axis=0), COEFFICIENTS: signs.repeat(rows, axis=0)}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit, "task": self.name}

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name}

    def kind(self, wanted: str) -> str:
        """Return the kind that a method would like where the task has it, else its usual one."""
        return wanted if wanted in self.kinds else next(iter(self.kinds))

    def checked_kind(self, given: str) -> str:
        """Return a kind that was asked for. Raises: UsageError: the task has no such."""
        known = tuple(self.kinds)
        if given not in known:
            expected = f"expected {' or '.join(known)}{nearest(str(given), known)}"
            raise UsageError(f"score={given!r}: {expected}, which is what the task {self.name!r} explains")
        return given


def not_finite() -> ModelError:
    return ModelError(
        "the model's output is not finite (NaN or infinity): its weights, or what goes in, hold such "
        "numbers or lead to them"
    )


def task_of(anatomy: Anatomy) -> Task:
    """Return the task that a model's head is."""
    assert isinstance(anatomy.head, Task)
    return anatomy.head


def label_of(labels: Labels | None, index: int, what: str = "class") -> str:
    """Return the name of a class, or its number where there are no labels."""
    return labels.short(index) if labels is not None else f"{what} {index}"


def most(values: Floats, top: int) -> Sequence[int]:
    """Return the columns of the highest values, highest first."""
    return [int(i) for i in np.argsort(-values, kind="stable")[:top]]
