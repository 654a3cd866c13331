"""What came before in a decoder: empty, room of the size that its attention proves, or asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from able import need
from numpy.typing import NDArray

import onnxsal
from onnxsal.errors import UnsaidError

ROWS, WIDTH, HEADS, HEAD = 12, 6, 2, 8
RNG = np.random.default_rng(0)
TABLE, TO_IDS = RNG.normal(size=(ROWS, WIDTH)), RNG.normal(size=(HEADS * HEAD, ROWS))
INTO = RNG.normal(size=(WIDTH, (HEADS + 2) * HEAD))
IDS = np.array([[3, 1, 4, 1, 5, 9]])


def decoder(past: str, window: int, slides: int) -> onnx.ModelProto:
    """Return a decoder with the runtime's own attention; the width of a head is in no shape of it."""
    made = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]> g (int64[B, T] input_ids,
        int64[B, A] attention_mask, float[B, 1, {past}, kv_cache_dim] past_key_values_0_key,
        float[B, 1, {past}, kv_cache_dim] past_key_values_0_value) => (float[B, T, {ROWS}] logits,
        float[B, 1, S, kv_cache_dim] present_0_key, float[B, 1, S, kv_cache_dim] present_0_value) {{
        e = Gather (table, input_ids) qkv = MatMul (e, into)
        all = ReduceSum <keepdims = 0> (attention_mask, axis) last = Sub (all, axis)
        seqlens = Cast <to = 6> (last) shape = Shape (attention_mask) length = Gather (shape, one)
        total = Cast <to = 6> (length)
        y, present_0_key, present_0_value = com.microsoft.GroupQueryAttention <num_heads = {HEADS}, kv_num_heads = 1,
            local_window_size = {window}> (qkv, , , past_key_values_0_key, past_key_values_0_value, seqlens, total)
        logits = MatMul (y, to_ids) }}"""
    )
    if slides:
        node = next(n for n in made.graph.node if n.op_type == "GroupQueryAttention")
        node.attribute.append(onnx.helper.make_attribute("sliding_window_cache", 1))
    arrays = {"table": TABLE, "into": INTO, "to_ids": TO_IDS}
    floats = [onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    made.graph.initializer.extend([*floats, *(onnx.numpy_helper.from_array(np.array(a), n) for n, a in
                                              {"axis": [1], "one": 1}.items())])  # fmt: skip
    return made


def logits(e: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return what a decoder puts out of vectors, [T, ROWS], in float64."""
    q, k, v = np.split(e @ INTO, [HEADS * HEAD, (HEADS + 1) * HEAD], axis=1)
    back = np.arange(len(e))[:, None] - np.arange(len(e))
    seen = (back >= 0) & ((back < window) | (window < 0))
    scores = np.stack([np.where(seen, each @ k.T / HEAD**0.5, -np.inf) for each in np.split(q, HEADS, axis=1)])
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return np.concatenate([*(shares / shares.sum(-1, keepdims=True) @ v)], axis=1) @ TO_IDS


@pytest.mark.parametrize(
    ("past", "window", "slides", "held", "tokens"),
    [("P", -1, 0, "nothing", 0), ("P", 3, 1, "0 everywhere", 3), ("16", -1, 0, "0 everywhere", 16)],
)
def test_what_came_before_is_nothing_or_room_in_which_nothing_counts(
    past: str, window: int, slides: int, held: str, tokens: int, tmp_path: Path
) -> None:
    """Slopes are central differences of the attention in float64, and the score is the file's own."""
    proto = decoder(past, window, slides)
    need(proto)
    onnx.save(proto, tmp_path / "model.onnx")
    model = onnxsal.load(tmp_path / "model.onnx")
    assert {each.at for each in model.inputs if each.name.startswith("past")} == {held}
    cache = np.zeros((1, 1, tokens, HEAD), np.float32)
    session = ort.InferenceSession(proto.SerializeToString())
    for ids in (IDS, IDS[:, :2]):
        found = onnxsal.explain(model, ids, method="gradient", target=7, score="logit")
        e, h = TABLE[ids[0]], 1e-5
        moves = h * np.eye(e.size).reshape(-1, *e.shape)
        slope = [(logits(e + d, window) - logits(e - d, window))[-1, 7] / (2 * h) for d in moves]
        np.testing.assert_allclose(found.raw, np.reshape(slope, e.shape).T, rtol=1e-4, atol=1e-5)
        feeds = {"past_key_values_0_key": cache, "past_key_values_0_value": cache, "attention_mask": np.ones_like(ids)}
        own = session.run(["logits"], {"input_ids": ids, **feeds})[0]
        assert found.logit == pytest.approx(own[0, -1, 7], rel=1e-4)


@pytest.mark.parametrize(
    ("taken", "how", "said"),
    [
        ("float[B, S, 6] encoder_hidden_states", "encoder_hidden_states",
         "--input encoder_hidden_states=FILE.npy .*; or explain 'encoder_hidden_states' and hold the text"),
        ("float[B, S, 6] past_key_values_0_encoder_key", "past_key_values_0_encoder_key",
         "--input past_key_values_0_encoder_key=FILE.npy"),
    ],
)  # fmt: skip
def test_what_an_encoder_made_has_no_default(taken: str, how: str, said: str, tmp_path: Path) -> None:
    """It stands alone, so that nothing is no answer; with it the text is explained: slopes in closed form."""
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids, {taken}) => (float[B, T, {ROWS}] logits)
        {{ e = Gather (table, input_ids) k = Transpose <perm = [0, 2, 1]> ({how}) a = MatMul (e, k)
        p = Softmax (a) c = MatMul (p, {how}) s = Add (e, c) logits = MatMul (s, to_ids) }}"""
    )
    arrays = {"table": TABLE, "to_ids": TO_IDS[:WIDTH]}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items())
    onnx.save(proto, tmp_path / "model.onnx")
    with pytest.raises(UnsaidError, match=f"'input_ids' is explained, and nothing says what it is held at.*{said}"):
        onnxsal.load(tmp_path / "model.onnx")
    states = RNG.normal(size=(1, 5, WIDTH))
    model = onnxsal.load(tmp_path / "model.onnx", inputs={how: states.astype(np.float32)})
    found = onnxsal.explain(model, IDS, method="gradient", target=7, score="logit")
    e, k = TABLE[IDS[0, -1]], states[0]
    p = np.exp(e @ k.T) / np.exp(e @ k.T).sum()
    slope = TO_IDS[:WIDTH, 7] + k.T @ (p * (k @ TO_IDS[:WIDTH, 7] - p @ k @ TO_IDS[:WIDTH, 7]))
    np.testing.assert_allclose(found.raw[:, -1], slope, rtol=1e-4, atol=1e-5)
    assert not found.raw[:, :-1].any()
