"""Judge methods and presets on the photographs of the reference material, and write the tables of docs/evaluate.md.

    python tools/judge.py mobilenet_v2_int8 squeezenet1.0_fp32    judge, and go on where it was interrupted
    python tools/judge.py --write                                 write the tables of what has been judged so far

All methods and all presets of Score-CAM and SS-CAM are judged on 24 photographs: the first with a mask in the order of
the hashes of their names. Methods of less than 2000 forwards then go over all photographs in that order, so that a
run that is cut short has judged a sample of them. A table of which a journal has nothing stays as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnxsal
from onnxsal.evaluation import About, Evaluation, Row, Summary
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.remaining_time import Pace
from onnxsal.evaluation.rows import from_plain
from onnxsal.metrics.registry import get

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "evaluate.md"
SHARED = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")

PREPROCESS = {"mobilenet_v2_int8": None, "squeezenet1.0_fp32": "caffe"}
FEW, MOSAICS, CONFIDENCE = 24, 12, 0.8
STEPS = 16

SAMPLED = "estimator=neyman,samples=15"
"""Of SS-CAM: all maps from 3 forwards each, whose error is at most that of 35 plain samples (docs/ss-cam.md)."""

CHEAP = ("gradient", "smoothgrad", "integrated-gradients", "grad-cam", "grad-cam++", "smooth-grad-cam++", "layercam",
         "recipro-cam")  # fmt: skip
SCORE = tuple(f"score-cam[preset={p}]" for p in ("official", "paper", "torchcam", "pytorch-grad-cam"))
SS = tuple(f"ss-cam[preset={p},variant={v},{SAMPLED}]" for p in ("onnxsal", "paper", "authors") for v in (1, 2))
ALL = (*CHEAP, SCORE[0])
"""Methods of less than 2000 forwards, which are judged on all photographs."""
COSTLY = (SCORE[0], f"ss-cam[preset=onnxsal,variant=1,{SAMPLED}]")

METRICS = (f"deletion[steps={STEPS}]", f"insertion[steps={STEPS}]", "average-drop", "increase-in-confidence",
           "energy-pointing", "sparseness")  # fmt: skip
GRID = ("grid-pointing",)


@dataclass(frozen=True)
class Part:
    """Some methods on some photographs by some metrics."""

    methods: Sequence[str]
    metrics: Sequence[str]
    photos: Sequence[Path]
    mosaics: int = MOSAICS


def parts() -> list[Part]:
    """Return what is judged, what decides most first."""
    photos, few = ordered(), chosen()
    rest = [path for path in photos if path not in few]
    return [
        Part((*CHEAP, *SCORE, *SS), METRICS, few),
        Part((*CHEAP, *COSTLY), GRID, few, mosaics=FEW // 2),
        Part(ALL, METRICS, rest),
        Part(ALL, GRID, rest),
    ]


def chosen() -> list[Path]:
    """Return the photographs on which everything is judged."""
    return [path for path in ordered() if mask_of(path).exists()][:FEW]


def ordered() -> list[Path]:
    """Return the photographs in the order of the hashes of their names: the same everywhere, and by no class."""
    found = (SHARED / "images" / "imagenet").glob("*.jpg")
    return sorted(found, key=lambda path: hashlib.sha256(path.name.encode()).hexdigest())


def mask_of(photo: Path) -> Path:
    """Return where a photograph's mask would be."""
    return SHARED / "images" / "masks" / f"{photo.stem}.png"


def judged(name: str, part: Part, journal: Path) -> None:
    """Judge one part, as far as the journal does not have it."""
    model = onnxsal.load(SHARED / "models" / f"{name}.onnx", preprocess=PREPROCESS[name])
    onnxsal.evaluate(
        model, list(part.photos), methods=part.methods, metrics=part.metrics, truth="names", journal=journal,
        masks=SHARED / "images" / "masks", confidence=CONFIDENCE, mosaics=part.mosaics, progress=told,
    )  # fmt: skip


def told(pace: Pace) -> None:
    """Print how far it is."""
    left = "" if pace.left is None else f", {pace.left / 60:.0f} min left of this part"
    print(f"{pace.done}/{pace.total} {pace.name}{left}", file=sys.stderr, flush=True)


def tables(name: str, journal: Path) -> dict[str, str]:
    """Return a model's tables in Markdown by what they are of, as far as its journal has anything for them."""
    known, few = Journal(journal), {path.name for path in chosen()}

    def part(methods: Sequence[str], images: set[str] | None, metrics: Sequence[str]) -> Summary:
        def wanted(row: Row) -> bool:
            return row.metric in metrics and (images is None or shown(row) <= images)

        return known_rows(known, methods, wanted).summary

    presets = part((*SCORE, *SS), few, METRICS)
    found = {"few": as_markdown(part((*CHEAP, *COSTLY), few, (*METRICS, *GRID))), "presets": as_markdown(presets)}
    found["presets"] = "\n\n".join([found["presets"], *better(presets)])
    if any(row.image not in few for row in known_rows(known, ALL, lambda row: row.metric not in GRID).rows):
        found["all"] = as_markdown(part(ALL, None, (*METRICS, *GRID)))
    return found


