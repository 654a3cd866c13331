"""A file that decides itself what it explains: the condition is worked out of the model's own numbers in NumPy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tables
from tiny_detectors import NAMES, detector, picture

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import UsageError
from onnxsal.graph import Program, load_ir

NET = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 12] x) => (float[B, 3] p, float[B, 2, 12] r)
    <int64[1] last = {2}> { a = Conv <pads = [1, 1]> (x, w) b = Tanh (a) r = Mul (a, b)
    m = ReduceMean <keepdims = 0> (b, last) y = MatMul (m, u) p = Softmax (y) }"""
THINGS = np.random.default_rng(4).normal(0, 1, (8, 2, 12)).astype(np.float32)


def net() -> onnx.ModelProto:
    proto, rng = onnx.parser.parse_model(NET), np.random.default_rng(2)
    for name, shape in {"w": (2, 2, 3), "u": (2, 3)}.items():
        held = rng.normal(0, 2, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(held, name))
    return proto


def run(proto: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, np.ndarray]:
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip([each.name for each in session.get_outputs()], session.run(None, feeds), strict=True))


def said(proto: onnx.ModelProto) -> dict[str, Any]:
    found: dict[str, Any] = json.loads({each.key: each.value for each in proto.metadata_props}[METADATA])
    return found


def others(p: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The highest of the other classes."""
    return np.where(np.eye(3, dtype=bool)[target], -1, p).max(axis=1)


ALL = np.arange(8)
FED = np.array([0, 1, 2, 0, 1, 2, 2, 1])
CONDITIONS: list[tuple[Any, str, str, Any]] = [
    (None, "score < 0.6", "score (probability) < 0.6", lambda p, r: p.max(axis=1) < 0.6),
    (None, "probability>=.6", "probability >= 0.6", lambda p, r: p.max(axis=1) >= 0.6),
    (1, "score > 3e-1", "score (probability) > 0.3", lambda p, r: p[:, 1] > 0.3),
    ("input", "score <= 0.4", "score (probability) <= 0.4", lambda p, r: p[ALL, FED] <= 0.4),
    (None, "margin < .3", "margin (probability) < 0.3", lambda p, r: p.max(axis=1) - np.sort(p)[:, 1] < 0.3),
    ("input", "margin > -0.2", "margin (probability) > -0.2", lambda p, r: p[ALL, FED] - others(p, FED) > -0.2),
    ((2, 0), "score > 0.1", "score (probability) > 0.1", lambda p, r: p[:, 2] - p[:, 0] > 0.1),
    ((2, 0), "logit > 0.1", "logit > 0.1", lambda p, r: np.log(p[:, 2] / p[:, 0]) > 0.1),
    ("r[0, 1, 3] minus r[0, 0, 2]", "score > 0.5", "score (value) > 0.5", lambda p, r: r[:, 1, 3] - r[:, 0, 2] > 0.5),
    ("program", "score < 24", "score < 24.0", lambda p, r: (THINGS**2).sum(axis=(1, 2)) < 24),
]  # fmt: skip


@pytest.mark.parametrize(("target", "when", "told", "true"), CONDITIONS)
def test_a_map_is_made_where_the_condition_holds(target: Any, when: str, told: str, true: Any) -> None:
    """Of each thing by itself, whatever is in the batch with it; the model's own outputs stay as they are."""
    model = onnxsal.load(net())
    if target == "program":
        sums = onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 12] z) => (float[B] score)'
            "<int64[2] all = {1, 2}> { score = ReduceSumSquare <keepdims = 0> (z, all) }"
        )
        sums.graph.input[0].name = sums.graph.node[0].input[0] = "sal/x"
        target = Program(load_ir(sums))
    feeds = {"x": THINGS} | ({"target": FED} if target == "input" else {})
    asked: dict[str, Any] = {"method": "gradient", "target": target, "give": ["saliency", "raw"]}
    made = onnxsal.compile(model, when=when, **asked)
    found, wanted = run(made, feeds), run(onnxsal.compile(model, **asked), feeds)
    (p, r), assumed = (found["p"], found["r"]), run(net(), {"x": THINGS})
    np.testing.assert_array_equal(p, assumed["p"])
    np.testing.assert_array_equal(r, assumed["r"])
    held = true(p, r)
    assert 0 < held.sum() < len(held)
    for name in ("saliency", "raw"):
        assert wanted[name].reshape(8, -1).any(axis=1).all()
        np.testing.assert_array_equal(found[name][held], wanted[name][held])
        assert not found[name][~held].any()
    assert not run(made, feeds | {"explain": np.array(False)})["raw"].any()
    batched = onnxsal.compile(model, when=when, runtime="triton", **asked)
    assert "explain" not in {each.name for each in batched.graph.input}  # plain clients feed what the model takes
    assert "explain" not in said(batched).get("means", {})
    for rows in (ALL, np.array([7, 2]), ALL[~held], ALL[held][:1]):
        by_row = run(batched, {name: (each if name == "x" else each[:, None])[rows] for name, each in feeds.items()})
        for name in ("p", "saliency", "raw"):
            np.testing.assert_allclose(by_row[name], found[name][rows], rtol=0, atol=1e-6)
    assert said(made)["when"] == told and any(told in note for note in said(made)["notes"])


