"""What ONNX Runtime runs otherwise than the standard says: every form against ONNX Runtime running the file itself."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from drawing_models import draws, parse, runs

from onnxsal.autodiff.sequences import lower_sequences
from onnxsal.graph import dims, load_ir, normalise, to_proto
from onnxsal.graph.random import drawing_nodes

MIDDLE = "a = Mul(x, two) {} y = Add(d, two)"
TAKEN = "s = ReduceSum<keepdims=0>(x) c = Greater(s, two) y = If(c)"


def branches(then, rest="e = Add(d, two)"):
    return f"a = Mul(x, two) {TAKEN} <then_branch = b() => (float[1,16] e) {{ {then} {rest} }}, " \
           "else_branch = o() => (float[1,16] q) { q = Identity(a) }>"  # fmt: skip


DROPS = {
    "at the input": "d = Dropout(x, half, train) y = Add(d, two)",
    "at the output": "a = Mul(x, two) y = Dropout(a, half, train)",
    "ratio by default, at the output": "a = Mul(x, two) y = Dropout(a, , train)",
    "with a seed, at the output": "a = Mul(x, two) y = Dropout<seed=3>(a, half, train)",
    "of a constant": "d = Dropout(c16, half, train) y = Add(x, d)",
    "its mask is read": MIDDLE.format("d0, m = Dropout(a, half, train) d = Where(m, d0, two)"),
    "in a mode that is computed": "a = Mul(x, two) s = ReduceSum<keepdims=0>(x) t = Greater(s, two) "
                                  "d = Dropout(a, half, t) y = Add(d, two)",
    "read by a body": "a = Mul(x, two) d = Dropout(a, half, train) s = ReduceSum<keepdims=0>(x) c = Greater(s, two) "
                      "y = If(c) <then_branch = b() => (float[1,16] e) { e = Add(d, two) }, "
                      "else_branch = o() => (float[1,16] q) { q = Identity(a) }>",
    "in a body, of a value outside": branches("d = Dropout(a, half, train)"),
    "in a body, at its end": branches("p = Mul(a, two) e = Dropout(p, half, train)", ""),
    "in a loop, of what it carries": "a = Mul(x, two) y = Loop(once, train, a) <body = b(int64 i, bool c, float[1,16] "
                                     "s) => (bool k, float[1,16] r) { k = Identity(c) d = Dropout(s, half, train) "
                                     "r = Add(d, two) }>",
}  # fmt: skip
KEEPS = {
    "in the middle": MIDDLE.format("d = Dropout(a, half, train)"),
    "in the middle, ratio by default": MIDDLE.format("d = Dropout(a, , train)"),
    "in the middle, with a seed": MIDDLE.format("d = Dropout<seed=3>(a, half, train)"),
    "its mask is named only": MIDDLE.format("d, m = Dropout(a, half, train)"),
    "one behind the other": MIDDLE.format("d0 = Dropout(a, half, train) d = Dropout(d0, half, train)"),
    "read twice": "a = Mul(x, two) d = Dropout(a, half, train) b = Add(d, a) y = Mul(b, d)",
    "in a body, in the middle": branches("p = Mul(a, two) d = Dropout(p, half, train)"),
    "ratio 0 at the output": "a = Mul(x, two) y = Dropout(a, none, train)",
    "not in training": "a = Mul(x, two) y = Dropout(a, half, still)",
    "without a mode": "a = Mul(x, two) y = Dropout(a, half)",
}


@pytest.mark.parametrize("form", DROPS, ids=str)
def test_a_dropout_that_drops_is_one_that_draws(form):
    proto = parse(DROPS[form])
    assert draws(runs(proto))
    model = normalise(load_ir(proto))
    assert [n.op_type for n in drawing_nodes(model.graph.outputs)] == ["Dropout"]
    assert draws(runs(to_proto(model)))


@pytest.mark.parametrize("opset", [13, 17, 21, 22])
@pytest.mark.parametrize("form", KEEPS, ids=str)
def test_a_dropout_that_the_runtime_removes_draws_nothing(form, opset):
    proto = parse(KEEPS[form], opset=opset)
    first, *others = runs(proto)
    assert not draws([first, *others])
    model = normalise(load_ir(proto))
    assert not drawing_nodes(model.graph.outputs)
    np.testing.assert_array_equal(runs(to_proto(model), 1)[0], first)


def test_a_dropout_stays_off_wherever_the_graph_is_cut():
    """What a program reads first, or puts out, ONNX Runtime would not remove: the normal form has settled it."""
    model = normalise(load_ir(parse(MIDDLE.format("d = Dropout(a, half, train)"))))
    (node,) = [n for n in model.graph if n.op_type == "Dropout"]
    model.graph.outputs.append(node.outputs[0])
    proto = to_proto(model)
    assert not draws(runs(proto))


def test_a_mode_that_is_fed_is_left_to_who_feeds_it():
    model = normalise(load_ir(parse(MIDDLE.format("d = Dropout(a, half, t)"), inputs="float[1,16] x, bool t")))
    (node,) = [n for n in model.graph if n.op_type == "Dropout"]
    assert len(node.inputs) == 3


@pytest.mark.parametrize("opset", [13, 17, 21])
def test_a_squeeze_of_an_empty_list_of_axes_takes_all_of_one(opset):
    proto = parse("a = Squeeze(x, nothing) y = Softmax<axis=0>(a)", opset=opset)
    (result,) = runs(proto, 1)
    model = normalise(load_ir(proto))
    assert dims(model.graph.outputs[0]) == result.shape == (16,)
    np.testing.assert_array_equal(runs(to_proto(model), 1)[0], result)


@pytest.mark.parametrize("keeps", [0, 1])
def test_a_split_by_the_number_one_keeps_its_axis_as_keepdims_says(keeps):
    """As torch.where()[0] in a script comes out of PyTorch's exporter."""
    body = f"s = SplitToSequence<axis=1, keepdims={keeps}>(x, one) q = SequenceAt(s, third) y = Relu(q)"
    proto = parse(body, outputs="float[1, 1] y" if keeps else "float[1] y")
    for name, number in (("one", 1), ("third", 2)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array(number), name))
    (result,) = runs(proto, 1)
    model = normalise(load_ir(proto))
    assert lower_sequences(model.graph) == bool(keeps)
    assert result.shape == ((1, 1) if keeps else (1,))
    np.testing.assert_array_equal(runs(to_proto(model), 1)[0], result)
