"""Input gradients of whole exports, held against float64 autograd, and what they cost.

    python benchmarks/architectures.py FOLDER [--only PATTERN] [--markdown FILE] [--no-speed] [--threads 2] [--batch 2]

FOLDER is what benchmarks/zoo.py filled: ``NAME.EXPORTER.onnx`` (input ``x``, output ``logits``) with ``NAME.npz`` (x,
target, logits, grad). Prints for each file the processor seconds that building the gradient graph took, the cosine of
its gradient on ONNX Runtime against the reference, the size of its file over the model's, and (forward + gradient) /
forward in processor time (threads that wait, sleep). Where float32 autograd itself is far from float64's (the example
says so), nothing in float32 can be: the graph is run in float64 on onnx's reference evaluator, and the slope along its
gradient held against the difference quotient of the model itself.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import subprocess
import sys
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx.reference import ReferenceEvaluator

from onnxsal.errors import OnnxsalError
from onnxsal.model.export import gradient

LEAST = 0.999
"""The cosine below which a gradient counts as wrong."""

RUNS = 3

SHAKY = 0.03
"""The relative error of float32 autograd from which on the comparison is in float64."""

RISES = (1e-3, 1e-4, 1e-5, 1e-6)
"""How far the score goes up for the quotients: where it is crooked or rounded, some are too much or too little."""


@dataclass(frozen=True)
class Outcome:
    """What one export gave."""

    file: str
    nodes: int
    build: float
    cosine: float
    size: float
    ratio: float
    note: str = ""


def measure(path: Path, *, threads: int, speed: bool, batch: int) -> Outcome:
    """Build, run and compare one export."""
    example = np.load(path.with_name(path.name.split(".")[0] + ".npz"), allow_pickle=True)
    model = onnx.load(path)
    start = time.process_time()
    graph = gradient(path, of=["logits"], wrt=["x"])
    build = time.process_time() - start
    feeds = {"x": example["x"].astype(np.float32), "seed/logits": _seed(example)}
    whole = _session(graph.SerializeToString(), threads)
    shaky = json.loads(str(example["recipe"])).get("float32_error", 0.0) > SHAKY
    cosine = _slopes(graph, feeds) if shaky else _cosine(whole.run(["grad/x"], feeds)[0], example["grad"])
    ratio = _ratio(whole, _session(str(path), threads), feeds, batch) if speed else float("nan")
    size = graph.ByteSize() / path.stat().st_size
    return Outcome(path.stem, len(model.graph.node), build, cosine, size, ratio, "in float64" if shaky else "")


def _cosine(found: np.ndarray, wanted: np.ndarray) -> float:
    a, b = found.ravel().astype(np.float64), wanted.ravel().astype(np.float64)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _slopes(graph: onnx.ModelProto, feeds: dict[str, Any]) -> float:
    """Return the agreement of the gradient's length with the difference quotient of the model along it, at best 1."""
    evaluator = ReferenceEvaluator(_widened(graph))
    doubles = {name: array.astype(np.float64) for name, array in feeds.items()}
    g = evaluator.run(["grad/x"], doubles)[0]
    length = float(np.linalg.norm(g))

    def score(step: float) -> float:
        logits = evaluator.run(["logits"], {**doubles, "x": doubles["x"] + step * g})[0]
        return float((logits * doubles["seed/logits"]).sum())

    quotients = [(score(h / length**2) - score(-h / length**2)) / (2 * h) for h in RISES]
    return max(min(q, 1 / q) for q in quotients)


