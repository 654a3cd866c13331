"""int8 stays int8: with a backward pass in the graph the forward scores are those of the deployed file, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

import onnxsal
from onnxsal.anatomy import TARGET, Layer, X, select
from onnxsal.autodiff import GUIDED, PLAIN, RuleSet, gradients_of
from onnxsal.graph import Program
from onnxsal.methods import get, names
from onnxsal.runtime import Session

PHOTOS = ("0015_robin", "0281_tabby", "0404_airliner", "0950_orange")
FEW = {
    "integrated-gradients": {"steps": 2}, "smooth-grad-cam++": {"samples": 2}, "score-cam": {"top_k": 3},
    "ss-cam": {"top_k": 2, "samples": 2}, "is-cam": {"top_k": 2, "samples": 2}, "rise": {"samples": 40},
}  # fmt: skip


@pytest.fixture(scope="module")
def path(shared: Path) -> Path:
    return shared / "models" / "mobilenet_v2_int8.onnx"


@pytest.fixture(scope="module")
def model(path: Path) -> onnxsal.Model:
    return onnxsal.load(path)


@pytest.fixture(scope="module")
def images(model: onnxsal.Model, shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """The explained values [4, 3, 224, 224], and the bytes that the file takes."""
    photos = [model.prepare(shared / "images" / "imagenet" / f"{name}.jpg") for name in PHOTOS]
    return np.stack([p.x for p in photos]), np.stack([p.image().image for p in photos])


@pytest.fixture(scope="module")
def deployed(path: Path, images: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """What the file itself puts out, uint8 [4, 1001]."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (feed,) = session.get_inputs()
    return np.concatenate([session.run(None, {feed.name: image[None]})[0] for image in images[1]])


def steps_of_the_output(path: Path) -> tuple[float, int]:
    """Scale and zero point of the file's last QuantizeLinear."""
    graph = onnx.load(path).graph
    last = [n for n in graph.node if n.op_type == "QuantizeLinear"][-1]
    held = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    return float(held[last.input[1]]), int(held[last.input[2]])


def with_gradient(model: onnxsal.Model, layer: Layer | None, rules: RuleSet) -> Program:
    op = select(model.anatomy).extend()
    (g,) = gradients_of(op, op["score"], [op[X if layer is None else layer.name]], rules)
    return op.finish_with({"gradient": g, "sal/logits": op["sal/logits"]})


def test_probabilities_are_the_files_own(
    model: onnxsal.Model, path: Path, images: tuple[np.ndarray, np.ndarray], deployed: np.ndarray
) -> None:
    scale, zero = steps_of_the_output(path)
    found = np.stack([model.scores(x)[1] for x in images[0]])
    np.testing.assert_array_equal(np.clip(np.round(found / np.float32(scale)) + zero, 0, 255), deployed)


@pytest.mark.parametrize(
    ("rules", "inside"), [(PLAIN, False), (PLAIN, True), (GUIDED, False)], ids=["picture", "layer", "guided"]
)
def test_a_backward_pass_changes_no_logit(
    model: onnxsal.Model, images: tuple[np.ndarray, np.ndarray], rules: RuleSet, inside: bool
) -> None:
    program = with_gradient(model, model.anatomy.layers.find(None) if inside else None, rules)
    feeds = {X: images[0], TARGET: deployed_targets(model, images[0])}
    found = Session(program).run(feeds)
    np.testing.assert_array_equal(found["sal/logits"], np.stack([model.scores(x)[0] for x in images[0]]))
    assert (np.abs(found["gradient"]).reshape(4, -1).max(1) > 0).all()


def deployed_targets(model: onnxsal.Model, x: np.ndarray) -> np.ndarray:
    return np.array([model.scores(each)[0].argmax() for each in x], np.int64)


@pytest.mark.parametrize(
    "method", [n for n in names() if get(n).needs[0] == "score" and n not in ("similarity-map", "shapley")]
)
def test_every_method_runs(model: onnxsal.Model, shared: Path, method: str) -> None:
    photo = shared / "images" / "imagenet" / "0281_tabby.jpg"
    found = onnxsal.explain(model, photo, method=method, **FEW.get(method, {}))
    assert np.ptp(found.saliency) > 0.5
    assert np.isfinite(found.raw).all()


@pytest.mark.parametrize("method", ["grad-cam++", "gradient"])
def test_the_map_is_near_that_of_the_float_file(model: onnxsal.Model, shared: Path, method: str) -> None:
    """The same network with dequantised weights: rounding moves pixels, not the picture."""
    dequantised = onnxsal.load(shared / "models" / "mobilenet_v2_fp32.onnx")
    photo = shared / "images" / "imagenet" / "0015_robin.jpg"
    a, b = (onnxsal.explain(m, photo, method=method, target=16).raw.ravel() for m in (model, dequantised))
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > (0.6 if method == "gradient" else 0.97)


def test_a_logit_at_the_end_of_its_range_is_still_explained(tmp_path: Path) -> None:
    """The deployed file cannot say more than 127 steps; where they are all used, the gradient is that of the model."""
    weights = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["scores"]),
        helper.make_node("QuantizeLinear", ["scores", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["y"]),
    ]
    constants = {"w": weights, "step": np.float32(1e-3), "zero": np.int8(0)}
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", [1, 3, 4, 4]), ("y", [1, 4]))]
    tensors = [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "saturated", ends[:1], ends[1:], tensors), opset_imports=[helper.make_opsetid("", 21)]
    )
    onnx.save(model, tmp_path / "saturated.onnx")
    x = np.random.default_rng(4).normal(1, 1, (1, 3, 4, 4)).astype(np.float32)
    target = int(np.argmax(x.mean((2, 3)) @ weights))
    found = onnxsal.explain(tmp_path / "saturated.onnx", x, method="gradient", target=target)
    assert found.logit == pytest.approx(0.127)
    np.testing.assert_allclose(found.raw, np.broadcast_to(weights[:, target, None, None] / 16, (3, 4, 4)), rtol=1e-5)