def test_of_a_detector_by_the_score_of_what_is_explained() -> None:
    """A drawing too is that of its picture alone, and not of what else is in the batch."""
    blobs = np.concatenate([picture((0, 4, 4)), picture((1, 20, 16)), np.zeros_like(picture((0, 4, 4)))])
    model, give = onnxsal.load(detector("v8"), labels=list(NAMES)), ["saliency", "drawing"]
    plain = run(onnxsal.compile(model, method="gradient", give=give), {"picture": blobs})
    scores = plain["explained"][:, 4]
    limit = float(np.nanmean(scores))
    made = onnxsal.compile(model, method="gradient", give=give, when=f"score > {limit}")
    found, held = run(made, {"picture": blobs}), scores > limit
    assert held.sum() == 1 and np.isnan(scores).tolist() == [False, False, True]
    for name in give:
        np.testing.assert_array_equal(found[name][held], plain[name][held])
        assert not found[name][~held].any()
        assert not plain[name][2].any()  # nothing is seen there, as where nothing is in the whole batch
    np.testing.assert_array_equal(found["explained"], plain["explained"])


def test_of_rows_of_a_table() -> None:
    proto, rows = tables.pipeline(tables.LINEAR), list(tables.ROWS)
    asked: dict[str, Any] = {"method": "shapley", "target": 1, "background": rows[1:4]}
    plain, feeds = run(onnxsal.compile(proto, **asked), tables.feeds(proto, rows)), tables.feeds(proto, rows)
    made = onnxsal.compile(proto, when="score < 0.5", **asked)
    found, held = run(made, feeds), plain["chances"][:, 1] < 0.5
    assert 0 < held.sum() < len(held)
    for name in ("values", "base_value"):
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name][held], plain[name][held])
        assert not found[name][~held].any()
    assert said(made)["when"] == "score (probability) < 0.5"


@pytest.mark.parametrize(
    ("when", "target", "message"),
    [
        ("score = .6", None, "expected a name, one of < <= > >=, and a number"),
        ("score < 0.6 and logit > 2", None, "expected a name"), ("score < nan", None, "expected a name"),
        ("score < 60%", None, "expected a name"), ("scor < .6", None, "did you mean 'score'"),
        ("score < 60", None, "the same for all things: score is from 0 to 1"),
        ("probability >= 0", None, "the same for all things"), ("margin <= 1", None, "from -1 to 1"),
        ("logit < 1e39", None, "too large"), ("margin < .1", (0, 1), "there is score, logit, probability$"),
        ("logit < 1", "r[0, 0, 3]", "there is score, value$"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused(when: str, target: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.compile(net(), method="gradient", target=target, when=when)
