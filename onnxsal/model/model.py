"""A model as users hold it: it predicts, lists its layers, and keeps the inference sessions that explaining needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import TARGET, VERSUS, Anatomy, Layer, X, body, select, stem
from onnxsal.anatomy.drawn import drawn_by
from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.graph import Program, dims
from onnxsal.modalities.image import Fitted, ImageSource, Photo, Preprocess, read_image
from onnxsal.runtime import ColumnSession, Session
from onnxsal.runtime.providers import CPU, full_name
from onnxsal.runtime.session import Verdict
from onnxsal.tasks.labels import Labels

Floats = NDArray[np.float32]
Made = TypeVar("Made")

_SCORES = {"logit": "sal/logits", "probability": "sal/probabilities"}

CACHED = 24
"""Inference sessions that a model keeps; the one that was not used for longest goes first."""


@dataclass(frozen=True)
class Prediction:
    """One class and how sure the model is of it."""

    index: int
    label: str
    probability: float
    logit: float


@dataclass(frozen=True)
class Sample:
    """A picture on its way into the model: the explained value x [C, H, W], and where it lies in the photograph."""

    x: Floats
    picture: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    photo: NDArray[np.uint8]
    name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A loaded classifier. Made by ``onnxsal.load``."""

    name: str
    anatomy: Anatomy
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
    _sessions: dict[int, tuple[Program, Session | ColumnSession]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _programs: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that maps can be made of, in graph order."""
        return self.anatomy.layers.found

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input."""
        height, width = self.anatomy.entry.size or (224, 224)
        return height, width

    def label(self, index: int) -> str:
        """Return the name of a class, or its number where the model has no labels."""
        return self.labels.short(index) if self.labels is not None else f"class {index}"

    def predict(self, image: ImageSource | NDArray[Any], *, top: int = 5) -> list[Prediction]:
        """Return the most probable classes, best first.

        Raises: ImageError: the picture cannot be read. UsageError: the preprocessing is unknown.
        """
        logits, probabilities = self.scores(self.prepare(image).x)
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [Prediction(int(i), self.label(int(i)), float(probabilities[i]), float(logits[i])) for i in order]

    def scores(self, x: Floats) -> tuple[Floats, Floats]:
        """Return logits and probabilities, [classes] each, of an explained value x [C, H, W].

        Raises: ModelError: they are not finite. UnsupportedError: the provider runs no operator of the model.
        """
        outputs = self._whole().run({X: x[None]})
        logits, probabilities = outputs["sal/logits"][0], outputs["sal/probabilities"][0]
        if not (np.isfinite(logits).all() and np.isfinite(probabilities).all()):
            raise ModelError(
                "the model's output is not finite (NaN or infinity): its weights, or the input, are broken"
            )
        return logits, probabilities

    def prepare(self, image: ImageSource | NDArray[Any]) -> Sample:
        """Return a picture as the model sees it.

        ``image`` is a path, a PIL image or a uint8 array [H, W, C], preprocessed as the model says; or a float array
        shaped like the model's input, taken as it is.
        """
        if isinstance(image, np.ndarray) and image.dtype.kind == "f":
            return self._prepare_array(image)
        photo = read_image(image)
        fitted = self.known_preprocess().apply(photo, self.size)
        x = self._explained(self._feed(fitted.values))
        return Sample(x, fitted.picture, fitted.box, np.asarray(photo.pixels), photo.name, photo.notes)

    def known_preprocess(self) -> Preprocess:
        """Return how the model wants its pictures. Raises: UsageError: nothing says so."""
        if self.preprocess is None:
            raise UsageError(
                "the model does not say how it wants its pictures. Name a preset with --preprocess (preprocess=...), "
                "or see what it makes of the picture under each: onnxsal predict MODEL IMAGE"
            )
        return self.preprocess

    def _feed(self, values: Floats) -> NDArray[Any]:
        """Return [C, H, W] in the layout and type of the model's input, with a batch axis."""
        entry = self.anatomy.entry
        array = values[None] if entry.input_axes == "NCHW" else values.transpose(1, 2, 0)[None]
        dtype = entry.dtype.numpy()
        if entry.is_raw:
            info = np.iinfo(dtype)
            if array.min() < info.min or array.max() > info.max or (array != np.round(array)).any():
                raise UsageError(
                    f"the model takes {entry.dtype.name} bytes, and preprocessing "
                    f"{self.known_preprocess().name!r} gives other numbers "
                    f"({array.min():.3g} to {array.max():.3g}); use raw"
                )
        return np.ascontiguousarray(array, dtype)

    def _prepare_array(self, array: NDArray[Any]) -> Sample:
        value = self.program("stem", lambda: stem(self.anatomy)).inputs[self.anatomy.entry.input]
        shape = dims(value) or ()
        whole = array[None] if array.ndim == 3 else array
        if (
            whole.ndim != 4
            or len(whole) != 1
            or any(isinstance(d, int) and d != n for d, n in zip(shape[1:], whole.shape[1:], strict=True))
        ):
            raise UsageError(
                f"a float array must be shaped like the model's input {list(shape)}, one image; got {list(array.shape)}"
            )
        x = self._explained(whole)
        seen = _visible(x)
        return Sample(x, seen, (0.0, 0.0, float(seen.shape[1]), float(seen.shape[0])), seen, "array")

    def _explained(self, feed: NDArray[Any]) -> Floats:
        program = self.program("stem", lambda: stem(self.anatomy))
        x: Floats = self.session(program).run({self.anatomy.entry.input: feed})[X][0]
        if not np.isfinite(x).all():
            raise UsageError("the picture holds numbers that are not finite")
        return x

    def black(self) -> Floats:
        """Return the value of a black pixel in the explained domain, [C]; zero where the preprocessing is unknown."""
        entry = self.anatomy.entry
        if self.preprocess is None:
            return np.zeros(entry.channels, np.float32)
        low = np.broadcast_to(self.preprocess.limits()[0].reshape(-1, 1, 1), (entry.channels, *self.size))
        return self._explained(self._feed(np.ascontiguousarray(low)))[:, 0, 0]

    def program(self, key: Any, make: Any) -> Any:
        """Return what ``make`` makes, made once for equal keys."""
        return _kept(self._programs, key, make)

    def score(self, kind: str, *, versus: bool = False) -> Program:
        """Return the program of a class's logit or probability, or of its difference to another's; made once."""
        program: Program = self.program(("score", kind, versus), lambda: select(self.anatomy, kind, versus=versus))
        return program

    def session(self, program: Program) -> Session | ColumnSession:
        """Return the inference session of a program, opened once.

        Scores come from the session that predicts: it puts out all classes, so one run serves any target.
        """
        made = _kept(self._sessions, id(program), lambda: (program, self._scoring(program) or self._opened(program)))
        return made[1]

    def _opened(self, program: Program) -> Session:
        return Session(program, provider=self.provider, custom_ops=self.custom_ops)

    def _scoring(self, program: Program) -> ColumnSession | None:
        for (kind, source), versus in product(_SCORES.items(), (False, True)):
            if self._programs.get(("score", kind, versus)) is program:
                return ColumnSession(self._whole(), source, TARGET, VERSUS if versus else None)
        return None

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
        opened = self._sessions.get(id(self._programs.get("body")))
        return opened[1].verdict if opened is not None and isinstance(opened[1], Session) else None

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

    def inspect(self) -> dict[str, Any]:
        """Return the report on the model as plain data: what the graph proves, what it costs, which methods apply.

        It runs the model for a moment, to measure its speed. The keys are those of ``onnxsal inspect --json``.
        """
        return self.inspector(self)


def _kept(cache: dict[Any, Made], key: Any, make: Callable[[], Made]) -> Made:
    """Return what a cache has, moved to its end, or what ``make`` makes; the first goes where the cache is full."""
    found = cache.pop(key) if key in cache else make()
    while len(cache) >= CACHED:
        cache.pop(next(iter(cache)))
    cache[key] = found
    return found


def _visible(x: Floats) -> NDArray[np.uint8]:
    """Return an array that was taken as it is as something to draw on: its own range stretched to grey or colour."""
    span = float(np.ptp(x)) or 1.0
    shown = ((x - x.min()) / span * 255).astype(np.uint8)
    channels = shown if len(shown) == 3 else np.repeat(shown[:1], 3, axis=0)
    return np.ascontiguousarray(channels.transpose(1, 2, 0))


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


__all__ = ["Fitted", "Model", "Photo", "Prediction", "Sample", "digest"]
