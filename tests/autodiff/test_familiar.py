"""Attributes, inputs and modes that newer operator sets bring: the right gradient, or refused by name."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from able import need, need_opset
from checker import Case, check
from onnx import TensorProto, helper

import onnxsal
from onnxsal.autodiff import familiar
from onnxsal.autodiff.familiar import MODES, REVIEWED, known_of, unfamiliar
from onnxsal.autodiff.registry import REGISTRY
from onnxsal.errors import UnsupportedError

R = np.random.default_rng(11)
STANDARD = sorted(name for domain, name in REGISTRY if not domain)


@pytest.mark.parametrize("name", STANDARD)
def test_every_version_up_to_the_newest_has_been_looked_at(name: str) -> None:
    """Fails with a new onnx: hold the rule against what the operator has got, then raise ``REVIEWED``."""
    known = known_of(name)
    for schema in (s for s in onnx.defs.get_all_schemas_with_history() if s.name == name and not s.domain):
        assert known is not None, f"{name} is new in opset {schema.since_version}, and has a rule"
        new = set(schema.attributes) - known[0]
        assert not new, f"{name} has {sorted(new)} from opset {schema.since_version} on; is its rule still right?"
        assert schema.max_input <= known[1], f"{name} has more inputs from opset {schema.since_version} on"


def test_every_mode_is_the_default_of_its_attribute_or_beside_it() -> None:
    need_opset(REVIEWED)
    for (name, attribute), values in MODES.items():
        schema = onnx.defs.get_schema(name, REVIEWED)
        default = helper.get_attribute_value(schema.attributes[attribute].default_value)
        assert default.decode() in values, (name, attribute)


def node(op_type: str, inputs: int, **attributes: object) -> ir.Node:
    x = [ir.Value(name=f"x{i}") for i in range(inputs)]
    return ir.Node("", op_type, x, [ir.Attr(k, *v) for k, v in attributes.items()])  # type: ignore[misc]


def test_what_is_newer_is_named() -> None:
    assert unfamiliar(node("Relu", 1)) is None
    assert unfamiliar(node("Relu", 1, leak=(ir.AttributeType.FLOAT, 0.5))) == "attribute 'leak' is newer than its rule"
    assert unfamiliar(node("Relu", 2)) == "input number 2 is newer than its rule"
    assert unfamiliar(ir.Node("mine", "Relu", [], [ir.AttrFloat32("leak", 0.5)])) is None
    need_opset(28)  # before it, the attribute itself is newer
    odd = node("SpaceToDepth", 1, mode=(ir.AttributeType.STRING, "RDC"), blocksize=(ir.AttributeType.INT, 2))
    assert unfamiliar(odd) == "mode='RDC' is newer than its rule"


def test_a_model_with_such_an_operator_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the rules had been written before opset 28: SpaceToDepth had no mode then."""
    monkeypatch.setattr(familiar, "REVIEWED", 27)
    familiar._schemas.cache_clear()
    known_of.cache_clear()
    try:
        with pytest.raises(UnsupportedError, match=r"SpaceToDepth 'y' .attribute 'mode' is newer than its rule"):
            onnxsal.gradient(rearranged("CRD"), of=["y"], wrt=["x"])
    finally:
        familiar._schemas.cache_clear()
        known_of.cache_clear()


