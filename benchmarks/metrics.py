"""Holds the metrics against independent implementations: the same model, pictures, maps, steps, baselines and draws.

    python benchmarks/metrics.py [--photos 2] [--write]

Needs the reference material (ONNXSAL_SHARED) and, each for its own rows, captum, quantus, scikit-image and xplique
(which brings TensorFlow); rows of what is not installed are left out. ``--write`` puts the table into docs/metrics.md.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import os
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import onnxsal
from onnxsal.evaluation.score import LOGIT, scorer
from onnxsal.kernels.blur import gaussian_blur
from onnxsal.kernels.impute import impute
from onnxsal.metrics.agreement import spearman, ssim
from onnxsal.metrics.registry import get

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
METHODS = ("gradient", "input-x-gradient", "grad-cam++", "layercam")
Row = tuple[str, str, str]
"""Metric, the other implementation, what explains a difference."""


@dataclass(frozen=True)
class Case:
    """One map of one picture, with everything that judges it."""

    model: Any
    found: Any
    x: np.ndarray
    mask: np.ndarray
    seed: int

    @property
    def saliency(self) -> np.ndarray:
        return self.found.saliency.astype(np.float64)

    @cached_property
    def score(self) -> Callable[[np.ndarray], np.ndarray]:
        return scorer(self.model, self.found.target, 16)

    @cached_property
    def logit(self) -> Callable[[np.ndarray], np.ndarray]:
        return scorer(self.model, self.found.target, 16, LOGIT)

    def explain(self, images: np.ndarray) -> np.ndarray:
        again = {"method": self.found.method, "target": self.found.target}
        return np.stack([onnxsal.explain(self.model, image[None], **again).saliency for image in images])


class Recorder:
    """A callable that keeps the pictures it was asked about."""

    def __init__(self, inner: Callable[[np.ndarray], np.ndarray]) -> None:
        self.inner, self.seen = inner, []

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.seen.extend(images.copy())
        return self.inner(images)


def cases(photos: int) -> Iterator[Case]:
    """Yield every method's map of photographs that have a mask."""
    model = onnxsal.load(SHARED / "models" / "squeezenet1.0_fp32.onnx", preprocess="caffe")
    masks = sorted((SHARED / "images" / "masks").glob("*.png"))
    for number, path in enumerate(masks[:: max(1, len(masks) // photos)][:photos]):
        photo = SHARED / "images" / "imagenet" / f"{path.stem}.jpg"
        for found in (onnxsal.explain(model, photo, method=name) for name in METHODS):
            yield Case(model, found, model.prepare(photo).x.reshape(-1, *model.size), placed(path, found), number)


def placed(path: Path, found: Any) -> np.ndarray:
    """Return the object's mask as the model saw it, [H, W]."""
    left, top, across, down = found.box
    height, width = found.saliency.shape
    with Image.open(path) as image:
        share = image.width / found.photo.shape[1] if hasattr(found, "photo") else 1.0
        box = tuple(each * share for each in (left, top, left + across, top + down))
        return np.asarray(image.convert("L").resize((width, height), Image.Resampling.BOX, box)) > 127


def xplique_curve(case: Case, name: str, base: np.ndarray, steps: int) -> float:
    """Return xplique's deletion or insertion."""
    import tensorflow as tf
    import xplique.metrics as theirs

    def operator(_model: Any, inputs: Any, _targets: Any) -> Any:
        return tf.constant(case.score(np.ascontiguousarray(inputs.numpy().transpose(0, 3, 1, 2))), tf.float32)

    last = lambda images: images.transpose(0, 2, 3, 1)
    judge = getattr(theirs, name)(
        lambda inputs: inputs, last(case.x[None]), np.ones((1, 1), np.float32), steps=steps,
        baseline_mode=lambda _: last(base[None]), operator=operator,
    )  # fmt: skip
    return float(judge.evaluate(case.saliency[None]))


def quantus_plain(name: str, case: Case, **settings: Any) -> float:
    """Return a Quantus metric that needs no model, of the map as it is."""
    import quantus

    judge = getattr(quantus, name)(abs=False, normalise=False, disable_warnings=True, **settings)
    judged = judge(
        model=None, x_batch=case.x[None], y_batch=np.zeros(1, int), a_batch=case.saliency[None, None].copy(),
        s_batch=case.mask[None, None], channel_first=True,
    )  # fmt: skip
    return float(np.asarray(judged, np.float64).ravel()[0])


def captum_infidelity(case: Case, normalize: bool) -> tuple[float, float]:
    """Return ours and captum's infidelity of the raw map, for the same 50 changes."""
    import torch
    from captum.metrics import infidelity

    asked = Recorder(case.logit)
    ours = get("infidelity")(
        logit=asked, x=case.x, saliency=case.saliency, raw=case.found.raw.astype(np.float64), scaled=normalize,
        seed=case.seed,
    )  # fmt: skip
    changed = iter(torch.tensor(np.stack(asked.seen[1:])).split(10))

    def change(inputs: Any) -> Any:
        now = next(changed)
        return inputs - now, now

    theirs = infidelity(
        lambda p: torch.tensor(case.logit(p.numpy())), change, torch.tensor(case.x[None]),
        torch.tensor(case.found.raw[None]), n_perturb_samples=50, max_examples_per_batch=10, normalize=normalize,
    )  # fmt: skip
    return ours.value, float(theirs[0])


def captum_sensitivity(case: Case) -> tuple[float, float]:
    """Return ours and captum's max-sensitivity, for the same 5 draws."""
    import torch
    from captum.metrics import sensitivity_max

    asked = Recorder(case.explain)
    ours = get("max-sensitivity")(x=case.x, saliency=case.saliency, explain=asked, samples=5, seed=case.seed)
    moved = torch.tensor(np.stack(asked.seen))
    theirs = sensitivity_max(
        lambda p: (torch.tensor(case.explain(p[0].numpy() if isinstance(p, tuple) else p.numpy())),),
        torch.tensor(case.x[None]), lambda *_: moved, n_perturb_samples=5,
    )  # fmt: skip
    return ours.value, float(theirs[0])


def quantus_filled(case: Case) -> tuple[float, float]:
    """Return the score of the picture without its highest tenth, filled in by us and by Quantus."""
    from quantus.functions.perturb_func import noisy_linear_imputation

    order = np.argsort(-case.saliency, axis=None, kind="stable")[: case.saliency.size // 10]
    gone = np.zeros(case.saliency.size, bool)
    gone[order] = True
    theirs = noisy_linear_imputation(arr=case.x, indices=order.copy(), noise=0.0).astype(np.float32)
    ours = impute(case.x, gone.reshape(case.saliency.shape))
    before, after = case.score(np.stack([ours, theirs.reshape(case.x.shape)]))
    return float(before), float(after)


def fill_times(case: Case) -> str:
    """Return how long filling half of a picture takes here and in Quantus, on one core."""
    from quantus.functions.perturb_func import noisy_linear_imputation

    order = np.argsort(-case.saliency, axis=None, kind="stable")[: case.saliency.size // 2]
    gone = np.zeros(case.saliency.size, bool)
    gone[order] = True
    works = (
        lambda: impute(case.x, gone.reshape(case.saliency.shape)),
        lambda: noisy_linear_imputation(arr=case.x, indices=order.copy(), noise=0.0),
    )
    ours, theirs = (min(processor_time(work) for _ in range(3)) for work in works)
    return f"Filling half of a {case.found.method} picture: {ours * 1e3:.0f} ms here, {theirs * 1e3:.0f} ms in Quantus."


def overhead(name: str, chosen: list[Case]) -> str:
    """Return what a metric of several maps costs over the forwards it asks for, in processor time."""
    case, maps, spent = chosen[0], np.stack([each.saliency for each in chosen]), [0.0]

    def timed(images: np.ndarray) -> np.ndarray:
        started = time.process_time()
        found = case.score(images)
        spent[0] += time.process_time() - started
        return found

    ratios = []
    for _ in range(5):
        spent[0] = 0.0
        whole = processor_time(lambda: get(name)(score=timed, x=case.x, saliency=maps, baseline=black(case)))
        ratios.append(whole / spent[0])
    return f"{name}, {len(maps)} maps of a picture: {sorted(ratios)[2]:.3f} x the bare forwards, in processor time."


def processor_time(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def skimage_ssim(case: Case) -> tuple[float, float]:
    """Return ours and scikit-image's structural similarity of the map and its blurred self."""
    from skimage.metrics import structural_similarity

    other = gaussian_blur(case.saliency).astype(np.float64)
    theirs = structural_similarity(
        case.saliency, other, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return ssim(case.saliency, other), float(theirs)


def scipy_spearman(case: Case) -> tuple[float, float]:
    """Return ours and scipy's rank correlation of the map and its blurred self."""
    from scipy.stats import spearmanr

    other = gaussian_blur(case.saliency)
    return spearman(case.saliency, other), float(spearmanr(case.saliency.ravel(), other.ravel())[0])


def black(case: Case) -> np.ndarray:
    return np.broadcast_to(np.asarray(case.model.black()).reshape(-1, 1, 1), case.x.shape)


def of(name: str, case: Case, **options: Any) -> float:
    """Return our metric of a case."""
    given = {"score": case.score, "x": case.x, "saliency": case.saliency, "baseline": black(case), "mask": case.mask}
    return float(get(name)(**given, **options).value)


COMPARISONS: dict[Row, Callable[[Case], tuple[float, float]]] = {
    ("deletion, 49 equal steps, black", "xplique", "the order of equal pixels"): lambda c: (
        of("deletion", c, steps=49), xplique_curve(c, "Deletion", black(c), 49)),
    ("deletion, 50 steps, black", "xplique", "steps of 1003.5 pixels: rounded here, cut there, and weighed alike"):
        lambda c: (of("deletion", c), xplique_curve(c, "Deletion", black(c), 50)),
    ("insertion, 49 equal steps, blurred", "xplique", "the order of equal pixels"): lambda c: (
        of("insertion", c, steps=49), xplique_curve(c, "Insertion", gaussian_blur(c.x), 49)),
    ("sparseness", "quantus", "it adds 1e-7 to every pixel"): lambda c: (
        of("sparseness", c), quantus_plain("Sparseness", c)),
    ("complexity", "quantus", "it adds 1e-12 in the logarithm"): lambda c: (
        of("complexity", c), quantus_plain("Complexity", c)),
    ("energy-pointing", "quantus (relevance mass)", ""): lambda c: (
        of("energy-pointing", c), quantus_plain("RelevanceMassAccuracy", c)),
    ("pointing-game, tolerance 0", "quantus", "highest pixels (1 % of a capped map): the share; any"): lambda c: (
        of("pointing-game", c, tolerance=0), quantus_plain("PointingGame", c)),
    ("infidelity of pixel maps, as it is", "captum", "float32 sums"): lambda c: captum_infidelity(c, False),
    ("infidelity of pixel maps, scaled", "captum", "float32 sums"): lambda c: captum_infidelity(c, True),
    ("max-sensitivity, 5 draws", "captum", ""): captum_sensitivity,
    ("score with the highest tenth filled in", "quantus (ROAD)", "solved to 3e-6 of the range a pixel"): quantus_filled,
    ("SSIM with the blurred map", "scikit-image", "borders: full windows alone, by both"): skimage_ssim,
    ("Spearman with the blurred map", "scipy", ""): scipy_spearman,
}  # fmt: skip
PIXELS = {"infidelity of pixel maps, as it is", "infidelity of pixel maps, scaled"}


def table(photos: int) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| metric | held against | maps | ours, mean | theirs, mean | largest difference | what differs |"
    yield "| --- | --- | ---: | ---: | ---: | ---: | --- |"
    every = list(cases(photos))
    for (name, other, cause), compare in COMPARISONS.items():
        if importlib.util.find_spec(other.split()[0].replace("scikit-image", "skimage")) is None:
            continue
        chosen = [c for c in every if name not in PIXELS or c.found.raw.shape == c.x.shape]
        with contextlib.redirect_stdout(io.StringIO()):  # some of them talk
            pairs = np.array([compare(case) for case in chosen])
        apart = np.abs(pairs[:, 0] - pairs[:, 1]).max()
        means = " | ".join(f"{value:.6g}" for value in pairs.mean(axis=0))
        yield f"| {name} | {other} | {len(pairs)} | {means} | {apart:.1e} | {cause} |"
    if importlib.util.find_spec("quantus"):
        yield f"\n{fill_times(every[2])}"
    yield from (f"\n{overhead(name, every[: len(METHODS)])}" for name in ("deletion", "insertion", "road"))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--photos", type=int, default=2)
    options.add_argument("--write", action="store_true")
    given = options.parse_args()
    warnings.simplefilter("ignore")
    lines = []
    for line in table(given.photos):
        print(line, flush=True)
        lines.append(line)
    if given.write:
        page = ROOT / "docs" / "metrics.md"
        start, end = "<!-- comparison -->\n", "<!-- end of comparison -->"
        before, rest = page.read_text(encoding="utf-8").split(start)
        page.write_text(before + start + "\n".join(lines) + "\n" + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
