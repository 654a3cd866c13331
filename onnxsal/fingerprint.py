"""Options as plain data that tells different ones apart: for cache keys, journals, labels and manifests."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

LISTED = 16
"""Numbers of an array that are listed; of a larger one shape and hash are given."""


def fingerprint(value: Any, *, listed: int = LISTED) -> Any:
    """Return a value as data that JSON can hold, lists and dicts at any depth.

    What an array prints leaves out its middle, so a larger one than ``listed`` is named by its hash; a function is
    named by the hash of its code. Tuples stay tuples. What is none of these is named by its ``repr``.
    """
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, Mapping):
        return _mapping({k: fingerprint(v, listed=listed) for k, v in value.items()})
    if isinstance(value, (list, tuple)):
        found = [fingerprint(each, listed=listed) for each in value]
        return found if isinstance(value, list) else tuple(found)
    if isinstance(value, (set, frozenset)):
        return sorted((fingerprint(each, listed=listed) for each in value), key=repr)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"bytes, SHA-256 {hashlib.sha256(value).hexdigest()}"
    if hasattr(value, "__array__") and not isinstance(value, type):
        return _array(np.asarray(value), listed)
    if callable(value):
        return f"function {getattr(value, '__name__', type(value).__name__)}, SHA-256 {code_digest(value)}"
    return repr(value)


def _mapping(found: Mapping[Any, Any]) -> Any:
    """JSON makes text of every key, so 1 and "1" would be one."""
    if all(isinstance(name, str) for name in found):
        return dict(found)
    return [[fingerprint(name), value] for name, value in found.items()]


def _array(array: np.ndarray[Any, Any], listed: int) -> Any:
    if array.size <= listed or array.dtype.hasobject:  # the bytes of objects are their addresses
        return fingerprint(array.tolist())
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return f"array {list(array.shape)} of {array.dtype}, SHA-256 {digest}"


def code_digest(function: Callable[..., Any]) -> str:
    """Return a hash of what a function does: its code, defaults, and what it takes from around it.

    Functions of its own module that it calls count with it; those of other modules by their names.
    """
    return hashlib.sha256(json.dumps(_function(function, {}), default=str).encode()).hexdigest()


Seen = dict[int, Any]
"""What was met before, by its address, and kept alive so that nothing else gets it: functions may call each other."""


def _function(function: Any, seen: Seen) -> Any:
    if id(function) in seen:
        return "above"
    seen[id(function)] = function
    if isinstance(function, functools.partial):
        return [_function(function.func, seen), _around(function.args, seen), _around(function.keywords, seen)]
    found = function if isinstance(function, types.FunctionType) else getattr(function, "__func__", None)
    if not isinstance(found, types.FunctionType):
        return _called(function, seen)
    outside = {n: found.__globals__[n] for n in sorted(_names(found.__code__)) if n in found.__globals__}
    return [
        _code(found.__code__), _around(found.__defaults__, seen), _around(found.__kwdefaults__, seen),
        [_around(cell.cell_contents, seen) for cell in found.__closure__ or () if _is_set(cell)],
        _around(getattr(function, "__self__", None), seen),
        {name: _global(value, found.__module__, seen) for name, value in outside.items()},
    ]  # fmt: skip


def _called(function: Any, seen: Seen) -> Any:
    """An object that can be called: by its class's code and what it holds; what Python cannot look into by its name."""
    call = inspect.getattr_static(type(function), "__call__", None)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(function, type) or not isinstance(call, types.FunctionType):
        return f"{getattr(function, '__module__', '')}.{name}"
    return [name, _function(call, seen), _around(getattr(function, "__dict__", {}), seen)]


def _is_set(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False


def _names(code: types.CodeType) -> set[str]:
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return {*code.co_names, *(name for each in inner for name in _names(each))}


def _code(code: types.CodeType) -> Any:
    return [code.co_code.hex(), list(code.co_names), list(code.co_varnames), [_constant(c) for c in code.co_consts]]


def _constant(value: Any) -> Any:
    return _code(value) if isinstance(value, types.CodeType) else fingerprint(value)


_CONTENTS = (str, int, float, complex, bytes, frozenset, np.ndarray, np.generic, type(None))
"""What is told by its contents; the ``repr`` of other objects holds addresses, so of them the type counts."""


def _around(value: Any, seen: Seen) -> Any:
    if isinstance(value, _CONTENTS):
        return fingerprint(value)
    if not isinstance(value, (list, tuple, Mapping)):
        return _function(value, seen) if callable(value) else type(value).__qualname__
    if id(value) in seen:
        return "above"
    seen[id(value)] = value
    if isinstance(value, Mapping):
        return [[fingerprint(name), _around(each, seen)] for name, each in value.items()]
    return [_around(each, seen) for each in value]


def _global(value: Any, module: str, seen: Seen) -> Any:
    """What a function takes from its module; the contents of other modules have versions of their own."""
    if callable(value) and getattr(value, "__module__", "") != module:
        return str(getattr(value, "__qualname__", type(value).__qualname__))
    return _around(value, seen)
