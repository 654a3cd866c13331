"""What ``mutate.py`` damages: folders of files that work together, and what a user does with them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from mutate_requests import asked, requests, sent
from PIL import Image

import onnxsal
from onnxsal.cli import main
from onnxsal.evaluation.annotations import read_boxes
from onnxsal.evaluation.journal import Journal
from onnxsal.evaluation.truth import read_truth
from onnxsal.evaluation.yolo import read_yolo
from onnxsal.modalities.csv_rows import read_rows
from onnxsal.modalities.tokens.text import tokenised
from onnxsal.modalities.tokens.tokenizer import beside

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "reference"))
Files = dict[str, bytes]


@dataclass(frozen=True)
class Scene:
    """Files by name, which of them are damaged, and calls: command lines, or names of functions below with ``py:``."""

    files: Files
    damaged: tuple[str, ...]
    calls: tuple[str, ...]


def photo(seed: int = 0, *, side: tuple[int, int] = (40, 60)) -> bytes:
    """Return a PNG of a square on grey."""
    image = np.full((*side, 3), 90, np.uint8)
    image[8:30, 15:45] = ((220, 40, 30), (30, 200, 40), (20, 50, 210))[seed % 3]
    return png(image)


def png(image: Any) -> bytes:
    """Return an array as PNG."""
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def npy(array: Any) -> bytes:
    """Return an array as .npy."""
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def dumped(value: Any) -> bytes:
    """Return JSON."""
    return json.dumps(value).encode()


EVERY = (
    "predict model.onnx THING",
    "explain model.onnx THING -m gradient -o map.png",
    "inspect model.onnx --json",
    "explain model.onnx THING -o map.png --npz map.npz",
    "layers model.onnx",
    "compile model.onnx -o made.onnx",
    "compile model.onnx -m gradient -t input -o made.onnx",
    "py:gradient",
    "py:message",
    "py:opened",
)
"""What is done with any model, THING being what it takes."""


def of_model(model: onnx.ModelProto | bytes, thing: str, files: Files, *more: str) -> Scene:
    """Return the scene of a model that is damaged itself."""
    data = model if isinstance(model, bytes) else model.SerializeToString()
    calls = tuple(call.replace("THING", thing) for call in (*EVERY, *more))
    return Scene({"model.onnx": data, **files}, ("model.onnx",), calls)


def models() -> Iterator[tuple[str, Callable[[], Scene]]]:
    """Yield scenes of models: the tests' own, those of its zoo, and small ones of ONNXSAL_SHARED where that is set."""
    import tables
    import tiny_detectors
    import tiny_models
    import tiny_texts
    import tiny_trees

    picture = {"a.png": photo()}
    lines = [";".join(tables.NAMES), *(";".join("" if v is None else str(v) for v in r.values()) for r in tables.ROWS)]
    rows = {"rows.csv": "\n".join(lines).encode()}
    numbers = {"rows.csv": b"a,b,c,d\n0.1,0.2,-0.3,0\n0.4,-0.1,0.2,0.5\n-0.2,0,0.1,0.3\n"}
    shapley = "explain model.onnx rows.csv --background rows.csv --out values.csv"
    yield "classifier", lambda: of_model(tiny_models.classifier(), "a.png", picture)
    yield "segmenter", lambda: of_model(tiny_models.segmenter(), "a.png --preprocess unit", picture)
    for form in tiny_detectors.OUTPUTS:
        seen = {"a.png": png((tiny_detectors.picture((0, 4, 6))[0].transpose(1, 2, 0) * 255).astype(np.uint8))}
        yield f"detector {form}", lambda form=form, seen=seen: of_model(tiny_detectors.detector(form), "a.png", seen)
    for end in tiny_texts.ENDS:
        beside = {
            "tokenizer.json": tiny_texts.tokenizer().to_str().encode(),
            "config.json": dumped({"id2label": tiny_texts.LABELS}),
            "a.txt": b"obama lives in paris",
        }
        yield f"text {end}", lambda end=end, beside=beside: of_model(tiny_texts.proto(end), "a.txt", beside)
    for name in ("LINEAR", "TREES", "NET"):
        head = getattr(tables, name)
        yield f"table {name.lower()}", lambda head=head: of_model(tables.pipeline(head), "rows.csv", rows, shapley)

    def forest(newer: bool) -> Scene:
        rng = np.random.default_rng(0)
        drawn = [tiny_trees.drawn(rng, 3, [0]) for _ in range(3)]
        made = (
            tiny_trees.newer(drawn, n_targets=1)
            if newer
            else tiny_trees.older("TreeEnsembleRegressor", drawn, n_targets=1)
        )
        made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
        return of_model(made, "rows.csv", numbers, shapley, "explain model.onnx rows.csv -m shapley --row 1 -o map.png")

    yield "trees older", lambda: forest(False)
    yield "trees newer", lambda: forest(True)
    for name in ("vit_timm", "mobilenet_v2_int8", "mobilenet_v3_old", "resnet_basic_float16", "efficientnet_dynamo"):
        path = ROOT / "tests" / "data" / "zoo" / f"{name}.onnx"
        yield f"zoo {name}", lambda path=path: of_model(path.read_bytes(), "a.png --preprocess unit", picture)
    yield "bundled", lambda: of_model((ROOT / "models" / "shapes.onnx").read_bytes(), "a.png", picture)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT / "none")
    for name in ("models/mnist_cntk", "models/mobilenet_v1_025_int8", "reach/mtcnn_pnet", "reach/ppocr2_cls"):
        path = shared / f"{name}.onnx"
        if path.is_file():
            yield (
                f"shared {path.stem}",
                lambda path=path: of_model(path.read_bytes(), "a.png --preprocess unit", picture),
            )


