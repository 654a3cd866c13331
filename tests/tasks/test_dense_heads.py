"""Forms in which files put out dense scores, against the file's own values in ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import onnxsal
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import load_ir
from onnxsal.tasks.dense import Dense, RegionPrediction

SIDE, CLASSES = 12, 4
RNG = np.random.default_rng(8)
X = RNG.normal(size=(3, SIDE, SIDE)).astype(np.float32)
PALETTE = RNG.integers(0, 256, (CLASSES, 3)).astype(np.uint8)


def file(
    end: str, out: str, *, classes: int = CLASSES, size: str = f"{SIDE}, {SIDE}", more: str = ""
) -> onnx.ModelProto:
    """Logits l [n, classes, 12, 12], and what comes behind them."""
    rng = np.random.default_rng(3)
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, {size}] x) => ({out} y{more}) {{
      a = Conv <pads = [1, 1, 1, 1]> (x, w)
      t = Tanh (a)
      l = Conv <pads = [1, 1, 1, 1]> (t, u, b)
      {end}
    }}""")
    arrays: dict[str, Any] = {
        "w": rng.normal(size=(5, 3, 3, 3)), "u": rng.normal(0, 0.6, (classes, 5, 3, 3)),
        "b": np.linspace(0.6, 0, classes),
    }  # fmt: skip
    floats = {k: a.astype(np.float32) for k, a in arrays.items()}
    consts = {"colours": PALETTE, "half": np.float32(0.5), "levels": np.float32(255), "ten": np.float32(10),
              "twice": np.array([1, 1, 2, 2], np.float32), "flat": np.array([0, CLASSES, -1], np.int64),
              "back": np.array([0, CLASSES, SIDE, SIDE], np.int64), "one": np.array([1], np.int64),
              "rows": np.array([0, -1, CLASSES], np.int64), "zero": np.int64(0), "low": np.float32(0),
              "high": np.float32(1)}  # fmt: skip
    for name, array in (floats | consts).items():
        if any(name in node.input for node in proto.graph.node):
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray = X, name: str = "l") -> np.ndarray:
    """Return a value of the file [C, h, w], in ONNX Runtime."""
    whole = onnx.ModelProto()
    whole.CopyFrom(proto)
    if name not in [v.name for v in whole.graph.output]:
        whole.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    session = ort.InferenceSession(whole.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run([name], {"x": x[None]})[0][0])


MANY = {
    "int64 [B, H, W]": ("y = ArgMax <axis = 1, keepdims = 0> (l)", "int64[n, 12, 12]"),
    "int64 [B, 1, H, W]": ("y = ArgMax <axis = 1> (l)", "int64[n, 1, 12, 12]"),
    "uint8": ("m = ArgMax <axis = 1, keepdims = 0> (l) y = Cast <to = 2> (m)", "uint8[n, 12, 12]"),
    "float numbers": ("m = ArgMax <axis = 1> (l) y = Cast <to = 1> (m)", "float[n, 1, 12, 12]"),
    "classes last": (
        "q = Transpose <perm = [0, 2, 3, 1]> (l) y = ArgMax <axis = -1, keepdims = 0> (q)", "int64[n, 12, 12]"),
    "colours": ("m = ArgMax <axis = 1, keepdims = 0> (l) y = Gather (colours, m)", "uint8[n, 12, 12, 3]"),
    "colours first": (
        "m = ArgMax <axis = 1, keepdims = 0> (l) c = Gather (colours, m) y = Transpose <perm = [0, 3, 1, 2]> (c)",
        "uint8[n, 3, 12, 12]",
    ),
    "enlarged": (
        "m = ArgMax <axis = 1> (l) f = Cast <to = 1> (m) e = Resize <mode = \"nearest\"> (f, , twice) "
        "y = Cast <to = 7> (e)",
        "int64[n, 1, 24, 24]",
    ),
    "softmax in rows": (
        "r = Reshape (l, flat) s = Softmax <axis = 1> (r) y = Reshape (s, back)", "float[n, 4, 12, 12]"),
    "rows of positions": (
        "q = Transpose <perm = [0, 2, 3, 1]> (l) r = Reshape (q, rows) y = Softmax <axis = -1> (r)",
        "float[n, 144, 4]",
    ),
    "the best of sigmoids": ("p = Sigmoid (l) y = ArgMax <axis = 1, keepdims = 0> (p)", "int64[n, 12, 12]"),
    "top one": ("v, y = TopK <axis = 1> (l, one)", "int64[n, 1, 12, 12]"),
}  # fmt: skip


