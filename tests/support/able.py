"""What the installed ONNX Runtime and onnx's evaluator are asked once, where tests would fail for want of theirs alone.

The lower bounds of pyproject.toml are older than some kernels that tests use (docs/versions.md): a model with such a
node skips its test, with the reason, where the answer is an error or a wrong value. What onnxsal itself writes
stands on this list only where no form that is equal by the standard avoids it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx.reference import ReferenceEvaluator

RUNTIME, EVALUATOR = "ONNX Runtime", "onnx's reference evaluator"
HEAD = '<ir_version: 10, opset_import: ["" : {}, "com.microsoft" : 1]> f '
DOUBLE, BFLOAT16 = onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16


@dataclass(frozen=True, eq=False)
class Question:
    """Whether ``who`` runs a model of one node, fed with zeros, to ``wanted``."""

    who: str
    about: str
    text: str
    asked: Callable[[onnx.NodeProto, set[int]], bool]
    """Whether a node is of this kind, by itself and the types of its model's inputs."""
    wanted: np.ndarray
    opset: int = 21


NO_AXES = Question(
    RUNTIME, "a sum of nothing over no axes",
    """(float[0, 2] x) => (float[a, b] y) <int64[0] none = {}>
    { y = ReduceSum <noop_with_empty_axes = 1> (x, none) }""",
    lambda *_: False, np.zeros((0, 2)),
)  # fmt: skip
"""What a test asks by itself that feeds nothing: no node tells."""
QUESTIONS = (
    Question(
        RUNTIME, "a cosine in float64", "(double[1] x) => (double[1] y) { y = Cos (x) }",
        lambda node, types: node.op_type == "Cos" and DOUBLE in types, np.ones(1),
    ),
    Question(
        RUNTIME, "GroupQueryAttention without the keys that it has gone through",
        """(float[1, 1, 8] q, float[1, 1, 8] k, float[1, 1, 8] v, int32[1] n) => (float[1, 1, 8] y) <int32[1] t = {1}>
        { y = com.microsoft.GroupQueryAttention <num_heads = 1, kv_num_heads = 1> (q, k, v, "", "", n, t) }""",
        lambda node, _: node.op_type == "GroupQueryAttention" and len(node.output) == 1, np.zeros((1, 1, 8)),
    ),
    Question(
        RUNTIME, "GroupQueryAttention whose room for keys slides",
        """(float[1, 1, 8] q, float[1, 1, 8] k, float[1, 1, 8] v, float[1, 1, 1, 8] p, int32[1] n) => (float[1, 1, 8] y)
        <int32[1] t = {1}> { y, pk, pv = com.microsoft.GroupQueryAttention <num_heads = 1, kv_num_heads = 1,
        local_window_size = 1, sliding_window_cache = 1> (q, k, v, p, p, n, t) }""",
        lambda node, _: _has(node, "sliding_window_cache"), np.zeros((1, 1, 8)),
    ),
    Question(
        RUNTIME, "integers in another type than their step's",
        "(float s) => (float16[2] y) <int8[2] q = {1, 2}> { y = DequantizeLinear <output_dtype = 10> (q, s) }",
        lambda node, _: node.op_type == "DequantizeLinear" and _has(node, "output_dtype"), np.zeros(2), 23,
    ),
    Question(
        EVALUATOR, "scattering by products",
        """() => (float[2] y) <float[2] x = {3, 5}, int64[1] i = {1}, float[1] u = {2}>
        { y = ScatterElements <reduction = "mul"> (x, i, u) }""",
        lambda node, _: node.op_type == "ScatterElements" and _has(node, "reduction", b"mul"), np.array([3, 10]),
    ),
    Question(
        EVALUATOR, "attention over the keys that are there",
        """(float[2, 1, 1, 1] x) => (float[2, 1, 1, 1] y) <int64[2] n = {1, 1}>
        { y = Attention (x, x, x, "", "", "", n) }""",
        lambda node, _: node.op_type == "Attention" and len(node.input) > 6, np.zeros((2, 1, 1, 1)), 24,
    ),
    Question(
        EVALUATOR, "attention within a window",
        "(float[1, 1, 1, 1] x) => (float[1, 1, 1, 1] y) { y = Attention <left_window_size = 1> (x, x, x) }",
        lambda node, _: node.op_type == "Attention" and _has(node, "left_window_size"), np.zeros((1, 1, 1, 1)), 25,
    ),
    Question(
        EVALUATOR, "an LSTM's last cells",
        """(float[1, 1, 1] x, float[1, 4, 1] w, float[1, 4, 1] r) => (float[1, 1, 1] c)
        { y, h, c = LSTM <hidden_size = 1> (x, w, r) }""",
        lambda node, _: node.op_type == "LSTM" and len(node.output) > 2, np.zeros((1, 1, 1)),
    ),
    Question(
        EVALUATOR, "products of stacks of matrices in bfloat16",
        "(bfloat16[1, 1, 1] x) => (bfloat16[1, 1, 1] y) { y = MatMul (x, x) }",
        lambda node, types: node.op_type == "MatMul" and BFLOAT16 in types, np.zeros((1, 1, 1)),
    ),
)  # fmt: skip


def need_opset(version: int) -> None:
    """Skip the test unless the installed onnx knows the operator set."""
    if version > onnx.defs.onnx_opset_version():
        pytest.skip(f"onnx {onnx.__version__} knows no opset {version}")


def need(model: onnx.ModelProto, who: str = RUNTIME) -> None:
    """Skip the test unless ``who`` answers all questions that the nodes of ``model`` put."""
    types = {value.type.tensor_type.elem_type for value in model.graph.input}
    nodes = list(nodes_of(model))
    for question in QUESTIONS:
        if question.who == who and any(question.asked(node, types) for node in nodes):
            ask(question)


def ask(question: Question) -> None:
    """Skip the test unless the question is answered."""
    if not answered(question):
        version = ort.__version__ if question.who == RUNTIME else onnx.__version__
        pytest.skip(f"{question.who} {version} cannot: {question.about}")


def nodes_of(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield all nodes, those of bodies and functions too."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        for node in waiting.pop().node:
            yield node
            waiting += [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]


def _has(node: onnx.NodeProto, name: str, value: Any = None) -> bool:
    return any(a.name == name and value in (None, onnx.helper.get_attribute_value(a)) for a in node.attribute)


@cache
def answered(question: Question) -> bool:
    """Whether the answer is what it should be."""
    model = onnx.parser.parse_model(HEAD.format(question.opset) + question.text)
    feeds = {}
    for value in model.graph.input:
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = np.zeros([d.dim_value for d in value.type.tensor_type.shape.dim], kind)
    try:
        if question.who == RUNTIME:
            options = ort.SessionOptions()
            options.log_severity_level = 4
            session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            (found,) = session.run(None, feeds)
        else:
            (found,) = ReferenceEvaluator(model).run(None, feeds)
    except Exception:  # noqa: BLE001  whatever it fails by, it cannot
        return False
    return found.shape == question.wanted.shape and np.array_equal(found, question.wanted)