SOUND = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 100] x, float[B, 1] h0)
    => (float[B, 1] y, float[B, 1] hN) <float[1] half = {0.5}>
    { f = MatMul (x, w) d = Mul (h0, half) hN = Add (d, f) y = Mul (hN, hN) }"""
SERIES = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 24, 2] x) => (float[B, 2] y)
    <int64[1] last = {2}, float[2, 2, 3] w = {1, 2, -1, 0, 1, 1, 2, 0, 1, -1, 1, 2}, float[2, 2] v = {1, -1, 2, 1}>
    { t = Transpose <perm = [0, 2, 1]> (x) a = Conv <pads = [1, 1]> (t, w) r = Relu (a)
      m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, v) }"""
VOLUME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, D, H, W] x) => (float[B, 2] y)
    <float[2, 1, 1, 1, 1] w = {1, -2}, int64[3] axes = {2, 3, 4}>
    { a = Conv (x, w) r = Relu (a) y = ReduceMean <keepdims = 0> (r, axes) }"""


def recording() -> Scene:
    """Return a sound run chunk by chunk."""
    proto = onnx.parser.parse_model(SOUND)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.sin(np.arange(100, dtype="f"))[:, None], "w"))
    sound = np.random.default_rng(0).integers(-9000, 9000, 730, np.int16).tobytes()
    import struct

    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + len(sound),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        1000,
        2000,
        2,
        16,
        b"data",
        len(sound),
    )
    call = (
        "explain model.onnx x.wav --explained x --head y --task regression --rate 1000 -m gradient --hop 80 -o map.png"
    )
    files = {"model.onnx": proto.SerializeToString(), "x.wav": head + sound}
    return Scene(files, ("x.wav", "x.wav", "model.onnx"), (call, f"{call} --sound part.wav --at 0.25s --unrolled 2"))


def series() -> Scene:
    """Return series as arrays and as text."""
    values = np.random.default_rng(0).normal(size=(24, 2)).astype("f")
    text = "a,b\n" + "\n".join(f"{one:.3f},{two:.3f}" for one, two in values)
    files = {
        "model.onnx": onnx.parser.parse_model(SERIES).SerializeToString(),
        "x.npy": npy(values),
        "x.csv": text.encode(),
    }
    each = ("predict model.onnx {}", "explain model.onnx {} -m gradient -o map.png")
    return Scene(files, ("x.npy", "x.csv"), tuple(call.format(name) for call in each for name in ("x.npy", "x.csv")))


def scans() -> Scene:
    """Return volumes as NIfTI files."""
    import nibabel

    image = nibabel.Nifti1Image(np.random.default_rng(0).normal(size=(4, 5, 6)).astype("f"), np.diag([2.0, 3, 1, 1]))
    files = {
        "model.onnx": onnx.parser.parse_model(VOLUME).SerializeToString(),
        "x.nii": image.to_bytes(),
        "m.nii": nibabel.Nifti1Image(np.ones((4, 5, 6), np.uint8), image.affine).to_bytes(),
    }
    call = "explain model.onnx x.nii --preprocess xyz -m gradient -o map.png"
    return Scene(files, ("x.nii",), ("predict model.onnx x.nii --preprocess RAS", call))


def pictures() -> Scene:
    """Return pictures and arrays for a classifier, a second input and a target that are files too."""
    import tiny_models

    files = {
        "model.onnx": tiny_models.classifier().SerializeToString(),
        "a.png": photo(),
        "x.npy": npy(np.zeros((3, 16, 16), "f")),
    }
    return Scene(
        files,
        ("a.png", "a.png", "a.png", "x.npy"),
        (
            "predict model.onnx a.png",
            "explain model.onnx a.png -m gradient -o map.png",
            "predict model.onnx x.npy",
            "py:read",
            "explain model.onnx . -m gradient -o {stem}.{method}.jpg",
        ),
    )


def beside_pictures() -> Scene:
    """Return what lies beside a model of pictures: how they are prepared and what its classes are."""
    import tiny_models

    config = {
        "do_resize": True,
        "size": {"height": 16, "width": 16},
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.2, 0.3],
        "do_rescale": True,
        "rescale_factor": 0.00392156862745098,
        "resample": 2,
        "image_processor_type": "ViTImageProcessor",
        "do_center_crop": True,
        "crop_size": {"height": 16, "width": 16},
    }
    own = {"preset": "unit", "fit": "squash", "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "colour": "rgb"}
    model = tiny_models.classifier(preset=None)
    del model.metadata_props[:]
    yml = (
        "PreProcess:\n  transform_ops:\n  - ResizeImage:\n      size:\n      - 16\n      - 16\n"
        "  - NormalizeImage:\n      mean:\n"
        "      - 0.5\n      - 0.5\n      - 0.5\n      std:\n"
        "      - 0.2\n      - 0.2\n      - 0.2\n      scale: 0.0039\n"
        "PostProcess:\n  Topk:\n    topk: 2\n    label_list:\n    - a\n    - b\n    - c\n    - d\n"
    )
    files = {
        "model.onnx": model.SerializeToString(),
        "a.png": photo(),
        "preprocessor_config.json": dumped(config),
        "config.json": dumped(
            {
                "id2label": dict(enumerate("abcd")),
                "label2id": {"a": 0},
                "problem_type": None,
                "image_size": 16,
                "num_channels": 3,
                "architectures": ["ViTForImageClassification"],
            }
        ),
        "labels.txt": b"red\ngreen\nblue\ngreen apple",
        "model.preprocess.json": dumped(own),
        "inference.yml": yml.encode(),
        "labels.json": dumped({str(i): n for i, n in enumerate("abcd")}),
    }
    return Scene(
        files,
        (
            "preprocessor_config.json",
            "config.json",
            "labels.txt",
            "labels.json",
            "model.preprocess.json",
            "inference.yml",
        ),
        (
            "py:opened",
            "predict model.onnx a.png",
            "layers model.onnx",
            "predict model.onnx a.png --labels labels.txt",
            "predict model.onnx a.png --labels labels.json",
            "predict model.onnx a.png --preprocess preprocessor_config.json",
            "predict model.onnx a.png --preprocess model.preprocess.json",
            "predict model.onnx a.png --preprocess inference.yml",
            "compile model.onnx --bytes-in --preprocess preprocessor_config.json -o made.onnx",
        ),
    )


def texts() -> Scene:
    """Return tokenizers and what lies beside them."""
    import tiny_texts

    files = {
        "model.onnx": tiny_texts.proto("labels").SerializeToString(),
        "a.txt": b"obama lives in paris",
        "tokenizer.json": tiny_texts.tokenizer().to_str().encode(),
        "config.json": dumped({"id2label": tiny_texts.LABELS, "max_position_embeddings": 20, "pad_token_id": 0}),
        "tokenizer_config.json": dumped({"pad_token": "[PAD]", "model_max_length": 16, "padding_side": "right"}),
        "special_tokens_map.json": dumped({"pad_token": {"content": "[PAD]"}, "cls_token": "[CLS]"}),
    }
    return Scene(
        files,
        (
            "tokenizer.json",
            "tokenizer.json",
            "config.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "a.txt",
        ),
        (
            "py:words",
            "py:opened",
            "predict model.onnx a.txt",
            "explain model.onnx a.txt -m gradient -o page.html",
            "inspect model.onnx",
            "evaluate model.onnx a.txt -m gradient --metrics deletion[steps=3]",
            "compile model.onnx -m gradient --mask-in -o made.onnx",
        ),
    )


def tables_of_rows() -> Scene:
    """Return rows of tables, to be explained and to be explained by."""
    import tables

    rows = [",".join(tables.NAMES), *(",".join("" if v is None else str(v) for v in r.values()) for r in tables.ROWS)]
    files = {
        "model.onnx": tables.pipeline(tables.TREES).SerializeToString(),
        "rows.csv": "\n".join(rows).encode(),
        "other.csv": "\n".join(rows).encode(),
    }
    return Scene(
        files,
        ("rows.csv",),
        (
            "py:columns",
            "predict model.onnx rows.csv",
            "explain model.onnx rows.csv --background other.csv -o map.png --out v.csv",
            "explain model.onnx other.csv --background rows.csv --row 2 -o map.png",
            "predict model.onnx rows.csv --json",
            "evaluate model.onnx rows.csv -m shapley --metrics deletion --csv out.csv",
            "compile model.onnx --background rows.csv -t 1 -o made.onnx",
        ),
    )


def annotations() -> Scene:
    """Return pictures to be judged on, with what is known of them."""
    import tiny_models

    coco = {
        "images": [{"id": 1, "file_name": "0_a.png", "width": 60, "height": 40}],
        "categories": [{"id": 4, "name": "red", "supercategory": "x"}],
        "annotations": [
            {"id": 1, "image_id": 1, "bbox": [5, 6, 20, 30], "category_id": 4, "iscrowd": 0, "area": 600.0},
            {"id": 2, "image_id": 1, "bbox": [1, 2, 3, 4.5], "category_id": 4},
        ],
    }
    voc = (
        "<annotation><filename>0_a.png</filename><size><width>60</width><height>40</height></size><object><name>red</name>"
        "<difficult>0</difficult><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>40</xmax><ymax>30</ymax></bndbox></object>"
        "</annotation>"
    )
    mask = np.zeros((40, 60), np.uint8)
    mask[8:30, 15:45] = 255
    judged = "evaluate model.onnx photos -m gradient --metrics energy-pointing"
    files = {
        "model.onnx": tiny_models.classifier().SerializeToString(),
        "photos/0_a.png": photo(),
        "photos/1_b.png": photo(1),
        "coco.json": dumped(coco),
        "voc/0_a.xml": voc.encode(),
        "boxes.csv": b"image,left,top,right,bottom,label\n0_a.png,5,5,40,30,red\n1_b.png,1,1,20,20,green\n",
        "labels/0_a.txt": b"0 0.5 0.5 0.4 0.3\n1 0.3 0.3 0.2 0.2 0.9\n",
        "labels/1_b.txt": b"1 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.5\n",
        "data.yaml": b"names:\n  0: red\n  1: green\nnc: 2\nkpt_shape: [17, 3]\n",
        "truth.csv": b"picture,label\n0_a.png,red\n1_b.png,green\n",
        "masks/0_a.png": png(mask),
        "masks/1_b.png": png(mask),
        "maps/0_a.npy": npy(mask[4:20, 8:24].astype("f")),
        "maps/1_b.npy": npy(mask[:16, 10:26].astype("f")),
    }
    files["kept.jsonl"] = made(files, f"{judged} --boxes coco.json --journal kept.jsonl", "kept.jsonl")
    return Scene(
        files,
        (
            "coco.json",
            "coco.json",
            "voc/0_a.xml",
            "boxes.csv",
            "labels/0_a.txt",
            "labels/1_b.txt",
            "data.yaml",
            "truth.csv",
            "masks/0_a.png",
            "maps/0_a.npy",
            "kept.jsonl",
            "photos/0_a.png",
        ),
        (
            "py:boxes",
            f"{judged} --boxes coco.json",
            f"{judged} --boxes voc",
            f"{judged} --boxes boxes.csv",
            f"{judged} --boxes labels",
            f"{judged} --truth truth.csv -t label --boxes coco.json",
            f"{judged} --masks masks",
            f"{judged} --boxes coco.json --journal kept.jsonl",
            "evaluate model.onnx photos --maps maps --metrics deletion[steps=3] --report page.html --json all.json",
        ),
    )


def kept() -> Scene:
    """Return maps as data, to be drawn again."""
    import tiny_models

    files = {"model.onnx": tiny_models.classifier().SerializeToString(), "photos/a.png": photo()}
    files |= left(files, "explain model.onnx photos -m gradient --out maps.parquet", "maps.parquet")
    files |= left(files, "explain model.onnx photos -m gradient --out maps/", "maps/*")
    names = [name for name in files if name.startswith("maps/")]
    return Scene(
        files,
        ("maps.parquet", *names, "photos/a.png"),
        (
            "draw maps.parquet --images photos",
            "draw maps/ --images photos --kind heat",
            "py:maps",
            "explain model.onnx photos -m gradient --out maps/ --skip-existing",
            "explain model.onnx photos -m gradient --out maps.parquet --skip-existing",
        ),
    )


def kept_of(name: str) -> Scene:
    """Return maps of what is no picture, as data, beside the things: another scene's, as its commands leave them."""
    here = scene(name)
    thing, more = {
        "texts": ("a.txt", ""),
        "recording": ("x.wav", " --explained x --head y --task regression --rate 1000 --hop 80"),
        "series": ("x.npy", ""),
        "scans": ("x.nii", " --preprocess xyz"),
    }[name]
    made_by = f"explain model.onnx {thing}{more} -m gradient --out"
    files = dict(here.files)
    files |= left(files, f"{made_by} maps.parquet", "maps.parquet")
    files |= left(files, f"{made_by} maps/", "maps/*")
    names = [each for each in files if each.startswith("maps/")]
    return Scene(
        files,
        ("maps.parquet", *names),
        (
            "draw maps.parquet --images .",
            "draw maps/ --images .",
            "py:maps",
            f"{made_by} maps/ --skip-existing",
            f"{made_by} maps.parquet --skip-existing",
        ),
    )


