"""Compiled models in runtimes other than onnxsal's, and the table of them in docs/compile.md.

``python tests/reference/compiled_runtimes.py`` prints the table, ``--write`` puts it into the page. Which
runtimes there are, ``tests/runtimes/set_up.sh`` says.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from compiled_cases import BUNDLED, MODELS, QUICK, built_in, expected, photos
from onnx.reference import ReferenceEvaluator

import onnxsal

RUNNERS = Path(__file__).parents[1] / "runtimes"
PAGE = Path(__file__).parents[2] / "docs" / "compile.md"
EXAMPLE = Path(__file__).parents[2] / "examples" / "web"
PARTS = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
MARKS = "<!-- runtimes -->", "<!-- /runtimes -->"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

Cell = float | str
"""The largest difference from ``explain``, or why there is none."""


class Absent(Exception):
    """A runtime is not here; says why."""


Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """A compiled model, what it is fed, and what ``explain`` gives: ``saliency`` [1, H, W], and more of detectors."""

    model: onnx.ModelProto
    feeds: Arrays
    wanted: Arrays


@dataclass(frozen=True)
class Jobs:
    """A folder with compiled models and what they are fed."""

    folder: Path
    wanted: Mapping[str, Arrays]
    feeds: Mapping[str, Arrays]


def laid_out(folder: Path, jobs: Mapping[str, Job]) -> Jobs:
    """Write models and feeds into a folder, and what there is in it for those who run them."""
    told: dict[str, Any] = {}
    for name, job in jobs.items():
        onnx.save(job.model, folder / f"{name}.onnx")
        for k, array in enumerate(job.feeds.values()):
            np.ascontiguousarray(array).tofile(folder / f"{name}.{k}.in")
        told[name] = {"feeds": {key: [str(a.dtype), list(a.shape)] for key, a in job.feeds.items()},
                      "outputs": list(job.wanted)}  # fmt: skip
    (folder / "jobs.json").write_text(json.dumps(told))
    return Jobs(folder, {n: job.wanted for n, job in jobs.items()}, {n: job.feeds for n, job in jobs.items()})


def prepare(folder: Path, methods: Sequence[str]) -> Jobs:
    """Compile the bundled model with each method; write models and picture into a folder."""
    model, images = onnxsal.load(BUNDLED), photos()

    def job(name: str) -> Job:
        options = QUICK.get(name, {})
        wanted = expected(model, images.pixels[:1], name, options)
        made = onnxsal.compile(model, method=name, **options)
        return Job(made, {"picture": images.feed(1)}, {"saliency": wanted})

    return laid_out(folder, {name: job(name) for name in methods})


def named(runtime: str) -> dict[str, Job]:
    """Return files that are written for a runtime by its name, each asked to explain, and not to."""
    model, images, jobs = onnxsal.load(BUNDLED), photos(), dict[str, Job]()
    for name in ("gradient", "grad-cam++", "smoothgrad"):
        options = QUICK.get(name, {})
        made = onnxsal.compile(model, method=name, runtime=runtime, **options)
        wanted = expected(model, images.pixels[:1], name, options)
        for explain in (True, False):
            feeds = {"picture": images.feed(1), "explain": np.array(explain)}
            jobs[f"{name} {explain}"] = Job(made, feeds, {"saliency": wanted * explain})
    return jobs


def browser() -> str:
    """Return where a Chromium is. Raises: Absent."""
    named = os.environ.get("ONNXSAL_BROWSER")
    found = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise Absent("no Chromium on the PATH, and ONNXSAL_BROWSER names none")
    return found


def place(*parts: str) -> Path:
    """Return a file or folder of the runtimes. Raises: Absent."""
    root = os.environ.get("ONNXSAL_RUNTIMES")
    if root is None:
        raise Absent("ONNXSAL_RUNTIMES names no folder made by tests/runtimes/set_up.sh")
    found = Path(root).joinpath(*parts)
    if not found.exists():
        raise Absent(f"ONNXSAL_RUNTIMES has no {'/'.join(parts)}")
    return found


def node() -> str:
    """Return where Node is. Raises: Absent."""
    found = shutil.which("node")
    if found is None:
        raise Absent("no node on the PATH")
    return found


def lay_out_page(web: Path, modules: Path, model: onnx.ModelProto) -> None:
    """Put the page of examples/web, the runtime, a compiled model and the bundled picture into a folder."""
    for file in EXAMPLE.glob("*.*"):
        if file.suffix in (".html", ".css", ".js"):
            shutil.copy(file, web)
    (web / "ort").mkdir()
    for part in PARTS:
        shutil.copy(modules / "onnxruntime-web" / "dist" / part, web / "ort")
    onnxsal.save(model, web / "model.onnx")
    shutil.copy(MODELS / "demo.png", web / "example.png")


def _stock() -> list[str]:
    try:
        python = str(place("python", "bin", "python"))
    except Absent:
        python = sys.executable
    return [python, str(RUNNERS / "run_ort.py")]


def _openvino() -> list[str]:
    return [str(place("openvino", "bin", "python")), str(RUNNERS / "run_openvino.py")]


def _node() -> list[str]:
    return [node(), str(RUNNERS / "run_node.mjs"), str(place("node", "node_modules"))]


def _web() -> list[str]:
    return [node(), str(RUNNERS / "run_web.mjs"), str(place("node", "node_modules")), browser()]


COMMANDS: dict[str, Callable[[], list[str]]] = {
    "ONNX Runtime": _stock, "onnxruntime-node": _node, "onnxruntime-web": _web, "OpenVINO": _openvino,
}  # fmt: skip


def differences(runtime: str, jobs: Jobs) -> tuple[dict[str, Cell], str]:
    """Return the cell of each method, and the runtime's version. Raises: Absent."""
    if runtime == "reference evaluator":
        return {name: _referenced(jobs, name) for name in jobs.wanted}, f"onnx {onnx.__version__}"
    command = [*COMMANDS[runtime](), str(jobs.folder)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=environment, check=False)
    if ended.returncode:
        raise RuntimeError(f"{runtime} ended with {ended.returncode}: {ended.stderr[-2000:]}")
    return {name: _cell(jobs, name) for name in jobs.wanted}, (jobs.folder / "version").read_text()


