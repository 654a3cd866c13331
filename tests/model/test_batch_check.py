"""A free batch is asked for, not believed: maps are those of pictures alone, in explain, in files and in metrics."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest

import onnxsal
from onnxsal.errors import UnsupportedError
from onnxsal.evaluation.score import scorer
from onnxsal.model.batch_check import DRAWN, DRAWS, MIXES, OPEN, found_of, one_by_one, probes

X = np.random.default_rng(0).normal(0, 1, (3, 16, 16)).astype(np.float32)

MIXERS = {
    "the largest of the whole tensor": "m = ReduceMax<keepdims=0>(r) y = Div(r, m)",
    "mean and variance of the whole tensor": "m = ReduceMean<keepdims=0>(r) d = Sub(r, m) q = Mul(d, d) "
    "v = ReduceMean<keepdims=0>(q) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
    "MeanVarianceNormalization over the batch": "y = MeanVarianceNormalization<axes=[0,2,3]>(r)",
    "batch normalisation in training mode": "y, rm, rv = BatchNormalization<training_mode=1>(r, ones, nil, nil, ones)",
    "batch normalisation by hand": "m = ReduceMean<axes=[0,2,3]>(r) d = Sub(r, m) q = Mul(d, d) "
    "v = ReduceMean<axes=[0,2,3]>(q) e = Add(v, eps) s = Sqrt(e) y = Div(d, s)",
    "dynamic quantisation": "q, s, o = DynamicQuantizeLinear(r) y = DequantizeLinear(q, s, o)",
    "a running sum over the batch": "y = CumSum(r, zero)",
    "one from behind": "y = CumSum<reverse=1>(r, zero)",
    "softmax over the batch": "d = Mul(r, eps) y = Softmax<axis=0>(d)",
    "the norm over the batch": "y = LpNormalization<axis=0>(r)",
    "less the mean of the batch": "m = ReduceMean<axes=[0]>(r) d = Sub(r, m) y = Add(d, r)",
    "over the number of pictures": "s = Shape(r) n = Gather(s, zero) f = Cast<to=1>(n) y = Div(r, f)",
    "the first picture in all": "f = Slice(r, z1, o1, z1) y = Add(r, f)",
    "sorted over the batch": "s = Shape(r) n = Slice(s, z1, o1, z1) y, i = TopK<axis=0>(r, n)",
    "the picture behind": "s = Shape(r) n = Gather(s, zero) a = Range(one, n, one) order = Concat<axis=0>(a, z1) "
    "o = Gather(r, order) y = Add(r, o)",
}
ALONE = {
    "nothing": "y = Identity(r)",
    "InstanceNormalization": "y = InstanceNormalization(r, ones, nil)",
    "LayerNormalization": "y = LayerNormalization<axis=1>(r, wide)",
    "softmax over channels": "y = Softmax<axis=1>(r)",
    "the largest of each picture": "m = ReduceMax<axes=[1,2,3]>(r) e = Add(m, eps) y = Div(r, e)",
    "a Dropout that the runtime removes": "y = Dropout(r, half, train)",
}
RECORDS = {"score-cam": {}, "smoothgrad": {"samples": 6}, "integrated-gradients": {"steps": 6}, "occlusion": {},
           "smooth-grad-cam++": {"samples": 6}}  # fmt: skip


def model(body, batch='"n"'):
    rng = np.random.default_rng(5)
    held = "float eps = {0.001}, float half = {0.5}, bool train = {1}, int64 zero = {0}, int64 one = {1}, "
    held += "int64[1] z1 = {0}, int64[1] o1 = {1}, float[4] ones = {1,1,1,1}, float[4] nil = {0,0,0,0}"
    text = f'<ir_version: 8, opset_import: ["": 17]> net (float[{batch},3,16,16] x) => (float[{batch},3] z) <{held}> '
    text += f"{{ c = Conv<pads=[1,1,1,1]>(x, k) r = Relu(c) {body} "
    text += "g = Conv<pads=[1,1,1,1], strides=[2,2]>(y, l) t = Relu(g) p = GlobalAveragePool(t) f0 = Flatten(p) "
    proto = onnx.parser.parse_model(text.replace('"n"', "n") + "z = Gemm<transB=1>(f0, w, b) }")
    weights = {"k": (4, 3, 3, 3), "l": (8, 4, 3, 3), "w": (3, 8), "b": (3,)}
    made = {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in weights.items()}
    made["wide"] = np.ones((4, 16, 16), np.float32)
    proto.graph.initializer.extend(onnx.numpy_helper.from_array(v, n) for n, v in made.items())
    return proto


def explained(proto, method, **options):
    return onnxsal.explain(onnxsal.load(proto), X[None], method=method, target=0, **options)


@pytest.mark.parametrize("name", MIXERS, ids=str)
def test_what_mixes_runs_one_by_one_and_says_so(name):
    proto = model(MIXERS[name])
    found, alone = (explained(proto, "score-cam", **more) for more in ({}, {"batch_size": 1}))
    np.testing.assert_array_equal(found.raw, alone.raw)
    assert MIXES in found.manifest["notes"] and MIXES not in alone.manifest["notes"]
    assert (found.manifest["batch_size"], found.manifest["batch_size_asked"]) == (1, 8)


@pytest.mark.parametrize("name", ["the largest of the whole tensor", "the first picture in all", "nothing"])
def test_several_pictures_are_explained_as_each_alone(name):
    opened, pictures = onnxsal.load(model({**MIXERS, **ALONE}[name])), [X[None], 2 * X[None], -X[None]]
    alone = [onnxsal.explain(opened, each, method="gradient", target=0) for each in pictures]
    found = onnxsal.explain(opened, pictures, method="gradient", target=0, batch_size=3)
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.raw, other.raw, atol=1e-6 * np.abs(other.raw).max())
        assert one.score == pytest.approx(other.score, abs=1e-6)


@pytest.mark.parametrize("name", ALONE, ids=str)
def test_what_does_not_mix_runs_in_batches(name):
    proto = model(ALONE[name])
    found, alone = (explained(proto, "score-cam", **more) for more in ({}, {"batch_size": 1}))
    np.testing.assert_allclose(found.raw, alone.raw, atol=1e-5 * np.abs(alone.raw).max())
    assert not found.manifest["notes"] and found.manifest["batch_size"] == 8


@pytest.mark.parametrize("method", RECORDS, ids=str)
def test_every_method_that_runs_many_times_asks(method):
    proto = model(MIXERS["the largest of the whole tensor"])
    found, alone = (explained(proto, method, **RECORDS[method], **more) for more in ({}, {"batch_size": 1}))
    np.testing.assert_array_equal(found.raw, alone.raw)
    assert MIXES in found.manifest["notes"]


def test_a_wrapper_round_a_sampling_method_asks_too():
    proto, options = model(MIXERS["batch normalisation by hand"]), {"inner": "integrated-gradients", "samples": 3}
    found, alone = (explained(proto, "smoothgrad", **options, steps=3, **more) for more in ({}, {"batch_size": 1}))
    np.testing.assert_array_equal(found.raw, alone.raw)
    assert MIXES in found.manifest["notes"]


@pytest.mark.parametrize("method", ["grad-cam", "gradient", "layercam"])
def test_what_runs_once_asks_nothing(method):
    opened = onnxsal.load(model(MIXERS["dynamic quantisation"]))
    assert not onnxsal.explain(opened, X[None], method=method).manifest["notes"]
    opened.predict(X[None])
    assert opened.layers and opened.batch_verdict is None


def test_it_is_asked_once_a_model():
    opened = onnxsal.load(model(ALONE["nothing"]))
    onnxsal.explain(opened, X[None], method="score-cam")
    session = opened.session(opened.program("body", lambda: None))
    session.verdict = "mixes"  # a second question would find otherwise
    assert MIXES in onnxsal.explain(opened, X[None], method="occlusion").manifest["notes"]


@pytest.mark.parametrize("method", ["score-cam", "grad-cam", "smoothgrad", "integrated-gradients"])
@pytest.mark.parametrize("name", list(MIXERS)[:7:2], ids=str)
def test_a_compiled_file_of_what_mixes_takes_one_picture_and_says_so(name, method):
    opened = onnxsal.load(model(MIXERS[name]))
    options = RECORDS.get(method, {})
    compiled = onnxsal.compile(opened, method=method, target=0, **options)
    onnx.checker.check_model(compiled, full_check=True)
    session = ort.InferenceSession(compiled.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape[0] == 1
    (metadata,) = [p.value for p in compiled.metadata_props if p.key == "onnxsal.explainer"]
    assert "takes one picture at a time" in metadata
    scores, saliency = session.run(["z", "saliency"], {"x": X[None]})
    whole = ort.InferenceSession(model(MIXERS[name]).SerializeToString(), providers=["CPUExecutionProvider"])
    if "training" not in name:  # ONNX Runtime's own is another in every run
        np.testing.assert_allclose(scores, whole.run(None, {"x": X[None]})[0], rtol=1e-5, atol=1e-6)
    expected = onnxsal.explain(opened, X[None], method=method, target=0, **options).saliency
    np.testing.assert_allclose(saliency[0], expected, atol=1e-5)


@pytest.mark.parametrize("name", ALONE, ids=str)
def test_a_compiled_file_of_what_does_not_mix_keeps_its_batch(name):
    compiled = onnxsal.compile(model(ALONE[name]), method="score-cam", target=0)
    assert compiled.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "n"


def test_metrics_score_pictures_alone_where_a_batch_mixes():
    opened = onnxsal.load(model(MIXERS["mean and variance of the whole tensor"]))
    images = probes(X, np.zeros(3, np.float32))
    found = scorer(opened, 1, 8)(images)
    np.testing.assert_array_equal(found, [opened.scores(each)[1][1] for each in images])
    assert found_of(opened) == (MIXES,)


def test_a_batch_that_cannot_be_run_at_all():
    body = "q = Reshape(r, flat) y = Reshape(q, back)"
    proto = model(body)
    for name, shape in (("flat", (4, 256)), ("back", (1, 4, 16, 16))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
    found = explained(proto, "score-cam")
    np.testing.assert_array_equal(found.raw, explained(proto, "score-cam", batch_size=1).raw)


def test_scores_that_never_change_prove_nothing():
    proto = model("y = Mul(r, nothing)")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(0), "nothing"))
    opened = onnxsal.load(proto)
    assert one_by_one(opened, X) == OPEN and opened.batch_verdict is None


DRAWING = "n0 = RandomNormalLike(r) y = Add(r, n0)"


def test_what_draws_is_said_and_runs_one_by_one():
    opened = onnxsal.load(model(DRAWING))
    (note,) = opened.notes
    assert "RandomNormalLike 'n0'" in note and "no map can be made again" in note
    once = onnxsal.explain(opened, X[None], method="grad-cam")
    assert once.manifest["repeatable"] is False and note in once.manifest["notes"]
    many = onnxsal.explain(opened, X[None], method="score-cam")
    assert DRAWN in many.manifest["notes"] and many.manifest["batch_size"] == 1


def test_what_draws_is_compiled_only_where_told():
    opened = onnxsal.load(model(DRAWING))
    with pytest.raises(UnsupportedError, match="keep_random=True"):
        onnxsal.compile(opened, method="grad-cam")
    compiled = onnxsal.compile(opened, method="grad-cam", target=0, keep_random=True)
    (metadata,) = [p.value for p in compiled.metadata_props if p.key == "onnxsal.explainer"]
    assert '"repeatable": false' in metadata


def test_what_draws_beside_the_score_is_no_matter():
    proto = model("n0 = RandomNormalLike(r) n1 = Add(r, n0) y = Identity(r)")
    proto.graph.output.append(onnx.helper.make_tensor_value_info("n1", onnx.TensorProto.FLOAT, None))
    opened = onnxsal.load(proto)
    assert (
        not any("random" in note for note in opened.notes)
        and "repeatable" not in onnxsal.explain(opened, X[None]).manifest
    )
    onnxsal.compile(opened)


def test_drawing_that_is_not_known_by_name_is_seen(monkeypatch):
    """An operator of somebody's own may draw: two runs of the same picture tell."""
    opened = onnxsal.load(model(DRAWING))
    monkeypatch.setattr(type(opened), "drawn", ())
    found = onnxsal.explain(opened, X[None], method="score-cam")
    assert DRAWS in found.manifest["notes"] and found.manifest["batch_size"] == 1