def values_kept() -> Scene:
    """Return what columns count for, as data that a run goes on with, and annotations whose boxes a report is of."""
    here = tables_of_rows()
    line = "explain model.onnx rows.csv --background other.csv --out"
    files = here.files | left(here.files, f"{line} v.parquet", "v.parquet") | left(here.files, f"{line} v.csv", "v.csv")
    return Scene(
        files,
        ("v.parquet", "v.csv"),
        (f"{line} v.parquet", f"{line} v.csv", "draw v.parquet --images .", "predict model.onnx v.csv", "py:values"),
    )


def photographs() -> Scene:
    """Return photographs of ONNXSAL_SHARED, for a classifier and as what a folder holds; drawn ones where it is not."""
    import tiny_models

    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT / "none")
    found = sorted((shared / "images" / "imagenet").glob("*.jpg"), key=lambda path: path.stat().st_size)[:3]
    photos = {f"{at}.jpg": path.read_bytes() for at, path in enumerate(found)} or {"0.jpg": photo()}
    return Scene(
        {"model.onnx": tiny_models.classifier().SerializeToString(), **photos},
        tuple(photos),
        ("predict model.onnx 0.jpg", "explain model.onnx . -m gradient -o {stem}.{method}.png", "predict model.onnx ."),
    )


def of_request(kind: str) -> Scene:
    """Return a request to a server."""
    return Scene({"request.http": requests(photo())[kind]}, ("request.http",), ("py:asked", "py:asked", "py:sent"))


