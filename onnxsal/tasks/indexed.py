"""What names elements of an output: an index by NumPy's rules, as an object or as text, and where in it they lie."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from types import EllipsisType

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError

Index = int | slice | EllipsisType
Columns = NDArray[np.int64]

_TEXT = re.compile(r"(.*)\[([^\[\]]*)\]\s*", re.DOTALL)
_INDEX = re.compile(r"\s*(-?\d+|\.\.\.|[-\d\s]*:[-\d\s:]*)\s*")
_MIDDLE = 2


@dataclass(frozen=True, init=False)
class Element:
    """What an index selects of an output, summed: ``Element("boxes", 0, 4, slice(None))``, as text ``boxes[0, 4, :]``.

    Args: index: one entry an axis, that of the batch among them: numbers, slices, ``...``; none of an output that is
    one number.
    """

    output: str
    index: tuple[Index, ...]

    def __init__(self, output: str, *index: Index) -> None:
        object.__setattr__(self, "output", output)
        object.__setattr__(self, "index", index)

    def __str__(self) -> str:
        return f"{self.output}[{', '.join(map(_written, self.index))}]" if self.index else self.output

    def __hash__(self) -> int:
        """Slices are no keys before Python 3.12."""
        return hash(str(self))

    @classmethod
    def read(cls, text: str, outputs: Iterable[str]) -> Element | None:
        """Return what text says of one of these outputs, whatever signs its name has; None where it names none.

        Raises: UsageError: what stands in the brackets is no index.
        """
        names = list(outputs)
        if text in names:
            return cls(text)
        found = _TEXT.fullmatch(text)
        name = next((n for n in (found[1], found[1].rstrip()) if n in names), None) if found else None
        return None if found is None or name is None else cls(name, *(_entry(part, text) for part in _parts(found[2])))

    def columns(self, shape: Sequence[int | None]) -> Columns:
        """Return where in a flattened output of this shape, one input's, what is selected lies; int64 [M].

        Raises: UsageError: the index does not fit the shape, or selects nothing.
        """
        chosen = [_chosen(self, axis, each, shape) for axis, each in enumerate(self._whole(shape))]
        if not all(map(len, chosen)):
            raise UsageError(f"{str(self)!r} selects nothing: the output has the shape {shown(shape)}")
        steps = _steps(shape, chosen)
        if steps is None:
            raise UsageError(f"{str(self)!r} needs the size of every axis, and {shown(shape)} leaves some open")
        start = np.zeros(1, np.int64)
        return reduce(lambda all_, one: np.add.outer(all_, one).reshape(-1), map(np.multiply, chosen, steps), start)

    def _whole(self, shape: Sequence[int | None]) -> tuple[int | slice, ...]:
        """Return an entry for every axis."""
        plain = [each for each in self.index if each is not Ellipsis]
        missing, dotted = len(shape) - len(plain), len(self.index) - len(plain)
        if dotted > 1 or missing < 0 or (missing and not dotted):
            raise UsageError(
                f"{str(self)!r} has {len(plain)} entries, and the output has {len(shape)} axes {shown(shape)}: "
                f"{example(self.output, shape)}"
            )
        at = next((i for i, each in enumerate(self.index) if each is Ellipsis), len(self.index))
        before, after = self.index[:at], self.index[at + 1 :]
        return (*before, *[slice(None)] * missing, *after)  # type: ignore[arg-type]


def named_by(text: str) -> str:
    """Return the output that text with an index behind it speaks of, whatever outputs there are; nothing where it is
    no such text."""
    found = _TEXT.fullmatch(text)
    indexed = found is not None and all(_INDEX.fullmatch(part) for part in _parts(found[2]))
    return found[1].strip() if found is not None and indexed else ""


def _written(entry: Index) -> str:
    if not isinstance(entry, slice):
        return "..." if entry is Ellipsis else str(entry)
    ends = f"{'' if entry.start is None else entry.start}:{'' if entry.stop is None else entry.stop}"
    return ends if entry.step is None else f"{ends}:{entry.step}"


def _parts(inside: str) -> list[str]:
    parts = [part.strip() for part in inside.split(",")]
    return parts[:-1] if not parts[-1] else parts


def _entry(part: str, text: str) -> Index:
    if part == "...":
        return Ellipsis
    try:
        if ":" not in part:
            return int(part)
        start, stop, *step = (int(text) if text.strip() else None for text in part.split(":"))
        return slice(start, stop, *step)
    except (ValueError, TypeError):
        raise UsageError(
            f"{part!r} is no index, in {text!r}: expected a number, a slice such as 2:5 or :, or ..."
        ) from None


def _chosen(element: Element, axis: int, entry: int | slice, shape: Sequence[int | None]) -> Columns:
    """Return what an entry selects of an axis. Raises: UsageError: it is no index, or out of range."""
    size = shape[axis]
    if isinstance(entry, slice):
        if size is None:
            raise UsageError(f"{str(element)!r}: the size of axis {axis} of {shown(shape)} depends on the input")
        return np.arange(size)[_plain(entry)]
    if isinstance(entry, bool) or not hasattr(entry, "__index__"):
        raise UsageError(f"an element's index has numbers, slices and ...; got {entry!r}")
    number = int(entry.__index__())
    if size is None and number >= 0:
        return np.array([number])
    if size is None or not -size <= number < size:
        raise UsageError(
            f"{str(element)!r}: {number} is out of range for axis {axis} of {element.output!r}, whose shape is "
            f"{shown(shape)}"
        )
    return np.array([number % size])


def _plain(entry: slice) -> slice:
    for end in (entry.start, entry.stop, entry.step):
        if end is not None and (isinstance(end, bool) or not hasattr(end, "__index__")):
            raise UsageError(f"a slice of an element has numbers; got {entry!r}")
    if entry.step == 0:
        raise UsageError("a slice of an element has a step other than 0")
    return entry


def _steps(shape: Sequence[int | None], chosen: Sequence[Columns]) -> list[int] | None:
    """Return how far apart neighbours of each axis lie; None where that depends on a size that is not known."""
    found, step = list[int](), 1
    for size, numbers in zip(reversed(shape), reversed(chosen), strict=True):
        found.append(step)
        if size is None and any(int(n.max()) > 0 for n in chosen[: len(shape) - len(found)]):
            return None
        step *= int(numbers.max()) + 1 if size is None else size
    return found[::-1]


def shown(shape: Sequence[int | str | None] | None) -> str:
    """Return a shape in words: sizes, and ? where they are not known."""
    return "of unknown rank" if shape is None else f"[{', '.join('?' if d is None else str(d) for d in shape)}]"


def one_of(output: str, shape: Sequence[int | str | None] | None) -> Element:
    """Return an element in the middle of an output; all of it where its rank is not known."""
    if shape is None:
        return Element(output, ...)
    return Element(output, *[0 if at == 0 or not isinstance(d, int) else d // _MIDDLE for at, d in enumerate(shape)])


def example(output: str, shape: Sequence[int | str | None] | None) -> str:
    """Return how an element of an output is written, for who has to name one."""
    return f"for example -t {shlex.quote(str(one_of(output, shape)))} (a slice such as : is summed)"


__all__ = ["Columns", "Element", "example", "named_by", "one_of", "shown"]
