"""What ``onnxsal predict`` shows at the likely sizes, against the file itself at each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from PIL import Image

import onnxsal
from onnxsal.cli.actions.sizes import shown, tried_sizes
from onnxsal.cli.opening import notes_of

RNG = np.random.default_rng(0)
WEIGHTS = {"k": RNG.normal(0, 0.4, (4, 3, 3, 3)), "v": RNG.normal(0, 1, (3, 4))}


def net(shape: str) -> onnx.ModelProto:
    body = "a = Conv <pads = [1, 1, 1, 1]> (x, k) m = Relu (a) g = GlobalMaxPool (m) f = Flatten (g)"
    proto = onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 18]> g (float[{shape}] x) => (float[N, 3] y) '
        f"{{ {body} z = Gemm <transB = 1> (f, v) y = Softmax <axis = 1> (z) }}"
    )
    for name, array in WEIGHTS.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("line") / "line.png"
    Image.fromarray(RNG.integers(0, 256, (24, 96, 3), dtype=np.uint8)).save(path)
    return str(path)


def test_a_line_of_text_is_seen_at_its_own_size_and_others(line: str) -> None:
    model = onnxsal.load(net("N, 3, H, W"), preprocess={"fit": "squash"})
    found = tried_sizes(model, line, 3)
    assert list(found) == [(224, 224), (24, 96), (48, 192), (32, 128), (256, 256), (384, 384)]
    session = ort.InferenceSession(net("N, 3, H, W").SerializeToString())
    for (height, width), seen in found.items():
        pixels = np.asarray(Image.open(line).resize((width, height), Image.Resampling.BILINEAR), np.float32)
        (right,) = session.run(["y"], {"x": pixels.transpose(2, 0, 1)[None]})[0]
        assert seen[0].index == right.argmax()
        np.testing.assert_allclose(seen[0].probability, right.max(), rtol=1e-4)


def test_a_side_that_the_file_fixes_stays(line: str) -> None:
    found = tried_sizes(onnxsal.load(net("N, 3, 48, W"), preprocess="raw"), line, 1)
    assert list(found) == [(48, 224), (48, 192), (48, 320)]
    assert shown((48, 192)) == "H 48, W 192"


@pytest.mark.parametrize("said", [{"size": (32, 32)}, {"preprocess": {"size": 32}}])
def test_where_something_says_it_nothing_is_tried(line: str, said: dict) -> None:
    assert tried_sizes(onnxsal.load(net("N, 3, H, W"), **({"preprocess": "raw"} | said)), line, 1) == {}


def test_what_an_array_says_itself_is_not_told_to_be_open(line: str, tmp_path: Path) -> None:
    model, path = onnxsal.load(net("N, 3, H, W"), preprocess="raw"), str(tmp_path / "x.npy")
    np.save(path, RNG.normal(0, 1, (1, 3, 20, 30)).astype(np.float32))
    assert [note for note in notes_of(model, [line]) if "nothing says it" in note]
    assert not [note for note in notes_of(model, [path]) if "nothing says it" in note]
    assert notes_of(model, [str(tmp_path / "missing.npy"), path]) == notes_of(model, [path])
    assert notes_of(model, []) == model.notes
