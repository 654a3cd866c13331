"""Finding ONNX Runtime, and saying what to do where it is missing or damaged."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from types import ModuleType

from onnxsal.errors import EnvironmentSetupError

_CHOICE = "pip install 'onnxsal[cpu]'   (or 'onnxsal[gpu]' for an NVIDIA GPU)"


def problem() -> str | None:
    """Return what is wrong with the installation of ONNX Runtime and the command that mends it, or None."""
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _has(name)]
    if len(installed) == 2:
        return (
            "onnxruntime and onnxruntime-gpu are installed over each other, which breaks both. Mend it with:\n"
            "  pip uninstall -y onnxruntime onnxruntime-gpu\n"
            "  pip install 'onnxsal[gpu]'   (or 'onnxsal[cpu]')"
        )
    if importlib.util.find_spec("onnxruntime") is None:
        return f"onnxsal runs models on ONNX Runtime, which is not installed. Install it with:\n  {_CHOICE}"
    return None


def _has(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def onnxruntime() -> ModuleType:
    """Return the module. Raises: EnvironmentSetupError: it is missing, doubled or damaged, with the command to run."""
    text = problem()
    if text is not None:
        raise EnvironmentSetupError(text)
    try:
        import onnxruntime as module

        module.InferenceSession, module.SessionOptions  # noqa: B018  a damaged install lacks them
    except (ImportError, AttributeError, OSError) as error:
        raise EnvironmentSetupError(
            f"ONNX Runtime is installed but cannot be loaded ({error}). Install it again with:\n"
            f"  pip uninstall -y onnxruntime onnxruntime-gpu\n  {_CHOICE}"
        ) from error
    module.set_default_logger_severity(4)
    loaded: ModuleType = module
    return loaded
