"""Runs compiled models in tinygrad, on the processor of this machine."""

import os
import sys
from importlib.metadata import version
from pathlib import Path

from job import Arrays, each
from tinygrad import Tensor
from tinygrad.nn.onnx import OnnxRunner

os.environ.setdefault("CC", str(Path(sys.executable).with_name("clang")))  # what set_up.sh puts there


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    found = OnnxRunner(path)({name: Tensor(array) for name, array in feeds.items()})
    return {name: found[name].numpy() for name in outputs}


each(f"tinygrad {version('tinygrad')}", run)
