"""Prints the peak memory of a gradient run on ONNX Runtime, beside that of torch autograd on the same architecture.

    python benchmarks/gradient_memory.py NAME=MODEL.onnx ... [--batch 8] [--torch PYTHON]

NAME is torchvision's name of the architecture (random weights), MODEL.onnx its export with inputs of 224 x 224. Every
cell is a process of its own: resident memory at the highest, less what it was once the libraries were imported. PYTHON
is an interpreter with torch and torchvision; without one the peers' cells stay empty.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

OURS = """
import resource, sys
import numpy as np, onnxruntime as ort
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
options = ort.SessionOptions()
options.intra_op_num_threads, options.log_severity_level = 2, 3
options.enable_mem_pattern = False  # as onnxsal's own sessions
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
batch, rng = int(sys.argv[2]), np.random.default_rng(0)
shapes = {i.name: [d if isinstance(d, int) else batch for d in i.shape] for i in session.get_inputs()}
feeds = {k: rng.normal(size=s).astype(np.float32) for k, s in shapes.items()}
wanted = [o.name for o in session.get_outputs()] if sys.argv[3] == "all" else [session.get_outputs()[0].name]
for _ in range(2):
    session.run(wanted, feeds)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""

TORCH = """
import resource, sys
import torch
torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
torch.set_num_threads(2)
net = torchvision.models.get_model(sys.argv[1], weights=None).eval()
for p in net.parameters():
    p.requires_grad_(False)
if sys.argv[3] == "last":
    net = net.to(memory_format=torch.channels_last)
for _ in range(2):
    x = torch.randn(int(sys.argv[2]), 3, 224, 224, requires_grad=True)
    y = net(x.contiguous(memory_format=torch.channels_last) if sys.argv[3] == "last" else x)
    y[:, 0].sum().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""

WRITE = """
import sys, onnx
from onnxsal.graph import load_ir, normalise
from onnxsal.graph.batch import free_batch
import onnxsal, onnxsal.autodiff as autodiff
model = normalise(load_ir(sys.argv[1]))
x, y = str(model.graph.inputs[0].name), str(model.graph.outputs[0].name)
onnx.save(autodiff.gradient(free_batch(model, x), of=[y], wrt=[x]), sys.argv[2])
"""


def peak(python: str, code: str, *arguments: str) -> float:
    """Return what a program printed: its peak in MB."""
    run = subprocess.run([python, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(run.stdout.split()[-1])


def row(name: str, path: Path, batch: int, torch: str | None) -> str:
    """Return one line of the table."""
    graph = Path(f"{path}.gradient.onnx")
    try:
        subprocess.run([sys.executable, "-c", WRITE, str(path), str(graph)], check=True)
        bare, ours = (
            peak(sys.executable, OURS, str(p), str(batch), what) for p, what in ((path, "one"), (graph, "all"))
        )
    finally:
        graph.unlink(missing_ok=True)
    if torch is None:
        return f"| {name} | {bare:.0f} | {ours:.0f} | | | |"
    first, last = (peak(torch, TORCH, name, str(batch), layout) for layout in ("first", "last"))
    return f"| {name} | {bare:.0f} | {ours:.0f} | {first:.0f} | {last:.0f} | {ours / min(first, last):.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL.onnx")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--torch", metavar="PYTHON")
    args = parser.parse_args()
    print("| model | forward, MB | forward + gradient | torch | torch, channels last | ours / the lesser |")
    print("| --- | --- | --- | --- | --- | --- |")
    for entry in args.models:
        name, _, path = entry.partition("=")
        print(row(name, Path(path), args.batch, args.torch), flush=True)


if __name__ == "__main__":
    main()
