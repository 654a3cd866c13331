"""What rules were written against: attributes, inputs and modes of operators up to one operator set.

An operator of a newer set may have more of them, and a rule that does not look at one gives the gradient of another.
"""

from __future__ import annotations

from functools import lru_cache

import onnx
import onnx_ir as ir

REVIEWED = 28
"""The newest operator set whose attributes and inputs every rule was held against."""

_WINDOWED = frozenset({"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"})
_SCATTERED = frozenset({"none", "add", "mul", "max", "min"})
MODES: dict[tuple[str, str], frozenset[str]] = {
    **dict.fromkeys(
        ((name, "auto_pad") for name in ("AveragePool", "Conv", "ConvTranspose", "LpPool", "MaxPool")), _WINDOWED
    ),
    **dict.fromkeys(
        ((name, "direction") for name in ("GRU", "LSTM", "RNN")), frozenset({"forward", "reverse", "bidirectional"})
    ),
    ("DepthToSpace", "mode"): frozenset({"DCR", "CRD"}),
    ("Gelu", "approximate"): frozenset({"none", "tanh"}),
    ("GridSample", "mode"): frozenset({"linear", "nearest", "cubic"}),
    ("GridSample", "padding_mode"): frozenset({"zeros", "border", "reflection"}),
    ("Pad", "mode"): frozenset({"constant", "reflect", "edge", "wrap"}),
    ("Resize", "mode"): frozenset({"nearest", "linear", "cubic"}),
    ("Resize", "coordinate_transformation_mode"): frozenset(
        {
            "half_pixel",
            "half_pixel_symmetric",
            "pytorch_half_pixel",
            "align_corners",
            "asymmetric",
            "tf_crop_and_resize",
        }
    ),
    ("Resize", "keep_aspect_ratio_policy"): frozenset({"stretch", "not_larger", "not_smaller"}),
    ("Resize", "nearest_mode"): frozenset({"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}),
    ("RoiAlign", "mode"): frozenset({"avg", "max"}),
    ("RoiAlign", "coordinate_transformation_mode"): frozenset({"half_pixel", "output_half_pixel"}),
    ("ScatterElements", "reduction"): _SCATTERED,
    ("ScatterND", "reduction"): _SCATTERED,
    ("SpaceToDepth", "mode"): frozenset({"DCR", "CRD"}),
    ("TensorScatter", "mode"): frozenset({"linear", "circular"}),
}
"""The values of attributes that name one of several operators in one."""


def unfamiliar(node: ir.Node) -> str | None:
    """Return what a node has that the rule of its operator was not written for, None where there is nothing."""
    known = None if node.domain else known_of(node.op_type)
    if known is None:
        return None
    attributes, inputs = known
    for name in node.attributes:
        if name not in attributes:
            return f"attribute {name!r} is newer than its rule"
    if sum(v is not None for v in node.inputs[inputs:]):
        return f"input number {len(node.inputs)} is newer than its rule"
    return _mode(node)


def _mode(node: ir.Node) -> str | None:
    for name, attribute in node.attributes.items():
        values = MODES.get((node.op_type, name))
        if values is not None and not attribute.is_ref() and attribute.as_string() not in values:
            return f"{name}={attribute.as_string()!r} is newer than its rule"
    return None


@lru_cache(maxsize=1)
def _schemas() -> dict[str, list[onnx.defs.OpSchema]]:
    """Every version up to the reviewed one: files of older sets may carry what a newer version has dropped."""
    found: dict[str, list[onnx.defs.OpSchema]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.domain and schema.since_version <= REVIEWED:
            found.setdefault(schema.name, []).append(schema)
    return found


@lru_cache(maxsize=512)
def known_of(op_type: str) -> tuple[frozenset[str], int] | None:
    """Return the attributes and the number of inputs that a standard operator has up to the reviewed set."""
    schemas = _schemas().get(op_type)
    if schemas is None:
        return None
    return frozenset(name for s in schemas for name in s.attributes), max(s.max_input for s in schemas)
