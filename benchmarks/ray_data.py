"""Photographs a second on Ray Data with one worker of two threads and two of one, beside the plain loop and what the
command makes of a folder (``--out maps.parquet``); every row of every way compared, one worker killed in the middle.

    python benchmarks/ray_data.py MODEL FOLDER [--photographs 96] [--method grad-cam++] [--preprocess imagenet]
        [--rounds 3]

Needs ``onnxsal[cpu,ray]``. All ways take turns in one run, on a cluster of this machine that is started once. Of Ray
the whole run is timed, with the start of its workers, and from the first rows on, which is what a long one comes to.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet

import onnxsal
from onnxsal.cli import main as main_of_onnxsal
from onnxsal.cluster.columns import Columns
from onnxsal.cluster.explainer import Asked, Explainer, Work
from onnxsal.cluster.mapping import mapped
from onnxsal.cluster.ray_package import connect, in_order
from onnxsal.cluster.worker import Share
from onnxsal.evaluation.items import gather
from onnxsal.maps.arrow import rows_in
from onnxsal.maps.rows import row_of

WAYS = {"1 x 2": (1, 2), "2 x 1": (2, 1)}
"""Workers and threads of each."""

BLOCK = 8


def main() -> None:
    asked = arguments()
    files = [str(item.path) for item in gather(asked.folder)]
    files = list(itertools.islice(itertools.cycle(files), asked.photographs))
    things = [{"id": f"{at:05}", "path": os.path.abspath(each)} for at, each in enumerate(files)]
    connect("local", cpus=2, object_store_memory=512 << 20)
    rates: dict[str, list[float]] = {}
    right = {threads: {} for threads in (1, 2)}
    for _ in range(asked.rounds):
        for threads in (1, 2):
            found, whole, rest = plain(asked, things, threads)
            right[threads] = found
            noted(rates, f"plain loop, {threads} threads", whole, rest)
            found, whole, rest = pipeline(asked, things, threads)
            noted(rates, f"pipeline, {threads} threads", whole, rest)
            print(f"pipeline: {unequal(found, right[threads])} of {len(things)} rows differ", flush=True)
        for name, (actors, threads) in WAYS.items():
            found, whole, rest = on_ray(asked, things, actors, threads)
            noted(rates, f"Ray {name}", whole, rest)
            print(f"Ray {name}: {unequal(found, right[threads])} of {len(things)} rows differ", flush=True)
    found, _, _ = on_ray(asked, things, 2, 1, kill=True)
    print(f"a worker killed: {len(found)} of {len(things)} rows, {unequal(found, right[1])} differ", flush=True)
    for name, several in rates.items():
        print(f"{name:28} {statistics.median(several):7.2f} photographs/s (median of {len(several)})", flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--photographs", type=int, default=96)
    parser.add_argument("--method", default="grad-cam++")
    parser.add_argument("--preprocess")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


Rows = dict[str, dict[str, Any]]


def plain(asked: argparse.Namespace, things: list[dict[str, str]], threads: int) -> tuple[Rows, float, float]:
    """Return the rows of one machine by id, photographs a second with opening the model, and behind the first block."""
    began = time.perf_counter()
    model, found, first = onnxsal.load(asked.model, threads=threads, preprocess=asked.preprocess), {}, 0.0
    for at, each in enumerate(things):
        first = time.perf_counter() if at == BLOCK else first
        found[each["id"]] = row_of(onnxsal.explain(model, each["path"], method=asked.method), each["id"])
    return found, *_rates(len(things), began, first, BLOCK)


class Lines(io.StringIO):
    """What a command prints, and when a number of pictures was told of."""

    def __init__(self, until: int) -> None:
        super().__init__()
        self._left, self.reached = until, 0.0

    def write(self, text: str) -> int:
        self._left -= sum(1 for line in text.split("\n") if line and not line.startswith(" "))
        if self._left <= 0 and not self.reached:
            self.reached = time.perf_counter()
        return super().write(text)


def pipeline(asked: argparse.Namespace, things: list[dict[str, str]], threads: int) -> tuple[Rows, float, float]:
    """Return the same of the command on a folder, which reads ahead and writes behind; ids are its files' names."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "photos")
        folder.mkdir()
        for each in things:
            (folder / f"{each['id']}{Path(each['path']).suffix}").symlink_to(each["path"])
        given = ["explain", asked.model, str(folder), "-m", asked.method, "--threads", str(threads)]
        given += [] if asked.preprocess is None else ["--preprocess", asked.preprocess]
        began = time.perf_counter()
        with contextlib.redirect_stdout(Lines(BLOCK)) as lines:
            main_of_onnxsal([*given, "--out", f"{place}/maps.parquet"])
        rates = _rates(len(things), began, lines.reached, BLOCK)
        table = parquet.read_table(f"{place}/maps.parquet")
        rows = [row for batch in table.to_batches() for row in rows_in(batch)]
    return {Path(row["id"]).stem: row for row in rows}, *rates


def on_ray(
    asked: argparse.Namespace, things: list[dict[str, str]], actors: int, threads: int, *, kill: bool = False
) -> tuple[Rows, float, float]:
    """Return the same of workers on Ray; with ``kill`` one of them ends when the first rows are there."""
    began, first, ahead, found = time.perf_counter(), 0.0, 0, {}
    notes = Path(tempfile.mkdtemp())
    share = Share(actors, threads, 0, BLOCK)
    work = Work(
        onnxsal.load(asked.model, preprocess=asked.preprocess), [Asked(asked.method)], Columns("path", "id"), share
    )
    made = mapped(in_order(things, BLOCK), noted_in(notes), work)
    for batch in made.iter_batches(batch_format="pyarrow", batch_size=None):
        found |= {row["id"]: row for part in batch.to_batches() for row in rows_in(part)}
        if not first:
            first, ahead = time.perf_counter(), len(found)
            if kill:
                os.kill(int(next(notes.iterdir()).name), signal.SIGKILL)
    return found, *_rates(len(things), began, first, ahead)


def noted_in(notes: Path) -> type[Explainer]:
    """Return a worker that writes down which process it is: others may run on the machine."""

    class Noted(Explainer):
        def __init__(self, work: Work) -> None:
            (notes / str(os.getpid())).touch()
            super().__init__(work)

    return Noted


def _rates(count: int, began: float, first: float, ahead: int) -> tuple[float, float]:
    ended = time.perf_counter()
    return count / (ended - began), (count - ahead) / (ended - first)


def noted(rates: dict[str, list[float]], name: str, whole: float, rest: float) -> None:
    rates.setdefault(f"{name}, whole", []).append(whole)
    rates.setdefault(f"{name}, going", []).append(rest)


def unequal(found: Rows, right: Rows) -> int:
    """Return how many rows of one machine are not there, or differ in anything but names and the seconds they took."""
    own = {"seconds", "id", "name"}  # the pipeline's folder holds links, which have names of their own
    return sum(name not in found or any(_differ(found[name][each], row[each]) for each in row.keys() - own)
               for name, row in right.items())  # fmt: skip


def _differ(one: Any, other: Any) -> bool:
    return not np.array_equal(np.asarray(one, object if one is None else None),
                              np.asarray(other, object if other is None else None))  # fmt: skip


if __name__ == "__main__":
    main()
