"""The bundled detector, compiled: every method on it, and every form of head with a method of each kind.

``python tests/reference/compiled_detectors.py`` prints the table of docs/detection.md, ``--write`` puts it in there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from compiled_cases import QUICK, built_in
from compiled_runtimes import COMMANDS, Cell, Job, Jobs, differences, laid_out, shown
from detectors import FORMS, feeds, from_bytes
from drawn_objects import PICTURES, picture, scene

import onnxsal

PAGE = Path(__file__).parents[2] / "docs" / "detection.md"
MARKS = "<!-- runtimes -->", "<!-- /runtimes -->"
OF_FORMS = ("gradient", "layercam", "occlusion")
FEW = ("v8", "v5", "rows", "torchvision", "end2end", "ssd", "detr softmax")
"""Forms that differ in what a file has to look for; the table in docs/detection.md has all."""
UNREAD = ("levels", "raw")
COARSE = {"float16", "int8"}
"""Whose runtimes round otherwise: the maps are told, and not held to anything."""


def opened(folder: Path, name: str) -> onnxsal.Model:
    """Return a form, opened as a file with its words beside it."""
    form, path = FORMS[name], folder / f"{name.replace(' ', '_')}.model.onnx"
    onnx.save(form.model(), path)
    if form.description is not None:
        path.with_name(f"{path.stem}.detection.json").write_text(json.dumps(form.description))
    held = {"explained": "images", "inputs": {"scale_factor": np.ones((1, 2), np.float32)}} if name == "paddle" else {}
    preset = "raw" if form.after is from_bytes else "unit"
    return onnxsal.load(
        path, preprocess={"preset": preset, "fit": "squash"}, labels=list(form.labels), task="detection", **held
    )


def job(model: onnxsal.Model, name: str, method: str, *, inside: bool, runtime: str | None = None) -> Job:
    """Return a form compiled with the best detection inside, or explaining its last one, whose box it is fed.

    Args: runtime: one whose files are fed ``explain`` always.
    """
    options: dict[str, Any] = QUICK.get(method, {})
    pixels, asked = scene(PICTURES[0]).image, None if inside else "input@input"
    found: Any = model.predict(pixels)
    at = found[0] if inside else found[-1]
    made = onnxsal.compile(model, method=method, target=asked, give="saliency,detections", runtime=runtime, **options)
    always = {} if runtime is None else {"explain": np.array(True)}
    target = {"target": np.array([at.index]), "box": np.array([at.box], np.float32)}
    wanted = onnxsal.explain(model, pixels, method=method, target=f"#{at.number}", **options)
    assert wanted.saliency.max() > 0.99, (name, method)
    listed = [[0, *each.box, each.probability, each.index] for each in found]
    own = {
        key: array for key, array in feeds(FORMS[name].model(), picture(PICTURES[0])).items() if key != "scale_factor"
    }
    return Job(
        made, {**own, **({} if inside else target), **always},
        {"saliency": wanted.saliency[None], "explained": np.array([[*at.box, at.probability, at.index]], np.float32),
         "detections": np.array(listed, np.float32)},
    )  # fmt: skip


def cases(forms: tuple[str, ...], methods: tuple[str, ...]) -> Iterator[tuple[str, str, bool]]:
    """Yield forms, methods, and whether the target is inside: every method on the first form, few on the others."""
    yield from ((forms[0], method, True) for method in methods)
    yield from ((name, method, False) for name in forms for method in OF_FORMS)


def prepare(folder: Path, forms: tuple[str, ...], methods: tuple[str, ...]) -> Jobs:
    """Compile all cases into a folder."""
    models = {name: opened(folder, name) for name in forms}
    made = {
        _named(name, method, "inside" if inside else "fed"): job(models[name], name, method, inside=inside)
        for name, method, inside in cases(forms, methods)
    }
    return laid_out(folder, made)


def _named(form: str, *more: str) -> str:
    return " ".join((form.replace(" ", "_"), *more))


WITHOUT = ("cam", "ablation-cam", "recipro-cam")
"""Methods that the bundled detector has none of: its head is no mean of maps, and the part above one level does not run
alone."""


def methods_of_detectors() -> tuple[str, ...]:
    """Return the methods that the bundled detector is explained by."""
    return tuple(name for name in built_in() if name not in WITHOUT)


def table(forms: tuple[str, ...], methods: tuple[str, ...]) -> str:
    """Return the table of methods and forms, and what it was made with, as Markdown."""
    columns: dict[str, tuple[dict[str, Cell], str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        jobs = prepare(Path(folder), forms, methods)
        for runtime in COMMANDS:
            columns[runtime] = differences(runtime, jobs)
    lines = [f"| what | {' | '.join(COMMANDS)} |", "| --- |" + " ---: |" * len(COMMANDS)]
    lines += [_line(f"`{m}`", [_named(forms[0], m, "inside")], columns) for m in methods]
    lines += [_line(n, [_named(n, m, "fed") for m in OF_FORMS], columns) for n in forms]
    versions = "; ".join(version for _, version in columns.values())
    return "\n".join([*lines, "", f"Made with onnxsal {onnxsal.__version__}; {versions}."])


def _line(title: str, names: list[str], columns: dict[str, tuple[dict[str, Cell], str]]) -> str:
    cells = [_worst([found[name] for name in names]) for found, _ in columns.values()]
    return f"| {title} | {' | '.join(cells)} |"


def _worst(cells: list[Cell]) -> str:
    wrong = [cell for cell in cells if isinstance(cell, str)]
    return shown(wrong[0] if wrong else max(cell for cell in cells if isinstance(cell, float)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--forms", help="of head, with commas; all by default")
    parser.add_argument("--methods", help="on the first of these, with commas; all by default")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    forms = args.forms.split(",") if args.forms else [name for name in FORMS if name not in UNREAD]
    made = table(tuple(forms), tuple(args.methods.split(",")) if args.methods else methods_of_detectors())
    print(made)
    if args.write:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split(MARKS[0])
        PAGE.write_text(f"{before}{MARKS[0]}\n{made}\n{MARKS[1]}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
