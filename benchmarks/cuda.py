"""Score-CAM on an NVIDIA GPU: images and forwards per second beside bare forwards with bound inputs.

    python benchmarks/cuda.py --zoo FOLDER [--batch 16,64,128] [--torch PYTHON]

``resnet50.torchscript.onnx`` is made by ``benchmarks/zoo.py resnet50 --exporter torchscript``; where a float16 file
``resnet50.fp16.onnx`` lies beside it, that is a second line. Bare forwards run the same session on one batch that lies
on the GPU. With ``--torch`` a Python that has torch for CUDA and torchcam times torchcam on the same card. Where there
is no GPU this says what is missing and ends with 77.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import onnxsal
from onnxsal.anatomy import TARGET, X
from onnxsal.errors import OnnxsalError
from onnxsal.runtime import DeviceBuffer

ROOT = Path(__file__).resolve().parent.parent
PHOTO = "0281_tabby"
FILES = ("resnet50.torchscript.onnx", "resnet50.fp16.onnx")

TORCHCAM = """
import sys, time, torch
from torchvision import models
from torchcam.methods import ScoreCAM
batch = int(sys.argv[1])
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
model = models.resnet50(weights=None).eval().cuda()
x = torch.randn(1, 3, 224, 224, device="cuda")
with ScoreCAM(model, "layer4", batch_size=batch) as extractor, torch.inference_mode():
    for _ in range(3):
        torch.cuda.synchronize(); start = time.perf_counter()
        extractor(281, model(x))
        torch.cuda.synchronize(); spent = time.perf_counter() - start
print(f"| torchcam, {torch.cuda.get_device_name()} | {batch} | {1 / spent:.2f} | {2048 / spent:.0f} | |")
"""


def spent(call: Callable[[], Any], rounds: int) -> float:
    """Return the median of the seconds that a call takes, after one that warms up."""
    call()
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return median(found)


def bare(model: onnxsal.Model, batch: int) -> Callable[[], Any]:
    """Return a call that runs one batch that lies on the GPU, scores coming back."""
    from onnxsal.kernels import cuda

    shape = (batch, model.anatomy.entry.channels, *model.size)
    images = cuda.upload(np.random.default_rng(0).normal(0, 1, shape).astype(np.float32))
    session, place = model.session(model.score("probability")), DeviceBuffer(cuda.KIND, cuda.address(images), shape)
    # The closure keeps the batch alive: a session knows its address alone.
    return lambda: (session.run_placed({X: place}, {TARGET: np.zeros(batch, np.int64)}), images)


def lines(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table."""
    yield "| model | batch | images per second | forwards per second | over bare forwards |"
    yield "| --- | --- | --- | --- | --- |"
    photo = args.shared / "images" / "imagenet" / f"{PHOTO}.jpg"
    for name in FILES:
        if not (args.zoo / name).is_file():
            yield f"| {name} | not there |"
            continue
        model = onnxsal.load(args.zoo / name, preprocess="imagenet", provider=args.provider)
        for batch in map(int, args.batch.split(",")):
            yield line(model, photo, batch, args.rounds)


def line(model: onnxsal.Model, photo: Path, batch: int, rounds: int) -> str:
    """Return the line of one model and batch size."""

    def ours() -> Any:
        return onnxsal.explain(model, photo, method="score-cam", target=281, batch_size=batch)

    forwards = ours().manifest["forwards"]
    each = spent(bare(model, batch), rounds * 5) / batch
    whole = spent(ours, rounds)
    name = Path(model.name).name
    return f"| {name} | {batch} | {1 / whole:.2f} | {forwards / whole:.0f} | {whole / (each * forwards):.3f} |"


def main() -> int:
    """Parse the command line, print the table; return 77 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--zoo", type=Path, default=Path("zoo"), help="folder of what benchmarks/zoo.py exported")
    parser.add_argument("--provider", default="cuda", help="cuda or tensorrt")
    parser.add_argument("--batch", default="16,64,128", help="batch sizes, by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--torch", help="a Python with torch for CUDA, torchvision and torchcam")
    args = parser.parse_args()
    try:
        from onnxsal.kernels import cuda

        cuda.check_available()
        for each in lines(args):
            print(each, flush=True)
    except OnnxsalError as error:
        print(f"no figures: {error}")
        return 77
    if args.torch:
        for batch in args.batch.split(","):
            subprocess.run([args.torch, "-c", TORCHCAM, batch], check=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
