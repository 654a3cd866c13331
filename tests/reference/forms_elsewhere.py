"""Forms of files in runtimes other than ONNX Runtime, on real and quantised models: the table of docs/runtimes.md.

    python tests/reference/forms_elsewhere.py FOLDER [--runtime tract ...] [--model bundled ...] [--form ...] [--write]

Runs what is asked, everything by default, each file in a process of its own, which may take so long and no longer, and
keeps the cells in FOLDER; what is kept is not run again, unless ``--again``. ``--write`` puts all that are there into
the page. Runtimes are those that ``tests/runtimes/set_up.sh`` makes, in ONNXSAL_RUNTIMES; models those of the reference
material (ONNXSAL_SHARED) and of ``benchmarks/zoo.py`` (ONNXSAL_ZOO). What is not there stays open.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
from compiled_cases import BUNDLED, MODELS
from compiled_runtimes import RUNNERS, Absent, Arrays, place

import onnxsal

PAGE = Path(__file__).parents[2] / "docs" / "runtimes.md"
MARKS = "<!-- forms -->", "<!-- /forms -->"
PHOTO = "0281_tabby.jpg"
CLOSE = 1e-2
"""Of a prediction's largest number: a step of an int8 softmax is 4e-3."""
ROUNDING = 1e-4
"""Of a map's largest number."""
LIMIT = float(os.environ.get("ONNXSAL_LIMIT", 300))
"""Seconds of processor time that one file may take in one runtime, converted and compiled and run: others may be at
work beside it."""
PATIENCE = 10
"""Times as long by the clock."""

RUNTIMES: dict[str, tuple[str, ...]] = {
    "ONNX Runtime": ("python", "run_ort.py"),
    "ONNX Runtime, nothing optimised": ("python", "run_ort.py", "--plain"),
    "OpenVINO": ("openvino", "run_openvino.py"),
    "tract": ("tract", "run_tract.py"),
    "OpenCV": ("opencv", "run_opencv.py"),
    "MNN": ("mnn", "run_mnn.py"),
    "MNN, without Winograd": ("mnn", "run_mnn.py", "--direct"),
    "IREE": ("iree", "run_iree.py"),
    "TVM": ("tvm", "run_tvm.py"),
    "tinygrad": ("tinygrad", "run_tinygrad.py"),
    "onnx2torch": ("onnx2torch", "run_onnx2torch.py"),
    "LiteRT": ("litert", "run_litert.py"),
    "ncnn": ("ncnn", "run_ncnn.py"),
}
"""Environment and runner of each, and what the runner is told."""

OPSETS = {"onnx2torch": 17}
"""Of runtimes that know none of the default."""


@dataclass(frozen=True)
class Source:
    """A model, and how pictures come into it."""

    file: Callable[[], Path]
    preprocess: str | None = None


def shared(name: str) -> Callable[[], Path]:
    return lambda: Path(os.environ["ONNXSAL_SHARED"], "models", name)


def zoo(name: str) -> Callable[[], Path]:
    return lambda: Path(os.environ["ONNXSAL_ZOO"], f"{name}.torchscript.onnx")


Cell = str
"""The largest difference, or why there is none."""

SOURCES = {
    "bundled": Source(lambda: BUNDLED),
    "SqueezeNet": Source(shared("squeezenet1.0_fp32.onnx"), "caffe"),
    "ResNet-18": Source(zoo("resnet18"), "imagenet"),
    "DeiT tiny": Source(zoo("deit_tiny_patch16_224"), "imagenet"),
    "MobileNetV2 int8": Source(shared("mobilenet_v2_int8.onnx")),
    "MobileNetV1 int8": Source(shared("mobilenet_v1_025_int8.onnx")),
}
FLAT = {"no_if": True, "batch": 1, "fold_weights": True}
FORMS: dict[str, dict[str, Any]] = {
    "gradient graph": {},
    "as it is": {"method": "grad-cam++"},
    "flat: Grad-CAM++": {"method": "grad-cam++", **FLAT},
    "flat: gradient": {"method": "gradient", **FLAT},
    "unrolled: SmoothGrad": {
        "method": "smoothgrad", "samples": 3, "batch_size": 3, **FLAT, "unroll": True, "noise_as": "constants",
    },
}  # fmt: skip
SWITCHES = {"no_if", "batch", "fold_weights", "unroll", "noise_as"}


def photo(name: str) -> Path:
    """Return the picture that a model explains."""
    return MODELS / "demo.png" if name == "bundled" else Path(os.environ["ONNXSAL_SHARED"], "images", "imagenet", PHOTO)


