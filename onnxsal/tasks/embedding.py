"""Embeddings: a vector of which the direction counts. What is explained is how like the one of a reference it is.

The score is the cosine of the two, a sum over the numbers of the explained vector, made one long, times those of the
reference's (Stylianou et al. 2019, arXiv:1901.00536): a target has a column for each, the reference as its
coefficients.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import COEFFICIENTS, TARGET
from onnxsal.anatomy.select import EMBEDDINGS, VALUES
from onnxsal.decisions import Decision
from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import Trace
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.npy import is_npy, read_file
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.normalised import embeds, normalised
from onnxsal.tasks.outputs import ancestors, batches, behind, open_quantiser
from onnxsal.tasks.registry import task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Fed, Numbers, Prediction, Task
from onnxsal.tasks.tokens.heads import vectors_of
from onnxsal.tasks.tokens.pooling import Pooling, pooling_beside
from onnxsal.tasks.words import Words

Floats = NDArray[np.float32]

PREFIX = "like:"
"""How a reference is written as text: ``like:FILE``."""

_MINUS = f" minus {PREFIX}"
HINT = (
    "say what it is to be like: -t like:FILE, of texts like:WORDS (target=onnxsal.Like(...)), a reference that the "
    "model sees, or a .npy of its vector; -t 'like:A minus like:B' asks why it is closer to A than to B"
)


@dataclass(frozen=True, eq=False)
class Like:
    """A target of embeddings: how like a reference it is, the cosine of the two vectors.

    ``Like(a) - Like(b)`` asks why something is closer to a than to b.

    Attributes: reference: what the model takes (a path, a PIL image, an array ...), or the vector itself: an array of
    one axis, or an ``.npy`` file of one, such as a text's embedding from the other half of a model of two modalities.
    """

    reference: Any

    def __sub__(self, other: Like) -> tuple[Like, Like]:
        """Return the pair of which a target is the first minus the second."""
        return (self, other) if isinstance(other, Like) else NotImplemented


@dataclass(frozen=True, eq=False)
class Direction:
    """A reference that was looked at: its vector, one long, float32 [N], and what it is called."""

    unit: Floats
    name: str
    text: str | None
    """As it may be written on a command line, where it is a file."""
    notes: tuple[str, ...] = ()
    """What is to be told of it."""


@task("embedding", when="a vector whose direction counts: similarity to a reference")
@dataclass(frozen=True)
class Embedding(Task):
    """Where the vector is: [B, N], in front of the file's own normalisation where it has one, which changes nothing."""

    is_features: ClassVar[bool] = True

    width: int
    why: str
    """What says that it is an embedding."""
    proven: bool
    pooling: Pooling | None = None
    """How vectors of tokens, [B, T, N], become one; None where the file gives one."""

    @classmethod
    def find_said(cls, graph: ir.Graph, words: Words, *, asked: bool = False) -> Embedding:
        """Return the same; or of vectors of tokens the one that they are pooled to: as the files beside the model say,
        or where somebody asks for it, their mean. Raises: UnsupportedError: there is none.
        """
        try:
            found = super().find_said(graph, words, asked=asked)
        except UnsupportedError:
            if not (vectors := vectors_of(graph)) or (said := pooling_beside(words.path)) is None:
                raise
            return _pooled(vectors[0], said)
        said = None if found.pooling is None else pooling_beside(words.path)
        return found if said is None else _pooled(vectors_of(graph)[0], said)

    @classmethod
    def find(cls, graph: ir.Graph) -> Embedding:
        """Return the first output that is L2-normalised, or else called an embedding.

        Raises: UnsupportedError: there is none.
        """
        return _first(graph, assumed=False)

    @classmethod
    def assume(cls, graph: ir.Graph) -> Embedding:
        """Return the same, or else the first output of one vector, or of a vector for each token, of which a user says
        that it is an embedding."""
        try:
            return _first(graph, assumed=True)
        except UnsupportedError:
            if not (vectors := vectors_of(graph)):
                raise
            return _pooled(vectors[0], Pooling("mean"))

    @property
    def kinds(self) -> Mapping[str, str]:
        """The cosine, of the vector made one long; and the inner product with the reference made one long."""
        return {"cosine": VALUES, "dot": EMBEDDINGS}

    @property
    def weighted(self) -> bool:
        """A target is a sum over all numbers."""
        return True

    @property
    def weighs_channels(self) -> bool:
        """The reference weighs every number."""
        return True

    @property
    def size(self) -> int:
        """How many numbers the vector has."""
        return self.width

    @property
    def decided(self) -> tuple[Decision, ...]:
        """That it is an embedding, and why."""
        return (Decision("task", self.name, f"output {self.output!r} {self.why}"),)

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said where only a name tells."""
        if self.pooling is not None and not self.pooling.where:
            return (
                f"{self.output!r} holds a vector for each token, and nothing says how they become one: "
                f"{self.pooling.told} is taken; a 1_Pooling/config.json beside the file, as sentence-transformers has "
                "it, says otherwise",
            )
        if self.proven:
            return ()
        return (
            f"the output {self.output!r} is taken for an embedding: it {self.why}; if it holds classes or numbers, say "
            "so: --task classification or regression (task=)",
        )

    @property
    def how(self) -> str:
        """What to ask of it."""
        return (
            "an embedding is explained by what it is like: -t like:FILE (of texts like:WORDS), -t 'like:A minus like:B'"
        )

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the vectors made one long, and as they are; float32 [B, N] both. A zero vector stays one."""
        open_quantiser(values[self.logit])
        own = op.cast(values[self.logit], ir.DataType.FLOAT)
        own = own if self.pooling is None else self.pooling.write(op, own)
        vectors = op.copy(op.Reshape(own, [-1, self.width]))
        vectors.name = EMBEDDINGS  # on the way to the other kind too, where who splits a cosine looks for it
        return {VALUES: _made_one_long(op, vectors), EMBEDDINGS: vectors}

    def looked_at(self, target: Any, see: Callable[[Any], Numbers]) -> Any:
        """Return a Like, a text of one, or a pair of them with what the model sees in their references.

        Raises: UsageError: a vector has another size, is zero or not finite.
        """
        if not is_like(target):
            return target
        found = [self._direction(each, see) for each in _likes(target)]
        return found[0] if len(found) == 1 else tuple(found)

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the cosine to a reference that was looked at, or of a pair to the first minus to the second.

        Raises: UsageError: there is no reference, or the two of a pair are one. ModelError: the vector is zero.
        """
        if numbers and not numbers["dot"].any():
            raise ModelError("the embedding is 0 in all its numbers: it has no direction, and is like nothing")
        found = [self._direction(each, _unseen) for each in _likes(target)]
        signed = [sign * each.unit for each, sign in zip(found, (1, -1), strict=False)]
        coefficients = np.asarray(np.sum(signed, axis=0), np.float32)
        if not coefficients.any():
            raise UsageError(f"{found[0].name!r} and {found[1].name!r} have one direction: nothing is closer to one")
        texts = [each.text for each in found if each.text is not None]
        text = " minus ".join(texts) if len(texts) == len(found) else None
        label = " minus ".join(f"like {each.name}" for each in found)
        notes = tuple(note for each in found for note in each.notes)
        return Target(text, label, None, np.arange(self.width, dtype=np.int64), coefficients, notes=notes)

    def _direction(self, like: Like | Direction, see: Callable[[Any], Numbers]) -> Direction:
        if isinstance(like, Direction):
            return like
        name, text = _name(like.reference)
        found = _opened(like.reference)
        vector = found if _is_vector(found, self.width) else see(found)["dot"]
        return Direction(_unit(vector, self.width, name), name, text)

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return how long the vector is."""
        length = float(np.linalg.norm(numbers["dot"].astype(np.float64)))
        return [Prediction(0, f"length of {self.output!r}, a vector of {self.width} numbers", float("nan"), length)]

    def compared(self, numbers: Sequence[Numbers]) -> Floats:
        """Return the cosine of every two pictures, [K, K]."""
        units = np.stack([each["cosine"] for each in numbers]).astype(np.float64)
        return np.asarray(units @ units.T, np.float32)

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return NaN, for there is no probability, and the cosine."""
        return float("nan"), target.value(numbers["cosine"])

    @property
    def fed(self) -> Fed:
        """The reference's vector, of any length but 0."""
        return Fed("reference", ir.DataType.FLOAT, (self.width,))

    def targets(
        self, op: Tape, numbers: Mapping[str, ir.Value], given: ir.Value | None, batch: ir.Value, labels: Labels | None
    ) -> dict[str, ir.Value]:
        """Return all columns, and the reference that is fed as coefficients."""
        if given is None:
            raise UsageError(f"a compiled file of an embedding needs a reference: {HINT}; -t input makes it an input")
        shape = op.Concat(batch, [self.width], axis=0)
        columns = op.Expand(op.const(np.arange(self.width, dtype=np.int64)[None]), shape)
        return {TARGET: columns, COEFFICIENTS: op.Expand(_made_one_long(op, given), shape)}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {"name": self.output, "logit": self.logit, "task": self.name, "numbers": self.width,
                "target": "like:FILE"}  # fmt: skip

    def written(self) -> dict[str, Any]:
        """Return what a compiled file says of its output."""
        return {"name": self.output, "task": self.name, "numbers": self.width}


