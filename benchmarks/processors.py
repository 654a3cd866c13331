"""Sizes and pixels that onnxsal reads from configurations of transformers and timm, against their own processors.

    python benchmarks/processors.py [PART-OF-A-NAME ...]

Each configuration is written by its package into a folder with a model whose height and width are open, and onnxsal
opens that. Photographs of three shapes go through the package's processor (Pillow's, where it has two) and through
onnxsal. ``size`` is what the processor puts out, "varies" where that depends on the photograph; the difference is the
largest of the prepared pixels, in the processor's own units, over those photographs. Ends with 1 where a size is read
wrongly, or one is read where it varies and no note says so. Needs torch, torchvision, timm, transformers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from PIL import Image

import onnxsal
from onnxsal.errors import OnnxsalError

# In place of this folder: transformers would take kernels.py here for a package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402

SHAPES = ((300, 300), (260, 390), (450, 280))
"""Height and width of the photographs."""
SQUARE = {"height": 224, "width": 224}
TRANSFORMERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ViT", {}),
    ("ViT", {"size": 256}),
    ("ViT", {"size": {"height": 192, "width": 256}}),
    ("ViT", {"do_resize": False}),
    ("DeiT", {}),
    ("DeiT", {"size": {"height": 438, "width": 438}, "crop_size": {"height": 384, "width": 384}}),
    ("DeiT", {"do_center_crop": False}),
    ("Beit", {}),
    ("Beit", {"do_center_crop": True, "crop_size": SQUARE}),
    ("CLIP", {}),
    ("CLIP", {"size": {"shortest_edge": 336}, "crop_size": 336}),
    ("CLIP", {"do_center_crop": False}),
    ("CLIP", {"size": 224, "do_center_crop": False}),
    ("CLIP", {"crop_size": {"height": 160, "width": 192}}),
    ("CLIP", {"do_resize": False}),
    ("ConvNext", {}),
    ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    ("ConvNext", {"size": {"shortest_edge": 288}, "crop_pct": 0.95}),
    ("MobileNetV2", {}),
    ("MobileNetV2", {"size": {"shortest_edge": 192}, "crop_size": {"height": 160, "width": 160}}),
    ("EfficientNet", {}),
    ("EfficientNet", {"size": {"height": 600, "width": 600}}),
    ("PoolFormer", {}),
    ("PoolFormer", {"crop_pct": 1.0}),
    ("PoolFormer", {"crop_pct": None}),
    ("DPT", {}),
    ("DPT", {"keep_aspect_ratio": True, "ensure_multiple_of": 32}),
    ("LayoutLMv3", {"apply_ocr": False}),
    *((kind, {}) for kind in (
        "ChineseCLIP", "Levit", "MobileNetV1", "MobileViT", "Pvt", "Segformer", "Siglip", "Bit", "Perceiver",
        "Yolos", "Detr", "RTDetr", "OwlViT", "Owlv2", "Donut", "Nougat", "GLPN", "Swin2SR", "TextNet", "Sam",
        "Blip", "Vilt", "VideoMAE", "SuperPoint", "ZoeDepth", "DINOv3ViT", "PPLCNet", "Flava", "Siglip2", "Mask2Former",
        "BridgeTower",
    )),
)  # fmt: skip
TIMM = (
    "resnet18.a1_in1k", "resnet50.a1_in1k", "vit_base_patch16_224.augreg_in21k_ft_in1k", "efficientnet_b0.ra_in1k",
    "vit_base_patch16_384.augreg_in1k", "convnext_tiny.fb_in22k_ft_in1k_384", "tf_efficientnet_b3.ns_jft_in1k",
    "inception_v3.tv_in1k", "levit_128.fb_dist_in1k", "mobilevit_s.cvnets_in1k", "swinv2_tiny_window8_256.ms_in1k",
    "beit_base_patch16_384.in22k_ft_in22k_in1k", "resnetv2_50x1_bit.goog_in21k_ft_in1k", "regnety_032.ra_in1k",
    "eca_nfnet_l0.ra2_in1k", "eva02_tiny_patch14_336.mim_in22k_ft_in1k", "vit_base_patch16_siglip_256.webli",
    "mobilenetv4_conv_small.e2400_r224_in1k", "mixer_b16_224.goog_in21k_ft_in1k", "vit_base_patch14_dinov2.lvd142m",
)  # fmt: skip


@dataclass(frozen=True)
class Told:
    """A configuration beside a model, and what its own package makes of a photograph, [C, H, W]."""

    name: str
    folder: Path
    prepare: Callable[[Image.Image], Any]


def photograph(shape: tuple[int, int]) -> Image.Image:
    """Return waves with noise, of this height and width."""
    rng = np.random.default_rng(shape)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    waves = np.stack([np.sin(rows / 9 + k) + np.cos(columns / (7 + k)) for k in range(3)], -1)
    return Image.fromarray((127 + 50 * waves + rng.normal(0, 6, waves.shape)).clip(0, 255).astype(np.uint8))


def write_model(path: Path) -> None:
    """Write a classifier of pictures whose batch, height and width are open."""
    weight = np.random.default_rng(0).normal(0, 1, (4, 3, 1, 1)).astype(np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("GlobalAveragePool", ["a"], ["b"]),
             helper.make_node("Flatten", ["b"], ["c"]), helper.make_node("Softmax", ["c"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])], [onnx.numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def of_transformers(folder: Path) -> Iterator[Told]:
    """Yield the processors of transformers."""
    tool.torchvision_models()
    import transformers

    for i, (kind, changes) in enumerate(TRANSFORMERS):
        made = getattr(transformers, f"{kind}ImageProcessorPil", None) or getattr(transformers, f"{kind}ImageProcessor")
        processor, place = made(**changes), folder / f"t{i}"
        processor.save_pretrained(place)
        said = ", ".join(f"{key}={value}" for key, value in changes.items())
        yield Told(f"{kind} {said}".strip(), place, partial(_pixels_of, processor))


def _pixels_of(processor: Any, photo: Image.Image) -> Any:
    return processor(photo, return_tensors="np")["pixel_values"][0]


def of_timm(folder: Path) -> Iterator[Told]:
    """Yield the configurations of timm's models, as it writes them."""
    timm = tool.timm_package()
    from timm.models._hub import save_config_for_hf

    for i, name in enumerate(TIMM):
        place = folder / f"m{i}"
        place.mkdir()
        with tool.torch.device("meta"):
            model = timm.create_model(name)
        save_config_for_hf(model, str(place / "config.json"))
        transform = timm.data.create_transform(**timm.data.resolve_data_config(model=model))
        yield Told(f"timm {name}", place, transform)


