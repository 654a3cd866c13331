"""Tasks by name and by recognition; the page on plug-ins followed to a task of its own, end to end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

import onnxsal
from onnxsal import plugins
from onnxsal.errors import EnvironmentSetupError, UnsupportedError, UsageError
from onnxsal.tasks import Task, registry
from onnxsal.tasks.classification import Classification

ROOT = Path(__file__).resolve().parents[2]
X = np.random.default_rng(0).normal(size=(3, 12, 12)).astype(np.float32)


def model(end: str, columns: int = 1) -> onnx.ModelProto:
    rng = np.random.default_rng(3)
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    g (float[n, 3, 12, 12] x) => (float[n, {columns}] y) {{
      c = Conv <pads = [1, 1, 1, 1]> (x, w)
      r = Tanh (c)
      m = Conv (r, u)
      t = Relu (m)
      p = ReduceMean <keepdims = 0> (t, axes)
      {end}
    }}"""
    proto = onnx.parser.parse_model(text)
    arrays = {
        "w": rng.normal(size=(4, 3, 3, 3)),
        "u": rng.normal(size=(5, 4, 3, 3)),
        "v": rng.normal(size=(5, columns)),
    }
    proto.graph.initializer.extend(numpy_helper.from_array(a.astype(np.float32), k) for k, a in arrays.items())
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    return proto


NUMBER = model("y = MatMul (p, v)")


@pytest.fixture
def number(monkeypatch: pytest.MonkeyPatch) -> type[Task]:
    """The task of the page on plug-ins, as it stands there."""
    monkeypatch.setattr(registry, "_MADE", {})
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "@task(" in b]
    scope: dict[str, Any] = {"__name__": "my_package"}
    exec(block, scope)
    found: type[Task] = scope["Number"]
    return found


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("gradient", {}), ("grad-cam", {"layer": "t"}), ("score-cam", {"layer": "t"}), ("occlusion", {"patch": 4}),
        ("smoothgrad", {"samples": 3}), ("integrated-gradients", {"steps": 4}), ("ablation-cam", {"layer": "t"}),
    ],
)  # fmt: skip
def test_a_task_of_twenty_lines_has_every_method_and_their_files(
    number: type[Task], method: str, options: dict[str, Any]
) -> None:
    """The oracle is the same file as a classifier of one logit, which is that number: class 1 is what it speaks for."""
    own, other = onnxsal.load(NUMBER, task="number"), onnxsal.load(NUMBER, task="classification")
    assert (own.task.name, other.task.name) == ("number", "classification")
    found = onnxsal.explain(own, X, method=method, **options)
    wanted = onnxsal.explain(other, X, method=method, score="logit", target=1, **options)
    np.testing.assert_array_equal(found.raw, wanted.raw)
    assert (found.target, found.label, found.manifest["score"]) == (0, "the number", "value")
    made = onnxsal.compile(own, method=method, give="raw", **options)
    session = ort.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(["raw"], {"x": X[None]})[0][0], found.raw, rtol=1e-4, atol=1e-6)


def test_what_it_predicts_and_how_it_is_judged(number: type[Task]) -> None:
    own = onnxsal.load(NUMBER, task="number")
    file = ort.InferenceSession(NUMBER.SerializeToString(), providers=["CPUExecutionProvider"])
    (wanted,) = file.run(None, {"x": X[None]})
    (found,) = own.predict(X)
    assert found.logit == pytest.approx(float(wanted[0, 0]), rel=1e-6)
    assert own.inspect()["output"] == {"name": "y", "logit": "y", "task": "number"}
    rows = onnxsal.evaluate(own, [X], methods=["occlusion[patch=4]"], metrics=["deletion"]).rows
    assert np.isfinite([row.value for row in rows]).all()


def test_what_a_task_does_not_find_is_said(number: type[Task]) -> None:
    with pytest.raises(UnsupportedError, match="'y' is not one number a picture"):
        onnxsal.load(model("y = MatMul (p, v)", 4), task="number")


def test_kinds_that_a_task_lacks_are_refused(number: type[Task]) -> None:
    with pytest.raises(UsageError, match="score='probability': expected value, which is what the task 'number'"):
        onnxsal.explain(onnxsal.load(NUMBER, task="number"), X, method="gradient", score="probability")


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="no task 'clasification'; did you mean 'classification'"):
        onnxsal.load(NUMBER, task="clasification")
    with pytest.raises(UsageError, match=r"no task 'banana' \(tasks are .*classification.*, element\)"):
        onnxsal.load(NUMBER, task="banana")
    with pytest.raises(UsageError, match=r"expected the name of a task: .*classification"):
        onnxsal.load(NUMBER, task=7)  # type: ignore[arg-type]


def test_a_built_in_keeps_its_name_and_tasks_are_classes_of_task() -> None:
    with pytest.raises(UsageError, match="built-in task"):

        @onnxsal.task("classification")
        @dataclass(frozen=True)
        class Other(Classification):
            pass

    with pytest.raises(UsageError, match=r"expected a class of onnxsal\.tasks\.Task"):
        onnxsal.task("odd")(dict)  # type: ignore[type-var]


def test_a_broken_package_hurts_only_who_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = EntryPoint("broken", "no_such_module:Task", plugins.TASKS)
    installed = plugins.Offer("broken", plugins.TASKS, broken.value, "pack", "1.0")
    monkeypatch.setattr(plugins, "_installed", lambda group: (installed,) if group == plugins.TASKS else ())
    assert onnxsal.load(NUMBER).task.name == "regression"
    assert onnxsal.load(segmenter()).task.name == "element"
    with pytest.raises(EnvironmentSetupError, match=r"pack 1\.0"):
        onnxsal.load(NUMBER, task="broken")


def segmenter() -> onnx.ModelProto:
    proto = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[n, 3, 12, 12] x) => (float[n, 2, 12, 5] y) '
        "{ a = Conv (x, w) y = MatMul (a, v) }"
    )
    arrays = {"w": np.ones((2, 3, 1, 1), np.float32), "v": np.ones((12, 5), np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(a, k) for k, a in arrays.items())
    return proto


def test_a_rewritten_model_keeps_its_task(number: type[Task]) -> None:
    """Weights drawn anew: the same task finds the same head, though another would be recognised first."""
    from onnxsal.evaluation.cascade import Cascade

    drawn = Cascade(onnxsal.load(NUMBER, task="number"), 2).models()
    assert [each.task for each in drawn] == [number(output="y", logit="y")] * len(drawn)
