"""Small models of tables as converters write them, and what they give in ONNX Runtime for rows of cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnxruntime

PIPELINE = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
g (float[N, 1] age, int64[N, 1] cabin, string[N, 1] sex, string[N, 1] port) => (int64[N] label, float[N, 2] chances)
{
    whole = Cast <to = 1> (cabin)
    numbers = Concat <axis = 1> (age, whole)
    filled = ai.onnx.ml.Imputer <imputed_value_floats = [39.5, 0.0], replaced_value_float = nan> (numbers)
    scaled = ai.onnx.ml.Scaler <offset = [39.5, 2.0], scale = [0.1, 0.5]> (filled)
    hot = ai.onnx.ml.OneHotEncoder <cats_strings = ["f", "m"], zeros = 1> (sex)
    place = ai.onnx.ml.LabelEncoder <keys_strings = ["C", "Q", "S"], values_floats = [0.0, 1.0, 2.0],
        default_float = -1.0> (port)
    flat = Flatten (hot)
    features = Concat <axis = 1> (scaled, flat, place)
    HEAD
}"""
"""Columns of a number that may be missing, a whole number, a word that is one-hot and one that is a number."""

LINEAR = """label, chances = ai.onnx.ml.LinearClassifier <classlabels_ints = [0, 1], post_transform = "LOGISTIC",
    coefficients = [-0.4, 0.3, -0.9, 0.8, 0.25, 0.4, -0.3, 0.9, -0.8, -0.25], intercepts = [-0.2, 0.2]> (features)"""

TREES = """label, chances = ai.onnx.ml.TreeEnsembleClassifier <classlabels_int64s = [0, 1],
    post_transform = "LOGISTIC", base_values = [0.1], class_ids = [0, 0, 0, 0, 0, 0, 0],
    class_nodeids = [2, 3, 4, 2, 3, 5, 6], class_treeids = [0, 0, 0, 1, 1, 1, 1],
    class_weights = [0.7, -0.4, 0.2, -0.6, 0.5, 0.9, -0.1],
    nodes_featureids = [2, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0], nodes_treeids = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1],
    nodes_nodeids = [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6],
    nodes_truenodeids = [1, 2, 0, 0, 0, 1, 2, 0, 0, 5, 0, 0], nodes_falsenodeids = [4, 3, 0, 0, 0, 4, 3, 0, 0, 6, 0, 0],
    nodes_values = [0.5, 0.1, 0.0, 0.0, 0.0, 1.5, -0.25, 0.0, 0.0, -0.5, 0.0, 0.0],
    nodes_modes = ["BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF", "LEAF", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF",
        "BRANCH_LEQ", "LEAF", "LEAF"]> (features)"""

NET = """hidden = MatMul (features, w) rest = Tanh (hidden) logits = MatMul (rest, v)
    chances = Softmax <axis = 1> (logits) best = ArgMax <axis = 1, keepdims = 0> (chances) label = Identity (best)"""

