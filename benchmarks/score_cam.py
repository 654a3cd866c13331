"""Time and memory of score-based methods over the bare forwards that they are made of, in the same run.

    python benchmarks/score_cam.py [--zoo FOLDER] [--rounds 3] [--forwards 1300] [--torch PYTHON] [--write]
    python benchmarks/score_cam.py --memory --zoo FOLDER

Bare forwards run the model's score session on one preallocated batch, as often as the method has images. The two
alternate round by round; a ratio is the median over such pairs, by the clock and by processor time of this process,
which other work on the machine hardly touches. Float models are those of ``benchmarks/zoo.py`` (ResNet-18, MobileNetV2,
ResNet-50, random weights), the others come with the reference material. With ``--torch`` a Python that has torch,
torchvision, torchcam and grad-cam times these two over torch's own forwards. ``--write`` puts the tables into the
documentation.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import onnxsal
from onnxsal.anatomy import TARGET, X

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scoring.md"
PHOTO = "0281_tabby"
CLASS = 281
ALLOWED = 300
"""MB above the bare session."""

ZOO = ".torchscript.onnx"


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    model: str
    preprocess: str
    method: str
    limit: float


CASES = (
    Case(f"resnet18{ZOO}", "imagenet", "score-cam", 1.05),
    Case(f"mobilenet_v2{ZOO}", "imagenet", "score-cam", 1.05),
    Case("squeezenet1.0_fp32.onnx", "caffe", "score-cam", 1.05),
    Case("mobilenet_v2_int8.onnx", "raw", "score-cam", 1.10),
    Case("mobilenet_v1_025_int8.onnx", "raw", "score-cam", 1.10),
    Case(f"mobilenet_v2{ZOO}", "imagenet", "ss-cam", 1.10),
    Case("squeezenet1.0_fp32.onnx", "caffe", "ss-cam", 1.10),
)
PEERS = ("resnet18", "mobilenet_v2")


def seconds(call: Callable[[], Any]) -> tuple[float, float]:
    """How long one call takes: on the clock, and in processor time of all threads."""
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used


def bare(model: onnxsal.Model, rows: int, batch: int) -> Callable[[], None]:
    """Return a call that sends so many images through the score session, nothing else."""
    session = model.session(model.score("probability"))
    size = (batch, model.anatomy.entry.channels, *model.size)
    feeds = {X: np.random.default_rng(0).normal(0, 1, size).astype(np.float32), TARGET: np.zeros(batch, np.int64)}
    last = {name: value[: rows % batch] for name, value in feeds.items()}

    def run() -> None:
        for _ in range(rows // batch):
            session.run(feeds)
        if rows % batch:
            session.run(last)

    return run


def times(path: Path, case: Case, args: argparse.Namespace) -> str:
    """Return the line of one case."""
    model = onnxsal.load(path, preprocess=case.preprocess)
    photo, limit = (
        args.shared / "images" / "imagenet" / f"{PHOTO}.jpg",
        {} if args.whole else {"forwards": args.forwards},
    )

    def ours() -> Any:
        return onnxsal.explain(model, photo, method=case.method, target=CLASS, batch_size=args.batch, **limit)

    rows = ours().manifest["forwards"] - 1  # one forward is the head's
    forwards = bare(model, rows, args.batch)
    forwards()
    pairs = [(*seconds(forwards), *seconds(ours)) for _ in range(args.rounds)]
    clock = sorted(pair[2] / pair[0] for pair in pairs)
    used = median(pair[3] / pair[1] for pair in pairs)
    alone = min(pair[0] for pair in pairs) / rows * 1e3
    return (
        f"| {case.model} | {case.method} | {rows} | {alone:.2f} ms | {median(clock):.3f} ({clock[0]:.3f} to "
        f"{clock[-1]:.3f}) | {used:.3f} | {case.limit:.2f} |"
    )


def table(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of times."""
    yield "| model | method | forwards | bare, each | by the clock | processor time | limit |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for case in CASES:
        path = (args.zoo if case.model.endswith(ZOO) else args.shared / "models") / case.model
        yield times(path, case, args) if path.is_file() else f"| {case.model} | {case.method} | not there |"


