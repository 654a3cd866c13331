"""--threads: every session that a command opens runs on as many."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onnxsal.runtime import session

COMMANDS = {
    "predict": ["predict", "model.onnx", "red.png"],
    "explain": ["explain", "model.onnx", "red.png", "--npz", "a.npz"],
    "inspect": ["inspect", "model.onnx"],
    "compile": ["compile", "model.onnx", "-m", "score-cam", "-o", "compiled.onnx"],
    "diff": ["diff", "model.onnx", "model.onnx", "red.png"],
    "evaluate": ["evaluate", "model.onnx", "red.png", "-m", "gradient", "--metrics", "deletion"],
}


@pytest.fixture
def opened(monkeypatch):
    """The threads that sessions were opened with, in order."""
    found, real = [], session._create

    def create(program, provider, threads, custom_ops):
        found.append(threads)
        return real(program, provider, threads, custom_ops)

    monkeypatch.setattr(session, "_create", create)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_session_has_them(run, command, opened):
    ended = run(*COMMANDS[command], "--threads", "1")
    assert ended.status == 0, ended.err
    assert set(opened) == {1}


def test_without_it_onnx_runtime_chooses(run, opened):
    run(*COMMANDS["explain"])
    assert set(opened) == {None}


def test_a_manifest_says_so(run, folder):
    for given, expected in ((["--threads", "2"], 2), ([], None)):
        run(*COMMANDS["explain"], *given)
        with np.load(folder / "a.npz") as arrays:
            assert json.loads(str(arrays["manifest"])).get("threads") == expected
