"""The shell of a report: one file that needs no server and no network."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

from markupsafe import Markup

from onnxsal.evaluation.report.render import render

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The page asks nothing of anybody, and the browser holds it to that."""


@dataclass(frozen=True)
class Section:
    """A part of a page under a heading that the bar at the top leads to."""

    title: str
    body: Markup
    intro: str = ""
    """One or two sentences on how to read it."""

    @property
    def anchor(self) -> str:
        """The name that links use."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"


def page(title: str, sections: Sequence[Section], *, lead: str = "", foot: str = "") -> str:
    """Return a whole HTML document: readable from a file, light and dark, printable, with everything inside.

    Args: lead: what it is about, below the title. foot: the last line, for example what made it.
    """
    style, script = Markup(_asset("style.css")), Markup(_asset("script.js"))
    return render(
        "page", title=title, sections=sections, lead=lead, foot=foot, policy=_POLICY, style=style, script=script
    )


@cache
def _asset(name: str) -> str:
    return resources.files("onnxsal.evaluation.report").joinpath(name).read_text(encoding="utf-8")
