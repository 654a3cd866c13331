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
import json
import sys
import tempfile
import warnings
from collections import Counter
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
from onnxsal.modalities.image import as_preprocess, processors, read_image

# In place of this folder: transformers would take kernels.py here for a package of that name.
sys.path[0] = str(Path(__file__).resolve().parent.parent / "tests" / "data" / "zoo")
import export as tool  # noqa: E402

SHAPES = ((300, 300), (260, 390), (450, 281), (97, 143))
"""Height and width of the photographs."""
SQUARE = {"height": 224, "width": 224}
SIZES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("ViT", {"size": 256}),
    ("ViT", {"size": {"height": 192, "width": 256}}),
    ("ViT", {"do_resize": False, "do_center_crop": True, "crop_size": 160}),
    ("DeiT", {"size": {"height": 438, "width": 438}, "crop_size": {"height": 384, "width": 384}}),
    ("DeiT", {"size": 256, "crop_size": 224}),
    ("Beit", {"do_center_crop": True, "crop_size": SQUARE}),
    ("CLIP", {"size": {"shortest_edge": 336}, "crop_size": 336}),
    ("CLIP", {"size": 224, "do_center_crop": False}),
    ("CLIP", {"crop_size": {"height": 160, "width": 192}}),
    ("CLIP", {"crop_size": 300}),
    ("CLIP", {"do_resize": False, "crop_size": {"height": 128, "width": 96}}),
    ("CLIP", {"do_resize": False, "do_pad": True}),
    ("CLIP", {"do_rescale": False, "do_normalize": False}),
    ("CLIP", {"do_pad": True, "pad_size": {"height": 256, "width": 256}}),
    ("ConvNext", {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    ("ConvNext", {"size": {"shortest_edge": 288}, "crop_pct": 0.95}),
    ("MobileNetV2", {"size": {"shortest_edge": 192}, "crop_size": {"height": 160, "width": 160}}),
    ("EfficientNet", {"size": {"height": 600, "width": 600}}),
    ("PoolFormer", {"crop_pct": 1.0}),
    ("DPT", {"keep_aspect_ratio": True, "ensure_multiple_of": 32}),
)
SWITCHES = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad", "do_convert_rgb",
            "do_flip_channel_order")  # fmt: skip
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
    """A configuration beside a model, what its own package makes of a photograph, [C, H, W], and how near is equal."""

    name: str
    folder: Path
    prepare: Callable[[Image.Image], Any]
    near: float = 0.5


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


def classes() -> dict[str, Any]:
    """Return the image processors of transformers by what they are called, Pillow's where there are two."""
    tool.torchvision_models()
    import transformers

    named = [name.removesuffix("ImageProcessor") for name in dir(transformers) if name.endswith("ImageProcessor")]
    found = {}
    for kind in named:
        made = getattr(transformers, f"{kind}ImageProcessorPil", None) or getattr(transformers, f"{kind}ImageProcessor")
        if hasattr(made, "valid_kwargs") and kind not in ("Auto", "Base"):
            found[kind] = made
    return found


def of_transformers(folder: Path) -> Iterator[Told]:
    """Yield the processors of transformers: as they come, with a switch turned each, and at other sizes."""
    for i, (kind, made, changes) in enumerate(_variants(classes())):
        try:
            processor, place = made(**_without_text(made), **changes), folder / f"t{i}"
            _pixels_of(processor, photograph(SHAPES[0]))
        except Exception as error:  # noqa: BLE001 - no such configuration: it cannot be made, or does not run
            print(f"# {kind} {changes}: {type(error).__name__}", file=sys.stderr)
            continue
        processor.save_pretrained(place)
        said = ", ".join(f"{key}={value}" for key, value in changes.items())
        yield Told(f"{kind} {said}".strip(), place, partial(_pixels_of, processor), _near(processor))


