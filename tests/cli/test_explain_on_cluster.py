"""``onnxsal explain --ray`` without Ray: what it refuses, and what it writes; on Ray itself tests/cluster holds it."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_detectors
import tiny_models
from PIL import Image

from onnxsal.cli.actions import explain_on_cluster
from onnxsal.cluster.explainer import Work
from onnxsal.maps import read_maps


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--ray", "local"], "--out maps.parquet without -o"),
        (["--ray", "local", "--out", "maps/", "-o", "a.png"], "--out maps.parquet without -o"),
        (["--ray", "local", "--out", "maps/", "--json"], "--json is for explaining here"),
        (["--ray", "local", "--out", "maps/", "-m", "gradient,grad-cam", "-O", "samplse=2"], "'samplse'"),
        (["--actors", "2", "--out", "maps/"], "say which cluster (--ray local)"),
    ],
)
def test_what_workers_do_not_make_is_refused(run, given: list[str], message: str) -> None:
    ended = run("explain", "model.onnx", "red.png", *given)
    assert (ended.status, ended.out) == (2, "") and message in ended.err


class AtHand:
    """What Ray Data is to the command, but for the workers: one, here, and rows as they are rather than in Arrow."""

    def __init__(self, things: list, worker: type, work: Work) -> None:
        columns = {name: np.array([each[name] for each in things], object) for name in things[0]}
        self._rows = worker(pickle.loads(pickle.dumps(work))).rows(columns)

    def iter_batches(self, **_: object) -> Iterator[AtHand]:
        yield self

    def to_batches(self) -> list:
        return [self._rows]


def flat() -> onnx.ModelProto:
    """Return a classifier of pictures that has no layer, so that another method than the first choice is meant."""
    weights = np.random.default_rng(0).normal(size=(3 * 32 * 32, 4)).astype(np.float32)
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]> g (float[N, 3, 32, 32] x)
        => (float[N, 4] y) { f = Flatten (x) y = MatMul (f, w) }""")
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    return model


@pytest.mark.parametrize(
    ("model", "asked"),
    [
        (tiny_models.classifier, ["-m", "grad-cam,smoothgrad", "-O", "samples=2", "-O", "sign=positive", "-l", "r1",
                                  "-t", "red", "-t", "blue minus red", "--activation", "softmax"]),
        (flat, ["-t", "0", "-t", "1", "-t", "2", "-t", "0 minus 1", "--preprocess", "unit"]),
        (lambda: tiny_detectors.detector("v8"), ["-m", "layercam,gradient", "-t", "#1", "-t", "all"]),
    ],
)  # fmt: skip
def test_several_methods_and_targets_are_the_rows_of_one_machine(run, folder: Path, monkeypatch, model, asked) -> None:
    tiny_models.write(model(), folder / "model.onnx")
    scene = np.uint8(255 * tiny_detectors.picture((0, 2, 3), (2, 18, 16))[0].transpose(1, 2, 0))
    (folder / "photos").mkdir()
    for name in ("b", "a"):
        Image.fromarray(scene).save(folder / "photos" / f"{name}.png")
    (folder / "photos" / "c.png").write_text("no picture")
    given = ["explain", "model.onnx", "photos", *asked, "--threads", "1"]
    here = run(*given, "--out", "here/")
    for name, stand_in in {"connect": lambda *_, **__: None, "in_order": lambda rows, _: rows, "mapped": AtHand,
                           "rows_in": iter}.items():  # fmt: skip
        monkeypatch.setattr(explain_on_cluster, name, stand_in)
    there = run(*given, "--out", "there/", "--ray", "local", "--actors", "1")
    assert here.status == there.status == 1 and "c.png" in there.err
    rows = [list(read_maps(folder / each)) for each in ("here", "there")]
    assert len(rows[0]) == len(rows[1]) >= 8
    for one, other in zip(*rows, strict=True):
        for name in vars(one).keys() - {"manifest"}:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert {**one.manifest, "seconds": 0} == {**other.manifest, "seconds": 0}


def test_without_the_package_the_message_is_how_to_have_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = run("explain", "model.onnx", "red.png", "--ray", "local", "--out", "maps/", "--activation", "softmax")
    assert ended.status == 1 and "pip install 'onnxsal[ray]'" in ended.err
