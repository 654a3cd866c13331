"""Which of several outputs is explained, what is said of the others, and what has to be asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.errors import UsageError

RNG = np.random.default_rng(0)
X = RNG.normal(0, 1, (1, 3, 6, 6)).astype(np.float32)
WIDTHS = {"v2": 2, "v5": 5, "v4": 4, "v10": 10, "again2": 2}


def model(outputs: str, nodes: str) -> onnx.ModelProto:
    """Return a file whose features ``f`` are [B, 8]."""
    proto = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3, 6, 6] x) => ({outputs})
        {{ c = Conv <pads = [1, 1, 1, 1]> (x, w) maps = Relu (c) g = GlobalAveragePool (maps) f = Flatten (g)
           {nodes} }}"""
    )
    arrays = {"w": RNG.normal(0, 1, (8, 3, 3, 3))} | {k: RNG.normal(0, 2, (8, n)) for k, n in WIDTHS.items()}
    read = {name for node in proto.graph.node for name in node.input}
    for name, array in arrays.items():
        if name in read:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array.astype(np.float32), name))
    return proto


BOXES = "box = MatMul (f, v4) land = MatMul (f, v10) "
COARSE = model(
    "float[B, 2] coarse, float[B, 5] fine",
    "a = MatMul (f, v2) coarse = Softmax (a) b = MatMul (f, v5) fine = Softmax (b)",
)
LOGITS = model("float[B, 2] one, float[B, 2] two", "one = MatMul (f, v2) two = MatMul (f, again2)")


@pytest.mark.parametrize(
    ("file", "head", "why"),
    [
        (
            model(
                "float[B, 4] box, float[B, 10] land, float[B, 2] prob",
                f"{BOXES} z = MatMul (f, v2) prob = Softmax (z)",
            ),
            "prob", "passes a Softmax",
        ),
        (
            model("float[B, 4] box, float[B, 2] prob", f"{BOXES} z = MatMul (f, v2) prob = Sigmoid (z)"),
            "prob", "passes a Softmax or Sigmoid",
        ),
        (
            model("float[B, 10] e, float[B, 5] z", "l = MatMul (f, v10) e = LpNormalization (l) z = MatMul (f, v5)"),
            "z", "no other output is of the task classification",
        ),
        (
            model(
                "float[B, 10] e, float[B, 5] z",
                "l = MatMul (f, v10) n = ReduceL2 <axes = [1]> (l) e = Div (l, n) z = MatMul (f, v5)".replace(
                    "<axes = [1]> (l)", "(l, axis)"
                ).replace("l = ", "axis = Constant <value_ints = [1]> () l = "),
            ),
            "z", "no other output is of the task classification",
        ),
        (model("float[B, 8] f, float[B, 5] z", "z = MatMul (f, v5)"), "z", "features"),
        (model("float[B, 5] z, float[B, 5] p", "z = MatMul (f, v5) p = Softmax (z)"), "p", "features"),
    ],
)  # fmt: skip
def test_what_tells_them_apart_decides(file: onnx.ModelProto, head: str, why: str) -> None:
    opened = onnxsal.load(file)
    assert (opened.task.output, opened.question) == (head, "")
    (decided,) = [each for each in opened.decided if each.what == "head"]
    assert decided.value == head and why in decided.why
    note = opened.notes[0]
    assert note.startswith(f"explains {head!r} (") and "--head NAME" in note
    assert all(f"{v.name!r} [" in note for v in file.graph.output if v.name != head)
    values = onnxruntime.InferenceSession(file.SerializeToString()).run([head], {"x": X})[0][0]
    numbers = opened.outputs(opened.prepare(X).x)
    assert any(np.allclose(values, each, atol=1e-5) for each in numbers.values())


def test_known_labels_decide(tmp_path: Path) -> None:
    assert onnxsal.load(COARSE, labels=[*"abcde"]).task.output == "fine"
    onnx.save(COARSE, tmp_path / "m.onnx")
    (tmp_path / "m.labels.txt").write_text("cat\ndog\n")
    opened = onnxsal.load(tmp_path / "m.onnx")
    assert (opened.task.output, opened.question) == ("coarse", "")
    assert "as many labels" in opened.decided[0].why


