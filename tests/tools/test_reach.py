"""What a file's own differences say of its gradients: right ones pass, and every wrong one is found."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxsal.autodiff.registry import REGISTRY, Call, Rule
from onnxsal.errors import UsageError

TOOLS = Path(__file__).resolve().parents[2] / "tools"
F32, I64 = TensorProto.FLOAT, TensorProto.INT64

TABLE = """
[numbers]
kind = "two layers"
input = "x"
shape = [1, 6]
range = [-1, 1]
target = "y[0, 1]"
score = "y[0, 1]"

[other_element]
file = "numbers"
kind = "the judge is asked for another element"
input = "x"
shape = [1, 6]
range = [-1, 1]
target = "y[0, 1]"
score = "y[0, 2]"

[numbers_like]
file = "numbers"
kind = "cosine of a value inside"
input = "x"
shape = [1, 6]
range = [-1, 1]
load = {task = "embedding"}
like = true
score = "y"

[bytes]
kind = "a layer on bytes"
input = "x"
shape = [1, 6]
range = [-1, 1]
target = "y[0, 1]"
score = "y[0, 1]"
rounds = true

[bytes_in_steps]
file = "bytes"
kind = "the same, its rounding left in"
input = "x"
shape = [1, 6]
range = [-1, 1]
target = "y[0, 1]"
score = "y[0, 1]"

[clipped]
kind = "the input rounded and clipped first"
input = "x"
shape = [1, 6]
range = [-1, 1]
target = "y[0, 1]"
score = "y[0, 1]"
rounds = true

[ids]
kind = "rows of a table, one number held"
input = "ids"
shape = [1, 5]
range = [0, 8]
type = "int64"
held = {weight = 1.5}
inside = "rows"
target = "y[0, 2]"
score = "y[0, 2]"

[counts]
kind = "counts are no floats"
input = "counts"
shape = [1, 5]
range = [0, 8]
type = "int64"
target = "y[0, 2]"
refused = "int64"

[absent]
kind = "a file that is not there"
input = "x"
shape = [1, 6]
"""


def written(path: Path, nodes: list[onnx.NodeProto], inputs: list[Any], **constants: np.ndarray) -> None:
    values = [helper.make_tensor_value_info(*each) for each in inputs]
    held = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "g", values, [helper.make_tensor_value_info("y", F32, [1, 3])], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    w, v, table = (rng.normal(0, 0.6, shape).astype(np.float32) for shape in ((6, 4), (4, 3), (9, 4)))
    x = ("x", F32, ["n", 6])
    two = [node("MatMul", "x w", "a"), node("Tanh", "a", "b"), node("Neg", "a", "c"), node("Sigmoid", "c", "d"),
           node("Add", "b d", "e"), node("MatMul", "e v", "y")]  # fmt: skip
    written(place / "numbers.onnx", two, [x], w=w, v=v)
    dynamic = [node("DynamicQuantizeLinear", "x", "q s z"), node("MatMulInteger", "q w z", "i"),
               node("Cast", "i", "f", to=F32), node("Mul", "s t", "st"), node("Mul", "f st", "a"),
               node("Tanh", "a", "b"), node("MatMul", "b v", "y")]  # fmt: skip
    bytes_ = np.rint(w / 0.02).clip(-127, 127).astype(np.int8)
    written(place / "bytes.onnx", dynamic, [x], w=bytes_, v=v, t=np.float32(0.02))
    clipped = [node("QuantizeLinear", "x r k", "q"), node("DequantizeLinear", "q r k", "m"), node("MatMul", "m w", "a"),
               node("Tanh", "a", "b"), node("MatMul", "b v", "y")]  # fmt: skip
    written(place / "clipped.onnx", clipped, [x], w=w, v=v, r=np.float32(0.0123), k=np.uint8(28))
    rows = [node("Gather", "table ids", "rows"), node("Tanh", "rows", "b"), node("Mul", "b weight", "c"),
            node("ReduceMean", "c", "d", axes=[1], keepdims=0), node("MatMul", "d v", "y")]  # fmt: skip
    written(place / "ids.onnx", rows, [("ids", I64, ["n", "t"]), ("weight", F32, [])], table=table, v=v)
    counts = [node("Cast", "counts", "f", to=F32), node("Tanh", "f", "b"), node("MatMul", "b u", "y")]
    written(place / "counts.onnx", counts, [("counts", I64, ["n", 5])], u=np.resize(v, (5, 3)))
    (place / "table.toml").write_text(TABLE, encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def reach() -> Iterator[Any]:
    sys.path.insert(0, str(TOOLS))
    try:
        yield importlib.import_module("reach")
    finally:
        sys.path.remove(str(TOOLS))


def verdict(reach: Any, folder: Path, name: str) -> str:
    (case,) = reach.read_cases(folder / "table.toml", folder, [name])
    return str(reach.judged(case).verdict)


@pytest.mark.parametrize("name", ["numbers", "numbers_like", "bytes", "clipped", "ids"])
def test_right_ones_are_right(reach: Any, folder: Path, name: str) -> None:
    assert verdict(reach, folder, name).startswith("right (")


def test_another_element_is_another_score(reach: Any, folder: Path) -> None:
    assert verdict(reach, folder, "other_element").startswith("SCORE DIFFERS, SLOPE DIFFERS")


def test_a_file_that_rounds_is_judged_with_its_rounding_held(reach: Any, folder: Path) -> None:
    assert "SLOPE DIFFERS" in verdict(reach, folder, "bytes_in_steps")


def a_fifth_less(call: Call) -> list[Any]:
    return [call.op.Mul(call.g, np.float32(0.8))]


def nothing(call: Call) -> list[Any]:
    return [call.op.Mul(call.grads[0], np.float32(0))]


def turned(call: Call) -> list[Any]:
    return [call.op.Neg(call.g)]


WRONG: dict[str, tuple[str, Callable[[Call], list[Any]]]] = {
    "numbers": ("Tanh", a_fifth_less),
    "numbers_like": ("Sigmoid", nothing),
    "bytes": ("DynamicQuantizeLinear", nothing),
    "ids": ("Tanh", turned),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_rule_is_found(reach: Any, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    operator, apply = WRONG[name]
    rule: Rule = REGISTRY["", operator]
    monkeypatch.setitem(REGISTRY, ("", operator), replace(rule, apply=apply))
    assert verdict(reach, folder, name).startswith("SLOPE DIFFERS")


def test_refusals_are_right_where_they_were_expected(reach: Any, folder: Path) -> None:
    (case,) = reach.read_cases(folder / "table.toml", folder, ["counts"])
    (plain,) = reach.read_cases(folder / "table.toml", folder, ["numbers"])
    assert reach.failed(case, UsageError("takes int64")).verdict == "refused, rightly"
    assert reach.failed(case, UsageError("no such file")).verdict == "REFUSED"
    assert reach.failed(plain, UsageError("takes int64")).verdict == "REFUSED"
    assert reach.failed(case, ValueError("int64")).verdict == "TRACEBACK"


def test_the_table_has_a_line_for_every_file_that_is_there(folder: Path) -> None:
    command = [sys.executable, str(TOOLS / "reach.py"), str(folder), "numbers", "counts", "absent"]
    done = subprocess.run([*command, "--table", str(folder / "table.toml")], capture_output=True, text=True, check=True)
    rows = [line.split(" | ") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows[2:]] == ["| numbers", "| counts"]
    assert rows[2][2].startswith("right (") and "array 6 classification y" in rows[2][3]
    assert rows[3][2] == "refused, rightly" and "UnsupportedError" in rows[3][6]
