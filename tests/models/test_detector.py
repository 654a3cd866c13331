"""The bundled detector: what it is trained on, its loss, its training, and what it finds."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

FIRST = 40_000_000


@pytest.fixture(scope="module")
def drawn(detector_scenes: ModuleType) -> list[Any]:
    return [detector_scenes.objects(FIRST + k) for k in range(60)]


def test_boxes_are_the_masks_outermost_pixels(drawn: list[Any]) -> None:
    for scene in drawn[:10]:
        for mask, (left, top, right, bottom) in zip(scene.masks, scene.boxes.astype(int), strict=True):
            assert mask[top:bottom, left:right].sum() == mask.sum()
            assert mask[top, left:right].any() and mask[bottom - 1, left:right].any()
            assert mask[top:bottom, left].any() and mask[top:bottom, right - 1].any()


def test_one_to_three_objects_of_three_classes(drawn: list[Any], detector_scenes: ModuleType) -> None:
    assert {len(scene.labels) for scene in drawn} == {1, 2, 3}
    assert {int(k) for scene in drawn for k in detector_scenes.known(scene)} == {0, 1, 2}
    assert any(len(set(scene.labels)) < len(scene.labels) for scene in drawn)
    assert any(len(set(scene.labels)) > 1 for scene in drawn)


def test_answers_lead_back_to_the_boxes(drawn: list[Any], detector_scenes: ModuleType) -> None:
    """Every object is answered for, by positions near its middle, on the grid or the grids of its size."""
    middles, strides = detector_scenes.positions()
    for scene in drawn:
        classes = detector_scenes.known(scene)
        right, asked, ways, held = detector_scenes.assigned(scene.boxes, classes)
        boxes = np.concatenate([middles.T - ways[:2], middles.T + ways[2:]]).T
        owner = np.abs(boxes[:, None] - scene.boxes).max(2).argmin(1)
        for k, (box, label) in enumerate(zip(scene.boxes, classes, strict=True)):
            mine = (held[0] > 0) & (owner == k)
            assert np.allclose(boxes[mine], box, atol=1e-4)
            assert right[label][mine].sum() >= 1 and not np.delete(right, label, 0)[:, mine].any()
            side = (box[2:] - box[:2]).max()
            assert set(strides[mine]) == {s for s, fits in ((8, side <= 32), (16, side >= 26)) if fits}
        assert (asked[0][right.any(0)] == 1).all()
        assert (right.any(0) <= (held[0] > 0)).all()


def feeds(detector_scenes: ModuleType, scenes: list[Any]) -> dict[str, np.ndarray]:
    columns = zip(*(detector_scenes.assigned(s.boxes, detector_scenes.known(s)) for s in scenes), strict=True)
    made = {name: np.stack(c) for name, c in zip(("classes", "asked", "boxes", "held"), columns, strict=True)}
    masks = np.stack([s.mask.reshape(24, 4, 24, 4).mean((1, 3))[None] for s in scenes]).astype(np.float32)
    images = np.stack([s.image for s in scenes]).transpose(0, 3, 1, 2).astype(np.float32) / 255
    return made | {"picture": images, "foreground": masks}


def twin(raw: dict[str, np.ndarray], given: dict[str, np.ndarray]) -> float:
    """Return the loss by hand in float64, from the network's raw maps."""
    grids = [raw[f"head{s}/raw"].astype(float).reshape(len(given["picture"]), 35, -1) for s in (8, 16)]
    rows = np.concatenate(grids, 2)
    odds = np.exp(rows[:, :32].reshape(-1, 4, 8, 180))
    ways = (odds * np.arange(8).reshape(8, 1)).sum(2) / odds.sum(2) * np.repeat([8.0, 16.0], [144, 36])
    least = np.minimum(ways, given["boxes"])
    shared, mine, theirs = ((w[:, 0] + w[:, 2]) * (w[:, 1] + w[:, 3]) for w in (least, ways, given["boxes"]))
    missed = ((1 - shared / (mine + theirs - shared + 1e-3)) * given["held"][:, 0]).sum()
    logits = rows[:, 32:]
    surprise = ((np.log1p(np.exp(logits)) - logits * given["classes"]) * given["asked"]).sum()
    unseen = raw["foreground/conv"].astype(float)
    return float(2.5 * missed + surprise + (np.log1p(np.exp(unseen)) - unseen * given["foreground"]).mean())


