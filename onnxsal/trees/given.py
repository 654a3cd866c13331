"""Attributes of a node that holds trees, each of the length it has to have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.graph import attributes


class Given:
    """A node's attributes as arrays, and its name as messages have it."""

    def __init__(self, node: ir.Node) -> None:
        self._values = attributes(node)
        self.name = f"{node.op_type} {node.name or (node.outputs[0].name if node.outputs else '')!r}"
        self._fed = node.inputs[0].dtype if node.inputs and node.inputs[0] is not None else None

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def get(self, name: str, default: Any = None) -> Any:
        """Return a number or text as it is."""
        return self._values.get(name, default)

    def array(self, name: str, length: int | None = None) -> NDArray[Any]:
        """Return an attribute as an array, empty where the node has none.

        Raises: ModelError: it has another length.
        """
        value = self._values.get(name, ())
        found = value.numpy().ravel() if isinstance(value, ir.TensorProtocol) else np.asarray(value)
        if not found.size:
            found = found.astype(np.int64)
        if length is not None and len(found) != length:
            raise ModelError(f"{self.name}: {name} has {len(found)} values, not {length}")
        return found

    def numbers(self, name: str, length: int | None = None) -> tuple[NDArray[np.float64], np.dtype[Any]]:
        """Return floats, given as such or ``_as_tensor``, and the type they have in the file.

        Raises: ModelError: both are given, or they have another length.
        """
        tensor = f"{name}_as_tensor"
        if self.array(name).size and self.array(tensor).size:
            raise ModelError(f"{self.name} has both {name} and {tensor}; one of them is meant")
        chosen = tensor if self.array(tensor).size else name
        found = self.array(chosen, length)
        kind = found.dtype if chosen == tensor or isinstance(self.get(name), ir.TensorProtocol) else np.dtype("f4")
        return found.astype(np.float64), kind

    def indices(self, name: str, limits: tuple[int, int], length: int | None = None) -> NDArray[np.int64]:
        """Return whole numbers of which each is at least the first limit and below the second.

        Raises: ModelError: one is not, or there are more or fewer than ``length``.
        """
        found = self.array(name, length).astype(np.int64)
        outside = np.flatnonzero((found < limits[0]) | (found >= limits[1]))
        if outside.size:
            at = int(outside[0])
            raise ModelError(
                f"{self.name}: {name} holds {found[at]} at place {at}, outside of {limits[0]} to {limits[1] - 1}"
            )
        return found

    def compared_as(self, thresholds: np.dtype[Any]) -> np.dtype[Any]:
        """Return the type that values and thresholds are compared in: double where one is, else the input's float.

        Raises: UnsupportedError: thresholds are double and what is compared is not known to be.
        """
        fed = None if self._fed is None else self._fed.numpy()
        if thresholds == np.float64 and fed is not None and fed != np.float64:
            raise UnsupportedError(f"{self.name}: thresholds are double, the input is {fed}; runtimes refuse the file")
        if fed is None or fed == np.float64:
            return np.dtype(fed or thresholds)
        return np.dtype(np.float16 if fed == np.float16 else np.float32)
