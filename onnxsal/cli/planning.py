"""Which of the options on a command line belong to which of its methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxsal.errors import UsageError, nearest
from onnxsal.explanation.method_plan import COMMON, DEFAULT_INNER, MethodPlan, plan
from onnxsal.methods import get


def planned(methods: Sequence[str], settings: Sequence[tuple[str, str]]) -> list[tuple[MethodPlan, dict[str, str]]]:
    """Return for every method its plan and what it takes of the options that all methods have.

    With several methods an option goes to those that have it.
    Raises: UsageError: unknown method or option, wrong type, out of range, or an option given twice.
    """
    return [(plan(name, own), common) for name, (own, common) in zip(methods, parted(methods, settings), strict=True)]


def parted(methods: Sequence[str], settings: Sequence[tuple[str, str]]) -> list[tuple[dict[str, str], dict[str, str]]]:
    """Return for every method its own options and those that all methods have, as they were written.

    Raises: as ``planned``.
    """
    given = once(settings)
    common = {name: text for name, text in given.items() if name in COMMON}
    own = {name: text for name, text in given.items() if name not in COMMON}
    if len(methods) == 1:
        return [(own, common)]
    _check_known(methods, own)
    taken = [{n: text for n, text in own.items() if n in _taken(name, own)} for name in methods]
    return [(each, _fitting(plan(name, each), common)) for name, each in zip(methods, taken, strict=True)]


def layers_for(layers: Sequence[str], plans: Sequence[MethodPlan]) -> list[str | list[str] | None]:
    """Return the layers that each method is given; where none takes a layer, the first one refuses it."""
    served = any(steps.needs_layer for steps in plans)
    return [_names(layers if steps.needs_layer or not served else ()) for steps in plans]


def _names(layers: Sequence[str]) -> str | list[str] | None:
    if not layers:
        return None
    return layers[0] if len(layers) == 1 else list(layers)


def once(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return options by name. Raises: UsageError: one is given twice."""
    given: dict[str, str] = {}
    for name, text in settings:
        if name in given:
            raise UsageError(f"option {name} is given twice: {given[name]!r} and {text!r}")
        given[name] = text
    return given


def _taken(method: str, options: Mapping[str, str]) -> set[str]:
    """Names of the options that a method has, and those of the method inside it."""
    found = get(method)
    if "inner" not in found.needs:
        return set(found.options)
    return {*found.options, "inner", *_taken(options.get("inner", DEFAULT_INNER), {})}


def _check_known(methods: Sequence[str], options: Mapping[str, str]) -> None:
    known = {name for method in methods for name in _taken(method, options)}
    for option in options:
        if option not in known:
            hint = nearest(option, [*known, *COMMON])
            raise UsageError(f"none of the methods {', '.join(methods)} has an option {option!r}{hint}")


def _fitting(steps: MethodPlan, common: Mapping[str, str]) -> dict[str, str]:
    """Maps of a layer have no sign: in a comparison the option is for those of pixels."""
    return {name: text for name, text in common.items() if name != "sign" or not steps.needs_layer}
