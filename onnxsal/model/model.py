"""A model as users hold it: it predicts, lists its layers, and keeps the inference sessions that explaining needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, TARGET, Anatomy, Layer, Score, X, body, select, stem
from onnxsal.anatomy.by_rows import by_rows
from onnxsal.anatomy.drawn import drawn_by
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.graph import Program, dims
from onnxsal.graph.packed import Packed, pack, unpack
from onnxsal.modalities.audio.preprocess import SoundPreprocess
from onnxsal.modalities.image import ImageSource, Preprocess, PreprocessSource
from onnxsal.modalities.image.modality import known
from onnxsal.modalities.registry import Modality, OwnSize, Reader, ReadSize, Sample
from onnxsal.model.asked import Asked
from onnxsal.model.roles import Input
from onnxsal.model.sessions import Basis, Kept, Programs, Sessions
from onnxsal.model.words import preprocess_decisions
from onnxsal.runtime import ColumnSession, PickedSession, Session
from onnxsal.runtime.by_rows import run_rows
from onnxsal.runtime.providers import CPU, full_name
from onnxsal.runtime.session import Verdict
from onnxsal.tasks import Numbers, Prediction, Target, Task, task_of
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.task import label_of

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Warmed:
    """A method that is ready, how many sessions were opened for it (those that others had opened not), and seconds."""

    method: str
    sessions: int
    seconds: float


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded classifier. Made by ``onnxsal.load``.

    Threads may share one. It is equal to itself alone; ``digest`` tells whether two are of one file. It can be pickled:
    its sessions are opened again where it is used.
    """

    name: str
    anatomy: Anatomy
    modality: Modality = field(compare=False)
    """What kind of thing it takes."""
    preprocess: Preprocess | None
    labels: Labels | None
    provider: str | None
    custom_ops: tuple[str, ...]
    digest: str
    notes: tuple[str, ...]
    metadata: Mapping[str, str]
    source: ir.Model = field(repr=False)
    inspector: Callable[[Model], dict[str, Any]] = field(repr=False, compare=False)
    """What makes the report; it knows the methods, which are above this floor."""
    warmer: Callable[[Model, str | Sequence[str], dict[str, Any]], tuple[Warmed, ...]] = field(
        repr=False, compare=False
    )
    """What opens sessions ahead of the first explanation; it explains, which is above this floor."""
    reopener: Callable[[Model, Asked], Model] = field(repr=False, compare=False)
    """What opens the same file again, asked for otherwise."""
    fitter: Callable[[Model, Any], Any] = field(repr=False, compare=False)
    """What opens it for a thing: its other inputs, its size."""
    asked: Asked = field(default_factory=Asked, repr=False)
    """What was said of the file when it was opened."""
    decided: tuple[Decision, ...] = ()
    """What was decided of the file, and why."""
    question: str = ""
    """What has to be said before anything is explained; empty where nothing is open."""
    any_size: bool = False
    """Whether its graph brings images of any size to one of its own, so that they go in as they are."""
    inputs: tuple[Input, ...] = ()
    """What every input of the file is: explained, held and at what, read by nobody."""
    open_sizes: tuple[bool, ...] = ()
    """Of which of its positions the file leaves the size open."""
    steps: tuple[str, ...] = ()
    """The outputs that are as long as what goes in."""
    assumed: tuple[str, ...] = ()
    """What is to be said beside the notes where probabilities are shown: nothing proves them."""
    threads: int | None = None
    """Threads that share the operators of one run; None leaves that to ONNX Runtime."""
    sound: SoundPreprocess | None = None
    """How it wants its sound, where it takes that."""
    memory: int | None = None
    """Bytes that its inference sessions may take together; None: see ``onnxsal.load``."""
    unsized: ir.Model | None = field(default=None, repr=False)
    """Its graph before the size was fixed, where things of any are explained on one graph."""
    sized: Model | None = field(default=None, repr=False)
    """Of one whose graph leaves the size open: the model that is opened for sizes."""
    _kept: Kept | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """``replace`` hands on what is kept: it is taken only where all that it depends on is the same."""
        basis = Basis(self.anatomy, self.source, self.provider, self.custom_ops, self.threads, self.memory)
        if self._kept is None or not self._kept.basis.serves(basis):
            object.__setattr__(self, "_kept", Kept(basis))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle everything but what is kept for the next explanation; graphs nest deeper than pickle may go."""
        left = ("anatomy", "source", "unsized", "_kept")
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in left}
        found = {f.name: getattr(self.anatomy, f.name) for f in fields(self.anatomy) if f.name != "model"}
        return _restored, (plain, found, pack([self.anatomy.model, self.source]))

    @property
    def _programs(self) -> Programs:
        assert self._kept is not None
        return self._kept.programs

    @property
    def _sessions(self) -> Sessions:
        assert self._kept is not None
        return self._kept.sessions

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that maps can be made of, in graph order; behind them those that only boxes and their like use."""
        return self.anatomy.layers.all

    @property
    def task(self) -> Task:
        """What its outputs mean, and where they are."""
        return task_of(self.anatomy)

    @property
    def size(self) -> tuple[int, ...]:
        """The size of the explained value's positions: of images height and width."""
        return self.anatomy.entry.size or tuple(self.modality.default_size.values())

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width. Raises: UnsupportedError: the model takes no images."""
        height, width = self.for_images("this").size
        return height, width

    @property
    def takes_images(self) -> bool:
        """Whether it takes images, which have height and width, rather than sequences or arrays."""
        return len(self.size) == 2 and self.modality.name != "array"

    def for_images(self, what: str) -> Model:
        """Return the model where it takes images. Raises: UnsupportedError: ``what`` is for these alone."""
        if not self.takes_images:
            raise UnsupportedError(f"{what} is for models of images; this model takes {self.modality.name} {self.size}")
        return self

    def label(self, index: int) -> str:
        """Return the name of a class, or its number where the model has no labels."""
        return label_of(self.labels, index)

    def predict(self, image: ImageSource | NDArray[Any], *, top: int = 5) -> list[Prediction]:
        """Return what the task shows of a picture, such as the most probable classes, best first.

        Args: top: how many; boxes of a detector are in pixels of the photograph.
        Raises: ImageError: the picture cannot be read. UsageError: the preprocessing is unknown.
        """
        found = self.fitter(self, image)
        model: Model = found.model
        sample = model.prepare(found.thing)
        return model.seen(sample, model.numbers(sample), top)

    def seen(self, sample: Sample, numbers: Numbers, top: int | None = None) -> list[Prediction]:
        """Return what the task shows of a picture that was prepared and run before; places are of the photograph."""
        count = self.task.most if top is None else top
        if sample.pieces:
            return self.task.predict_in(sample, numbers, self.labels, count)
        shown = self.task.predict(numbers, self.labels, count)
        return self.task.onto_photo(shown, None if sample.seen is None else sample.seen.frame)

    def outputs(self, x: Floats) -> Numbers:
        """Return the numbers that the task speaks of, [N] of every kind, of an explained value x [C, H, W].

        Raises: ModelError: they are not finite, but for the logits minus infinity of classes that are switched off.
        UnsupportedError: the provider runs no operator of the model. UsageError: they are not what a user says.
        """
        return self.checked(self._whole().run({X: x[None]}))

    def numbers(self, sample: Sample) -> Numbers:
        """Return the numbers of something that was prepared: of a row of a table those of the file itself, of anything
        else its ``outputs``.

        Raises: as ``outputs``. UsageError: of a row something is missing that the model needs.
        """
        if sample.row is None:
            return self.outputs(sample.x)
        program = self.program("by rows", lambda: by_rows(self.anatomy))
        try:
            return self.checked(self.run_rows(program, sample.row[None]))
        except ModelError as error:
            if not (missing := [c for c, value in zip(sample.columns, sample.row, strict=True) if np.isnan(value)]):
                raise
            raise UsageError(
                f"{sample.name}: {', '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} missing, and "
                "the model gives no number then: it takes no missing values"
            ) from error

    def numbers_of_rows(self, rows: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Return the numbers of rows [n, F] that are run together, [n, N] of every kind, whatever they are.

        They are those of each row alone but for rounding.
        """
        found = self.run_rows(self.program("by rows", lambda: by_rows(self.anatomy)), rows)
        return {kind: found[name] for kind, name in {**self.task.kinds, **self.task.beside}.items()}

    def run_rows(self, program: Program, rows: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Return what a program of a model of tables puts out for rows [n, F]. Raises: ModelError: the run failed."""
        session = self.session(program)
        assert isinstance(session, Session)
        return run_rows(session, rows)

    def checked(self, found: Mapping[str, NDArray[Any]]) -> Numbers:
        """Return the numbers of one picture from what a program put out for it, [1, N] each. Raises: as ``outputs``."""
        named = {**self.task.kinds, **self.task.beside}
        numbers = {kind: found[name][0] for kind, name in named.items()}
        self.task.check(numbers)
        return numbers

    def scores(self, x: Floats) -> tuple[Floats, Floats]:
        """Return logits and probabilities, [classes] each, of an explained value x [C, H, W]; NaN where there are none.

        Raises: as ``outputs``.
        """
        numbers = self.outputs(x)
        nan = np.full(self.task.size, np.nan, np.float32)
        return numbers.get("logit", nan), numbers.get("probability", nan)

    def prepare(self, image: ImageSource | NDArray[Any]) -> Sample:
        """Return a picture as the model sees it.

        ``image`` is a path, a PIL image or a uint8 array [H, W, C], preprocessed as the model says; or a float array
        shaped like the model's input, taken as it is.
        """
        return self.modality.read(image, self._reader())

    def known_preprocess(self) -> Preprocess:
        """Return how the model wants its pictures. Raises: UsageError: nothing says so."""
        return known(self.preprocess)

    def preprocessed(self, source: PreprocessSource) -> Model:
        """Return the same model with other preprocessing.

        Raises: UsageError: it is unknown, or gives another number of channels than the model takes.
        """
        found = self.modality.find_preprocess(source, self.name, self.metadata, self.anatomy.entry)
        kept = tuple(each for each in self.decided if each.what != "preprocess")
        said, of_sound = preprocess_decisions(found, given=True), isinstance(found, SoundPreprocess)
        own: dict[str, Any] = {"sound": found} if of_sound else {"preprocess": found}
        return replace(self, **own, decided=kept + said, asked=replace(self.asked, preprocess=source))

    def black(self) -> Floats:
        """Return the value of a black pixel in the explained domain, [C]; zero where the preprocessing is unknown.

        Where it is not the same everywhere, since the model takes a mean picture off, it is a picture, [C, H, W].
        """
        return self.modality.blank(self._reader())

    def reopened(self, **changes: Any) -> Model:
        """Return the same file opened for something else: ``head``, ``explained``, ``inputs`` ... as of ``load``.

        Raises: as ``onnxsal.load``.
        """
        asked = replace(self.asked, **changes)
        return self if asked == self.asked else self.reopener(self, asked)

    def fitting(self, thing: Any) -> Model:
        """Return the model opened for the size that a thing has of its own, made once for each; mostly itself.

        Such are arrays that are taken as they are, where the file leaves the size open and nobody asked for one, and
        any image where the graph resizes it itself.

        Raises: as ``onnxsal.load``, and what reading the thing raises.
        """
        if self.asked.size is not None or not isinstance(self.modality, OwnSize):
            return self
        entry = self.anatomy.entry
        own = self.modality.read_size(thing, self._reader()) if isinstance(self.modality, ReadSize) else None
        own = self.modality.own_size(thing, entry, any_size=self.any_size) if own is None else own
        size = None if own is None else tuple(own[letter] for letter in entry.spatial)
        return self if size is None or not self.takes_size(size) else self.at_size(size)

    def takes_size(self, size: tuple[int, ...]) -> bool:
        """Return whether the file leaves open all that is other of a size than what the model is opened for."""
        changed = [a for a, n, now in zip(self.anatomy.entry.spatial, size, self.size, strict=True) if n != now]
        return self._open_axes().issuperset(changed)

    def with_layers(self) -> Model:
        """Return the model opened for its size itself, where its graph leaves that open: layers have sizes."""
        return self if self.sized is None else self.sized.at_size(self.size)

    def at_size(self, size: tuple[int, ...]) -> Model:
        """Return the same file opened for another size of its positions, made once for each. Raises: as ``load``."""
        if size == self.size:
            return self
        found: Model = self.others(("size", size), lambda: self._of_size(size))
        return found if found.sound == self.sound else replace(found, sound=self.sound)

    def _of_size(self, size: tuple[int, ...]) -> Model:
        made = self.reopened(size=size)
        others = tuple(each for each in self.decided if each.what != "size")
        value = ", ".join(f"{letter} {n}" for letter, n in zip(self.anatomy.entry.spatial, size, strict=True))
        return replace(made, decided=(*others, Decision("size", value, "what is explained has it")))

    def _open_axes(self) -> frozenset[str]:
        """Return the letters of the axes whose sizes the file leaves open."""
        return frozenset(a for a, is_open in zip(self.anatomy.entry.spatial, self.open_sizes, strict=True) if is_open)

    def others(self, key: Any, make: Any) -> Any:
        """Return the same file opened otherwise, kept for a few keys."""
        assert self._kept is not None
        return self._kept.others(key, make)

    def _reader(self) -> Reader:
        program = self.program("stem", lambda: stem(self.anatomy))
        shape = dims(program.inputs[self.anatomy.entry.input]) or ()
        prepared = self.preprocess or self.sound
        return Reader(self.anatomy.entry, self.size, shape, prepared, self._entered, self._open_axes())

    def _entered(self, feed: NDArray[Any]) -> Floats:
        program = self.program("stem", lambda: stem(self.anatomy))
        x: Floats = self.session(program).run({self.anatomy.entry.input: feed})[X][0]
        return x

    def program(self, key: Any, make: Any) -> Any:
        """Return what ``make`` makes, made once for equal keys."""
        return self._programs(key, make)

    def take(self, key: str, program: Program, session: Session) -> None:
        """Keep a program that was opened before the model was made."""
        self._sessions.take(self.program(key, lambda: program), session)

    def score(self, kind: str, target: Target | None = None, *, keep: bool = False) -> Score:
        """Return the score of a target, of a kind that the task has; made once for all of one form.

        Args: target: by default one of the form that the task's targets have, such as one class. keep: what is built
        on it puts out the task's numbers too.
        """
        if target is not None and target.program is not None:
            return target.program
        kind, weighted = self.score_form(kind, target)
        made: Score = self.program(("score", kind, weighted, keep), lambda: self._selected(kind, weighted, keep))
        made = made if self.sized is None else replace(made, size=self.size)
        return made.of(None if target is None else target.coefficients) if weighted else made

    def _selected(self, kind: str, weighted: bool, keep: bool) -> Score:
        whole = self.program("body", lambda: body(self.anatomy))
        return select(self.anatomy, kind, weighted=weighted, keep=keep, whole=whole)

    def score_form(self, kind: str, target: Target | None = None) -> tuple[str, bool]:
        """Return what tells one form of score from another: its kind, and whether it is a sum with coefficients."""
        kind = kind if target is None or target.kind is None else target.kind
        return kind, self.task.weighted if target is None or target.is_open else target.weighted

    def session(self, program: Program) -> Session | ColumnSession:
        """Return the inference session of a program, opened once as long as there is room for it (``memory``).

        Scores come from the session that predicts: it puts out all classes, so one run serves any target.
        """
        return self._scoring(program) or self._sessions(program)

    def _scoring(self, program: Program) -> ColumnSession | None:
        if not isinstance(program, Score):
            return None
        if program.pick is not None:
            fed = [name for name in program.inputs if name != X]
            return PickedSession(self._whole(), program.reads, fed, program.pick)
        if program.source is None:
            return None
        return ColumnSession(
            self._whole(), program.source, TARGET, COEFFICIENTS if COEFFICIENTS in program.inputs else None
        )

    def _whole(self) -> Session:
        """Return the session that predicts."""
        whole = self.session(self.program("body", lambda: body(self.anatomy)))
        assert isinstance(whole, Session)
        if set(whole.placed) == {CPU}:
            raise UnsupportedError(
                f"{whole.provider} runs no operator of this model, all would run on the CPU: use --provider cpu"
            )
        return whole

    @property
    def batch_verdict(self) -> Verdict | None:
        """What a batch of pictures was found to give (``batching``); None as long as nothing had to be asked."""
        program = self._programs.get("body")
        return None if program is None else self._sessions.rows(program).verdict

    @property
    def drawn(self) -> tuple[str, ...]:
        """The nodes that draw random numbers on which the scores depend; no map of such a model can be made again."""
        found: tuple[str, ...] = self.program("drawn", lambda: drawn_by(self.anatomy))
        return found

    @property
    def placement(self) -> tuple[str, ...]:
        """What is to be said of operators of the model that do not run on the provider that was asked for."""
        if full_name(self.provider) == CPU:
            return ()
        whole = self._whole()
        behind, every = whole.placed.get(CPU, 0), sum(whole.placed.values())
        if 2 * behind <= every:
            return ()
        return (f"{behind} of the model's {every} operators have no kernel on {whole.provider} and run on the CPU",)

    @property
    def opened(self) -> int:
        """How many inference sessions were opened so far, those that had to go again among them."""
        return self._sessions.opens

    def warm(self, methods: str | Sequence[str] = "grad-cam++", **options: Any) -> tuple[Warmed, ...]:
        """Return the methods that are ready now: method, sessions opened, seconds.

        Explains noise with each, up to its first batch (paths whole), so that the first request is as fast as the next.
        Threads may explain meanwhile.

        Args: options: as of ``onnxsal.explain``, so that what is opened is what will be asked for.
        Raises: as ``onnxsal.explain``: a method that does not apply to the model among them.
        """
        return self.warmer(self, methods, options)

    def inspect(self) -> dict[str, Any]:
        """Return the report on the model as plain data: what the graph proves, what it costs, which methods apply.

        It runs the model for a moment, to measure its speed. The keys are those of ``onnxsal inspect --json``.
        """
        return self.inspector(self)


def _restored(plain: dict[str, Any], found: dict[str, Any], packed: Packed) -> Model:
    """Return a pickled model. Raises: ModelError: its weights lay in a file that is not there any more."""
    graph, source = unpack(packed)
    return Model(anatomy=Anatomy(model=graph, **found), source=source, **plain)


def digest(path: str | os.PathLike[str] | onnx.ModelProto, external: Sequence[Path] = ()) -> str:
    """Return the SHA-256 of a model file, in hexadecimal; with weights in other files the SHA-256 of all of theirs."""
    if isinstance(path, onnx.ModelProto):
        own = hashlib.sha256(path.SerializeToString(deterministic=True)).hexdigest()
    else:
        own = _file_digest(Path(path))
    if not external:
        return own
    return hashlib.sha256("".join([own, *map(_file_digest, external)]).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


__all__ = ["Model", "Prediction", "Sample", "Warmed", "digest"]
