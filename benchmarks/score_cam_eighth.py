"""Score-CAM from a part of its forwards: error of the map, and what is stated of it, beside what else spares forwards.

    python benchmarks/score_cam_eighth.py [--models mobilenet_v2_int8.onnx] [--what is-cam] [--between] [--seconds 170]

All maps of every photograph are scored once and their scores kept in ``--cache``, so the script may be stopped, or
called with a limit of seconds, and goes on where it was. What spares forwards is then run on these scores: ours as it
runs in ``onnxsal explain -O forwards=`` and ``-O tolerance=``, ``top_k`` (the maps of highest deviation alone),
sampling in proportion to the maps' norms (Horvitz-Thompson), and k-means over the masks, each cluster's medoid
standing for its members. Errors are L2 of the raw map in front of its ReLU, over the norm of the plain sum.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import onnxsal
from onnxsal.records import Foreseen, Moments
from onnxsal.streaming import run
from onnxsal.streaming.limits import FIRST_LOOK_SPARING
from onnxsal.streaming.sparing import Spared, Sparing

ROOT = Path(__file__).resolve().parent.parent
MODELS = {"mobilenet_v2_fp32.onnx": None, "mobilenet_v2_int8.onnx": None, "squeezenet1.0_fp32.onnx": "caffe"}
PARTS = (16, 8, 4)
TOLERANCES = (0.1, 0.05, 0.03)
KINDS = {"official": Foreseen((0.0, 1.0)), "paper": Foreseen(softmax=True), "is-cam": Foreseen((0.0, 1.0))}
"""What is scored: the presets of Score-CAM, or IS-CAM, of which a mask's score is the mean of all its shares."""
SEEDS = 5


@dataclass(frozen=True)
class Scored:
    """A photograph's maps that are not flat, as masks, and all their scores."""

    maps: np.ndarray
    masks: np.ndarray
    scores: np.ndarray
    reference: float
    """What IS-CAM takes off every score: that of the baseline."""
    kind: Foreseen

    def map(self, scores: np.ndarray, copies: np.ndarray | float = 1.0) -> np.ndarray:
        """Return the map with these scores. Args: copies: how often each map counts."""
        against = scores.max() if self.kind.softmax else self.reference
        weights = np.exp(scores - against) * copies if self.kind.softmax else (scores - against) * copies
        return weights @ self.maps.reshape(len(weights), -1) / (weights.sum() if self.kind.softmax else 1.0)

    def error(self, found: np.ndarray) -> float:
        """Return how far a map is from that of all scores, over the norm of that."""
        whole = self.map(self.scores)
        return float(np.linalg.norm(found - whole) / np.linalg.norm(whole))


def scored(model: onnxsal.Model, photo: Path, how: Mapping[str, Any], kind: Foreseen, kept: Path) -> Scored:
    """Return a photograph's scores: from the cache, or made now. Args: how: the method and its options."""
    if not kept.exists():
        inside: dict[str, Any] = {}
        streamed = run._streamed

        def keep(work: Any, finish: Any, *rest: Any) -> Any:
            rows, scores = work.plan.template, work.sums[0].totals()["mean/score"]
            masks = work.plan.grids * rows["gain"][:, None, None] + rows["offset"][:, None, None]
            reference = finish._tail.given.get("reference/score", np.zeros(1))
            inside.update(maps=work.plan.grids, masks=masks, scores=scores, reference=reference)
            return streamed(work, finish, *rest)

        with patch.object(run, "_streamed", keep):
            onnxsal.explain(model, photo, **how)
        np.savez(kept, **inside)
    with np.load(kept) as found:
        arrays = (np.asarray(found[name], np.float64) for name in ("maps", "masks", "scores"))
        reference = float(found["reference"].reshape(-1)[0]) if "reference" in found and not kind.softmax else 0.0
        return Scored(*arrays, reference, kind)


@dataclass(frozen=True)
class Look:
    """What ours says after so many scores."""

    scored: int
    found: np.ndarray
    """The map."""
    error: float
    stated: float


def ours(of: Scored, upto: int) -> Iterator[Look]:
    """Yield a look at the end of every stage."""
    count = len(of.scores)
    order = Sparing(of.kind, of.maps.astype(np.float32), of.masks.astype(np.float32), 1)
    sums, start = Spared(Moments(("score",), per="mask"), order, count), 0
    while start < upto:
        stop = min(order.known, upto)
        some = order.masks[start:stop]
        sums.add({"score": of.scores[some]}, order.samples[start:stop], some)
        found, error = of.map(sums.totals()["mean/score"].astype(np.float64)), sums.error()
        stated = np.inf if error is None else np.sqrt(np.trace(error)) / np.linalg.norm(found)
        yield Look(stop, found, of.error(found), float(stated))
        start = stop
        if stop < upto:
            order.settle(*sums.so_far())


def top_k(of: Scored, count: int) -> float:
    """Return the error of the maps of highest deviation alone."""
    kept = np.argsort(-of.maps.std(axis=(1, 2)), kind="stable")[:count]
    return of.error(of.map(of.scores, np.isin(np.arange(len(of.scores)), kept).astype(float)))


def sampled(of: Scored, count: int) -> float:
    """Return the root mean square error of maps drawn in proportion to their norms, each over its chance."""
    sizes = np.linalg.norm(of.maps.reshape(len(of.maps), -1), axis=1)
    chance = np.minimum(count * sizes / sizes.sum(), 1)
    errors = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(chance))
        edges = np.floor(np.concatenate([[0], np.cumsum(chance[order])]) + rng.random())
        taken = np.zeros(len(chance))
        taken[order] = np.diff(edges)
        errors.append(of.error(of.map(of.scores, taken / np.maximum(chance, 1e-12))))
    return float(np.sqrt(np.mean(np.square(errors))))