def fed(model: onnxsal.Model, found: onnxsal.Explanation, name: str) -> np.ndarray:
    """Return what the model's own input takes: bytes where those are its input, else what preprocessing makes."""
    if model.anatomy.entry.dtype == ir.DataType.UINT8:
        return np.ascontiguousarray(found.image[None])
    return np.ascontiguousarray(model.prepare(photo(name)).x[None])


def in_ort(model: onnx.ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


@dataclass(frozen=True)
class Job:
    """A file, what it is fed, what it should give, and which of that is the map."""

    file: onnx.ModelProto
    feeds: Arrays
    wanted: Arrays
    map: str


def job(name: str, form: str, opset: int | None) -> Job:
    """Return what is run. Raises: Absent: the model is not here."""
    source = SOURCES[name]
    if not source.file().is_file():
        raise Absent(f"no {source.file().name}")
    model = onnxsal.load(source.file(), preprocess=source.preprocess)
    options = FORMS[form]
    told = {key: value for key, value in options.items() if key not in SWITCHES}
    found = onnxsal.explain(model, photo(name), **{"method": "gradient", **told})
    x = {str(model.anatomy.entry.input): fed(model, found, name)}
    if form == "gradient graph":
        return gradient_job(model, source, {**x}, int(found.target), opset)
    file = onnxsal.compile(model, opset=opset, **options)
    return Job(file, x, {**in_ort(onnx.load(source.file()), x), "saliency": found.saliency[None]}, "saliency")


def gradient_job(model: onnxsal.Model, source: Source, x: Arrays, target: int, opset: int | None) -> Job:
    """Return the gradient graph of the explained class; what it gives in ONNX Runtime is what it should."""
    logit, value = str(model.task.logit), str(model.anatomy.entry.value)
    file = onnxsal.gradient(onnx.load(source.file()), of=[logit], wrt=[value], opset=opset)
    seed = next(each for each in file.graph.input if each.name == f"seed/{logit}")
    shape = [side.dim_value or 1 for side in seed.type.tensor_type.shape.dim]
    one = np.zeros(shape, np.float32)
    one.reshape(-1)[target] = 1
    feeds = {**x, seed.name: one}
    return Job(file, feeds, in_ort(file, feeds), f"grad/{value}")


def laid_out(folder: Path, work: Job) -> None:
    """Write a job as the runners read it: everything in the order of the graph, under plain names."""
    onnx.save(work.file, folder / "job.onnx")
    feeds = [each.name for each in work.file.graph.input if each.name in work.feeds]
    outputs = [each.name for each in work.file.graph.output]
    for k, name in enumerate(feeds):
        work.feeds[name].tofile(folder / f"job.{k}.in")
    told = {"feeds": {n: [str(work.feeds[n].dtype), list(work.feeds[n].shape)] for n in feeds}, "outputs": outputs}
    (folder / "jobs.json").write_text(json.dumps({"job": told}))


def cell(runtime: str, folder: Path, work: Job) -> Cell:
    """Return the largest difference of the map over its peak, or what is wrong otherwise. Raises: Absent."""
    for old in [*folder.glob("job.*.out"), *folder.glob("job.error"), *folder.glob("version")]:
        old.unlink()
    environment, runner, *told = RUNTIMES[runtime]
    command = [str(place(environment, "bin", "python")), str(RUNNERS / runner), str(folder), "job", *told]
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=LIMIT * PATIENCE, env=clean(), check=False, preexec_fn=limited
        )
    except subprocess.TimeoutExpired:
        return f"not done within {LIMIT * PATIENCE:.0f} s"
    if ended.returncode == -signal.SIGXCPU:
        return f"not done within {LIMIT:.0f} s"
    if ended.returncode < 0:
        return "ends its process"
    if (error := folder / "job.error").exists():
        return error.read_text().strip() or "an error without a word"
    return compared(folder, work) if not ended.returncode else ended.stderr.decode(errors="replace").strip()[-300:]


def limited() -> None:
    """Let the process that is about to start, and each that it starts, take so much processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(LIMIT), int(LIMIT) + 5))


def clean() -> dict[str, str]:
    """Return an environment in which nothing of onnxsal is found, and no more than two threads run."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "OMP_NUM_THREADS": "2", "CI": "true"}


def compared(folder: Path, work: Job) -> Cell:
    """Return how far the map is from what it should be, and the prediction, where that is another."""
    told, shares = "", list[float]()
    for k, name in enumerate(each.name for each in work.file.graph.output):
        wanted = work.wanted[name].astype(np.float32)
        found = np.fromfile(folder / f"job.{k}.out", np.float32)
        if found.size != wanted.size:
            return f"{name} has {found.size} numbers, not {wanted.size}"
        if name == work.map:
            told = apart(found, wanted.ravel())
        else:
            shares.append(share(found, wanted.ravel()))
    off = max(shares, default=0.0)
    return told if off <= CLOSE else f"{told}; the prediction is {off:.0e} off"


