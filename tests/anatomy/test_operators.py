"""Every operator of the standard and of ONNX Runtime's own domain is in exactly one class, deliberately."""

from __future__ import annotations

import onnx.defs
import onnx_ir as ir
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxsal.anatomy.layout import _FOLLOW, _NAMES
from onnxsal.anatomy.operators import ASSUMED, CLASSES, QUERIES, SPECTRAL, kind_of

FOLLOWED = _NAMES - ASSUMED - QUERIES - SPECTRAL
STANDARD = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
RUNTIME = {s.name for s in get_all_operator_schema() if s.domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")}


@pytest.mark.parametrize("name", sorted(STANDARD | RUNTIME))
def test_every_operator_is_in_one_class(name):
    classes = [kind for kind, names in CLASSES.items() if name in names]
    assert len(classes) + (name in FOLLOWED) == 1, classes


def test_no_class_names_what_is_followed():
    assert not FOLLOWED & frozenset().union(*CLASSES.values())
    assert {name for name in _FOLLOW if name in ASSUMED | QUERIES | SPECTRAL} | FOLLOWED == set(_FOLLOW)


@pytest.mark.parametrize(
    ("domain", "op_type", "kind"),
    [("", "Relu", "keeping"), ("com.microsoft", "QuickGelu", "keeping"), ("", "Slice", "followed"),
     ("mine", "Relu", "assumed"), ("com.microsoft", "NeverHeardOf", "assumed"), ("", "NonZero", "by data")],
)  # fmt: skip
def test_what_nobody_knows_is_assumed(domain, op_type, kind):
    assert kind_of(ir.Node(domain, op_type, [ir.Value(name="x")]), _NAMES) == kind
