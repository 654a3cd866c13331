"""How long onnxsal takes to start, side by side in several Pythons: alternating runs, medians, wall and processor time.

    python benchmarks/start.py OLD/bin/python NEW/bin/python --runs 7

Ratios count: both builds meet the same noise. Without arguments the Python that runs this. Bytecode is kept, as it is
where a package was installed, in a folder of the run's own: the first run, which is not counted, compiles it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL, IMAGE = (str(ROOT / "models" / name) for name in ("shapes.onnx", "demo.png"))
FIRST_MAP = f"import onnxsal; onnxsal.explain(onnxsal.load({MODEL!r}), {IMAGE!r})"
MODULE = ["-m", "onnxsal"]

CASES: dict[str, list[str]] = {
    "python alone": ["-c", ""],
    "import onnxsal": ["-c", "import onnxsal"],
    "onnxsal --help": [*MODULE, "--help"],
    "onnxsal explain --help": [*MODULE, "explain", "--help"],
    "onnxsal methods": [*MODULE, "methods"],
    "first map in Python": ["-c", FIRST_MAP],
    "cold onnxsal explain": [*MODULE, "explain", MODEL, IMAGE, "-o", "map.png"],
    "cold onnxsal explain, five methods": [
        *MODULE, "explain", MODEL, IMAGE, "-o", "map.png", "-m", "grad-cam++,gradient,smoothgrad,score-cam,ss-cam",
        "-O", "forwards=100",
    ],
}  # fmt: skip
HEAVY = ("numba", "onnxruntime", "onnx", "onnx_ir", "matplotlib", "PIL", "numpy", "click", "rich", "jinja2")


@dataclass(frozen=True)
class Spent:
    """Seconds of one run."""

    wall: float
    processor: float


def run(python: str, arguments: list[str], folder: str) -> Spent:
    """Return what one process took."""
    kept = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": os.path.join(folder, "bytecode")}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([python, *arguments], cwd=folder, env=kept, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)  # fmt: skip
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def imported(python: str) -> str:
    """Return which heavy packages ``import onnxsal`` loads, and how many modules."""
    code = f"import sys, onnxsal; print(*[n for n in {HEAVY!r} if n in sys.modules], len(sys.modules), 'modules')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def measure(pythons: list[str], runs: int, only: str) -> dict[str, list[list[Spent]]]:
    """Return the runs of each case in each Python, taken in turns, so that noise meets all alike."""
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, list[list[Spent]]] = {name: [[] for _ in pythons] for name in CASES if only in name}
        for _ in range(runs + 1):  # the first fills the caches of files
            for name, spent in found.items():
                for python, each in zip(pythons, spent, strict=True):
                    each.append(run(python, CASES[name], folder))
    return found


def cells(spent: list[list[Spent]], kind: str) -> list[str]:
    """Return the medians of one kind of time in every Python, and the ratio of the last to the first."""
    medians = [statistics.median(getattr(one, kind) for one in each[1:]) for each in spent]
    return [*(f"{median:.3f} s" for median in medians), f"{medians[-1] / medians[0]:.2f}"]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("python", nargs="*", default=[sys.executable])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", default="", help="cases whose names have this in them")
    asked = parser.parse_args()
    for at, python in enumerate(asked.python):
        print(f"({at}) {python}: `import onnxsal` loads {imported(python)}")
    columns = [*(f"({at})" for at in range(len(asked.python))), "ratio"]
    print(f"\n{f'median of {asked.runs}':36}" + "".join(f"{'wall ' + c:>13}" for c in columns), end="")
    print("".join(f"{'cpu ' + c:>12}" for c in columns))
    for name, spent in measure(asked.python, asked.runs, asked.only).items():
        walls, processors = cells(spent, "wall"), cells(spent, "processor")
        print(f"{name:36}" + "".join(f"{c:>13}" for c in walls) + "".join(f"{c:>12}" for c in processors), flush=True)


if __name__ == "__main__":
    main()
