"""Runs compiled models in OpenVINO."""

from pathlib import Path

import openvino as ov
from job import Arrays, each

core = ov.Core()


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    found = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(dict(feeds))
    return {name: found[name] for name in outputs}


each(f"openvino {ov.__version__.split('-')[0]}", run)
