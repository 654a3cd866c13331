"""The configuration that is written for Triton is one to Triton's own protobuf and server."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from compiled_cases import BUNDLED, photos
from compiled_runtimes import RUNNERS, Absent, place

import onnxsal

PARSED = """import sys; from google.protobuf import text_format; from tritonclient.grpc import model_config_pb2 as m
text_format.Parse(open(sys.argv[1]).read(), m.ModelConfig())"""

CLOSE = 1e-5
"""Of a map's range, which is 1."""

ROWS = [[0], [1], [2, 0], [1], [0, 1, 2], [2], [1, 1], [0], [2], [1, 0]]
"""Which pictures lie in a request."""


def python(name: str) -> str:
    """Return the Python of an environment, or skip where it is not there."""
    try:
        return str(place(name, "bin", "python"))
    except Absent as reason:
        pytest.skip(str(reason))


def test_a_configuration_is_parsed_by_the_client_s_protobuf(tmp_path: Path) -> None:
    interpreter = python("triton")
    made = onnxsal.compile(BUNDLED, method="gradient", target="input", runtime="triton", when="logit > 0")
    name = onnxsal.save_repository(made, tmp_path)
    subprocess.run([interpreter, "-c", PARSED, tmp_path / name / "config.pbtxt"], check=True, timeout=60)


@pytest.mark.slow("Triton's server is started, and runs two files")
def test_its_server_gathers_rows_each_of_which_is_explained_as_alone(tmp_path: Path) -> None:
    """One file is told of each row whether, of what and with which seed, the other decides by the row's score."""
    interpreter, model, images = python("tritonserver"), onnxsal.load(BUNDLED), photos()
    fed = images.feed(3)
    (logits,) = onnxruntime.InferenceSession(BUNDLED).run(None, {"picture": fed})
    chances = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).max(1)
    between = float(np.sort(chances)[:2].mean())
    draws = onnxsal.compile(model, method="smoothgrad", samples=6, target="input", seed="input", runtime="triton")
    doubts = onnxsal.compile(model, runtime="triton", when=f"score < {between}")
    for name, made in {"draws": draws, "doubts": doubts}.items():
        onnxsal.save_repository(made, tmp_path / "repository", name=name)

    def told(n: int, kind: type, values: tuple[int, ...]) -> np.ndarray:
        return np.array([[values[(n + row) % len(values)]] for row in range(len(ROWS[n]))], kind)

    requests = {f"{name}/{n}/picture": fed[rows] for name in ("draws", "doubts") for n, rows in enumerate(ROWS)}
    for name, kind, values in (("explain", bool, (1, 1, 0)), ("target", np.int64, (-1, 3)), ("seed", np.int64, (0, 5))):
        requests.update({f"draws/{n}/{name}": told(n, kind, values) for n in range(len(ROWS))})
    np.savez(tmp_path / "requests.npz", **requests)
    subprocess.run([interpreter, RUNNERS / "run_triton.py", tmp_path], check=True, timeout=300)
    answers = np.load(tmp_path / "answers.npz")

    @cache
    def alone(method: str, picture: int, target: int, seed: int) -> np.ndarray:
        wanted = None if target < 0 else target
        options = {"samples": 6} if method == "smoothgrad" else {}
        return onnxsal.explain(
            model, images.pixels[picture], method=method, target=wanted, seed=seed, **options
        ).saliency

    for n, rows in enumerate(ROWS):
        for row, picture in enumerate(rows):
            explain, target, seed = (
                int(requests[f"draws/{n}/{name}"][row, 0]) for name in ("explain", "target", "seed")
            )
            map_ = alone("smoothgrad", picture, target, seed) * explain
            np.testing.assert_allclose(answers[f"draws/{n}/saliency"][row], map_, atol=CLOSE)
            map_ = alone("grad-cam++", picture, -1, 0) * (chances[picture] < between)
            np.testing.assert_allclose(answers[f"doubts/{n}/saliency"][row], map_, atol=CLOSE)
            for name in ("draws", "doubts"):
                np.testing.assert_allclose(answers[f"{name}/{n}/logits"][row], logits[picture], atol=CLOSE)
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert {name: rows for name, (rows, _) in counts.items()} == dict.fromkeys(("draws", "doubts"), sum(map(len, ROWS)))
    assert sum(runs for _, runs in counts.values()) < 2 * len(ROWS)  # several requests went in one run
