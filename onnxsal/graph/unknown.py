"""Operators of the standard's domains that no opset has: a converter wrote them, and nothing can run the file."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxsal.errors import ModelError, nearest
from onnxsal.graph.opset import TARGET

_STANDARD = frozenset({"", "ai.onnx.ml", "ai.onnx.preview", "ai.onnx.preview.training"})
_RUNTIME_OWN = frozenset({
    "Affine", "Crop", "DynamicSlice", "GRUUnit", "GivenTensorFill", "ImageScaler", "MemcpyFromHost", "MemcpyToHost",
    "ParametricSoftplus", "Scale", "ScaledTanh", "SimplifiedLayerNormalization", "DisentangledAttention_TRT",
    "EfficientNMS_TRT", "MultilevelCropAndResize_TRT", "PyramidROIAlign_TRT",
})  # fmt: skip
"""What ONNX Runtime 1.32 has in the standard's domain beyond the standard."""

_LISTED = 5


def check_operators(model: ir.Model) -> None:
    """Check that every operator of the standard's domains is in the model's opset, or the one it is raised to.

    Raises: ModelError: some are not; each is named with its nodes.
    """
    wrong: dict[tuple[str, str], list[str]] = {}
    for node in _nodes(model):
        key = (node.domain, node.op_type)
        if node.domain in _STANDARD and not _is_known(node, model):
            wrong.setdefault(key, []).append(repr(node.name or node.outputs[0].name))
    if wrong:
        said = "; ".join(_said(op_type, domain, nodes, model) for (domain, op_type), nodes in wrong.items())
        raise ModelError(f"the model is not valid, no ONNX Runtime can load it: {said}")


def _nodes(model: ir.Model) -> Iterator[ir.Node]:
    yield from model.graph.all_nodes()
    for function in model.functions.values():
        yield from function.all_nodes()


def _is_known(node: ir.Node, model: ir.Model) -> bool:
    if node.op_type in _RUNTIME_OWN or (node.domain, node.op_type, node.overload) in model.functions:
        return True
    return any(onnx.defs.has(node.op_type, version, node.domain) for version in _versions(node.domain, model))


def _versions(domain: str, model: ir.Model) -> set[int]:
    """The versions of a domain that count: the model's own, and of the standard's the one that it is raised to."""
    imports = [model.graph.opset_imports, *(f.opset_imports for f in model.functions.values())]
    own = {found[domain] for found in imports if domain in found} or {1}
    return own | ({TARGET} if not domain else set())


def _said(op_type: str, domain: str, nodes: list[str], model: ir.Model) -> str:
    more = f" and {len(nodes) - _LISTED} more" if len(nodes) > _LISTED else ""
    at = f"operator {domain}{'.' if domain else ''}{op_type} (node{'s' if len(nodes) > 1 else ''} "
    at += f"{', '.join(nodes[:_LISTED])}{more})"
    schemas = [s for s in onnx.defs.get_all_schemas_with_history() if s.domain == domain]
    versions = [s.since_version for s in schemas if s.name == op_type]
    if versions:
        own = model.graph.opset_imports.get(domain, 1)
        return f"{at} is of opset {min(versions)}, and the model says that it is in {own}: export it in that one"
    hint = nearest(op_type, sorted({s.name for s in schemas}))
    return (
        f"{at} is in no opset that onnx {onnx.__version__} knows{hint}; export the model without it, or, if a library "
        "brings it, name that with --custom-ops (custom_ops=...)"
    )
