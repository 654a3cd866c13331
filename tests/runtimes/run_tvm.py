"""Runs compiled models in TVM, on the processor of this machine."""

from importlib.metadata import version
from pathlib import Path

import onnx
import tvm
from job import Arrays, each
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    made = from_onnx(onnx.load(path), shape_dict={name: list(array.shape) for name, array in feeds.items()})
    machine = relax.VirtualMachine(tvm.compile(made, target="llvm"), tvm.cpu())
    found = machine["main"](*(tvm.runtime.tensor(array) for array in feeds.values()))
    found = [found] if hasattr(found, "numpy") else list(found)
    return dict(zip(outputs, (one.numpy() for one in found), strict=True))


each(f"tvm {version('apache-tvm')}", run)
