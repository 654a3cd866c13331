"""Training on ONNX Runtime alone: onnxsal writes the gradient graph of a loss, numpy steps the weights (AdamW).

AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2; the rate: Smith & Topin 2018, arXiv:1708.07120, along
cosines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

import onnxsal

Array = NDArray[np.float32]


class AdamW:
    """Weights under way to the least loss; every step moves them by their gradients' running means."""

    def __init__(self, weights: Mapping[str, Array], *, decay: float = 0.0, betas: tuple[float, float] = (0.9, 0.999)):
        self.weights = {name: np.array(array, np.float32) for name, array in weights.items()}
        self.decay, self.betas, self.steps = decay, betas, 0
        self._first = {name: np.zeros_like(array) for name, array in self.weights.items()}
        self._second = {name: np.zeros_like(array) for name, array in self.weights.items()}

    def step(self, gradients: Mapping[str, Array], rate: float) -> None:
        """Move every weight against its gradient."""
        self.steps += 1
        early = [1 - beta**self.steps for beta in self.betas]  # the means begin at zero
        for name, g in gradients.items():
            first, second, w = self._first[name], self._second[name], self.weights[name]
            first += (1 - self.betas[0]) * (g - first)
            second += (1 - self.betas[1]) * (g * g - second)
            w *= 1 - rate * self.decay
            w -= rate / early[0] * first / (np.sqrt(second / early[1]) + 1e-8)


class Trainer:
    """A model with an output ``loss`` and weights among its inputs, trained on its own gradient graph.

    Args: state: what is fed back: after a step the output ``next/<name>`` becomes the input ``<name>``.
    """

    def __init__(
        self, model: onnx.ModelProto, optimizer: AdamW, *, state: Mapping[str, Array] | None = None, threads: int = 0
    ) -> None:
        self.optimizer, self.state = optimizer, dict(state or {})
        graph = onnxsal.gradient(model, of=["loss"], wrt=list(optimizer.weights))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def step(self, feeds: Mapping[str, Array], rate: float) -> float:
        """Take one step, and return the loss before it."""
        weights = self.optimizer.weights
        wanted = ["loss", *(f"grad/{name}" for name in weights), *(f"next/{name}" for name in self.state)]
        given = {**feeds, **weights, **self.state, "seed/loss": np.ones((), np.float32)}
        found = dict(zip(wanted, self._session.run(wanted, given), strict=True))
        self.optimizer.step({name: found[f"grad/{name}"] for name in weights}, rate)
        self.state = {name: found[f"next/{name}"] for name in self.state}
        return float(found["loss"])


def one_cycle(step: int, steps: int, peak: float, rise: float = 0.2) -> float:
    """Return the rate at a step: from a 25th of the peak up to it, then down to nearly nothing."""
    top = rise * steps - 1
    if step <= top:
        return _between(peak / 25, peak, step / top)
    return _between(peak, peak / 250_000, (step - top) / (steps - 1 - top))


def _between(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
