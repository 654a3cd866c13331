"""Real files of ids, opened without a word: gradients at their vectors against differences of the file, cut there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal

REACH = Path(os.environ.get("ONNXSAL_SHARED", Path(__file__).resolve().parents[4] / "shared")) / "reach"

FILES = {
    "magika": ("target_label[0, 7]", "target_label", (0, 7), 2048, 257),
}
"""Of each a target, its output and place, how many ids go in, and below which number they are."""


@pytest.mark.parametrize("name", FILES)
def test_slopes_are_those_of_the_file(name: str) -> None:
    path = REACH / f"{name}.onnx"
    if not path.is_file():
        pytest.skip("the reference material is not there (ONNXSAL_SHARED)")
    target, output, place, count, below = FILES[name]
    rng = np.random.default_rng(0)
    model, ids = onnxsal.load(path), rng.integers(1, below, count)
    found = onnxsal.explain(model, ids, method="gradient", target=target, score="value")
    proto, inside = onnx.load(path), model.anatomy.entry.value
    for node in proto.graph.node:
        node.output[:] = [f"{each}/before" if each == inside else each for each in node.output]
    proto.graph.input.append(onnx.helper.make_tensor_value_info(inside, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    x, way = found.sample.x.T, rng.normal(0, 1, found.raw.T.shape).astype(np.float32)

    def at(x: np.ndarray) -> float:
        return float(session.run([output], {"bytes": ids[None].astype(np.int32), inside: x[None]})[0][place])

    assert at(x) == pytest.approx(found.logit, rel=1e-4, abs=1e-6)
    step = 1e-3
    slope = (at(x + step * way) - at(x - step * way)) / (2 * step)
    assert float((found.raw.T * way).sum()) == pytest.approx(slope, rel=2e-2, abs=1e-4)


def test_an_lstm_on_bytes_has_the_slopes_that_its_stairs_follow() -> None:
    """What rounds its inputs anew at every step is a staircase, whose slope is that of a longer way: along the gradient
    itself the file rises as it says, to 10 % in the median of five steps; the score is the file's."""
    path = REACH / "tashkeel_rawi.onnx"
    if not path.is_file():
        pytest.skip("the reference material is not there (ONNXSAL_SHARED)")
    ids = np.random.default_rng(0).integers(1, 40, 10)
    found = onnxsal.explain(onnxsal.load(path), ids, method="gradient", target="presence[0, 4]")
    proto, inside = onnx.load(path), "/lstm/Transpose_output_0"  # [T, N, C], behind the dequantised rows
    for node in proto.graph.node:
        node.output[:] = [f"{each}/before" if each == inside else each for each in node.output]
    proto.graph.input.append(onnx.helper.make_tensor_value_info(inside, onnx.TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    x, length = found.sample.x.T, float(np.linalg.norm(found.raw))

    def at(x: np.ndarray) -> float:
        return float(session.run(["presence"], {"input": ids[None], inside: x[:, None].astype(np.float32)})[0][0, 4])

    assert at(x) == pytest.approx(found.logit, rel=1e-4)
    way, rises = found.raw.T / length, []
    for share in (0.02, 0.03, 0.04, 0.06, 0.08):
        step = share * float(np.linalg.norm(x))
        rises.append((at(x + step * way) - at(x - step * way)) / (2 * step))
    assert np.median(rises) == pytest.approx(length, rel=0.1)
