"""Options of registered functions: read from the signature; text from the command line converted, ranges checked."""

from __future__ import annotations

import functools
import inspect
import json
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

from onnxsal.errors import UsageError, nearest


@dataclass(frozen=True)
class Range:
    """The bounds of a number, both inclusive; None is open."""

    low: float | None = None
    high: float | None = None

    def check(self, name: str, value: float) -> None:
        """Raise UsageError where ``value`` lies outside."""
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            low = "" if self.low is None else f"{self.low:g} <= "
            high = "" if self.high is None else f" <= {self.high:g}"
            raise UsageError(f"option {name}={value!r} is out of range: {low}{name}{high}")


def is_count(given: Any) -> bool:
    """Return whether a value is a whole number from 1 on, Python's or NumPy's."""
    try:
        return not isinstance(given, bool) and operator.index(given) > 0
    except TypeError:
        return False


_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def byte_count(text: str) -> int | None:
    """Return the bytes of an amount of memory such as ``500M`` or ``2G``, or None where it is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])i?B?", text.strip(), re.IGNORECASE)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found and 0 < float(found[1]) < math.inf else None


Samples = Annotated[int, Range(1)]
Level = Annotated[float, Range(0)]


@dataclass(frozen=True)
class Parameter:
    """One option of a method or metric."""

    name: str
    type: Any
    default: Any
    range: Range | None = None

    def convert(self, value: Any) -> Any:
        """Return ``value`` (text from the command line, or a Python object) in the option's type, range checked."""
        found = _convert(self.name, self.type, value)
        if self.range is not None and found is not None:
            self.range.check(self.name, found)
        return found


def positional(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a function's positional parameters: what it is made from, or judges by."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY)
    return tuple(p.name for p in parameters_of(function).values() if p.kind in kinds)


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function by name; of one that was seen before without looking again."""
    plain = isinstance(function, types.FunctionType)  # other callables may have no hash, or change
    return _parameters(function) if plain else inspect.signature(function).parameters


@functools.lru_cache(maxsize=512)
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters


def options_of(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Return a function's options by name: its keyword-only parameters."""
    hints = typing.get_type_hints(function, include_extras=True)
    return {
        p.name: parameter(p.name, hints.get(p.name, Any), p.default)
        for p in parameters_of(function).values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_options(
    owner: str, known: Mapping[str, Parameter], given: Mapping[str, Any], *, common: Sequence[str] = ()
) -> dict[str, Any]:
    """Return all options, converted, with defaults.

    Args: common: options that are taken elsewhere, for every owner alike: they are only suggested here.
    Raises: UsageError: unknown (``owner`` says whose), of the wrong type, out of range.
    """
    for name in given:
        if name not in known:
            names = [*known, *common]
            there = f"it takes {', '.join(names)}" if names else "it takes no options"
            raise UsageError(f"{owner} has no option {name!r}{nearest(name, names)} ({there})")
    return {n: p.convert(given[n]) if n in given else p.default for n, p in known.items()}


def parameter(name: str, hint: Any, default: Any) -> Parameter:
    """Return an option of a type; ranges stand on the type or, where None is allowed, on one side of the union."""
    plain = [_without_range(each) for each in _alternatives(hint)]
    bounds = next((found for _, found in plain if found is not None), None)
    kind = functools.reduce(operator.or_, (each for each, _ in plain))
    return Parameter(name, kind, default, bounds)


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)


def _without_range(hint: Any) -> tuple[Any, Range | None]:
    if get_origin(hint) is not Annotated:
        return hint, None
    plain, *extras = get_args(hint)
    return plain, next((e for e in extras if isinstance(e, Range)), None)


def _convert(name: str, hint: Any, value: Any) -> Any:
    if hint is Any:
        return value
    options = _alternatives(hint)
    for candidate in options:
        try:
            return _as(candidate, value)
        except (ValueError, TypeError, OverflowError):  # the last of integers that no float holds
            continue
    finite = ", and finite" if _endless(value) and {int, float} & set(options) else ""
    raise UsageError(f"option {name}={value!r}: expected {_shown(options)}{finite}{_suggestion(options, value)}")


def _endless(value: Any) -> bool:
    """Whether a value is NaN or infinity, or the text of one."""
    try:
        return not math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _as(hint: Any, value: Any) -> Any:
    """Return ``value`` as one plain type; text is read the way it is written on a command line."""
    if hint is type(None):
        if value is None or value in ("none", "None"):
            return None
        raise ValueError
    if get_origin(hint) is Literal:
        return _as_literal(get_args(hint), value)
    if get_origin(hint) in (tuple, list):
        return _as_tuple(get_args(hint), value)
    if hint is bool:
        return _as_bool(value)
    if hint is str:
        if not isinstance(value, str):
            raise TypeError
        return value
    if hint in (int, float):
        return _as_number(hint, value)
    if isinstance(value, hint):
        return value
    raise TypeError


def _as_literal(choices: tuple[Any, ...], value: Any) -> Any:
    for choice in choices:
        if type(value) is type(choice) and value == choice:
            return choice
        if isinstance(value, str) and value == str(choice):
            return choice
    raise ValueError


def _as_tuple(args: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if isinstance(value, str):
        text = value.strip()
        value = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
    if isinstance(value, (int, float)):
        value = [value]
    inner = args[0] if args else str
    if len(args) > 1 and args[1] is not Ellipsis and len(value) != len(args):
        raise ValueError
    return tuple(_as(inner, each) for each in value)


def _as_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError


def _as_number(hint: Any, value: Any) -> Any:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if number != number or number in (float("inf"), float("-inf")):
        raise ValueError
    if hint is int and number != int(number):
        raise ValueError
    return hint(number)


def shown_type(hint: Any) -> str:
    """Return an option's type in words."""
    return _shown(_alternatives(hint))


_WORDS: dict[Any, str] = {
    int: "a whole number", float: "a number", bool: "true or false", str: "a text", Any: "see the documentation",
    tuple[int, ...]: "whole numbers with commas between",
    tuple[float, ...]: "numbers with commas between", tuple[str, ...]: "names with commas between",
}  # fmt: skip


def _shown(options: tuple[Any, ...]) -> str:
    names: list[str] = []
    for hint in options:
        if get_origin(hint) is Literal:
            names.extend(str(a) for a in get_args(hint))
        elif hint is type(None):
            names.append("none")
        else:
            names.append(_WORDS.get(hint, str(hint)))
    return " or ".join(names)


def _suggestion(options: tuple[Any, ...], value: Any) -> str:
    choices = [str(a) for hint in options if get_origin(hint) is Literal for a in get_args(hint)]
    return nearest(str(value), choices) if choices else ""
