"""A folder of photographs at the speed of its parts: Grad-CAM++, drawn and encoded or as data, over the floor.

    python benchmarks/folder.py [--before WORKTREE] [--photos 205] [--rounds 1] [--outputs png jpg data]
    python benchmarks/folder.py --memory [--photos 205]

The floor is what nobody can leave out: decode, fit, one run that gives prediction and map, resize to the photograph
with colour and blend, the encoder; for data NumPy's plain archive in place of the last two. It runs in a thread beside
ONNX Runtime's own. Builds and floor take turns, each a process of its own that has served one photograph before it is
timed; what opening the model takes is taken off. ``--before`` is a checkout of another commit (``git worktree add``),
measured by the same lines. Times are of a photograph, by the clock and of the processor: all threads of the process,
which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"mobilenet_v2_int8.onnx": "raw", "squeezenet1.0_fp32.onnx": "caffe"}

TIMED = """
import glob, io, json, os, sys, time
import numpy as np
model, preprocess, output, folder = sys.argv[1:5]
photos = sys.argv[5:]

def timed(call):
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used
"""

COMMAND = """
import contextlib
from onnxsal.cli import main

def serve(some):
    name = os.path.join(folder, "{stem}-{folder}." + output)
    given = ["explain", model, *some, "--preprocess", preprocess, "-o", name]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        status = main(given)
    assert status == 0, status
"""

DATA = """
import onnxsal

def serve(some):
    opened = onnxsal.load(model, preprocess=preprocess)
    for at in range(0, len(some), 32):
        for found in onnxsal.explain(opened, some[at:at + 32]):
            np.savez(os.path.join(folder, found.name + ".npz"), raw=found.raw, score=found.score, label=found.label)
"""

FLOOR = """
import onnxsal
from PIL import Image
from onnxsal.anatomy import TARGET, X
from onnxsal.explanation.build import build
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import prepare_request
from onnxsal.viz.colour import colour_table

opened = onnxsal.load(model, preprocess=preprocess)
request = prepare_request(opened, plan("grad-cam++", {}), layer=None, score=None, seed=0, preprocess=None,
                          common=split_options({})[0])
session = opened.session(build(opened, request.steps, layer=request.layers[0], score=opened.score(request.score)))
table = colour_table("inferno")
means = np.array((103.94, 116.78, 123.68) if preprocess == "caffe" else (0, 0, 0), np.float32)[:, None, None]
options = {"png": {"compress_level": 1}, "jpg": {"quality": 93, "subsampling": 0}}

def serve(some):
    for path in some:
        one(path)

def one(path):
    with Image.open(path) as image:
        photo = image.convert("RGB")
    short = min(photo.size)
    size = round(photo.width * 256 / short), round(photo.height * 256 / short)
    left, top = (size[0] - 224) // 2, (size[1] - 224) // 2
    seen = np.asarray(photo.resize(size, Image.BILINEAR).crop((left, top, left + 224, top + 224)), np.float32)
    x = seen.transpose(2, 0, 1)
    x = x[::-1] - means if preprocess == "caffe" else x
    found = session.run({X: np.ascontiguousarray(x)[None], TARGET: np.array([1])})
    raw = found["saliency"][0]
    target = os.path.join(folder, os.path.basename(path) + "." + output)
    if output == "data":
        np.savez(target + ".npz", raw=raw, score=1.0, label="class")
        return
    factor = max(480, max(photo.size)) / max(photo.size)
    shown = photo.resize((round(photo.width * factor), round(photo.height * factor)), Image.LANCZOS)
    spread = (raw - raw.min()) / max(raw.max() - raw.min(), 1e-9)
    grid = np.asarray(Image.fromarray(spread).resize(shown.size, Image.BILINEAR))
    level = (grid * 255).astype(np.uint8)
    mixed = np.empty((*level.shape, 3), np.uint8)
    pixels, weight = np.asarray(shown), grid * np.float32(0.65)
    for channel in range(3):
        plane = pixels[..., channel].astype(np.float32)
        plane += (table[:, channel].astype(np.float32)[level] - plane) * weight
        mixed[..., channel] = plane
    Image.fromarray(mixed).save(target, **options[output])
