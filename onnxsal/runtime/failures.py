"""What ONNX Runtime says when it fails, in the words of this package: which operator, which nodes, what to do."""

from __future__ import annotations

import re

from onnxsal.errors import ModelError, OnnxsalError, OutOfMemoryError, UnsupportedError
from onnxsal.graph import Program
from onnxsal.runtime.environment import onnxruntime

_LISTED = 5
_CUSTOM = "if it is a custom operator, name its library with --custom-ops (custom_ops=...)"
_MEMORY = ("bad allocation", "bad_alloc", "failed to allocate memory", "out of memory", "cuda_error_out_of_memory",
           "available memory of", "cublas_status_alloc_failed", "cudnn_status_alloc_failed")  # fmt: skip
"""What allocators say: C++'s, the arena's (with or without a limit), CUDA's and its libraries'."""


_WORDS = {"FLOAT": "float32", "DOUBLE": "float64"}
_RARE = ("float64", "bfloat16")


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
        return _without_kernel(missing[1], missing[2], program)
    unknown = re.search(r"(\S+?)(?:\(-?\d+\))? is not a registered function/op", text)
    if unknown:
        return UnsupportedError(
            f"ONNX Runtime does not know operator {unknown[1]}{_at(unknown[1], program)}; {_CUSTOM}"
        )
    newer = re.search(r"No Op registered for (\S+) with domain_version of (\d+)", text)
    if newer:
        return UnsupportedError(
            f"ONNX Runtime knows no operator {newer[1]} in opset {newer[2]}{_at(newer[1], program)}; {_CUSTOM}"
        )
    if isinstance(error, MemoryError) or any(sign in text.lower() for sign in _MEMORY):
        return OutOfMemoryError(
            f"{what}: out of memory; bound it with --memory (memory=), or use a smaller batch_size ({text[:160]})"
        )
    return ModelError(f"{what}: {text[:400]}")


def _without_kernel(operator: str, name: str, program: Program | None) -> UnsupportedError:
    types = _types(operator, name, program)
    of, where = f" of {' and '.join(types)}" if types else "", f" at node {name!r}" if name else ""
    return UnsupportedError(
        f"ONNX Runtime {onnxruntime().__version__} has no kernel for {operator}{of}{where}; {_instead(operator, types)}"
    )


def _instead(operator: str, types: list[str]) -> str:
    if ":" in operator:
        return _CUSTOM
    rare = [kind for kind in types if kind in _RARE]
    if rare:
        return f"few of its kernels for the CPU are in {rare[0]}: export the model in float32 or float16"
    return "a newer one may have it; or export the model without that operator, or in other types"


def _types(operator: str, name: str, program: Program | None) -> list[str]:
    """Return the types that an operator's node takes, each once; none where it is not found."""
    nodes = () if program is None else program.model.graph.all_nodes()
    op_type = operator.rpartition(":")[2]
    found = (node for node in nodes if node.op_type == op_type and node.name == name)
    taken = (value.dtype for node in found for value in node.inputs if value is not None)
    return list(dict.fromkeys(_WORDS.get(kind.name, kind.name.lower()) for kind in taken if kind is not None))


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
