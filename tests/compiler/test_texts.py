"""Explainers of texts as files: ids in, scores of tokens out, in plain ONNX Runtime as ``explain`` gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
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
