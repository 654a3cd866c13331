"""Ablation-CAM, ReciproCAM and occlusion against loops through the float64 network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from squeezenet64 import conv
from tinynet import TinyNet, image

import onnxsal
from onnxsal.anatomy import TARGET as TARGET_INPUT
from onnxsal.anatomy import X as X_INPUT
from onnxsal.anatomy import select
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.methods.parts import activation
from onnxsal.methods.submodel import submodel
from onnxsal.runtime import Session

X = image(4)
TARGET = 1
ZOO = Path(__file__).parent.parent / "data" / "zoo"


def score_from_a2(net: TinyNet, a: np.ndarray, kind: str) -> float:
    """The score of a layer a2 [7, 6, 6], by the part of the network above it."""
    last = np.maximum(conv(a, net.w[2].astype(float), net.b[2].astype(float), 1, 1), 0)
    logits = net.v.astype(float) @ last.mean((1, 2)) + net.c
    powers = np.exp(logits - logits.max())
    return float((logits if kind == "logit" else powers / powers.sum())[TARGET])


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_ablation_weighs_maps_by_what_the_score_loses(tiny: onnxsal.Model, net: TinyNet, batch_size: int) -> None:
    a = net.forward(X)["a2"]
    whole = score_from_a2(net, a, "logit")
    w = (
        np.array([whole - score_from_a2(net, a * (np.arange(7) != k)[:, None, None], "logit") for k in range(7)])
        / whole
    )
    found = onnxsal.explain(tiny, X, method="ablation-cam", layer="a2", target=TARGET, batch_size=batch_size)
    wanted = np.maximum((w[:, None, None] * a).sum(0), 0)
    assert wanted.max() > 0
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-4 * wanted.max())
    assert found.manifest["forwards"] == 8


@pytest.mark.parametrize("batch_size", [4, 100])
def test_recipro_keeps_one_position_at_a_time(tiny: onnxsal.Model, net: TinyNet, batch_size: int) -> None:
    a, wanted = net.forward(X)["a2"], np.zeros((6, 6))
    for y, x in np.ndindex(6, 6):
        kept = np.zeros_like(a)
        kept[:, y, x] = a[:, y, x]
        wanted[y, x] = score_from_a2(net, kept, "probability")
    found = onnxsal.explain(tiny, X, method="recipro-cam", layer="a2", target=TARGET, batch_size=batch_size)
    assert_allclose(found.raw, wanted, rtol=1e-4)


@pytest.mark.parametrize(("patch", "stride"), [(None, None), (4, 3), (3, 5), (2, 2)])
def test_occlusion_is_the_loss_under_a_patch(
    tiny: onnxsal.Model, net: TinyNet, patch: int | None, stride: int | None
) -> None:
    side, step = patch or 2, stride or 1
    cells = -(-12 // step)
    wanted = np.zeros((cells, cells))
    for i, j in np.ndindex(cells, cells):
        covered = X.copy()
        top, left = i * step + (step - side) // 2, j * step + (step - side) // 2
        covered[:, max(top, 0) : top + side, max(left, 0) : left + side] = 0.5
        wanted[i, j] = net.score(X, TARGET, "probability") - net.score(covered, TARGET, "probability")
    found = onnxsal.explain(tiny, X, method="occlusion", target=TARGET, patch=patch, stride=stride, baseline=0.5)
    assert_allclose(found.raw, wanted, rtol=1e-3, atol=1e-5)
    assert found.stderr is None
    assert found.saliency.shape == (12, 12)


@pytest.mark.parametrize("wrong", [{"patch": 13}, {"stride": 20}, {"patch": 0}])
def test_a_patch_that_does_not_fit_is_refused(tiny: onnxsal.Model, wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=r"12 x 12|out of range"):
        onnxsal.explain(tiny, X, method="occlusion", **wrong)


CUT = ("mobilenet_v2", "mobilenet_v2_int8", "resnet_basic_float16", "swin", "densenet", "convnext")


@pytest.mark.parametrize("name", CUT)
def test_the_part_above_a_layer_gives_the_score_back(name: str) -> None:
    """From the layer's own maps it has to be the score of the whole model: NCHW, NHWC, tokens, float16, int8."""
    model = onnxsal.load(ZOO / f"{name}.onnx")
    score, layer = select(model.anatomy), model.anatomy.layers.find(None)
    with np.load(ZOO / f"{name}.npz") as held:
        x, target = held["x"].astype(np.float32), held["target"].astype(np.int64)
    op = score.extend()
    whole = Session(op.finish(maps=activation(op, layer), score=op["score"]))
    found = whole.run({X_INPUT: x, TARGET_INPUT: target})
    head = Session(submodel(score, layer)).run({X_INPUT: found["maps"], TARGET_INPUT: target})
    assert_allclose(head["score"], found["score"], rtol=1e-5 if "16" not in name else 1e-2, atol=1e-5)


def test_a_layer_that_is_bypassed_cannot_run_alone() -> None:
    model = onnxsal.load(ZOO / "resnet_basic.onnx")
    early = model.layers[3].name
    with pytest.raises(UnsupportedError, match="by other ways"):
        onnxsal.explain(model, _held("resnet_basic"), method="ablation-cam", layer=early)


def test_tokens_that_are_no_place_cannot_be_remade() -> None:
    with pytest.raises(UnsupportedError, match="class token"):
        onnxsal.explain(onnxsal.load(ZOO / "vit.onnx"), _held("vit"), method="recipro-cam")


def _held(name: str) -> np.ndarray:
    with np.load(ZOO / f"{name}.npz") as held:
        return np.asarray(held["x"][0], np.float32)
