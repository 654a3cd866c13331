"""Runs compiled models in IREE, on the processor of this machine."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import iree.compiler
import iree.runtime
from job import Arrays, each


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    text = path.with_suffix(".mlir")
    command = [sys.executable, "-m", "iree.compiler.tools.import_onnx", str(path), "-o", str(text)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise RuntimeError(ended.stderr.strip().splitlines()[-1])
    made = iree.compiler.compile_file(
        str(text), input_type="onnx", target_backends=["llvm-cpu"], extra_args=["--iree-llvmcpu-target-cpu=host"]
    )
    config = iree.runtime.Config("local-task")
    context = iree.runtime.SystemContext(config=config)
    context.add_vm_module(iree.runtime.VmModule.copy_buffer(context.instance, made))
    (module,) = (one for name, one in context.modules.items() if name != "hal")
    public = [name for name in module.vm_module.function_names if "$" not in name and not name.startswith("__")]
    found = module[public[0]](*feeds.values())
    found = found if isinstance(found, tuple) else (found,)
    return dict(zip(outputs, (one.to_host() for one in found), strict=True))


each(f"iree {version('iree-base-compiler')}", run)
