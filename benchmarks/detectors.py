"""Detectors with random weights, each with the gradient that float64 autograd gives of one class score.

    python benchmarks/detectors.py list
    python benchmarks/detectors.py export FOLDER [yolo8 tv-fcos ...] [--seed 0]   needs what detectors/ imports
    python benchmarks/detectors.py compare FOLDER [yolo8 ...] [--markdown FILE]   needs onnxsal alone

``export`` writes of each form NAME.onnx, NAME.json (what inputs and outputs are, the candidate that is explained, how
firm its reference is) and NAME.npz (x, score, grad and the outputs by name, float64). The references go through what
modules detach (boxes of RT-DETR, proposals of Faster R-CNN): no ONNX file can say that. ``compare`` explains detection
#1, as ``predict`` numbers it, where onnxsal reads the file as a detector, else the element. It prints the cosine and
the largest difference, as a share of the largest gradient, of onnxsal's gradient in float32 on ONNX Runtime; and how
far the detection's box is from the candidate's.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
LEAST = 0.9999
SHAKY = {
    "kink": "kinks near",
    "slope_error": "reference off its own difference quotient",
    "float32_error": "float32's own",
}
FAMILIES = ("ultralytics", "transformers", "torchvision")
PACKAGES = ("torch", "torchvision", "transformers", "ultralytics", "onnx", "onnxruntime", "onnxscript")


def known(families: Sequence[str] = FAMILIES) -> Iterator[tuple[str, Any]]:
    """Names of forms, and what makes each, of the families whose packages are there."""
    # In place of this folder: transformers would take kernels.py here for a package of that name.
    sys.path[:1] = [str(HERE / "detectors"), str(HERE.parent / "tests" / "data" / "zoo")]
    for family in families:
        try:
            module = importlib.import_module(f"from_{family}")
            yield from module.forms()
        except ModuleNotFoundError as error:
            print(f"{family}: left out, {error}", file=sys.stderr)


def chosen(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that one of the patterns fits; all without patterns."""
    return [name for name in names if not patterns or any(fnmatch.fnmatch(name, each) for each in patterns)]


def export(folder: Path, patterns: Sequence[str], seed: int) -> None:
    """Write files and references, and print how firm each is."""
    folder.mkdir(parents=True, exist_ok=True)
    makers = dict(known())
    for name in chosen(list(makers), patterns):
        start = time.perf_counter()
        try:
            line = write(folder, makers[name](seed), seed)
        except Exception as error:  # noqa: BLE001 - an exporter that fails does not stop the others
            line = f"{name}: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        print(f"{line}, {time.perf_counter() - start:.0f} s", flush=True)


def write(folder: Path, form: Any, seed: int) -> str:
    """Write one form's file, facts and reference; return what there is to say of them."""
    from reference import refer

    path = folder / f"{form.name}.onnx"
    form.export(path)
    found = refer(form)
    firm = {"float32_error": found.float32_error, "kink": found.kink, "slope_error": found.slope_error}
    outputs = {name: {"shape": list(array.shape)} for name, array in found.outputs.items()}
    off = difference(path, form.x.numpy(), found.outputs)
    facts = {"name": form.name, "shape": list(form.x.shape), **form.facts, "outputs": outputs,
             "candidate": {**asdict(found.candidate), "target": found.candidate.target, "score": found.score},
             "firm": firm, "file_off": off, "recipe": {"seed": seed, "versions": versions()}}  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    np.savez_compressed(path.with_suffix(".npz"), x=form.x.numpy(), score=found.score, grad=found.grad, **{
        f"output/{name}": array for name, array in found.outputs.items()
    })  # fmt: skip
    told = ", ".join(f"{key} {value:.1e}" for key, value in firm.items())
    return f"{form.name}: {found.candidate.target} = {found.score:.3f}, file off by {off:.1e}, {told}"


def difference(path: Path, x: np.ndarray, wanted: dict[str, np.ndarray]) -> float:
    """Return the largest difference of ONNX Runtime's outputs, each as a share of its largest number."""
    found = session(path).run(list(wanted), {session(path).get_inputs()[0].name: x})
    shares = [np.abs(a - b).max() / max(np.abs(b).max(), 1e-9) if a.shape == b.shape else np.inf
              for a, b in zip(found, wanted.values(), strict=True)]  # fmt: skip
    return float(max(shares))


