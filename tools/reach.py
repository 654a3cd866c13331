"""What onnxsal makes of files that it never saw, against the files themselves in ONNX Runtime: a table in Markdown.

    python tools/reach.py FOLDER                    every case of tools/reach.toml whose file lies in FOLDER
    python tools/reach.py FOLDER opennsfw swift_f0  these
    python tools/reach.py FOLDER --table my.toml    the cases of another table

A case says what the owner of a file wants explained, as a value of the original file and an index of it (`score`), and
how that is asked of onnxsal (`load`, `target`). The judge is the original file in ONNX Runtime alone: the score itself,
and central differences of it at four steps, beside the gradient that onnxsal gives: along a random direction of the
input, which a wrong or missing part of the gradient shows in, and along the gradient itself, where the score moves so
much that kinks and rounding hardly count. The direction is led through onnxsal's own reading of the input, so that a
wrong reading shows as well. A file that rounds inside moves in steps: its differences are taken with the rounding held
as it is at the input, what is not clipped passing (tools/straight.py), and its score is the deployed file's. Of a file
that takes ids the value behind them is explained (`inside`), and the judge is the file cut there.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from reach_cases import Array, Case, judged_file, read_cases
from straight import opened, straight

import onnxsal
from onnxsal.errors import OnnxsalError

HERE = Path(__file__).resolve().parent
AGREES = 0.02
"""Relative to the larger of the two slopes: the nearest of the steps counts."""
INDEXED = re.compile(r"(?P<name>.+)\[(?P<index>[-\d:, ]*)\]$", re.DOTALL)


class Judge:
    """The original file in ONNX Runtime, with one value of its inside put out."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.name, self.index = parsed(case.score)
        model = judged_file(case, self.name)
        self.inputs = {value.name for value in model.graph.input}
        self.session = opened(model)
        self.moving = opened(straight(model, self.feeds(case.x), ends=True)) if case.rounds else self.session
        self.reference = None if case.like is None else self.values(self.session, case.like).ravel()

    def feeds(self, x: Array) -> dict[str, Array]:
        """Return what goes in with a value of the input that is explained."""
        return {name: x for name, x in {self.case.explained: x, **self.case.held}.items() if name in self.inputs}

    def values(self, session: Any, x: Array) -> Array:
        """Return the value that is put out, float64."""
        return np.asarray(session.run([self.name], self.feeds(x))[0], np.float64)

    def score(self, x: Array) -> float:
        """Return the score of the deployed file."""
        return self._score(self.session, x)

    def _score(self, session: Any, x: Array) -> float:
        """A sum or mean of elements, or the cosine to the reference."""
        found = self.values(session, x)
        if self.reference is not None:
            a, b = found.ravel(), self.reference
            return float(a @ b / np.sqrt(a @ a * (b @ b)))
        chosen = found[self.index]
        return float(chosen.mean() if self.case.reduce == "mean" else chosen.sum())

    def off(self) -> float:
        """Return how far the file without its rounding is from the deployed one at the input: nothing but float32."""
        right = self.score(self.case.x)
        return abs(self._score(self.moving, self.case.x) - right) / max(abs(right), 1e-3)

    def slopes(self, direction: Array) -> list[float]:
        """Return central differences of the score along a direction, at each step."""
        moved = [direction * np.asarray(step * self.case.span, direction.dtype) for step in self.case.steps]
        ends = [[self._score(self.moving, self.case.x + sign * each) for sign in (1, -1)] for each in moved]
        return [(up - down) / (2 * step * self.case.span)
                for (up, down), step in zip(ends, self.case.steps, strict=True)]  # fmt: skip


def parsed(score: str) -> tuple[str, tuple[Any, ...]]:
    """Return the name and the index of `NAME[0, 4:8, 1]`; all of it where there is no index."""
    match = INDEXED.match(score)
    if match is None:
        return score, ()
    parts = [each.strip() for each in match["index"].split(",")]
    return match["name"], tuple(_place(each) for each in parts)


def _place(text: str) -> Any:
    if ":" not in text:
        return int(text)
    return slice(*(int(each) if each.strip() else None for each in text.split(":")))


def asked_target(case: Case) -> Any:
    """Return the target as `explain` takes it: text, a number, a region or a reference."""
    if case.like is not None:
        return onnxsal.Like(case.like)
    if isinstance(case.target, dict):
        from onnxsal.tasks.dense import Region

        return Region(case.target["target"], box=tuple(case.target["box"]))
    return case.target


