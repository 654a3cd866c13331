"""What a process that goes on for long takes: resident memory after so many explanations, models, commands.

    python benchmarks/long_runs.py [CASE ...] [--times 100 1000 10000] [--models 50 500] [--shared FOLDER]
        [--also MODEL[:PREPROCESS] ...]

Each case is a process of its own on one thread. Memory is what is resident after the garbage collector ran, in MB, and
beside it the Python objects that the collector knows, which tell a leak of ours from a heap that has not settled. A
case takes as many turns as ``--times`` says (of models, folders and what takes as long ``--models``). Growth is from
the last but one count to the last. Read from /proc: Linux alone. Cases of real files are left out without ``--shared``;
``--also`` has further models loaded and dropped among them.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "reference"), *map(str, sorted(ROOT.glob("plugins/*/src")))]

import onnxsal  # noqa: E402
from onnxsal.errors import OnnxsalError  # noqa: E402

Turn = Callable[[int], Any]
CASES: dict[str, Callable[[Path], Turn]] = {}
SLOW: set[str] = set()
"""Cases that are counted in models."""
ONE = {
    "one_folder": ["-o", "maps/{stem}.png"],
    "one_folder_out": ["--out", "maps/"],
    "one_folder_parquet": ["--out", "maps.parquet", "-o", "maps/{stem}.png"],
    "one_folder_smooth": ["-m", "smoothgrad", "-O", "samples=4", "-o", "maps/{stem}.png"],
}
"""Cases of one command on as many pictures as the last count says; it writes a file of each into ``maps``."""
REAL: set[str] = set()
"""Cases that need the reference material."""
PHOTO, SHAPES = ROOT / "models" / "demo.png", ROOT / "models" / "shapes.onnx"


def case(*kinds: set[str]) -> Callable[[Callable[[Path], Turn]], Callable[[Path], Turn]]:
    """Return what enters a function into the table: it makes what a turn needs, and returns the turn."""

    def enter(make: Callable[[Path], Turn]) -> Callable[[Path], Turn]:
        CASES[make.__name__] = make
        for kind in kinds:
            kind.add(make.__name__)
        return make

    return enter


def explained(model: Any, thing: Any, **how: Any) -> Any:
    found = onnxsal.explain(model, thing, **how)
    for each in found if isinstance(found, list) else [found]:
        assert np.isfinite(each.raw).all()
    return found


def photo(turn: int) -> Image.Image:
    """Return the demonstration's picture in one of many sizes."""
    with Image.open(PHOTO) as image:
        return image.resize((160 + 7 * (turn % 53), 160 + 11 * (turn % 41)))


def tiny(turn: int) -> onnx.ModelProto:
    """Return a classifier whose weights no other turn has."""
    import tiny_models

    return tiny_models.build(tiny_models.BODY, tiny_models.weights(1 + turn / 1000))


@case()
def grad_cam_pp(folder: Path) -> Turn:
    model = onnxsal.load(SHAPES)
    return lambda turn: explained(model, PHOTO)


@case()
def smoothgrad(folder: Path) -> Turn:
    model = onnxsal.load(SHAPES)
    return lambda turn: explained(model, PHOTO, method="smoothgrad", samples=2, seed=turn)


@case()
def turns(folder: Path) -> Turn:
    """Methods, targets, layers and batches take turns, and what comes out is drawn in other sizes."""
    model = onnxsal.load(tiny(0))
    layers = [None, "r1", "r2"]
    rng = np.random.default_rng(0)

    def turn(at: int) -> None:
        several = [Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)) for _ in range(1 + at % 3)]
        target = [None, "red", 2, "green minus blue", (0, 1)][at % 5]
        method = ["grad-cam++", "gradient", "layercam", "smoothgrad", "score-cam", "occlusion"][at % 6]
        more: dict[str, Any] = {"samples": 3} if method == "smoothgrad" else {}
        more |= {"layer": layers[at % 3]} if method in ("grad-cam++", "layercam", "score-cam") else {}
        (first, *_) = explained(model, several, method=method, target=target, **more)
        if at % 10 == 0:
            first.png()

    return turn