def session(path: Path) -> Any:
    """Return ONNX Runtime's session of a file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def versions() -> dict[str, str]:
    """Return the versions of the packages that made a file, of those that are there."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Row:
    """What onnxsal made of one file.

    Args: box: how far off the box of an upright detection is, at most, in pixels; else NaN.
    """

    name: str
    target: str
    cosine: float = float("nan")
    largest: float = float("nan")
    box: float = float("nan")
    seconds: float = float("nan")
    note: str = ""


def compare(folder: Path, patterns: Sequence[str]) -> list[Row]:
    """Return onnxsal's gradients of the candidates beside the references."""
    rows = []
    for name in chosen(
        sorted(path.stem for path in folder.glob("*.npz") if path.with_suffix(".onnx").exists()), patterns
    ):
        rows.append(compared(folder / f"{name}.onnx"))
        print(line(rows[-1]), flush=True)
    return rows


def compared(path: Path) -> Row:
    """Return one file's row; an error of ours is its note."""
    import onnxsal
    from onnxsal.errors import OnnxsalError

    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    reference, candidate = np.load(path.with_suffix(".npz")), facts["candidate"]
    x = reference["x"].astype(np.float32)
    x = x if x.ndim == 3 else x[0]
    start, box, notes = time.perf_counter(), float("nan"), []
    target, score = "#1", "logit" if facts["scores"].startswith("logits") else "probability"
    try:
        model = opened(path, facts["scores"])
        if model.task.name == "detection":
            (best,) = model.predict(x, top=1)
            if best.corners is None:  # parts.py is about turned boxes
                box = float(np.abs(np.subtract(best.box, candidate["box"])).max())
            notes += [f"another label: {best.label}"] * (best.index != candidate["label"])
        else:
            target, score = candidate["target"], None
        found = onnxsal.explain(model, x, method="gradient", target=target, score=score)
    except OnnxsalError as error:
        return Row(path.stem, target, note=f"{type(error).__name__}: {error}")
    ours, wanted = found.raw.ravel().astype(np.float64), reference["grad"].ravel()
    cosine = float(ours @ wanted / (np.linalg.norm(ours) * np.linalg.norm(wanted)))
    largest = float(np.abs(ours - wanted).max() / np.abs(wanted).max())
    notes += [f"{words}: {facts['firm'][key]:.1e}" for key, words in SHAKY.items() if facts["firm"][key] > 1 - LEAST]
    return Row(path.stem, target, cosine, largest, box, time.perf_counter() - start, "; ".join(notes))


def opened(path: Path, scores: str) -> Any:
    """Return the model as a user opens it, with every candidate a detection; what logits are, no file can say."""
    import onnxsal
    from onnxsal.errors import OnnxsalError

    said: dict[str, Any] = {}
    if scores.startswith("logits"):
        said = {"task": "detection", "activation": "softmax" if "softmax" in scores else "sigmoid"}
    try:
        return onnxsal.load(path, threshold=0.0, **said)
    except OnnxsalError:  # no detector to us: the threshold is refused, and the element explained
        return onnxsal.load(path)


def line(row: Row) -> str:
    """Return a row of the table."""
    numbers = f"{row.cosine:.7f} | {row.largest:.1e} | {row.box:.1g} | {row.seconds:.1f}"
    return f"| {row.name} | `{row.target}` | {numbers} | {row.note} |"


def table(rows: Sequence[Row]) -> str:
    """Return the table with its summary."""
    good = sum(row.cosine > LEAST for row in rows)
    head = (
        "| form | target | cosine | largest difference | box off, pixels | seconds | |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    )
    return "\n".join([f"{good} of {len(rows)} with cosine > {LEAST}.", "", head, *map(line, rows)])


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("list", "export", "compare"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("names", nargs="*", help="patterns of forms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--markdown", type=Path, help="where the table goes")
    options = parser.parse_args()
    if options.what == "list":
        print("\n".join(name for name, _ in known()))
    elif options.folder is None:
        parser.error("a folder is needed")
    elif options.what == "export":
        export(options.folder, options.names, options.seed)
    else:
        found = table(compare(options.folder, options.names))
        print(found)
        if options.markdown:
            options.markdown.write_text(found + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
