"""Gradients of LSTM, GRU and RNN as multiples of the forward pass, by turns in one run.

``--model FILE`` adds a real model (its first recurrent node's input, from its first float output); ``--against FOLDER``
adds a column for the gradient that another checkout of onnxsal builds. Forward scores must be equal to the bit.

    python benchmarks/recurrent.py [--model FILE] [--against FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

BUILD = """
import sys, onnxsal
onnxsal.save(onnxsal.gradient(sys.argv[1], of=[sys.argv[2]], wrt=[sys.argv[3]]), sys.argv[4])
"""
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
Feeds = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """A model, what is differentiated by what, and sizes to run it at."""

    name: str
    path: Path
    of: str
    wrt: str
    feeds: Feeds


def main() -> None:
    """Print one line for every subject."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--rounds", type=int, default=100)
    options = parser.parse_args()
    own = Path(__file__).resolve().parent.parent
    checkouts = {"gradient": own, **({"against": options.against} if options.against else {})}
    print(f"{'subject':38} forward ms  " + "  ".join(f"{name} ms (x forward)" for name in checkouts))
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects(Path(folder), options.model):
            print(f"{subject.name:38} {measured(subject, checkouts, Path(folder), options.rounds)}", flush=True)


def subjects(folder: Path, model: Path | None) -> Iterator[Subject]:
    """Yield the synthetic layers, then the real model at some lengths."""
    rng = np.random.default_rng(0)
    for op_type in GATES:
        for turns, batch, hidden in ((20, 1, 64), (20, 1, 256), (100, 1, 128), (50, 8, 128)):
            path = folder / f"{op_type}_{turns}_{batch}_{hidden}.onnx"
            onnx.save(layer(op_type, hidden), path)
            feeds = {"x": rng.normal(size=(turns, batch, hidden)).astype(np.float32)}
            yield Subject(f"{op_type} T={turns} B={batch} H={hidden} both ways", path, "y", "x", feeds)
    if model is not None:
        yield from real(model, rng)


def layer(op_type: str, hidden: int) -> onnx.ModelProto:
    """Return one bidirectional layer."""
    rng, gates = np.random.default_rng(1), GATES[op_type]
    shapes = {"w": (2, gates * hidden, hidden), "r": (2, gates * hidden, hidden), "b": (2, 2 * gates * hidden)}
    weights = [numpy_helper.from_array((rng.normal(size=s) / 8).astype(np.float32), n) for n, s in shapes.items()]
    node = helper.make_node(op_type, ["x", "w", "r", "b"], ["y"], direction="bidirectional", hidden_size=hidden)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", "b", hidden])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["t", 2, "b", hidden])
    graph = helper.make_graph([node], "layer", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def real(path: Path, rng: np.random.Generator) -> Iterator[Subject]:
    """Yield a model of integer sequences [batch, length] at some lengths."""
    model = onnx.load(path)
    first = next(n for n in model.graph.node if n.op_type in GATES)
    of = next(o.name for o in model.graph.output if o.type.tensor_type.elem_type == TensorProto.FLOAT)
    for batch, length in ((1, 12), (1, 20), (1, 40), (8, 20)):
        feeds = {}
        for value in model.graph.input:
            dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = rng.integers(0, 100 if dtype == np.int64 else 1, (batch, length)).astype(dtype)
        yield Subject(f"{path.stem} B={batch} T={length}", path, of, first.input[0], feeds)


def measured(subject: Subject, checkouts: dict[str, Path], folder: Path, rounds: int) -> str:
    """Return the least times of all forms, which take turns, and their multiples of the forward pass."""
    forward = _session(subject.path)
    sessions = {name: _session(_built(subject, path, folder)) for name, path in checkouts.items()}
    y = _run(forward, subject.feeds)[subject.of]
    feeds = {**subject.feeds, f"seed/{subject.of}": np.ones_like(y)}
    for session in sessions.values():
        assert (_run(session, feeds)[subject.of] == y).all(), "the scores are other than the model's own"
    times: dict[str, list[float]] = {name: [] for name in ("forward", *sessions)}
    for _ in range(rounds):
        times["forward"].append(_seconds(forward, subject.feeds))
        for name, session in sessions.items():
            times[name].append(_seconds(session, feeds))
    least = {name: 1e3 * min(values) for name, values in times.items()}
    own = least.pop("forward")
    return f"{own:10.3f}  " + "  ".join(f"{t:8.3f} ({t / own:.1f})" for t in least.values())


def _built(subject: Subject, checkout: Path, folder: Path) -> Path:
    target = folder / f"{abs(hash((subject.name, str(checkout))))}.onnx"
    arguments = [str(subject.path), subject.of, subject.wrt, str(target)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    subprocess.run([sys.executable, "-c", BUILD, *arguments], check=True, env=environment, cwd=folder)
    return target


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, feeds: Feeds) -> dict[str, np.ndarray]:
    taken = {i.name for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {k: v for k, v in feeds.items() if k in taken}), strict=True))


def _seconds(session: ort.InferenceSession, feeds: Feeds) -> float:
    """Return the processor's time, which other work on the machine changes least; one thread takes all of it."""
    start = time.process_time()
    _run(session, feeds)
    return time.process_time() - start


if __name__ == "__main__":
    main()
