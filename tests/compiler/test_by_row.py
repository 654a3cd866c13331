"""The batched form: rows that ask are explained as ``explain`` does each alone, whatever lies beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from compiled_cases import BUNDLED, QUICK, Photos, built_in, photos

import onnxsal

CLOSE = 1e-5
"""Of a map's range, which is 1: how many rows lie together changes how a runtime rounds."""

FEW: dict[str, dict[str, Any]] = {
    **QUICK,
    "smoothgrad": {"samples": 3},
    "smoothgrad-squared": {"samples": 3},
    "vargrad": {"samples": 3},
    "smooth-grad-cam++": {"samples": 3},
    "ss-cam": {"samples": 2, "top_k": 4},
    "is-cam": {"samples": 2, "top_k": 4},
    "score-cam": {"top_k": 6},
    "ablation-cam": {"layer": "block2/relu"},
    "occlusion": {"patch": 48, "stride": 32},
    "rise": {"samples": 8},
}
ROWS = [2, 0, 1, 0]
DRAWS = ("smoothgrad", "smoothgrad-squared", "vargrad", "smooth-grad-cam++", "ss-cam")


@pytest.fixture(scope="module")
def model() -> onnxsal.Model:
    return onnxsal.load(BUNDLED)


@pytest.fixture(scope="module")
def images() -> Photos:
    return photos()


@pytest.fixture(scope="module")
def logits(images: Photos) -> np.ndarray:
    return session_of(onnx.load(BUNDLED))(picture=images.feed(3)[ROWS])["logits"]


def session_of(proto: onnx.ModelProto) -> Callable[..., dict[str, np.ndarray]]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda **feeds: dict(zip(names, session.run(None, feeds), strict=True))


def flags(*asked: int) -> np.ndarray:
    return np.array(asked, bool)[:, None]


def column(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)[:, None]


@pytest.mark.parametrize("method", built_in())
def test_rows_that_ask_get_the_maps_of_explain(
    model: onnxsal.Model, images: Photos, logits: np.ndarray, method: str
) -> None:
    """Each with a target and a seed of its own; the others get zeros, and all what the model gives."""
    options = FEW.get(method, {})
    draws = {"seed": "input"} if method in DRAWS else {}
    proto = onnxsal.compile(model, method=method, target="input", runtime="triton", **draws, **options)
    assert all(v.type.tensor_type.shape.dim[0].dim_param == "N" for v in (*proto.graph.input, *proto.graph.output))
    targets, seeds = [5, -1, 3, 2], [2**32 - 1, 7, 7, 0]
    feeds: dict[str, np.ndarray] = {"picture": images.feed(3)[ROWS], "target": column(*targets)}
    feeds.update({"seed": column(*seeds)} if draws else {})
    run = session_of(proto)
    found = run(**feeds, explain=flags(0, 1, 0, 1))
    np.testing.assert_array_equal(found["logits"], logits)
    assert not found["saliency"][[0, 2]].any()
    for row in (1, 3):
        asked: dict[str, Any] = {} if targets[row] < 0 else {"target": targets[row]}
        asked.update({"seed": seeds[row]} if draws else {})
        wanted = onnxsal.explain(model, images.pixels[ROWS[row]], method=method, **asked, **options).saliency
        np.testing.assert_allclose(found["saliency"][row], wanted, rtol=0, atol=CLOSE)
    turned = run(**{name: value[::-1] for name, value in feeds.items()}, explain=flags(1, 1, 1, 1))["saliency"][::-1]
    np.testing.assert_allclose(turned[[1, 3]], found["saliency"][[1, 3]], rtol=0, atol=CLOSE)
