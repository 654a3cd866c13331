"""Prints (forward + input gradient) / forward, both on ONNX Runtime's CPU provider in one run; the limit is 2.

    python benchmarks/gradient_speed.py MODEL.onnx ... [--batch 8] [--threads 2] [--runs 11]
    python benchmarks/gradient_speed.py --export resnet18 vit_b_16 ...       (needs torch, torchvision, onnxscript)

A model is a classifier with one float input [batch, ...], or a QDQ model with a uint8 input. The two sessions take
turns; a ratio is the median over such pairs, by wall time and by processor time (threads that wait, sleep). The second
says more on a machine that does other work as well.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

import onnxsal.autodiff as autodiff
from onnxsal.graph import load_ir, normalise, to_proto
from onnxsal.graph.batch import free_batch
from onnxsal.graph.shapes import is_float

Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Setup:
    batch: int
    threads: int
    runs: int


def session(proto: Any, setup: Setup) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = setup.threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def ends(model: ir.Model) -> tuple[str, str]:
    """Return the float output to differentiate, and the float value that stands for the picture."""
    y, x = model.graph.outputs[0], model.graph.inputs[0]
    while not is_float(y) or y.producer().op_type in ("Softmax", "QuantizeLinear"):  # type: ignore[union-attr]
        y = y.producer().inputs[0]  # type: ignore[union-attr,assignment]
    while not is_float(x):
        x = x.consumers()[0].outputs[0]
    return str(y.name), str(x.name)


def feeds(run: ort.InferenceSession, setup: Setup) -> Feeds:
    rng = np.random.default_rng(0)
    shapes = {i.name: [setup.batch, *i.shape[1:]] for i in run.get_inputs()}
    floats = {i.name: i.type == "tensor(float)" for i in run.get_inputs()}
    return {
        k: rng.normal(size=s).astype(np.float32) if floats[k] else rng.integers(0, 256, size=s).astype(np.uint8)
        for k, s in shapes.items()
    }


def timed(run: ort.InferenceSession, outputs: Sequence[str], given: Feeds) -> tuple[float, float]:
    wall, processor = time.perf_counter(), time.process_time()
    run.run(outputs, given)
    return time.perf_counter() - wall, time.process_time() - processor


def measure(path: Path, setup: Setup) -> str:
    """Return one line of the table."""
    normal = normalise(load_ir(path))
    model = free_batch(normal, str(normal.graph.inputs[0].name))
    of, wrt = ends(model)
    start = time.perf_counter()
    proto = autodiff.gradient(model, of=[of], wrt=[wrt])
    built = time.perf_counter() - start
    forward, both = session(to_proto(model), setup), session(proto, setup)
    jobs = [
        (forward, [model.graph.outputs[0].name], feeds(forward, setup)),
        (both, [f"grad/{wrt}"], feeds(both, setup)),
    ]
    for job in jobs:
        timed(*job)  # type: ignore[arg-type]
    pairs = [[timed(*job) for job in jobs] for _ in range(setup.runs)]  # type: ignore[arg-type]
    wall, processor = (statistics.median(b[i] / a[i] for a, b in pairs) for i in (0, 1))
    alone = statistics.median(a[0] for a, _ in pairs)
    return f"| {path.stem} | {wall:.2f} | {processor:.2f} | {alone * 1e3:.0f} ms | {built:.2f} s |"


def export(name: str, folder: Path) -> Path:
    """Return an ONNX file of a torchvision classifier with random weights."""
    import torch
    import torchvision

    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None).eval()
    path = folder / f"{name}.onnx"
    batch = {0: torch.export.Dim("batch")}
    x = torch.randn(2, 3, 224, 224)
    torch.onnx.export(net, (x,), path, dynamo=True, dynamic_shapes=(batch,), external_data=False)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--export", nargs="*", default=[])
    for name, default in (("--batch", 8), ("--threads", 2), ("--runs", 11)):
        parser.add_argument(name, type=int, default=default)
    args = parser.parse_args()
    setup = Setup(args.batch, args.threads, args.runs)
    print("| model | wall | processor | forward | built in |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for path in [*args.models, *(export(name, Path(folder)) for name in args.export)]:
            print(measure(path, setup), flush=True)


if __name__ == "__main__":
    main()