def peers(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of other packages, measured by their own interpreter, with a whole map of ours before each."""
    yield "| model | package | maps | over its runtime's own forwards | processor time | ms a map | ms a forward |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    if args.torch is None:
        yield "| no torch: name a Python that has it with --torch |"
        return
    for model in PEERS:
        if (args.zoo / f"{model}{ZOO}").is_file():
            yield beside_peers(model, args)
        done = run([args.torch, str(ROOT / "benchmarks" / "score_cam_peers.py"), model, str(args.batch)])
        yield from done.splitlines()


def beside_peers(name: str, args: argparse.Namespace) -> str:
    """Return our own line of the peers' table: one whole map over as many bare forwards, milliseconds of processor."""
    model = onnxsal.load(args.zoo / f"{name}{ZOO}", preprocess="imagenet")
    photo = args.shared / "images" / "imagenet" / f"{PHOTO}.jpg"

    def ours() -> Any:
        return onnxsal.explain(model, photo, method="score-cam", target=CLASS, batch_size=args.batch)

    maps = ours().manifest["forwards"] - 1
    alone, whole = seconds(bare(model, maps, args.batch)), seconds(ours)
    ratios = f"{whole[0] / alone[0]:.2f} | {whole[1] / alone[1]:.2f}"
    each = f"{1e3 * whole[1] / maps:.1f} | {1e3 * alone[1] / maps:.1f}"
    return f"| {name} | onnxsal {onnxsal.__version__} | {maps} | {ratios} | {each} |"


def run(command: list[str]) -> str:
    """Return what a command prints, or its last line of complaint."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout if done.returncode == 0 else f"| {(done.stderr.strip() or 'failed').splitlines()[-1]} |"


PEAK = """
import json, sys
path, photo, batch, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
{body}
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps(peak / 1000))
"""
BARE = """
import numpy as np, onnxruntime
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
x = np.random.default_rng(0).normal(0, 1, (batch, 3, 224, 224)).astype(np.float32)
for _ in range(4):
    session.run(None, {session.get_inputs()[0].name: x})
"""
OURS = """
import onnxsal
limit = {} if rounds == "all" else {"forwards": int(rounds)}
found = onnxsal.explain(path, photo, method="score-cam", preprocess="imagenet", target=281, batch_size=batch, **limit)
"""


def memory(args: argparse.Namespace) -> Iterator[str]:
    """Yield the table of peaks of resident memory, each of a process of its own; as Linux counts them."""
    photo = args.shared / "images" / "imagenet" / f"{PHOTO}.jpg"
    yield "| model | batch | bare session | Score-CAM | above it | limit |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name in (f"resnet50{ZOO}", f"resnet18{ZOO}"):
        path = args.zoo / name
        if not path.is_file():
            yield f"| {name} | not there |"
            continue
        for batch in (8, 16):
            given = [str(path), str(photo), str(batch), "all" if args.whole else str(args.forwards)]
            alone, ours = (
                json.loads(run([sys.executable, "-c", PEAK.replace("{body}", body), *given])) for body in (BARE, OURS)
            )
            yield f"| {name} | {batch} | {alone:.0f} MB | {ours:.0f} MB | {ours - alone:.0f} MB | {ALLOWED} MB |"


def shown(title: str, lines: Iterable[str]) -> str:
    """Print a table line by line and return it."""
    print(f"\n{title}\n")
    found = []
    for line in lines:
        print(line, flush=True)
        found.append(line)
    return "\n".join([f"## {title}", "", *found, ""])


def main() -> None:
    """Parse the command line and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--zoo", type=Path, default=Path("zoo"), help="folder of what benchmarks/zoo.py exported")
    parser.add_argument("--rounds", type=int, default=3, help="of alternating runs")
    parser.add_argument("--forwards", type=int, default=1300, help="of each run at most: all maps, or a few samples")
    parser.add_argument("--whole", action="store_true", help="all maps instead")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--torch", help="a Python with torch, torchvision, torchcam and grad-cam")
    parser.add_argument("--memory", action="store_true", help="peaks of resident memory instead of times")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    args = parser.parse_args()
    tables = {"Peak of resident memory": memory} if args.memory else {"Over bare forwards": table, "Peers": peers}
    texts = {title: shown(title, make(args)) for title, make in tables.items()}
    if args.write:
        write(texts)


def write(texts: dict[str, str]) -> None:
    """Replace sections of the page by title, or add them at its end."""
    page = PAGE.read_text(encoding="utf-8")
    for title, text in texts.items():
        before, mark, rest = page.partition(f"## {title}\n")
        after = rest[rest.index("\n## ") + 1 :] if "\n## " in rest else ""
        page = f"{before}{text}\n{after}" if mark else f"{page.rstrip()}\n\n{text}"
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
