"""The automatic layer of whole models, what is listed beside it, and how a layer is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from anatomies import dissected
from onnxruntime import quantization

from onnxsal.anatomy import TARGET, X, select
from onnxsal.anatomy.layout import layouts
from onnxsal.autodiff import gradients_of
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import Program, load_ir, normalise
from onnxsal.graph.batch import free_batch
from onnxsal.graph.program import values_by_name

ZOO = Path(__file__).parent.parent / "data" / "zoo"

NCHW, NHWC, TOKENS = (1, (2, 3)), (3, (1, 2)), (2, (1,))
"""Channel axis and spatial axes."""

EXPECTED = {
    "convnext": ("/features/features.5/features.5.0/Add_output_0", *NCHW, (2, 2), 16, 0),
    "convnext_dynamo": ("add_278", *NCHW, (2, 2), 16, 0),
    "convnext_old": ("/features/features.5/features.5.0/Add_output_0", *NCHW, (2, 2), 16, 0),
    "densenet": ("/Relu_output_0", *NCHW, (2, 2), 16, 0),
    "densenet_dynamo": ("relu_15", *NCHW, (2, 2), 16, 0),
    "efficientnet": ("/features/features.4/features.4.2/Mul_output_0", *NCHW, (4, 4), 32, 0),
    "efficientnet_dynamo": ("silu_12", *NCHW, (4, 4), 32, 0),
    "inception": ("/Mixed_7c/Concat_output_0", *NCHW, (2, 2), 64, 0),
    "inception_dynamo": ("cat_15", *NCHW, (2, 2), 64, 0),
    "mobilenet_v2": ("/features/features.6/features.6.2/Clip_output_0", *NCHW, (4, 4), 24, 0),
    "mobilenet_v2_dynamo": ("hardtanh_10", *NCHW, (4, 4), 24, 0),
    "mobilenet_v2_int8": (
        "/features/features.6/features.6.2/Clip_output_0_QuantizeLinear_Output", *NCHW, (4, 4), 24, 0,
    ),
    "mobilenet_v3": ("/features/features.4/features.4.2/HardSwish_output_0", *NCHW, (4, 4), 96, 0),
    "mobilenet_v3_dynamo": ("hardswish_3", *NCHW, (4, 4), 96, 0),
    "mobilenet_v3_old": ("/features/features.4/features.4.2/Mul_output_0", *NCHW, (4, 4), 96, 0),
    "resnet_basic": ("/layer4/layer4.1/act2/Relu_output_0", *NCHW, (2, 2), 10, 0),
    "resnet_basic_float16": ("/layer4/layer4.1/act2/Relu_output_0", *NCHW, (2, 2), 10, 0),
    "resnet_basic_int8": ("/layer4/layer4.1/act2/Relu_output_0_QuantizeLinear_Output", *NCHW, (2, 2), 10, 0),
    "resnet_bottleneck": ("relu_12", *NCHW, (2, 2), 40, 0),
    "swin": ("/norm/LayerNormalization_output_0", *NHWC, (4, 4), 16, 0),
    "swin_dynamo": ("layer_norm_10", *NHWC, (4, 4), 16, 0),
    "vgg": ("/avgpool/AveragePool_output_0", *NCHW, (2, 2), 8, 0),
    "vgg_dynamo": ("avg_pool2d", *NCHW, (2, 2), 8, 0),
    "vit": ("/encoder/layers/encoder_layer_1/ln_1/LayerNormalization_output_0", *TOKENS, (4, 4), 16, 1),
    "vit_dynamo": ("layer_norm_2", *TOKENS, (4, 4), 16, 1),
    "vit_timm": ("/blocks/blocks.2/norm1/LayerNormalization_output_0", *TOKENS, (4, 4), 16, 1),
    "vit_timm_dynamo": ("layer_norm_4", *TOKENS, (4, 4), 16, 1),
    "vit_timm_float16": ("layer_norm_4", *TOKENS, (4, 4), 16, 1),
}  # fmt: skip


def anatomy_of(path):
    return dissected(normalise(load_ir(path)))


def brief(layer):
    return layer.name, layer.channel_axis, layer.spatial_axes, layer.grid, layer.channels, layer.dropped_tokens


def test_every_model_of_the_zoo_has_an_expected_layer():
    assert set(EXPECTED) == {path.stem for path in ZOO.glob("*.onnx")}


@pytest.mark.parametrize("name", EXPECTED)
def test_automatic_layer(name):
    assert brief(anatomy_of(ZOO / f"{name}.onnx").layers.find(None)) == EXPECTED[name]


def maps_and_gradients(anatomy, layer, x):
    trace = select(anatomy).extend()
    value = trace[layer.name]
    if value.dtype is not None and not value.dtype.is_floating_point():
        value = next(iter(value.consumers())).outputs[0]
    (gradient,) = gradients_of(trace, trace["score"], [value])
    program = trace.finish(maps=layer.maps(trace, value), gradients=layer.maps(trace, gradient))
    return run(program, x)


def run(program: Program, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(program.to_proto().SerializeToString(), options)
    return session.run(None, {X: x, TARGET: np.array([1, 3])})


@pytest.mark.parametrize("name", ["vit", "vit_timm", "vit_timm_dynamo", "swin", "inception", "mobilenet_v2_int8"])
def test_the_score_depends_on_every_position(name):
    anatomy = anatomy_of(ZOO / f"{name}.onnx")
    layer = anatomy.layers.find(None)
    x = np.random.default_rng(0).standard_normal((2, 3, *anatomy.entry.size)).astype(np.float32)
    maps, gradients = maps_and_gradients(anatomy, layer, x)
    assert maps.shape == gradients.shape == (2, layer.channels, *layer.grid)
    assert np.abs(gradients).max(axis=1).min() > 0


def test_behind_the_last_attention_it_does_not():
    """What the rule is for: patches of the last block reach the class token no more."""
    anatomy = anatomy_of(ZOO / "vit_timm.onnx")
    last = [layer for layer in anatomy.layers.found if layer.dropped_tokens == 1][-1]
    x = np.random.default_rng(0).standard_normal((2, 3, *anatomy.entry.size)).astype(np.float32)
    _, gradients = maps_and_gradients(anatomy, last, x)
    assert np.abs(gradients).max() == 0


@pytest.mark.parametrize(
    ("name", "count"), [("swin", 40), ("swin_dynamo", 40), ("vit_timm", 5), ("convnext", 12), ("densenet_dynamo", 12)]
)
def test_maps_lie_where_the_picture_is(name, count):
    """A change in one corner changes the same corner of an early layer most."""
    anatomy = anatomy_of(ZOO / f"{name}.onnx")
    early = [layer for layer in anatomy.layers.found if min(layer.grid) >= 4][:count]
    height, width = anatomy.entry.size
    x = np.random.default_rng(0).standard_normal((2, 3, height, width)).astype(np.float32)
    x[1] = x[0]
    x[1, :, : height // 4, -width // 4 :] += 1
    trace = select(anatomy).extend()
    program = trace.finish_with({f"maps{i}": layer.maps(trace, trace[layer.name]) for i, layer in enumerate(early)})
    for layer, maps in zip(early, run(program, x), strict=True):
        change = np.abs(maps[1] - maps[0]).sum(axis=0)
        row, column = np.unravel_index(change.argmax(), change.shape)
        assert row < layer.grid[0] / 2 and column >= layer.grid[1] / 2, layer.name


def test_squeezenet(shared):
    found = anatomy_of(shared / "models" / "squeezenet1.0_fp32.onnx").layers
    assert brief(found.find(None)) == ("fire9/concat_1", *NCHW, (13, 13), 512, 0)


@pytest.mark.parametrize("freed", [False, True])
def test_int8_mobilenet(shared, freed):
    model = normalise(load_ir(shared / "models" / "mobilenet_v2_int8.onnx"))
    layer = dissected(free_batch(model, "input") if freed else model).layers.find(None)
    assert layer.op_type == "QuantizeLinear" and "Conv_1/Relu6" in layer.name
    assert brief(layer)[1:] == (*NCHW, (7, 7), 1280, 0)


def parse(body, inputs="float[n,3,8,8] x", weights=""):
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float y) {weights} {{ {body} }}'
    return onnx.parser.parse_model(text.replace("'", '"'))


def floats(name, *shape):
    return f"float[{','.join(map(str, shape))}] {name} = {{{','.join(['0.5'] * int(np.prod(shape)))}}}"


CHAIN = f"<{floats('w', 6, 3, 3, 3)}, {floats('v', 6, 5)}>"
HEADS = {
    "keras": ("float[n,8,8,3] i", "x = Transpose<perm=[0,3,1,2]>(i)", "p = ReduceMean<keepdims=0>(r, k)", (2, 3)),
    "pooled": ("float[n,3,8,8] x", "", "q = GlobalAveragePool(r) p = Flatten(q)", (2, 3)),
    "mean": ("float[n,3,8,8] x", "", "p = ReduceMean<keepdims=0>(r, k)", (2, 3)),
    "last axes": ("float[n,3,8,8] x", "", "t = Transpose<perm=[0,2,3,1]>(r) p = ReduceMean<keepdims=0>(t, k)", (1, 2)),
}


@pytest.mark.parametrize(("inputs", "front", "pool", "axes"), HEADS.values(), ids=HEADS)
def test_plain_convolutions_by_every_mean(inputs, front, pool, axes):
    body = f"k = Constant<value=int64[2] {{{axes[0]},{axes[1]}}}>() {front} c = Conv(x, w) r = Relu(c) {pool} "
    layers = dissected(normalise(load_ir(parse(body + "y = MatMul(p, v)", inputs, CHAIN)))).layers
    assert brief(layers.find(None)) == ("r", *NCHW, (6, 6), 6, 0)


def test_class_maps_that_are_averaged_are_not_chosen():
    """A score per position, averaged, is the score itself cut up: no weighted operator lies behind it."""
    body = "c = Conv(x, w) r = Relu(c) m = Conv(r, u) q = GlobalAveragePool(m) y = Flatten(q)"
    weights = f"<{floats('w', 6, 3, 3, 3)}, {floats('u', 5, 6, 1, 1)}>"
    layers = dissected(normalise(load_ir(parse(body, weights=weights)))).layers
    assert layers.find(None).name == "r" and [layer.name for layer in layers.found] == ["c", "r", "m"]


def test_branches_are_not_chosen_before_what_joins_them():
    body = "c = Conv(x, w) r = Relu(c) s = Sigmoid(c) t = Concat<axis=1>(r, s) q = GlobalAveragePool(t) f = Flatten(q) "
    weights = f"<{floats('w', 6, 3, 3, 3)}, {floats('v', 12, 5)}>"
    model = parse(body + "y = MatMul(f, v)", weights=weights)
    assert dissected(normalise(load_ir(model))).layers.find(None).name == "t"


def test_an_if_through_which_layers_are_not_followed_is_named():
    body = (
        "c = Conv(x, w) m = ReduceMean<keepdims=0>(x) z = Sub(m, m) b = Greater(m, z)"
        " r = If(b)<then_branch = t () => (float[n,6,6,6] p) { p = Relu(c) },"
        " else_branch = e () => (float[n,6,6,6] q) { q = Mul(c, c) }> g = GlobalAveragePool(r) f = Flatten(g) "
    )
    weights = f"<{floats('w', 6, 3, 3, 3)}, {floats('v', 6, 5)}>"
    layers = dissected(normalise(load_ir(parse(body + "y = MatMul(f, v)", weights=weights)))).layers
    with pytest.raises(UnsupportedError, match="rows and columns are not followed through If 'r'"):
        layers.find(None)


def test_a_model_without_rows_and_columns():
    body = "f = Flatten(x) y = MatMul(f, v)"
    layers = dissected(normalise(load_ir(parse(body, weights=f"<{floats('v', 192, 5)}>")))).layers
    assert layers.found == () and layers.automatic is None
    for name, said in ((None, "no layer could be chosen"), ("#0", "there is no layer #0")):
        with pytest.raises(UnsupportedError, match=f"{said}: .* need none .gradient, smoothgrad"):
            layers.find(name)


def test_channels_of_tokens_averaged_by_a_pooling():
    """A normalisation of tokens [n, T, C] may be written with pooling over C: that needs no position but its own."""
    mean = {"pool": "m = GlobalAveragePool(e) d = Sub(e, m) s = Mul(d, d) v = GlobalAveragePool(s)",
            "reduction": "m = ReduceMean(e, l) d = Sub(e, m) s = Mul(d, d) v = ReduceMean(s, l)"}  # fmt: skip
    found = {}
    for name, normalised in mean.items():
        body = f"""p = Conv<strides=[2,2]>(x, w) f = Reshape(p, shape) t = Transpose<perm=[0,2,1]>(f) u = Relu(t)
            q = MatMul(u, a) k = Transpose<perm=[0,2,1]>(u) z = MatMul(q, k) o = Softmax<axis=-1>(z) r = MatMul(o, u)
            e = Add(t, r) {normalised} i = Add(v, one) j = Sqrt(i) h = Div(d, j) c = Gather<axis=1>(h, first)
            y = MatMul(c, b)"""
        weights = f"""<{floats("w", 4, 3, 2, 2)}, {floats("a", 4, 4)}, {floats("b", 4, 5)}, float one = {{1}},
            int64[1] l = {{-1}}, int64 first = {{0}}, int64[3] shape = {{0,4,-1}}>"""
        layers = dissected(normalise(load_ir(parse(body, weights=weights)))).layers
        found[name] = brief(layers.find(None))
    assert found["pool"] == found["reduction"] == ("u", *TOKENS, (4, 4), 4, 0)


ATTENTION = """p = Conv<strides=[2,2]>(x, w) f = Reshape(p, shape) t = Transpose<perm=[0,2,1]>(f)"""
ATTENDED = """q = MatMul(u, a) k = Transpose<perm=[0,2,1]>(u) z = MatMul(q, k) o = Softmax<axis=-1>(z) r = MatMul(o, u)
    e = Add(u, r)"""
PARTS = f"""{floats("w", 4, 3, 2, 2)}, {floats("a", 4, 4)}, {floats("b", 4, 5)}, int64 first = {{0}},
    int64[3] shape = {{0,4,-1}}"""


def test_the_scale_of_all_tokens_is_no_dependence_on_each():
    """Dynamic quantisation takes its zero point from all positions; the class token behind it is still one of them."""
    body = f"""{ATTENTION} u = Relu(t) {ATTENDED} h = Relu(e) hq, hs, hz = DynamicQuantizeLinear(h)
        m = MatMulInteger(hq, aq, hz) mf = Cast<to=1>(m) g = Mul(mf, hs) c = Gather<axis=1>(g, first)
        y = MatMul(c, b)"""
    weights = f"<{PARTS}, int8[4,4] aq = {{{','.join(['1'] * 16)}}}>"
    layers = dissected(normalise(load_ir(parse(body, weights=weights)))).layers
    assert brief(layers.find(None)) == ("u", *TOKENS, (4, 4), 4, 0)


def test_an_integer_concatenation_puts_a_class_token_in_front():
    body = f"""{ATTENTION} tq = QuantizeLinear(t, s, n0) n1 = Shape<start=0,end=1>(x) n3 = Concat<axis=0>(n1, one, four)
        cq = Expand(token, n3) uq = com.microsoft.QLinearConcat<axis=1>(s, n0, cq, s, n0, tq, s, n0)
        d = DequantizeLinear(uq, s, n0) u = Relu(d) {ATTENDED} c = Gather<axis=1>(e, first) y = MatMul(c, b)"""
    weights = f"""<{PARTS}, float s = {{0.5}}, uint8 n0 = {{3}}, int64[1] one = {{1}}, int64[1] four = {{4}},
        uint8[1,1,4] token = {{1,2,3,4}}>"""
    model = parse(body, weights=weights)
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    assert brief(dissected(normalise(load_ir(model))).layers.find(None)) == ("u", *TOKENS, (4, 4), 4, 1)


def test_names():
    layers = anatomy_of(ZOO / "vit_timm.onnx").layers
    chosen = layers.find(None)
    number = layers.found.index(chosen)
    for name in (chosen.name, f"#{number}", "blocks.2/norm1/LayerNormalization_output_0"):
        assert layers.find(name) == chosen
    assert layers.find("/blocks/blocks.2/norm1/LayerNormalization") == chosen
    with pytest.raises(UsageError, match="ambiguous"):
        layers.find("LayerNormalization_output_0")
    with pytest.raises(UsageError, match="did you mean"):
        layers.find("/blocks/blocks.2/norm1/LayerNormalisation_output_0")
    with pytest.raises(UsageError, match=rf"#0 to #{len(layers.found) - 1}"):
        layers.find("#100000")


def test_copies_have_one_name():
    layers = anatomy_of(ZOO / "swin.onnx").layers
    assert layers.find("/permute/Transpose_output_0") == layers.find("/norm/LayerNormalization_output_0")


def test_projections_of_attention_are_no_choice_but_listed():
    layers = anatomy_of(ZOO / "vit_timm_dynamo.onnx").layers
    behind = [layer.op_type for layer in layers.found[layers.found.index(layers.find(None)) + 1 :]]
    assert "MatMul" in behind


def test_layouts_of_a_class_token_vit():
    anatomy = anatomy_of(ZOO / "vit_timm.onnx")
    graph = anatomy.model.graph
    known = layouts(graph, values_by_name(graph)[anatomy.entry.value], "NCHW")
    products = [known.get(n.outputs[0]).tags for n in graph if n.op_type == "Softmax"]
    assert products == [("B", None, "T", "T")] * len(products)
    assert known.get(values_by_name(graph)[anatomy.head.logit]).tags == ("B", None)


class Images(quantization.CalibrationDataReader):
    """Random pictures, one a batch."""

    def __init__(self):
        self._left = iter(np.random.default_rng(3).normal(size=(4, 1, 3, 96, 96)).astype(np.float32))

    def get_next(self):
        batch = next(self._left, None)
        return None if batch is None else {"picture": batch}


def test_integer_operators_behind_a_layer_count_as_weights(tmp_path):
    """The bundled classifier as the static quantiser writes it, with integer operators: its last maps."""
    quantization.quantize_static(
        str(Path(__file__).parents[2] / "models" / "shapes.onnx"), str(tmp_path / "q.onnx"), Images(),
        quant_format=quantization.QuantFormat.QOperator, activation_type=quantization.QuantType.QUInt8,
    )  # fmt: skip
    anatomy = anatomy_of(tmp_path / "q.onnx")
    assert any(node.op_type == "QGemm" for node in anatomy.model.graph)
    assert brief(anatomy.layers.find(None)) == ("block3/add_quantized", *NCHW, (24, 24), 48, 0)
    assert anatomy.layers.find("block3/relu") == anatomy.layers.find(None)  # the floats that those integers stand for
