"""Counting the answers of a study, with intervals over persons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.statistics import Estimate, grouped_share
from onnxsal.experiments.study import reveal
from onnxsal.viz.axes import Axis
from onnxsal.viz.caption import Caption
from onnxsal.viz.chart import Value, values
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import figure

FORMAT = "onnxsal answers 1"


@dataclass(frozen=True)
class Answers:
    """One person's choices: for every picture answered the method, or None for "cannot tell", and its place."""

    path: str
    study: str
    person: int
    methods: tuple[str, ...]
    chosen: tuple[str | None, ...]
    places: tuple[int | None, ...]
    seconds: tuple[float, ...]


@dataclass(frozen=True)
class Tally:
    """What people chose.

    Attributes:
        shares: by method the share of choices, of those who could tell.
        undecided: the share of answers that were "cannot tell".
        first_place: the share of choices that fell on the first map shown; places are random, so chance is fair.
        chance: one over the number of methods.
    """

    shares: dict[str, Estimate]
    counts: dict[str, int]
    undecided: Estimate
    first_place: Estimate
    chance: float
    persons: int
    answers: int
    seconds: float


def read(path: str) -> Answers:
    """Return one person's answers. Raises: ImageError: the file cannot be read or holds no answers."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImageError(f"there is no file of answers {path!r}") from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot read {path!r} as a file of answers: {error}") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ImageError(f"{path!r} is no file of answers: expected format {FORMAT!r}, as a study's page saves it")
    try:
        return _answers(path, found)
    except (KeyError, TypeError, ValueError, LookupError) as error:
        raise ImageError(f"{path!r} is damaged: {error}") from None


def _answers(path: str, found: dict[str, Any]) -> Answers:
    key = reveal(found["key"])
    chosen, places = [], []
    for choice in found["choices"]:
        names, pick = key["trials"][choice["trial"]], choice["chosen"]
        chosen.append(None if pick is None else names[pick])
        places.append(None if pick is None else choice["shown"].index(pick))
    seconds = tuple(float(choice["seconds"]) for choice in found["choices"])
    return Answers(
        path, str(found["study"]), int(found["person"]), tuple(key["methods"]), tuple(chosen), tuple(places), seconds
    )


def count(everyone: Sequence[Answers]) -> Tally:
    """Return what people chose; intervals take the answers of a person as alike, or are Wilson's for one person.

    Raises: UsageError: answers of different studies, one person twice, or nobody chose anything.
    """
    _check(everyone)
    methods = everyone[0].methods
    picks = [[each for each in person.chosen if each is not None] for person in everyone]
    made = [len(each) for each in picks]
    if not sum(made):
        raise UsageError(f"nobody chose anything in {len(everyone)} file(s) of answers")
    asked = [len(person.chosen) for person in everyone]
    first = [sum(place == 0 for place in person.places) for person in everyone]
    spent = sorted(second for person in everyone for second in person.seconds)
    return Tally(
        {name: grouped_share([pick.count(name) for pick in picks], made) for name in methods},
        {name: sum(pick.count(name) for pick in picks) for name in methods},
        grouped_share([n - m for n, m in zip(asked, made, strict=True)], asked),
        grouped_share(first, made),
        1 / len(methods), len(everyone), sum(asked), spent[len(spent) // 2],
    )  # fmt: skip


def _check(everyone: Sequence[Answers]) -> None:
    first = everyone[0]
    for other in everyone:
        if other.study != first.study:
            raise UsageError(
                f"{other.path!r} answers another study ({other.study}) than {first.path!r} ({first.study}); count them "
                "apart"
            )
    for person, times in Counter(each.person for each in everyone).items():
        if times > 1:
            files = ", ".join(repr(each.path) for each in everyone if each.person == person)
            raise UsageError(f"one person's answers are given {times} times: {files}; give them once")


def says(tally: Tally) -> list[str]:
    """Return what the count shows, in sentences."""
    lines = []
    for name, share in sorted(tally.shares.items(), key=lambda item: -item[1].value):
        if share.low > tally.chance:
            lines.append(f"{name} is chosen more often than by chance ({100 * tally.chance:.0f} %)")
        elif share.high < tally.chance:
            lines.append(f"{name} is chosen less often than by chance ({100 * tally.chance:.0f} %)")
    place = tally.first_place
    if not place.low <= tally.chance <= place.high:
        lines.append(
            f"the first place drew {100 * place.value:.0f} % of the choices: people did not look at places alike"
        )
    return lines or ["no method is chosen more or less often than chance would have it"]


def drawn(tally: Tally) -> Pixels:
    """Return the shares with their intervals as a figure."""
    order = sorted(tally.shares.items(), key=lambda item: -item[1].value)
    rows = [Value(name, share.value, share.low, share.high) for name, share in order]
    top = max(share.high for share in tally.shares.values())
    axis = Axis(f"share of choices; by chance {tally.chance:.2f}", 0, min(1.0, max(top, tally.chance) * 1.1))
    detail = f"{tally.persons} persons, {tally.answers} answers, {100 * tally.undecided.value:.0f} % of them undecided"
    return figure([values(rows, x=axis, width=760)], Caption("Which map people trust", detail=detail))
