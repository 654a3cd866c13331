"""Heads however their weights are written: the layer in front of them is chosen, class maps behind them are not.

What is right is asked of ONNX Runtime: a change of one channel of the chosen layer moves several scores, a change of a
class map one alone.
"""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from anatomies import dissected
from onnx import TensorProto, helper, numpy_helper

from onnxsal.graph import load_ir, normalise

RNG = np.random.default_rng(3)
K, C, S = 5, 8, 6
"""Classes, channels and side of the last maps."""

FLOAT, INT64 = np.float32, np.int64
INTS = {"n1": [-1], "one": [1], "two": [2], "three": [3], "tokens": [0, C, -1], "row": [-1, 1, C], "flat": [-1, K],
        "half": [C // 2], "hw": [2, 3], "zero": [0], "five": [K], "cut": [0, K], "order": [4, 3, 2, 1, 0],
        "made": [-1, C, K], "pairs": [-1, 2, K], "long": [2 * K], "k3": [0, K, -1]}  # fmt: skip
NUMBERS = {"eps": 1e-5, "scale": 30.0, "m": 0.2, "step": 0.01, "half_": 0.5, "two_": 2.0, "third": 1 / 3, "three_": 3.0,
           "nought": 0.0, "minus": -0.1, "plus": 0.1, "area": S * S}  # fmt: skip


def op(text, **attributes):
    """``op in in -> out`` as a node; the domain in front of the operator with a colon."""
    left, _, right = text.partition(" -> ")
    kind, *inputs = left.split()
    domain, _, name = kind.rpartition(":")
    names = ["" if i == "_" else i for i in inputs]
    return helper.make_node(name, names, right.split(), name=right.split()[0], domain=domain, **attributes)


def weights():
    shapes = {"w1": (4, 3, 3, 3), "w2": (C, 4, 3, 3), "V": (K, C), "P": (1, K, C), "U": (C, 2), "W": (2, K),
              "A": (K, 2), "B": (2, C), "g": (K, 1), "c": (K,), "big": (2 * K, C), "Q": (K, C, 1, 1),
              "R": (C, K, 1, 1), "M": (C, C), "H": (4, C * K), "gate": (2, C), "u": (1, K), "D": (C, 1, S, S),
              "cb": (K, 1, 1), "place": (S, S), "p36": (S * S, 1), "V1": (1, C), "cs": (1, K),
              "gru": (1, 3 * K, C), "gru_r": (1, 3 * K, K), "key": (C, 1), "wide": (K, C * 9),
              "third_": (K, C // 2)}  # fmt: skip
    rng = np.random.default_rng(3)
    found = {name: rng.normal(0, 0.5, shape).astype(FLOAT) for name, shape in shapes.items()}
    found |= {name: np.array(value, INT64) for name, value in INTS.items()}
    found |= {name: np.array(value, FLOAT) for name, value in NUMBERS.items()}
    found |= {"Vt": found["V"].T.copy(), "q8": rng.integers(-127, 127, (K, C)).astype(np.int8), "z8": np.int8(0),
              "lo": np.int8(-100), "hi": np.int8(100), "mean36": np.full((S * S, 1), 1 / 36, FLOAT),
              "same": np.full((1, C), 0.5, FLOAT), "key": found["key"] / 50}  # fmt: skip
    return found


FRONT = [
    op("Conv x w1 -> a1", pads=[1] * 4), op("Relu a1 -> r1"), op("Conv r1 w2 -> a2", pads=[1] * 4, strides=[2, 2]),
    op("Relu a2 -> maps"), op("GlobalAveragePool maps -> gap"), op("Flatten gap -> feat"),
]  # fmt: skip
NORMED = [op("ReduceL2 V one -> wl", keepdims=1), op("Div V wl -> wn")]
APART = [op("Unsqueeze feat one -> fu"), op("Sub fu P -> d")]
SIDE = [op("GlobalAveragePool r1 -> g1"), op("Flatten g1 -> f1")]


def gemm(weight):
    return op(f"Gemm feat {weight} c -> z", transB=1)


HEADS = {
    "Gemm": [gemm("V")],
    "MatMul": [op("MatMul feat Vt -> z")],
    "weights first": [op("Transpose feat -> ft", perm=[1, 0]), op("MatMul V ft -> zt"),
                      op("Transpose zt -> z", perm=[1, 0])],
    "weights first in Gemm": [op("Gemm V feat -> zt", transB=1), op("Transpose zt -> z", perm=[1, 0])],
    "Gemm of the transposed": [op("Transpose feat -> ft", perm=[1, 0]), op("Gemm ft Vt -> z", transA=1)],
    "ArcFace": [*NORMED, op("Transpose wn -> wt", perm=[1, 0]), op("MatMul feat wt -> z")],
    "CosFace": [*NORMED, op("Transpose wn -> wt", perm=[1, 0]), op("MatMul feat wt -> cos"),
                op("Sub cos m -> cm"), op("Mul cm scale -> z")],
    "weight norm": [*NORMED, op("Mul wn g -> wg"), gemm("wg")],
    "spectral norm": [op("MatMul u V -> v0"), op("ReduceL2 v0 one -> vl"), op("Div v0 vl -> v1"),
                      op("Transpose v1 -> v2", perm=[1, 0]), op("MatMul V v2 -> vv"), op("ReduceL2 vv -> sigma"),
                      op("Div V sigma -> Vs"), gemm("Vs")],
    "Cast and Mul": [op("Cast q8 -> qf", to=1), op("Mul qf step -> wd"), gemm("wd")],
    "Q, DQ": [op("QuantizeLinear V step z8 -> vq"), op("DequantizeLinear vq step z8 -> vd"), gemm("vd")],
    "Q, Clip, DQ": [op("QuantizeLinear V step z8 -> vq"), op("Clip vq lo hi -> vc"),
                    op("DequantizeLinear vc step z8 -> vd"), gemm("vd")],
    "binary": [op("Sign V -> vs"), op("Abs V -> va"), op("ReduceMean va -> vm"), op("Mul vs vm -> vb"),
               gemm("vb")],
    "ternary": [op("Greater V plus -> up"), op("Less V minus -> down"), op("Cast up -> upf", to=1),
                op("Cast down -> downf", to=1), op("Sub upf downf -> vt"), gemm("vt")],
    "pruned": [op("Abs V -> va"), op("Greater va plus -> kept"), op("Where kept V nought -> vp"), gemm("vp")],
    "low rank": [op("MatMul feat U -> fl"), op("MatMul fl W -> z")],
    "LoRA": [op("MatMul A B -> ab"), op("Add V ab -> vl"), gemm("vl")],
    "behind Gather": [op("Gather big order -> vg", axis=0), gemm("vg")],
    "behind Slice": [op("Slice big zero five zero -> vg"), gemm("vg")],
    "behind Split": [op("Split big -> vg vh", axis=0, num_outputs=2), gemm("vh")],
    "behind Concat": [op("Concat third_ third_ -> vg", axis=1), gemm("vg")],
    "behind Expand to the batch": [op("Shape feat -> s", start=0, end=1), op("Concat s made2 -> s3", axis=0),
                                   op("Expand P s3 -> pe"), op("Transpose pe -> pt", perm=[0, 2, 1]),
                                   op("Unsqueeze feat one -> fu"), op("MatMul fu pt -> z3"),
                                   op("Reshape z3 flat -> z")],
    "Einsum": [op("Einsum feat V -> z", equation="bc,kc->bk")],
    "Einsum, weights first, no arrow": [op("Einsum V feat -> zt", equation="kc,bc"),
                                        op("Transpose zt -> z", perm=[1, 0])],
    "Einsum, dots": [op("Einsum feat V -> z", equation="...c,kc->...k")],
    "Einsum of the outer product": [op("Einsum feat V -> zo", equation="bc,kc->bkc"),
                                    op("ReduceSum zo two -> z", keepdims=0)],
    "Mul, ReduceSum": [op("Unsqueeze feat one -> fu"), op("Mul fu P -> fp"), op("ReduceSum fp n1 -> z", keepdims=0)],
    "Mul, ReduceMean": [op("Unsqueeze feat one -> fu"), op("Mul P fu -> fp"),
                        op("ReduceMean fp two -> z", keepdims=0)],
    "squared distance": [*APART, op("Mul d d -> sq"), op("ReduceSum sq n1 -> z0", keepdims=0), op("Neg z0 -> z")],
    "distance by Pow": [*APART, op("Pow d two_ -> sq"), op("ReduceSum sq n1 -> z0", keepdims=0), op("Sqrt z0 -> z")],
    "distance by ReduceL2": [*APART, op("ReduceL2 d n1 -> z", keepdims=0)],
    "city block": [*APART, op("Abs d -> da"), op("ReduceSum da two -> z", keepdims=0)],
    "RBF": [*APART, op("Mul d d -> sq"), op("ReduceSum sq n1 -> z0", keepdims=0), op("Mul z0 minus -> z1"),
            op("Exp z1 -> z")],
    "Mahalanobis": [*APART, op("MatMul d M -> dm"), op("Mul dm d -> dd"), op("ReduceSum dd two -> z", keepdims=0)],
    "hypernetwork": [*SIDE, op("MatMul f1 H -> hw0"), op("Reshape hw0 made -> hx"), op("Unsqueeze feat one -> fu"),
                     op("MatMul fu hx -> z3"), op("Reshape z3 flat -> z")],
    "heads averaged": [op("Gemm feat big -> zz", transB=1), op("Reshape zz pairs -> zp"),
                       op("ReduceMean zp one -> z", keepdims=0)],
    "mixture of heads": [op("Gemm feat big -> zz", transB=1), op("Reshape zz pairs -> zp"),
                         op("Gemm feat gate -> gl", transB=1), op("Softmax gl -> gs"), op("Unsqueeze gs two -> gu"),
                         op("Mul zp gu -> zg"), op("ReduceSum zg one -> z", keepdims=0)],
    "product of experts": [op("Gemm feat big -> zz", transB=1), op("Reshape zz pairs -> zp"),
                           op("LogSoftmax zp -> zl", axis=2), op("ReduceSum zl one -> z", keepdims=0)],
    "maxout": [op("Gemm feat big -> zz", transB=1), op("Reshape zz pairs -> zp"),
               op("ReduceMax zp one -> z", keepdims=0)],
    "convolution": [op("Conv gap Q -> z4"), op("Flatten z4 -> z")],
    "standardised convolution": [op("ReduceMean Q h123 -> qm"), op("Sub Q qm -> q0"), op("Mul q0 q0 -> qq"),
                                 op("ReduceMean qq h123 -> qv"), op("Add qv eps -> qe"), op("Sqrt qe -> qs"),
                                 op("Div q0 qs -> qn"), op("Conv gap qn -> z4"), op("Flatten z4 -> z")],
    "transposed convolution": [op("ConvTranspose gap R -> z4"), op("Flatten z4 -> z")],
    "depthwise, then Gemm": [op("Conv maps D -> d4", group=C), op("Flatten d4 -> df"),
                             op("Gemm df V c -> z", transB=1)],
    "GRU": [op("Unsqueeze feat zero -> seq"), op("GRU seq gru gru_r -> _y z3", hidden_size=K),
            op("Squeeze z3 zero -> z")],
    "generalised mean": [op("Clip maps eps -> mc"), op("Pow mc three_ -> mp"), op("GlobalAveragePool mp -> mg"),
                         op("Pow mg third -> mr"), op("Flatten mr -> mf"), op("Gemm mf V c -> z", transB=1)],
    "log-sum-exp": [op("Mul maps plus -> ms"), op("Exp ms -> mp"), op("ReduceSum mp hw -> mg", keepdims=0),
                    op("Log mg -> mr"), op("Div mr plus -> mf"), op("Gemm mf V c -> z", transB=1)],
    "attention pooling": [op("Reshape maps tokens -> t0"), op("Transpose t0 -> t", perm=[0, 2, 1]),
                          op("MatMul t key -> al"), op("Softmax al -> as", axis=1), op("MatMul t0 as -> mf3"),
                          op("Squeeze mf3 two -> mf"), op("Gemm mf V c -> z", transB=1)],
    "another domain": [op("own:Head feat V -> z")],
    "packed weights": [op("com.microsoft:MatMulBnb4 feat V c -> z", K=C, N=K, block_size=16, quant_type=1)],
    "a linear classifier": [op("ai.onnx.ml:LinearClassifier feat -> label z", coefficients=[0.5] * (K * C),
                                 intercepts=[0.0] * K, classlabels_ints=list(range(K)), post_transform="NONE")],
}  # fmt: skip
"""From ``feat`` [n, C], the mean of ``maps`` [n, C, S, S], to ``z`` [n, K]; the last maps are in front of all."""

MAPS = op("Conv maps Q -> class_maps")
BEHIND = {
    "mean": [op("GlobalAveragePool class_maps -> z4"), op("Flatten z4 -> z")],
    "scale and bias of a class": [op("Mul class_maps cb -> cm"), op("Add cm cb -> cn"),
                                  op("ReduceMean cn hw -> z", keepdims=0)],
    "mean as a product": [op("Reshape class_maps k3 -> ck"), op("MatMul ck mean36 -> z3"),
                          op("Squeeze z3 two -> z")],
    "weights of places": [op("Einsum class_maps place -> z", equation="bkhw,hw->bk")],
    "weights of places by Mul": [op("Mul class_maps place -> cm"), op("ReduceSum cm hw -> z", keepdims=0)],
    "weights of places first": [op("Reshape class_maps k3 -> ck"), op("Transpose ck -> ct", perm=[0, 2, 1]),
                                op("Transpose p36 -> pt", perm=[1, 0]), op("MatMul pt ct -> z3"),
                                op("Squeeze z3 one -> z")],
    "logits of norm 1": [op("ReduceMean class_maps hw -> z0", keepdims=0), op("Mul z0 cs -> z1"),
                         op("ReduceL2 z1 one -> zl"), op("Div z1 zl -> z")],
    "standardised logits": [op("ReduceMean class_maps hw -> z0", keepdims=0), op("Mul z0 cs -> z1"),
                            op("ReduceMean z1 one -> zm"), op("Sub z1 zm -> zd"), op("Mul zd zd -> zq"),
                            op("ReduceMean zq one -> zv"), op("Add zv eps -> ze"), op("Sqrt ze -> zs"),
                            op("Div zd zs -> z")],
    "log-sum-exp": [op("Exp class_maps -> ce"), op("ReduceMean ce hw -> cm", keepdims=0), op("Log cm -> z")],
    "attention": [op("Reshape maps tokens -> t0"), op("Transpose t0 -> t", perm=[0, 2, 1]), op("MatMul t key -> al"),
                  op("Softmax al -> as", axis=1), op("Reshape class_maps k3 -> ck"), op("MatMul ck as -> z3"),
                  op("Squeeze z3 two -> z")],
}  # fmt: skip
"""From a score of every position to ``z``, without a sum over channels."""

ALONE = {"own", "com.microsoft", "ai.onnx.ml"}
"""Domains of heads that are not run."""


def built(nodes, outputs=("z",)):
    given = weights() | {
        "made2": np.array([K, C]),
        "all": np.array([-1, C * C]),
        "pair": np.array([-1, 2 * C]),
        "G": RNG.normal(size=(C * C, K)).astype(FLOAT),
        "Y": RNG.normal(size=(2 * C, K)).astype(FLOAT),
        "X": RNG.normal(size=(C, 2 * C)).astype(FLOAT),
        "ask": RNG.normal(size=(1, 1, C)).astype(FLOAT),
        "h123": np.array([1, 2, 3]),
    }
    read = {name for n in nodes for name in n.input}
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in given.items() if k in read]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 2 * S, 2 * S])
    z = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", K] if name == "z" else None) for name in outputs]
    domains = {n.domain for n in nodes} | {""}
    opsets = [helper.make_opsetid(domain, {"": 18, "ai.onnx.ml": 3}.get(domain, 1)) for domain in sorted(domains)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], z, initializers), opset_imports=opsets, ir_version=9)