FORMS = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
g (float[N, 1] a, float[N, 1] b, float[N, 1] c) => (float[N, 1] y) <int64[2] first = {2, 0}, float half = {0.5},
    float[3, 3] mixing = {1.0, 0.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0}>
{
    x = Concat <axis = 1> (a, b, c)
    HEAD
}"""

SPLITS = """ = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0, 0, 0, 0, 0],
    nodes_nodeids = [0, 1, 2, 3, 4], nodes_featureids = [0, 1, 0, 0, 0], nodes_values = [0.2, -0.1, 0.0, 0.0, 0.0],
    nodes_modes = ["BRANCH_LEQ", "BRANCH_LT", "LEAF", "LEAF", "LEAF"], nodes_truenodeids = [1, 2, 0, 0, 0],
    nodes_falsenodeids = [4, 3, 0, 0, 0], target_ids = [0, 0, 0], target_nodeids = [2, 3, 4],
    target_treeids = [0, 0, 0], target_weights = [1.5, -2.0, 0.75]> """

VOTE = f"""one{SPLITS}(x) picked = Gather <axis = 1> (x, first) other{SPLITS}(picked)
    line = ai.onnx.ml.LinearRegressor <coefficients = [1.0, -2.0, 0.5], intercepts = [3.0]> (x)
    trees = Sub (one, other) sum = Add (trees, line) y = Mul (sum, half)"""
"""A vote of trees, of trees over other columns, and of a line."""

SQUARES = """square = Mul (x, x) all = Concat <axis = 1> (x, square)
    scaled = ai.onnx.ml.Scaler <offset = [0.5], scale = [2.0]> (all)
    y = ai.onnx.ml.LinearRegressor <coefficients = [1.0, -2.0, 0.5, 0.25, 0.5, -1.0]> (scaled)"""
"""A sum of functions of one column each."""

MIXED = f"""mixed = MatMul (x, mixing) y{SPLITS}(mixed)"""
"""Trees whose features are mixed of columns."""

UNMIXED = f"""same = MatMul (x, mixing) picked = Gather <axis = 1> (same, first) y{SPLITS}(picked)"""
"""The same over those that are not."""

BAGGED = f"""one{SPLITS}(x) picked = Gather <axis = 1> (x, first) other{SPLITS}(picked)
    first_one = Reshape (one, turned) first_other = Reshape (other, turned)
    each = Concat <axis = 0> (first_one, first_other) y = ReduceMean <keepdims = 0> (each, zero)"""
"""Two trees whose rows are turned to another axis before their mean is taken, as converters of bags do."""

CROSSED = """shares = ai.onnx.ml.Normalizer <norm = "L1"> (x) y = ReduceMax <keepdims = 1> (shares, second)"""


def form(head: str) -> onnx.ModelProto:
    """Return a model of three columns of numbers with a head."""
    proto = onnx.parser.parse_model(FORMS.replace("HEAD", head))
    for name, held in {"second": [1], "zero": [0], "turned": [1, -1, 1]}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(held), name))
    return proto


ROWS: tuple[dict[str, Any], ...] = tuple(
    {"age": age, "cabin": cabin, "sex": sex, "port": port}
    for age, cabin, sex, port in [
        (22.0, 3, "m", "S"), (38.0, 1, "f", "C"), (None, 3, "f", "Q"), (54.5, 1, "m", "S"), (2.0, 2, "x", "C"),
        (40.5, 2, "f", ""),
    ]
)  # fmt: skip

NAMES = ("age", "cabin", "sex", "port")


def pipeline(head: str, *, heights: str = "") -> onnx.ModelProto:
    """Return the pipeline with a head."""
    text = PIPELINE.replace("HEAD", head)
    proto = onnx.parser.parse_model(text.replace("replaced_value_float = nan", "replaced_value_float = 0.0"))
    imputer = next(node for node in proto.graph.node if node.op_type == "Imputer")
    next(a for a in imputer.attribute if a.name == "replaced_value_float").f = float("nan")
    if head == NET:
        rng = np.random.default_rng(1)
        for name, shape in (("w", (5, 4)), ("v", (4, 2))):
            proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=shape).astype("f4"), name))
    return proto


def feeds(proto: onnx.ModelProto, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Return rows as the file itself takes them, a column an input."""
    kinds = {1: np.float32, 7: np.int64, 8: object, 11: np.float64}
    found = {}
    for value in proto.graph.input:
        cells = [row[value.name] for row in rows]
        dtype = kinds[value.type.tensor_type.elem_type]
        found[value.name] = np.array([np.nan if c is None else c for c in cells], dtype)[:, None]
    return found


@lru_cache(maxsize=8)
def opened(data: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(data)


def run(proto: onnx.ModelProto, rows: Sequence[Mapping[str, Any]], *outputs: str) -> list[np.ndarray]:
    """Return what the file itself gives, each row alone: kernels round otherwise for several."""
    session = opened(proto.SerializeToString())
    each = [session.run(list(outputs), feeds(proto, [row])) for row in rows]
    return [np.concatenate(column) for column in zip(*each, strict=True)]
