"""Files of several columns take rows of a table: what they then give is what the file itself gives, to the last bit."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tables import LINEAR, NAMES, NET, ROWS, TREES, pipeline, run

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError


@pytest.mark.parametrize("head", [LINEAR, TREES, NET])
def test_a_row_gives_what_the_file_gives(head: str) -> None:
    """Numbers, whole ones, words, an unknown word and a missing cell, of the classes' probabilities."""
    proto = pipeline(head)
    (expected,) = run(proto, ROWS, "chances")
    model = onnxsal.load(proto)
    assert (model.modality.name, model.size, model.task.name) == ("table", (4,), "classification")
    found = np.zeros_like(expected)
    for i, row in enumerate(ROWS):
        for each in model.predict(row):
            found[i, each.index] = each.probability
    assert np.array_equal(found, expected)
    assert len(np.unique(expected[:, 0])) > 3


def test_more_columns_than_can_be_told_apart_are_refused_at_once() -> None:
    """A damaged shape says so: a record of each would take all memory, and hours."""
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (float[B, 1099511627776] x) => (float[B, K] y) { y = ai.onnx.ml.Normalizer <norm = "L1"> (x) }"""
    with pytest.raises(UnsupportedError, match=r"input 'x' has 1,099,511,627,776 columns; up to 1,048,576 are told"):
        onnxsal.load(onnx.parser.parse_model(text))


def test_rows_are_given_in_many_ways() -> None:
    model = onnxsal.load(pipeline(TREES))
    row = ROWS[1]

    def told(thing: object) -> list[tuple[int, float]]:
        return [(each.index, each.probability) for each in model.predict(thing)]  # type: ignore[arg-type]

    expected = told(row)
    things = [list(row.values()), np.array(list(row.values()), object), {name: [row[name]] for name in NAMES}]
    assert all(told(thing) == expected for thing in things)
    assert told({**row, "other": 3}) == expected


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"age": 1.0, "cabin": 1, "sex": "m"}, r"no column 'port'.*it has 'age', 'cabin', 'sex'"),
        ({**ROWS[0], "age": "old"}, "'age' takes a number, not 'old'"),
        ({**ROWS[0], "cabin": None}, "'cabin' takes a whole number, not nothing"),
        ({**ROWS[0], "cabin": 1.5}, r"'cabin' takes a whole number, not 1\.5"),
        ([1.0, 2.0], r"rows of 4 columns: 'age', 'cabin', 'sex', 'port'"),
        (list(ROWS), "6 rows, and here one is taken"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        onnxsal.load(pipeline(TREES)).predict(row)  # type: ignore[arg-type]


def test_a_word_that_makes_a_difference_nobody_can_tell_is_refused() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (string[N, 1] word, float[N, 1] a) => (float[N, 1] y) {
        low = StringNormalizer <case_change_action = "LOWER"> (word)
        code = ai.onnx.ml.LabelEncoder <keys_strings = ["a"], values_floats = [1.0]> (low) y = Add (code, a) }"""
    with pytest.raises(UnsupportedError, match=r"'word' holds texts, and .*StringNormalizer.* reads them"):
        onnxsal.load(onnx.parser.parse_model(text))


def test_a_word_that_the_file_refuses_is_refused_with_those_that_it_takes() -> None:
    proto = pipeline(TREES)
    next(n for n in proto.graph.node if n.op_type == "OneHotEncoder").attribute[1].i = 0
    model = onnxsal.load(proto)
    assert model.predict(ROWS[0])
    with pytest.raises(UsageError, match="'sex' holds 'x', which the model does not take: it knows 'f', 'm'"):
        model.predict(ROWS[4])


@pytest.mark.parametrize("said", ['["a", "b"]', "a, b"])
def test_names_are_those_that_the_file_tells(said: str) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (float[N, 2] x) => (float[N, 1] y) { y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, 2.0]> (x) }"""
    proto = onnx.parser.parse_model(text)
    assert [c.name for c in onnxsal.load(proto).modality.columns] == ["x0", "x1"]  # type: ignore[attr-defined]
    proto.metadata_props.add(key="feature_names", value=said)
    model = onnxsal.load(proto)
    assert model.predict({"b": 1.0, "a": 3.0})[0].logit == 5


def test_ids_of_tokens_are_no_columns_though_a_label_is_picked_behind_them() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (int64[N, 6] ids, int64[N, 6] mask) => (float[N, 2] y, string[N] label)
        <float[4, 2] table = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}, int64[1] axis = {1}, int64[1] last = {2}> {
        v = Gather (table, ids) m = Cast <to = 1> (mask) w = Unsqueeze (m, last) u = Mul (v, w)
        y = ReduceMean <keepdims = 0> (u, axis) best = ArgMax <axis = 1, keepdims = 0> (y)
        label = ai.onnx.ml.LabelEncoder <keys_int64s = [0, 1], values_strings = ["no", "yes"]> (best) }"""
    assert onnxsal.load(onnx.parser.parse_model(text), task="classification").modality.name == "tokens"


def test_a_file_of_one_row_is_run_row_by_row_where_it_cannot_take_more() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (float[1, 2] x) => (float[1, 1] y) <int64[2] one = {1, 2}> { z = Reshape (x, one)
        y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, -2.0]> (z) }"""
    model = onnxsal.load(onnx.parser.parse_model(text))
    found = onnxsal.explain(model, np.array([[1.0, 2.0], [3.0, 5.0]]), background=np.zeros((3, 2)))
    assert [list(each.values) for each in found] == [[1, -4], [3, -10]]  # type: ignore[arg-type]


@pytest.mark.parametrize(("weights", "proven"), [([0.25, 0.75, 0.5, 0.5], True), ([0.25, 0.75, 0.5, 0.6], False)])
def test_votes_of_trees_are_proven_to_be_probabilities(weights: list[float], proven: bool) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
    g (float[N, 2] x) => (int64[N] label, float[N, 2] y) {
        label, y = ai.onnx.ml.TreeEnsembleClassifier <classlabels_int64s = [0, 1], class_ids = [0, 1, 0, 1],
        class_nodeids = [1, 1, 2, 2], class_treeids = [0, 0, 0, 0], class_weights = WEIGHTS, nodes_treeids = [0, 0, 0],
        nodes_nodeids = [0, 1, 2], nodes_featureids = [0, 0, 0], nodes_values = [0.5, 0.0, 0.0],
        nodes_modes = ["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids = [1, 0, 0], nodes_falsenodeids = [2, 0, 0]> (x)
    }"""
    model = onnxsal.load(onnx.parser.parse_model(text.replace("WEIGHTS", str(weights))))
    assert ("TreeEnsembleClassifier" in str(model.decided[-1].why), model.notes == ()) == (proven, proven)
