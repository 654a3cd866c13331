"""What Score-CAM of torchcam and pytorch-grad-cam costs beside torch's own forwards; run by benchmarks/score_cam.py.

    python benchmarks/score_cam_peers.py resnet18 8

Needs torch, torchvision, torchcam and grad-cam; weights are random, the layer is the last one before the head.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402  (it imports torchvision where its compiled operators are absent too)

LAYERS = {"resnet18": "layer4", "mobilenet_v2": "features"}
CLASS = 281


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """How long one call takes: on the clock, and in processor time of all threads."""
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used


def with_torchcam(model: torch.nn.Module, layer: str, x: torch.Tensor, batch: int) -> None:
    """One map of torchcam."""
    from torchcam.methods import ScoreCAM

    with ScoreCAM(model, layer, batch_size=batch) as extractor, torch.inference_mode():
        extractor(CLASS, model(x))


def with_grad_cam(model: torch.nn.Module, layer: str, x: torch.Tensor, batch: int) -> None:
    """One map of pytorch-grad-cam."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with ScoreCAM(model=model, target_layers=[model.get_submodule(layer)]) as cam:
        cam.batch_size = batch
        cam(input_tensor=x, targets=[ClassifierOutputTarget(CLASS)])


def main() -> None:
    """Print one line a package."""
    name, batch = sys.argv[1], int(sys.argv[2])
    model = tool.torchvision_models().get_model(name, weights=None).eval()
    x = torch.randn(1, 3, 224, 224)
    many = torch.randn(batch, 3, 224, 224)
    with torch.inference_mode():
        maps = 512 if name == "resnet18" else 1280
        model(many)
        alone = seconds(lambda: [model(many) for _ in range(maps // batch)])
    for package, call in (("torchcam", with_torchcam), ("grad-cam", with_grad_cam)):
        try:
            ours = seconds(lambda call=call: call(model, LAYERS[name], x, batch))  # type: ignore[misc]
        except ImportError as error:
            print(f"| {name} | {package} | {error} |")
            continue
        version = f"{package} {metadata.version(package)}, torch {torch.__version__}"
        ratios = f"{ours[0] / alone[0]:.2f} | {ours[1] / alone[1]:.2f}"
        each = f"{1e3 * ours[1] / maps:.1f} | {1e3 * alone[1] / maps:.1f}"
        print(f"| {name} | {version} | {maps} | {ratios} | {each} |", flush=True)


if __name__ == "__main__":
    main()
