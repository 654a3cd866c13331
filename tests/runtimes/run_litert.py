"""Runs compiled models in LiteRT, converted by onnx2tf."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from ai_edge_litert.interpreter import Interpreter
from job import Arrays, each


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    folder = path.with_suffix(".litert")
    shutil.rmtree(folder, ignore_errors=True)
    keep = [name for name, array in feeds.items() if array.ndim > 2]
    program = Path(sys.executable).with_name("onnx2tf")
    command = [program, "-i", path, "-o", folder, "-n", "-kat", *keep, "-coion"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    made = next(iter(folder.glob("*_float32.tflite")), None)
    if made is None:
        said = ended.stdout + ended.stderr
        told = [line for line in said.splitlines() if "ERROR" in line or "Error:" in line]
        raise RuntimeError(f"onnx2tf ends with {ended.returncode}: {(told or [said.strip()[-300:]])[-1]}")
    interpreter = Interpreter(str(made))
    runner = interpreter.get_signature_runner()
    found = runner(**dict(zip(runner.get_input_details(), feeds.values(), strict=True)))
    return {name: found[name] for name in outputs}


each(f"onnx2tf {version('onnx2tf')}, LiteRT {version('ai-edge-litert')}", run)
