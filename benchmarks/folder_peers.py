"""Maps alone of a folder of photographs, SqueezeNet 1.0, Grad-CAM++, beside pytorch-grad-cam and torch-cam.

    python benchmarks/folder_peers.py PHOTO... [--rounds 3] [--batch 8] [--threads 2]

torchvision's network of random weights, exported here. The peers get their pictures from a DataLoader of two workers,
in batches, decoded and fitted as torchvision does; onnxsal gets the paths. Each gives the map of the predicted class of
every photograph, as large as the network's input; nothing is drawn. Runs take turns; medians of milliseconds a
photograph, by the clock and of the processor with its children's.

Needs torch, torchvision, grad-cam, torchcam and onnxscript beside onnxsal.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo"))
import export as tool

import onnxsal

LAYER = "features"
MEAN, STD = (np.array(each, np.float32)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
Job = Callable[[], Any]


class Photos(Dataset[torch.Tensor]):
    """Photographs as torchvision's classifiers take them."""

    def __init__(self, paths: list[str]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> torch.Tensor:
        with Image.open(self.paths[at]) as image:
            photo = image.convert("RGB")
        scale = 256 / min(photo.size)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
        left, top = (photo.width - 224) // 2, (photo.height - 224) // 2
        pixels = np.asarray(photo.crop((left, top, left + 224, top + 224)), np.float32).transpose(2, 0, 1) / 255
        return torch.from_numpy((pixels - MEAN) / STD)


def spent(job: Job) -> tuple[float, float]:
    """Return seconds on the clock, and of processors: of this process and of those that it waited for."""
    start, used = time.perf_counter(), sum(os.times()[:4])
    job()
    return time.perf_counter() - start, sum(os.times()[:4]) - used


def jobs(paths: list[str], batch: int, threads: int) -> dict[str, Job]:
    """Return what is timed."""
    torch.set_num_threads(threads)
    net = tool.torchvision_models().get_model("squeezenet1_0", weights=None)
    with torch.no_grad():
        net = tool.settle(net, tool.inputs((8, 3, 224, 224), 1)).eval()
    from pytorch_grad_cam import GradCAMPlusPlus  # it imports torchvision, which the tool makes importable
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchcam.methods import GradCAMpp

    file = io.BytesIO()
    torch.onnx.export(
        net, (torch.zeros(1, 3, 224, 224),), file, dynamo=False, input_names=["x"], output_names=["logits"],
        opset_version=17,
    )  # fmt: skip
    model = onnxsal.load(onnx.ModelProto.FromString(file.getvalue()), preprocess="imagenet", threads=threads)
    cam = GradCAMPlusPlus(model=net, target_layers=[net.get_submodule(LAYER)])

    def loader() -> DataLoader[torch.Tensor]:
        return DataLoader(Photos(paths), batch_size=batch, num_workers=2)

    def grad_cam() -> None:
        for x in loader():
            with torch.no_grad():
                best = net(x).argmax(1).tolist()
            cam(input_tensor=x, targets=[ClassifierOutputTarget(each) for each in best])

    def torch_cam() -> None:
        with GradCAMpp(net, LAYER, input_shape=(3, 224, 224)) as extractor:
            for x in loader():
                logits = net(x.requires_grad_())
                (maps,) = extractor(logits.argmax(1).tolist(), logits)
                torch.nn.functional.interpolate(maps[:, None], size=(224, 224), mode="bilinear")

    def ours() -> None:
        for at in range(0, len(paths), 32):
            onnxsal.explain(model, paths[at : at + 32], method="grad-cam++")

    return {"onnxsal": ours, "pytorch-grad-cam": grad_cam, "torch-cam": torch_cam}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    timed = jobs(options.photos, options.batch, options.threads)
    for job in timed.values():
        job()
    rounds = [{what: spent(job) for what, job in timed.items()} for _ in range(options.rounds)]
    print("| what | ms a photograph, clock | processor | over onnxsal, clock | processor |")
    print("| --- | --- | --- | --- | --- |")
    for what in timed:
        each = [1e3 * median(r[what][i] for r in rounds) / len(options.photos) for i in (0, 1)]
        ratio = [median(r[what][i] / r["onnxsal"][i] for r in rounds) for i in (0, 1)]
        print(f"| {what} | {each[0]:.1f} | {each[1]:.1f} | {ratio[0]:.2f} | {ratio[1]:.2f} |")


if __name__ == "__main__":
    main()
