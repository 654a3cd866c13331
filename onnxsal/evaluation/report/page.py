"""The shell of a report: one file that needs no server and no network."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from onnxsal.evaluation.report.html import Html, element, joined, text, void

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The page asks nothing of anybody, and the browser holds it to that."""


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading that the bar at the top leads to."""

    title: str
    body: Html
    intro: str = ""
    """One or two sentences on how to read it."""

    @property
    def anchor(self) -> str:
        """The name that links use."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    def html(self) -> Html:
        """Return the section as a piece of a page."""
        intro = element("p", self.intro, class_="lead") if self.intro else ""
        return element("section", element("h2", self.title), intro, self.body, id=self.anchor)


def page(title: str, sections: Sequence[Section], *, lead: str = "", foot: str = "") -> str:
    """Return a whole HTML document: readable from a file, light and dark, printable, with everything inside.

    Args: lead: what it is about, below the title. foot: the last line, for example what made it.
    """
    links = joined(element("a", each.title, href=f"#{each.anchor}") for each in sections)
    button = element("button", "Light / dark", id="theme", type="button", hidden=True)
    body = joined(
        [
            element("header", element("h1", title), element("p", lead, class_="lead") if lead else "", class_="top"),
            element("nav", element("div", links, button), aria_label="Sections"),
            element("main", *(each.html() for each in sections)),
            element("footer", foot) if foot else "",
            _ZOOM,
            element("script", Html(_asset("script.js"))),
        ]
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{_head(title)}\n{element("body", body)}\n</html>\n'


def _head(title: str) -> Html:
    return element(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Html(_asset("style.css"))),
    )


_ZOOM = element(
    "dialog",
    void("img", alt=""),
    element("form", element("span", ""), element("button", "Close"), method="dialog"),
    id="zoom",
    aria_label="Picture, enlarged",
)


@cache
def _asset(name: str) -> str:
    return resources.files("onnxsal.evaluation.report").joinpath(name).read_text(encoding="utf-8")


def facts(known: Mapping[str, object]) -> Html:
    """Return names with their values as a list in two columns; what is None is left out."""
    pairs = ((element("dt", name), element("dd", value)) for name, value in known.items() if value is not None)
    return element("dl", *(part for pair in pairs for part in pair), class_="facts")


def folded(title: str, *body: object, is_open: bool = False, printed: bool = True) -> Html:
    """Return a part that a click unfolds; printing unfolds it too, or leaves it out where it is not ``printed``."""
    classes = "block" if printed else "block screen"
    return element("details", element("summary", title), *body, class_=classes, open=is_open)


def code(content: str) -> Html:
    """Return preformatted text."""
    return element("pre", element("code", content))


def paragraphs(lines: Iterable[str]) -> Html:
    """Return sentences as paragraphs of a note."""
    return joined(element("p", text(line), class_="note") for line in lines)
