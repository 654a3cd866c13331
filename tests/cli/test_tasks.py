"""A task without classes and probabilities, on the command line: its value stands where theirs do."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.tasks import Prediction, Task, one, registry

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offer a task: twice the mean of the first output."""
    monkeypatch.setattr(registry, "_MADE", {})

    @onnxsal.task("doubled", when="tests")
    @dataclass(frozen=True)
    class Doubled(Task):
        kinds = {"value": "sal/values"}  # noqa: RUF012
        size = 1

        @classmethod
        def find(cls, graph: Any) -> Doubled:
            return cls(output=graph.outputs[0].name, logit=graph.outputs[0].name)

        def write(self, op: Any, values: Any) -> dict[str, Any]:
            return {"sal/values": op.Mul(op.ReduceMean(values[self.logit], [1], keepdims=1), 2.0)}

        def resolve(self, target: Any, numbers: Any, labels: Any) -> Any:
            return one(0, "twice the mean")

        def shown(self, target: Any, numbers: Any) -> tuple[float, float]:
            return float("nan"), float(numbers["value"][0])

        def predict(self, numbers: Any, labels: Any, top: int) -> list[Prediction]:
            return [Prediction(0, "twice the mean", float("nan"), float(numbers["value"][0]))]


HOW = ("model.onnx", "red.png", "--task", "doubled", "--preprocess", "unit")


def value() -> float:
    """Of the logits that the same file puts out as a classifier."""
    model = onnxsal.load("model.onnx", preprocess="unit")
    return 2 * float(np.mean([p.logit for p in model.predict("red.png", top=99)]))


def test_predict_shows_the_value(run: Run) -> None:
    ended = run("predict", *HOW)
    assert ended.status == 0, ended.err
    assert ended.out.splitlines()[1].split(maxsplit=1) == [f"{value():.4g}", "twice the mean (0)"]


def test_json_holds_no_nan(run: Run) -> None:
    (result,) = json.loads(run("predict", *HOW, "--json").out, parse_constant=pytest.fail)["results"]
    (shown,) = result["classes"]
    assert shown["probability"] is None
    assert shown["logit"] == pytest.approx(value(), rel=1e-5)


def test_presets_are_told_apart_by_the_value(run: Run) -> None:
    silent = onnx.load("model.onnx")
    del silent.metadata_props[:]
    onnx.save(silent, "model.onnx")
    ended = run("predict", *HOW[:4])
    assert ended.status == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("  unit")]
    assert line.split(maxsplit=2) == ["unit", f"{value():.4g}", "twice the mean"]


def test_labels_in_the_file_name_classes_alone(run: Run) -> None:
    loaded = onnxsal.load("model.onnx", task="doubled")
    assert "onnxsal.labels" in loaded.metadata
    assert loaded.labels is None


def test_explain_shows_the_value(run: Run) -> None:
    ended = run("explain", *HOW, "-m", "gradient")
    assert ended.status == 0, ended.err
    assert f"target  twice the mean (0), {value():.4g}\n" in ended.out


def test_inspect_names_the_task(run: Run) -> None:
    ended = run("inspect", *HOW[:1], *HOW[2:])
    assert ended.status == 0, ended.err
    (line,) = [line for line in ended.out.splitlines() if line.startswith("scores")]
    assert line.split(maxsplit=1)[1].startswith("doubled: ")
