"""Options as plain data: equal for equal contents alone, however deep they lie."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from onnxsal.fingerprint import code_digest, fingerprint


def large(value: float) -> np.ndarray:
    array = np.zeros((50, 50), np.float32)
    array[20:30] = value
    return array


PAIRS = {
    "array": (large(0), large(1)),
    "list": ([large(0)] * 3, [large(0), large(1), large(0)]),
    "tuple": ((1, large(0)), (1, large(1))),
    "dict": ({"a": {"b": large(0)}}, {"a": {"b": large(1)}}),
    "keys": ({1: 0}, {"1": 0}),
    "objects": (np.array([large(0), None], object), np.array([large(1), None], object)),
    "bytes": (b"a", b"b"),
    "functions": (lambda x: x + 1, lambda x: x + 2),
}


@pytest.mark.parametrize(("first", "other"), PAIRS.values(), ids=PAIRS.keys())
def test_what_differs_is_told_apart(first: Any, other: Any) -> None:
    texts = [json.dumps(fingerprint(each)) for each in (first, first, other)]
    assert texts[0] == texts[1] != texts[2]


def test_numbers_of_numpy_are_numbers() -> None:
    assert fingerprint({"n": np.int64(3), "s": np.float32(0.5), "b": np.bool_(True)}) == {"n": 3, "s": 0.5, "b": True}
    assert [type(each) for each in fingerprint([np.int64(3), np.bool_(True)])] == [int, bool]


SOURCES = {
    "def f(x, *, a=1): return x + a": "def f(x, *, a=2): return x + a",
    "def f(x): return [y + 1 for y in x]": "def f(x): return [y + 2 for y in x]",
    "def f(x): return x.min()": "def f(x): return x.max()",
    "K = 1\ndef f(x): return x * K": "K = 2\ndef f(x): return x * K",
    "def g(x): return 1\ndef f(x): return g(x)": "def g(x): return 2\ndef f(x): return g(x)",
    "K = {}\ndef f(x): return K['f'](x + 1)\nK['f'] = f": "K = {}\ndef f(x): return K['f'](x + 2)\nK['f'] = f",
    "def h(k):\n  return lambda x: x * k\nf = h(1)": "def h(k):\n  return lambda x: x * k\nf = h(2)",
}


@pytest.mark.parametrize("source", SOURCES)
def test_functions_are_told_apart_by_what_they_do(source: str) -> None:
    found = [code_digest(made(each)) for each in (source, "# the same\n\n" + source, SOURCES[source])]
    assert found[0] == found[1] != found[2]


def made(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": "notebook"}
    exec(source, names)
    return names["f"]  # type: ignore[no-any-return]


def test_what_is_no_plain_function() -> None:
    class Judge:
        def __init__(self, power: int) -> None:
            self.power = power

        def __call__(self, saliency: float) -> float:
            return saliency**self.power

    digests = [code_digest(f) for f in (Judge(1), Judge(2), Judge(1).__call__, functools.partial(pow, 2), len, Judge)]
    assert len(set(digests)) == len(digests)
    assert code_digest(Judge(1)) == digests[0]