def _made_one_long(op: Tape, vectors: ir.Value) -> ir.Value:
    """Return vectors [B, N] over their length. Where that is 0 they stay, and so does their gradient."""
    squares = op.ReduceSum(op.Mul(vectors, vectors), [1], keepdims=1)
    long = op.Greater(squares, 0.0)
    return op.Mul(vectors, op.Where(long, op.Reciprocal(op.Sqrt(op.Where(long, squares, 1.0))), 0.0))


def is_like(target: Any) -> bool:
    """Return whether a target is a reference to be like, a text of one, or a pair of them."""
    if isinstance(target, tuple):
        return bool(target) and all(map(is_like, target))
    return isinstance(target, Like | Direction) or (isinstance(target, str) and target.strip().startswith(PREFIX))


def files_in(text: str | None) -> list[str]:
    """Return the files that a target's text names as references."""
    if text is None or not text.startswith(PREFIX):
        return []
    return [part.removeprefix(PREFIX).strip() for part in text.split(_MINUS)]


def _likes(target: Any) -> list[Like | Direction]:
    """Return the references that a target names, one or two."""
    if target is None:
        raise UsageError(f"an embedding is no class, and nothing is predicted of it: {HINT}")
    if isinstance(target, str) and _MINUS in target:
        target = tuple(map(Like, files_in(target)))
    if isinstance(target, tuple) and len(target) != 2:
        raise UsageError(f"a pair of references (a, b) means a minus b; got {len(target)} of them")
    return [_like(each) for each in (target if isinstance(target, tuple) else (target,))]


