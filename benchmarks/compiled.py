"""What compiled models cost: over the bare model, over streaming, on disk, and in a browser.

    python benchmarks/compiled.py [--zoo FOLDER] [--shared FOLDER] [--rounds 30] [--maps 48] [--threads 1] [--write]

The models are run in turns within one round; a ratio is the median over rounds, by processor time of this process (the
clock in brackets). Float models are those of ``benchmarks/zoo.py``, the others come with the reference material; what
is not there is said. The browser needs what ``tests/runtimes/set_up.sh`` makes. ``--write`` puts the tables into
docs/compile.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import onnxsal

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "compile.md"
MARKS = "<!-- costs -->", "<!-- /costs -->"
PHOTO, CLASS = "0281_tabby", 281
sys.path.insert(0, str(ROOT / "tests" / "reference"))


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    model: str
    preprocess: str | None


CASES = (
    Case("resnet18.torchscript.onnx", "imagenet"), Case("mobilenet_v2.torchscript.onnx", "imagenet"),
    Case("squeezenet1.0_fp32.onnx", "caffe"), Case("mobilenet_v2_int8.onnx", None),
)  # fmt: skip
LIMITS = {"grad-cam++": 1.25, "prediction": 1.05, "score-cam": 1.15}
Call = Callable[[], Any]
Times = tuple[float, float]
"""Processor time and clock of one call."""


def measured(call: Call) -> Times:
    """Return how long one call takes."""
    used, start = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - used, time.perf_counter() - start


def compared(calls: dict[str, Call], rounds: int) -> dict[str, tuple[float, float, float]]:
    """Return for each call its ratio over the first in processor time and clock, and its shortest time in ms."""
    for call in calls.values():
        call()
    runs = [{name: measured(call) for name, call in calls.items()} for _ in range(rounds)]
    first = next(iter(calls))
    return {
        name: (
            median(run[name][0] / run[first][0] for run in runs),
            median(run[name][1] / run[first][1] for run in runs),
            min(run[name][0] for run in runs) * 1e3,
        )
        for name in calls
    }


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """Return a session whose waiting threads do not spin: spinning is processor time that does nothing."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def caller(made: onnxruntime.InferenceSession, **more: Any) -> Call:
    """Return a call of a model on one random picture."""
    given, rng = made.get_inputs()[0], np.random.default_rng(0)
    shape = [side if isinstance(side, int) else 1 for side in given.shape]
    noise = rng.integers(0, 256, shape)
    image = noise.astype(np.uint8) if "uint8" in given.type else (noise / 64 - 2).astype(np.float32)
    feeds = {given.name: image, **more}
    return lambda: made.run(None, feeds)


def compiled(model: onnxsal.Model, folder: Path, method: str, **options: Any) -> Path:
    """Return the file of a compiled model."""
    path = folder / f"{method}.onnx"
    onnxsal.save(onnxsal.compile(model, method=method, **options), path)
    return path


def line(path: Path, case: Case, args: argparse.Namespace) -> str:
    """Return what one model costs."""
    model = onnxsal.load(path, preprocess=case.preprocess)
    with tempfile.TemporaryDirectory() as name:
        file = compiled(model, Path(name), "grad-cam++")
        size = file.stat().st_size / 1e6
        explained = session(file, args.threads)
        calls = {"bare": caller(session(path, args.threads)), "grad-cam++": caller(explained)}
        found = compared({**calls, "prediction": caller(explained, explain=np.array(False))}, args.rounds)
        scored = against_streaming(model, Path(name), args)
    cells = [f"{found[n][0]:.2f} ({found[n][1]:.2f})" for n in ("grad-cam++", "prediction")]
    source = path.stat().st_size / 1e6
    return f"| {case.model} | {found['bare'][2]:.1f} ms | {' | '.join(cells)} | {scored} | {source:.2f} | {size:.2f} |"