@pytest.mark.parametrize(("file", "names"), [(COARSE, ("coarse", "fine")), (LOGITS, ("one", "two"))])
def test_where_nothing_decides_explain_asks(file: onnx.ModelProto, names: tuple[str, str]) -> None:
    opened = onnxsal.load(file)
    assert opened.predict(X)  # the first is shown, and the note says that it is one of two
    assert "nothing tells whether" in opened.notes[0]
    with pytest.raises(UsageError, match="nothing tells which output") as error:
        onnxsal.explain(opened, X, method="gradient")
    with pytest.raises(UsageError, match="nothing tells which output"):
        onnxsal.compile(opened, method="gradient")
    for name in names:
        assert f"onnxsal explain MODEL THING --head {name}" in str(error.value)
        named = onnxsal.load(file, head=name)
        assert onnxsal.explain(named, X, method="gradient", target=1).task == "classification"
        assert named.decided[0].why == "asked for" and not any("--head" in note for note in named.notes)
        assert onnxsal.explain(opened, X, method="gradient", target=f"{name}[0, 1]").target == f"{name}[0, 1]"


def test_where_nothing_proves_classes_a_number_beside_them_is_asked_for() -> None:
    nodes = "z = MatMul (f, v10) a = MatMul (f, v2) s = ReduceMean <keepdims = 0> (a, axis)"
    file = model("float[B, 10] z, float[B] s", f"axis = Constant <value_ints = [1]> () {nodes}")
    opened = onnxsal.load(file)
    assert "onnxsal explain MODEL THING --head s" in opened.question
    assert onnxsal.load(file, labels=[*"abcdefghij"]).question == ""
    assert onnxsal.load(file, head="s").task.name == "regression"
    embedding = model("float[B, 10] e, float[B, 5] z", "l = MatMul (f, v10) e = LpNormalization (l) z = MatMul (f, v5)")
    assert onnxsal.load(embedding).question == ""


def test_a_head_of_no_task_is_read_by_its_elements() -> None:
    file = model("float[B, 2] p, float[B, 8, 6, 6] maps", "z = MatMul (f, v2) p = Softmax (z)")
    opened = onnxsal.load(file, head="maps")
    assert opened.task.name == "element" and "nothing proves what the output 'maps'" in opened.notes[0]
    with pytest.raises(UsageError, match="no such output; did you mean 'maps'"):
        onnxsal.load(file, head="map")


def test_many_others_are_counted() -> None:
    names = [f"o{i}" for i in range(9)]
    nodes = " ".join(f"{name} = Mul (maps, maps)" for name in names)
    declared = ", ".join(f"float[B, 8, 6, 6] {name}" for name in names)
    file = model(f"float[B, 2] p, {declared}", f"z = MatMul (f, v2) p = Softmax (z) {nodes}")
    note = onnxsal.load(file).notes[0]
    assert "'o2' [B, 8, 6, 6] and 6 more:" in note and "o3" not in note


def test_heads_on_the_way_to_the_last_one_are_no_rivals() -> None:
    """Deep supervision: each is what a part of the network gives already."""
    deep = "".join(f" d{i} = Conv <pads = [1, 1, 1, 1]> (r{i}, again) r{i + 1} = Relu (d{i})" for i in range(12))
    file = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 6, 6] r0) => (float[B, 2] last, float[B, 2] aux)
        {{ {deep} a = GlobalAveragePool (r9) af = Flatten (a) aux = Softmax (af)
           g = GlobalAveragePool (r12) gf = Flatten (g) last = Softmax (gf) }}"""
    )
    file.graph.initializer.append(
        onnx.numpy_helper.from_array(RNG.normal(0, 1, (2, 2, 3, 3)).astype(np.float32), "again")
    )
    opened = onnxsal.load(file)
    assert (opened.task.output, opened.question) == ("last", "")


def test_outputs_that_dress_up_one_value_are_one_head() -> None:
    """A label and its probabilities, as Custom Vision writes them: the floats are the head, and nothing else is."""
    file = model(
        "int64[B] best, float[B, 5] p", "z = MatMul (f, v5) p = Softmax (z) best = ArgMax <axis = 1, keepdims = 0> (p)"
    )
    opened = onnxsal.load(file)
    assert opened.task.output == "p"
    assert not [note for note in opened.notes if "explains" in note]


def test_a_misspelt_output_is_named_as_one() -> None:
    opened = onnxsal.load(COARSE, labels=["a [0]", "b"])
    with pytest.raises(UsageError, match=r"the model has no output 'fin'; did you mean 'fine'\?"):
        onnxsal.explain(opened, X, target="fin[0, 1]", method="gradient")
    two = onnxsal.load(COARSE, labels=["a [0]", "b"], head="coarse")
    assert onnxsal.explain(two, X, target="a [0]", method="gradient").label == "a [0]"
