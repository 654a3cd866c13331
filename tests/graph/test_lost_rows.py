"""The axis of the batch that a file takes off on the way to an output: put back, row for row what the file gives."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

from onnxsal.graph import load_ir
from onnxsal.graph.batch import free_batch
from onnxsal.graph.files import to_proto
from onnxsal.graph.lost_rows import restored
from onnxsal.graph.normal import normalise

X = np.random.default_rng(0).normal(0, 1, (3, 2, 4, 4)).astype(np.float32)

HELD = (
    "int64 first = {0}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] minus = {-1}, int64[2] both = {0, 1}, "
    "int64[2] turned = {1, 0}, int64[4] to_image = {1, 4, 1, 1}, int64[2] to_row = {1, 4}, float half = {0.5}, "
    "int64[1] two = {2}"
)

TAILS = {  # each with the shape of one picture's output
    "y = Gather<axis=0>(z, first)": (4,),
    "y = Squeeze(z, zero)": (4,),
    "y = Squeeze(z)": (4,),
    "y = Reshape(z, minus)": (4,),
    "q = Flatten<axis=0>(z) y = Squeeze(q, zero)": (4,),
    "q = Slice(z, zero, one, zero) y = Squeeze(q, zero)": (4,),
    "s = Split<axis=0>(z, one) y = Squeeze(s, zero)": (4,),
    "y = ReduceMean<axes=[0], keepdims=0>(z)": (4,),
    "y = ReduceMax<axes=[0], keepdims=0>(z)": (4,),
    "y = ReduceL2<axes=[0], keepdims=0>(z)": (4,),
    "y = ReduceMean<keepdims=0>(z)": (),
    "y = ReduceSumSquare<keepdims=0>(z)": (),
    "y = ReduceLogSumExp<axes=[0, 1], keepdims=0>(z)": (),
    "r = Gather<axis=0>(z, first) y = Softmax<axis=0>(r)": (4,),
    "r = Gather<axis=0>(z, first) y = Softmax<axis=-1>(r)": (4,),
    "r = Squeeze(z, zero) s = Mul(r, scale) t = Add(s, shift) y = Sigmoid(t)": (4,),
    "r = Squeeze(z, zero) s = Exp(r) t = ReduceSum<keepdims=1>(s) y = Div(s, t)": (4,),
    "r = Squeeze(z, zero) y = MatMul(r, w)": (3,),
    "r = Squeeze(z, zero) t = Transpose(w) y = MatMul(t, r)": (3,),
    "r = Squeeze(z, zero) y = MatMul(r, scale)": (),
    "r = Squeeze(z, zero) y = MatMul(scale, r)": (),
    "r = Squeeze(z, zero) y = Gather<axis=0>(r, turned)": (2,),
    "r = Squeeze(z, zero) y = Gather<axis=0>(r, first)": (),
    "r = Squeeze(z, zero) y = Slice(r, one, two, zero)": (1,),
    "r = Squeeze(z, zero) y, y1 = Split<axis=0>(r)": (2,),
    "r = Squeeze(z, zero) s = Sigmoid(r) t = Sub(half, s) y = Concat<axis=0>(s, t, scale)": (12,),
    "r = Squeeze(z, zero) c = Clip(r, half) y = LogSoftmax<axis=0>(c)": (4,),
    "r = Squeeze(z, zero) m = Greater(r, half) y = Where(m, r, scale)": (4,),
    "r = Squeeze(z, zero) u = Unsqueeze(r, one) n = Add(u, scale) y = ReduceMin<axes=[1], keepdims=0>(n)": (4,),
    "r = Squeeze(z, zero) u = Unsqueeze(r, zero) y = Gemm(u, w)": (1, 3),  # the rows come back behind it
    "r = Squeeze(z, zero) i = Reshape(r, to_image) c = Conv(i, k2) g = Relu(c) y = Reshape(g, minus)": (5,),
    "r = Gather<axis=0>(m0, first) y = ReduceMean<axes=[1, 2], keepdims=0>(r)": (4,),
    "r = Gather<axis=0>(m0, first) t = Transpose<perm=[1, 2, 0]>(r) y = ArgMax<axis=2, keepdims=0>(t)": (4, 4),
    "t = Transpose<perm=[1, 0]>(z) y = Squeeze(t, one)": (4,),
    "t = Transpose<perm=[1, 0]>(z) r = Gather<axis=1>(t, first) y = Softmax<axis=0>(r)": (4,),
}


def model(tail: str, batch: str = "1") -> onnx.ModelProto:
    kind = "int64" if "ArgMax" in tail else "float"
    body = f"a = Conv<pads=[1,1,1,1]>(x, k) m0 = Relu(a) p = GlobalAveragePool(m0) f = Flatten(p) z = Gemm(f, v) {tail}"
    text = f'<ir_version: 8, opset_import: ["": 13]> g (float[{batch},2,4,4] x) => ({kind} y) <{HELD}> {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(1)
    for name, shape in {
        "k": (4, 2, 3, 3), "v": (4, 4), "w": (4, 3), "scale": (4,), "shift": (4,), "k2": (5, 4, 1, 1)
    }.items():  # fmt: skip
        proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(0, 1, shape).astype("f"), name))
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["y"], {"x": x})[0])


OWN = {"N": ["y = Squeeze(z)", "y = Reshape(z, minus)", "q = Flatten<axis=0>(z) y = Squeeze(q, zero)"]}
"""What keeps its rows where the batch is free."""

CASES = [(tail, batch) for tail, shape in TAILS.items() for batch in ("1", "N")
         if tail not in OWN.get(batch, ()) and (batch, *shape[:1]) != ("1", 1)]  # fmt: skip
"""Of a batch of one, rows of one are rows."""


@pytest.mark.parametrize(("tail", "batch"), CASES)
def test_every_picture_of_a_batch_gets_the_row_that_the_file_gives_it_alone(tail: str, batch: str) -> None:
    file = model(tail, batch)
    alone = np.stack([run(file, x[None]) for x in X])
    assert alone.shape[1:] == TAILS[tail]
    found = restored(normalise(load_ir(file)), "x")
    assert found is not None and list(found.lost) == ["y"] and not found.unseen
    together = run(to_proto(free_batch(found.model, "x")), X)
    np.testing.assert_allclose(together, alone.reshape(together.shape), rtol=1e-5, atol=1e-6)
    assert together.shape[0] == len(X)


@pytest.mark.parametrize("tail", ["y = Softmax(z)", "y = Gather<axis=1>(z, first)", "y = Transpose<perm=[1, 0]>(z)",
                                  "t = Transpose<perm=[1, 0]>(z) y = Softmax<axis=0>(t)"])  # fmt: skip
@pytest.mark.parametrize("batch", ["1", "N"])
def test_where_no_output_has_lost_it_nothing_is_done(tail: str, batch: str) -> None:
    assert restored(normalise(load_ir(model(tail, batch))), "x") is None


def test_what_is_not_followed_is_told_apart() -> None:
    """A running sum over the batch has no form with more pictures: what it gives is taken as it is, for one."""
    file = model("c = CumSum(z, first) r = Squeeze(c, zero) y = Softmax<axis=0>(r)")
    found = restored(normalise(load_ir(file)), "x")
    assert found is not None and not found.unseen  # CumSum keeps its axes, as far as one picture tells
    hidden = model('i = Cast<to=6>(z) t = Einsum<equation="bi->i">(z) y = Softmax<axis=0>(t)')
    found = restored(normalise(load_ir(hidden)), "x")
    assert found is not None and found.unseen == {"y"}
    np.testing.assert_allclose(run(to_proto(found.model), X[:1])[0], run(hidden, X[:1]), rtol=1e-5)


def test_values_keep_the_names_of_the_file() -> None:
    found = restored(normalise(load_ir(model("r = Squeeze(z, zero) s = Mul(r, scale) y = Softmax<axis=0>(s)"))), "x")
    assert found is not None
    names = {str(v.name): [d if isinstance(d, int) else None for d in v.shape or ()] for node in found.model.graph
             for v in node.outputs}  # fmt: skip
    assert names["s"] == names["y"] == names["z"] == [1, 4] and not [n for n in names if n.startswith("sal/")]