def line(told: Told) -> tuple[bool, str]:
    """Return whether the size is read rightly, and the cells."""
    write_model(told.folder / "model.onnx")
    photos = [photograph(shape) for shape in SHAPES]
    theirs = [np.asarray(told.prepare(photo), np.float64) for photo in photos]
    shapes = {each.shape[-2:] for each in theirs}
    right = "x".join(map(str, *shapes)) if len(shapes) == 1 else "varies"
    try:
        model = onnxsal.load(told.folder / "model.onnx")
    except OnnxsalError as error:
        return False, f"{right} | refused: {error} | |"
    (size,) = [each for each in model.decided if each.what == "size"]
    stated = str(told.folder) in size.why
    ours = size.value.replace("H ", "").replace(", W ", "x") if stated else "none"
    said = stated and any("size" in note or "edge" in note for note in model.notes)
    fits = ours == right if right != "varies" else not stated or said
    return fits, f"{right} | {ours}{' (with a note)' if said else ''} | {pixels(model, photos, theirs)} |"


def pixels(model: Any, photos: list[Image.Image], theirs: list[Any]) -> str:
    """Return the largest difference of prepared pixels over photographs of which both make the same shape."""
    found = [np.asarray(model.prepare(photo).x, np.float64) for photo in photos]
    apart = [float(np.abs(a - b).max()) for a, b in zip(found, theirs, strict=True) if a.shape == b.shape]
    return f"{max(apart):.1e}" if apart else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*")
    names, wrong = parser.parse_args().name, 0
    warnings.simplefilter("ignore")
    print("| configuration | size | read | pixels | |\n" + "| --- " * 5 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for told in (each for part in (of_transformers, of_timm) for each in part(Path(folder))):
            if names and not any(name in told.name for name in names):
                continue
            fits, cells = line(told)
            wrong += not fits
            print(f"| {told.name} | {cells} {'' if fits else 'DIFFERS'} |".replace(folder, ""), flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
