"""A real network against its float64 twin, photograph by photograph; ``benchmarks/fidelity.py`` does ten."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from squeezenet64 import METHODS, SqueezeNet64, integrated_gradients

import onnxsal

PHOTOS = ("0281_tabby", "0404_airliner")
BGR_MEAN = np.array([103.94, 116.78, 123.68])
BOUNDS = dict.fromkeys(METHODS, 0.9999) | {"integrated-gradients": 0.995}


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return shared / "models" / "squeezenet1.0_fp32.onnx"


@pytest.fixture(scope="module")
def twin(path: Path) -> SqueezeNet64:
    return SqueezeNet64(path)


@pytest.fixture(scope="module")
def model(path: Path) -> onnxsal.Model:
    return onnxsal.load(path, preprocess="caffe")


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(float).ravel(), b.ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("method", [m for m in METHODS if m != "integrated-gradients"])
def test_map_is_the_twins(model: onnxsal.Model, twin: SqueezeNet64, shared: Path, photo: str, method: str) -> None:
    found = onnxsal.explain(model, shared / "images" / "imagenet" / f"{photo}.jpg", method=method)
    x = (np.asarray(found.image)[..., ::-1].astype(float) - BGR_MEAN).transpose(2, 0, 1)
    assert cosine(found.raw, METHODS[method](twin, x, found.target)) >= BOUNDS[method]
    if found.raw.shape != x.shape:
        assert found.manifest["layer"] == "fire9/concat_1"


def test_integrated_gradients_are_the_twins(model: onnxsal.Model, twin: SqueezeNet64, shared: Path) -> None:
    """Ten steps, because the twin takes a third of a second for each; the benchmark has fifty."""
    method = "integrated-gradients"
    found = onnxsal.explain(model, shared / "images" / "imagenet" / f"{PHOTOS[0]}.jpg", method=method, steps=10)
    x = (np.asarray(found.image)[..., ::-1].astype(float) - BGR_MEAN).transpose(2, 0, 1)
    assert cosine(found.raw, integrated_gradients(twin, x, found.target, steps=10)) >= BOUNDS[method]


@pytest.mark.slow("seventeen methods on a real network, in half precision and in single")
def test_the_float16_file_gives_the_same_maps(model: onnxsal.Model, shared: Path) -> None:
    """Half precision all the way back; an unscaled backward pass would underflow."""
    half = onnxsal.load(shared / "models" / "squeezenet1.0_fp16.onnx", preprocess="caffe")
    photo = shared / "images" / "imagenet" / f"{PHOTOS[0]}.jpg"
    for method, least in HALF.items():
        ours, wanted = (onnxsal.explain(m, photo, method=method, target=281, **_few(method)).raw for m in (half, model))
        assert cosine(ours, wanted) >= least, method


HALF = {
    "gradient": 0.98, "input-x-gradient": 0.98, "guided-backprop": 0.98, "deconvnet": 0.98, "grad-cam": 0.999,
    "grad-cam++": 0.999, "hirescam": 0.999, "layercam": 0.999, "xgrad-cam": 0.999, "eigencam": 0.999, "cam": 0.999,
    "smoothgrad": 0.95, "smooth-grad-cam++": 0.999, "integrated-gradients": 0.95, "score-cam": 0.999, "ss-cam": 0.99,
    "is-cam": 0.999,
}  # fmt: skip


def _few(method: str) -> dict[str, int]:
    few = {"smoothgrad": {"samples": 2}, "smooth-grad-cam++": {"samples": 2}, "integrated-gradients": {"steps": 3}}
    scores = {"score-cam": {"top_k": 4}, "ss-cam": {"top_k": 4, "samples": 2}, "is-cam": {"top_k": 4, "samples": 2}}
    return {**few, **scores}.get(method, {})
