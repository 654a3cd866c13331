"""``onnxsal explain`` on a recording: a sound file run chunk by chunk, its state carried, in closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile

import onnxsal
from onnxsal.cli import main
from onnxsal.cli.chunks import chunk_in
from onnxsal.errors import ImageError, UsageError

RATE, HOP, CHUNK, AT = 1000, 80, 100, 3
W = np.sin(np.arange(CHUNK)).astype(np.float32)


def written(path: Path) -> None:
    """h' = h / 2 + w x of any number of chunks of 100 samples, y = h' squared."""
    proto = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 100] x, float[B, 1] h0)
        => (float[B, 1] y, float[B, 1] hN) <float[1] half = {0.5}>
        { f = MatMul (x, w) d = Mul (h0, half) hN = Add (d, f) y = Mul (hN, hN) }"""
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W[:, None], "w"))
    onnx.save(proto, path)


def test_a_sound_file_is_explained_chunk_by_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "m.onnx")
    x = np.random.default_rng(0).uniform(-0.5, 0.5, 730).astype(np.float32)
    soundfile.write("long.wav", x, RATE, subtype="FLOAT")
    soundfile.write("other.wav", x, RATE * 2, subtype="FLOAT")
    opened = ["m.onnx", "--explained", "x", "--head", "y", "--task", "regression", "--rate", str(RATE)]
    asked = [*opened, "-m", "gradient", "--hop", str(HOP)]
    told = [
        *asked,
        "--at",
        "0.25s",
        "--unrolled",
        "2",
        "--out",
        "maps/",
        "--dtype",
        "float32",
        "--npz",
        "{stem}.npz",
        "--sound",
        "{stem}.flac",
    ]
    assert main(["explain", told[0], "long.wav", *told[1:]]) == 0
    out = capsys.readouterr().out
    assert f"#{AT} of 10; the map is of 0.14 to 0.32 s" in out

    padded, h, ways = np.pad(x.astype(np.float64), (CHUNK - HOP, 200)), 0.0, np.zeros(len(x) + 220)
    for i in range(AT + 1):
        own = slice(i * HOP, i * HOP + CHUNK)
        h, ways = h / 2 + W @ padded[own], ways / 2
        ways[own] += W if i >= AT - 1 else 0  # what lies before two chunks reaches the score through the state alone
    expected = 2 * h * ways[CHUNK - HOP :][: len(x)]
    with np.load("long.npz") as found:
        np.testing.assert_allclose(found["raw"][0], expected, rtol=1e-4, atol=1e-5)
    part, rate = soundfile.read("long.flac")
    assert rate == RATE and len(part) == len(x) and not part[400:].any() and part[150:310].any()

    (record,) = onnxsal.read_maps("maps/")  # what onnxsal draw draws: the sound is read again as the manifest says
    record.on("long.wav").to_sound("again.flac")
    assert np.array_equal(soundfile.read("again.flac")[0], part)
    soundfile.write("another.wav", x[::-1], RATE, subtype="FLOAT")
    with pytest.raises(ImageError, match="does not hold what was explained"):
        record.on("another.wav")

    Path("long.flac").unlink()  # all but the sound is there, and that alone is missing
    assert main(["explain", told[0], "long.wav", *told[1:], "--skip-existing"]) == 0
    assert np.array_equal(soundfile.read("long.flac")[0], part)
    capsys.readouterr()
    assert main(["explain", told[0], "long.wav", *told[1:], "--skip-existing"]) == 0
    assert "1 of 1" in capsys.readouterr().err

    assert main(["explain", asked[0], "other.wav", *asked[1:]]) == 2
    assert "--resample" in capsys.readouterr().err
    assert main(["explain", opened[0], "long.wav", *opened[1:], "-m", "gradient"]) == 0
    assert "--chunk 100 (onnxsal.Recording) runs the model over all of it" in " ".join(capsys.readouterr().err.split())


def test_a_chunk_is_named_by_its_number_or_its_time() -> None:
    assert [chunk_in(text) for text in (None, "#12", "#-1", "1.25s", "0s")] == [
        (None, None), (12, None), (-1, None), (None, 1.25), (None, 0.0)
    ]  # fmt: skip
    for wrong in ("12", "#x", "s", "-1s", "nans", "infs", ""):
        with pytest.raises(UsageError, match="neither a chunk nor a time"):
            chunk_in(wrong)
