"""docs/in-silence.md: each of its rows is run, and what it quotes is what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxsal
from onnxsal.autodiff import familiar
from onnxsal.errors import InvalidGraphError, OnnxsalError
from onnxsal.graph.written import check_written

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "in-silence.md").read_text(encoding="utf-8")
TABLE = re.findall(r"<!-- kinds -->\n(.*?)<!-- /kinds -->", PAGE, re.DOTALL)[0]
ROWS = {re.findall(r"\*\*(.*?)\*\*", line)[0]: line.split(" | ")[-1] for line in TABLE.splitlines() if "**" in line}

S = 16
R = np.random.default_rng(0)
X = R.uniform(0.1, 1, size=(3, S, S)).astype(np.float32)
HELD: dict[str, np.ndarray] = {
    "w1": R.normal(0, 0.4, (4, 3, 3, 3)), "w2": R.normal(0, 0.4, (6, 4, 3, 3)), "v": R.normal(0, 2, (3, 6)),
    "vt": R.normal(0, 2, (6, 3)), "axes": np.array([1]), "last": np.array([-1]), "ones": np.ones(4), "nil": np.zeros(4),
    "begin": np.array([0]), "end": np.array([S // 2]), "rows": np.array([2]), "columns": np.array([3]),
    "size": np.array([1, 3, S, S]), "turn": np.array([[[1.0, 0, 0], [0, 1, 0]]]), "epsilon": np.array(1e-5),
    "scale": np.array(0.02), "zero": np.array(3, np.int8), "one": np.array([1]), "two": np.array([2]),
}  # fmt: skip


def op(text: str, **attributes: Any) -> onnx.NodeProto:
    """``Conv x w1 -> y`` as a node named after its first output."""
    given, made = (part.split() for part in text.split(" -> "))
    domain, _, name = given[0].rpartition(".")
    return helper.make_node(name, given[1:], made, name=made[0], domain=domain, **attributes)


CONV = [op("Conv x w1 -> a", pads=[1] * 4), op("Relu a -> r")]
DEEPER = [op("Conv r w2 -> b", pads=[1] * 4, strides=[2, 2]), op("Relu b -> maps")]
POOLED = [op("GlobalAveragePool maps -> g"), op("Flatten g -> f")]
HEAD = [*POOLED, op("Gemm f v -> z", transB=1)]


def model(*parts: list[onnx.NodeProto], batch: Any = "n", opset: int = 18) -> onnx.ModelProto:
    nodes = [node for part in parts for node in part]
    read = {name for node in nodes for name in node.input} | {"scale", "zero", "one", "two"}
    held = [
        numpy_helper.from_array(v if v.dtype.kind in "iu" else v.astype(np.float32), k)
        for k, v in HELD.items()
        if k in read
    ]
    ends = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", [batch, 3, S, S]), ("z", [batch, 3]))
    ]
    opsets = [helper.make_opsetid(d, opset if not d else 1) for d in sorted({n.domain for n in nodes} | {""})]
    return helper.make_model(helper.make_graph(nodes, "g", *ends, held), opset_imports=opsets, ir_version=8)


def explained(proto: onnx.ModelProto, method: str = "grad-cam", **options: Any) -> onnxsal.Explanation:
    found: onnxsal.Explanation = onnxsal.explain(onnxsal.load(proto), X, method=method, target=1, **options)
    return found


def said(call: Callable[[], object]) -> str:
    with pytest.raises(OnnxsalError) as caught:
        call()
    return str(caught.value)


def run(proto: onnx.ModelProto, **more: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, {"x": X[None], **more}), strict=True))


def moving() -> str:
    crop = [op("Slice x begin end rows -> c"), op("Conv c w1 -> a", pads=[1] * 4), op("Relu a -> r")]
    found = explained(model(crop, DEEPER, HEAD))
    assert not found.saliency[S // 2 + 1 :].any()
    assert found.saliency[: S // 2].any()
    return ""


def by_data() -> str:
    grid = [op("Flatten x -> flat"), op("ReduceMean flat axes -> mean"), op("Flatten mean -> mean1")]
    grid += [op("Unsqueeze mean1 rows -> m3"), op("Mul m3 turn -> theta"), op("AffineGrid theta size -> grid")]
    look = [*grid, op("GridSample x grid -> m"), op("Conv m w1 -> a", pads=[1] * 4), op("Relu a -> r")]
    loaded = onnxsal.load(model(look, DEEPER, HEAD, batch=1, opset=20))
    assert onnxsal.explain(loaded, X, method="occlusion", target=1).raw.any()
    return said(lambda: onnxsal.explain(loaded, X, method="grad-cam", target=1))


def nobody_knows() -> str:
    running = [op("CumSum r columns1 -> s")]
    HELD["columns1"] = np.array(3)
    behind = [op("Conv s w2 -> b", pads=[1] * 4), op("Relu b -> maps")]
    proto = model(CONV, running, behind, HEAD)
    found = said(lambda: explained(proto))
    assert re.search(r"of \d+ parts of its input \d+ change", found)
    keeps = [op("CumSum r axis1 -> s")]
    HELD["axis1"] = np.array(1)
    return " ".join(explained(model(CONV, keeps, behind, HEAD)).manifest["notes"])


def mixing() -> str:
    whole = [op("ReduceMean r -> mean", keepdims=0), op("Sub r mean -> d"), op("Conv d w2 -> b", pads=[1] * 4)]
    found = explained(model(CONV, whole, [op("Relu b -> maps")], HEAD), "score-cam")
    assert found.manifest["batch_size"] == 1
    return " ".join(found.manifest["notes"])


def signed() -> str:
    options = explained(model(CONV, DEEPER, HEAD), "grad-cam++").manifest["options"]
    paper = explained(model(CONV, DEEPER, HEAD), "grad-cam++", preset="paper").manifest["options"]
    return f"{options['preset']} {paper['preset']}"


def computed_weights() -> str:
    norm = [
        op("ReduceL2 v axes -> length", keepdims=1),
        op("Div v length -> unit"),
        op("Transpose unit -> u", perm=[1, 0]),
    ]
    found = explained(model(CONV, DEEPER, POOLED, norm, [op("MatMul f u -> z")]))
    assert found.manifest["layer"] == "maps"
    return ""


def random_inside() -> str:
    noisy = [op("RandomNormalLike a -> noise"), op("Add a noise -> an"), op("Relu an -> r")]
    proto = model(CONV[:1], noisy, DEEPER, HEAD)
    found = explained(proto)
    assert found.manifest["repeatable"] is False
    assert "--keep-random" in said(lambda: onnxsal.compile(proto, method="grad-cam"))
    return " ".join(found.manifest["notes"])


def zero_everywhere() -> str:
    steps = [op("Round x -> rounded"), op("Conv rounded w1 -> a", pads=[1] * 4), op("Relu a -> r")]
    found = explained(model(steps, DEEPER, HEAD), "gradient")
    assert not found.raw.any()
    return " ".join(found.manifest["notes"])


def roots() -> str:
    silent = [op("Sub x x -> none"), op("Mul none none -> sq"), op("ReduceSum sq axes -> energy", keepdims=1)]
    silent += [op("Sqrt energy -> root"), op("Concat root x -> four", axis=1), op("Conv four w4 -> a", pads=[1] * 4)]
    HELD["w4"] = R.normal(0, 0.4, (4, 4, 3, 3))
    found = explained(model(silent, [op("Relu a -> r")], DEEPER, HEAD), "gradient")
    assert np.isfinite(found.raw).all()
    assert found.raw.any()
    return ""


def names() -> str:
    twice = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[2] x, bool c) => (float[2] y) { t = Relu (x) y = If (c) '
        "<then_branch: graph = a () => (float[2] u) { t = Exp (x) u = Neg (t) }, "
        "else_branch: graph = b () => (float[2] v) { v = Exp (x) }> }"
    )
    with pytest.raises(InvalidGraphError) as caught:
        check_written(twice)
    onnxruntime.InferenceSession(onnxsal.gradient(twice, of=["y"], wrt=["x"]).SerializeToString())
    return str(caught.value)


def newer() -> str:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { y = Relu (x) }'
    )
    proto.graph.node[0].attribute.append(helper.make_attribute("newer", 1))
    assert familiar.REVIEWED >= 26
    return said(lambda: onnxsal.gradient(proto, of=["y"], wrt=["x"]))


def quantised() -> str:
    HELD["q"] = R.integers(-127, 127, (6, 3)).astype(np.int8)
    proto = model(CONV, DEEPER, POOLED, [op("DequantizeLinear q scale zero -> dq"), op("MatMul f dq -> z")])
    beside = onnxsal.gradient(proto, of=["z"], wrt=["x"])
    seed = np.ones((1, 3), np.float32)
    np.testing.assert_array_equal(run(beside, **{"seed/z": seed})["z"], run(proto)["z"])
    return ""


def labels() -> str:
    proto = onnxsal.compile(model(CONV, DEEPER, HEAD), method="grad-cam")
    assert {o.domain: o.version for o in proto.opset_import}[""] == 21
    return f"ir_version {proto.ir_version}"


def unknown_operator() -> str:
    return said(lambda: onnxsal.load(model(CONV, [op("Erfc r -> odd"), op("Conv odd w2 -> maps")], HEAD)))


def decided() -> str:
    squeezed = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[b, 4, t] x, float[4, 2] m) => (float[] y) '
        "<int64[1] two = {2}, int64[1] one = {1}> { s = Shape (x) n = Gather (s, two) c = Equal (n, one) "
        "z = If (c) <then_branch: graph = a () => (float[] u) { u = Squeeze (x, two) }, "
        "else_branch: graph = b2 () => (float[] v) { v = Identity (x) }> y = Gemm (z, m) }"
    )
    assert "If" not in {n.op_type for n in onnxsal.gradient(squeezed, of=["y"], wrt=["x"]).graph.node}
    return ""


def left_out() -> str:
    fused = [op("com.microsoft.FastGelu a -> r")]
    assert [layer.name for layer in onnxsal.load(model(CONV[:1], fused, DEEPER, HEAD)).layers] == [
        "a",
        "r",
        "b",
        "maps",
    ]
    return ""


def from_outside() -> str:
    head = '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x, bool c, optional(float[2]) o) => (float[2] y) '
    body = "y = If (c) <then_branch: graph = a () => (float[] u) {{ t = OptionalGetElement ({0}) u = Exp (t) }}, "
    body += "else_branch: graph = b () => (float[] v) {{ v = Neg (x) }}>"
    known = onnx.parser.parse_model(head + "{ k = Optional (x) " + body.format("k") + " }")
    seen = onnxsal.gradient(known, of=["y"], wrt=["x"])
    x = np.array([0.5, 1], np.float32)
    session = onnxruntime.InferenceSession(seen.SerializeToString())
    feeds = {"x": x, "c": np.array(True), "seed/y": np.ones(2, np.float32), "o": x}
    given = {i.name: feeds[i.name] for i in session.get_inputs()}
    np.testing.assert_allclose(session.run(["grad/x"], given)[0], np.exp(x), rtol=1e-6)
    open_ended = onnx.parser.parse_model(head + "{ " + body.format("o") + " }")
    return said(lambda: onnxsal.gradient(open_ended, of=["y"], wrt=["o"]))


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    def check() -> str:
        proto, there = model(CONV, DEEPER, HEAD), tmp_path / "there"
        there.mkdir()
        right = run(proto)["z"]
        onnx.save(proto, there / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
        monkeypatch.chdir(tmp_path)
        onnxsal.save(onnxsal.compile(there / "m.onnx", method="grad-cam"), tmp_path / "own.onnx")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["own.onnx", "there"]
        np.testing.assert_array_equal(run(onnx.load("own.onnx"))["z"], right)
        return ""

    return check


CHECKS: dict[str, Callable[[], str]] = {
    "Positions that move in the graph": moving, "Positions that the data decide": by_data,
    "Operators that nobody knows": nobody_knows, "A free batch that mixes its pictures": mixing,
    "Grad-CAM++ on maps that have a sign": signed, "Weights computed in the graph": computed_weights,
    "Random numbers inside the model": random_inside, "A map that is 0 everywhere": zero_everywhere,
    "Roots and norms of zero": roots, "Names that meet in bodies": names, "Attributes that newer opsets add": newer,
    "Quantised files": quantised, "Labels": labels, "Operators that no opset has": unknown_operator,
    "An If that shapes decide": decided, "What optimisers leave out": left_out,
    "What a body reads from outside": from_outside,
}  # fmt: skip


def quoted(cell: str) -> list[str]:
    return re.findall(r'"(.*?)"', cell)


@pytest.mark.parametrize("name", CHECKS)
def test_the_row_is_so(name: str) -> None:
    text = CHECKS[name]()
    assert all(part in text for part in quoted(ROWS[name])), text


def test_weights_in_other_files(outside: Callable[[], str]) -> None:
    assert outside() == ""


def test_every_row_is_run() -> None:
    assert set(ROWS) == {*CHECKS, "Weights in other files"}