def chosen(nodes, *, keep=frozenset()):
    return dissected(normalise(load_ir(built(nodes)), keep=keep)).layers.find(None).name


def moved(nodes, layer):
    """Return how many scores a change of one channel of a layer at one place moves, in ONNX Runtime."""
    front = next(n for n in nodes if layer in n.output)
    at = nodes.index(front)
    behind = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes[at + 1 :]]
    for n in behind:
        n.input[:] = [f"{layer}_moved" if name == layer else name for name in n.input]
    model = built(
        [*nodes[: at + 1], helper.make_node("Add", [layer, "delta"], [f"{layer}_moved"]), *behind], ("z", layer)
    )
    model.graph.input.append(helper.make_tensor_value_info("delta", TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 2 * S, 2 * S)).astype(FLOAT)
    plain = session.run(["z", layer], {"x": x, "delta": np.zeros(1, FLOAT)})
    delta = np.zeros_like(plain[1])
    delta[0, 2, 1, 2] = 4
    return int((np.abs(session.run(["z"], {"x": x, "delta": delta})[0] - plain[0]) > 1e-6).sum())


@pytest.mark.parametrize("name", HEADS)
def test_the_maps_in_front_of_a_head_are_chosen(name):
    nodes = [*FRONT, *HEADS[name]]
    large = frozenset(name for name, array in weights().items() if array.dtype == FLOAT and array.size > 1)
    assert chosen(nodes) == chosen(nodes, keep=large) == "maps"  # large weights are computed when the model runs
    if not {n.domain for n in nodes} & ALONE:
        assert moved(nodes, "maps") > 1


