"""Prints, for every quantiser that is installed and every form that it writes, whether onnxsal keeps its numbers.

    sh benchmarks/quantisers/set_up.sh FOLDER                       once: a Python for each quantiser (needs a network)
    python benchmarks/quantisers.py FOLDER [--only nncf,quark] [--networks vit] [--files KEPT]

FOLDER (or ONNXSAL_QUANTISERS) has one environment a quantiser; what is not there is said. Two small networks of the
tests are quantised: MobileNetV3 (residual, depthwise, HardSwish) and a vision transformer with a class token; Brevitas
has one of its own. Columns, on three pictures:

- file, compiled: the scores of the gradient file and of a compiled Grad-CAM beside those of the file in ONNX Runtime,
  ``equal`` (bit for bit) or the largest difference as a share of the largest score;
- gradient, grad-cam: cosine of the map to straight-through autograd in PyTorch (``quantisers/reference.py``);
- layer: which one was chosen.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as states

import onnxsal
from onnxsal.errors import OnnxsalError

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent / "tests" / "data" / "zoo"
NETWORKS = {"mobilenet_v3": str(ZOO / "mobilenet_v3.onnx"), "vit": str(ZOO / "vit_timm_dynamo.onnx")}
QUANTISERS = ("onnxruntime", "nncf", "quark", "brevitas", "modelopt", "onnx_neural_compressor")
IMAGES = np.random.default_rng(5).normal(size=(3, 3, 32, 32)).astype(np.float32)
MINUTES, ROUNDING = 10, 1e-6
REFUSALS = (states.Fail, states.InvalidArgument, states.InvalidGraph, states.NotImplemented, states.RuntimeException)
"""What ONNX Runtime raises of a file that it does not load or run."""


@dataclass(frozen=True)
class Row:
    """What was found out about one file; a text in place of a number where something went wrong."""

    name: str
    opset: str = ""
    file: str = ""
    compiled: str = ""
    gradient: str = ""
    grad_cam: str = ""
    layer: str = ""

    def line(self) -> str:
        """Return the row of the table."""
        return "| " + " | ".join(str(v) for v in vars(self).values()) + " |"

    @property
    def wrong(self) -> bool:
        """Whether a file that ONNX Runtime runs has other scores with a gradient or compiled, or none."""
        return bool(self.compiled) and not all(_close(v) for v in (self.file, self.compiled))


def _close(column: str) -> bool:
    """The order of a float32 sum may differ; a step of a quantiser may not."""
    if column == "equal":
        return True
    try:
        return float(column) < ROUNDING
    except ValueError:
        return False


def run_file(model: onnx.ModelProto, feeds: dict[str, np.ndarray], wanted: list[str]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(wanted, feeds)


def difference(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> str:
    """``equal``, or the largest difference as a share of the largest score."""
    a, b = np.concatenate(found).astype(float), np.concatenate(wanted).astype(float)
    return "equal" if np.array_equal(a, b) else f"{np.abs(a - b).max() / np.abs(b).max():.0e}"


def cosine(a: np.ndarray, b: np.ndarray) -> str:
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return f"{float((a * b).sum()) / norm:.4f}" if norm else "both 0" if not (a.any() or b.any()) else "one is 0"


def said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:160]}".replace("|", "/").replace("\n", " ")


def scores(path: Path) -> tuple[str, str, int]:
    """Return the columns ``file`` and ``compiled``, and the class of the first picture."""
    model = onnx.load(path)
    out, entry = model.graph.output[0].name, model.graph.input[0].name
    deployed = [run_file(model, {entry: x[None]}, [out])[0] for x in IMAGES]
    target, columns = int(deployed[0].argmax()), []
    for make in (_gradient_file, _compiled_file):
        try:
            made, extra = make(model, out, entry, deployed[0])
            found = [run_file(made, {entry: x[None], **extra}, [out])[0] for x in IMAGES]
            columns.append(difference(found, deployed))
        except (OnnxsalError, *REFUSALS) as error:
            columns.append(said(error))
    return columns[0], columns[1], target


def _gradient_file(
    model: onnx.ModelProto, out: str, entry: str, like: np.ndarray
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    return onnxsal.gradient(model, of=[out], wrt=[entry]), {f"seed/{out}": np.ones_like(like)}


def _compiled_file(
    model: onnx.ModelProto, out: str, entry: str, like: np.ndarray
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    return onnxsal.compile(model, method="grad-cam", target=int(like.argmax()), keep_custom=True), {}


def maps(path: Path, target: int) -> tuple[np.ndarray, np.ndarray, onnxsal.Model]:
    """Return gradient and Grad-CAM of the first picture, and the model."""
    model = onnxsal.load(path)
    found = [onnxsal.explain(model, IMAGES[0], method=m, target=target).raw for m in ("gradient", "grad-cam")]
    return found[0], found[1], model


def grad_cam(activations: np.ndarray, slopes: np.ndarray, model: onnxsal.Model) -> np.ndarray:
    """Return the reference's Grad-CAM [h, w], in the chosen layer's own layout."""
    layer = model.anatomy.layers.find(None)
    a, g = (np.moveaxis(v, (layer.channel_axis, *layer.spatial_axes), range(1, 2 + len(layer.spatial_axes)))
            for v in (activations, slopes))  # fmt: skip
    a, g = (v[0].reshape(v.shape[1], -1)[:, layer.dropped_tokens :] for v in (a, g))
    summed = (g.mean(1, keepdims=True) * a).sum(0)
    return np.maximum(summed, 0)[: layer.grid[0] * layer.grid[1]].reshape(layer.grid)


@dataclass(frozen=True)
class Judged:
    """A file with its maps, before the reference has spoken."""

    row: Row
    found: tuple[np.ndarray, np.ndarray, onnxsal.Model] | None = None
    job: tuple[Path, Path, Path] | None = None

    def finished(self) -> Row:
        """Return the row with the cosines to the reference's maps."""
        if self.found is None or self.job is None:
            return self.row
        out = self.job[2]
        if not out.exists():
            text = out.with_suffix(".txt")
            why = text.read_text()[:80] if text.exists() else "not run"
            return replace(self.row, gradient=f"no reference: {why}")
        given, (gradient, cam, model) = np.load(out), self.found
        second = cosine(cam, grad_cam(given["activations"], given["slopes"], model)) if "slopes" in given else "?"
        return replace(self.row, gradient=cosine(gradient, given["gradient"]), grad_cam=second)