def _like(target: Any) -> Like | Direction:
    if is_like(target) and not isinstance(target, tuple):
        return Like(target.strip().removeprefix(PREFIX).strip()) if isinstance(target, str) else target
    raise UsageError(f"a target of an embedding is a reference; got {target!r}: {HINT}")


def _name(reference: Any) -> tuple[str, str | None]:
    """Return what a reference is called, and its text on a command line where it is a file or words."""
    if isinstance(reference, str) and not Path(reference).suffix and " " in reference.strip():
        return reference, f"{PREFIX}{reference}"
    if isinstance(reference, str | os.PathLike):
        return Path(reference).name, f"{PREFIX}{os.fspath(reference)}"
    return Path(getattr(reference, "filename", "")).name or "the reference", None


def _opened(reference: Any) -> Any:
    """Return the array that a reference is or that an ``.npy`` file holds; other things as they are."""
    if is_npy(reference):
        return read_file(reference, "the reference")
    if isinstance(reference, Sequence) and not isinstance(reference, str | bytes | bytearray):
        return np.asarray(reference)
    return reference


def _is_vector(found: Any, width: int) -> bool:
    """Whether a reference is a vector, not a thing for the model: one axis, or as many numbers along one of several."""
    if not isinstance(found, np.ndarray) or (found.ndim > 1 and found.dtype == np.uint8):
        return False
    if found.ndim == 2 and len(found) > 1 and found.shape[1] == width:
        raise UsageError(f"the reference holds {len(found)} vectors of {width} numbers: give one of them")
    return found.ndim <= 1 or max(found.shape) == found.size == width


