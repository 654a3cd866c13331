"""Decoders with and without a cache in one file: the branch that a run takes is the model, and the file says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import tiny_texts as tiny

import onnxsal
from onnxsal.errors import UsageError

MERGED = f"""<ir_version: 10, opset_import: ["" : 21]> merged (int64[B, T] input_ids,
float[B, 1, P, {tiny.WIDTH}] past_key_values_0_key, bool[1] use_cache_branch) =>
(float[B, T, {tiny.ROWS}] logits, float[B, 1, S, {tiny.WIDTH}] present_0_key) {{
    logits, present_0_key = If (use_cache_branch) <
        then_branch = with_past () => (float[B, T, {tiny.ROWS}] logits, float[B, 1, S, {tiny.WIDTH}] present_0_key) {{
            e = Gather (table, input_ids)
            k = Unsqueeze (e, time)
            present_0_key = Concat <axis = 2> (past_key_values_0_key, k)
            m = ReduceSum <keepdims = 0> (present_0_key, two)
            q = MatMul (m, mix) s = Add (e, q) h = Tanh (s) logits = MatMul (h, to_ids) }},
        else_branch = no_past () => (float[B, T, {tiny.ROWS}] logits, float[B, 1, S, {tiny.WIDTH}] present_0_key) {{
            e = Gather (table, input_ids)
            present_0_key = Unsqueeze (e, time)
            m = CumSum (e, axis)
            q = MatMul (m, mix) s = Add (e, q) h = Tanh (s) logits = MatMul (h, to_ids) }}> }}"""
"""As exporters merge them: weights outside, all else in the bodies, whose values and outputs are called alike."""


def test_the_branch_without_a_cache_is_explained(tmp_path: Path) -> None:
    """h = tanh(e + MIX m), m the sum of the tokens so far, or of the past and all tokens: slopes in closed form."""
    proto = onnx.parser.parse_model(MERGED)
    arrays = {"table": tiny.TABLE, "mix": tiny.MIX, "to_ids": tiny.TO_IDS, "time": np.array([1]), "two": np.array([2]),
              "axis": np.array(1)}  # fmt: skip
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    path, text, token = tiny.written(tmp_path / "decoder", proto), "a good film and", tiny.ROWS - 3
    ids, past = tiny.ids(text), np.random.default_rng(1).normal(size=(1, 1, 3, tiny.WIDTH)).astype(np.float32)
    e, mix = tiny.TABLE[ids[0]].astype(np.float64), tiny.MIX.astype(np.float64)
    session = ort.InferenceSession(str(path))
    for cache in (False, True):
        given = {"use_cache_branch": True, "past_key_values_0_key": past} if cache else {}
        model = onnxsal.load(path, inputs=given)
        found = onnxsal.explain(model, text, method="gradient", target=token, score="logit")
        whole = e.sum(0) + (past.astype(np.float64)[0, 0].sum(0) if cache else 0)
        own = (1 - np.tanh(e[-1] + whole @ mix) ** 2) * tiny.TO_IDS[:, token]
        slope = np.tile(mix @ own, (len(e), 1))
        slope[-1] += own
        np.testing.assert_allclose(found.raw, slope.T, rtol=1e-5, atol=1e-6)
        feeds = {"input_ids": ids, "use_cache_branch": np.array([cache]), "past_key_values_0_key": past}
        assert found.logit == pytest.approx(session.run(["logits"], feeds)[0][0, -1, token], rel=1e-5)
        if not cache:
            assert any("'use_cache_branch' is held at false" in n and "without a cache" in n for n in model.notes)
            with pytest.raises(UsageError, match=r"two branches .* opened at false: open the file anew"):
                onnxsal.explain(model, {"input_ids": ids, "use_cache_branch": True})
