"""Time of SmoothGrad over the gradient graph's own runs and over the forward, beside captum where it is installed.

    python benchmarks/smoothgrad.py resnet18.onnx mobilenet_v2.onnx [--samples 50] [--batch 8] [--rounds 5]

Per sample: SmoothGrad over the bare gradient graph on one preallocated batch is what drawing, averaging and
the error bars cost (limit 1.05); SmoothGrad over the forward stands beside captum's NoiseTunnel round Saliency over
torch's forward, for the torchvision model that the file's name begins with. Runs take turns, and medians of the ratios
round by round are printed, by the clock and by processor time, which other work on the machine hardly touches.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import onnxsal
from onnxsal.anatomy import TARGET, X, select
from onnxsal.explanation.build import build
from onnxsal.explanation.method_plan import plan

Job = Callable[[], Any]


def spent(job: Job) -> tuple[float, float]:
    """Return seconds on the clock and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    job()
    return time.perf_counter() - start, time.process_time() - used


def repeated(session: Any, batch: int, samples: int, shape: Sequence[int]) -> Job:
    """Return a call that sends so many images through a session, nothing else."""
    rng = np.random.default_rng(0)
    feeds = {X: rng.normal(0, 1, (batch, *shape)).astype(np.float32), TARGET: np.zeros(batch, np.int64)}
    last = {name: value[: samples % batch] for name, value in feeds.items()}

    def run() -> None:
        for _ in range(samples // batch):
            session.run(feeds)
        if samples % batch:
            session.run(last)

    return run


def ours(path: Path, samples: int, batch: int) -> dict[str, Job]:
    """Return the jobs on ONNX Runtime."""
    model = onnxsal.load(path, preprocess="imagenet")
    shape = (model.anatomy.entry.channels, *model.size)
    image = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    forward = model.session(model.program(("bare", "logit"), lambda: select(model.anatomy, "logit")))
    gradient = model.session(build(model, plan("gradient", {}), layer=None, score=model.score("logit")))  # type: ignore[arg-type]
    return {
        "forward": repeated(forward, batch, samples, shape),
        "gradient": repeated(gradient, batch, samples, shape),
        "smoothgrad": lambda: onnxsal.explain(
            model, image, method="smoothgrad", target=0, samples=samples, batch_size=batch
        ),
    }


def captums(name: str, samples: int, batch: int) -> dict[str, Job]:
    """Return the jobs on torch; none where captum or the model is not there."""
    if not all(find_spec(module) for module in ("torch", "torchvision", "captum")):
        return {}
    import torch
    from captum.attr import NoiseTunnel, Saliency

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo"))
    import export as tool  # it imports torchvision where its compiled operators are absent too

    models = tool.torchvision_models()
    if name not in models.list_models():
        return {}
    net = models.get_model(name, weights=None).eval()
    x = torch.randn(1, 3, 224, 224)
    tunnel, many = NoiseTunnel(Saliency(net)), torch.randn(batch, 3, 224, 224)

    def forward() -> None:
        with torch.no_grad():
            for start in range(0, samples, batch):
                net(many[: min(batch, samples - start)])

    def smoothgrad() -> None:
        tunnel.attribute(x, target=0, nt_samples=samples, nt_samples_batch_size=batch, stdevs=0.5)

    return {"torch forward": forward, "captum": smoothgrad}


def measure(path: Path, args: argparse.Namespace) -> str:
    """Return one line of the table."""
    jobs = ours(path, args.samples, args.batch) | captums(path.name.split(".")[0], args.samples, args.batch)
    for job in jobs.values():
        job()
    rounds = [{name: spent(job) for name, job in jobs.items()} for _ in range(args.rounds)]

    def ratio(a: str, b: str) -> str:
        if a not in jobs:
            return "-"
        wall, processor = (median(each[a][i] / each[b][i] for each in rounds) for i in (0, 1))
        return f"{wall:.3f} ({processor:.3f})"

    def each_takes(name: str) -> str:
        return f"{1e3 * median(each[name][1] for each in rounds) / args.samples:.1f}" if name in jobs else "-"

    cells = [ratio("smoothgrad", "gradient"), ratio("smoothgrad", "forward"), ratio("captum", "torch forward")]
    cells += [each_takes(name) for name in ("smoothgrad", "captum", "forward", "torch forward")]
    return f"| {path.name.split('.')[0]} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="ONNX files of classifiers of 224 x 224")
    parser.add_argument("--samples", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    print("| model | over the gradient graph | over the forward | captum over torch's forward | ", end="")
    print("processor ms a sample: ours | captum | forward | torch's forward |\n|" + " --- |" * 8)
    for path in args.models:
        print(measure(path, args), flush=True)


if __name__ == "__main__":
    main()
