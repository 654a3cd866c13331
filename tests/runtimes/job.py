"""What the runners in Python have in common: which jobs there are, what they are fed, where results go.

What is fed and what is wanted come in the order of the graph, all of it, for runtimes that know no names.

Arguments of each runner: a folder with jobs.json and what is fed, and names of jobs, all by default.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

Arrays = Mapping[str, np.ndarray]


def each(version: str, run: Callable[[Path, Arrays, list[str]], Arrays]) -> None:
    """Run the jobs; ``run`` takes a model's path, what it is fed and which outputs are wanted, by their names."""
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    (folder / "version").write_text(version)
    for name, job in json.loads((folder / "jobs.json").read_text()).items():
        if names and name not in names:
            continue
        try:
            feeds = {
                key: np.fromfile(folder / f"{name}.{k}.in", kind).reshape(shape)
                for k, (key, (kind, shape)) in enumerate(job["feeds"].items())
            }
            found = run(folder / f"{name}.onnx", feeds, job["outputs"])
            for k, output in enumerate(job["outputs"]):
                np.asarray(found[output], np.float32).tofile(folder / f"{name}.{k}.out")
        except Exception as error:  # noqa: BLE001  what a runtime raises is what the table says
            (folder / f"{name}.error").write_text(f"{type(error).__name__}: {error}")