@case()
def sizes(folder: Path) -> Turn:
    """Photographs of two thousand sizes, drawn."""
    model = onnxsal.load(SHAPES)
    return lambda turn: explained(model, photo(turn)).png()


@case()
def free_sizes(folder: Path) -> Turn:
    """A model that takes pictures of any size, in any size."""
    import tiny_models

    made = tiny_models.build(tiny_models.BODY.replace("16, 16", "H, W"), tiny_models.weights())
    model = onnxsal.load(made)
    rng = np.random.default_rng(0)

    def turn(at: int) -> None:
        size = (16 + 2 * (at % 23), 20 + 2 * (at % 31))
        own = onnxsal.load(made, size=size) if at % 7 == 0 else model
        explained(own, rng.normal(size=(3, *size)).astype("f4"), target=at % 2)

    return turn


@case()
def threads(folder: Path) -> Turn:
    """A thread of its own for each."""
    model = onnxsal.load(SHAPES)

    def turn(at: int) -> None:
        each = threading.Thread(
            target=explained, args=(model, PHOTO), kwargs={"method": ["gradient", "layercam"][at % 2]}
        )
        each.start()
        each.join()

    return turn


@case()
def refused(folder: Path) -> Turn:
    """Nothing but mistakes, each of another name."""
    model = onnxsal.load(SHAPES)

    def turn(at: int) -> None:
        wrong: list[dict[str, Any]] = [
            {"target": f"no class {at}"}, {"layer": f"no layer {at}"}, {"method": f"method-{at}"}, {f"option{at}": 1},
            {"image": b"broken %d" % at}, {"method": "smoothgrad", "samples": -at - 1},
        ]  # fmt: skip
        try:
            onnxsal.explain(model, **({"image": PHOTO} | wrong[at % len(wrong)]))
        except OnnxsalError:
            return
        raise AssertionError(wrong[at % len(wrong)])

    return turn


@case()
def texts(folder: Path) -> Turn:
    import tiny_texts

    words = tiny_texts.WORDS
    path = tiny_texts.written(folder / "text", tiny_texts.proto("classes"), config={"id2label": tiny_texts.LABELS})
    model = onnxsal.load(path)

    def turn(at: int) -> None:
        text = " ".join(words[(at * k) % len(words)] for k in range(1, 3 + at % 7))
        found = explained(model, text, method=["integrated-gradients", "gradient"][at % 2], target=at % 3)
        found.to_dict()

    return turn


@case()
def tables(folder: Path) -> Turn:
    """Rows of columns of numbers and of words, through trees and through a net."""
    import tables as made

    numbers = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")
    several = [
        (onnxsal.load(made.pipeline(made.NET)), [dict(row) for row in made.ROWS if row["age"]]),
        (onnxsal.load(made.form(made.VOTE)), list(numbers)),
    ]

    def turn(at: int) -> None:
        model, rows = several[at % 2]
        explained(model, rows[at % len(rows)], background=rows)

    return turn


@case()
def volumes(folder: Path) -> Turn:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 1, D, H, W] x) => (float[B, 2] y)
        <float[2, 1, 1, 1, 1] w = {1, -2}, int64[3] axes = {2, 3, 4}>
        { a = Conv (x, w) r = Relu (a) y = ReduceMean <keepdims = 0> (r, axes) }"""
    model = onnxsal.load(onnx.parser.parse_model(text), size=(4, 5, 6))
    rng = np.random.default_rng(0)
    return lambda turn: explained(model, rng.normal(size=(1, *model.size)).astype("f4"), method="gradient", target=0)


@case()
def plug_ins(folder: Path) -> Turn:
    """A method and a task of other packages."""
    import onnxsal_rating  # noqa: F401
    import onnxsal_sobol  # noqa: F401

    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[N, 3, 4, 5] x) => (float[N, 3] p)
        { flat = Flatten (x) y = MatMul (flat, w) p = Softmax (y) }"""
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(rng.normal(size=(60, 3)).astype("f4"), "w"))
    rating, shapes = onnxsal.load(proto, preprocess="unit", task="rating"), onnxsal.load(tiny(0))
    picture = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8))

    def turn(at: int) -> None:
        explained(rating, rng.normal(size=(3, 4, 5)).astype("f4"), method="gradient")
        explained(shapes, picture, method="sobol", samples=2, grid=2, seed=at)

    return turn