@dataclass(frozen=True)
class Read:
    """A file as onnxsal reads it, with the gradient of what it explains."""

    case: Case
    model: onnxsal.Model
    found: onnxsal.Explanation

    def slope(self, direction: Array) -> float:
        """Return the slope of the score along a direction of the input, by the gradient."""
        return float((np.asarray(self.found.raw, np.float64) * self._moved(direction)).sum())

    def _moved(self, direction: Array) -> Array:
        """Return how what the network takes moves as its input does, straight through a quantiser in front.

        A difference is off where that clips or rounds: by 2.4 % of the slope of Smart Turn, an eighth of whose picture
        is clipped.
        """
        step = np.asarray(self.case.span * 1e-2, direction.dtype)
        at, up, down = (np.asarray(self.model.prepare(self.case.x + sign * step * direction).x, np.float64)
                        for sign in (0, 1, -1))  # fmt: skip
        levels = np.diff(np.unique(at))
        if self.case.rounds and at.size == self.case.x.size and levels.size:
            lost = np.abs(at - self.case.x.reshape(at.shape))
            if np.median(lost) <= levels.min() / 2:
                return np.where(lost <= 0.501 * levels.min(), direction.reshape(at.shape), 0)
        return (up - down) / (2 * float(step))

    def own(self) -> Array | None:
        """Return the gradient as a direction of the input, of the size that noise has; None where it is none."""
        raw, shape = np.asarray(self.found.raw, np.float64), self.case.x.shape
        size = float(np.sqrt((raw**2).mean()))
        fits = [each for each in (raw, np.moveaxis(raw, 0, -1)) if each.shape in (shape, shape[1:])]
        fits += [raw] if raw.size == self.case.x.size else []
        return (fits[0].reshape(shape) / size).astype(self.case.x.dtype) if fits and size > 0 else None


def read(case: Case) -> Read:
    """Return a case as onnxsal reads it. Raises: OnnxsalError: the file, or what is asked of it, is refused."""
    model = onnxsal.load(case.file, **case.load).fitting(case.x)
    thing = case.x if case.ids is None else {}
    return Read(case, model, onnxsal.explain(model, thing, method="gradient", target=asked_target(case)))


def decided(model: onnxsal.Model) -> str:
    """Return what was decided of a file, in one line."""
    task = type(model.task).name if hasattr(type(model.task), "name") else type(model.task).__name__
    size = "x".join(map(str, model.size))
    said = "; ".join(f"{each.what}={each.value}" for each in model.decided)
    return f"{model.modality.name} {size} {task} {model.task.output} {said}".strip()


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    case: Case
    verdict: str
    about: str = ""
    notes: str = ""
    score: str = ""
    slopes: str = ""

    def cells(self) -> str:
        cells = (self.case.name, self.case.kind, self.verdict, self.about, self.score, self.slopes, self.notes)
        return "| " + " | ".join(each.replace("|", "\\|").replace("\n", " ") for each in cells) + " |"


HEADER = (
    "| file | kind | verdict | what was decided | score: file / onnxsal "
    "| slope: onnxsal / differences at 4 steps | notes, message |"
)


def judged(case: Case) -> Line:
    """Return the line of a case. Raises: OnnxsalError: the file, or what is asked of it, is refused."""
    seen = read(case)
    about, notes = decided(seen.model), " / ".join(seen.model.notes)
    if not case.score:
        return Line(case, "ADMITTED", about, notes)
    judge = Judge(case)
    noise = np.random.default_rng(1).normal(0, 1, case.x.shape).astype(case.x.dtype)
    pairs = [(seen.slope(each), judge.slopes(each)) for each in (noise, seen.own()) if each is not None]
    right = judge.score(case.x)
    return Line(
        case, verdict(seen, pairs, right), about, notes, f"{right:.6g} / {seen.found.logit:.6g}",
        "; own: ".join(f"{slope:.5g} / " + ", ".join(f"{each:.5g}" for each in slopes) for slope, slopes in pairs),
    )  # fmt: skip


def failed(case: Case, error: BaseException) -> Line:
    """Return the line of a case that raised: whatever is no error of onnxsal's is a fault by itself."""
    right = isinstance(error, OnnxsalError) and bool(case.refused) and case.refused in str(error)
    said = "refused, rightly" if right else "REFUSED" if isinstance(error, OnnxsalError) else "TRACEBACK"
    return Line(case, said, notes=f"{type(error).__name__}: {error}")


def verdict(seen: Read, pairs: Sequence[tuple[float, Sequence[float]]], right: float) -> str:
    """Return `right`, or what differs, and how much: along noise, and along the gradient itself."""
    said = [] if abs(seen.found.logit - right) <= AGREES * max(abs(right), 1e-3) else ["SCORE DIFFERS"]
    usual = abs(pairs[-1][0]) / seen.case.x.size**0.5
    gaps = [min(apart(slope, each, usual) for each in slopes) for slope, slopes in pairs]
    wrong = any(gap > allowed(slopes, usual) for gap, (_, slopes) in zip(gaps, pairs, strict=True))
    shown = ", own ".join(f"{gap:.2%}" for gap in gaps)
    if wrong:
        said.append(f"SLOPE DIFFERS {shown}")
    return ", ".join(said) or f"right ({shown})"


def allowed(slopes: Sequence[float], usual: float) -> float:
    """Return how far a slope may be from the nearest difference: where they disagree themselves more, up to a tenth."""
    return min(0.1, max(AGREES, 2 * max(apart(*two, usual) for two in pairwise(slopes))))


def apart(one: float, other: float, usual: float) -> float:
    """Return how far two slopes are from each other, relative to the larger, or to what is usual along noise."""
    return abs(one - other) / max(abs(one), abs(other), usual, 1e-12)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--table", type=Path, default=HERE / "reach.toml")
    given = parser.parse_args()
    print(HEADER + "\n" + "| --- " * 7 + "|")
    with ProcessPoolExecutor(1) as apart:
        for case in read_cases(given.table, given.folder, given.names):
            line = apart.submit(judged, case)
            error = line.exception()
            print((line.result() if error is None else failed(case, error)).cells(), flush=True)


if __name__ == "__main__":
    main()
