"""Types and shapes of the float operators that ONNX Runtime's optimisers write: onnx knows none of them.

One line an operator; the facts are those of ONNX Runtime's own operator pages (1.32). What an operator gives beside its
first output is left unknown unless a line says it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx_ir as ir

from onnxsal.graph.shapes import Dim

Shape = tuple[Dim, ...]
Kind = tuple[ir.DataType, Shape | None]
Known = Sequence[Kind | None]
Found = tuple[Kind | None, ...]
MICROSOFT = "com.microsoft"


def fused_kinds(node: ir.Node, kinds: Known) -> Found:
    """Return the kinds of a node's outputs, as far as they are known; nothing for an operator that is not here."""
    rule = _RULES.get((node.domain, node.op_type))
    if rule is None or not kinds or any(kind is None for kind in kinds[:1]):
        return ()
    attributes = {name: attr.value for name, attr in node.attributes.items() if not attr.is_ref()}
    return rule(attributes, kinds)


def _first(a: dict[str, Any], kinds: Known) -> Found:
    return (kinds[0],)


def _skip(a: dict[str, Any], kinds: Known) -> Found:
    """The sum comes last, behind two that are written in training alone."""
    return (kinds[0], None, None, kinds[0])


def _attention(a: dict[str, Any], kinds: Known) -> Found:
    x, weight = _shape(kinds, 0), _shape(kinds, 1)
    sizes = a.get("qkv_hidden_sizes")
    width: Dim = int(sizes[2]) if sizes else _part(weight[1], 3) if weight and len(weight) == 2 else None
    return (_like(kinds[0], None if x is None or len(x) != 3 else (*x[:2], width)),)


def _multi_head(a: dict[str, Any], kinds: Known) -> Found:
    q, v = _shape(kinds, 0), _shape(kinds, 2)
    if q is not None and len(q) == 5:  # query, key and value in one, [B, S, heads, 3, size]
        return (_like(kinds[0], (*q[:2], _times(q[2], q[4]))),)
    if q is None or v is None:
        return (_like(kinds[0], None),)
    return (_like(kinds[0], (*q[:2], v[2] if len(v) == 3 else _times(v[1], v[3]))),)


def _grouped_query(a: dict[str, Any], kinds: Known) -> Found:
    q, k = _shape(kinds, 0), _shape(kinds, 1)
    if q is None or len(q) != 3 or k is not None:
        return (kinds[0],)
    heads, groups = int(a["num_heads"]), int(a["kv_num_heads"])
    size = _part(q[2], heads + 2 * groups)
    return (_like(kinds[0], (*q[:2], _times(size, heads))),)


def _embed(a: dict[str, Any], kinds: Known) -> Found:
    ids, words = _shape(kinds, 0), _shape(kinds, 2)
    if len(kinds) < 3 or kinds[2] is None:
        return ()
    whole = None if ids is None or words is None else (*ids, words[-1])
    counts = None if ids is None else ids[:1]
    return (_like(kinds[2], whole), (ir.DataType.INT32, counts), _like(kinds[2], whole))


def _split_gelu(a: dict[str, Any], kinds: Known) -> Found:
    x = _shape(kinds, 0)
    return (_like(kinds[0], None if not x else (*x[:-1], _part(x[-1], 2))),)


def _matmul(a: dict[str, Any], kinds: Known) -> Found:
    shapes = [_shape(kinds, i) for i in (0, 1)]
    if any(s is None or len(s) < 2 for s in shapes) or a.get("transBatchA") or a.get("transBatchB"):
        return (_like(kinds[0], None),)
    left, right = (
        (*s[:-2], s[-1], s[-2]) if a.get(name) else s
        for s, name in zip((s for s in shapes if s is not None), ("transA", "transB"), strict=True)
    )
    batch = _broadcast(left[:-2], right[:-2])
    return (_like(kinds[0], (*batch, left[-2], right[-1])),)


def _gather_blocks(a: dict[str, Any], kinds: Known) -> Found:
    """Rows of a table in blocks, in the type of its scales; bytes hold several numbers along the last axis."""
    data, indices = _shape(kinds, 0), _shape(kinds, 1)
    scales = kinds[2] if len(kinds) > 2 else None
    if not data or indices is None or kinds[0] is None:
        return (_like(scales, None),)
    axis = int(a.get("gather_axis", 0)) % len(data)
    in_byte = 8 // int(a.get("bits", 4)) if kinds[0][0] == ir.DataType.UINT8 else 1
    wide = (*data[:-1], _times(data[-1], in_byte))
    return (_like(scales, (*wide[:axis], *indices, *wide[axis + 1 :])),)


def _broadcast(a: Shape, b: Shape) -> Shape:
    n = max(len(a), len(b))
    pairs = zip((1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b), strict=True)
    return tuple(q if p == 1 else p if q in (1, p) else None for p, q in pairs)


def _shape(kinds: Known, index: int) -> Shape | None:
    kind = kinds[index] if index < len(kinds) else None
    return None if kind is None else kind[1]


def _like(kind: Kind | None, shape: Shape | None) -> Kind | None:
    return None if kind is None else (kind[0], shape)


def _part(size: Dim, of: int) -> Dim:
    return size // of if isinstance(size, int) and size % of == 0 else None


def _times(a: Dim, b: Dim) -> Dim:
    return a * b if isinstance(a, int) and isinstance(b, int) else None


Rule = Callable[[dict[str, Any], Known], Found]
_RULES: dict[tuple[str, str], Rule] = {
    ("", "SimplifiedLayerNormalization"): _first,
    **{(MICROSOFT, name): rule for rule, names in (
        (_first, ("Gelu", "FastGelu", "BiasGelu", "QuickGelu", "BiasSoftmax", "BiasAdd", "BiasDropout",
                  "GroupNorm", "SkipGroupNorm", "RotaryEmbedding", "Inverse", "Trilu", "BitmaskDropout")),
        (_skip, ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")),
        (_matmul, ("FusedMatMul", "TransposeMatMul", "FusedMatMulActivation")),
        (_attention, ("Attention",)), (_multi_head, ("MultiHeadAttention",)),
        (_grouped_query, ("GroupQueryAttention",)), (_embed, ("EmbedLayerNormalization",)),
        (_split_gelu, ("BiasSplitGelu",)), (_gather_blocks, ("GatherBlockQuantized",)),
    ) for name in names},
}  # fmt: skip