def against_streaming(model: onnxsal.Model, folder: Path, args: argparse.Namespace) -> str:
    """Return the ratio of compiled Score-CAM over the streaming one, with as many maps, prepared beforehand."""
    photo = args.shared / "images" / "imagenet" / f"{PHOTO}.jpg"
    given: dict[str, Any] = {"method": "score-cam", "target": CLASS, "top_k": args.maps, "batch_size": 8}
    file = compiled(model, folder, **given)
    made, prepared = session(file, 0), onnxsal.explain(model, photo, **given).image
    runs = {"streaming": lambda: onnxsal.explain(model, prepared, **given), "compiled": caller(made)}
    found = compared(runs, max(3, args.rounds // 6))["compiled"]
    return f"{found[0]:.2f} ({found[1]:.2f})"


def table(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of times and sizes."""
    yield (
        f"| model | bare forward | Grad-CAM++ over it (≤ {LIMITS['grad-cam++']}) | `explain` false (≤ "
        f"{LIMITS['prediction']}) | Score-CAM over streaming (≤ {LIMITS['score-cam']}) | model, MB | compiled, MB |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for case in CASES:
        path = (args.zoo if "torchscript" in case.model else args.shared / "models") / case.model
        yield line(path, case, args) if path.is_file() else f"| {case.model} | not there | | | | | |"
    yield detector_line(args)


def detector_line(args: argparse.Namespace) -> str:
    """Return what the bundled detector costs with what it detects beside the map, as the file runs by itself."""
    path = ROOT / "models" / "detector.onnx"
    model = onnxsal.load(path)
    with tempfile.TemporaryDirectory() as name:
        made = compiled(model, Path(name), "layercam", give="saliency,detections", explain_required=True)
        size, explained = made.stat().st_size / 1e6, session(made, args.threads)
        calls = {
            "bare": caller(session(path, args.threads)),
            "layercam": caller(explained, explain=np.array(True)),
            "prediction": caller(explained, explain=np.array(False)),
        }
        found = compared(calls, args.rounds)
    cells = " | ".join(f"{found[n][0]:.2f} ({found[n][1]:.2f})" for n in ("layercam", "prediction"))
    return (
        f"| {path.name}, detections beside LayerCAM | {found['bare'][2]:.1f} ms | {cells} | - | "
        f"{path.stat().st_size / 1e6:.2f} | {size:.2f} |"
    )


def browser_times(args: argparse.Namespace) -> Iterator[str]:
    """Yield the times in a browser, from the drop of a photograph to the picture."""
    from compiled_runtimes import BUNDLED, Absent, browser, lay_out_page, node, place  # a helper of the tests

    try:
        modules, program, chromium = place("node", "node_modules"), node(), browser()
    except Absent as reason:
        yield f"In a browser: not measured, {reason}."
        return
    with tempfile.TemporaryDirectory() as name:
        web, squeezenet = Path(name), args.shared / "models" / "squeezenet1.0_fp32.onnx"
        lay_out_page(web, modules, onnxsal.compile(BUNDLED, method="smoothgrad", explain_required=True))
        if squeezenet.is_file():
            model = onnxsal.load(squeezenet, preprocess="caffe")
            onnxsal.save(onnxsal.compile(model, method="grad-cam++", explain_required=True), web / "squeezenet.onnx")
            shutil.copy(args.shared / "images" / "imagenet" / f"{PHOTO}.jpg", web / "photo.jpg")
        script = [program, str(ROOT / "benchmarks" / "compiled_web.mjs"), str(modules), chromium, str(web)]
        done = subprocess.run(script, capture_output=True, text=True, timeout=400, check=True)
    yield from done.stdout.strip().splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, default=ROOT.parent / "zoo")
    parser.add_argument("--shared", type=Path, default=Path(os.environ.get("ONNXSAL_SHARED", ROOT.parent / "shared")))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--maps", type=int, default=48)
    parser.add_argument("--threads", type=int, default=1, help="of single pictures; Score-CAM takes all")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    lines = []
    for part in (table(args), browser_times(args)):
        for row in part:
            print(row, flush=True)
            lines.append(row)
        lines.append("")
    if args.write:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        text = "\n".join(lines).strip()
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
