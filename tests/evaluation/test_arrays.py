"""Sequences and arrays judged: every value against the file itself in ONNX Runtime, its numbers exchanged by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import UsageError

RNG = np.random.default_rng(0)

SERIES = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, T, 2] x) => (float[B, 2] y) <int64[1] last = {2}>
    { t = Transpose <perm = [0, 2, 1]> (x) a = Conv <pads = [2, 2]> (t, w) r = Relu (a)
      m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, v) }"""
VOLUME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 3, 5] x) => (float[B, 3] y) <int64[2] f = {-1, 30}>
    { s = Sin (x) q = Mul (s, x) r = Reshape (q, f) y = MatMul (r, v) }"""
WEIGHTS = {SERIES: {"w": (3, 2, 5), "v": (3, 2)}, VOLUME: {"v": (30, 3)}}


def model(text: str) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    for name, shape in WEIGHTS[text].items():
        array = np.random.default_rng(3).normal(0, 1, shape).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def area(proto: onnx.ModelProto, ends: tuple[np.ndarray, np.ndarray], ways: np.ndarray, at: Any) -> float:
    """Return the area under what ``at`` makes of the outputs, as four equal groups of positions change."""
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    shares, curve = np.rint(np.linspace(0, len(ways), 5)).astype(int), []
    for count in shares:
        x = ends[0].copy()
        for place in ways[:count]:
            x[tuple(place)] = ends[1][tuple(place)]
        curve.append(at(session.run(["y"], {"x": x[None]})[0][0]))
    return float(np.trapezoid(curve, shares / len(ways)))


def softmax(y: np.ndarray) -> np.ndarray:
    return np.exp(y - y.max()) / np.exp(y - y.max()).sum()


CASES: dict[str, tuple[str, tuple[int, ...], dict[str, Any], Any, Any]] = {
    "a class of a sequence": (SERIES, (24, 2), {"task": "classification"}, 1, lambda y: softmax(y)[1]),
    "an element of a sequence": (SERIES, (17, 2), {}, "y[0, 0]", lambda y: y[0]),
    "a number of an array": (VOLUME, (2, 3, 5), {"task": "regression"}, 2, lambda y: y[2]),
    "an element of an array": (VOLUME, (2, 3, 5), {}, "y[0, 1]", lambda y: y[1]),
}


@pytest.mark.parametrize("case", CASES)
def test_deletion_and_insertion_are_those_of_the_file(case: str, tmp_path: Path) -> None:
    """Numbers go to 0 and come from there, all channels at a time; of a journal nothing is judged again."""
    text, shape, options, target, at = CASES[case]
    proto, things = model(text), [RNG.normal(0, 1, shape).astype(np.float32) for _ in range(2)]
    for number, x in enumerate(things):
        np.save(tmp_path / f"{number}.npy", x)
    opened = onnxsal.load(proto, **options)
    asked = {"methods": ["gradient"], "metrics": ["deletion[steps=4]", "insertion[steps=4]", "sparseness"]}
    found = onnxsal.evaluate(opened, tmp_path, **asked, target=target, journal=tmp_path / "j.jsonl")
    assert found.failures == ()
    for number, x in enumerate(things):
        saliency = onnxsal.explain(opened, x, method="gradient", target=target).saliency
        order = np.argsort(-saliency.reshape(-1), kind="stable")
        ways = np.stack(np.unravel_index(order, saliency.shape), axis=1)
        nothing = np.zeros_like(x)
        wanted = {"deletion[steps=4]": area(proto, (x, nothing), ways, at),
                  "insertion[steps=4]": area(proto, (nothing, x), ways, at)}  # fmt: skip
        rows = {row.metric: row for row in found.rows if row.image == f"{number}.npy"}
        assert {name: rows[name].value for name in wanted} == pytest.approx(wanted, abs=2e-5)
        assert rows["insertion[steps=4]"].parameters["to"] == "zero"
    again = onnxsal.evaluate(opened, tmp_path, **asked, target=target, journal=tmp_path / "j.jsonl")
    assert (again.reused, [row.value for row in again.rows]) == (6, [row.value for row in found.rows])
    found.report(tmp_path / "page.html")
    drawn = len(shape) < 3  # of more axes there is no picture
    assert ("data:image/jpeg" in (tmp_path / "page.html").read_text()) == drawn


def test_every_other_metric_judges_or_is_refused_by_name(tmp_path: Path) -> None:
    opened, x = onnxsal.load(model(SERIES), task="classification", size=16), RNG.normal(0, 1, (16, 2))
    x = x.astype(np.float32)
    every = ["average-drop", "increase-in-confidence-top", "completeness", "sensitivity-n[shares=0.3,samples=4]",
             "infidelity[samples=4]", "max-sensitivity[samples=2]", "adcc", "randomisation", "complexity"]  # fmt: skip
    found = onnxsal.evaluate(opened, [x], methods=["integrated-gradients[steps=4]"], metrics=every, target=1)
    assert (len(found.rows), found.failures) == (len(every), ())
    for metric, why in (
        ("energy-pointing", "where the object is"), ("grid-pointing", "mosaics"), ("road", "those beside them"),
        ("insertion[to=blur]", "to=blur"), ("infidelity[change=square]", "change=square"), ("mask-share", "region"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=rf"'{metric[:6]}.*{why}.*takes sequence \(16,\); .*deletion"):
            onnxsal.evaluate(opened, [x], methods=["gradient"], metrics=[metric])
    with pytest.raises(UsageError, match="shares of the steps lie between 0 and 1"):
        onnxsal.evaluate(opened, [x], methods=["gradient"], metrics=["sensitivity-n[shares=1.5]"], target=1)
    with pytest.raises(UsageError, match="masks say where objects are in pictures, and this model takes sequence"):
        onnxsal.evaluate(opened, [x], methods=["gradient"], metrics=["deletion"], masks=tmp_path)


def test_the_command_takes_files_of_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(model(SERIES), "net.onnx")
    for number in range(2):
        np.save(f"{number}.npy", RNG.normal(0, 1, (20, 2)).astype(np.float32))
    asked = ["evaluate", "net.onnx", "0.npy", "1.npy", "-m", "gradient", "-t", "y[0, 1]", "--json", "found.json"]
    assert main([*asked, "--report", "page.html"]) == 0
    assert "deletion" in capsys.readouterr().out
    assert "0.npy" in Path("found.json").read_text()
    np.save("1.npy", np.zeros((20, 3), np.float32))
    assert main(asked) == 1  # the other one is judged
    assert "1.npy" in capsys.readouterr().err