@pytest.mark.parametrize("form", MANY)
def test_a_file_that_puts_out_which_class(form: str) -> None:
    proto = file(*MANY[form])
    model = onnxsal.load(proto)
    logits = run(proto)
    assert isinstance(model.task, Dense)
    assert (model.task.classes, model.task.grid) == (CLASSES, (SIDE, SIDE))
    np.testing.assert_allclose(model.outputs(X)["logit"].reshape(logits.shape), logits, rtol=1e-5, atol=1e-5)
    counts = np.bincount(logits.argmax(axis=0).reshape(-1), minlength=CLASSES)
    found = {p.index: p.share for p in model.predict(X) if isinstance(p, RegionPrediction)}
    assert found == {i: pytest.approx(n / SIDE**2) for i, n in enumerate(counts) if n}
    explained = onnxsal.explain(model, X, method="gradient", target=1)
    assert explained.logit == pytest.approx(float(logits[1][logits.argmax(axis=0) == 1].mean()), rel=1e-4)


ONE = {
    "squeezed behind": ("p = Sigmoid (l) y = Squeeze (p, one)", "float[n, 12, 12]"),
    "squeezed in front": ("s = Squeeze (l, one) y = Sigmoid (s)", "float[n, 12, 12]"),
    "one channel taken": ("s = Gather <axis = 1> (l, zero) y = Sigmoid (s)", "float[n, 12, 12]"),
    "last": ("q = Transpose <perm = [0, 2, 3, 1]> (l) y = Sigmoid (q)", "float[n, 12, 12, 1]"),
    "a mask": ("p = Sigmoid (l) y = Greater (p, half)", "bool[n, 1, 12, 12]"),
    "a mask of bytes": ("p = Sigmoid (l) m = GreaterOrEqual (p, half) y = Cast <to = 2> (m)", "uint8[n, 1, 12, 12]"),
    "levels": (
        "p = Sigmoid (l) m = Mul (p, levels) c = Clip (m) r = Round (c) y = Cast <to = 2> (r)", "uint8[n, 1, 12, 12]"),
    "enlarged": ("p = Sigmoid (l) y = Resize <mode = \"linear\"> (p, , twice)", "float[n, 1, 24, 24]"),
}  # fmt: skip


@pytest.mark.parametrize("form", ONE)
def test_one_class(form: str) -> None:
    proto = file(*ONE[form], classes=1)
    model, logits = onnxsal.load(proto), run(proto)[0]
    assert isinstance(model.task, Dense)
    assert (model.task.classes, model.task.grid, model.task.activation) == (1, (SIDE, SIDE), "sigmoid")
    np.testing.assert_allclose(model.outputs(X)["probability"], (1 / (1 + np.exp(-logits))).reshape(-1), atol=1e-5)
    (seen,) = model.predict(X)
    assert isinstance(seen, RegionPrediction)
    np.testing.assert_array_equal(seen.mask, logits > 0)
    made = onnxsal.compile(model, method="gradient", give="raw")
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    found = onnxsal.explain(model, X, method="gradient")
    np.testing.assert_allclose(session.run(["raw"], {"x": X[None]})[0][0], found.raw, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("end", "out"),
    [("p = Sigmoid (l) y = Mul (p, ten)", "float[n, 1, 12, 12]"), ("y = Relu (l)", "float[n, 1, 12, 12]"),
     ("y = Clip (l, low, high)", "float[n, 1, 12, 12]"), ("y = Identity (l)", "float[n, 1, 12, 12]")],
)  # fmt: skip
def test_one_number_a_position_that_is_no_class(end: str, out: str) -> None:
    """A depth of 0 to 10, a heat map: nothing says that .5 is a border."""
    proto = file(end, out, classes=1)
    assert onnxsal.load(proto).task.name == "element"
    with pytest.raises(UnsupportedError, match=r"no Softmax, Sigmoid or ArgMax.*--task dense"):
        Dense.find(load_ir(proto).graph)


@pytest.mark.parametrize(
    ("end", "out"),
    [("y = Softmax <axis = 1> (l)", "float[n, 1, 12, 12]"),
     ("q = Transpose <perm = [0, 2, 3, 1]> (l) y = Softmax <axis = -1> (q)", "float[n, 12, 12, 1]")],
)  # fmt: skip
def test_a_softmax_over_one_number_proves_no_class(end: str, out: str) -> None:
    """It is 1 whatever goes in: said to who asks for classes, and of the empty map of an element."""
    proto = file(end, out, classes=1)
    assert (run(proto, name="y") == 1).all()
    with pytest.raises(UnsupportedError, match=r"'y' is Softmax over an axis of one number, .* whatever goes in"):
        onnxsal.load(proto, task="dense")
    model = onnxsal.load(proto)
    assert model.task.name == "element"
    found = onnxsal.explain(model, X, method="gradient", target="y[0, 0, 0, 0]")
    assert not found.raw.any()
    assert any("over one number and puts out 1 whatever that is" in note for note in found.manifest["notes"])


