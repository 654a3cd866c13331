"""MLServer itself with a model of ours, called over HTTP: what the file gives, and what ``explain`` gives."""

from __future__ import annotations

import base64
import json
import os
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

pytest.importorskip(
    "mlserver", reason="needs an environment of its own: pip install './plugins/onnxsal-mlserver[mlserver]'"
)

MODELS = Path(__file__).resolve().parents[3] / "models"
FILE, PHOTO = MODELS / "shapes.onnx", (MODELS / "demo.png").read_bytes()
FLOATS = np.random.default_rng(0).normal(size=(2, 3, 96, 96)).astype(np.float32)


@pytest.fixture(scope="module", params=[0, 1], ids=["in one process", "in a worker of its own"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, ports = tmp_path_factory.mktemp("mlserver"), []
    for _ in range(3):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    settings = {"host": "127.0.0.1", "http_port": ports[0], "grpc_port": ports[1], "metrics_port": ports[2],
                "parallel_workers": request.param}  # fmt: skip
    model = {"name": "shapes", "implementation": "onnxsal_mlserver.ExplainedModel", "parameters": {"uri": str(FILE)}}
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    log, command = folder / "log", [str(Path(sys.executable).with_name("mlserver")), "start", str(folder)]
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ)) as process:
        for _ in range(600):
            if process.poll() is not None or _up(ports[0]):
                break
            time.sleep(0.2)
        assert process.poll() is None, log.read_text()
        yield ports[0]
        process.terminate()


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


def test_predictions_and_explanations_are_the_files_and_explains_own(port: int) -> None:
    (wanted,) = onnxruntime.InferenceSession(FILE).run(None, {"picture": FLOATS})
    one = {"name": "picture", "shape": [2, 3, 96, 96], "datatype": "FP32", "data": FLOATS.ravel().tolist()}
    status, found = call(port, "POST", "/v2/models/shapes/infer", {"inputs": [one]})
    assert status == 200, found
    np.testing.assert_array_equal(np.float32(found["outputs"][0]["data"]).reshape(2, 10), wanted)
    photo = {"name": "image", "shape": [1], "datatype": "BYTES", "parameters": {"content_type": "base64"},
             "data": [base64.b64encode(PHOTO).decode()]}  # fmt: skip
    asked = {"inputs": [photo], "parameters": {"method": "layercam", "target": "ring", "drawing": "heat"}}
    status, found = call(port, "POST", "/v2/models/shapes/explain", asked)
    assert status == 200, found
    outputs = {each["name"]: each["data"] for each in found["outputs"]}
    own = onnxsal.explain(FILE, PHOTO, method="layercam", target="ring")
    np.testing.assert_array_equal(np.float32(outputs["saliency"]).reshape(96, 96), own.saliency)
    assert json.loads(outputs["told"][0])["label"] == "ring"
    assert base64.b64decode(outputs["picture"][0]).startswith(b"\x89PNG")
    status, found = call(port, "POST", "/v2/models/shapes/explain", {**asked, "parameters": {"method": "grad"}})
    assert status == 400 and "no method 'grad'" in found["error"]
