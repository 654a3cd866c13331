"""What the batched form costs (``compile --runtime triton``): nobody, one and all of eight things ask to be explained.

    python benchmarks/triton.py [--shared FOLDER] [--rounds 9] [--method grad-cam++] [--write] [MODEL.onnx ...]

Calls are made in turns within one round, on one thread; a ratio is the median over rounds, in processor time of this
process (the clock in brackets). Without models, those of the reference material. "one explanation" is the ordinary
compiled file on one picture, its prediction with it. ``--write`` puts the table into docs/compile.md.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from compiled import PAGE, Call, measured, session

import onnxsal
from onnxsal.graph import to_proto

ROWS = 8
MARKS = "<!-- rows -->", "<!-- /rows -->"
LIMITS = {"nobody": 1.05, "one": 1.5}
MODELS = ("mobilenet_v2_int8.onnx", "squeezenet1.0_fp32.onnx")


def opened(model: onnxsal.Model, method: str, runtime: str | None, path: Path) -> Any:
    """Return a session of a compiled file."""
    onnxsal.save(onnxsal.compile(model, method=method, runtime=runtime), path)
    return session(path, 1)


def calls(path: Path, method: str, folder: Path) -> dict[str, Call]:
    """Return what is compared: the model and the two files, of eight random pictures, and of one."""
    model = onnxsal.load(path)
    made = {name: opened(model, method, name, folder / f"{name}.onnx") for name in (None, "triton")}
    onnxsal.save(to_proto(model.anatomy.model, source=model.source), folder / "bare.onnx")  # its batch is free
    bare, entry = session(folder / "bare.onnx", 1), model.anatomy.entry
    rng, given = np.random.default_rng(0), made["triton"].get_inputs()[0]
    noise = rng.integers(0, 256, [ROWS, *given.shape[1:]])
    x = noise.astype(np.uint8) if "uint8" in given.type else (noise / 64 - 2).astype(np.float32)

    def batched(*asked: int) -> Call:
        flags = np.isin(np.arange(ROWS), asked)[:, None]
        return lambda: made["triton"].run(None, {entry.input: x, "explain": flags})

    def ordinary(count: int, **more: Any) -> Call:
        return lambda: made[None].run(None, {entry.input: x[:count], **more})

    return {
        "bare": lambda: bare.run(None, {entry.input: x}), "nobody": batched(), "one": batched(3),
        "one alone": ordinary(1), "all": batched(*range(ROWS)), "all, ordinary": ordinary(ROWS),
    }  # fmt: skip


def line(path: Path, args: argparse.Namespace, folder: Path) -> str:
    """Return what one model costs."""
    compared = calls(path, args.method, folder)
    for call in compared.values():
        call()
    runs = [{name: measured(call) for name, call in compared.items()} for _ in range(args.rounds)]

    def ratio(over: Any, under: Any) -> str:
        used, clock = (median(over(run, kind) / under(run, kind) for run in runs) for kind in (0, 1))
        return f"{used:.2f} ({clock:.2f})"

    bare = min(run["bare"][0] for run in runs) * 1e3
    cells = [
        ratio(lambda run, k: run["nobody"][k], lambda run, k: run["bare"][k]),
        ratio(lambda run, k: run["one"][k] - run["one alone"][k], lambda run, k: run["bare"][k]),
        ratio(lambda run, k: run["all"][k], lambda run, k: run["all, ordinary"][k]),
    ]
    return f"| {path.name} | {bare:.1f} ms | {' | '.join(cells)} |"


def table(args: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the table."""
    yield (
        f"| model | bare, {ROWS} pictures | nobody asks, over it (≤ {LIMITS['nobody']}) | one asks, less one "
        f"explanation alone, over it (≤ {LIMITS['one']}) | all ask, over the ordinary file |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for path in args.models or [args.shared / "models" / name for name in MODELS]:
        yield line(path, args, folder) if path.is_file() else f"| {path.name} | not there | | | |"


def main() -> None:
    """Print the table, and write it down where that is asked for."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    shared = Path(os.environ.get("ONNXSAL_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    parser.add_argument("--shared", type=Path, default=shared)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--method", default="grad-cam++")
    parser.add_argument("--write", action="store_true")
    args, lines = parser.parse_args(), list[str]()
    with tempfile.TemporaryDirectory() as name:
        for text in table(args, Path(name)):
            print(text, flush=True)
            lines.append(text)
    if args.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(MARKS[0])
        made = "\n".join((MARKS[0], *lines, MARKS[1]))
        PAGE.write_text(f"{before}{made}{rest.split(MARKS[1])[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
