"""Which class of one model is which of another, by their labels."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from onnxsal.errors import UsageError
from onnxsal.tasks.labels import Labels


def same_class(index: int, first: Labels, second: Labels) -> int | None:
    """Return the index in ``second`` of the class that is ``index`` in ``first``, or None where it has no such class.

    Lists that are equal but for one class in front, a background, are moved against each other by one. Otherwise whole
    labels count, as sets of synonyms, upper and lower case alike: of several classes that share one the k-th is the
    k-th, if both lists have as many. Where no whole label fits, the first synonym does if it is one class's in both.

    Raises: UsageError: several classes share the name, and nothing tells which of them is meant.
    """
    offset = _offset(first, second)
    if offset is not None:
        return index + offset if 0 <= index + offset < len(second) else None
    whole, others = _alike(index, first, second, _synonyms)
    if others and len(whole) == len(others):
        return others[whole.index(index)]
    if not others:
        named, others = _alike(index, first, second, _first)
        if not others:
            return None
        if len(named) == len(others) == 1:
            return others[0]
        whole = named
    raise UsageError(
        f"which class of the other model {first.names[index]!r} is cannot be told: {_listed(whole)} here and "
        f"{_listed(others)} there share the name"
    )


def _offset(first: Labels, second: Labels) -> int | None:
    """How far the classes of two lists are apart that are equal but for one in front, or None."""
    a, b = ([name.casefold() for name in each.names] for each in (first, second))
    return 1 if a == b[1:] else -1 if a[1:] == b else None


def _alike(
    index: int, first: Labels, second: Labels, key: Callable[[str], Hashable]
) -> tuple[Sequence[int], Sequence[int]]:
    """The classes of either model that a key does not tell from one class of the first."""
    wanted = key(first.names[index])
    found = [[k for k, name in enumerate(each.names) if key(name) == wanted] for each in (first, second)]
    return found[0], found[1]


def _synonyms(name: str) -> frozenset[str]:
    return frozenset(synonym.strip() for synonym in name.casefold().split(","))


def _first(name: str) -> str:
    return name.split(",")[0].strip().casefold()


def _listed(indices: Sequence[int]) -> str:
    return ", ".join(map(str, indices))


__all__ = ["same_class"]
