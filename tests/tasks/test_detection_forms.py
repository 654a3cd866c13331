"""Detection on a trained detector in every form of head: what is predicted, slopes, and two objects told apart.

Readers in NumPy and the files themselves in ONNX Runtime say what is right (tests/reference/detectors.py).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from detector_decoders import Found, iou, rotated
from detectors import FORMS, LABELS, bundled, from_bytes
from drawn_objects import PICTURES, picture, scene
from numpy.typing import NDArray
from PIL import Image

import onnxsal
from onnxsal.errors import UnsupportedError

COARSE = {"float16": 0.2, "int8": 0.01}
"""How far boxes may be off, in pixels; else a hundredth."""
STEP = 0.02
LEVELS = ("levels", "raw")
"""Forms of one output or two a level of the pyramid, decoded by others: nothing but a description tells of them."""
TWINS = ("disc", "disc", "triangle")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files and the pictures lie."""
    return tmp_path_factory.mktemp("forms")


def drawn(folder: Path, seed: int, *labels: str) -> Path:
    """Return the file of a drawn picture."""
    path = folder / f"{'_'.join((str(seed), *labels))}.png"
    if not path.exists():
        Image.fromarray(scene(seed, *labels).image).save(path)
    return path


def opened(folder: Path, name: str) -> onnxsal.Model:
    """Return a form, opened as a file with its words beside it."""
    path = folder / f"{name.replace(' ', '_')}.onnx"
    if not path.exists():
        onnx.save(FORMS[name].model(), path)
        if FORMS[name].description is not None:
            path.with_name(f"{path.stem}.detection.json").write_text(json.dumps(FORMS[name].description))
    preset = "raw" if FORMS[name].after is from_bytes else "unit"
    held = {"explained": "images", "inputs": {"scale_factor": np.ones((1, 2), np.float32)}} if name == "paddle" else {}
    fitted = {"preset": preset, "fit": "squash"}
    return onnxsal.load(path, preprocess=fitted, labels=list(FORMS[name].labels), task="detection", **held)


@pytest.mark.parametrize("name", FORMS)
def test_what_is_predicted_is_what_the_forms_own_reader_reads(folder: Path, name: str) -> None:
    model = opened(folder, name)
    for seed in PICTURES[:2]:
        expected, found = FORMS[name].found(picture(seed)), model.predict(drawn(folder, seed))
        assert [p.label for p in found] == [LABELS[k] for k in expected.labels]
        corners = rotated(expected.boxes, expected.extra[:, 0] if name == "obb" else np.zeros(len(expected)))
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        np.testing.assert_allclose([p.box for p in found], boxes, atol=COARSE.get(name, 1e-2))
        np.testing.assert_allclose([p.probability for p in found], expected.scores, atol=2e-3)


@functools.cache
def _logits() -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Return a run of the bundled detector up to its logits: pictures [3, 96, 96] to [P, K]."""
    model = onnx.ModelProto.FromString(bundled().SerializeToString())
    model.graph.output.append(onnx.helper.make_tensor_value_info("classes", onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x: session.run(["classes"], {"images": x[None]})[0][0].T.astype(np.float64)


def score(name: str, logits: NDArray[np.float64], index: int, *, logit: bool) -> float:
    """Return a position's score of a class, of its logits [K], as the form makes it."""
    if logit:
        return float(logits[index])
    odds = np.exp(logits)
    return float(odds[index] / (1 + (odds.sum() if FORMS[name].softmax else odds[index])))


def candidate(seed: int, best: Found) -> int:
    """Return the position that the surest box of a picture is of."""
    return int(_logits()(picture(seed))[:, best.labels[0]].argmax())


def ways(seed: int) -> list[NDArray[np.float32]]:
    """Return directions in the picture, of length 1: each object's own colour changed, and noise in blocks."""
    rng, found = np.random.default_rng(seed), []
    for mask in scene(seed).masks:
        found.append(mask * rng.normal(0, 1, (3, 1, 1)))
    found.append(np.kron(rng.normal(0, 1, (3, 24, 24)), np.ones((4, 4))))
    return [np.float32(way / np.linalg.norm(way)) for way in found]


@pytest.mark.parametrize("name", [name for name in FORMS if name not in COARSE])
def test_its_slopes_are_the_files_own_central_differences(folder: Path, name: str) -> None:
    seed, model = PICTURES[0], opened(folder, name)
    best, x = FORMS["v8"].found(picture(seed)), picture(seed)
    row, index = candidate(seed, best), int(best.labels[0])
    found = onnxsal.explain(model, drawn(folder, seed), method="gradient").raw.astype(np.float64)
    logit = "logit" in model.task.kinds
    for way in ways(seed):
        up, down = (score(name, _logits()(x + s * way)[row], index, logit=logit) for s in (STEP, -STEP))
        way = way if found.shape == way.shape else way.transpose(1, 2, 0)
        assert float((found * way).sum()) == pytest.approx((up - down) / (2 * STEP), rel=0.05, abs=2e-3)


@pytest.mark.parametrize("name", LEVELS)
def test_levels_that_are_decoded_elsewhere_are_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(UnsupportedError, match="nothing proves boxes with classes") as caught:
        onnxsal.load(FORMS[name].model(), task="detection")
    text, described = str(caught.value), FORMS[name].description or {}
    known, _ = json.JSONDecoder().raw_decode(text[text.index("{") :])
    assert known["strides"] == described["strides"]
    told = [part.split("[")[0] for part in known["boxes"]]
    assert told == [part.split("[")[0] for part in described["boxes"]]


def test_levels_of_their_own_have_a_layer_each(folder: Path) -> None:
    found = onnxsal.explain(opened(folder, "raw"), drawn(folder, PICTURES[0]), method="layercam")
    assert len(found.manifest["layer"]) == 2, found.manifest["layer"]


CASES = [("gradient", 80_000_000), ("gradient", 80_000_050), ("layercam", 80_000_000), ("layercam", 80_000_050),
         ("occlusion", 80_000_050)]  # fmt: skip


@pytest.mark.parametrize(("method", "seed"), CASES)
def test_two_objects_of_a_class_are_told_apart(folder: Path, method: str, seed: int) -> None:
    """A map's mean on the object that is asked for, over its mean on the other one: they are not of a size."""
    model, path, objects = opened(folder, "v8"), drawn(folder, seed, *TWINS), scene(seed, *TWINS)
    detections = model.predict(path)
    assert [each.label for each in detections] == list(TWINS)
    for number, each in enumerate(detections[:2], 1):
        mine = int(iou(np.array([each.box]), objects.boxes.astype(float))[0].argmax())
        found = onnxsal.explain(model, path, target=f"#{number}", method=method).saliency
        on = [float(np.maximum(found, 0)[mask].mean()) for mask in objects.masks[:2]]
        assert mine < 2 and on[mine] > 3 * on[1 - mine], (number, on)
