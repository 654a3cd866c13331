"""A model's file as it is in ONNX Runtime: nothing of it is changed, and every input and output is its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.runtime.environment import onnxruntime
from onnxsal.runtime.failures import failures, translated
from onnxsal.runtime.leaving import GATE
from onnxsal.runtime.providers import providers
from onnxsal.runtime.session import options_of

DTYPES: Mapping[str, type[np.generic]] = {
    "bool": np.bool_, "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64, "float16": np.float16,
    "float": np.float32, "double": np.float64, "string": np.object_,
}  # fmt: skip
"""NumPy's types by ONNX Runtime's names of those that both have."""


@dataclass(frozen=True)
class Port:
    """An input or output of a file: its name, the type as ONNX Runtime spells it, and its axes; None is open.

    Of one without axes ONNX Runtime does not tell whether it is a scalar or of any shape.
    """

    name: str
    kind: str
    shape: tuple[int | None, ...]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """The type of its arrays; None where it is no tensor, or of a type that NumPy lacks."""
        found = DTYPES.get(self.kind.removeprefix("tensor(").removesuffix(")"))
        return None if found is None else np.dtype(found)

    def taken(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array as ONNX Runtime takes it, mostly itself.

        Raises: UsageError: it is of another type or shape.
        """
        if self.dtype == np.object_:
            array = _strings(array, self.name)
        fits = not self.shape or (
            array.ndim == len(self.shape) and all(d in (None, n) for d, n in zip(self.shape, array.shape, strict=True))
        )
        if array.dtype != self.dtype or not fits:
            axes = ", ".join("?" if d is None else str(d) for d in self.shape)
            raise UsageError(
                f"the input {self.name!r} takes {self.kind} [{axes}]; got {array.dtype} {list(array.shape)}"
            )
        return array


def _strings(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return text as ONNX Runtime takes it, of bytes what they spell."""
    if array.dtype.kind not in "OSU":
        return array
    try:
        each = [e.decode() if isinstance(e, bytes) else e for e in array.ravel().tolist()]
    except UnicodeDecodeError:
        raise UsageError(f"the input {name!r} takes text, and bytes were given that are none in UTF-8") from None
    found = np.empty(array.size, object)
    found[:] = each
    return found.reshape(array.shape)


class FileSession:
    """A model's file that ONNX Runtime has loaded as it lies there; threads may run it at the same time.

    Its results are those of ``onnxruntime.InferenceSession(path)``, bit for bit.

    Attributes: inputs, outputs: what it takes and puts out, in the file's order. optional: the inputs that have a
    value of their own where none is given.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        provider: str | None = None,
        threads: int | None = None,
        custom_ops: Sequence[str] = (),
    ) -> None:
        options = options_of(threads, custom_ops)
        try:
            self._session: Any = onnxruntime().InferenceSession(
                os.fspath(path), options, providers=providers(provider), enable_fallback=0
            )
        except failures() as error:
            raise translated(error, "ONNX Runtime cannot load the model") from error
        self.inputs = _ports([*self._session.get_inputs(), *self._session.get_overridable_initializers()])
        self.optional = {each.name for each in self._session.get_overridable_initializers()}
        self.outputs = _ports(self._session.get_outputs())

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
        """Return outputs by name: those that are asked for, else all that are tensors.

        Raises: UsageError: what is given is not what it takes, or there is no such output. ModelError: the run failed.
        """
        names = [self._output(name) for name in outputs] or [n for n, each in self.outputs.items() if each.dtype]
        for name in self.inputs.keys() - feeds.keys() - self.optional:
            raise UsageError(f"nothing is given for the input {name!r} (it has {', '.join(self.inputs)})")
        given = {name: self._input(name).taken(array) for name, array in feeds.items()}
        try:
            with GATE.passed():
                found = self._session.run(names, given)
        except failures() as error:
            raise translated(error, "the model cannot be run") from error
        return dict(zip(names, found, strict=True))

    def _input(self, name: str) -> Port:
        if name not in self.inputs:
            raise UsageError(
                f"the model has no input {name!r}{nearest(name, self.inputs)} (it has {', '.join(self.inputs)})"
            )
        return self.inputs[name]

    def _output(self, name: str) -> str:
        if name not in self.outputs:
            raise UsageError(
                f"the model has no output {name!r}{nearest(name, self.outputs)} (it has {', '.join(self.outputs)})"
            )
        if self.outputs[name].dtype is None:
            raise UnsupportedError(f"the output {name!r} is {self.outputs[name].kind}, which is no array of NumPy's")
        return name


def _ports(values: Sequence[Any]) -> dict[str, Port]:
    return {v.name: Port(v.name, v.type, tuple(d if isinstance(d, int) else None for d in v.shape)) for v in values}
