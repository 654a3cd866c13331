"""Time of D-RISE and Score-CAM on a detector over the bare forwards that they are made of, in the same run.

    python benchmarks/drise.py [MODEL.onnx PICTURE] [--samples 800] [--rounds 3] [--detections 10]

Bare forwards run the file itself in ONNX Runtime on one batch, as often as the method has pictures. They alternate with
the method round by round; a ratio is the median over such pairs, by the clock and by processor time of this process.
Without a model the bundled detector. Detections are the boxes that the model finds, repeated up to the number asked for
with their sides moved by a pixel each, so that each is another target.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import onnxsal

ROOT = Path(__file__).resolve().parent.parent
BATCH = 8


def spent(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of one call: on the clock, and of processors."""
    start, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start, time.process_time() - used


def ratios(over: Callable[[], Any], under: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Return the median of the ratios of calls that alternate, by the clock and by processor time."""
    over(), under()
    pairs = [(spent(over), spent(under)) for _ in range(rounds)]
    clock, processor = (median(a[k] / b[k] for a, b in pairs) for k in (0, 1))
    return clock, processor


def bare(file: str, x: np.ndarray, forwards: int) -> Callable[[], None]:
    """Return a call that sends so many pictures through the file."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    rows = BATCH if not isinstance(entry.shape[0], int) else entry.shape[0]
    batch = np.repeat(x[None], rows, axis=0)

    def run() -> None:
        for _ in range(-(-forwards // rows)):
            session.run(None, {entry.name: batch})

    return run


def several(found: list[Any], count: int) -> list[onnxsal.Box]:
    """Return so many boxes: those that are found, then the same a pixel larger, and so on."""
    boxes = []
    for at in range(count):
        each, wider = found[at % len(found)], at // len(found)
        left, top, right, bottom = each.box
        boxes.append(onnxsal.Box(each.label, (left, top, right + wider, bottom + wider)))
    return boxes


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=str(ROOT / "models" / "detector.onnx"))
    parser.add_argument("picture", nargs="?", default=str(ROOT / "models" / "demo_boxes.png"))
    parser.add_argument("--samples", type=int, default=800)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--detections", type=int, default=10)
    given = parser.parse_args()
    model = onnxsal.load(given.model)
    prepared = model.prepare(given.picture)
    boxes = several(model.predict(given.picture), given.detections)

    def explained(method: str, targets: int, **options: Any) -> list[onnxsal.Explanation]:
        found = onnxsal.explain(model, given.picture, method=method, target=list(boxes[:targets]), **options)
        return found if isinstance(found, list) else [found]

    x = np.asarray(prepared.x, np.float32)
    run = bare(given.model, x, given.samples)
    options = {"samples": given.samples, "batch_size": BATCH}
    cam = explained("score-cam", 1, batch_size=BATCH)[0].manifest["forwards"]
    rows = {
        f"rise, {given.samples} masks, over bare forwards": (lambda: explained("rise", 1, **options), run),
        f"rise, {given.detections} detections over one": (
            lambda: explained("rise", given.detections, **options), lambda: explained("rise", 1, **options),
        ),
        f"score-cam, {cam} forwards, over bare forwards": (
            lambda: explained("score-cam", 1, batch_size=BATCH), bare(given.model, x, cam),
        ),
    }  # fmt: skip
    print(f"{Path(given.model).name}, {' x '.join(map(str, model.size))}, medians of {given.rounds} pairs\n")
    print("| what | clock | processor |\n| --- | --- | --- |")
    for name, (over, under) in rows.items():
        clock, processor = ratios(over, under, given.rounds)
        print(f"| {name} | {clock:.2f} | {processor:.2f} |", flush=True)


if __name__ == "__main__":
    main()
