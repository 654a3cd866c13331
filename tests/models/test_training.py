"""Training on gradient graphs: step by step what a NumPy twin does, and the two forms of the network agree."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from onnxsal.graph import empty, to_proto

Array = np.ndarray
F = ir.DataType.FLOAT
RATE, DECAY, BETAS = 0.05, 0.1, (0.9, 0.999)


def two_layers() -> onnx.ModelProto:
    """Return the cross-entropy of logits relu(x a + b) c against ``answers``, and a running mean of x."""
    op = empty(21)
    x, answers = op.input("x", F, ["N", 5]), op.input("answers", F, ["N", 3])
    a, b, c = op.input("a", F, [5, 8]), op.input("b", F, [8]), op.input("c", F, [8, 3])
    logits = op.MatMul(op.Relu(op.Add(op.MatMul(x, a), b)), c)
    surprise = op.ReduceSum(op.Mul(op.LogSoftmax(logits), answers), [1], keepdims=0)
    loss = op.Neg(op.ReduceMean(surprise, [0], keepdims=0))
    after = op.Mul(op.Add(op.input("mean", F, []), op.ReduceMean(x, [0, 1], keepdims=0)), 0.5)
    return to_proto(op.finish_with({"loss": loss, "next/mean": after}).model)


def weights() -> dict[str, Array]:
    rng = np.random.default_rng(5)
    return {name: rng.normal(0, 0.5, s).astype(np.float32) for name, s in {"a": (5, 8), "b": (8,), "c": (8, 3)}.items()}


def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(6)
    x = rng.normal(size=(40, 5)).astype(np.float32)
    return x, np.eye(3, dtype=np.float32)[np.abs(x[:, :3]).argmax(axis=1)]


def twin(w: dict[str, Array], x: Array, answers: Array) -> tuple[float, dict[str, Array]]:
    """Return the loss and its gradients by hand, in float64."""
    z = x @ w["a"] + w["b"]
    h = np.maximum(z, 0)
    logits = h @ w["c"]
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = odds / odds.sum(axis=1, keepdims=True)
    d = (p - answers) / len(x)
    dz = (d @ w["c"].T) * (z > 0)
    return -float((np.log(p) * answers).sum() / len(x)), {"a": x.T @ dz, "b": dz.sum(axis=0), "c": h.T @ d}


def test_steps_are_those_of_a_numpy_twin(training: ModuleType) -> None:
    x, answers = data()
    optimizer = training.AdamW(weights(), decay=DECAY, betas=BETAS)
    trainer = training.Trainer(two_layers(), optimizer, state={"mean": np.zeros((), np.float32)}, threads=1)
    w = {name: array.astype(np.float64) for name, array in weights().items()}
    m, v = ({name: np.zeros_like(array) for name, array in w.items()} for _ in range(2))
    losses = []
    for t in range(1, 21):
        losses.append(trainer.step({"x": x, "answers": answers}, RATE))
        loss, g = twin(w, x.astype(np.float64), answers)
        assert losses[-1] == pytest.approx(loss, rel=1e-4)
        for name in w:
            m[name] = BETAS[0] * m[name] + (1 - BETAS[0]) * g[name]
            v[name] = BETAS[1] * v[name] + (1 - BETAS[1]) * g[name] ** 2
            step = m[name] / (1 - BETAS[0] ** t) / (np.sqrt(v[name] / (1 - BETAS[1] ** t)) + 1e-8)
            w[name] = w[name] - RATE * DECAY * w[name] - RATE * step
    assert losses[-1] < 0.5 * losses[0]
    for name in w:
        np.testing.assert_allclose(optimizer.weights[name], w[name], rtol=2e-3, atol=2e-3)


def test_state_is_fed_back(training: ModuleType) -> None:
    x, answers = data()
    trainer = training.Trainer(two_layers(), training.AdamW(weights()), state={"mean": np.zeros((), np.float32)})
    for _ in range(3):
        trainer.step({"x": x, "answers": answers}, 0.0)
    assert float(trainer.state["mean"]) == pytest.approx(x.mean() * (1 / 2 + 1 / 4 + 1 / 8), rel=1e-5)


def test_the_rate_rises_falls_and_ends_at_nothing(training: ModuleType) -> None:
    rates = [training.one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates[19] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(1 / 250_000)
    assert np.all(np.diff(rates[:20]) > 0) and np.all(np.diff(rates[19:]) < 0)


@pytest.fixture(scope="module")
def learnt(network: ModuleType) -> tuple[dict[str, Array], dict[str, Array]]:
    """Weights and statistics that no normalisation leaves at one or zero."""
    rng = np.random.default_rng(0)
    w, s = network.initial(0), network.statistics()
    w |= {
        k: (v + rng.normal(0, 0.2, v.shape)).astype(np.float32) for k, v in w.items() if k.endswith((".scale", "bias"))
    }
    return w, {k: (v + rng.uniform(0, 0.5, v.shape)).astype(np.float32) for k, v in s.items()}


def test_the_form_to_use_holds_the_normalisations(network: ModuleType, learnt: Any) -> None:
    w, s = learnt
    x = np.random.default_rng(1).normal(size=(2, 3, 96, 96)).astype(np.float32)
    model = network.for_use(network.settled(w, s), {})
    raw = onnx.helper.make_node("Conv", ["picture", "raw.kernel"], ["raw"], pads=[1] * 4, strides=[2, 2])
    model.graph.node.append(raw)
    model.graph.initializer.append(onnx.numpy_helper.from_array(w["stem.kernel"], "raw.kernel"))
    for name in ("raw", "stem/conv"):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    _, plain, folded = session.run(None, {"picture": x})
    of_channel = {k: (w | s)[f"stem.{k}"].reshape(-1, 1, 1) for k in ("scale", "bias", "mean", "variance")}
    normal = (plain - of_channel["mean"]) / np.sqrt(of_channel["variance"] + 1e-5)
    np.testing.assert_allclose(folded, normal * of_channel["scale"] + of_channel["bias"], atol=1e-4)


def test_a_step_of_the_whole_network_lowers_its_loss(
    network: ModuleType, training: ModuleType, scenes: ModuleType
) -> None:
    """On one batch again and again; the sparsity term counts from the start."""
    drawn = [scenes.draw_scene(k, label=k % 10) for k in range(8)]
    x = np.stack([s.image for s in drawn]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    feeds = {"picture": x, "answers": np.eye(10, dtype=np.float32)[:8], "sparsity": np.array(0.1, np.float32)}
    optimizer = training.AdamW(network.initial(0))
    trainer = training.Trainer(network.for_training(), optimizer, state=network.statistics(), threads=1)
    losses = [trainer.step(feeds, 3e-3) for _ in range(8)]
    assert losses[-1] < losses[0] - 0.5
    assert all(np.isfinite(w).all() for w in optimizer.weights.values())
