"""Execution providers by name, never another one than was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.runtime.environment import onnxruntime
from onnxsal.runtime.nvidia import CUDA, ON_GPU, TENSORRT, devices, missing, preload

CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"
_NAMES = {
    "cpu": CPU,
    "cuda": CUDA,
    "tensorrt": TENSORRT,
    "directml": "DmlExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "rocm": "ROCMExecutionProvider",
}
_MEANT = {"gpu": "cuda", "nvidia": "cuda"}
"""What no provider is called, and which is meant; by its letters ``gpu`` is nearest to ``webgpu``."""

_GPU = "pip uninstall -y onnxruntime; pip install 'onnxsal[gpu]'"
_OPTIONS = {CUDA: {"use_tf32": "0"}}
"""TF32 would cost three digits without being asked; the manifest says that it is off."""

_WITH_DEVICES = (*ON_GPU, _NAMES["directml"], _NAMES["rocm"])
"""Providers of which ``device_id`` says where they run."""

Chain = list[str | tuple[str, dict[str, str]]]


def full_name(name: str | None) -> str:
    """Return ONNX Runtime's own name of a provider, with or without a device (``cuda:1``); None is the CPU.

    Raises: UsageError: no provider is called that.
    """
    return _named("cpu" if name is None else name.partition(":")[0])


def device_id(name: str | None) -> int | None:
    """Return the number of the device that a name asks for (``cuda:1``), or None where it asks for none.

    Raises: UsageError: it is no number, or the provider has no devices to choose from.
    """
    provider, colon, device = (name or "cpu").partition(":")
    full = full_name(provider)
    if not colon:
        return None
    if full not in _WITH_DEVICES:
        raise UsageError(f"provider {name!r}: {provider} has no devices to choose from; write {provider!r}")
    if not (device.isascii() and device.isdigit()):
        raise UsageError(
            f"provider {name!r}: expected the number of a device behind the colon, as in '{provider}:0', got {device!r}"
        )
    return int(device)


def _named(given: str) -> str:
    if given.lower() in _NAMES:  # asked several times a picture
        return _NAMES[given.lower()]
    every = _every()
    found = every.get(given.lower().removesuffix(_SUFFIX.lower()))
    if found is None:
        meant = f"; did you mean {_MEANT[given.lower()]!r}?" if given.lower() in _MEANT else nearest(given, every)
        raise UsageError(f"there is no provider {given!r}{meant} (there are: {', '.join(every)})")
    return found


def _every() -> dict[str, str]:
    """Providers by short name: those that have one of ours, and whatever else this build of ONNX Runtime knows."""
    module = onnxruntime()
    known = {full.removesuffix(_SUFFIX).lower(): full for full in module.get_all_providers()}
    ours = set(_NAMES.values())
    return _NAMES | {short: full for short, full in known.items() if full not in ours}


def short_names() -> list[str]:
    """Return the providers of this build of ONNX Runtime that have a name of ours, by that name."""
    offered = onnxruntime().get_available_providers()
    return [short for short, full in _NAMES.items() if full in offered]


def providers(name: str | None) -> Chain:
    """Return ONNX Runtime's provider list for a short or full name; None is the CPU.

    What a provider has no kernel for runs on those after it.
    Raises: UsageError: no provider is called that, or it has no devices. UnsupportedError: this build of ONNX Runtime
    does not have it.
    """
    full, device, offered = full_name(name), device_id(name), onnxruntime().get_available_providers()
    if full not in offered:
        hint = f"; install the build that has it with: {_GPU}" if full in ON_GPU else ""
        raise UnsupportedError(f"this build of ONNX Runtime has no {full} (it has {', '.join(offered)}){hint}")
    if full in ON_GPU:
        preload()
    behind = [each for each in (CUDA, CPU) if each in offered and each != full]
    chain = [full, *(behind if full == TENSORRT else behind[-1:] if full != CPU else [])]
    at = {} if device is None else {"device_id": str(device)}
    options = {each: _OPTIONS.get(each, {}) | (at if each in _WITH_DEVICES else {}) for each in chain}
    return [(each, options[each]) if options[each] else each for each in chain]


def unusable(name: str, reason: str = "") -> UnsupportedError:
    """Return the error that says why a provider of this build does not come up on this machine.

    Args: reason: what ONNX Runtime said.
    """
    found = missing(name) if name in ON_GPU else []
    said = "; ".join(found) or " ".join(reason.split())[:300] or "ONNX Runtime does not say why"
    advice = f"'onnxsal[gpu]' brings the CUDA libraries ({_GPU}), the driver is the system's; " if found else ""
    return UnsupportedError(f"{name} cannot be used on this machine: {said}. {advice}or use --provider cpu")


def no_such_device(name: str | None) -> UnsupportedError | None:
    """Return the error that says how many GPUs there are, where a name asks for one that is not."""
    device, count = device_id(name), devices()
    if device is None or full_name(name) not in ON_GPU or device < count:
        return None
    return UnsupportedError(f"provider {name!r}: this machine has {count} GPU{'s' * (count != 1)}, counted from 0")


def described(name: str | None) -> Mapping[str, Any]:
    """Return what a manifest says of a provider: its name, and whether it may round to TF32."""
    if full_name(name) == CUDA:
        return {"provider": name, "tf32": False}
    return {"provider": name or "cpu"}