@case()
def made_methods(folder: Path) -> Turn:
    """A method that is written anew each time, as in a notebook's cell, and forgotten with its name's next."""
    from onnxsal.methods.gradients import input_gradient

    model = onnxsal.load(SHAPES)

    def turn(at: int) -> None:
        @onnxsal.method("made-here", paper="none")
        def made(score: Any, *, times: float = 1.0) -> Any:
            op = input_gradient(score).extend()
            return op.finish(saliency=op.Mul(op["saliency"], op.const(np.float32(times + at))))

        explained(model, PHOTO, method="made-here")

    return turn


@case()
def boxes(folder: Path) -> Turn:
    """A detector's best box, any box, and all."""
    model = onnxsal.load(ROOT / "models" / "detector.onnx")
    image = ROOT / "models" / "demo_boxes.png"
    targets = [None, "#1", "all"]

    def turn(at: int) -> None:
        explained(model, image, method=["grad-cam++", "layercam"][at % 2], target=[targets[at % 3]])

    return turn


@case(SLOW)
def small_models(folder: Path) -> Turn:
    """Files opened, explained and dropped, each with weights of its own."""

    def turn(at: int) -> None:
        model = onnxsal.load(tiny(at))
        picture = Image.new("RGB", (16, 16), (at % 255, 30, 200))
        for method in ("grad-cam++", "gradient"):
            explained(model, picture, method=method)

    return turn


@case(SLOW, REAL)
def real_models(folder: Path) -> Turn:
    """Files of very different size: the last one leaves free memory, so that counts are best multiples of how many
    there are."""
    files = [
        ("squeezenet1.0_fp32.onnx", "caffe"), ("mobilenet_v2_int8.onnx", "raw"), ("mobilenet_v2_fp32.onnx", "raw"),
        ("squeezenet1.0_fp16.onnx", "caffe"), ("mobilenet_v1_025_int8.onnx", "raw"),
    ]  # fmt: skip
    also = [each.partition(":")[::2] for each in os.environ.get("ALSO", "").splitlines()]
    every = [(shared() / "models" / name, preset) for name, preset in files] + [(Path(a), b or None) for a, b in also]

    def turn(at: int) -> None:
        path, preprocess = every[at % len(every)]
        explained(onnxsal.load(path, preprocess=preprocess), PHOTO)

    return turn


@case(REAL)
def real_turns(folder: Path) -> Turn:
    """Two real models that stay open, photographs and batches of them, classes taking turns."""
    models = [onnxsal.load(shared() / "models" / "squeezenet1.0_fp32.onnx", preprocess="caffe"),
              onnxsal.load(shared() / "models" / "mobilenet_v1_025_int8.onnx", preprocess="raw")]  # fmt: skip
    photos = sorted((shared() / "images" / "imagenet").glob("*.jpg"))

    def turn(at: int) -> None:
        explained(models[at % 2], photos[at % len(photos)], target=None if at % 3 else at % 1000)

    return turn


@case(SLOW)
def compiled(folder: Path) -> Turn:
    """Compiled files, made and run once."""
    import onnxruntime

    def turn(at: int) -> None:
        made = onnxsal.compile(tiny(at), method="grad-cam++")
        onnxruntime.InferenceSession(made.SerializeToString())

    return turn


@case(SLOW)
def evaluated(folder: Path) -> Turn:
    model = onnxsal.load(SHAPES)
    return lambda turn: onnxsal.evaluate(model, [PHOTO], methods=["grad-cam++", "gradient"], metrics=["insertion"])


