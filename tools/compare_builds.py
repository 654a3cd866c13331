"""Are two builds of onnxsal the same? Every map, file, picture and message of each, and a table of what differs.

    python tools/compare_builds.py models MODELS [REAL ...]        # once: the models that both builds read
    OLD/bin/python tools/compare_builds.py record MODELS old       # under each build; --full for everything
    NEW/bin/python tools/compare_builds.py record MODELS new
    python tools/compare_builds.py table old new

``record`` uses the public surface alone, so builds may differ in every file. ``--only maps,files,pictures,texts`` takes
parts of it. ``table`` ends with status 1 where something differs.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import io
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from compare_calls import FILES, LINES, PYTHON, QUICK, SHEETS, VARIANTS, WHOLE, options
from compare_models import canonical, fed, image, make_models, random_feed, score_name
from compare_results import Results, table
from PIL import Image

import onnxsal

onnxruntime: Any = importlib.import_module("onnxruntime")
VOLATILE = {"seconds", "versions", "model"}
TIMES = re.compile(
    r" *[\d.,]+ (?:ms|s|µs|min|h)\b *|(?:seconds|forward|to_pixels|to_layer)\": [\d.e-]+|^work .*$", re.M
)


def maps(results: Results, models: list[Path], full: bool) -> None:
    """Store maps of every method: seed 0 of class 0; in full also seed 1: another picture, a pair, probabilities."""
    for path in models:
        model = onnxsal.load(path)
        for method in onnxsal.methods():
            for seed in range(2 if full else 1):
                how = {"target": (1, 0), "score": "probability"} if seed else {"target": 0}
                name = f"maps|{path.stem}|{method}|{seed}"
                given = {"method": method, "seed": seed, **how, **options(method)}
                results.keep(name, explained, model, image(path, seed), **given)


def explained(model: Any, image: Any, **given: Any) -> dict[str, Any]:
    """Return an Explanation's arrays and facts, without what no two runs share."""
    found = onnxsal.explain(model, image, **given)
    manifest = {f"manifest {name}": value for name, value in found.manifest.items() if name not in VOLATILE}
    arrays = {name: getattr(found, name) for name in ("saliency", "raw", "stderr", "image", "photo")}
    facts = {name: getattr(found, name) for name in ("target", "label", "score", "logit", "box", "method", "signed")}
    return {**{name: value for name, value in arrays.items() if value is not None}, **facts, **manifest}


def files(results: Results, models: list[Path], full: bool) -> None:
    """Store compiled files, each method in one variant (some models in full: in every one), and gradient graphs."""
    for place, path in enumerate(models):
        model = onnxsal.load(path)
        for at, method in enumerate(onnxsal.methods()):
            names = list(VARIANTS)
            for name in names if full and path.stem in WHOLE else [names[(at + place) % len(names)]]:
                given = {"method": method, **VARIANTS[name], **options(method)}
                results.keep(f"files|{path.stem}|{method}|{name}", ran, onnxsal.compile, model, **given)
        for rules in ("plain", "guided", "deconv"):
            given = {"of": [score_name(path)], "wrt": [fed(path)[0]], "rules": rules}
            results.keep(f"files|{path.stem}|gradient graph|{rules}", ran, onnxsal.gradient, path, **given)


def ran(make: Callable[..., Any], model: Any, **given: Any) -> dict[str, Any]:
    """Return a file's structure, its metadata, and its outputs of random inputs on one thread."""
    made, single = make(model, **given), onnxruntime.SessionOptions()
    single.intra_op_num_threads, single.log_severity_level = 1, 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), single, providers=["CPUExecutionProvider"])
    names = [f"output {value.name}" for value in session.get_outputs()]
    values = session.run(None, {value.name: random_feed(value) for value in session.get_inputs()})
    nodes = Counter(f"{n.domain}.{n.op_type}" for n in made.graph.node)
    facts = {"nodes": nodes, "structure": canonical(made), "metadata": {p.key: p.value for p in made.metadata_props}}
    return {**dict(zip(names, values, strict=True)), **facts}


@contextlib.contextmanager
def workplace(models: Path, out: Path) -> Iterator[None]:
    """Make a folder with some models, a picture and damaged files the current one: messages name no other place."""
    folder = out / "work"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("shapes.onnx", "shapes_two.onnx", "vgg.onnx", "vit_timm.onnx", "demo.png"):
        shutil.copy(models / name, folder)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    with contextlib.chdir(folder):
        yield


def images(results: Results) -> None:
    """Store the pixels of saved pictures and of the command line's sheets."""
    for method in ("grad-cam++", "gradient", "score-cam"):
        found = onnxsal.explain("shapes.onnx", "demo.png", method=method, **options(method))
        for kind in ("overlay", "heat", "product"):
            found.save("one.png", kind=kind)
            results.keep(f"pictures|{method}|{kind}", pixels, "one.png")
    for at, line in enumerate(SHEETS):
        with patch("time.perf_counter", side_effect=count(0, 0.001)):  # sheets show times
            results.keep(f"pictures|{line}|text", said, f"{line} -o sheet{at}.png")
        results.keep(f"pictures|{line}|sheet", pixels, f"sheet{at}.png")


def pixels(path: str) -> dict[str, Any]:
    """Return a picture's pixels."""
    return {"pixels": np.asarray(Image.open(path).convert("RGBA"))}


def texts(results: Results) -> None:
    """Store what the command line says, of right calls and wrong ones, and messages of wrong calls in Python."""
    for line in LINES:
        results.keep(f"texts|{line}", said, line)
    for call in PYTHON:
        results.keep(f"texts|{call}", evaluated, call)


def evaluated(call: str) -> dict[str, Any]:
    """Return what a call in Python returns, as text."""
    found = eval(call, {"np": np, "onnxsal": onnxsal})
    return {"returned": found if isinstance(found, list) else type(found).__name__}


def said(line: str) -> dict[str, Any]:
    """Return the exit status and what the command line writes, without times; ``~`` is a space in an argument."""
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="onnxsal")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = entry.load()([word.replace("~", " ") for word in line.split()])
        except SystemExit as error:
            status = error.code
    return {"status": status, "out": TIMES.sub(" T ", out.getvalue()), "err": TIMES.sub(" T ", err.getvalue())}


def record(folder: Path, out: Path, only: list[str], full: bool) -> None:
    """Write everything that the build under this Python gives for the models of a folder."""
    out.mkdir(parents=True, exist_ok=True)
    small, real = sorted(folder.glob("*.onnx")), sorted(folder.glob("real/*.onnx"))
    chosen = small if full else [folder / f"{name}.onnx" for name in QUICK]
    results, folder, out, started = Results(), folder.resolve(), out.resolve(), time.perf_counter()
    for part in only:
        if part == "maps":
            maps(results, [*chosen, *(real if full else [])], full)
        elif part == "files":
            files(results, small if full else chosen[:2], full)
        else:
            with workplace(folder, out):
                {"pictures": images, "texts": texts}[part](results)
        print(f"{part}: {time.perf_counter() - started:.0f} s since the start", flush=True)
        results.write(out)


def main() -> int:
    """Return the exit status of one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=["models", "record", "table"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", default="texts,pictures,files,maps")
    asked = parser.parse_args()
    if asked.command == "models":
        make_models(asked.folders[0], asked.folders[1:])
    elif asked.command == "record":
        record(asked.folders[0], asked.folders[1], asked.only.split(","), asked.full)
    else:
        return table(*asked.folders)
    return 0


if __name__ == "__main__":
    sys.exit(main())
