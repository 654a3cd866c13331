"""How a file's own numbers are read as probabilities, where no bare activation makes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.graph import Tape, dims
from onnxsal.graph.names import node_title
from onnxsal.tasks.activation import held
from onnxsal.tasks.held import Held
from onnxsal.tasks.recipes import Recipe


@dataclass(frozen=True)
class Reading:
    """How the file's numbers are read where no bare activation makes them: what they are times, and their logits."""

    logits: Recipe | None = None
    scale: float = 1.0
    log: bool = False
    """Whether they are logarithms."""

    def probabilities(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return the probabilities that numbers stand for."""
        plain = value if self.scale == 1.0 else op.Div(value, self.scale)
        return op.Exp(plain) if self.log else plain


def held_behind(chain: Sequence[ir.Value]) -> Held | None:
    """Return the probabilities that are proved behind an output, where they are of its classes."""
    found = held(chain[-1])
    shape = dims(chain[-1])
    if found is None or found.axis is None or shape is None:
        return found
    return found if found.axis and all(d == 1 for at, d in enumerate(shape) if at not in (0, found.axis)) else None


def proof_of(found: Held, value: ir.Value, output: str) -> str:
    """Return which nodes prove it, as a decision says it."""
    last = value.producer()
    by_way = "" if last is None or node_title(last) == found.node else f", by way of {node_title(last)}"
    return f"{found.node} makes {output!r}{by_way}"