"""

ENDED = """
first, again, whole = timed(lambda: serve(photos[:1])), timed(lambda: serve(photos[:1])), timed(lambda: serve(photos))
each = [(all_ - one) / (len(photos) - 1) for all_, one in zip(whole, again)]
print(json.dumps({"clock": each[0], "used": each[1], "opening": first[1]}))
"""

PEAK = """
serve(photos)
print(json.dumps(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1000))
"""


def child(checkout: Path, code: str, model: str, output: str, photos: list[str], args: argparse.Namespace) -> object:
    """Return what a process of a checkout prints."""
    with tempfile.TemporaryDirectory() as folder:
        given = [str(args.shared / "models" / model), MODELS[model], output, folder]
        done = subprocess.run(
            [sys.executable, "-c", code, *given, *photos], capture_output=True, text=True, check=False, cwd=folder,
            env={**os.environ, "PYTHONPATH": str(checkout)},
        )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def table(args: argparse.Namespace, photos: list[str]) -> Iterator[str]:
    """Yield the table of times, in milliseconds a photograph."""
    names = ("model", "output", "floor: clock", "processor", "ours: clock", "processor", "over the floor")
    names += ("before: processor", "over ours")
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for model in args.models:
        for output in args.outputs:
            yield line(args, photos, model, output)


def line(args: argparse.Namespace, photos: list[str], model: str, output: str) -> str:
    """Return the line of one model and output: medians over rounds, in which floor and builds take turns."""
    ours = DATA if output == "data" else COMMAND
    parts = [("floor", ROOT, FLOOR), ("ours", ROOT, ours)]
    parts += [] if args.before is None else [("before", args.before, ours)]
    found: dict[str, list[dict[str, float]]] = {name: [] for name, _, _ in parts}
    for _ in range(args.rounds):
        for name, checkout, code in parts:
            found[name].append(child(checkout, TIMED + code + ENDED, model, output, photos, args))
    ms = {name: {key: 1e3 * median(one[key] for one in each) for key in each[0]} for name, each in found.items()}
    floor, own = ms["floor"], ms["ours"]
    over = f"{own['clock'] / floor['clock']:.2f} by the clock, {own['used'] / floor['used']:.2f}"
    before = ms.get("before")
    last = " - | - |" if before is None else f" {before['used']:.1f} | {before['used'] / own['used']:.2f} x |"
    return (
        f"| {model} | {output} | {floor['clock']:.1f} | {floor['used']:.1f} | {own['clock']:.1f} | {own['used']:.1f} | "
        f"{over} |{last}"
    )


def memory(args: argparse.Namespace, photos: list[str]) -> Iterator[str]:
    """Yield the table of peaks of resident memory: of the photographs, and of the same ones ten times."""
    yield "| model | photographs | peak | ten times as many | ratio |"
    yield "| --- | --- | --- | --- | --- |"
    for model in args.models:
        with tempfile.TemporaryDirectory() as links:
            more = list(photos)
            for turn in range(9):
                (Path(links) / str(turn)).mkdir()
                for photo in photos:
                    more.append(str(Path(links) / str(turn) / Path(photo).name))
                    os.symlink(photo, more[-1])
            peaks = [child(ROOT, TIMED + COMMAND + PEAK, model, "jpg", some, args) for some in (photos, more)]
        yield f"| {model} | {len(photos)} | {peaks[0]:.0f} MB | {peaks[1]:.0f} MB | {peaks[1] / peaks[0]:.3f} |"


def main() -> None:
    """Parse the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--before", type=Path, help="a checkout of another commit, measured beside this one")
    parser.add_argument("--photos", type=int, default=205)
    parser.add_argument("--rounds", type=int, default=1, help="in which floor and builds take turns")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--outputs", nargs="+", choices=["png", "jpg", "data"], default=["png", "jpg", "data"])
    parser.add_argument("--memory", action="store_true", help="peaks of resident memory instead of times")
    args = parser.parse_args()
    photos = sorted(map(str, (args.shared / "images" / "imagenet").glob("*.jpg")))[: args.photos]
    for each in (memory if args.memory else table)(args, photos):
        print(each, flush=True)


if __name__ == "__main__":
    main()
