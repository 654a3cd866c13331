"""The bundled model: right on fresh scenes, small, self-describing, and looking at the objects."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from PIL import Image

FIRST = 50_000_000  # far from the seeds of training, validation and the recipe's own measurement
COUNT = 300
LAST = "block3/relu"  # the feature map in front of the mean


class Found(NamedTuple):
    """What the model says of the fresh scenes: logits [N, classes] and feature maps [N, K, h, w]."""

    scenes: list[Any]
    logits: NDArray[np.float32]
    features: NDArray[np.float32]


@pytest.fixture(scope="module")
def model(models: Path) -> onnx.ModelProto:
    return onnx.load(models / "shapes.onnx")


@pytest.fixture(scope="module")
def meta(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


@pytest.fixture(scope="module")
def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    shown = onnx.ModelProto.FromString(model.SerializeToString())
    shown.graph.output.append(onnx.helper.make_tensor_value_info(LAST, onnx.TensorProto.FLOAT, None))
    return onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def found(scenes: ModuleType, session: onnxruntime.InferenceSession) -> Found:
    drawn = [scenes.draw_scene(FIRST + k, label=k % 10) for k in range(COUNT)]
    logits, features = zip(*(run(session, part) for part in batches(drawn)), strict=True)
    return Found(drawn, np.concatenate(logits), np.concatenate(features))


def batches(drawn: list[Any]) -> list[NDArray[np.uint8]]:
    return [np.stack([scene.image for scene in drawn[k : k + 50]]) for k in range(0, len(drawn), 50)]


def run(session: onnxruntime.InferenceSession, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    values = (images.transpose(0, 3, 1, 2) / 127.5 - 1).astype(np.float32)
    return session.run(["logits", LAST], {"picture": values})


def upsampled(values: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    return np.asarray(Image.fromarray(values).resize((size, size), Image.Resampling.BILINEAR))


def test_accuracy_on_fresh_scenes(found: Found) -> None:
    right = found.logits.argmax(axis=1) == np.arange(COUNT) % 10
    assert right.mean() > 0.95
    assert min(right[k::10].mean() for k in range(10)) > 0.85


def test_scenes_without_an_object_are_no_class(
    scenes: ModuleType, session: onnxruntime.InferenceSession, found: Found
) -> None:
    empty = [scenes.draw_scene(FIRST + k, objects=0) for k in range(100)]
    sure_of_empty = np.concatenate([top(run(session, part)[0]) for part in batches(empty)])
    assert np.median(sure_of_empty) < 0.4
    assert np.median(top(found.logits)) > 0.9


def top(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return 1 / odds.sum(axis=1)


def test_class_activation_lies_on_the_objects(found: Found, model: onnx.ModelProto) -> None:
    """Half of the plain class activation map lies inside the exact mask, whose share of the picture is a tenth."""
    weights = next(onnx.numpy_helper.to_array(w) for w in model.graph.initializer if w.name == "head.weight")
    shares = []
    for scene, features in zip(found.scenes[:200], found.features, strict=False):
        raw = np.maximum(np.tensordot(weights[scene.label], features, axes=1), 0)
        map_ = upsampled(raw.astype(np.float32), 96)
        shares.append(map_[scene.mask].sum() / map_.sum())
    assert np.median(shares) > 0.5


def test_small_standard_and_free_of_training_leftovers(models: Path, model: onnx.ModelProto) -> None:
    assert (models / "shapes.onnx").stat().st_size < 1_000_000
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} == {"Conv", "Relu", "Add", "ReduceMean", "Gemm"}
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)


def test_metadata_says_how_to_use_and_how_it_was_made(meta: dict[str, str], scenes: ModuleType) -> None:
    assert json.loads(meta["onnxsal.labels"]) == list(scenes.LABELS)
    preprocess = json.loads(meta["onnxsal.preprocess"])
    assert preprocess == {"colour": "RGB", "scale": 1 / 127.5, "mean": [1.0], "std": [1.0], "fit": "squash"}
    assert json.loads(meta["onnxsal.accuracy"])["fresh"] > 0.95
    assert set(json.loads(meta["onnxsal.recipe"])) == {"settings", "versions", "seconds"}


def test_any_batch_gives_the_same(session: onnxruntime.InferenceSession, found: Found) -> None:
    images = np.stack([scene.image for scene in found.scenes[:3]])
    alone = np.concatenate([run(session, image[None])[0] for image in images])
    assert np.allclose(alone, found.logits[:3], atol=1e-4)
    assert np.ptp(alone, axis=0).max() > 1


def test_the_demo_is_a_scene_that_the_model_names_surely(
    models: Path, scenes: ModuleType, session: onnxruntime.InferenceSession
) -> None:
    with Image.open(models / "demo.png") as image, Image.open(models / "demo_mask.png") as mask:
        origin = json.loads(image.text["scene"])
        scene = scenes.draw_scene(origin.pop("seed"), **origin)
        assert np.array_equal(np.asarray(mask), scene.mask)
        assert np.abs(np.asarray(image).astype(int) - scene.image).max() <= 1
        seen = np.asarray(image.resize((96, 96), Image.Resampling.BILINEAR))
    logits, _ = run(session, seen[None])
    assert logits.argmax() == scene.label
    assert top(logits)[0] > 0.95
