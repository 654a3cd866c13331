"""What onnxsal makes of files that it never saw, against the files themselves in ONNX Runtime: a table in Markdown.

    python tools/reach.py FOLDER                    every case of tools/reach.toml whose file lies in FOLDER
    python tools/reach.py FOLDER opennsfw swift_f0  these
    python tools/reach.py FOLDER --table my.toml    the cases of another table

A case says what the owner of a file wants explained, as a value of the original file and an index of it (`score`), and
how that is asked of onnxsal (`load`, `target`). The judge is the original file in ONNX Runtime alone: the score itself,
and central differences of it at four steps, beside the gradient that onnxsal gives: along a random direction of the
input, which a wrong or missing part of the gradient shows in, and along the gradient itself, where the score moves so
much that kinks and rounding hardly count. The direction is led through onnxsal's own reading of the input, so that a
wrong reading shows as well.
"""

from __future__ import annotations

import argparse
import re
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import onnxsal
from onnxsal.errors import OnnxsalError
from onnxsal.runtime.environment import onnxruntime

HERE = Path(__file__).resolve().parent
STEPS = (1e-3, 1e-4, 3e-5, 1e-5)
"""Of the input's range. Kinks spoil the large ones, rounding the small ones."""
AGREES = 0.02
"""Relative to the larger of the two slopes: the nearest of the steps counts."""
INDEXED = re.compile(r"(?P<name>.+)\[(?P<index>[-\d:, ]*)\]$", re.DOTALL)

Array = NDArray[Any]


@dataclass(frozen=True)
class Case:
    """What is wanted of a file."""

    name: str
    file: Path
    kind: str
    explained: str
    """The name of the input that is explained."""
    x: Array
    span: float
    held: Mapping[str, Array]
    score: str = ""
    reduce: str = "sum"
    target: Any = None
    load: Mapping[str, Any] = field(default_factory=dict)
    like: Array | None = None
    """Of an embedding: what it is compared with, a value of the input."""
    steps: Sequence[float] = STEPS
    rounds: bool = False
    """Whether the file rounds values inside to what it meets (dynamic int8), so that it moves in steps."""
    undeclared: bool = False
    """Whether the sizes that the file declares are wrong, so that ONNX Runtime would refuse what its owner feeds."""
    refused: str = ""
    """Why the file is to be refused, a word of the message; empty where it is to be explained."""


def read_cases(table: Path, folder: Path, names: Sequence[str]) -> list[Case]:
    """Return the cases whose file lies there, in the order of the table."""
    found = tomllib.loads(table.read_text(encoding="utf-8"))
    cases = [_case(name, about, folder) for name, about in found.items() if not names or name in names]
    return [case for case in cases if case.file.exists()]


_AS_WRITTEN = ("score", "reduce", "target", "steps", "rounds", "undeclared", "refused")


def _case(name: str, about: dict[str, Any], folder: Path) -> Case:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    low, high = about.get("range", (0.0, 1.0))
    drawn = written(rng, about["shape"], about["text"]) if "text" in about else noisy(rng, about["shape"])
    x = (low + (high - low) * drawn).astype(about.get("type", "float32"))
    held = {key: made(rng, value) for key, value in about.get("held", {}).items()}
    like = (low + (high - low) * noisy(rng, about["shape"])).astype(x.dtype) if about.get("like") else None
    return Case(
        name=name, file=folder / f"{about.get('file', name)}.onnx", kind=about["kind"], explained=about["input"], x=x,
        span=high - low, held=held, like=like, load=loading(about, held),
        **{key: about[key] for key in _AS_WRITTEN if key in about},
    )  # fmt: skip


