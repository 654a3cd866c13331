"""Compiled files of rows of tables, in ONNX Runtime: what they give is what all coalitions of the file itself give."""

from __future__ import annotations

import json
from itertools import product
from math import factorial
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tables import LINEAR, NAMES, NET, ROWS, TREES, feeds, pipeline, run

import onnxsal
from onnxsal.compiler.metadata import METADATA
from onnxsal.compiler.row_values import check_budget
from onnxsal.errors import UnsupportedError, UsageError

BACKGROUND = ROWS[1:4]
EXPLAINED = (ROWS[0], ROWS[4], ROWS[5])


def shapley(proto: onnx.ModelProto, row: dict[str, Any], number: Any) -> tuple[list[float], float]:
    """The values of columns by their definition, and their base: each coalition is run by the file itself."""
    sets = [frozenset(n for n, own in zip(NAMES, each, strict=True) if own) for each in product((0, 1), repeat=4)]
    mixed = [{name: (row if name in own else each)[name] for name in NAMES} for own in sets for each in BACKGROUND]
    scores = np.array([number(chances) for chances in run(proto, mixed, "chances")[0]])
    means = dict(zip(sets, scores.reshape(len(sets), -1).mean(axis=1).tolist(), strict=True))
    share = {n: factorial(n) * factorial(3 - n) / factorial(4) for n in range(4)}
    values = [sum(share[len(s)] * (means[s | {name}] - means[s]) for s in means if name not in s) for name in NAMES]
    return values, means[frozenset()]


def margin(chances: np.ndarray) -> float:
    return float(np.log(np.float64(chances[1])) - np.log1p(-np.float64(chances[1])))


@pytest.mark.parametrize(
    ("head", "score", "number", "way"),
    [
        (LINEAR, None, margin, "closed form of sums"), (LINEAR, "probability", lambda each: each[1], "all coalitions"),
        (TREES, "probability", lambda each: each[1], "all coalitions"),
        (NET, "probability", lambda each: each[1], "all coalitions"),
    ],
)  # fmt: skip
def test_values_are_those_of_all_coalitions(head: str, score: str | None, number: Any, way: str) -> None:
    proto = pipeline(head)
    made = onnxsal.compile(proto, method="shapley", target=1, score=score, background=list(BACKGROUND))
    session = onnxruntime.InferenceSession(made.SerializeToString())
    assert [each.name for each in session.get_inputs()] == list(NAMES)  # explain has a default
    found = session.run(["chances", "values", "base_value"], feeds(proto, EXPLAINED))
    wanted = [shapley(proto, row, number) for row in EXPLAINED]
    np.testing.assert_allclose(found[1], [values for values, _ in wanted], atol=2e-6)
    np.testing.assert_allclose(found[2], [base for _, base in wanted], atol=2e-6)
    unasked = session.run(["chances", "values"], feeds(proto, EXPLAINED) | {"explain": np.array(False)})
    np.testing.assert_array_equal(found[0], unasked[0])
    assert not unasked[1].any()
    np.testing.assert_allclose(found[0], run(proto, EXPLAINED, "chances")[0], rtol=1e-6)
    assert json.loads({each.key: each.value for each in made.metadata_props}[METADATA])["way"] == way


def test_the_target_is_predicted_fixed_or_fed() -> None:
    proto, told = pipeline(TREES), feeds(pipeline(TREES), EXPLAINED)
    asked = {"method": "shapley", "background": list(BACKGROUND)}
    chances = run(proto, EXPLAINED, "chances")[0]
    model = onnxsal.load(proto)
    each = [onnxsal.explain(model, row, target=[0, 1], **asked) for row in EXPLAINED]
    by_class = np.array([[own.values for own in row] for row in each])

    def values(asked_for: Any, **more: Any) -> np.ndarray:
        session = onnxruntime.InferenceSession(onnxsal.compile(model, target=asked_for, **asked).SerializeToString())
        return session.run(["values"], told | more)[0]

    rows = np.arange(len(EXPLAINED))
    np.testing.assert_allclose(values(None), by_class[rows, chances.argmax(axis=1)], atol=2e-6)
    np.testing.assert_allclose(values("1 minus 0"), by_class[:, 1] - by_class[:, 0], atol=2e-6)
    fed = np.array([1, 0, 1])
    np.testing.assert_allclose(values("input", target=fed), by_class[rows, fed], atol=2e-6)


def test_what_is_too_much_says_by_how_much() -> None:
    wide = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[N, 20] x) => (float[N, 1] y) {
        scaled = ai.onnx.ml.Scaler <offset = [0.0], scale = [2.0]> (x) curved = Tanh (scaled)
        summed = ReduceSum <keepdims = 1> (curved, axes) y = Exp (summed) }"""
    )
    wide.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))
    rows = np.zeros((3, 20))
    said = r"2\^20 of 20 columns x 3 background rows = 3,145,728 rows a row, 48 times the 65,536 .*or 14 columns with"
    with pytest.raises(UnsupportedError, match=said):
        onnxsal.compile(wide, method="shapley", background=rows)
    with pytest.raises(UnsupportedError, match=r"= more than 10\^603 rows a row, more than 10\^598 times the 65,536"):
        check_budget(2000, 20)
    with pytest.raises(UsageError, match="name some, such as those that the model was trained on"):
        onnxsal.compile(wide, method="shapley")
    with pytest.raises(UsageError, match="give, percentile: for maps of pictures; of a table"):
        onnxsal.compile(wide, method="shapley", background=rows, give="drawing", percentile=50)


def test_rows_that_change_each_other_are_refused() -> None:
    mixing = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]> g (float[N, 3] x) => (float[N, 1] y)
        <int64[1] rows = {0}, int64[1] columns = {1}> { s = ai.onnx.ml.Scaler <offset = [0.0], scale = [1.0]> (x)
        m = ReduceMean <keepdims = 1> (s, rows) d = Sub (s, m) t = Tanh (d)
        y = ReduceSum <keepdims = 1> (t, columns) }"""
    )
    with pytest.raises(UnsupportedError, match="rows that are run together change each other's scores"):
        onnxsal.compile(mixing, method="shapley", background=np.random.default_rng(0).normal(size=(4, 3)))


def test_inputs_of_several_columns_stay_what_they_are() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
        g (double[N, 2] columns, string[N, 1] word) => (float[N, 1] y) {
        code = ai.onnx.ml.LabelEncoder <keys_strings = ["a", "b"], values_floats = [1.0, 2.0]> (word)
        first, second = Split <axis = 1, num_outputs = 2> (columns) both = Mul (first, second)
        float = Cast <to = 1> (both) y = Mul (float, code) }"""
    )
    numbers, words = np.array([[2.0, 3], [1, -1]]), np.array([["b"], ["a"]], object)
    rows = [[*row, word] for row, (word,) in zip(numbers.tolist(), words.tolist(), strict=True)]
    model = onnxsal.load(proto, task="regression")
    made = onnxsal.compile(model, method="shapley", background=[[1.0, 1.0, "a"], [0.0, 2.0, "b"]])
    session = onnxruntime.InferenceSession(made.SerializeToString())
    found = session.run(["values", "base_value"], {"columns": numbers, "word": words})
    each = [onnxsal.explain(model, row, background=[[1.0, 1.0, "a"], [0.0, 2.0, "b"]]) for row in rows]
    np.testing.assert_allclose(found[0], [own.values for own in each], atol=1e-6)
    np.testing.assert_allclose(found[0].sum(axis=1) + found[1], [12, -1], atol=1e-6)