def share(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference over the largest number that should be there."""
    return float(np.abs(found - wanted).max() / max(float(np.abs(wanted).max()), 1e-12))


def apart(found: np.ndarray, wanted: np.ndarray) -> Cell:
    """Return a map's largest difference; with the correlation where it is more than rounding: one unit that rounding
    switches on or off moves a few pixels far and leaves the map as it is."""
    if not np.isfinite(found).all():
        return "NaN"
    off = share(found, wanted)
    if off <= ROUNDING:
        return f"{off:.0e}"
    with np.errstate(invalid="ignore", divide="ignore"):
        return f"{off:.0e} (r {np.corrcoef(found, wanted)[0, 1]:.4f})"


def table(folder: Path) -> str:
    """Return the cells that are there, a table a form, as Markdown."""
    kept = cells(folder)
    lines = list[str]()
    for form in FORMS:
        rows = {name: row for name, row in kept["cells"].get(form, {}).items() if row}
        if not rows:
            continue
        lines += [f"**{form}**", "", f"| runtime | {' | '.join(SOURCES)} |", "| --- |" + " ---: |" * len(SOURCES)]
        lines += [
            f"| {name} | {' | '.join(shown(rows[name].get(m)) for m in SOURCES)} |" for name in RUNTIMES if name in rows
        ]
        lines.append("")
    versions = "; ".join(dict.fromkeys(kept["versions"][name] for name in RUNTIMES if name in kept["versions"]))
    return "\n".join([*lines, f"Made with onnxsal {onnxsal.__version__}; {versions}."])


def shown(found: Cell | None) -> str:
    """Return a cell: of an error what it names, without what surrounds it."""
    if found is None:
        return ""
    if "operation_type='" in found:
        kind, version = re.findall(r"operation_type='(\w+)', version=(\d+)", found)[0]
        return f"no {kind} of opset {version}"
    if ended := re.match(r"RuntimeError: (pnnx ends with \d+)", found):
        return ended[1]
    lines = [each.strip() for each in found.split("Stack backtrace")[0].splitlines() if each.strip()]
    said = lines[-1 if "Caused by" in found else 0]
    return re.sub(r"^\w*Error: ", "", said).replace("|", "/").replace("<", "&lt;")[:90]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where cells are kept")
    parser.add_argument("--runtime", action="append", choices=list(RUNTIMES))
    parser.add_argument("--model", action="append", choices=list(SOURCES))
    parser.add_argument("--form", action="append", choices=list(FORMS))
    parser.add_argument("--again", action="store_true", help="what is kept too")
    parser.add_argument("--only-write", action="store_true", help="run nothing: what is kept, into the page")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for form in [] if args.only_write else args.form or FORMS:
        for model in args.model or SOURCES:
            kept = {} if args.again else cells(args.folder)["cells"].get(form, {})
            left = [name for name in args.runtime or RUNTIMES if model not in kept.get(name, {})]
            measure(args.folder, form, model, left)
    if args.write or args.only_write:
        before, rest = PAGE.read_text(encoding="utf-8").split(MARKS[0])
        text = f"{before}{MARKS[0]}\n{table(args.folder)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"
        PAGE.write_text(text, encoding="utf-8")


def measure(folder: Path, form: str, model: str, runtimes: Sequence[str]) -> None:
    """Run one file in each runtime, and keep the cells."""
    jobs = dict[int | None, Job]()
    for runtime in runtimes:
        opset = OPSETS.get(runtime)
        try:
            if opset not in jobs:
                jobs[opset] = job(model, form, opset)
            laid_out(folder, jobs[opset])
            found = cell(runtime, folder, jobs[opset])
        except Absent as reason:
            print(f"{form} | {model} | {runtime}: not here, {reason}", flush=True)
            continue
        keep(folder, runtime, form, model, found)


def cells(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the cells that were kept: by form, runtime and model; and the versions of the runtimes."""
    path = folder / "cells.json"
    return json.loads(path.read_text()) if path.exists() else {"cells": {}, "versions": {}}


def keep(folder: Path, runtime: str, form: str, model: str, found: Cell) -> None:
    """Write a cell down beside the others."""
    kept = cells(folder)
    kept["cells"].setdefault(form, {}).setdefault(runtime, {})[model] = found
    if (version := folder / "version").exists():
        kept["versions"][runtime] = version.read_text()
    (folder / "cells.json").write_text(json.dumps(kept, indent=1))
    print(f"{form} | {model} | {runtime}: {found}", flush=True)


if __name__ == "__main__":
    main()