def rearranged(mode: str) -> onnx.ModelProto:
    need_opset(28)
    made = helper.make_node("SpaceToDepth", ["x"], ["y"], blocksize=2, mode=mode)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 6])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 12, 2, 3])
    graph = helper.make_graph([made], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)], ir_version=11)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_of_both_modes(mode: str) -> None:
    """It only moves elements: its gradient moves them back, whatever the runtime's own kernel does."""
    import onnxruntime

    g = onnxsal.gradient(rearranged(mode), of=["y"], wrt=["x"])
    assert {e.version for e in g.opset_import if not e.domain} == {28}
    x = R.normal(size=(2, 3, 4, 6)).astype(np.float32)
    session = onnxruntime.InferenceSession(g.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run(["y"], {"x": x, "seed/y": np.zeros((2, 12, 2, 3), np.float32)})[0]
    np.testing.assert_array_equal(session.run(["grad/x"], {"x": x, "seed/y": y})[0], x)


def n(*shape: int) -> np.ndarray:
    return R.normal(size=shape)


NEWER = [
    Case("SpaceToDepth", [n(2, 3, 4, 6)], {"blocksize": 2, "mode": "CRD"}, opset=28, exact=False, on_ort=False),
    Case("Cast", [n(3, 4)], {"to": TensorProto.DOUBLE, "round_mode": "nearest"}, opset=24, on_ort=False),
    Case("Swish", [n(3, 4)], {"alpha": 1.3}, opset=24, on_ort=False),
    Case("RMSNormalization", [n(2, 3, 4), n(4)], {"axis": -1}, opset=23, on_ort=False),
    Case("CumProd", [n(3, 4), np.array(1)], {"exclusive": 1, "reverse": 1}, opset=26, on_ort=False),
    Case("RotaryEmbedding", [n(2, 2, 3, 4), n(2, 3, 2), n(2, 3, 2)], {"interleaved": 1}, opset=23, on_ort=False),
    Case("Attention", [n(1, 2, 3, 4), n(1, 2, 3, 4), n(1, 2, 3, 4)], {"is_causal": 1, "softcap": 2.0}, opset=23,
         on_ort=False),
    Case("Attention", [n(2, 4, 3, 4), n(2, 2, 3, 4), n(2, 2, 3, 4), n(2, 1, 3, 5), n(2, 2, 2, 4), n(2, 2, 2, 4)],
         {"scale": 0.3}, outputs=3, of=(0, 1, 2), opset=23, on_ort=False, note="a past, fewer heads of keys"),
    Case("Attention", [n(1, 2, 3, 4)] * 3 + [None, n(1, 2, 0, 4), n(1, 2, 0, 4)], {"is_causal": 1}, outputs=3,
         wrt=(0, 1, 2), opset=23, on_ort=False, note="an empty past"),
    Case("Attention", [n(2, 2, 3, 4), n(2, 2, 5, 4), n(2, 2, 5, 4), None, None, None, np.array([5, 3])], {}, opset=24,
         on_ort=False, note="keys that are there"),
    Case("RotaryEmbedding", [n(2, 3, 16), n(6, 2), n(6, 2), np.array([[0, 1, 2], [3, 1, 4]])],
         {"num_heads": 2, "rotary_embedding_dim": 4}, opset=23, on_ort=False),
    Case("Attention", [n(1, 2, 5, 4), n(1, 2, 5, 4), n(1, 2, 5, 4)], {"left_window_size": 1, "right_window_size": 1},
         opset=25, on_ort=False),
]  # fmt: skip


@pytest.mark.parametrize("case", NEWER, ids=str)
def test_what_newer_sets_brought_has_the_right_gradient(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("scale", [(), (4,)])
def test_dequantised_to_another_type_than_the_scales(scale: tuple[int, ...]) -> None:
    """``output_dtype`` (opset 23): y = (q - zero) scale in float16, and its gradient by the scale in float32."""
    import onnxruntime

    given = {"axis": 1} if scale else {}
    made = helper.make_node("DequantizeLinear", ["q", "s"], ["y"], output_dtype=TensorProto.FLOAT16, **given)
    q = np.arange(12, dtype=np.int8).reshape(3, 4)
    graph = helper.make_graph(
        [made], "g", [helper.make_tensor_value_info("s", TensorProto.FLOAT, scale)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [3, 4])], [onnx.numpy_helper.from_array(q, "q")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)
    need(model)
    g = onnxsal.gradient(model, of=["y"], wrt=["s"])
    session = onnxruntime.InferenceSession(g.SerializeToString(), providers=["CPUExecutionProvider"])
    u = R.normal(size=(3, 4)).astype(np.float16)
    got = session.run(["grad/s"], {"s": np.full(scale, 0.1, np.float32), "seed/y": u})[0]
    np.testing.assert_allclose(got, (u.astype(np.float32) * q).sum(0 if scale else None), rtol=1e-5)
