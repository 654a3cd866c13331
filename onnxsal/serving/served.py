"""A model that is served: its file as it is, and explanations, for servers of any protocol."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from numpy.typing import NDArray

from onnxsal.errors import OnnxsalError, UnsaidError, UnsupportedError, UsageError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.images import explain_read, images_at_once
from onnxsal.explanation.run import read_fitted
from onnxsal.explanation.tables import explain_table, single_rows
from onnxsal.graph import load_ir
from onnxsal.graph.files import EXPLAINER, EXTERNAL_FILES
from onnxsal.model import Model
from onnxsal.model.load import load
from onnxsal.model.model import digest
from onnxsal.runtime.file_session import FileSession, Port
from onnxsal.serving.answers import Answer, Drawing, Hidden, answer_of
from onnxsal.serving.asked import Asked, drawing_of, prepared
from onnxsal.serving.things import Given, rows_of, things_of

DATATYPES: Mapping[str, str] = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
    "object": "BYTES",
}  # fmt: skip
"""The types of the Open Inference Protocol by NumPy's."""

_KEPT = 256
"""Requests of different parameters whose checks are done once."""

_DRAWN = ("drawing", "format", "colours", "opacity", "caption")


class StoppedError(OnnxsalError):
    """Nobody waits for the explanation any more."""


@dataclass(frozen=True, eq=False)
class Wanted:
    """One thing that is to be explained, everything checked that needs no run of the model.

    Attributes: key: equal ones may be explained together.
    """

    key: Hashable
    asked: Asked = field(repr=False)
    thing: Any = field(repr=False)
    drawing: Drawing | None = None


