"""Series in text files: every way to write them, and what is wrong named with its line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxsal
from onnxsal.cli.run import main
from onnxsal.errors import ImageError, UsageError
from onnxsal.modalities.series_file import read_series

ROWS = np.array([[1.5, -2, 3e-2], [4, 5, 6]])


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1.5,-2,3e-2\n4,5,6\n", None), ("\ufeffleft, right,\n1.5,-2,3e-2\n4,5,6\n\n", ("left", "right", "column 3")),
        ("a;b;c\r\n1,5;-2;3e-2\r\n4;5;6\r\n", ("a", "b", "c")), ("1,5;-2;3,0e-2\n4;5;6", None),
        ("a\tb, c\td\n1.5\t-2\t3e-2\n4\t5\t6", ("a", "b, c", "d")),
        ('"a, b",c,d\n"1.5",-2,.03\n4,5,6', ("a, b", "c", "d")),
        ("1.5  -2 3e-2\n4 5   6\n", None), ("a|b|c\n1.5|-2|3e-2\n4|5|6", ("a", "b", "c")),
    ],
)  # fmt: skip
def test_every_way_to_write_them(tmp_path: Path, text: str, names: tuple[str, ...] | None) -> None:
    (tmp_path / "x.csv").write_text(text, encoding="utf-8", newline="")
    found = read_series(tmp_path / "x.csv")
    np.testing.assert_allclose(found.values, ROWS)
    assert found.names == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"), (" \n\n", "is empty"), ("a,b\n", "has names of channels .a, b. and no row below them"),
        ("a,1\n2,3", "line 1: 'a' is no number; names of channels are a first row without any"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cell, and line 1 has 2"),
        ("1,2\n3,4,5\n", "line 2 has 3 cells, and line 1 has 2"),
        ("a,b\n1,2\n3,x7\n", "line 3: 'b' holds 'x7', which is no number"), ("1,2\n\n3,4", "line 2 is blank"),
        ("1,2\n3,\n", "line 2: 'column 2' is empty"),
        ("a,b\n1,2\n3,nan", "line 3: 'b' holds 'nan', which is no finite"),
        ('1,2\n"3,4\n', "line 2: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(ImageError, match=f"the series '.*x.csv',? ?{message}"):
        read_series(tmp_path / "x.csv")


def test_what_is_no_text_and_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe1,2")
    with pytest.raises(ImageError, match="is no text in UTF-8"):
        read_series(tmp_path / "x.csv")
    with pytest.raises(ImageError, match=r"no such file: .*did you mean 'x.csv'"):
        read_series(tmp_path / "y.csv")


NET = """<ir_version: 10, opset_import: ["" : 21]> g (float[%s] x) => (float[B, 1] y)
    <float[1, 2, 1] w = {2, -1}, int64[1] last = {2}> { %s a = Conv (t, w) r = Relu (a)
    y = ReduceMean <keepdims = 0> (r, last) }"""


@pytest.mark.parametrize(
    ("shape", "front"),
    [("B, 2, T", "t = Identity (x)"), ("B, 3, 2", "t = Transpose <perm = [0, 2, 1]> (x)")],
)
def test_columns_are_channels_whichever_way_the_model_has_them(
    tmp_path: Path, shape: str, front: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(NET % (shape, front)), "net.onnx")
    Path("x.csv").write_text("up,down\n1,5\n3,1\n-1,-4\n")
    found = onnxsal.explain("net.onnx", "x.csv", method="gradient", target=0)
    np.testing.assert_allclose(found.raw, np.array([[0, 2, 2], [0, -1, -1]]) / 3, rtol=1e-6)
    assert main(["explain", "net.onnx", "x.csv", "-m", "gradient", "-o", "x.png"]) == 0
    assert "x.png" in capsys.readouterr().out
    Path("wide.csv").write_text("t,up,down\n0,1,5\n1,3,1\n2,-1,-4\n")
    with pytest.raises(UsageError, match=r"'wide.csv' has 3 columns \(t, up, down\), and the model takes 2 channels"):
        onnxsal.explain("net.onnx", "wide.csv", method="gradient", target=0)


def test_names_stand_beside_their_curves(tmp_path: Path) -> None:
    loaded = onnxsal.load(onnx.parser.parse_model(NET % ("B, 2, T", "t = Identity (x)")))
    for name, head in (("plain", ""), ("named", "up,down\n")):
        (tmp_path / f"{name}.csv").write_text(f"{head}1,5\n3,1\n-1,-4\n")
    plain, named = (
        loaded.fitting(p).prepare(p).canvas().photo for p in (tmp_path / "plain.csv", tmp_path / "named.csv")
    )
    where = np.argwhere((plain != named).any(axis=2))
    rows = {int(row) // (plain.shape[0] // 2) for row in where[:, 0]}
    assert rows == {0, 1} and where[:, 1].max() < 960 / 4


def test_a_recording_of_electrodes_beside_its_spectrogram(shared: Path, tmp_path: Path) -> None:
    """A trained file of two inputs: one is explained, the other held; its slope is the file's own."""
    path, rng = shared / "reach" / "eeg_spindle.onnx", np.random.default_rng(0)
    held = rng.normal(0, 1, (1, 15, 7500)).astype(np.float32)
    np.savetxt(tmp_path / "eeg.csv", rng.normal(0, 1, (7500, 1)), header="C3", comments="")
    model = onnxsal.load(path, explained="raw_signal", inputs={"spectrogram": held})
    assert (model.modality.name, model.size) == ("sequence", (7500,))
    found = onnxsal.explain(model, tmp_path / "eeg.csv", method="gradient", target="detection[0, 7, 0]")
    session, x = onnxruntime.InferenceSession(path), found.sample.x.astype(np.float64)
    way = rng.normal(0, 1, x.shape)

    def score(values: np.ndarray) -> float:
        given = {"raw_signal": values[None].astype(np.float32), "spectrogram": held}
        return float(session.run(["detection"], given)[0][0, 7, 0])

    assert found.logit == pytest.approx(score(x), rel=1e-4)
    assert (found.raw * way).sum() == pytest.approx((score(x + 5e-3 * way) - score(x - 5e-3 * way)) / 1e-2, rel=2e-2)
