"""Modalities: tried in order, built-in ones first; a program's own and a broken package's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

import onnxsal
from onnxsal import plugins
from onnxsal.anatomy import Entry
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.modalities import registry
from onnxsal.modalities.registry import Reader, Sample

MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, %s] x) => (float[B, 2] y)
    <float[3, 2] w = {1, 0, 0, 1, 0.5, 0.5}, int64[2] axes = {2, 3}>
    { m = ReduceMean <keepdims = 0> (x, axes) y = MatMul (m, w) }"""

ROWS = '<ir_version: 10, opset_import: ["" : 21]> g (float[B, 3] x) => (float[B, 3] y) { y = Relu (x) }'


def model(shape: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(MODEL % shape)


@pytest.fixture
def thermogram() -> Iterator[type]:
    """Rows of temperatures of three sensors, 5 x 7 each, given as a dict of lists."""

    @onnxsal.modality("thermogram")
    class Thermogram:
        name: ClassVar[str]
        default_size: ClassVar[Mapping[str, int]] = {"H": 5, "W": 7}
        preprocessed: ClassVar[bool] = False
        says_size: ClassVar[bool] = False

        def find_entry(self, graph: Any) -> Entry:
            (source,) = graph.inputs
            if [*source.shape][2:] != [5, 7]:
                raise UnsupportedError("no thermogram")
            return Entry(source.name, source.name, source.dtype, "NCHW", "NCHW", 3, (5, 7))

        def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> None:
            return None

        def read(self, thing: dict[str, Any], reader: Reader) -> Sample:
            return Sample(reader.enter(np.stack([np.float32(each) for each in thing.values()])[None]), "sensors")

        def blank(self, reader: Reader) -> np.ndarray:
            return np.full(3, 20, np.float32)

    yield Thermogram
    del registry.MADE["thermogram"]


def test_images_are_tried_first_and_alone_are_built_in() -> None:
    assert next(iter(plugins.offers(plugins.MODALITIES))) == "image"
    assert registry.names()[0] == registry.get("image").name == "image"
    assert onnxsal.load(model("3, 8, 8")).modality.name == "image"


def test_a_modality_of_this_program_reads_what_it_understands(
    thermogram: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxsal.modalities.image.modality.find_entry", refuse)
    loaded = onnxsal.load(model("3, 5, 7"))
    assert (loaded.modality.name, loaded.size) == ("thermogram", (5, 7))
    rows = {name: np.full((5, 7), value) for name, value in (("a", 1.0), ("b", 2.0), ("c", 4.0))}
    sample = loaded.prepare(rows)
    np.testing.assert_array_equal(sample.x, np.stack(list(rows.values())))
    np.testing.assert_array_equal(loaded.black(), [20, 20, 20])
    np.testing.assert_allclose(loaded.scores(sample.x)[0], [1 + 2, 2 + 2])  # the closed form of MODEL
    with pytest.raises(UnsupportedError, match="'sensors' is no image"):
        sample.image()


def refuse(graph: Any) -> Entry:
    raise UnsupportedError("no image")


def test_a_model_that_no_modality_takes_is_refused_in_the_words_of_the_first(thermogram: type) -> None:
    with pytest.raises(UnsupportedError, match="onnxsal explains models of one picture"):
        onnxsal.load(onnx.parser.parse_model(ROWS.replace("float[", "int64[")))


def test_a_built_in_keeps_its_name() -> None:
    with pytest.raises(UsageError, match="'image' is a built-in modality"):
        onnxsal.modality("image")(type("Mine", (), {}))


def test_a_broken_package_hurts_only_who_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = registry.names()
    broken = plugins.Offer("broken", plugins.MODALITIES, "no_such_module:Thing", "pack", "1")
    monkeypatch.setattr("onnxsal.plugins._installed", lambda group: (broken,) if group == plugins.MODALITIES else ())
    assert registry.names() == [*built_in[:-1], "broken", "array"], "what takes anything is tried last of all"
    assert onnxsal.load(model("3, 8, 8")).modality.name == "image"
    with pytest.raises(ImportError, match="package pack 1, which is broken"):
        registry.get("broken")


@pytest.fixture
def track() -> Iterator[None]:
    """The modality of the page on plug-ins, as it stands there."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "@modality(" in b]
    exec(block, {"__name__": "my_package"})
    yield
    del registry.MADE["track"]


TABLE = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, %s, 3] x) => (float[B, 2] y)
    <float[3, 2] w = {1, 0, 0, -1, 0.5, 2}, int64[1] axis = {1}>
    { h = MatMul (x, w) r = Relu (h) y = ReduceMean <keepdims = 0> (r, axis) }"""


def test_the_modality_of_the_page_on_plug_ins_reads_its_files(track: None, tmp_path: Path) -> None:
    """y = mean over rows of relu(x w): of class 1 the gradient is w's column, where its product is above 0."""
    rows, w = np.random.default_rng(0).normal(size=(7, 3)).round(3), np.array([[1, 0], [0, -1], [0.5, 2]])
    np.savetxt(tmp_path / "walk.csv", rows, delimiter=",")
    loaded = onnxsal.load(onnx.parser.parse_model(TABLE % 7))
    assert (loaded.modality.name, loaded.size) == ("track", (7,))
    found = onnxsal.explain(loaded, tmp_path / "walk.csv", method="gradient", target=1)
    assert found.logit == pytest.approx(np.maximum(rows @ w, 0).mean(axis=0)[1], rel=1e-5)
    np.testing.assert_allclose(found.raw, w[:, 1:] * (rows @ w[:, 1] > 0) / 7, rtol=1e-5)
    np.savetxt(tmp_path / "short.csv", rows[:4], delimiter=",")
    with pytest.raises(UsageError, match=r"short\.csv has \(4, 3\) rows and columns, and the model takes \(7, 3\)"):
        loaded.prepare(tmp_path / "short.csv")


def test_a_size_that_the_page_s_modality_takes_is_said(track: None) -> None:
    opened = onnxsal.load(onnx.parser.parse_model(TABLE % "T"))
    assert opened.size == (100,)
    assert any("T 100" in note for note in opened.notes)
    other = onnxsal.load(onnx.parser.parse_model((TABLE % 7).replace("MatMul (x, w)", "MatMul (z, w)").replace(
        "{ h", "{ z = Add (x, x) h")))  # fmt: skip
    assert other.modality.name == "array"
