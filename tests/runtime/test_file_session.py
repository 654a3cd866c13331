"""A file as it is: bit for bit what ONNX Runtime gives for it, of every type, and what is wrong with feeds in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.runtime.file_session import FileSession

MODEL = """<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>
g (uint8[B, 3] u, float16[B, 3] h, string[B, 1] s, float[1] scale = {2})
=> (uint8[B, 3] du, float16[B, 3] dh, string[B, 1] ds, bool[B, 3] is, seq(float[1]) many, float[1] twice) {
    du = Add (u, u)
    dh = Exp (h)
    ds = StringNormalizer <case_change_action = "UPPER"> (s0)
    s0 = Identity (s)
    is = Equal (u, du)
    twice = Mul (scale, scale)
    many = SequenceConstruct (scale)
}"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    text = MODEL.replace('    ds = StringNormalizer <case_change_action = "UPPER"> (s0)\n', "").replace("s0 =", "ds =")
    onnx.save(onnx.parser.parse_model(text), tmp_path / "types.onnx")
    return tmp_path / "types.onnx"


def feeds(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(rows)
    return {
        "u": rng.integers(0, 256, (rows, 3), np.uint8),
        "h": rng.normal(size=(rows, 3)).astype(np.float16),
        "s": np.array([["dörr"]] * rows, object),
    }


@pytest.mark.parametrize("rows", [1, 5])
def test_every_type_and_batch_is_as_onnx_runtime_gives_it(path: Path, rows: int) -> None:
    given, names = feeds(rows), ["du", "dh", "ds", "is", "twice"]
    wanted = onnxruntime.InferenceSession(path).run(names, given)
    session = FileSession(path)
    for scaled in (given, {**given, "s": np.array([["dörr".encode()]] * rows, object)}):
        found = session.run(scaled)
        assert list(found) == names  # the sequence is no array, and is left out
        for name, array in zip(names, wanted, strict=True):
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)
    assert session.run({**given, "scale": np.array([3], np.float32)}, ["twice"])["twice"].tolist() == [9]


@pytest.mark.parametrize(
    ("change", "outputs", "said"),
    [
        ({"u": np.zeros((1, 3), np.int64)}, (), r"'u' takes tensor\(uint8\) \[\?, 3\]; got int64 \[1, 3\]"),
        ({"u": np.zeros((1, 4), np.uint8)}, (), r"\[\?, 3\]; got uint8 \[1, 4\]"),
        ({"s": np.array([[b"\xff"]], object)}, (), "'s' takes text, and bytes were given that are none in UTF-8"),
        ({"v": np.zeros(3)}, (), "no input 'v'"),
        ({"u": None}, (), "nothing is given for the input 'u'"),
        ({}, ("dv",), "no output 'dv'; did you mean 'd"),
    ],
)
def test_what_does_not_fit_is_told_by_name(
    path: Path, change: dict[str, np.ndarray | None], outputs: tuple[str, ...], said: str
) -> None:
    given = {name: each for name, each in {**feeds(1), **change}.items() if each is not None}
    with pytest.raises(UsageError, match=said):
        FileSession(path).run(given, outputs)
    with pytest.raises(UnsupportedError, match=r"'many' is seq\(tensor\(float\)\), which is no array"):
        FileSession(path).run(feeds(1), ["many"])