def test_the_loss_is_its_formula(detector_network: ModuleType, detector_scenes: ModuleType, drawn: list[Any]) -> None:
    model, given = detector_network.for_training(), feeds(detector_scenes, drawn[:4])
    names = ["head8/raw", "head16/raw", "foreground/conv"]
    model.graph.output.extend(onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, None) for n in names)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    weights = detector_network.initial(3) | detector_network.statistics()
    loss, *raw = session.run(["loss", *names], given | weights)
    assert loss == pytest.approx(twin(dict(zip(names, raw, strict=True)), given), rel=1e-4)


def test_steps_lower_the_loss(
    detector_network: ModuleType, detector_scenes: ModuleType, training: ModuleType, drawn: list[Any]
) -> None:
    given = feeds(detector_scenes, drawn[:4])
    given |= {name: given[name] / given[name].sum() for name in ("asked", "held")}
    optimizer, state = training.AdamW(detector_network.initial(0)), detector_network.statistics()
    trainer = training.Trainer(detector_network.for_training(), optimizer, state=state, threads=1)
    losses = [trainer.step(given, 3e-3) for _ in range(5)]
    assert losses[-1] < 0.9 * losses[0]


def test_the_same_settings_write_the_same_bytes(detector_recipe: ModuleType, detector_scenes: ModuleType) -> None:
    settings = detector_recipe.Settings(scenes=8, epochs=1, batch=4)
    columns = zip(*(detector_scenes._answered(seed) for seed in range(8)), strict=True)
    answers = detector_scenes.Answers(*(np.stack(column) for column in columns))
    once, again = (
        detector_recipe.for_use(detector_recipe.train(settings, answers), detector_recipe.notes(settings))
        for _ in range(2)
    )
    assert once.SerializeToString() == again.SerializeToString()


def test_mean_average_precision_on_fresh_scenes(models: Path, detector_measure: ModuleType, drawn: list[Any]) -> None:
    assert detector_measure.mean_precision(models / "detector.onnx", drawn) > 0.9


def test_average_precision_of_known_boxes(detector_measure: ModuleType, drawn: list[Any]) -> None:
    """Two objects of a class; the second box misses: precisions 1 and 2 / 3 at recalls of a half and of one."""
    scene = next(s for s in drawn if s.labels[:2] == (0, 0) and 0 not in s.labels[2:])
    one, two = scene.boxes[:2]
    boxes = detector_measure.Boxes(np.stack([one, one, two]), np.zeros(3, int), np.float32([0.9, 0.8, 0.7]))
    found = detector_measure.average_precision([boxes], [scene], 0)
    assert found == pytest.approx((1 + 2 / 3) / 2)


def test_small_standard_and_free_of_training_leftovers(models: Path) -> None:
    path = models / "detector.onnx"
    model = onnx.load(path)
    assert path.stat().st_size < 400_000
    onnx.checker.check_model(model, full_check=True)
    assert not {"BatchNormalization", "Min", "Softplus"} & {node.op_type for node in model.graph.node}
    read = {name for node in model.graph.node for name in node.input} | {"output0"}
    assert all(set(node.output) & read for node in model.graph.node)


def test_metadata_says_how_to_use_and_how_it_was_made(models: Path, detector_network: ModuleType) -> None:
    meta = {entry.key: entry.value for entry in onnx.load(models / "detector.onnx").metadata_props}
    assert json.loads(meta["onnxsal.labels"]) == list(detector_network.CLASSES)
    assert set(json.loads(meta["onnxsal.recipe"])) == {"settings", "versions"}
    assert json.loads(meta["onnxsal.precision"])["mAP50"] > 0.9