def compiled() -> Scene:
    """Return a file that onnxsal made, with its weights beside it."""
    import tiny_models

    model = tiny_models.classifier()
    made_file = onnxsal.compile(model, method="gradient")
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > 100:
            onnx.external_data_helper.set_external_data(tensor, "weights.data", 0, len(tensor.raw_data))
    data = max((t.raw_data for t in model.graph.initializer), key=len)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data") if tensor.external_data else None
    files = {
        "model.onnx": made_file.SerializeToString(),
        "outside.onnx": model.SerializeToString(),
        "weights.data": data,
        "a.png": photo(),
        "b.png": photo(1),
    }
    return Scene(
        files,
        ("model.onnx", "outside.onnx", "weights.data"),
        (
            "inspect model.onnx",
            "predict model.onnx a.png",
            "predict outside.onnx a.png",
            "inspect outside.onnx --json",
            "explain outside.onnx a.png -m gradient -o map.png",
            "compile outside.onnx -o made.onnx",
            "diff model.onnx outside.onnx a.png",
        ),
    )


def made(files: Files, line: str, name: str) -> bytes:
    """Return the file that a command leaves."""
    (data,) = left(files, line, name).values()
    return data


def left(files: Files, line: str, pattern: str) -> Files:
    """Return the files that a command leaves, by a pattern of their names."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        laid(files)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main(line.split())
        return {path.as_posix(): path.read_bytes() for path in Path().glob(pattern)}


def laid(files: Files) -> None:
    """Write files into the current folder."""
    for name, data in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


OTHERS: dict[str, Callable[[], Scene]] = {
    "recording": recording,
    "series": series,
    "scans": scans,
    "pictures": pictures,
    "beside pictures": beside_pictures,
    "texts": texts,
    "rows": tables_of_rows,
    "annotations": annotations,
    "maps kept": kept,
    "compiled": compiled,
    **{f"maps of {name}": lambda name=name: kept_of(name) for name in ("texts", "recording", "series", "scans")},
    "values kept": values_kept,
    "photographs": photographs,
    **{f"request {kind}": lambda kind=kind: of_request(kind) for kind in requests(photo())},
}
MANY = {"pictures": 6, "annotations": 8, "texts": 5, "beside pictures": 5, "classifier": 4}
"""How many times as often as another scene."""


@cache
def names() -> tuple[str, ...]:
    """Return the names of all scenes, each as often as it is drawn."""
    return tuple(
        name for each in (*dict(models()), *OTHERS) for name in [each] * MANY.get(each, 2 if each in OTHERS else 1)
    )


@cache
def scene(name: str) -> Scene:
    """Return a scene by its name."""
    return (OTHERS.get(name) or dict(models())[name])()


# -- what is called in Python ------------------------------------------------------------------------------------------


def gradient() -> None:
    """Differentiate the first output by the first input, as the file's own text has them."""
    graph = (parsed() or onnx.ModelProto()).graph
    onnxsal.gradient(
        "model.onnx", of=[*(v.name for v in graph.output), "y"][:1], wrt=[*(v.name for v in graph.input), "x"][:1]
    )


