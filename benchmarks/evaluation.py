"""What evaluating costs: metrics over the bare forwards they need, and whole runs.

    python benchmarks/evaluation.py [--photos 4] [--runs 3] [--write]

Times are processor seconds of interleaved runs; the smallest ratio counts, because other work on the machine only adds.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import onnxsal
from onnxsal.evaluation.score import scorer
from onnxsal.metrics.baselines import make_baseline
from onnxsal.metrics.registry import get
from onnxsal.model import Model

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
PAGE = ROOT / "docs" / "evaluate.md"
MODELS = {"squeezenet1.0_fp32": "caffe", "mobilenet_v2_int8": None}
STEPS, BATCH = 50, 8
METHODS = ("grad-cam", "grad-cam++", "layercam")
WALKS = f"deletion[steps={STEPS}],insertion[steps={STEPS}]"
CAMS = "grad-cam,grad-cam++,hirescam,layercam,xgrad-cam"
METRICS = f"deletion[steps={STEPS}],insertion[steps={STEPS}],average-drop,sparseness"


def seconds(run: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    before = time.process_time()
    run()
    return time.process_time() - before


def over_bare(model: Model, runs: int) -> tuple[float, float]:
    """Return deletion and insertion over the forwards they need, and those forwards' milliseconds an image."""
    photo = sorted((SHARED / "images" / "imagenet").glob("*.jpg"))[40]
    made = onnxsal.explain(model, photo)
    x = model.prepare(photo).x
    score = scorer(model, int(made.target), BATCH)
    asked: list[int] = []
    given = {
        "x": x, "saliency": made.saliency, "steps": STEPS,
        "baseline": np.broadcast_to(model.black()[:, None, None], x.shape),
    }  # fmt: skip

    def counted(images: np.ndarray) -> np.ndarray:
        asked.append(len(images))
        return score(images)

    for name in ("deletion", "insertion"):
        get(name)(score=counted, **given)
    batches = [np.repeat(x[None], n, axis=0) for n in asked]
    ratios, bare = [], []
    for _ in range(runs):
        whole = seconds(lambda: [get(n)(score=score, **given) for n in ("deletion", "insertion")])
        bare.append(seconds(lambda: [score(each) for each in batches]))
        ratios.append(whole / bare[-1])
    return min(ratios), min(bare) / sum(asked) * 1000


def over_forwards(model: Model, count: int) -> tuple[float, float]:
    """Return a run of three methods, deletion and insertion over the forwards it needs, and the plain loop over it.

    Of each photograph by turns; medians. The forwards are of the same session in the same batches, with one more for
    each map; the plain loop changes and scores one picture after another, a map at a time, as the papers' own code.
    """
    photos = sorted((SHARED / "images" / "imagenet").glob("*.jpg"))[40 : 41 + count]
    asked = {"methods": METHODS, "metrics": WALKS}
    onnxsal.evaluate(model, photos[:1], **asked)
    found = []
    for photo in photos[1:]:
        x = model.prepare(photo).x
        score = scorer(model, model.predict(photo, top=1)[0].index, BATCH)
        maps = [onnxsal.explain(model, photo, method=name).saliency for name in METHODS]
        forwards = 2 * (2 + len(METHODS) * (STEPS - 1)) + len(METHODS)
        batches = [x[None].repeat(min(BATCH, forwards - at), axis=0) for at in range(0, forwards, BATCH)]
        whole = seconds(lambda photo=photo: onnxsal.evaluate(model, [photo], **asked))
        bare = seconds(lambda score=score, batches=batches: [score(each) for each in batches])
        ends = ((x, np.zeros_like(x)), (make_baseline("blur", x, None), x))
        plain = seconds(lambda score=score, maps=maps, ends=ends: [walked(score, *e, m) for m in maps for e in ends])
        found.append((whole / bare, plain / whole))
    over, under = (float(np.median(each)) for each in zip(*found, strict=True))
    return over, under


def walked(
    score: Callable[[np.ndarray], np.ndarray], start: np.ndarray, end: np.ndarray, saliency: np.ndarray
) -> float:
    """Return the area under the scores of pictures that go from one to another, highest pixels first."""
    order, picture, found = np.argsort(-saliency.ravel()), start.copy(), [score(start[None])[0]]
    for some in np.array_split(order, STEPS):
        picture.reshape(len(picture), -1)[:, some] = end.reshape(len(end), -1)[:, some]
        found.append(score(picture[None])[0])
    return float(np.trapezoid(found) / STEPS)


def whole_run(model: Model, count: int) -> tuple[float, float]:
    """Return seconds on the clock and of the processor for 100 photographs, from a run over ``count``."""
    photos = sorted((SHARED / "images" / "imagenet").glob("*.jpg"))
    chosen = photos[:: max(1, len(photos) // count)][:count]
    onnxsal.evaluate(model, chosen[:1], methods=CAMS, metrics=METRICS)  # opens all sessions
    with tempfile.TemporaryDirectory() as folder:
        clock, used = time.perf_counter(), time.process_time()
        onnxsal.evaluate(model, chosen, methods=CAMS, metrics=METRICS, journal=Path(folder) / "journal.jsonl")
        return (time.perf_counter() - clock) * 100 / count, (time.process_time() - used) * 100 / count


def table(photos: int, runs: int) -> str:
    """Return the figures in Markdown."""
    lines = [
        f"| model | deletion + insertion, {STEPS} steps, over their forwards | forward, ms an image | "
        "evaluate, 3 methods, over its forwards | a plain loop over evaluate | "
        "100 photographs x 5 CAM methods x 4 metrics |", "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for name, preprocess in MODELS.items():
        model = onnxsal.load(SHARED / "models" / f"{name}.onnx", preprocess=preprocess)
        ratio, forward = over_bare(model, runs)
        over, plain = over_forwards(model, photos)
        clock, used = whole_run(model, photos)
        whole = f"{clock / 60:.1f} min ({used / 60:.1f} of processor)"
        lines.append(f"| {name} | {ratio:.2f} | {forward:.1f} | {over:.2f} | {plain:.2f} | {whole} |")
        print(lines[-1], flush=True)
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write it into the page if that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=4, help="photographs of the whole run, scaled to 100")
    parser.add_argument("--runs", type=int, default=3, help="interleaved runs of the ratio")
    parser.add_argument("--write", action="store_true", help="write the table into docs/evaluate.md")
    given = parser.parse_args()
    found = table(given.photos, given.runs)
    print(found)
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        block = f"<!-- times -->\n\n{found}\n\n<!-- /times -->"
        filled = re.sub(r"<!-- times -->.*<!-- /times -->", lambda _: block, text, flags=re.DOTALL)
        PAGE.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main()