def _unit(vector: NDArray[Any], width: int, name: str) -> Floats:
    """Return a vector made one long. Raises: UsageError: it is none of the embedding's size, or has no direction."""
    if vector.size != width:
        ids = "; ids of a text are [1, T]" if vector.dtype.kind in "iu" else ""
        raise UsageError(f"{name!r} is a vector of {vector.size} numbers, and the embedding has {width}{ids}")
    if vector.dtype.kind not in "fiu":
        raise UsageError(f"{name!r} holds {vector.dtype}, which are no numbers of an embedding")
    found = vector.reshape(-1).astype(np.float64)
    if not np.isfinite(found).all():
        raise UsageError(f"{name!r} is no reference: {int((~np.isfinite(found)).sum())} of its numbers are not finite")
    if not found.any():
        raise UsageError(f"{name!r} is no reference: its vector is 0 in all its numbers, and has no direction")
    found = found / np.abs(found).max()
    return np.asarray(found / np.linalg.norm(found), np.float32)


def _unseen(thing: Any) -> Numbers:
    raise UsageError(f"a reference is a vector of the embedding's size where no model sees it; got {thing!r}")


def _first(graph: ir.Graph, *, assumed: bool) -> Embedding:
    """Return the first output that is L2-normalised, else that is called an embedding, else where a user says so one
    that is a vector."""
    outputs = [output for output in graph.outputs if _is_seen(graph, output)]
    ways: list[Callable[[ir.Graph, ir.Value], Embedding | None]] = [_by_norm, _by_name]
    ways += [_by_shape] if assumed else []
    found = [head for way in ways for v in outputs if (head := way(graph, v)) is not None]
    if found:
        return found[0]
    named = "; ".join(f"{v.name!r} is {list(dims(v) or ())}" for v in graph.outputs)
    hint = "" if assumed else "; if one is an embedding, say so: task='embedding' (--task embedding)"
    raise UnsupportedError(f"no output is {'one vector' if assumed else 'L2-normalised'}: {named}{hint}")


def _pooled(output: ir.Value, pooling: Pooling) -> Embedding:
    """Return the embedding that the vectors of tokens are pooled to."""
    vector, width = _float(output), (dims(output) or (0,))[-1]
    assert vector is not None and isinstance(width, int)
    why = f"holds vectors of tokens, pooled to {pooling.told}" + (f" ({pooling.where})" if pooling.where else "")
    return Embedding(str(output.name), str(vector.name), width, why, bool(pooling.where), pooling)


def _is_seen(graph: ir.Graph, output: ir.Value) -> bool:
    """Whether an output depends on more than ids: the text's half of a model of two modalities does not, nor does it on
    anything where its ids are held."""
    nodes = ancestors(output) | ({maker} if (maker := output.producer()) is not None else set())
    read = {v for node in nodes for v in node.inputs if v is not None}
    seen = [v for v in graph.inputs if v in read]
    return any(v.dtype not in (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.BOOL) for v in seen)


def _by_norm(graph: ir.Graph, output: ir.Value) -> Embedding | None:
    vector = next((v for each in behind(output) if (v := normalised(each)) is not None), None)
    return None if vector is None else _made(graph, output, vector, embeds(output))


def _by_name(graph: ir.Graph, output: ir.Value) -> Embedding | None:
    why = embeds(output)
    return _made(graph, output, _float(output), why, proven=False) if why else None


def _by_shape(graph: ir.Graph, output: ir.Value) -> Embedding | None:
    return _made(graph, output, _float(output), "is said to be one")


def _float(output: ir.Value) -> ir.Value | None:
    return next((v for v in behind(output) if is_float(v)), None)


def _made(
    graph: ir.Graph, output: ir.Value, vector: ir.Value | None, why: str, *, proven: bool = True
) -> Embedding | None:
    """Return the embedding that a vector [B, N], [B, N, 1, 1] and the like is; None where it is none."""
    first, *rest = (vector is not None and dims(vector)) or (0,)
    wide = [d for d in rest if d != 1]
    if vector is None or len(wide) != 1 or not isinstance(wide[0], int) or first not in {*batches(graph), None}:
        return None
    return Embedding(str(output.name), str(vector.name), wide[0], why, proven)