def message() -> None:
    """Load a message, and look at what it says of itself."""
    model = onnxsal.load(parsed() or "model.onnx")
    (model.layers, model.notes, repr(model))


def parsed() -> onnx.ModelProto | None:
    """Return the model as a message, where it is one."""
    try:
        return onnx.ModelProto.FromString(Path("model.onnx").read_bytes())
    except DecodeError:
        return None


def read() -> None:
    """Hand a picture over as bytes, and as Pillow opened it."""
    data = Path("a.png").read_bytes()
    try:
        thing: Any = Image.open(io.BytesIO(data))
    except Exception:  # noqa: BLE001 - Pillow's own affair
        thing = data
    onnxsal.load("model.onnx").predict(thing)
    onnxsal.explain("model.onnx", data, method="gradient")


def maps() -> None:
    """Read maps of both kinds through."""
    for name in ("maps", "maps.parquet"):
        for each in onnxsal.read_maps(name):
            (each.saliency.sum(), each.manifest)


def opened() -> None:
    """Open a model, with what lies beside it, and take what it says of pictures, classes and texts."""
    model = onnxsal.load("model.onnx")
    (model.labels, model.notes, repr(model))


def words() -> None:
    """Read a text with the tokenizer that lies beside a model."""
    tokenizer = beside("model.onnx")
    if not isinstance(tokenizer, str):
        tokenised("obama lives in paris", tokenizer, words=True)


def columns() -> None:
    """Read a table's rows."""
    read_rows("rows.csv", ("age", "cabin", "sex", "port"))


def boxes() -> None:
    """Read boxes of every kind, what pictures show, and a journal."""
    for name in ("coco.json", "voc", "boxes.csv"):
        read_boxes(name)
    read_yolo(Path("labels"))
    read_truth("truth.csv")
    Journal("kept.jsonl")


def values() -> None:
    """Read a Parquet file of values as a table of maps, which it is not."""
    list(onnxsal.read_maps("v.parquet"))


FUNCTIONS: dict[str, Callable[[], Any]] = {
    each.__name__: each for each in (gradient, message, read, maps, opened, words, columns, boxes, values, asked, sent)
}
CHEAP = 4
"""How many times as often as another call one in Python is drawn: it takes a tenth of the time."""
