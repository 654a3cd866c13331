"""KServe's own server with a model of ours, called over HTTP: what the file gives, and what ``explain`` gives."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import onnxsal

pytest.importorskip("kserve", reason="needs an environment of its own: pip install './plugins/onnxsal-kserve[kserve]'")

MODELS = Path(__file__).resolve().parents[3] / "models"
FILE, PHOTO = MODELS / "shapes.onnx", (MODELS / "demo.png").read_bytes()
FLOATS = np.random.default_rng(0).normal(size=(2, 3, 96, 96)).astype(np.float32)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "onnxsal_kserve", "--model_name", "shapes", "--model_path", str(FILE),
               "--http_port", str(port), "--enable_grpc", "false"]  # fmt: skip
    log = tmp_path_factory.mktemp("kserve") / "log"
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        for _ in range(600):
            if process.poll() is not None or _up(port):
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield port
        process.kill()


def _up(port: int) -> bool:
    try:
        return call(port, "GET", "/v2/models/shapes/ready")[0] == 200
    except OSError:
        return False


def call(port: int, verb: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    content = None if body is None else json.dumps(body)
    connection.request(verb, path, content, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text else None


def test_predictions_are_the_files_own(port: int) -> None:
    (wanted,) = onnxruntime.InferenceSession(FILE).run(None, {"picture": FLOATS})
    one = {"name": "picture", "shape": [2, 3, 96, 96], "datatype": "FP32", "data": FLOATS.ravel().tolist()}
    status, found = call(port, "POST", "/v2/models/shapes/infer", {"inputs": [one]})
    assert status == 200, found
    np.testing.assert_array_equal(np.float32(found["outputs"][0]["data"]).reshape(2, 10), wanted)
    status, found = call(port, "POST", "/v1/models/shapes:predict", {"instances": FLOATS.tolist()})
    assert status == 200, found
    np.testing.assert_array_equal(np.float32(found["predictions"]), wanted)


def test_explanations_are_explains_own(port: int) -> None:
    photo = {"b64": base64.b64encode(PHOTO).decode()}
    asked = {"instances": [photo], "parameters": {"method": "layercam", "target": "ring", "drawing": "heat"}}
    status, found = call(port, "POST", "/v1/models/shapes:explain", asked)
    assert status == 200, found
    own = onnxsal.explain(FILE, PHOTO, method="layercam", target="ring")
    (one,) = found["explanations"]
    np.testing.assert_array_equal(np.float32(one["saliency"]), own.saliency)
    assert one["label"] == "ring" and base64.b64decode(one["picture"]["b64"]).startswith(b"\x89PNG")
    status, found = call(port, "POST", "/v1/models/shapes:explain", {**asked, "parameters": {"method": "grad"}})
    assert status == 400 and "no method 'grad'" in found["error"]
