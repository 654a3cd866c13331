"""Runs compiled models in MNN, converted by its own converter.

The converter is called by its extension: its script installs a package for reporting what it converts. With --direct,
convolutions are summed as they stand: Winograd's transform rounds as much as 3e-5.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import _tools
import MNN
from job import Arrays, each

DIRECT = "--direct" in sys.argv
WINOGRAD_MEMORY_LEVEL = 3  # a hint; the package has no name for it
KINDS = {"float32": MNN.expr.float, "uint8": MNN.expr.uint8, "int64": MNN.expr.int64, "bool": MNN.expr.int}


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    made = path.with_suffix(".mnn")
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", "--modelFile", str(path), "--MNNModel", str(made), "--bizCode", "x"])
    manager = MNN.nn.create_runtime_manager(({"backend": "CPU", "numThread": 2},))
    if DIRECT:
        manager.set_hint(WINOGRAD_MEMORY_LEVEL, 0)
    module = MNN.nn.load_module_from_file(str(made), list(feeds), outputs, runtime_manager=manager)
    given = [
        MNN.expr.const(array.copy(), list(array.shape), MNN.expr.NCHW, KINDS[str(array.dtype)])
        for array in feeds.values()
    ]
    found = module.forward(given)
    if len(found) != len(outputs):
        raise RuntimeError(f"gives {len(found)} of {len(outputs)} outputs")
    return {name: MNN.expr.convert(one, MNN.expr.NCHW).read() for name, one in zip(outputs, found, strict=True)}


each(f"MNN {version('MNN')}", run)