class Served:
    """A model under a name; threads may use it at the same time.

    Args:
        path: of the model's file.
        name: by default the file's own, without its ending.
        pixels: of a picture that is decoded at most; None leaves that to Pillow's own bound.
        how: as of ``onnxsal.load``.
    Raises: as ``onnxsal.load``.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str | None = None, *, pixels: int | None = None, **how: Any
    ) -> None:
        self.name = Path(path).stem if name is None else name
        self._model = _explained_from_outside(path, how)
        self._pixels, self._hidden = pixels, Hidden(path, self.name)
        self._file = FileSession(path, **{key: how[key] for key in ("provider", "threads", "custom_ops") if key in how})
        self._digest = digest(path, load_ir(path).meta[EXTERNAL_FILES]) if self._model is None else self._model.digest
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._lock = Lock()

    @property
    def model(self) -> Model:
        """The model that is explained. Raises: UnsupportedError: the file explains itself, by inputs of its own."""
        if self._model is None:
            raise UnsupportedError(f"{self._itself}: /explain is for models that do not")
        return self._model

    @property
    def notes(self) -> Sequence[str]:
        """What is to be told of the model."""
        return (self._itself,) if self._model is None else self._model.notes

    @property
    def _itself(self) -> str:
        return f"the file explains itself: /infer takes {', '.join(self._file.inputs)}, and gives its maps"

    def metadata(self) -> dict[str, Any]:
        """Return what the Open Inference Protocol tells of a model; ``-1`` is an axis that its file leaves open.

        Outputs that are no tensors are told in ``parameters``: they are not served.
        """
        ports = list(self._file.outputs.values())
        left_out = {port.name: port.kind for port in ports if port.dtype is None}
        return {
            "name": self.name, "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [_told(port) for port in self._file.inputs.values()],
            "outputs": [_told(port) for port in ports if port.dtype is not None],
            "parameters": {"sha256": self._digest, **({"left_out": left_out} if left_out else {})},
        }  # fmt: skip

    def infer(self, inputs: Mapping[str, NDArray[Any]], outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Return what the file puts out, as ONNX Runtime gives it for the file alone, bit for bit.

        Args: outputs: by default all that are tensors.
        Raises: UsageError: what is given is not what it takes. ModelError: the run failed.
        """
        with self._hidden.covered():
            return self._file.run(inputs, outputs)

    def rows(self, inputs: Mapping[str, Given]) -> list[dict[str, Given]]:
        """Return the things of a batch one by one, for ``wanted``. Raises: UsageError: their numbers differ."""
        return rows_of(self.model, inputs)

    def wanted(self, inputs: Mapping[str, Given], parameters: Mapping[str, Any]) -> Wanted:
        """Return what is asked for, checked; the thing itself is read when it is explained.

        Args:
            inputs: one thing: arrays, or the content of a picture's file, by the names of the file's inputs; what is
                explained may come as ``image``, ``text`` and the like.
            parameters: ``method``, ``target``, ``layer``, ``score``, ``seed`` and options as of ``onnxsal.explain``,
                limits among them; ``drawing`` (overlay, heat, product) asks for a picture, with ``format`` (png, webp),
                ``colours``, ``opacity`` and ``caption``.
        Raises: UsageError: an input or parameter is unknown, wrong, or names a file. UnsupportedError: the method does
        not apply to the model. TooManyPixelsError: a picture has more pixels than are decoded.
        """
        with self._hidden.covered():
            drawing = drawing_of(parameters) if any(name in parameters for name in _DRAWN) else None
            key, asked = self._prepared({n: v for n, v in parameters.items() if n not in _DRAWN and v is not None})
            return Wanted(key, asked, things_of(self.model, inputs, self._pixels), drawing)

    def explain(
        self, wanted: Sequence[Wanted], stopped: Callable[[], bool] = lambda: False
    ) -> list[Answer | Exception]:
        """Return the answer to each, as ``onnxsal.explain`` explains it, or the error in its place.

        Those of one key are run together where that gives each what it gets alone.

        Args: stopped: asked between runs of the model: once it is true what is left is a StoppedError.
        """
        found: dict[int, Answer | Exception] = {}
        for group in _alike(wanted):
            found |= zip(group, self._explained([wanted[at] for at in group], stopped), strict=True)
        return [found[at] for at in range(len(wanted))]

    def _prepared(self, parameters: dict[str, Any]) -> tuple[str, Asked]:
        """Return what tells parameters apart, and what is asked, checked once for equal ones."""
        try:
            key = json.dumps(parameters, sort_keys=True)
        except (TypeError, ValueError) as error:
            raise UsageError(f"parameters are numbers, text, and lists of them: {error}") from None
        with self._lock:
            asked = self._asked.get(key)
        if asked is None:
            asked = prepared(self.model, parameters)
        with self._lock:
            self._asked[key] = asked
            self._asked.move_to_end(key)
            while len(self._asked) > _KEPT:
                self._asked.popitem(last=False)
        return key, asked

    def _explained(self, wanted: Sequence[Wanted], stopped: Callable[[], bool]) -> Iterator[Answer | Exception]:
        """Yield the answers to those of one key; what fails together is explained one by one."""
        several: Sequence[Explanation | None] = [None] * len(wanted)
        if len(wanted) > 1:
            with suppress(Exception):  # whose it is shows when each is alone
                several = self._run(wanted, stopped)
        yield from (self._answer(one, found, stopped) for one, found in zip(wanted, several, strict=True))

    def _answer(self, one: Wanted, found: Explanation | None, stopped: Callable[[], bool]) -> Answer | Exception:
        try:
            with self._hidden.covered():
                explanation = self._run([one], stopped)[0] if found is None else found
                return answer_of(explanation, one.asked.model, one.drawing, self._hidden)
        except Exception as error:  # noqa: BLE001  # it is the answer to this one alone
            return error

    def _run(self, wanted: Sequence[Wanted], stopped: Callable[[], bool]) -> list[Explanation]:
        """Return the explanations of things of one key. Raises: as ``explain``; StoppedError."""
        _check(stopped)
        asked, progress = wanted[0].asked, lambda done, total: _check(stopped)
        if asked.request is None:
            assert asked.rows is not None
            options = replace(asked.rows, common=replace(asked.rows.common, progress=progress))
            return [_one(explain_table(asked.model, each.thing, asked.targets[0], options)) for each in wanted]
        request = replace(asked.request, common=replace(asked.request.common, progress=progress))
        reads = [read_fitted(request, _one(single_rows(asked.model, each.thing))) for each in wanted]
        return [own for (own,) in explain_read(reads, asked.targets)]


def _explained_from_outside(path: str | os.PathLike[str], how: Mapping[str, Any]) -> Model | None:
    """Return the model of a file; None where it was compiled to be told by its own inputs what to explain."""
    try:
        return load(path, **how)
    except UnsaidError:
        if EXPLAINER not in load_ir(path).metadata_props:
            raise
    return None


def _alike(wanted: Sequence[Wanted]) -> Iterator[list[int]]:
    """Yield the places of those that are explained in one go: as many of a key as are worth running together."""
    by_key: dict[Hashable, list[int]] = {}
    for at, each in enumerate(wanted):
        by_key.setdefault(each.key, []).append(at)
    for places in by_key.values():
        request = wanted[places[0]].asked.request
        count = 1 if request is None else images_at_once(request)
        yield from (places[at : at + count] for at in range(0, len(places), count))


def _one(found: Any) -> Any:
    """Return the one that there is. Raises: UsageError: there are several."""
    if isinstance(found, list):
        if len(found) != 1:
            raise UsageError(f"one thing is explained at a time; got {len(found)} rows")
        return found[0]
    return found


def _check(stopped: Callable[[], bool]) -> None:
    """Raises: StoppedError: nobody waits."""
    if stopped():
        raise StoppedError("ended before it was done: nobody waits for it")


def _told(port: Port) -> dict[str, Any]:
    kind = port.kind if port.dtype is None else DATATYPES[str(port.dtype)]
    return {"name": port.name, "datatype": kind, "shape": [-1 if d is None else d for d in port.shape]}


__all__ = ["Answer", "Served", "StoppedError", "Wanted"]