def shown(row: Row) -> set[str]:
    """Return the names of the photographs in a picture: of a mosaic, all four."""
    return set(re.findall(r"[^\s+]+\.jpg", row.image))


def known_rows(journal: Journal, methods: Sequence[str], wanted: Callable[[Row], bool]) -> Evaluation:
    """Return what a journal has of some methods: read by their names, so that later versions can read it too."""
    found = [from_plain(entry) for entry in journal.entries("row")]
    latest = {(row.image, row.method, row.metric): row for row in found if row.method in methods and wanted(row)}
    rows = sorted(latest.values(), key=lambda row: list(methods).index(row.method))
    names = [each for each in (*METRICS, *GRID) if any(row.metric == each for row in rows)]
    about = [(each, get(each.partition("[")[0])) for each in names]
    metrics = tuple(About(label, metric.when, metric.higher_is_better, metric.paper) for label, metric in about)
    return Evaluation(tuple(rows), (), metrics, {"pictures": len({row.image for row in rows})}, journal=journal)


def as_markdown(summary: Summary) -> str:
    """Return means with half the width of their intervals; bold is the best and what may equal it."""
    heads = [f"{m.name} {'↑' if m.higher_is_better else '↓'}" for m in summary.metrics]
    lines = [f"| method | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(heads)}"]
    for method in summary.methods:
        cells = [_cell(summary, metric, method) for metric in summary.metrics]
        lines.append(f"| `{method.replace(',' + SAMPLED, '')}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(summary: Summary, metric: Any, method: str) -> str:
    mean = summary.means[metric.name].get(method)
    if mean is None:
        return "–"
    if not mean.n:
        return "flat"
    text = f"{mean.value:.3f}"
    shown = f"**{text}**" if method in summary.level(metric) else text
    ends = f"<br>[{mean.low:.3f}, {mean.high:.3f}] " if mean.low == mean.low else ""
    return f"{shown} {ends}<br>n {mean.n}"


def better(summary: Summary) -> list[str]:
    """Return the differences between presets that are more than chance, a line a metric."""
    lines = []
    for metric in summary.metrics:
        found = [d for d in summary.differences[metric.name] if d.more_than_chance]
        pairs = [((d.a, d.b) if (d.value > 0) == metric.higher_is_better else (d.b, d.a)) for d in found]
        behind: dict[str, list[str]] = {}
        for a, b in pairs:
            behind.setdefault(_name(a), []).append(_name(b))
        said = "; ".join(f"{a} before {', '.join(each)}" for a, each in behind.items()) or "none"
        lines.append(f"More than chance under {metric.name}: {said}.")
    return lines


def _name(method: str) -> str:
    return method.replace(f",{SAMPLED}", "")


def write(folder: Path) -> None:
    """Write the tables of all models whose journal is there between their marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    for name in PREPROCESS:
        path = folder / f"{name}.jsonl"
        for of, table in tables(name, path).items() if path.exists() else ():
            text = filled(text, f"{of} {name}", table)
    PAGE.write_text(text, encoding="utf-8")


def filled(page: str, mark: str, table: str) -> str:
    """Return a page with a table between a pair of marks."""
    start, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    block = f"{start}\n\n{table}\n\n{end}"
    return re.sub(f"{re.escape(start)}.*{re.escape(end)}", lambda _: block, page, flags=re.DOTALL)


def main() -> None:
    """Judge the models that are named, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help=f"which models to judge: {', '.join(PREPROCESS)}")
    parser.add_argument("--journals", type=Path, default=Path("judge"), help="the folder of the journals")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/evaluate.md")
    parser.add_argument("--report", action="store_true", help="write a page for each model beside its journal")
    given = parser.parse_args()
    given.journals.mkdir(parents=True, exist_ok=True)
    for name in given.models:
        for part in parts():
            judged(name, part, given.journals / f"{name}.jsonl")
    if given.report:
        for name in PREPROCESS:
            journal = given.journals / f"{name}.jsonl"
            if journal.exists():
                every = known_rows(Journal(journal), (*CHEAP, *SCORE, *SS), lambda row: True)
                every = replace(every, settings={**every.settings, "model": f"{name}.onnx"})
                every.report(given.journals / f"{name}.html")
    if given.write:
        write(given.journals)


if __name__ == "__main__":
    main()
