"""HTML as text that knows what it is: everything from outside is escaped once, at the edge."""

from __future__ import annotations

import html
from collections.abc import Iterable


class Html(str):
    """A piece of a page, escaped already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as escaped text; a piece of a page stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def element(tag: str, *children: object, **attributes: str | bool | None) -> Html:
    """Return an element; children that are no Html are escaped.

    Args: attributes: an underscore stands for a dash and vanishes at the end (``class_``, ``data_value``); True gives
    the bare name, None and False nothing.
    """
    inside = "".join(text(child) for child in children)
    return Html(f"<{tag}{_attributes(attributes.items())}>{inside}</{tag}>")


def void(tag: str, **attributes: str | bool | None) -> Html:
    """Return an element that has no content and no end tag."""
    return Html(f"<{tag}{_attributes(attributes.items())}>")


def joined(parts: Iterable[object]) -> Html:
    """Return the parts one after the other."""
    return Html("".join(text(part) for part in parts))


def _attributes(given: Iterable[tuple[str, str | bool | None]]) -> str:
    return "".join(_attribute(name.rstrip("_").replace("_", "-"), value) for name, value in given)


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{html.escape(str(value), quote=True)}"'