def test_as_many_labels_as_channels_are_its_classes() -> None:
    """Nothing ends the logits: labels that fit say what channels are, others do not; each is told."""
    proto = file("y = Identity (l) z = Identity (t)", "float[n, 4, 12, 12]", more=", float[n, 5, 12, 12] z")
    model = onnxsal.load(proto, labels=list("abcd"))
    assert (model.task.name, model.task.output) == ("dense", "y")
    assert any("'y' is taken for dense: there are as many labels" in note for note in model.notes)
    assert {d.what: d.why for d in model.decided}["task"] == "there are as many labels as it has channels"
    said = onnxsal.load(file("y = Identity (l)", "float[n, 4, 12, 12]"), task="dense")
    found, wanted = (onnxsal.explain(m, X, method="gradient", target=t) for m, t in ((model, "b"), (said, 1)))
    np.testing.assert_array_equal(found.raw, wanted.raw)
    assert onnxsal.load(proto, labels=list("abcde")).task.output == "z"
    with pytest.raises(UsageError, match="3 labels, and the output 'y' is taken for element, whose numbers have no"):
        onnxsal.load(proto, labels=list("abc"))


def test_numbers_that_nothing_ends_are_run_and_told_of() -> None:
    """Asked for as dense: in [0, 1] they are probabilities already, outside they are logits; each is said."""
    held = onnxsal.load(file("y = Clip (l, low, high)", "float[n, 1, 12, 12]", classes=1), task="dense")
    assert held.task.probabilities_by == "none"
    assert any("'y': they are taken for probabilities" in note and "--activation" in note for note in held.notes)
    shares = file("e = Exp (l) s = ReduceSum (e, one) y = Div (e, s)", "float[n, 4, 12, 12]")
    model = onnxsal.load(shares, task="dense")
    np.testing.assert_allclose(model.outputs(X)["probability"], run(shares, name="y").reshape(-1), rtol=1e-5)
    assert any("sum to 1 over the classes" in note for note in model.notes)
    logits = onnxsal.load(file("y = Identity (l)", "float[n, 4, 12, 12]"), task="dense")
    assert logits.task.probabilities_by == "softmax"
    assert any("'y': softmax is taken" in note and "numbers outside [0, 1]" in note for note in logits.notes)
    asked = onnxsal.load(file("y = Identity (l)", "float[n, 4, 12, 12]"), task="dense", activation="softmax")
    assert asked.notes == ()
    assert {d.what: (d.value, d.why) for d in asked.decided if d.what == "activation"} == {
        "activation": ("softmax", "asked for")
    }


def test_what_is_proved_is_decided_without_a_word() -> None:
    model = onnxsal.load(file(*MANY["uint8"]))
    assert model.notes == ()
    decided = {d.what: (d.value, d.why) for d in model.decided}
    assert decided["task"] == ("dense", "ArgMax makes 'm'")
    assert decided["activation"] == ("softmax", "ArgMax makes 'm'")


def test_probabilities_that_the_output_holds() -> None:
    proto = file("y = Clip (l, low, high)", "float[n, 1, 12, 12]", classes=1)
    model = onnxsal.load(proto, task="dense", activation="none")
    values = run(proto, name="y")[0]
    np.testing.assert_allclose(model.outputs(X)["probability"], values.reshape(-1), atol=1e-6)
    (seen,) = model.predict(X)
    assert isinstance(seen, RegionPrediction)
    assert seen.share == pytest.approx((values > 0.5).mean())
    several = file("y = Identity (l)", "float[n, 4, 12, 12]")
    overlap = onnxsal.load(several, task="dense", activation="sigmoid")
    shares = {p.index: p.share for p in overlap.predict(X) if isinstance(p, RegionPrediction)}
    assert shares == {i: pytest.approx(float(s)) for i, s in enumerate((run(several) > 0).mean(axis=(1, 2))) if s}


