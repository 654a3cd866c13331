"""The YAML that exporters dump: block mappings and lists, flow lists, quotes, anchors. Anything else is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from onnxsal.errors import UsageError

_KEY = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s\[{"'&*!|>%@`#-].*?|-[^\s].*?)\s*:(?:\s+(.*))?$""")
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?")
_WORDS = {"null": None, "~": None, "": None, "true": True, "yes": True, "on": True, "false": False, "no": False,
          "off": False}  # fmt: skip
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\s|.)")
_ESCAPED = {"0": "\0", "a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
            "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"} | {c: c for c in '"\\/ '}  # fmt: skip
_DEEPEST = 60


def parse_yaml(text: str, where: str) -> Any:
    """Return what YAML text holds; ``where`` names its origin in the message.

    Raises: UsageError: it is not YAML, or uses what exporters do not: tags, block scalars, several documents.
    """
    reader = _Reader(list(_lines(text)))
    try:
        found = reader.block(reader.lines[0].indent, 0) if reader.lines else None
    except (ValueError, IndexError, KeyError) as error:
        raise UsageError(f"{where} is no YAML of the kind that exporters write: {error}") from None
    if reader.at < len(reader.lines):
        raise UsageError(f"{where} is no YAML of the kind that exporters write: line {reader.lines[reader.at].number}")
    return found


@dataclass
class _Line:
    number: int
    indent: int
    text: str


def _lines(text: str) -> Iterator[_Line]:
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip(" ")
        if bare and not bare.startswith("#") and not (number == 1 and bare == "---"):
            yield _Line(number, len(line) - len(line.lstrip(" ")), bare)


@dataclass
class _Reader:
    lines: list[_Line]
    at: int = 0
    anchors: dict[str, Any] = field(default_factory=dict)

    def block(self, indent: int, depth: int) -> Any:
        """Return the list or mapping whose lines have this indent."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        if _is_item(self.lines[self.at].text):
            return list(self._items(indent, depth))
        return dict(self._pairs(indent, depth))

    def _here(self, indent: int, *, items: bool) -> bool:
        if self.at >= len(self.lines):
            return False
        line = self.lines[self.at]
        return line.indent == indent and _is_item(line.text) == items

    def _items(self, indent: int, depth: int) -> Iterator[Any]:
        while self._here(indent, items=True):
            line = self.lines[self.at]
            rest = line.text[1:].lstrip(" ")
            if _is_item(rest) or _KEY.fullmatch(rest):
                self.lines[self.at] = _Line(line.number, indent + len(line.text) - len(rest), rest)
                yield self.block(self.lines[self.at].indent, depth + 1)
            else:
                self.at += 1
                yield self._value(rest, indent, depth, after_key=False)

    def _pairs(self, indent: int, depth: int) -> Iterator[tuple[Any, Any]]:
        while self._here(indent, items=False):
            line = self.lines[self.at]
            match = _KEY.fullmatch(line.text)
            if match is None:
                raise ValueError(f"line {line.number}: expected a key and a colon; got {line.text[:60]!r}")
            self.at += 1
            yield self._scalar(match[1]), self._value(match[2] or "", indent, depth, after_key=True)

    def _value(self, rest: str, indent: int, depth: int, *, after_key: bool) -> Any:
        """Return what stands behind a key or dash, or in the lines below it; lists may have the indent of their key."""
        anchor = re.match(r"&(\S+)\s*", rest)
        rest = rest[anchor.end() :] if anchor else rest
        if rest and not rest.startswith("#"):
            value = self._scalar(self._continued(rest, indent))
        elif self.at < len(self.lines) and (
            self.lines[self.at].indent > indent or (after_key and self._here(indent, items=True))
        ):
            value = self.block(self.lines[self.at].indent, depth + 1)
        else:
            value = None
        if anchor:
            self.anchors[anchor[1]] = value
        return value

    def _continued(self, rest: str, indent: int) -> str:
        """Return a scalar with the deeper lines that it goes on in."""
        while self.at < len(self.lines) and self.lines[self.at].indent > indent:
            rest = f"{rest} {self.lines[self.at].text}"
            self.at += 1
        return rest

    def _scalar(self, text: str) -> Any:
        if text[:1] == '"':
            return _unescaped(text)
        if text[:1] == "'":
            if len(text) < 2 or text[-1] != "'":
                raise ValueError(f"a quote opens and does not close: {text[:60]!r}")
            return text[1:-1].replace("''", "'")
        text = re.sub(r"(^|[ \t])#.*$", "", text).strip(" \t")
        if text[:1] == "*":
            return self.anchors[text[1:]]
        if text[:1] == "[":
            return self._listed(text)
        if text == "{}":
            return {}
        if text[:1] in "{!|>%@`" and text:
            raise ValueError(f"{text[:60]!r}")
        if text.lower() in _WORDS:
            return _WORDS[text.lower()]
        return int(text) if _WHOLE.fullmatch(text) else float(text) if _FLOAT.fullmatch(text) else text

    def _listed(self, text: str) -> list[Any]:
        if text[-1] != "]":
            raise ValueError(f"a bracket opens and does not close: {text[:60]!r}")
        parts = re.findall(r"""\s*(\[[^\[\]]*\]|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,\[\]]+)\s*(?:,|$)""", text[1:-1])
        return [self._scalar(part.strip(" ")) for part in parts]


def _unescaped(text: str) -> str:
    if len(text) < 2 or text[-1] != '"':
        raise ValueError(f"a quote opens and does not close: {text[:60]!r}")
    return _ESCAPE.sub(lambda found: _character(found[1]), text[1:-1])


def _character(code: str) -> str:
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED[code]


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")
