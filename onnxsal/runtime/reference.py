"""The same interface on onnx's reference evaluator: slow, any precision, the oracle of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from onnxsal.graph import Program

Array = NDArray[Any]


class ReferenceSession:
    """A program on onnx's reference evaluator."""

    def __init__(self, program: Program) -> None:
        self.inputs = tuple(program.inputs)
        self.outputs = tuple(program.outputs)
        self.single = False
        self.provider = "onnx.reference"
        self._evaluator = ReferenceEvaluator(program.to_proto())

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
        """Return the outputs by name for arrays by name."""
        names = list(outputs or self.outputs)
        with np.errstate(all="ignore"):
            results = self._evaluator.run(names, {name: feeds[name] for name in self.inputs})
        return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}