def _variants(found: dict[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for kind, made in found.items():
        yield kind, made, {}
        for switch in SWITCHES:
            if changes := _turned(made, switch):
                yield kind, made, changes
    for kind, changes in SIZES:
        yield kind, found[kind], changes


def _near(processor: Any) -> float:
    """How near is equal: torchvision rounds what it resizes to another level at times."""
    return (0.5 if type(processor).__name__.endswith("Pil") else 2.3) * _level(processor)


def _level(processor: Any) -> float:
    """One level of 255 in a processor's own units."""
    scale = processor.rescale_factor if getattr(processor, "do_rescale", False) else 1.0
    std = np.min(processor.image_std) if getattr(processor, "do_normalize", False) else 1.0
    return float(scale / (std**2 if getattr(processor, "include_top", False) else std))


def _pixels_of(processor: Any, photo: Image.Image) -> Any:
    """What it makes of one photograph; of several pictures all."""
    pixels = np.asarray(processor(photo, return_tensors="np")["pixel_values"])
    return pixels[0] if pixels.ndim == 4 and len(pixels) == 1 else pixels


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


def line(told: Told) -> tuple[str, float, str]:
    """Return what became of it, the largest difference, and the cells."""
    write_model(told.folder / "model.onnx")
    photos = [photograph(shape) for shape in SHAPES]
    theirs = [np.asarray(told.prepare(photo), np.float64) for photo in photos]
    shapes = {each.shape[-2:] for each in theirs}
    right = "x".join(map(str, *shapes)) if len(shapes) == 1 else "varies"
    try:
        model = onnxsal.load(told.folder / "model.onnx")
    except OnnxsalError as error:
        return "refused", 0.0, f"{right} | refused: {error} | "
    if model.preprocess is None:
        return "refused", 0.0, f"{right} | {next(each for each in model.notes if 'passed over' in each)} | "
    decided = {each.what: each for each in model.decided}
    said = "; where that is not of the model's size" in decided["preprocess"].why or _told(told, decided, model.notes)
    apart = pixels(model, photos, theirs)
    stated = str(told.folder) in decided["size"].why
    ours = decided["size"].value.replace("H ", "").replace(", W ", "x") if stated else "none"
    fits = ours == right if right != "varies" else not stated or said
    is_one = {each.ndim for each in theirs} == {3}
    agrees = fits and is_one and apart is not None and apart <= told.near
    became = "agrees" if agrees else "told" if said and right == "varies" else "DIFFERS"
    largest = "" if apart is None else f"{apart:.1e}"
    return became, apart or 0.0, f"{right} | {ours}{' (with a note)' if said else ''} | {largest}"


def _told(told: Told, decided: dict[str, Any], notes: tuple[str, ...]) -> bool:
    return str(told.folder) in decided["size"].why and any("size" in note or "edge" in note for note in notes)


def pixels(model: Any, photos: list[Image.Image], theirs: list[Any]) -> float | None:
    """Return the largest difference of prepared pixels over photographs of which both make the same shape."""
    found = [np.asarray(model.prepare(photo).x, np.float64) for photo in photos]
    apart = [float(np.abs(a - b).max()) for a, b in zip(found, theirs, strict=True) if a.shape == b.shape]
    return max(apart, default=None)


KEYS = ("size", "crop_size", "rescale_factor", "image_mean", "image_std", "resample", "crop_pct", "pad_size")
SWITCHED = {"do_resize": True, "do_rescale": True, "do_center_crop": False, "do_normalize": None, "do_pad": False,
            "do_flip_channel_order": False, "rescale_offset": False, "include_top": False,
            "keep_aspect_ratio": False}  # fmt: skip
"""What is not repeated in the table, since it is so where nothing is said."""
CROP = {"height": 128, "width": 96}
OWN = "a resizing, padding or arithmetic of its own"


def write_table() -> None:
    """Write what each class does by itself, then which of them, and of their switches, are not as we read them."""
    found = classes()
    table = {kind: _facts(made) for kind, made in found.items()}
    _save(table)
    for kind, made in found.items():
        own = _own(made, {})
        odd = [switch for switch in SWITCHES if not own and _turned(made, switch) and _own(made, _turned(made, switch))]
        table[kind] = {"own": own} if own else table[kind] | ({"odd": odd} if odd else {})
    _save(table)


def _save(table: dict[str, Any]) -> None:
    lines = [f"{json.dumps(kind)}: {json.dumps(facts)}" for kind, facts in sorted(table.items())]
    Path(processors.__file__).with_suffix(".json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    processors.table.cache_clear()


def _facts(made: Any) -> dict[str, Any]:
    own = json.loads(made().to_json_string())
    defaults = {key: own[key] for key in KEYS if own.get(key) is not None and own[key] != 1 / 255}
    defaults |= {key: now for key, usual in SWITCHED.items() if (now := bool(own.get(key))) is not usual}
    ignored = [switch for switch in SWITCHES[:4] if _turned(made, switch) and _same(made, _turned(made, switch))]
    runs = {} if made.__name__.endswith("Pil") else {"rounding": "inwards"}  # torchvision's centre in transformers
    return {"defaults": defaults, **_square(made), **runs} | ({"ignored": ignored} if ignored else {})


def _turned(made: Any, switch: str) -> dict[str, Any]:
    """What turns a switch of a class; nothing where it has none."""
    if switch not in made.valid_kwargs.__annotations__:
        return {}
    turned = {switch: not getattr(made, switch, False)}
    return turned | ({"crop_size": CROP} if turned.get("do_center_crop") else {})


def _same(made: Any, changes: dict[str, Any]) -> bool:
    try:
        return np.array_equal(*(_pixels_of(made(**each), photograph(SHAPES[1])) for each in ({}, changes)))
    except Exception:  # noqa: BLE001 - it does not run so
        return False


def _square(made: Any) -> dict[str, bool]:
    try:
        return {} if "height" in json.loads(made(size=160).to_json_string())["size"] else {"square": False}
    except Exception:  # noqa: BLE001 - it takes no single number
        return {}


def _own(made: Any, changes: dict[str, Any]) -> str:
    """What a processor does that is not as it is read here; nothing of most, nor of what does not run."""
    try:
        processor = made(**changes, **_without_text(made))
        theirs = [_pixels_of(processor, photograph(shape)) for shape in SHAPES]
    except Exception:  # noqa: BLE001 - as above
        return "" if changes else "it takes more than a photograph"
    if any(each.ndim != 3 for each in theirs):
        return "several pictures, or patches, of one photograph"
    try:
        taken = as_preprocess(json.loads(processor.to_json_string()))
        ours = [taken.apply(read_image(np.asarray(photograph(shape))), each.shape[1:]).values
                for shape, each in zip(SHAPES, theirs, strict=True)]  # fmt: skip
    except (OnnxsalError, ValueError):
        return OWN
    apart = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    return "" if apart <= _near(processor) or (changes and taken.said) else OWN


def _without_text(made: Any) -> dict[str, bool]:
    return {"apply_ocr": False} if "apply_ocr" in made.valid_kwargs.__annotations__ else {}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="*")
    parser.add_argument("--table", action="store_true")
    given, counts, largest = parser.parse_args(), Counter[str](), 0.0
    warnings.simplefilter("ignore")
    if given.table:
        write_table()
    print("| configuration | size | read | pixels | |\n" + "| --- " * 5 + "|")
    with tempfile.TemporaryDirectory() as folder:
        for told in (each for part in (of_transformers, of_timm) for each in part(Path(folder))):
            if given.name and not any(name in told.name for name in given.name):
                continue
            became, apart, cells = line(told)
            counts[became] += 1
            largest = max(largest, apart if became == "agrees" else 0.0)
            print(f"| {told.name} | {cells} | {became} |".replace(folder, ""), flush=True)
    print(
        f"\n{counts.total()} configurations: {dict(counts)}; the largest difference of those that agree {largest:.1e}"
    )
    sys.exit(counts["DIFFERS"] > 0)


if __name__ == "__main__":
    main()
