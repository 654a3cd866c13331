"""Rules of matrix products."""

from __future__ import annotations

import onnx_ir as ir

from onnxsal.autodiff.registry import Call, Gradient, vjp
from onnxsal.autodiff.rules.common import rank_of
from onnxsal.autodiff.rules.quantised import float_weight
from onnxsal.graph.dequantised import own
from onnxsal.graph.shapes import dims, rank
from onnxsal.graph.tape import Tape


@vjp("Gemm", slots=(True, True, True))
def _gemm(call: Call) -> list[Gradient]:
    """Y = alpha A' B' + beta C, where ' transposes on request."""
    op, g, y = call.op, call.g, call.y
    a, b, c = [*call.node.inputs, None][:3]
    t, u = (int(bool(call.attributes[name])) for name in ("transA", "transB"))  # any number but 0 turns
    alpha, beta = call.attributes["alpha"], call.attributes["beta"]
    needs = [*call.needed, False]
    b = b if b is None else float_weight(op, b)
    da = db = dc = None
    if needs[0]:
        da = op.Gemm(b, g, alpha=alpha, transA=u, transB=1) if t else op.Gemm(g, b, alpha=alpha, transB=1 - u)
    if needs[1]:
        db = op.Gemm(g, a, alpha=alpha, transA=1, transB=t) if u else op.Gemm(a, g, alpha=alpha, transA=1 - t)
    if needs[2] and c is not None:
        dc = op.sum_to(g if beta == 1 else op.Mul(g, beta), c, y)
    return [da, db, dc]


@vjp("MatMul", slots=(True, True))
def _matmul(call: Call) -> list[Gradient]:
    """dA = g B^T and dB = A^T g, summed over the batch axes that were broadcast; vectors are rows and columns."""
    op, (a, b) = call.op, call.node.inputs
    assert a is not None and b is not None
    g, y = call.g, call.y
    if 1 in (rank(a), rank(b)):
        return _with_vectors(call, a, b)
    left = _left(op, g, a, b, y) if call.needed[0] else None
    right = _right(op, g, a, b, y) if call.needed[1] else None
    return [left, right]


def _left(op: Tape, g: ir.Value, a: ir.Value, b: ir.Value, y: ir.Value) -> ir.Value:
    return _unbroadcast(op, op.MatMul(g, _swapped(op, b)), a, y)


def _right(op: Tape, g: ir.Value, a: ir.Value, b: ir.Value, y: ir.Value) -> ir.Value:
    """A matrix B sees all rows of a batch at once, as one product."""
    shape, full = dims(b), dims(y)
    if rank(b) == 2 and (rank(a) or 0) > 2 and shape is not None and full is not None:
        k, n = shape
        if isinstance(k, int) and isinstance(n, int):
            return op.Gemm(op.Reshape(a, [-1, k]), op.Reshape(g, [-1, n]), transA=1)
    return _unbroadcast(op, op.MatMul(_swapped(op, a), g), b, y)


def _swapped(op: Tape, x: ir.Value) -> ir.Value:
    """Return the transposed matrices; of what is transposed already, the original."""
    n = rank(x)
    if n is None:
        return op.Einsum(x, equation="...ij->...ji")
    x, perm = own(op, x), [*range(n - 2), n - 1, n - 2]
    source = x.producer()
    if source is not None and source.op_type == "Transpose" and source.inputs[0] is not None:
        given = source.attributes.get("perm")
        if given is not None and list(given.as_ints()) == perm:
            return source.inputs[0]
    return op.Transpose(x, perm=perm)


def _unbroadcast(op: Tape, product: ir.Value, x: ir.Value, y: ir.Value) -> ir.Value:
    full, own = dims(y), dims(x)
    if full is not None and own is not None and product.shape is None:
        product.shape = ir.Shape([*full[:-2], *own[-2:]])
    return op.sum_to(product, x, product)


def _with_vectors(call: Call, a: ir.Value, b: ir.Value) -> list[Gradient]:
    """[K] is [1, K] on the left and [K, 1] on the right; a batch of matrices sums over its other axes."""
    op, g = call.op, call.g
    m, n = rank_of(a), rank_of(b)
    if m == 1 and n == 1:
        return [op.Mul(g, b) if call.needed[0] else None, op.Mul(g, a) if call.needed[1] else None]
    if m == 1:  # y[..., j] = sum_k a[k] b[..., k, j]
        row = op.Unsqueeze(g, [-2])
        da = op.ReduceSum(op.Mul(b, row), [i for i in range(n) if i != n - 2], keepdims=0) if call.needed[0] else None
        return [da, op.Mul(op.Unsqueeze(a, [-1]), row) if call.needed[1] else None]
    column = op.Unsqueeze(g, [-1])  # y[..., i] = sum_k a[..., i, k] b[k]
    db = op.ReduceSum(op.Mul(a, column), list(range(m - 1)), keepdims=0) if call.needed[1] else None
    return [op.Mul(column, b) if call.needed[0] else None, db]
