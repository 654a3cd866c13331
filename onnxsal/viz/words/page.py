"""Words with their scores as HTML: one file that needs nothing beside, or a part of one for a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from onnxsal.viz.caption import INK, PALE, PAPER
from onnxsal.viz.words.flow import Run, added, flow, visible
from onnxsal.viz.words.joined import Word, strongest
from onnxsal.viz.words.shades import CHALK, LEVELS, NIGHT, Rgb, Scale, letters_on

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""The page asks nothing of anybody, and the browser holds it to that."""

_LISTED = 12
DIM: Rgb = (150, 156, 166)
"""Small print on dark paper."""

_STYLE = """
.sal-words{font:17px/1.75 system-ui,"Noto Sans","Segoe UI",sans-serif;padding:1.2em 1.4em;max-width:52em;
border-radius:6px;background:%(paper)s;color:%(ink)s}
.sal-words h2{font-size:1.05em;margin:0 0 .1em;font-weight:600}
.sal-words p{margin:.5em 0;white-space:pre-wrap;overflow-wrap:anywhere}
.sal-words .small{font-size:.78em;color:%(pale)s;white-space:normal}
.sal-words .text i{border-radius:3px;font-style:normal;box-decoration-break:clone;-webkit-box-decoration-break:clone}
.sal-words .unread{color:%(pale)s;text-decoration:line-through}
.sal-words .added i{padding:0 .35em;margin-right:.4em;border-radius:3px;font-style:normal;
outline:1px solid %(pale)s}
.sal-words .bar b{display:inline-block;width:1.1em;height:.8em}
.sal-words table{border-collapse:collapse;font-size:.85em}
.sal-words td,.sal-words th{padding:.1em .8em .1em 0;text-align:start;font-weight:400}
.sal-words td.n{text-align:end;font-variant-numeric:tabular-nums}
"""

_NIGHT = ".sal-words{background:%(paper)s;color:%(ink)s}.sal-words .small,.sal-words .unread{color:%(pale)s}.sal-words .added i{outline-color:%(pale)s}"  # noqa: E501


@dataclass(frozen=True)
class Said:
    """What stands above and below a text: ``title`` and ``value`` are what is explained, ``detail`` is how."""

    title: str
    value: str = ""
    detail: str = ""


def page(text: str, words: Sequence[Word], scale: Scale, said: Said) -> str:
    """Return a whole HTML document of a text with each word on the colour of its score."""
    return whole([fragment(text, words, scale, said)], f"{said.title} {said.value}".strip())


def whole(fragments: Iterable[str], title: str) -> str:
    """Return the HTML document of several texts, light and dark, with everything inside."""
    night = f"@media (prefers-color-scheme:dark){{body{{background:{as_hex(NIGHT)}}}}}"
    return (
        '<!doctype html>\n<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}"><title>{html.escape(_plain(title))}</title>'
        f"<style>body{{margin:1.5em;background:#fff}}.sal-words{{margin:0 auto 1.5em}}{night}</style></head>\n"
        f"<body>{''.join(fragments)}</body></html>\n"
    )


def fragment(text: str, words: Sequence[Word], scale: Scale, said: Said) -> str:
    """Return a part of a page: the text, a legend, the tokens that were added, and the strongest words with numbers.

    Each word says its score and those of its tokens where the pointer rests on it. Letters that no token covers are
    struck out. The text has the direction of its first letters.
    """
    runs = "".join(_run(run, scale) for run in flow(text, words))
    beside = "".join(_marked(word, scale) for word in added(words))
    parts = [
        f"<h2>{escaped(f'{said.title}  {said.value}'.strip())}</h2>" if said.title else "",
        f'<p class="text" dir="auto">{runs}</p>',
        f'<p class="small added">added by the tokenizer: {beside}</p>' if beside else "",
        _legend(scale),
        f'<p class="small">{escaped(said.detail)}</p>' if said.detail else "",
        _table(words),
    ]
    levels = {scale.level(word.score) for word in words} | set(_steps(scale))
    return f'<div class="sal-words"><style>{_style(scale, levels)}</style>{"".join(parts)}</div>'


def _run(run: Run, scale: Scale) -> str:
    if run.word is not None:
        return _marked(run.word, scale) + ("\n" if "\n" in run.text else "")
    return f'<span class="unread" title="not read by the model">{escaped(run.text)}</span>' if run.is_unread else (
        escaped(run.text)
    )  # fmt: skip


def _marked(word: Word, scale: Scale) -> str:
    told = f"{word.score:+.4g}"
    if len(word.tokens) > 1:
        told += ": " + ", ".join(f"{visible(text)} {score:+.3g}" for text, score in word.tokens)
    return (
        f'<i class="{_class(scale.level(word.score), scale)}" title="{escaped(told)}">{escaped(visible(word.text))}</i>'
    )


def _legend(scale: Scale) -> str:
    bar = "".join(f'<b class="{_class(level, scale)}"></b>' for level in _steps(scale))
    if not scale.signed:
        return f'<p class="small bar">0 {bar} {scale.limit:.3g}</p>'
    return (
        f'<p class="small bar">speaks against {-scale.limit:+.3g} {bar} {scale.limit:+.3g} speaks for</p>'
    )  # fmt: skip


def _steps(scale: Scale) -> range:
    return range(-LEVELS if scale.signed else 0, LEVELS + 1, 4)


def _table(words: Sequence[Word]) -> str:
    rows = "".join(
        f'<tr><td class="n">{word.score:+.4g}</td><td dir="auto">{escaped(visible(word.text))}</td></tr>'
        for word in strongest([each for each in words if not each.added], _LISTED)
    )
    return f"<details><summary class=small>strongest words</summary><table>{rows}</table></details>" if rows else ""


def _style(scale: Scale, levels: Iterable[int]) -> str:
    """The colours of every step that is used, for light and for dark paper."""
    used = sorted(level for level in levels if level)
    day = "".join(_rule(_class(level, scale), scale.colour(level)) for level in used)
    night = "".join(_rule(_class(level, scale), scale.at_night(level)) for level in used)
    light = _STYLE % {"paper": as_hex(PAPER), "ink": as_hex(INK), "pale": as_hex(PALE)}
    dark = _NIGHT % {"paper": as_hex(NIGHT), "ink": as_hex(CHALK), "pale": as_hex(DIM)}
    return f"{light}{day}@media (prefers-color-scheme:dark){{{dark}{night}}}"


def _class(level: int, scale: Scale) -> str:
    """The name of a step's colour; several texts on a page may be in other colours."""
    family = re.sub(r"\W", "-", f"sal-{scale.colours or ''}{'s' if scale.signed else ''}")
    return f"{family}-{'n' if level < 0 else 'p'}{abs(level)}"


def _rule(name: str, colour: Rgb | None) -> str:
    return "" if colour is None else f".{name}{{background:{as_hex(colour)};color:{as_hex(letters_on(colour))}}}"


def as_hex(colour: Rgb) -> str:
    """Return a colour as style sheets write it."""
    return "#" + "".join(f"{part:02x}" for part in colour)


def escaped(text: str) -> str:
    """Return text as a document may hold it."""
    return html.escape(_plain(text))


def _plain(text: str) -> str:
    """Text without the characters that no document may hold."""
    return "".join(c if c in "\n\t" or (ord(c) >= 32 and not 0xD800 <= ord(c) <= 0xDFFF) else "�" for c in text)


__all__ = ["DIM", "Said", "as_hex", "escaped", "fragment", "page", "whole"]