def written(rng: np.random.Generator, shape: Sequence[int], text: str) -> Array:
    """Return a page [1, C, H, W] with a line of text on it, in (0, 1), with a little noise."""
    height, width = shape[2:]
    page = Image.new("L", (width, height), 235)
    font = ImageFont.load_default(min(height * 0.6, 1.6 * width / len(text)))
    ImageDraw.Draw(page).text((width // 2, height // 2), text, 20, font, anchor="mm")
    return np.asarray(page, np.float64) / 255 + rng.uniform(-0.05, 0.05, shape)


def noisy(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Return a slow wave along the axes with noise on it, in (0, 1): flat inputs sit on ties."""
    wave = np.zeros(shape)
    for axis, size in enumerate(shape):
        along = np.sin(np.linspace(0, rng.uniform(3, 9), size) + rng.uniform(0, 6))
        wave += along.reshape([-1 if axis == i else 1 for i in range(len(shape))])
    mixed = wave / max(1, len(shape)) * 0.25 + rng.normal(0, 0.12, shape) + 0.5
    return np.asarray(np.clip(mixed, 0.02, 0.98))


def made(rng: np.random.Generator, about: Any) -> Array:
    """Return a held input: a number, or {shape, value | range | ids, type}."""
    if not isinstance(about, dict):
        return np.asarray(about, np.int64 if isinstance(about, int) else np.float32)
    shape, kind = about["shape"], about.get("type", "float32")
    if "data" in about:
        return np.asarray(about["data"], kind).reshape(shape)
    if "ids" in about:
        return np.asarray(rng.integers(0, about["ids"], shape), kind)
    if "range" in about:
        return np.asarray(rng.uniform(about["range"][0], about["range"][1], shape), kind)
    return np.full(shape, about.get("value", 0), kind)


def loading(about: dict[str, Any], held: Mapping[str, Array]) -> dict[str, Any]:
    """Return the arguments of `load`: those of the table, and which inputs are held where there are several."""
    several = {"explained": about["input"], "inputs": dict(held)} if held else {}
    return {**several, **about.get("load", {})}


class Judge:
    """The original file in ONNX Runtime, with one value of its inside put out."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.name, self.index = parsed(case.score)
        model = onnx.load(case.file)
        for value in model.graph.input if case.undeclared else ():
            for size in value.type.tensor_type.shape.dim:
                size.Clear()
        if self.name not in {value.name for value in model.graph.output}:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(self.name))
        self.session = opened(model)
        self.reference = None if case.like is None else self.values(case.like).ravel()

    def values(self, x: Array) -> Array:
        """Return the value that is put out, float64."""
        feeds = {self.case.explained: x, **self.case.held}
        return np.asarray(self.session.run([self.name], feeds)[0], np.float64)

    def score(self, x: Array) -> float:
        """Return the score: a sum or mean of elements, or the cosine to the reference."""
        found = self.values(x)
        if self.reference is not None:
            a, b = found.ravel(), self.reference
            return float(a @ b / np.sqrt(a @ a * (b @ b)))
        chosen = found[self.index]
        return float(chosen.mean() if self.case.reduce == "mean" else chosen.sum())

    def slopes(self, direction: Array) -> list[float]:
        """Return central differences of the score along a direction, at each step."""
        moved = [direction * np.asarray(step * self.case.span, direction.dtype) for step in self.case.steps]
        return [
            (self.score(self.case.x + each) - self.score(self.case.x - each)) / (2 * step * self.case.span)
            for each, step in zip(moved, self.case.steps, strict=True)
        ]


def opened(model: onnx.ModelProto) -> Any:
    """Return the session of a model, all of whose warnings are its owner's."""
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    return onnxruntime().InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


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
        step = np.asarray(self.case.span * 1e-2, direction.dtype)
        up, down = (self.model.prepare(self.case.x + sign * step * direction).x for sign in (1, -1))
        along = (np.asarray(up, np.float64) - down) / (2 * float(step))
        return float((np.asarray(self.found.raw, np.float64) * along).sum())

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
    return Read(case, model, onnxsal.explain(model, case.x, method="gradient", target=asked_target(case)))


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
    if wrong and seen.case.rounds:
        said.append(f"moves in steps, not to be judged by differences ({shown})")
    elif wrong:
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