def judge(name: str, path: Path) -> Judged:
    """Return what onnxsal makes of a file, and the job of the reference."""
    opset = next(str(o.version) for o in onnx.load(path).opset_import if o.domain in ("", "ai.onnx"))
    try:
        file, compiled, target = scores(path)
    except REFUSALS as error:
        return Judged(Row(name, opset, f"the file itself is refused: {said(error)}"))
    try:
        found = maps(path, target)
    except OnnxsalError as error:
        return Judged(Row(name, opset, file, compiled, said(error)))
    layer = found[2].anatomy.layers.find(None).name
    job = path.with_suffix(".job.npz"), path.with_suffix(".reference.npz")
    np.savez(job[0], x=IMAGES[:1], target=target, layer=layer)
    return Judged(Row(name, opset, file, compiled, layer=layer), found, (path, *job))


def written(python: Path, quantiser: str, folder: Path, networks: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Yield network and folder of the forms that a quantiser writes, unless they are there already."""
    sources = {"own": "cnn"} if quantiser == "brevitas" else {n: NETWORKS[n] for n in networks}
    for network, source in sources.items():
        into = folder / quantiser / network
        if not into.exists():
            into.mkdir(parents=True)
            script = HERE / "quantisers" / f"write_{quantiser}.py"
            with (into / "log").open("w") as log:
                command = [str(python), "-W", "ignore", str(script), source, str(into)]
                subprocess.run(command, stdout=log, stderr=log, timeout=60 * MINUTES, check=False)
        yield network, into


def table(pythons: Path, quantiser: str, folder: Path, networks: Sequence[str]) -> Iterator[Row]:
    """Yield the rows of one quantiser."""
    reference = _python(pythons, "torch")
    for network, into in written(_python(pythons, quantiser), quantiser, folder, networks):
        judged = [judge(f"{quantiser} {network} {p.stem}", p) for p in sorted(into.glob("*.onnx"))]
        jobs = [str(p) for each in judged if each.job is not None for p in each.job]
        if jobs and reference.exists():
            command = [str(reference), "-W", "ignore", str(HERE / "quantisers" / "reference.py"), *jobs]
            subprocess.run(command, check=False, timeout=60 * MINUTES)
        yield from (each.finished() for each in judged)
        for failed in sorted(set(into.glob("*.txt")) - set(into.glob("*.reference.txt"))):
            yield Row(f"{quantiser} {network} {failed.stem}", file=f"not written: {failed.read_text()[:80]}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default=os.environ.get("ONNXSAL_QUANTISERS"), help="made by set_up.sh")
    parser.add_argument("--only", default=",".join(QUANTISERS))
    parser.add_argument("--check", action="store_true", help="fail where scores are not those of the file")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--files", type=Path, help="where forms are kept; those that are there are not written again")
    given = parser.parse_args(arguments)
    if given.folder is None:
        sys.exit("name the folder that benchmarks/quantisers/set_up.sh made, or set ONNXSAL_QUANTISERS")
    print(f"onnxsal {onnxsal.__version__}, onnx {onnx.__version__}, ONNX Runtime {ort.__version__}\n")
    print("| file | opset | file's scores | compiled | gradient | grad-cam | layer |\n|" + " --- |" * 7)
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for quantiser in given.only.split(","):
            if not _python(given.folder, quantiser).exists():
                print(f"| {quantiser} | | not installed | | | | |")
                continue
            for row in table(given.folder, quantiser, given.files or Path(scratch), given.networks.split(",")):
                print(row.line(), flush=True)
                wrong += [row.name] if row.wrong else []
    if given.check and wrong:
        sys.exit(f"scores are not those of the file: {', '.join(wrong)}")


def _python(folder: Path, name: str) -> Path:
    return Path(folder) / name / "bin" / "python"


if __name__ == "__main__":
    main()
