"""Time of one picture from Python, sessions open, beside PyTorch's tools on the same weights.

    python benchmarks/one_picture.py [resnet18 mobilenet_v2] [--rounds 15] [--threads 2]

torchvision models of random weights, exported here. The pixel gradient stands beside captum's Saliency, Grad-CAM++
beside pytorch-grad-cam's on the same layer; both sides predict as well, as a user's call does, or the peer is given the
class. "twice" is what onnxsal takes with a clean run of the model in front of each map. Runs take turns; medians of the
ratios round by round, by the clock and by processor time.

Needs torch, torchvision, captum, grad-cam and onnxscript beside onnxsal.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import onnx
import torch
from captum.attr import Saliency

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo"))
import export as tool

import onnxsal
from onnxsal.explanation import forward as forwards

LAYERS = {"resnet18": "layer4", "mobilenet_v2": "features"}
Job = Callable[[], Any]


def spent(job: Job) -> tuple[float, float]:
    """Return seconds on the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - start, time.process_time() - used


def jobs(name: str, threads: int) -> dict[str, Job]:
    """Return what is timed."""
    torch.set_num_threads(threads)
    net = tool.torchvision_models().get_model(name, weights=None)
    with torch.no_grad():
        net = tool.settle(net, tool.inputs((8, 3, 224, 224), 1)).eval()  # fresh weights can die out, and with them maps
    from pytorch_grad_cam import GradCAMPlusPlus  # it imports torchvision, which the tool makes importable
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    file = io.BytesIO()
    torch.onnx.export(net, (x,), file, dynamo=False, input_names=["x"], output_names=["logits"], opset_version=17)
    model, other = (
        onnxsal.load(parsed(file), preprocess="imagenet", threads=threads, memory=2**32) for _ in range(2)
    )  # what is open stays open
    array = x.numpy()
    cam = GradCAMPlusPlus(model=net, target_layers=[net.get_submodule(LAYERS[name])])

    def saliency() -> None:
        with torch.no_grad():
            best = int(net(x).argmax())
        Saliency(net).attribute(x.requires_grad_(), target=best)

    def grad_cam() -> None:
        with torch.no_grad():
            best = int(net(x).argmax())
        cam(input_tensor=x, targets=[ClassifierOutputTarget(best)])

    def ours(method: str) -> Any:
        return onnxsal.explain(model, array, method=method)

    def twice(method: str) -> Any:
        with mock.patch.object(forwards, "runs_once", return_value=False):
            return onnxsal.explain(other, array, method=method)

    given = int(net(x).argmax())
    return {
        "gradient": lambda: ours("gradient"), "gradient twice": lambda: twice("gradient"), "captum": saliency,
        "captum, class given": lambda: Saliency(net).attribute(x.requires_grad_(), target=given),
        "grad-cam++": lambda: ours("grad-cam++"), "grad-cam++ twice": lambda: twice("grad-cam++"),
        "pytorch-grad-cam": grad_cam,
        "pytorch-grad-cam, class given": lambda: cam(input_tensor=x, targets=[ClassifierOutputTarget(given)]),
    }  # fmt: skip


def parsed(file: io.BytesIO) -> Any:
    """Return a model that was written into memory, as onnxsal takes it."""
    return onnx.ModelProto.FromString(file.getvalue())


PAIRS = (
    ("gradient", "captum"), ("gradient", "captum, class given"), ("gradient", "gradient twice"),
    ("grad-cam++", "pytorch-grad-cam"), ("grad-cam++", "pytorch-grad-cam, class given"),
    ("grad-cam++", "grad-cam++ twice"),
)  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=list(LAYERS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("| model | what | ratio, clock | ratio, processor | ms, clock | ms, processor |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in options.models:
        timed = jobs(name, options.threads)
        for job in timed.values():
            job()
            job()
        rounds = [{what: spent(job) for what, job in timed.items()} for _ in range(options.rounds)]
        for one, other in PAIRS:
            ratios = [median(each[one][i] / each[other][i] for each in rounds) for i in (0, 1)]
            mine, theirs = ([1e3 * float(np.median([r[w][i] for r in rounds])) for i in (0, 1)] for w in (one, other))
            times = " | ".join(f"{a:.0f} / {b:.0f}" for a, b in zip(mine, theirs, strict=True))
            print(f"| {name} | {one} over {other} | {ratios[0]:.2f} | {ratios[1]:.2f} | {times} |", flush=True)


if __name__ == "__main__":
    main()
