"""Whose fault it is that no graph can be made of a model: ONNX Runtime says whether it runs the model itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import onnx_ir as ir

from onnxsal.errors import InvalidGraphError, OnnxsalError
from onnxsal.graph.program import Program
from onnxsal.runtime.session import Session

_STRANGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError)
"""What rules raise over attributes and sizes that no operator has."""

_NUMBERS = re.compile(r"tensor\((bool|u?int\d+|float\d*|double)\)")
"""Types of tensors, in ONNX Runtime's words, that hold zeros."""


@contextmanager
def blaming(source: ir.Model, custom_ops: Sequence[str] = ()) -> Iterator[None]:
    """Turn what is raised inside over a model that ONNX Runtime refuses into what that says of the model.

    Our own errors pass, and so does a fault of ours: the model runs then. Raises: ModelError: it does not.
    """
    try:
        yield
    except InvalidGraphError:
        _run_on_zeros(Session(Program(source), custom_ops=custom_ops))
        raise
    except OnnxsalError:
        raise
    except _STRANGE:
        _run_on_zeros(Session(Program(source), custom_ops=custom_ops))
        raise


def _run_on_zeros(session: Session) -> None:
    """Run a model whose sizes are known but for the batch's: some that no run gets through are loaded all the same."""
    ports = [each for each in session.ports[0] if not each.optional]
    if all(_NUMBERS.fullmatch(p.type) and all(isinstance(n, int) for n in p.shape[1:]) for p in ports):
        session.run({p.name: np.zeros([n if isinstance(n, int) else 1 for n in p.shape]) for p in ports})
