"""Explainers of texts as files: ids in, scores of tokens out, in plain ONNX Runtime as ``explain`` gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_texts as tiny

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import UsageError

TEXTS = ("Obama lives in Paris, not Berlin", "a bad film")


def run(model: Any, ids: np.ndarray, **feeds: Any) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {"input_ids": ids, **feeds}), strict=True))


@pytest.mark.parametrize(
    ("end", "target", "method", "options"),
    [
        ("labels", "B-PER at #1", "input-x-gradient", {}),
        ("labels", None, "gradient", {}),
        ("vocabulary", "next", "input-x-gradient", {}),
        ("classes", "input", "gradient", {}),
        ("labels", "O at #2", "integrated-gradients", {"steps": 4}),
        ("classes", None, "integrated-gradients", {"steps": 3, "rule": "left", "baseline": "mask"}),
        ("labels", None, "occlusion", {}),
        ("classes", 1, "occlusion", {"patch": 3, "stride": 2, "baseline": "zero"}),
        ("labels", None, "rise", {"samples": 30}),
        ("classes", None, "rise", {"samples": 30, "grid": 5}),
    ],
)
def test_a_file_takes_texts_of_any_length(
    tmp_path: Path, end: str, target: Any, method: str, options: dict[str, Any]
) -> None:
    proto = tiny.proto(end, tiny.SUM if end == "vocabulary" else tiny.MEAN)
    beside = {} if end == "vocabulary" else {"config": {"id2label": tiny.LABELS}}
    model = onnxsal.load(tiny.written(tmp_path, proto, **beside))
    compiled = onnxsal.compile(model, method=method, target=target, give=["saliency", "raw"], **options)
    fed = {"target": np.array([2])} if target == "input" else {}
    own = onnxruntime.InferenceSession(proto.SerializeToString())
    for text in (*TEXTS, *((" ".join(TEXTS * 7),) if method == "rise" else ())):  # longer than cells there are
        ids = tiny.ids(text)
        wanted = onnxsal.explain(model, text, method=method, target=2 if target == "input" else target, **options)
        found = run(compiled, np.concatenate([ids, ids[:, ::-1]]), **fed)  # of a batch each row as alone
        np.testing.assert_allclose(found["raw"][0], wanted.raw, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["saliency"][0], wanted.saliency, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found["logits"][:1], own.run(None, {"input_ids": ids})[0], rtol=1e-5, atol=1e-6)


def test_noise_has_one_length(tmp_path: Path) -> None:
    path = tiny.written(tmp_path, tiny.proto("labels"), config={"id2label": tiny.LABELS})
    ids, asked = tiny.ids(TEXTS[0]), {"method": "smoothgrad", "target": "O at #3", "samples": 3}
    model = onnxsal.load(path, size=ids.shape[1])
    with pytest.raises(UsageError, match="baseline='padd' is no token of a tokenizer beside the model: zero"):
        onnxsal.compile(model, method="integrated-gradients", baseline="padd")
    compiled = onnxsal.compile(model, **asked, give="raw")
    assert [d.dim_value for d in compiled.graph.input[0].type.tensor_type.shape.dim][1] == ids.shape[1]
    said = json.loads({each.key: each.value for each in compiled.metadata_props}[METADATA])["notes"]
    assert any(f"takes texts of {ids.shape[1]} tokens and of no other number" in note for note in said)
    wanted = onnxsal.explain(model, TEXTS[0], **asked)
    np.testing.assert_allclose(run(compiled, ids)["raw"][0], wanted.raw, rtol=1e-5, atol=1e-6)
    cam = {"method": "layercam", "target": "O at #3"}  # whose layer is that of one length
    wanted = onnxsal.explain(model, TEXTS[0], **cam)
    assert wanted.raw.any()
    found = run(onnxsal.compile(model, **cam, give="raw"), ids)["raw"][0]
    np.testing.assert_allclose(found, wanted.raw, rtol=1e-5, atol=1e-6)


MASKED = """<ir_version: 10, opset_import: ["" : 21]> g (int64[B, T] input_ids, int64[B, T] attention_mask)
    => (float[B, 3] logits) <int64[1] time = {1}, int64[1] last = {2}> {
    e = Gather (table, input_ids) m0 = Cast <to = 1> (attention_mask) m = Unsqueeze (m0, last)
    q = MatMul (e, mix) h = Tanh (q) k = Mul (h, m) s = ReduceSum (k, time) n = ReduceSum (m, time)
    mean = Div (s, n) z = Add (e, mean) t = Tanh (z) u = Mul (t, m) p = ReduceSum <keepdims = 0> (u, time)
    logits = MatMul (p, head) }"""


@pytest.mark.parametrize(
    ("method", "options"),
    [("input-x-gradient", {}), ("integrated-gradients", {"steps": 4}), ("occlusion", {}), ("rise", {"samples": 20})],
)
def test_padded_texts_are_explained_as_each_is_alone(tmp_path: Path, method: str, options: dict[str, Any]) -> None:
    proto = onnx.parser.parse_model(MASKED)
    arrays = {"table": tiny.TABLE, "mix": tiny.MIX, "head": tiny.HEAD}
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(a, n) for n, a in arrays.items())
    model = onnxsal.load(tiny.written(tmp_path, proto))
    texts, target = (*TEXTS, "the film"), np.array([2, 0, 1, 1])
    ids, mask = np.zeros((4, 12), np.int64), np.zeros((4, 12), np.int64)
    for row, (text, first) in enumerate(zip(texts, (0, 6, 3), strict=True)):  # at the end, in front, on both sides
        own = tiny.ids(text)[0]
        ids[row, first : first + len(own)], mask[row, first : first + len(own)] = own, 1
    made = onnxsal.compile(model, method=method, target="input", mask_in=True, give=["saliency", "raw"], **options)
    found = run(made, ids, attention_mask=mask, target=target)  # of the last text no token is left
    (own,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(
        None, {"input_ids": ids, "attention_mask": mask}
    )
    np.testing.assert_array_equal(found["logits"], own)
    for row, text in enumerate(texts):
        wanted = onnxsal.explain(model, text, method=method, target=int(target[row]), **options)
        np.testing.assert_allclose(found["raw"][row][..., mask[row] == 1], wanted.raw, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["saliency"][row][mask[row] == 1], wanted.saliency, rtol=1e-4, atol=1e-5)
        assert not found["raw"][row][..., mask[row] == 0].any()
    assert found["saliency"].shape == (4, 12) and found["saliency"].any(axis=1).tolist() == [True, True, True, False]
    said = json.loads({each.key: each.value for each in made.metadata_props}[METADATA])
    assert said["mask"] == "attention_mask" and not any("attention_mask" in note for note in said["notes"])


def test_a_mask_in_needs_a_mask_and_any_length(tmp_path: Path) -> None:
    path = tiny.written(tmp_path, tiny.proto("classes"))
    with pytest.raises(UsageError, match=r"mask_in: no input of the model is a mask of positions.*input_ids"):
        onnxsal.compile(path, method="gradient", mask_in=True)