def _referenced(jobs: Jobs, name: str) -> Cell:
    """What is not fed has to be: the reference evaluator knows no defaults."""
    evaluator = ReferenceEvaluator(onnx.load(jobs.folder / f"{name}.onnx"))
    with np.errstate(all="ignore"):
        (found,) = evaluator.run(["saliency"], {**jobs.feeds[name], "explain": np.array(True)})
    return float(np.abs(found - jobs.wanted[name]["saliency"]).max())


def _cell(jobs: Jobs, name: str) -> Cell:
    """Return how far a map is from what it should be, or what else is wrong."""
    error, given = jobs.folder / f"{name}.error", dict[str, np.ndarray]()
    for k, (output, wanted) in enumerate(jobs.wanted[name].items()):
        found = jobs.folder / f"{name}.{k}.out"
        if not found.exists():
            return error.read_text().strip() or "no result"
        numbers = np.fromfile(found, np.float32)
        found.unlink()
        if numbers.size != wanted.size:
            return f"{output} has {numbers.size} numbers, not {wanted.size}"
        given[output] = numbers.reshape(wanted.shape)
    for output in ("explained", "detections"):
        if output in given and not np.allclose(given[output], jobs.wanted[name][output], rtol=1e-4, atol=1e-3):
            return f"{output} is {given[output].round(3).tolist()}"
    return float(np.abs(given["saliency"] - jobs.wanted[name]["saliency"]).max())


def table() -> str:
    """Return the table of all methods and runtimes, and what it was made with, as Markdown."""
    runtimes, methods = ["ONNX Runtime", "reference evaluator", *list(COMMANDS)[1:]], built_in()
    with tempfile.TemporaryDirectory() as folder:
        jobs = prepare(Path(folder), methods)
        columns = {runtime: differences(runtime, jobs) for runtime in runtimes}
    lines = [f"| method | {' | '.join(runtimes)} |", "| --- |" + " ---: |" * len(runtimes)]
    lines += [f"| `{m}` | {' | '.join(shown(columns[r][0][m]) for r in runtimes)} |" for m in methods]
    versions = "; ".join(version for _, version in columns.values())
    return "\n".join([*lines, "", f"Made with onnxsal {onnxsal.__version__}; {versions}."])


def shown(cell: Cell) -> str:
    """Return a cell of a table."""
    return cell.replace("|", "/").splitlines()[0][:80] if isinstance(cell, str) else f"{cell:.0e}"


def main() -> None:
    made = table()
    print(made)
    if "--write" in sys.argv[1:]:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
