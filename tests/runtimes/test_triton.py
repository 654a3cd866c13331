"""The configuration that is written for Triton is one to Triton's own protobuf."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from compiled_cases import BUNDLED

import onnxsal

PARSED = """import sys; from google.protobuf import text_format; from tritonclient.grpc import model_config_pb2 as m
text_format.Parse(open(sys.argv[1]).read(), m.ModelConfig())"""


def test_a_configuration_is_parsed_by_the_client_s_protobuf(tmp_path: Path) -> None:
    python = Path(os.environ.get("ONNXSAL_RUNTIMES", "nowhere")) / "triton" / "bin" / "python"
    if not python.exists():
        pytest.skip("no tritonclient: sh tests/runtimes/set_up.sh FOLDER triton, then ONNXSAL_RUNTIMES=FOLDER")
    made = onnxsal.compile(BUNDLED, method="gradient", target="input", runtime="triton", when="logit > 0")
    name = onnxsal.save_repository(made, tmp_path)
    subprocess.run([python, "-c", PARSED, tmp_path / name / "config.pbtxt"], check=True, timeout=60)
