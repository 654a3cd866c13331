"""Counting the answers of a study, with intervals over persons."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from onnxsal.errors import ImageError, UsageError
from onnxsal.experiments.statistics import Estimate, grouped_share
from onnxsal.experiments.study import reveal
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import figure
from onnxsal.viz.plot import Axis, Value, values

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
    """Return one person's answers.

    Raises: ImageError: the file cannot be read or is none of answers. UsageError: it is, and something in it is wrong.
    """
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
    except _Wrong as error:
        raise UsageError(f"{path!r} is damaged: {error}") from None


class _Wrong(Exception):
    """Something in a file of answers is not as a study's page saves it."""


def _answers(path: str, found: dict[str, Any]) -> Answers:
    for name, kind in (("key", str), ("study", str), ("person", int), ("choices", list)):
        if not isinstance(found.get(name), kind) or isinstance(found[name], bool):
            raise _Wrong(f"{name!r} is missing" if name not in found else f"{name!r} is {shortened(found[name])}")
    methods, trials = _key(found["key"])
    if not found["choices"]:
        raise _Wrong("it holds no choice")
    choices = [_choice(f"choice {at + 1}", choice, trials) for at, choice in enumerate(found["choices"])]
    for trial, times in Counter(trial for trial, _, _, _ in choices).items():
        if times > 1:
            raise _Wrong(f"trial {trial} is answered {times} times")
    _, chosen, places, seconds = zip(*choices, strict=True)
    return Answers(path, found["study"], found["person"], methods, chosen, places, seconds)


def _key(hidden: str) -> tuple[tuple[str, ...], list[dict[str, str]]]:
    """The methods of a study, and for each of its trials the method by the name that its map goes by."""
    try:
        key = reveal(hidden)
    except ValueError as error:
        raise _Wrong(str(error)) from None
    methods, trials = key["methods"], key["trials"]
    whole = isinstance(methods, list) and isinstance(trials, list) and all(isinstance(each, str) for each in methods)
    if not whole or not all(isinstance(t, dict) and sorted(map(str, t.values())) == sorted(methods) for t in trials):
        raise _Wrong("the key is damaged: its trials do not show each method once")
    return tuple(methods), trials


def _choice(
    where: str, choice: Any, trials: Sequence[dict[str, str]]
) -> tuple[int, str | None, int | None, float]:  # fmt: skip
    """A choice's trial, the method chosen, the place that its map had, and the seconds it took."""
    if not isinstance(choice, dict) or {"trial", "chosen", "shown", "seconds"} - set(choice):
        raise _Wrong(f"{where}: expected trial, chosen, shown and seconds")
    trial, chosen, shown, seconds = (choice[name] for name in ("trial", "chosen", "shown", "seconds"))
    if not isinstance(trial, int) or isinstance(trial, bool) or not 0 <= trial < len(trials):
        raise _Wrong(f"{where}: trial {shortened(trial)} is none of 0 to {len(trials) - 1}")
    names = trials[trial]
    strings = isinstance(shown, list) and all(isinstance(each, str) for each in shown)
    if not strings or sorted(shown) != sorted(names):
        raise _Wrong(f"{where}: 'shown' is {shortened(shown)}, not the maps of trial {trial} in some order")
    if chosen is not None and chosen not in shown:
        raise _Wrong(f"{where}: the map chosen, {shortened(chosen)}, is none of trial {trial}")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < math.inf:
        raise _Wrong(f"{where}: 'seconds' is {shortened(seconds)}, not a number from 0 on")
    return (trial, None, None, seconds) if chosen is None else (trial, names[chosen], shown.index(chosen), seconds)


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
