"""Names that a graph itself holds for its classes: by ONNX Runtime, which answers with them."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError

FRUIT = ("apple", "plum", "fig")
X = np.random.default_rng(1).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)


def ml(op_type: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, [output], domain="ai.onnx.ml", **attributes)


def node(op_type: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs, [output], **attributes)


def network(tail: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], **held: Any) -> onnx.ModelProto:
    """Return a small convolutional classifier of three classes, p behind logits z, with more behind it."""
    rng = np.random.default_rng(0)
    nodes = [node("Conv", ["x", "k"], "a", pads=[1] * 4), node("Relu", ["a"], "r"),
             node("GlobalAveragePool", ["r"], "g"), node("Flatten", ["g"], "f"), node("Gemm", ["f", "w"], "z"),
             node("Softmax", ["z"], "p", axis=1)]  # fmt: skip
    weights = {"k": rng.normal(0, 0.4, (4, 3, 3, 3)).astype("f"), "w": rng.normal(0, 2, (4, 3)).astype("f")} | held
    inits = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(
        helper.make_graph(nodes + tail, "g", [x], outputs, inits), opset_imports=opsets, ir_version=8
    )


P = helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 3])
BEST = node("ArgMax", ["p"], "best", axis=1, keepdims=0)


def named(kind: int = TensorProto.STRING, shape: tuple[Any, ...] = ("n",)) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("name", kind, shape)


def mapped() -> onnx.ValueInfoProto:
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    return helper.make_value_info("loss", helper.make_sequence_type_proto(kind))


STRINGS = np.array(FRUIT, object)
ENCODER = ml("LabelEncoder", ["best"], "name", keys_int64s=[0, 1, 2], values_strings=list(FRUIT))
HOLDERS = {
    "Gather": network([BEST, node("Gather", ["names", "best"], "name")], [P, named()], names=STRINGS),
    "ArrayFeatureExtractor": network(
        [BEST, ml("ArrayFeatureExtractor", ["names", "best"], "name")], [P, named(shape=(1, "n"))], names=STRINGS
    ),
    "LabelEncoder": network([BEST, ENCODER], [named(), P]),
    "LabelEncoder of the logits": network([node("ArgMax", ["z"], "best", axis=1, keepdims=0), ENCODER], [P, named()]),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_nodes_that_name_the_best_class(kind: str) -> None:
    proto = HOLDERS[kind]
    model = onnxsal.load(proto)
    assert model.labels is not None and model.labels.names == FRUIT
    (decided,) = (each for each in model.decided if each.what == "labels")
    assert f"the names that {'' if kind == 'Gather' else 'ai.onnx.ml.'}{kind.split()[0]} 'name' holds" == decided.why
    answers = ort.InferenceSession(proto.SerializeToString()).run(["name"], {"x": X})[0].ravel().tolist()
    found = [model.labels.names[int(np.argmax(model.scores(x)[1]))] for x in X]
    assert found == answers


def test_custom_vision_ends_in_maps() -> None:
    """Class and maps of scores, as Azure Custom Vision exports them; no tensor of scores is an output."""
    tail = [BEST, ml("ArrayFeatureExtractor", ["names", "best"], "name"),
            ml("ZipMap", ["p"], "loss", classlabels_strings=list(FRUIT))]  # fmt: skip
    proto = network(tail, [named(shape=(1, "n")), mapped()], names=STRINGS)
    model = onnxsal.load(proto)
    assert model.labels is not None and model.labels.source == "the keys of the map 'loss'"
    assert "the output 'loss' is a map of class to score in the file: the scores in front of it are read" in model.notes
    maps = ort.InferenceSession(proto.SerializeToString()).run(["loss"], {"x": X})[0]
    for x, expected in zip(X, maps, strict=True):
        found = dict(zip(model.labels.names, model.scores(x)[1].tolist(), strict=True))
        assert found == pytest.approx(expected, abs=1e-6)
    again = model.reopened(activation="softmax")
    assert again.labels == model.labels


def test_one_number_has_two_names() -> None:
    """What a threshold says is picked by 0 and 1."""
    tail = [node("Slice", ["z", "zero", "one", "one"], "s"), node("Sigmoid", ["s"], "q"),
            node("Greater", ["q", "half"], "above"), node("Cast", ["above"], "best", to=TensorProto.INT64),
            node("Gather", ["names", "best"], "name")]  # fmt: skip
    outputs = [helper.make_tensor_value_info("q", TensorProto.FLOAT, ["n", 1]), named(shape=("n", 1))]
    held = {"zero": np.array([0]), "one": np.array([1]), "half": np.float32(0.5)}
    proto = network(tail, outputs, names=np.array(["ripe", "rotten"], object), **held)
    model = onnxsal.load(proto)
    assert model.labels is not None
    assert model.labels.names == ("ripe", "rotten")
    answers = ort.InferenceSession(proto.SerializeToString()).run(["name"], {"x": X})[0].ravel().tolist()
    assert [model.predict(x)[0].label for x in X] == answers


def test_numbers_that_are_their_own_index_are_no_names() -> None:
    tail, outputs = [BEST, node("Gather", ["ids", "best"], "name")], [P, named(TensorProto.INT64)]
    model = onnxsal.load(network(tail, outputs, ids=np.arange(3)))
    assert model.labels is None
    model = onnxsal.load(network(tail, outputs, ids=np.array([7, 3, 5])))
    assert model.labels is not None
    assert model.labels.names == ("7", "3", "5")


def test_names_of_something_else_are_not_taken() -> None:
    """As many as there are classes, but picked by what is no score of theirs."""
    tail = [node("ArgMax", ["f"], "where", axis=1, keepdims=0), node("Gather", ["names", "where"], "name")]
    assert onnxsal.load(network(tail, [P, named()], names=STRINGS)).labels is None
    keyed = ml("LabelEncoder", ["best"], "name", keys_int64s=[7, 8, 9], values_strings=list(FRUIT))
    assert onnxsal.load(network([BEST, keyed], [P, named()])).labels is None


def test_a_map_that_no_zipmap_makes_is_refused() -> None:
    kind = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    own = helper.make_node("Own", ["p"], ["loss"], domain="own")
    proto = network([own], [helper.make_value_info("loss", kind)])
    with pytest.raises(UnsupportedError, match="is a map, not a tensor, and no ZipMap makes it"):
        onnxsal.load(proto)


def test_gradients_and_pickles_of_maps_and_texts() -> None:
    """Against a central difference of what ONNX Runtime puts into the maps."""
    tail = [BEST, ml("ArrayFeatureExtractor", ["names", "best"], "name"),
            ml("ZipMap", ["p"], "loss", classlabels_strings=list(FRUIT))]  # fmt: skip
    proto = network(tail, [named(shape=(1, "n")), mapped()], names=STRINGS)
    session, along = ort.InferenceSession(proto.SerializeToString()), np.ones_like(X[:1])
    above, below = (session.run(["loss"], {"x": X[:1] + step * along})[0][0]["plum"] for step in (0.01, -0.01))
    made = ort.InferenceSession(onnxsal.gradient(proto, of=["loss"], wrt=["x"]).SerializeToString())
    (found,) = made.run(["grad/x"], {"x": X[:1], "seed/loss": np.array([[0, 1, 0]], np.float32)})
    assert (found * along).sum() == pytest.approx((above - below) / 0.02, rel=1e-2)
    again = pickle.loads(pickle.dumps(onnxsal.load(proto)))
    assert again.reopened(preprocess="raw").labels.names == FRUIT
