"""What ONNX Runtime says when it fails, in the words of this package: which operator, which nodes, what to do."""

from __future__ import annotations

import re

from onnxsal.errors import ModelError, OnnxsalError, OutOfMemoryError, UnsupportedError
from onnxsal.graph import Program

_LISTED = 5
_CUSTOM = "if it is a custom operator, name its library with --custom-ops (custom_ops=...)"
_MEMORY = ("bad allocation", "bad_alloc", "failed to allocate memory", "out of memory", "cuda_error_out_of_memory",
           "available memory of", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")  # fmt: skip
"""What allocators say: C++'s, the arena's (with or without a limit), CUDA's and its libraries'."""


def failures() -> tuple[type[BaseException], ...]:
    """Return the exceptions that ONNX Runtime raises over a model or a run."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "NoSuchFile", "NoModel", "EngineError", "RuntimeException", "InvalidProtobuf",
             "ModelLoaded", "NotImplemented", "InvalidGraph", "EPFail")  # fmt: skip
    found = tuple(getattr(state, name) for name in names if hasattr(state, name))
    return (*found, RuntimeError, ValueError, MemoryError)


def translated(error: BaseException, what: str, program: Program | None = None) -> OnnxsalError:
    """Return the error to raise instead; ``what`` says what failed, ``program`` where its nodes are looked up."""
    text = " ".join(str(error).split())
    missing = re.search(r"Could not find an implementation for (\S+?)\(\d+\) node with name '([^']*)'", text)
    if missing:
        types = "" if ":" in missing[1] else " and the types it is used with (float64 or bfloat16 on the CPU?)"
        advice = _CUSTOM if ":" in missing[1] else "export the model in float32 or float16"
        return UnsupportedError(f"ONNX Runtime has no kernel for {missing[1]} at node {missing[2]!r}{types}; {advice}")
    unknown = re.search(r"(\S+?)(?:\(-?\d+\))? is not a registered function/op", text)
    if unknown:
        return UnsupportedError(
            f"ONNX Runtime does not know operator {unknown[1]}{_at(unknown[1], program)}; {_CUSTOM}"
        )
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _MEMORY):
        return OutOfMemoryError(
            f"{what}: out of memory; bound it with --memory, or use a smaller batch_size ({text[:160]})"
        )
    return ModelError(f"{what}: {text[:400]}")


def _at(operator: str, program: Program | None) -> str:
    """Return the nodes of an operator as a clause."""
    domain, _, op_type = operator.rpartition(":")
    if program is None:
        return ""
    nodes = [n for n in program.model.graph if n.op_type == op_type and n.domain in (domain, f"ai.onnx.{domain}")]
    names = [repr(node.name or node.outputs[0].name) for node in nodes]
    if not names:
        return ""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f" (node{'s' if len(names) > 1 else ''} {', '.join(names[:_LISTED])}{more})"
