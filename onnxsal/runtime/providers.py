"""Execution providers by name, never another one than was asked for."""

from __future__ import annotations

from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.runtime.environment import onnxruntime

_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}


def providers(name: str | None) -> list[str | tuple[str, dict[str, str]]]:
    """Return ONNX Runtime's provider list for a short or full name; None is the CPU.

    Raises: UsageError: no provider is called that. UnsupportedError: this build of ONNX Runtime does not have it.
    """
    full = _NAMES.get((name or "cpu").lower(), name or "")
    known = {*_NAMES.values()}
    if full not in known:
        raise UsageError(
            f"there is no provider {name!r}{nearest(name or '', [*_NAMES, *known])} (there are: {', '.join(_NAMES)})"
        )
    if full not in onnxruntime().get_available_providers():
        hint = "; install it with: pip install 'onnxsal[gpu]'" if "cuda" in full.lower() else ""
        raise UnsupportedError(f"this build of ONNX Runtime has no {full}{hint}")
    # TF32 would cost three digits without being asked; the manifest says that it is off.
    options = {"use_tf32": "0"} if full == "CUDAExecutionProvider" else {}
    chosen: list[str | tuple[str, dict[str, str]]] = [(full, options)] if options else [full]
    return chosen if full == "CPUExecutionProvider" else [*chosen, "CPUExecutionProvider"]
