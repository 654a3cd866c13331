"""Runs compiled models in ncnn, converted by pnnx."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import ncnn
import numpy as np
from job import Arrays, each

KINDS = {"float32": "f32", "uint8": "u8", "int64": "i64", "bool": "bool"}


def run(path: Path, feeds: Arrays, outputs: list[str]) -> Arrays:
    param = converted(path, ",".join(f"[{','.join(map(str, a.shape))}]{KINDS[str(a.dtype)]}" for a in feeds.values()))
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:]}
    if missing := sorted(kind for kind in kinds if "." in kind or "::" in kind):
        raise RuntimeError(f"ncnn has no layer for {', '.join(missing)}, which pnnx leaves in the file")
    with ncnn.Net() as net:
        if net.load_param(str(param)) or net.load_model(str(param.with_suffix(".bin"))):
            raise RuntimeError("ncnn does not load what pnnx made")
        with net.create_extractor() as extractor:
            for k, array in enumerate(feeds.values()):
                extractor.input(f"in{k}", ncnn.Mat(array[0] if array.ndim > 3 else array))
            found = [extractor.extract(f"out{k}") for k in range(len(outputs))]
    return {name: np.array(one) for name, (_, one) in zip(outputs, found, strict=True)}


def converted(path: Path, shapes: str) -> Path:
    """Return what pnnx makes of a model."""
    program, param = Path(sys.executable).with_name("pnnx"), path.with_name(f"{path.stem}.ncnn.param")
    param.unlink(missing_ok=True)
    command = [program, path.name, f"inputshape={shapes}"]
    ended = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)
    if ended.returncode or not param.exists():
        raise RuntimeError(f"pnnx ends with {ended.returncode}: {(ended.stderr or ended.stdout).strip()[-300:]}")
    return param


each(f"ncnn {version('ncnn')}, pnnx {version('pnnx')}", run)
