"""Messages speak of what is explained: nobody who explains series, sound or tokens hears of pictures and pixels."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.modalities.nouns import nouns_of, spoken

MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (float[1, 2, 8] x) => (float[1, 2] p)
    <float[2, 2, 3] w = {9, 9, 9, 9, 9, 9, -9, -9, -9, -9, -9, -9}>
    { f = Conv <kernel_shape = [3], pads = [1, 1]> (x, w) r = Relu (f) axis = Constant <value_ints = [2]> ()
      m = ReduceMax <keepdims = 0> (r, axis) p = Softmax (m) }"""


def test_messages_name_other_things_by_their_own_nouns() -> None:
    text = "'pictures/x.npy': two Pictures, a picture of pixels; images run one by one"
    wanted = "'pictures/x.npy': two Series, a series of steps; series run one by one"
    assert spoken(text, nouns_of("sequence")) == wanted
    assert spoken(text, nouns_of("image")) == text
    assert nouns_of("audio").positions == "samples" != nouns_of("audio", "FT").positions


def test_a_series_hears_of_no_picture_and_of_what_saturates_and_no_relu() -> None:
    proto = onnx.parser.parse_model(MODEL)
    loaded = onnxsal.load(proto)
    x = np.full((2, 8), 3, np.float32)
    found = onnxsal.explain(loaded, x, method="occlusion", patch=1, stride=1, score="probability")
    assert found.score == 1 and not found.raw.any()
    notes = " ".join((*found.manifest["notes"], *loaded.notes))
    assert "the probability is saturated (1)" in notes and "score=logit" in notes
    assert not any(word in notes for word in ("picture", "pixel", "image", "ReLU"))
    for given, message in (
        ({"layer": "r"}, "works on the series"),
        ({"method": "grad-cam", "sign": "signed"}, "steps"),
    ):
        with pytest.raises(UsageError, match=message):
            onnxsal.explain(loaded, x, **{"method": "gradient", **given})