@case(SLOW)
def folders(folder: Path) -> Turn:
    """The command on a folder of ten pictures, in one process."""
    from onnxsal.cli import main

    photos = folder / "photographs"
    photos.mkdir()
    for at in range(10):
        photo(at).save(photos / f"{at}.png")

    def turn(at: int) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            status = main(["explain", str(SHAPES), str(photos), "-o", str(folder / "{stem}.map.png")])
        assert status == 0, status

    return turn


def photographs(folder: Path, count: int) -> Path:
    """Return a folder of so many pictures, of many sizes."""
    found = folder / "photographs"
    found.mkdir()
    for at in range(count):
        photo(at).save(found / f"{at:05d}.png", compress_level=1)
    return found


def shared() -> Path:
    return Path(os.environ["ONNXSAL_SHARED"])


def resident() -> float:
    """Return the resident memory of this process in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def measured(name: str, counts: list[int]) -> Iterator[dict[str, Any]]:
    """Run a case, and yield what it takes at each count."""
    with tempfile.TemporaryDirectory() as folder:
        if name in ONE:
            yield from watched(Path(folder), ONE[name], counts)
            return
        turn, done, started = CASES[name](Path(folder)), 0, time.process_time()
        for count in counts:
            for at in range(done, count):
                turn(at)
            done = count
            yield taken(count, started)


def taken(count: int, started: float) -> dict[str, Any]:
    gc.collect()
    used = time.process_time() - started
    return {"count": count, "resident": resident(), "objects": len(gc.get_objects()), "seconds": used}


def watched(folder: Path, options: list[str], counts: list[int]) -> list[dict[str, Any]]:
    """Run one command, and return what its process takes once so many files are written.

    At the last one file is still to come: a command that has ended has let go.
    """
    from onnxsal.cli import main

    photos, found = photographs(folder, counts[-1] + 1), list[dict[str, Any]]()
    os.chdir(folder)
    (folder / "maps").mkdir()
    started = time.process_time()

    def watch() -> None:
        for count in counts:
            while len(os.listdir("maps")) < count:
                time.sleep(0.002)
            found.append(taken(count, started))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as said:
        status = main(["explain", str(SHAPES), str(photos), *options])
    assert status == 0, said.getvalue()
    watching.join()
    os.chdir(ROOT)
    return found


def in_child(name: str, counts: list[int]) -> list[dict[str, Any]]:
    command = [sys.executable, __file__, "--child", name, "--times", *map(str, counts)]
    quiet = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    ran = subprocess.run(command, env=os.environ | quiet, stdout=subprocess.PIPE, text=True)
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    if ran.returncode:
        print(f"{name}: ended with {ran.returncode} after {len(found)} of {len(counts)} counts", file=sys.stderr)
    return found


def row(name: str, found: list[dict[str, Any]]) -> str:
    """Return the line of a case."""
    cells = "".join(f" {each['count']:6d}: {each['resident']:7.1f} MB {each['objects']:8d}" for each in found)
    before, after = found[-2:]
    grown = after["resident"] - before["resident"]
    per = 1e3 * (after["seconds"] - before["seconds"]) / (after["count"] - before["count"])
    return f"{name:18}{cells}  {grown:+7.1f} MB {after['objects'] - before['objects']:+6d}  {per:7.1f} ms a turn"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join([*CASES, *ONE]))
    parser.add_argument("--times", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--models", type=int, nargs="+", default=[50, 250, 500])
    parser.add_argument("--shared", help="the reference material; by default what ONNXSAL_SHARED names")
    parser.add_argument("--also", nargs="+", metavar="MODEL[:PREPROCESS]", help="further models for real_models")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.shared:
        os.environ["ONNXSAL_SHARED"] = given.shared
    if given.also:
        os.environ["ALSO"] = "\n".join(given.also)
    if given.child:
        for each in measured(given.child, given.times):
            print(json.dumps(each), flush=True)
        return
    for name in given.cases or [*CASES, *ONE]:
        if name in REAL and "ONNXSAL_SHARED" not in os.environ:
            continue
        found = in_child(name, given.models if name in SLOW or name in ONE else given.times)
        if len(found) > 1:
            print(row(name, found), flush=True)


if __name__ == "__main__":
    main()
