"""How methods and metrics are written with their options: ``score-cam[preset=paper,top_k=64]``.

Options with several values have commas between them: ``road[shares=0.1,0.5,noise=0]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.fingerprint import fingerprint

_HASH = re.compile(r"SHA-256 ([0-9a-f]{8})[0-9a-f]{56}")


@dataclass(frozen=True)
class Named:
    """A method or metric by name, with options of its own."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How it is called in results: its name, and its options in brackets, of large arrays a part of the hash."""
        inside = _HASH.sub(r"SHA-256 \1", ",".join(f"{name}={value}" for name, value in self._texts.items()))
        return f"{self.name}[{inside}]" if inside else self.name

    @property
    def _texts(self) -> dict[str, str]:
        """The options as text, whole: ``4`` and ``"4"`` are one."""
        return {name: str(fingerprint(value)) for name, value in self.options.items()}

    def same_as(self, other: Named) -> bool:
        """Return whether name and options are the same; labels of different ones may be equal all the same."""
        return (self.name, self._texts) == (other.name, other._texts)


Source = str | Named | tuple[str, Mapping[str, Any]]


def named(source: Source | Iterable[Source], kind: str) -> tuple[Named, ...]:
    """Return what one or several sources name, in order, each once.

    Args: source: text with commas between names, a pair of name and options, or several of these.
    Raises: UsageError: a name is missing, brackets do not close, or two different ones have one label.
    """
    parts = [source] if isinstance(source, str | Named) or _is_pair(source) else list(source)
    found = [each for part in parts for each in _each(part, kind)]  # type: ignore[arg-type]
    once: dict[str, Named] = {}
    for each in found:
        if not each.same_as(once.setdefault(each.label, each)):
            raise UsageError(f"two {kind}s with different options would both be called {each.label!r} in results")
    return tuple(once.values())


def _is_pair(source: Any) -> bool:
    return isinstance(source, tuple) and len(source) == 2 and isinstance(source[1], Mapping)


def _each(source: Source, kind: str) -> list[Named]:
    if isinstance(source, Named):
        return [source]
    if isinstance(source, tuple):
        return [Named(source[0], dict(source[1]))]
    if not isinstance(source, str):
        raise UsageError(f"a {kind} is a name, or a pair of a name and a dict of options; got {source!r}")
    return [_parsed(part, kind) for part in split(source) if part]


def split(text: str) -> list[str]:
    """Return the parts between commas that stand in no brackets, without blanks round them."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "[") - (sign == "]")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _parsed(text: str, kind: str) -> Named:
    name, bracket, rest = text.partition("[")
    if not name.strip() or (bracket and (not rest.endswith("]") or "[" in rest)):
        raise UsageError(f"{text!r} is no {kind}; write NAME or NAME[option=value,option=value]")
    return Named(name.strip(), dict(_option(part, text) for part in _options(rest[:-1])))


def _options(inside: str) -> list[str]:
    """Return what stands in brackets option by option; a part without ``=`` is a further value of the one before."""
    found: list[str] = []
    for part in filter(None, split(inside)):
        if found and "=" not in part:
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _option(part: str, text: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"{text!r}: {part!r} is not of the form option=value")
    return name.strip().replace("-", "_"), value.strip()
