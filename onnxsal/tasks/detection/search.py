"""Which candidate of a picture a target means, and what is said where there is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from onnxsal.errors import NotSeenError, UnsupportedError, UsageError
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.detection.box import Asked, Sides, number, told
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.explained import Wanted
from onnxsal.tasks.detection.found import MOST, Detected, Rule, Table
from onnxsal.tasks.detection.instances import Details, Instance
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.limits import exact, told_apart
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers


@dataclass(frozen=True)
class Search:
    """A detector's candidates, for a picture of one size (height, width), and the names of their classes."""

    candidates: Candidates
    picture: tuple[int, int]
    rule: Rule
    labels: Labels | None

    def table(self, numbers: Numbers) -> Table:
        """Return the candidates that a picture's numbers hold."""
        return Table.of(numbers, self.candidates.classes, self.candidates.background)

    def found(self, asked: Asked, numbers: Numbers) -> Instance:
        """Return the candidate that is asked for: the best detection, a label's best, the k-th, the one at a box.

        Raises: NotSeenError: there is none, or not so many. UsageError: there is no such class.
        """
        table, details = self.table(numbers), Details(self.candidates, numbers, self.picture)
        if asked.box is not None:
            return self._sought(asked, self._at(asked, asked.box, table)).target(details)
        detections = table.detections(self.rule)
        found = self._detected(asked, table, detections)
        return replace(self._sought(asked, found), number=detections.index(found) + 1).target(details)

    def _sought(self, asked: Asked, found: Detected) -> Wanted:
        return Wanted(self.candidates, self.picture, asked, found, name_of(self.labels, found.index))

    def without_picture(self, asked: Asked) -> Target:
        """Return a target that every picture is matched with anew: a class, of which its best candidate is explained or
        a part of that, a box, or the k-th detection; of a part alone the best of any class.

        Raises: UsageError: it names nothing.
        """
        at = number(asked.wanted)
        if asked.wanted is None and asked.part is None:
            raise UsageError("the target is empty: expected a label, a label at a box, or '#k'")
        index = None if asked.wanted is None or at is not None else self._index(asked.wanted)
        if asked.box is not None and index is not None:
            found = Detected(-1, index, float("nan"), asked.box)
            return self._sought(asked, found).target(None)
        label = "the best detection" if index is None else name_of(self.labels, index)
        whole = Target(index, label) if at is None else self._numbered(at)
        if asked.part is None:
            return whole
        reading = asked.part.of(self.candidates, 0 if index is None else index)
        about = {**whole.about.get("detection", {}), "part": asked.part.text}
        return Instance(whole.target, f"{whole.label}, {asked.part.text}", about={"detection": about},
                        kind=reading.kind, part=asked.part, reading=reading, number=at)  # fmt: skip

    def _numbered(self, at: int) -> Instance:
        """Return the detection of a number in whatever picture comes."""
        if not 1 <= at <= MOST:
            raise UsageError(f"there is no detection #{at}: they are #1 to #{MOST}")
        if self.candidates.turned is not None and self.rule.overlap is not None:
            raise UnsupportedError(
                f"'#{at}': a file does not count turned boxes, as no operator leaves out those of one object: name a "
                "label, or take the box as an input (-t input@input)"
            )
        return Instance(f"#{at}", f"detection #{at}", about={"detection": {"number": at}}, number=at)

    def nothing(self, table: Table) -> str:
        """Return why nothing is detected."""
        best = table.best()
        if best is None:
            return "nothing is detected: the model has no candidate at all"
        score, least = told_apart(best.score, self.rule.threshold)
        name = name_of(self.labels, best.index)
        return f"nothing is detected above {least}: the best candidate is {name!r} with {score}"

    def _index(self, wanted: Any) -> int:
        if self.candidates.labels is None:
            return class_index(self.candidates.classes, self.labels, wanted)
        text = wanted.strip() if isinstance(wanted, str) else ""
        if self.labels is not None:
            return class_index(len(self.labels), self.labels, wanted)
        if isinstance(wanted, int | np.integer) or text.lstrip("-").isdecimal():
            return int(wanted)
        raise UsageError(f"{wanted!r}: the file numbers its classes and nothing names them: --labels (labels=) does")

    def _detected(self, asked: Asked, table: Table, found: list[Detected]) -> Detected:
        at = number(asked.wanted)
        if at is not None:
            if not 1 <= at <= len(found):
                why = f"there are {len(found)} above {exact(self.rule.threshold)}" if found else self.nothing(table)
                raise NotSeenError(f"there is no detection #{at}: {why}")
            return found[at - 1]
        if asked.wanted is None:
            if not found:
                raise NotSeenError(f"{self.nothing(table)}. {self._ask(table.best(), asked)}")
            return found[0]
        index = self._index(asked.wanted)
        mine = next((each for each in found if each.index == index), None)
        if mine is None:
            raise NotSeenError(self._not_seen(index, table, asked))
        return mine

    def _at(self, asked: Asked, box: Sides, table: Table) -> Detected:
        if asked.wanted is None:
            raise UsageError("a box without a label: say what is asked for there, Box(label, box)")
        index = self._index(asked.wanted)
        found = table.at(index, box)
        if found is None:
            place = told(asked.on_photo(box, self.picture))
            raise NotSeenError(f"no candidate of {name_of(self.labels, index)!r} overlaps the box {place}")
        return found

    def _not_seen(self, index: int, table: Table, asked: Asked) -> str:
        best, name = table.best(index), name_of(self.labels, index)
        if best is None:
            return f"no {name!r} is detected on this picture, and no candidate is one"
        score, least = told_apart(best.score, self.rule.threshold)
        return (
            f"no {name!r} is detected on this picture: its best candidate has {score}, and a detection has more than "
            f"{least} and is of no other class. {self._ask(best, asked)}"
        )

    def _ask(self, best: Detected | None, asked: Asked) -> str:
        """Return how a candidate that is no detection is asked for."""
        if best is None:
            return "Lower --threshold (threshold=)"
        at = f"{name_of(self.labels, best.index)}@{told(asked.on_photo(best.box, self.picture))}"
        return f"Ask for it by its box, -t '{at}' (onnxsal.Box), or lower --threshold (threshold=)"


def name_of(labels: Labels | None, index: int) -> str:
    """Return the name of a class, its number where it has none: files may number more than are named."""
    return labels.short(index) if labels is not None and 0 <= index < len(labels) else f"class {index}"
