"""Damaged models, pictures, tokenizers, annotations, maps, requests: does each end in a result or in one clear message?

    python tools/mutate.py run JOURNAL.jsonl --cases 20000 [--first 0] [--workers 2]   # goes on where it stopped
    python tools/mutate.py table JOURNAL.jsonl
    python tools/mutate.py again SEED [FOLDER]                                         # one case, with its traceback

A seed says everything of a case: which files, which of them is damaged, how, and what is called with it. Cases run in
processes of their own with a limit on memory and on time. A result and an error of ours with one line of text are fine;
a traceback, a signal, a hang, a message of several lines and a graph of ours that is not valid are failures.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, TextIO

MEMORY, SECONDS, REUSED = 4 << 30, 20, 500
"""Bytes of address space a worker may have, seconds of a processor a case may take, and cases until a worker is a new
one. What neither ends nor computes for a while hangs as well."""

Outcome = dict[str, Any]


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return what a seed stands for: its facts, and the files."""
    from mutate_scenes import CHEAP, names, scene
    from mutators import BYTES, mutators

    rng = Random(seed)
    name = rng.choice(names())
    here = scene(name)
    file, call = (
        rng.choice(here.damaged),
        rng.choice([c for c in here.calls for _ in range(CHEAP if c[:3] == "py:" else 1)]),
    )
    mutator = rng.choice(mutators(file))
    try:
        damaged = mutator(here.files[file], rng)
    except (ValueError, TypeError, KeyError, OSError, AttributeError, OverflowError):  # such a file cannot be written
        mutator = rng.choice(BYTES)
        damaged = mutator(here.files[file], rng)
    facts = {"seed": seed, "scene": name, "file": file, "mutator": mutator.__name__, "call": call}
    return facts, {**here.files, file: damaged}


def called(call: str) -> Outcome:
    """Return how a call in the current folder ended: ``kind`` is "result", "message", or what is wrong."""
    from mutate_scenes import FUNCTIONS

    from onnxsal.cli import main
    from onnxsal.errors import InvalidGraphError, OnnxsalError

    out, err, text = io.StringIO(), io.StringIO(), ""
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if call.startswith("py:"):
                status: object = FUNCTIONS[call[3:]]() or 0
            else:
                status = main(call.split())
    except InvalidGraphError as error:
        return failed(error, "invalid graph")
    except OnnxsalError as error:
        status, text = 1, f"onnxsal: {error}"
    except BaseException as error:  # noqa: BLE001 - this is what is looked for
        return failed(error, type(error).__name__)
    return judged(status, text or err.getvalue())


def judged(status: object, text: str) -> Outcome:
    """Return what an exit status and what was written to stderr are."""
    if status == 0:
        return {"kind": "result"}
    said = [line for line in text.split("\n") if line.startswith("onnxsal: ")]
    if status not in (1, 2) or "Traceback" in text or not text.strip():
        return {"kind": f"status {status} without a message", "text": text[-400:]}
    # Of several pictures one may be wrong, and notes of the others come behind.
    last = next(line for line in reversed(text.rstrip("\n").split("\n")) if not (said and line.startswith("note: ")))
    if re.search(r"is not valid: onnxsal|fault of onnxsal", text):
        return {"kind": "invalid graph", "text": text[-400:]}
    if said and last != said[-1]:
        return {"kind": "a message of several lines", "text": text[-400:]}
    return {"kind": "message", "text": last[:200]}


def failed(error: BaseException, kind: str) -> Outcome:
    """Return a failure with the place in onnxsal that it passed last."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "onnxsal/" in f.filename and "/tools/" not in f.filename] or frames
    last = own[-1]
    where = f"{last.filename.rpartition('onnxsal/')[2]}:{last.name}"
    return {"kind": kind, "where": where, "text": f"{' '.join(str(error).split())[:300]}"}


def work() -> None:
    """Answer seeds on stdin with outcomes on stdout, a line each: one worker."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = os.getcwd()
    answers, stacks = os.fdopen(os.dup(1), "w"), Path("stack").open("w")  # noqa: SIM115
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1), os.dup2(null, 2)
    faulthandler.enable(stacks, all_threads=False)
    faulthandler.register(signal.SIGXCPU, stacks, all_threads=False, chain=True)
    for line in sys.stdin:
        facts, files = drawn(int(line))
        begun = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(begun) + SECONDS, resource.RLIM_INFINITY))
        with folder("case") as place, contextlib.chdir(place):
            from mutate_scenes import laid

            laid(files)
            outcome = called(facts["call"])
        took = round(time.process_time() - begun, 3)
        print(json.dumps({**facts, **outcome, "seconds": took}), file=answers, flush=True)
    os._exit(0)  # a server that was asked has threads that wait for more


@contextlib.contextmanager
def folder(name: str) -> Iterator[Path]:
    """Make an empty folder for one case."""
    place = Path(name).absolute()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    yield place


