"""Class names from the forms in which people keep them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.files import parse_json

_WORDNET = re.compile(r"n\d{8}\s+(?=\S)")
_NUMBERED = re.compile(r"(\d+)\s*[:,;\s]\s*(?=\S)")


def parse_labels(text: str, where: str) -> tuple[str, ...]:
    """Return the labels in text; ``where`` names its origin in messages.

    Raises: UsageError: there are none, or they are of no known form.
    """
    is_json = text.lstrip()[:1] in ("[", "{")
    names = _from_json(parse_json(text, where), where) if is_json else _from_lines(text)
    if not names:
        raise UsageError(f"{where}: no labels in it; expected a label a line, or JSON")
    return names


def _from_lines(text: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.rstrip().splitlines()] if text.strip() else []
    if lines and all(_WORDNET.match(line) for line in lines):
        return tuple(_WORDNET.sub("", line, count=1) for line in lines)
    matches = [_NUMBERED.match(line) for line in lines]
    if lines and all(match and int(match[1]) == row for row, match in enumerate(matches)):
        return tuple(_NUMBERED.sub("", line, count=1) for line in lines)
    return tuple(lines)


def _from_json(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, list):
        return tuple(_label(item, where) for item in value)
    if "id2label" in value:
        value = value["id2label"]
    if not isinstance(value, dict):
        raise UsageError(f"{where}: id2label is an object of index to label; got {type(value).__name__}")
    if value and all(isinstance(index, int) and not isinstance(index, bool) for index in value.values()):
        value = _inverted(value, where)
    return _by_index(value, where)


def _inverted(value: Mapping[str, int], where: str) -> dict[str, str]:
    turned = {str(index): label for label, index in value.items()}
    if len(turned) != len(value):
        raise UsageError(f"{where}: two labels have the same index")
    return turned


def _by_index(value: Mapping[str, Any], where: str) -> tuple[str, ...]:
    try:
        numbered = {int(index): label for index, label in value.items()}
    except ValueError as error:
        raise UsageError(f"{where}: expected index to label or label to index; {error}") from None
    missing = [index for index in range(len(value)) if index not in numbered]
    if missing:
        raise UsageError(
            f"{where}: {len(value)} labels, but no label for index {missing[0]}; indices run from 0 without gaps"
        )
    return tuple(_label(numbered[index], where) for index in range(len(value)))


def _label(item: Any, where: str) -> str:
    if isinstance(item, list) and len(item) == 2:
        item = item[1]
    if not isinstance(item, str):
        raise UsageError(f"{where}: a label is text; got {item!r}")
    return item.strip()