def clustered(of: Scored, count: int) -> float:
    """Return the error where the medoid of each cluster of masks has the score of all of it."""
    flat = of.masks.reshape(len(of.masks), -1)
    sizes = np.linalg.norm(of.maps.reshape(len(of.maps), -1), axis=1)
    rng = np.random.default_rng(0)
    middles = flat[rng.choice(len(flat), count, replace=False, p=sizes / sizes.sum())]
    for _ in range(12):
        which = distances(flat, middles).argmin(axis=1)
        middles = np.stack(
            [np.average(flat[which == c], axis=0, weights=sizes[which == c]) if (which == c).any() else middles[c]
             for c in range(count)]
        )  # fmt: skip
    apart = distances(flat, middles)
    which = apart.argmin(axis=1)
    medoids = [np.where(which == c, apart[:, c], np.inf).argmin() for c in range(count)]
    return of.error(of.map(of.scores[np.array(medoids)[which]]))


def distances(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return squared distances."""
    return (rows**2).sum(axis=1)[:, None] + (columns**2).sum(axis=1) - 2 * rows @ columns.T


def table(cells: Sequence[Scored], name: str, parts: Sequence[int]) -> Iterator[str]:
    """Yield the lines of a model: the frontier, by the last stage that fits a part, and where a tolerance ends."""
    looks = [list(ours(each, -(-len(each.scores) // parts[-1]))) for each in cells]
    yield f"{name}: {len(cells)} photographs, {np.median([len(each.scores) for each in cells]):.0f} maps"
    others: dict[str, Callable[[Scored, int], float]] = {"top_k": top_k, "sampled": sampled, "clusters": clustered}
    for part in parts:
        counts = [-(-len(each.scores) // part) for each in cells]
        found = [[at for at in own if at.scored <= count][-1] for own, count in zip(looks, counts, strict=True)]
        errors = np.array([look.error for look in found])
        held = np.mean([look.error <= look.stated for look in found])
        yield (
            f"  1/{part}: ours {100 * np.median(errors):.1f} % (90 of 100: {100 * np.quantile(errors, 0.9):.1f}), "
            f"stated {100 * np.median([look.stated for look in found]):.1f}, held {held:.2f}; "
            + ", ".join(
                f"{kind} {100 * np.median([f(each, n) for each, n in zip(cells, counts, strict=True)]):.1f}"
                for kind, f in others.items()
            )
        )
    for tolerance in TOLERANCES:
        ends = [next((at for at in own if ended(at, tolerance)), own[-1]) for own in looks]
        shares = [at.scored / len(each.scores) for at, each in zip(ends, cells, strict=True)]
        yield (
            f"  tolerance {tolerance}: {np.median(shares):.3f} of the forwards, error "
            f"{100 * np.median([at.error for at in ends]):.1f} %, "
            f"held {np.mean([at.error <= at.stated for at in ends]):.2f}, "
            f"not reached by 1/{parts[-1]} in {sum(at.stated > tolerance for at in ends)}"
        )


def ended(at: Look, tolerance: float) -> bool:
    """Whether a run ends at a look."""
    return at.scored >= FIRST_LOOK_SPARING and at.stated <= tolerance


def chosen(photos: Sequence[Path], count: int, *, between: bool) -> list[Path]:
    """Return so many photographs, evenly among all, or those halfway between each two of these."""
    places = np.linspace(0, len(photos) - 1, count)
    places = (places[1:] + places[:-1]) / 2 if between else places
    return [photos[i] for i in places.round().astype(int)]


def main() -> None:
    """Score what is missing as far as the seconds go, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--models", default=",".join(MODELS), help="models of the reference material, by commas")
    parser.add_argument("--what", default="official", choices=list(KINDS), help="preset of Score-CAM, or is-cam")
    parser.add_argument("--samples", type=int, default=10, help="of is-cam: shares of every mask")
    parser.add_argument("--photographs", type=int, default=24, help="how many, evenly among all")
    parser.add_argument(
        "--between", action="store_true", help="those halfway between, on which no constant of the estimator was chosen"
    )
    parser.add_argument("--parts", default=",".join(map(str, PARTS)), help="of the forwards: one over each, by commas")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "onnxsal-eighth")
    parser.add_argument("--seconds", type=float, default=170, help="score no further photograph after this time")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    photos = sorted((args.shared / "images" / "imagenet").glob("*.jpg"))
    photos = chosen(photos, args.photographs, between=args.between)
    how = {"method": args.what, "samples": args.samples} if args.what == "is-cam" else {"preset": args.what}
    tag = "-".join(map(str, how.values()))
    end, parts = time.monotonic() + args.seconds, [int(part) for part in args.parts.split(",")]
    for name in args.models.split(","):
        model = onnxsal.load(args.shared / "models" / name, preprocess=MODELS[name])
        cells = []
        for photo in photos:
            kept = args.cache / f"{Path(name).stem}-{tag}-{photo.stem}.npz"
            if kept.exists() or time.monotonic() < end:
                cells.append(scored(model, photo, {"method": "score-cam", **how}, KINDS[args.what], kept))
        lines = table(cells, Path(name).stem, parts) if cells else [f"{name}: nothing is scored yet"]
        print("\n".join(lines), flush=True)


if __name__ == "__main__":
    main()