class Worker:
    """A process that works cases off, started anew where one ended it."""

    def __init__(self, place: Path) -> None:
        self.place, self.done = place, 0
        place.mkdir(exist_ok=True)
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
        command = [sys.executable, str(Path(__file__).resolve()), "work"]
        self.process = subprocess.Popen(
            command, cwd=place, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def answer(self, seed: int) -> Outcome:
        """Return what became of a case."""
        assert self.process.stdin and self.process.stdout
        self.done += 1
        try:
            self.process.stdin.write(f"{seed}\n")
            self.process.stdin.flush()
            line = self._line(self.process.stdout)
        except BrokenPipeError:
            line = ""
        if line:
            return dict(json.loads(line))
        return {**drawn(seed)[0], **self._ended()}

    def _line(self, stream: TextIO) -> str:
        """Return the next line; nothing where the process ended, or computes nothing any more."""
        with selectors.DefaultSelector() as ready:
            ready.register(stream, selectors.EVENT_READ)
            spent = -1.0
            while not ready.select(60):
                spent, before = self._computed(), spent
                if spent == before:
                    return ""
            return stream.readline()

    def _computed(self) -> float:
        numbers = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return float(numbers[11]) + float(numbers[12])

    def _ended(self) -> Outcome:
        stands = self.process.poll() is None and self._stands()
        self.close(kill=stands)
        kind = "hang" if stands or self.process.returncode == -signal.SIGXCPU else f"signal {-self.process.returncode}"
        stack = (self.place / "stack").read_text(errors="replace")
        frames = re.findall(r'File "([^"]+)", line \d+ in (\w+)', stack)
        own = (
            [(file, name) for file, name in frames if "onnxsal/" in file and "/tools/" not in file]
            or frames
            or [("", "")]
        )
        where = f"{own[0][0].rpartition('onnxsal/')[2]}:{own[0][1]}"
        return {"kind": kind, "where": where, "text": " < ".join(name for _, name in frames[:8])}

    def _stands(self) -> bool:
        """Whether the process lives on: one that a signal ends may take a moment."""
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            return True
        return False

    @property
    def spent(self) -> bool:
        """Whether the next case should have a new one."""
        return self.done >= REUSED or self.process.poll() is not None

    def close(self, *, kill: bool = False) -> None:
        """End the process."""
        if kill:
            self.process.kill()
        elif self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.wait()


def run(journal: Path, first: int, cases: int, workers: int) -> None:
    """Work off the seeds that the journal does not hold yet."""
    known = {each["seed"] for each in entries(journal)}
    seeds = iter([seed for seed in range(first, first + cases) if seed not in known])
    lock, began, count = Lock(), time.perf_counter(), Counter[str]()
    with journal.open("a", encoding="utf-8") as file, tempfile.TemporaryDirectory() as scratch:

        def one(number: int) -> None:
            worker = Worker(Path(scratch) / str(number))
            while (seed := taken()) is not None:
                outcome = worker.answer(seed)
                with lock:
                    print(json.dumps(outcome), file=file, flush=True)
                    count[outcome["kind"]] += 1
                    if count.total() % 100 == 0:
                        print(f"{count.total()} in {time.perf_counter() - began:.0f} s", dict(count), flush=True)
                if worker.spent:
                    worker.close()
                    worker = Worker(worker.place)
            worker.close()

        def taken() -> int | None:
            with lock:
                return next(seeds, None)

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(workers)))


def entries(journal: Path) -> list[Outcome]:
    """Return what a journal holds."""
    return [json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines()] if journal.exists() else []


FINE = ("result", "message")


def table(journal: Path) -> str:
    """Return how often what was damaged ended how, and each kind of failure with its seeds."""
    known = entries(journal)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for each in known:
        counts[each["scene"].split(" ")[0]][each["kind"] if each["kind"] in FINE else "failure"] += 1
    rows = [
        f"| {name} | {found.total()} | {found['result']} | {found['message']} | {found['failure']} |"
        for name, found in sorted(counts.items())
    ]
    kinds: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
    for each in known:
        if each["kind"] not in FINE:
            kinds[each["kind"], each.get("where", "")].append(each)
    told = [failure(*kind, found) for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1]))]
    slowest = sorted(known, key=lambda each: -each.get("seconds", 0))[:5]
    late = ", ".join(f"{each['seconds']} s ({each['seed']})" for each in slowest if "seconds" in each)
    head = ["| what | cases | results | messages | failures |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *rows, "", f"{len(known)} cases; slowest {late}", *told])


def failure(kind: str, where: str, found: list[Outcome]) -> str:
    """Return the line of a kind of failure."""
    seeds = ", ".join(str(each["seed"]) for each in found[:6])
    return f"{len(found)} x {kind} {where}: {found[0].get('text', '')[:160]!r} (seeds {seeds})"


def again(seed: int, place: Path | None) -> None:
    """Run one case in this process, in a folder that is left."""
    from mutate_scenes import laid

    facts, files = drawn(seed)
    place = place or Path(tempfile.mkdtemp())
    place.mkdir(exist_ok=True)
    with contextlib.chdir(place):
        laid(files)
        print(facts, place)
        if facts["call"].startswith("py:"):
            from mutate_scenes import FUNCTIONS

            FUNCTIONS[facts["call"][3:]]()
        else:
            from onnxsal.cli import main

            print("status", main([*facts["call"].split(), "--debug"]))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "again", "work"))
    parser.add_argument("given", nargs="*")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if asked.what == "work":
        work()
    elif asked.what == "run":
        run(Path(asked.given[0]), asked.first, asked.cases, asked.workers)
    elif asked.what == "table":
        print(table(Path(asked.given[0])))
    else:
        again(int(asked.given[0]), Path(asked.given[1]) if len(asked.given) > 1 else None)


if __name__ == "__main__":
    main()