@pytest.mark.parametrize(("height", "width", "stride"), [(13, 21, 2), (12, 12, 3), (30, 17, 4)])
def test_a_stride_that_leaves_a_rest(height: int, width: int, stride: int) -> None:
    """Classes are channels, with a sigmoid each: the other two axes are the picture's, up to a part of a position."""
    proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, {height}, {width}] x) => (float[n, 6, h, w] y) {{
      l = Conv <pads = [1, 1, 1, 1], strides = [{stride}, {stride}]> (x, w)
      y = Sigmoid (l)
    }}""")
    proto.graph.initializer.append(numpy_helper.from_array(RNG.normal(size=(6, 3, 3, 3)).astype(np.float32), "w"))
    task = onnxsal.load(proto).task
    assert isinstance(task, Dense)
    assert (task.classes, task.grid) == (6, (-(-height // stride), -(-width // stride)))


def test_open_sizes_are_known_once_a_size_is() -> None:
    """As exporters write a segmenter of any size: enlarged to what Shape says of the input."""
    proto = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, height, width] x) => (int64[n, h, w] y) {
      a = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w)
      t = Tanh (a)
      l = Conv (t, u)
      s = Shape <start = 2> (x)
      f = Shape <start = 0, end = 2> (l)
      to = Concat <axis = 0> (f, s)
      e = Resize <mode = "linear"> (l, , , to)
      y = ArgMax <axis = 1, keepdims = 0> (e)
    }""")
    rng = np.random.default_rng(3)
    for name, shape in (("w", (5, 3, 3, 3)), ("u", (3, 5, 1, 1))):
        proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
    x = RNG.normal(size=(3, 20, 14)).astype(np.float32)
    model = onnxsal.load(proto, size=(20, 14))
    assert isinstance(model.task, Dense)
    assert model.task.grid == (20, 14)
    seen = run(proto, x, "y")
    assert {p.index: p.share for p in model.predict(x) if isinstance(p, RegionPrediction)} == {
        i: pytest.approx((seen == i).mean()) for i in range(3) if (seen == i).any()
    }
    found = onnxsal.explain(model, x, method="grad-cam", layer="t")
    assert found.saliency.shape == (20, 14)


def test_deep_supervision_is_not_the_main_output() -> None:
    """As torchvision's segmenters put them out: ``out`` and ``aux``, which hangs on fewer nodes; in either order."""
    for outputs in ("float[n, 4, 12, 12] y, float[n, 4, 12, 12] aux", "float[n, 4, 12, 12] aux, float[n, 4, 12, 12] y"):
        proto = onnx.parser.parse_model(f"""<ir_version: 10, opset_import: ["" : 21]>
        g (float[n, 3, 12, 12] x) => ({outputs}) {{
          a = Conv <pads = [1, 1, 1, 1]> (x, w)
          t = Tanh (a)
          aux = Conv (t, v)
          b1 = Tanh (t) b2 = Sin (b1) b3 = Cos (b2) b4 = Tanh (b3) b5 = Sin (b4) b6 = Tanh (b5)
          y = Conv (b6, u)
        }}""")
        rng = np.random.default_rng(3)
        for name, shape in (("w", (5, 3, 3, 3)), ("u", (4, 5, 1, 1)), ("v", (4, 5, 1, 1))):
            proto.graph.initializer.append(numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name))
        whole = onnxsal.load(proto, task="dense")
        assert whole.task.output == "y"
        assert any(n.startswith("explains 'y'") and "the file also gives 'aux'" in n for n in whole.notes)
        named = onnxsal.load(proto, task="dense", head="aux")
        assert not any("--head" in note for note in named.notes)
        np.testing.assert_allclose(named.outputs(X)["logit"], run(proto, name="aux").reshape(-1), rtol=1e-5, atol=1e-5)


def test_what_is_nowhere_is_said_with_how_sure_it_is_and_where() -> None:
    proto = file("y = Sigmoid (l)", "float[n, 1, 12, 12]", classes=1)
    proto.graph.initializer[2].CopyFrom(numpy_helper.from_array(np.array([-9], np.float32), "b"))
    model, logits = onnxsal.load(proto, labels=["text"]), run(proto)[0]
    row, column = divmod(int(logits.argmax()), SIDE)
    most = 1 / (1 + np.exp(-logits.max()))
    place = f"Region(0, point=({(column + 0.5) / SIDE:.3f}, {(row + 0.5) / SIDE:.3f}))"
    assert model.predict(X) == []
    for target in (None, "text"):
        with pytest.raises(UsageError) as caught:
            onnxsal.explain(model, X, method="gradient", target=target)
        message = str(caught.value)
        assert f"highest probability is {most:.3g}, and a region is where it is above 0.5" in message
        assert place in message
        assert "background" not in message
    asked = eval(place, {"Region": onnxsal.Region})  # what the message says to write
    found = onnxsal.explain(model, X, method="gradient", target=asked)
    assert found.logit == pytest.approx(float(logits.max()), rel=1e-5)
