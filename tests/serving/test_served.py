"""What is served is what ``explain`` and ONNX Runtime give, whatever stands beside it; files and paths stay here."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import tables
import tiny_texts
from PIL import Image

import onnxsal
from onnxsal.errors import ImageError, NotSeenError, OnnxsalError, UnsaidError, UnsupportedError, UsageError
from onnxsal.modalities.said import Said
from onnxsal.serving.served import Answer, Served, StoppedError
from onnxsal.serving.things import TooManyPixelsError

MODELS = Path(onnxsal.__file__).parent.parent / "models"
PICTURE = MODELS / "demo.png"
CONTENT = PICTURE.read_bytes()


@pytest.fixture(scope="module")
def served() -> Served:
    return Served(MODELS / "shapes.onnx", "of/no file", pixels=10**6)


def explained(served: Served, inputs: dict[str, Any], **parameters: Any) -> Answer:
    (found,) = served.explain([served.wanted(inputs, parameters)])
    if isinstance(found, Exception):
        raise found
    return found


PIXELS = np.asarray(Image.open(PICTURE).convert("RGB"))
FLOATS = np.random.default_rng(0).normal(size=(1, 3, 96, 96)).astype(np.float32)


@pytest.mark.parametrize(
    ("inputs", "thing"),
    [
        ({"image": CONTENT}, CONTENT),
        ({"picture": np.array([CONTENT], object)}, CONTENT),
        ({"image": PIXELS[None]}, PIXELS),
        ({"picture": FLOATS}, FLOATS),
    ],
    ids=["a file's content", "in a tensor", "bytes", "floats"],
)
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"method": "smoothgrad", "samples": 2, "target": "ring", "seed": 7, "score": "probability"},
        {"method": "occlusion", "target": [3, 1], "patch": 48, "stride": 48, "baseline": "zero"},
        {"method": "layercam", "layer": ["block2/relu", "block3/relu"], "target": 5, "fuse": "max"},
    ],
    ids=lambda each: each.get("method", "by default"),
)
def test_a_map_is_explains_own(served: Served, inputs: dict[str, Any], thing: Any, asked: dict[str, Any]) -> None:
    target = asked.get("target")
    own = onnxsal.explain(
        served.model, thing, **{**asked, "target": tuple(target) if isinstance(target, list) else target}
    )
    found = explained(served, inputs, **asked)
    for name in ("saliency", "raw", "stderr"):
        wanted = getattr(own, name)
        assert (name in found.arrays) == (wanted is not None)
        np.testing.assert_array_equal(found.arrays.get(name), wanted)
    told = own.to_dict(maps=False)
    changed = {"seconds": 0, "model": "of/no file"}
    assert {**found.told, "manifest": {**found.told["manifest"], "seconds": 0}}.items() >= {
        **told, "manifest": {**told["manifest"], **changed}
    }.items()  # fmt: skip
    assert json.loads(json.dumps(found.told)) == found.told


def test_the_baseline_is_what_black_gives_and_the_error_that_of_the_samples(served: Served) -> None:
    found = explained(served, {"image": CONTENT}, method="rise", samples=20, target=2)
    x = served.model.black()[:, None, None] * np.ones((1, 1, 96, 96), np.float32)
    (logits,) = onnxruntime.InferenceSession(MODELS / "shapes.onnx").run(None, {"picture": x})
    assert found.told["baseline_logit"] == pytest.approx(logits[0, 2], rel=1e-5)
    assert found.told["baseline_score"] == pytest.approx(np.exp(logits[0, 2]) / np.exp(logits[0]).sum(), rel=1e-5)
    assert found.told["error"] == found.told["manifest"]["relative_error"] > 0


def test_a_picture_is_what_save_writes(served: Served, tmp_path: Path) -> None:
    own = onnxsal.explain(served.model, CONTENT)
    for suffix in ("png", "webp"):
        own.save(tmp_path / f"map.{suffix}", kind="heat", caption=False)
        found = explained(served, {"image": CONTENT}, drawing="heat", format=suffix, caption=False)
        assert found.picture == (tmp_path / f"map.{suffix}").read_bytes()
    assert explained(served, {"image": CONTENT}).picture is None


def test_a_broken_thing_hurts_nothing_beside_it(served: Served) -> None:
    truncated, black = CONTENT[:2000], np.zeros((20, 20, 3), np.uint8)
    asked = [
        served.wanted(inputs, {"batch_size": 8, "target": target})  # a batch size has them run together
        for inputs, target in [
            ({"image": CONTENT}, None), ({"image": truncated}, None), ({"image": black}, None), ({"image": CONTENT}, 4),
        ]
    ]  # fmt: skip
    first, broken, dark, other = served.explain(asked)
    assert isinstance(broken, ImageError) and "damaged or truncated" in str(broken)
    for found, thing, target in [(first, CONTENT, None), (dark, black, None), (other, CONTENT, 4)]:
        assert isinstance(found, Answer)
        own = onnxsal.explain(served.model, thing, target=target)
        np.testing.assert_allclose(found.arrays["saliency"], own.saliency, atol=1e-5)
        assert found.told["label"] == own.label
    assert asked[0].key == asked[1].key != asked[3].key


def test_who_leaves_ends_it_between_runs(served: Served) -> None:
    asked = served.wanted({"image": CONTENT}, {"method": "occlusion", "batch_size": 1, "patch": 8, "stride": 4})
    calls: list[int] = []
    (found,) = served.explain([asked], lambda: len(calls) > 3 or bool(calls.append(0)))
    assert isinstance(found, StoppedError) and len(calls) == 4
    assert isinstance(served.explain([asked], lambda: True)[0], StoppedError)


@pytest.mark.parametrize(
    ("inputs", "parameters", "said"),
    [
        ({"pictur": CONTENT}, {}, "no input 'pictur'; did you mean 'picture'"),
        ({}, {}, "nothing is given to explain"),
        ({"image": np.array([CONTENT, CONTENT], object)}, {}, "one thing is explained at a time; got 2"),
        ({"image": CONTENT}, {"method": "grad-cam+"}, "no method 'grad-cam[+]'"),
        ({"image": CONTENT}, {"method": 3}, "method=3: expected text"),
        ({"image": CONTENT}, {"target": "ringg"}, "ring"),
        ({"image": CONTENT}, {"target": True}, "target=True: expected a number"),
        ({"image": CONTENT}, {"target": [1, 2, 3]}, "a list of two is a minus b"),
        ({"image": CONTENT}, {"target": f"like:{PICTURE}"}, "by its file's name is not taken from afar"),
        ({"image": CONTENT}, {"layer": "block9"}, "no layer 'block9'"),
        ({"image": CONTENT}, {"seed": -1}, "seed=-1"),
        ({"image": CONTENT}, {"forwards": "many"}, "forwards"),
        ({"image": CONTENT}, {"keep_partial": True}, "'keep_partial' is not taken from afar"),
        ({"image": CONTENT}, {"preprocess": "/etc/passwd"}, "'preprocess' is not taken from afar"),
        ({"image": CONTENT}, {"method": "shapley", "background": "/etc/rows.csv"}, "give the rows themselves"),
        ({"image": CONTENT}, {"format": "png"}, "'format' is of a picture: ask for one with drawing"),
        ({"image": CONTENT}, {"drawing": "heat", "format": "gif"}, "expected png or webp"),
        ({"image": CONTENT}, {"drawing": "heat", "format": ["png"]}, r"format=\['png'\]: expected text"),
        ({"image": CONTENT}, {"drawing": {"kind": "heat"}}, "drawing={'kind': 'heat'}: expected text"),
        ({"image": CONTENT}, {"drawing": "heat", "colours": "none such"}, "no colour map"),
        ({"image": CONTENT}, {"drawing": "overlay", "opacity": 3}, "opacity=3"),
    ],
)
def test_what_is_wrong_is_one_message(
    served: Served, inputs: dict[str, Any], parameters: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        explained(served, inputs, **parameters)


def test_pixels_are_bounded_before_they_are_decoded(served: Served) -> None:
    buffer = io.BytesIO()
    Image.new("L", (1001, 1000)).save(buffer, "PNG")
    with pytest.raises(TooManyPixelsError, match="1,001,000 pixels"):
        served.wanted({"image": buffer.getvalue()}, {})
    with pytest.raises(ImageError, match="not a picture"):  # what has none is told by who reads it
        explained(served, {"image": b"no picture"})


def test_a_batch_is_taken_apart(served: Served) -> None:
    two = np.concatenate([FLOATS, FLOATS[:, ::-1]])
    assert [each["picture"].tolist() for each in served.rows({"picture": two})] == [two[:1].tolist(), two[1:].tolist()]
    for alone in ({"image": CONTENT}, {"image": PIXELS}, {"picture": FLOATS}):
        assert served.rows(alone) == [alone]
    assert len(served.rows({"image": np.array([CONTENT] * 3, object)})) == 3


def test_the_file_is_served_as_it_is(served: Served) -> None:
    batch = np.concatenate([FLOATS] * 3)
    (wanted,) = onnxruntime.InferenceSession(MODELS / "shapes.onnx").run(None, {"picture": batch})
    np.testing.assert_array_equal(served.infer({"picture": batch})["logits"], wanted)
    told = served.metadata()
    assert (told["name"], told["versions"]) == ("of/no file", ["1"])
    assert told["inputs"] == [{"name": "picture", "datatype": "FP32", "shape": [-1, 3, 96, 96]}]
    assert told["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]


def test_no_answer_tells_where_the_file_lies(tmp_path: Path) -> None:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "labels.txt").write_text("\n".join(f"thing {i}" for i in range(10)))
    plain = onnx.load(MODELS / "shapes.onnx")
    del plain.metadata_props[:]
    onnx.save(plain, folder / "m.onnx")
    served = Served(folder / "m.onnx")
    assert served.name == "m" and str(folder) in str(onnxsal.explain(served.model, FLOATS).manifest)
    found = explained(served, {"picture": FLOATS})
    assert "secret" not in json.dumps(found.told) and found.told["manifest"]["model"] == "m"
    with pytest.raises(UsageError, match="does not say how it wants its pictures") as raised:
        explained(served, {"image": CONTENT})
    assert "secret" not in str(raised.value)


DETECTOR = MODELS / "detector.onnx"


def test_detections_and_what_is_not_seen(tmp_path: Path) -> None:
    served = Served(DETECTOR)
    content = (MODELS / "demo_boxes.png").read_bytes()
    own = onnxsal.explain(served.model, content, method="layercam", target="#2")
    found = explained(served, {"image": content}, method="layercam", target="#2")
    np.testing.assert_array_equal(found.arrays["saliency"], own.saliency)
    assert found.told["baseline_score"] is None  # there is no such box in the dark
    with pytest.raises(NotSeenError):
        explained(served, {"image": content}, method="layercam", target="#99")
    with pytest.raises(OnnxsalError):
        explained(served, {"image": content}, target="all")


def test_words_are_words_whatever_file_is_called_so(tmp_path: Path) -> None:
    model = tiny_texts.proto("classes")
    model.graph.input.append(onnx.helper.make_tensor_value_info("bias", onnx.TensorProto.FLOAT, [1, 3]))
    model.graph.node[-1].output[0] = "plain"
    model.graph.node.append(onnx.helper.make_node("Add", ["plain", "bias"], ["logits"]))
    served = Served(tiny_texts.written(tmp_path, model), inputs={"bias": np.zeros((1, 3), np.float32)})
    secret = tmp_path / "good.npy"
    np.save(secret, np.ones((1, 3), np.float32))
    for words in ("Obama lives in Paris", str(secret)):
        own = onnxsal.explain(served.model, Said(words), method="input-x-gradient", target=1)
        found = explained(served, {"text": np.array([words], object)}, method="input-x-gradient", target=1)
        np.testing.assert_array_equal(found.arrays["saliency"], own.saliency)
    with pytest.raises(OnnxsalError, match="not a picture that can be read"):  # nor is it opened for another input
        explained(served, {"text": b"good", "bias": str(secret).encode()}, method="gradient", target=1)
    bias = np.array([[5, 0, 0]], np.float32)
    ids = tiny_texts.ids("good film")
    found = explained(served, {"input_ids": ids, "bias": bias}, method="gradient")
    assert found.told["logit"] == pytest.approx(
        served.infer({"input_ids": ids, "bias": bias})["logits"].max(), rel=1e-5
    )
    assert len(served.rows({"text": np.array([b"good", b"bad"], object), "bias": bias})) == 2


def test_rows_of_tables_by_their_columns(tmp_path: Path) -> None:
    onnx.save(tables.pipeline(tables.TREES), tmp_path / "table.onnx")
    served, row = Served(tmp_path / "table.onnx"), dict(tables.ROWS[0])
    columns = tables.feeds(tables.pipeline(tables.TREES), [row])
    own = onnxsal.explain(served.model, row, background=list(tables.ROWS[1:]), target=1)
    found = explained(served, columns, background=list(tables.ROWS[1:]), target=1)
    np.testing.assert_array_equal(found.arrays["values"], own.values)
    assert found.told["baseline_logit"] == own.base_value
    assert served.rows({name: np.concatenate([each] * 2) for name, each in columns.items()})[1] == columns
    np.testing.assert_array_equal(
        served.infer(columns, ["chances"])["chances"],
        onnxruntime.InferenceSession(tmp_path / "table.onnx").run(["chances"], columns)[0],
    )


def test_a_file_that_is_told_what_to_explain_by_its_own_inputs_is_served_as_it_is(tmp_path: Path) -> None:
    onnx.save(onnxsal.compile(MODELS / "shapes.onnx", method="grad-cam", target="input"), tmp_path / "own.onnx")
    served = Served(tmp_path / "own.onnx")
    feeds = {"picture": FLOATS, "target": np.array([3], np.int64), "explain": np.array(True)}
    right = onnxruntime.InferenceSession(tmp_path / "own.onnx").run(None, feeds)
    for one, other in zip(served.infer(feeds).values(), right, strict=True):
        np.testing.assert_array_equal(one, other)
    assert right[1].any() and [each["name"] for each in served.metadata()["inputs"]] == list(feeds)
    with pytest.raises(UnsupportedError, match="explains itself: /infer takes picture, target, explain"):
        served.wanted({"image": CONTENT}, {})
    two = "g (float[n,3,8,8] x, float[n,3,8,8] z) => (float y) { s = Add(x, z) p = ReduceMax(s) y = Flatten(p) }"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {two}')
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(UnsaidError, match="--input z="):  # which is explained, once that is said
        Served(tmp_path / "two.onnx")