def _widened(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return a model with float64 wherever it had float32."""
    wide = onnx.ModelProto.FromString(graph.SerializeToString())
    del wide.graph.value_info[:]
    for value in (*wide.graph.input, *wide.graph.output):
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            value.type.tensor_type.elem_type = onnx.TensorProto.DOUBLE
    for tensor in wide.graph.initializer:
        _widen(tensor)
    for node in wide.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                _widen(attribute.t)
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i == onnx.TensorProto.FLOAT:
                attribute.i = onnx.TensorProto.DOUBLE
    return wide


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == onnx.TensorProto.FLOAT:
        array = onnx.numpy_helper.to_array(tensor).astype(np.float64)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _seed(example: Any) -> np.ndarray:
    """Return the cotangent that asks for the gradient of each example's own target."""
    target = example["target"] if "target" in example else example["targets"]
    seed = np.zeros(example["logits"].shape, np.float32)
    seed[np.arange(len(seed)), target] = 1
    return seed


def _session(model: bytes | str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _ratio(whole: ort.InferenceSession, forward: ort.InferenceSession, feeds: dict[str, Any], batch: int) -> float:
    """Return forward + gradient over forward, both in processor time, at their fastest, by turns."""
    many = {name: np.resize(array, (batch, *array.shape[1:])) for name, array in feeds.items()}
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(RUNS + 1):
        for which, run in enumerate((lambda: forward.run(None, {"x": many["x"]}), lambda: whole.run(["grad/x"], many))):
            start = time.process_time()
            run()
            times[which].append(time.process_time() - start)
    return min(times[1][1:]) / min(times[0][1:])


def isolated(path: Path, options: argparse.Namespace) -> Outcome:
    """Measure in a process of its own, so that one export's memory is gone before the next."""
    flags = [f"--threads={options.threads}", f"--batch={options.batch}", *(["--no-speed"] if options.no_speed else [])]
    command = [sys.executable, __file__, str(path), "--one", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["killed"])[-1]
        return Outcome(path.stem, 0, float("nan"), float("nan"), float("nan"), float("nan"), reason[:200])
    name, nodes, *numbers, note = done.stdout.splitlines()[-1].split("\t")
    return Outcome(name, int(nodes), *map(float, numbers), note)


def table(found: list[Outcome]) -> str:
    """Return the outcomes as a Markdown table with their summary above."""
    good = [o for o in found if o.cosine > LEAST]
    if not good:
        return f"0 of {len(found)} exports with cosine > {LEAST}"
    ratios = [o.ratio for o in good if o.ratio == o.ratio]
    lines = [
        f"{len(good)} of {len(found)} exports with cosine > {LEAST}, of {len({o.file.split('.')[0] for o in good})} "
        "architectures.",
        f"Building: median {median(o.build for o in good):.2f} s, worst {max(o.build for o in good):.2f} s. "
        + (f"(forward + gradient) / forward: median {median(ratios):.2f}, worst {max(ratios):.2f}." if ratios else ""),
        "",
        "| export | nodes | build s | cosine | file |" + (" (forward + gradient) / forward |" if ratios else ""),
        "| --- | ---: | ---: | ---: | ---: |" + (" ---: |" if ratios else ""),
    ]
    for o in found:
        measured = f"{o.nodes} | {o.build:.2f} | {o.cosine:.7f} {o.note} | {o.size:.3f} |"
        if ratios:
            measured += " |" if o.ratio != o.ratio else f" {o.ratio:.2f} |"
        lines.append(f"| {o.file} | {measured if o.nodes else o.note + ' |' * (5 if ratios else 4)}")
    return "\n".join(lines)


def main() -> None:
    """Measure every export of the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="*", help="pattern of file names")
    parser.add_argument("--markdown", type=Path, help="page whose table between comment marks is written anew")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=2, help="batch of the timed runs")
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        try:
            one = measure(options.folder, threads=options.threads, speed=not options.no_speed, batch=options.batch)
        except OnnxsalError as error:
            sys.exit(str(error))
        print("\t".join(map(str, astuple(one))))
        return
    found = []
    for path in sorted(p for p in options.folder.glob("*.onnx") if fnmatch.fnmatch(p.name, options.only)):
        found.append(isolated(path, options))
        print(found[-1], flush=True)
    print(table(found))
    if options.markdown:
        options.markdown.write_text(_page(options.markdown.read_text(encoding="utf-8"), table(found)), "utf-8")


def _page(text: str, new: str) -> str:
    head, mark, _ = text.partition("<!-- table -->\n")
    return f"{head}{mark}{new}\n"


if __name__ == "__main__":
    main()
