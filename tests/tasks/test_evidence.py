"""What stands beside a file: ``problem_type`` in a config.json, and whether it can be said of this file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal.tasks.evidence import are_shares, are_within
from tests.tasks.test_activation import K, X, model, probability, run

FREE = "y = Mul(z, two)"


def beside(folder: Path, proto: onnx.ModelProto, **config: object) -> Path:
    path = folder / "model.onnx"
    onnx.save(proto, path)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return path


def names(count: int) -> dict[str, str]:
    return {str(at): f"thing {at}" for at in range(count)}


def test_labels_that_do_not_exclude_each_other(tmp_path: Path) -> None:
    path = beside(tmp_path, model(FREE), problem_type="multi_label_classification", id2label=names(K))
    opened = onnxsal.load(path)
    np.testing.assert_allclose(probability(opened), 1 / (1 + np.exp(-run(model(FREE))[0])), rtol=1e-5)
    assert str(opened.decided[0]) == "activation: sigmoid (problem_type in config.json)"
    assert onnxsal.load(path, activation="softmax").task.probabilities_by == "softmax"


def test_regression_of_several_numbers_and_of_one(tmp_path: Path) -> None:
    several = onnxsal.load(beside(tmp_path, model(FREE), problem_type="regression", num_labels=K))
    assert [each.logit for each in several.predict(X)] == pytest.approx(run(model(FREE))[0].tolist(), rel=1e-5)
    one = model("y = MatMul(f, s)", "float[n, 1] y")
    opened = onnxsal.load(beside(tmp_path, one, problem_type="regression", id2label=names(1)))
    assert (opened.task.name, opened.notes) == ("regression", ())


@pytest.mark.parametrize(
    "config",
    [
        {"problem_type": "multi_label_classification", "id2label": names(K + 1)},
        {"problem_type": None, "id2label": names(K)}, {"problem_type": "another"},
    ],
)  # fmt: skip
def test_words_of_another_model_or_none_settle_nothing(tmp_path: Path, config: dict[str, object]) -> None:
    opened = onnxsal.load(beside(tmp_path, model(FREE), **config))
    assert opened.task.probabilities_by == "softmax"
    assert len(opened.assumed) == 1


def test_a_file_that_is_no_json_settles_nothing(tmp_path: Path) -> None:
    path = beside(tmp_path, model(FREE))
    (tmp_path / "config.json").write_text("problem_type: regression", encoding="utf-8")
    assert onnxsal.load(path).task.name == "classification"


def test_what_rows_are() -> None:
    shares = np.array([[0.2, 0.8], [1, 0]], np.float32)
    assert (are_shares(shares), are_shares(shares * 0.99), are_shares(shares[:0])) == (True, False, False)
    assert (are_within(shares), are_within(shares - 0.1), are_within(shares + 0.1)) == (True, False, False)