@pytest.mark.parametrize("name", BEHIND)
def test_class_maps_are_not_chosen(name):
    nodes = [*FRONT[:4], MAPS, *BEHIND[name]]
    # Of norm 1 they are an embedding, whose reference weighs the pooled maps.
    assert chosen(nodes) == ("class_maps" if name == "logits of norm 1" else "maps")
    if "norm" not in name and "standardised" not in name:
        assert moved(nodes, "class_maps") == 1


TOKENS = [op("Identity a2 -> maps"), op("Reshape maps tokens -> f"), op("Transpose f -> t", perm=[0, 2, 1])]
OPERATIONS = {
    "bilinear pooling": ([op("MatMul f t -> gram"), op("Reshape gram all -> gf"), op("MatMul gf G -> z")], "a2"),
    "NetVLAD": ([op("MatMul t U -> l"), op("Softmax l -> as", axis=-1), op("Transpose as -> at", perm=[0, 2, 1]),
                 op("MatMul at t -> gram"), op("Reshape gram pair -> gf"), op("MatMul gf Y -> z")], "a2"),
    "attention pooling of what is not projected": (
        [op("MatMul t key -> al"), op("Softmax al -> as", axis=1), op("MatMul f as -> mf3"),
         op("Squeeze mf3 two -> mf"), op("Gemm mf V c -> z", transB=1)], "a2"),
    "the first token asks": (
        [op("Gather t zero -> q", axis=1), op("MatMul q f -> al"), op("Softmax al -> as", axis=-1),
         op("MatMul as t -> mf3"), op("Squeeze mf3 one -> mf"), op("Gemm mf V c -> z", transB=1)], "a2"),
    "keys and values in one": (
        [op("MatMul t X -> kv"), op("Split kv -> k v", axis=2, num_outputs=2), op("Transpose k -> kt", perm=[0, 2, 1]),
         op("MatMul ask kt -> al"), op("Softmax al -> as", axis=-1), op("MatMul as v -> mf3"),
         op("Squeeze mf3 one -> mf"), op("Gemm mf V c -> z", transB=1)], "a2"),
}  # fmt: skip
"""Products of maps with themselves, behind a convolution that nothing follows; what is right for each."""


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_input_of_an_operation_is_chosen_and_not_a_part_of_it(name):
    nodes, right = OPERATIONS[name]
    assert chosen([*FRONT[:3], *TOKENS, *nodes]) == right
