"""Finding ONNX Runtime, and saying what to do where it is missing, doubled or damaged."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType

from onnxsal.errors import EnvironmentSetupError

BUILDS = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-rocm")
"""Packages that all install the module ``onnxruntime``, so that two of them overwrite each other."""

_CHOICE = "pip install 'onnxsal[cpu]'   (or 'onnxsal[gpu]' for an NVIDIA GPU)"


def problem() -> str | None:
    """Return what is wrong with the installation of ONNX Runtime and the command that mends it, or None."""
    installed = [name for name in BUILDS if _has(name)]
    if len(installed) > 1:
        return (
            f"{' and '.join(installed)} are installed over each other, which breaks both. Mend it with:\n"
            f"  pip uninstall -y {' '.join(installed)}\n"
            f"  {_CHOICE}"
        )
    if _has_files():
        return None
    if installed:
        return (
            f"{installed[0]} is installed, but its files are gone (another build of it was removed?). Mend it with:\n"
            f"  pip uninstall -y {installed[0]}\n  {_CHOICE}"
        )
    return f"onnxsal runs models on ONNX Runtime, which is not installed. Install it with:\n  {_CHOICE}"


def _has_files() -> bool:
    """A folder that only caches are left in is found as well, as a namespace: it has no file of its own."""
    found = importlib.util.find_spec("onnxruntime")
    return found is not None and found.origin is not None


def _has(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def warn_importer() -> None:
    """Warn whoever imports onnxsal where ONNX Runtime is missing or doubled; a command of onnxsal's says so itself."""
    if not _is_command():
        text = problem()
        if text is not None:
            warnings.warn(text, stacklevel=4)


def _is_command() -> bool:
    """Whether the process is ``onnxsal ...`` or ``python -m onnxsal ...``."""
    script = sys.argv[0] if sys.argv else ""
    if script == "-m":
        first = sys.orig_argv.index("-m") + 1
        return sys.orig_argv[first : first + 1] == ["onnxsal"]
    return Path(script).stem == "onnxsal"


@cache  # looking for five packages takes milliseconds, and every map asks
def onnxruntime() -> ModuleType:
    """Return the module, its telemetry off unless ``ORT_DISABLE_TELEMETRY`` says otherwise.

    Raises: EnvironmentSetupError: it is missing, doubled or damaged, with the command to run.
    """
    text = problem()
    if text is not None:
        raise EnvironmentSetupError(text)
    # Official builds from 1.29 on report models and machine over the network unless this is set before they are loaded.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime as module

        module.InferenceSession, module.SessionOptions  # noqa: B018  a damaged install lacks them
    except (ImportError, AttributeError, OSError) as error:
        raise EnvironmentSetupError(
            f"ONNX Runtime is installed but cannot be loaded ({error}). Install it again with:\n"
            f"  pip uninstall -y {' '.join(BUILDS[:2])}\n  {_CHOICE}"
        ) from error
    module.set_default_logger_severity(4)
    loaded: ModuleType = module
    return loaded
