"""Error of SS-CAM's map against forwards: plain sampling, plain with noise of its own for every forward, and ours.

    python benchmarks/ss_cam_frontier.py [--models mobilenet_v1_025_int8.onnx] [--seconds 180] [--write]

Every run is kept in ``--cache`` and made once, so the script may be stopped, or called with a limit of seconds, and
goes on where it was: first all cells roughly, then the reference of more and more samples. The error of ours is that of
independent runs against each other; that of plain sampling is that of a run's samples against each other, times one
over sqrt(N), which is exact, because samples are independent and the map is their mean. How far the mean of all runs of
ours is from the reference, beside how far chance would put it, shows that there is no bias.
``--write`` puts the tables into docs/ss-cam.md and the plot beside it.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import onnxsal
from onnxsal.viz.plot import Axis, Curve, curves

ROOT = Path(__file__).resolve().parent.parent
PAGE, PLOT = ROOT / "docs" / "ss-cam.md", ROOT / "docs" / "images" / "ss-cam-frontier.png"
PHOTOS = ("0340_zebra", "0281_tabby", "0207_golden_retriever")
MODELS = {"mobilenet_v1_025_int8.onnx": None, "squeezenet1.0_fp32.onnx": "caffe"}
BUDGETS = (3, 5, 7)
"""Samples a map that ours may spend."""
CHUNK = 5
"""Samples of one plain run."""
N = 35
SAVED = 5
"""What ours divides its samples by."""
TURNS = 5
"""How often each time is taken."""
NAMES = {"plain": "plain", "independent": "plain, own noise", "neyman": "ours"}


@dataclass
class Cell:
    """One model, photograph and variant: its runs, each made once."""

    model: str
    photo: str
    variant: int
    shared: Path
    cache: Path
    _maps: dict[tuple[str, int, int], Any] = field(default_factory=dict)

    @cached_property
    def loaded(self) -> onnxsal.Model:
        """The model."""
        return onnxsal.load(self.shared / "models" / self.model, preprocess=MODELS[self.model])

    @property
    def image(self) -> Path:
        """The photograph's file."""
        return self.shared / "images" / "imagenet" / f"{self.photo}.jpg"

    def run(self, estimator: str, samples: int, seed: int) -> Any:
        """Return one run's map, forwards, own error and seconds: from the cache, or made now."""
        key = (estimator, samples, seed)
        if key not in self._maps:
            path = self._path(key)
            if not path.exists():
                self._make(path, key)
            with np.load(path) as kept:
                self._maps[key] = {name: kept[name] for name in kept.files}
        return self._maps[key]

    def _path(self, key: tuple[str, int, int]) -> Path:
        name = "-".join(map(str, (Path(self.model).stem, self.photo, self.variant, *key)))
        return self.cache / f"{name}.npz"

    def _make(self, path: Path, key: tuple[str, int, int]) -> None:
        estimator, samples, seed = key
        start = time.process_time()
        found = onnxsal.explain(
            self.loaded, self.image, method="ss-cam", variant=self.variant, estimator=estimator, seed=seed,
            samples=samples * (SAVED if estimator == "neyman" else 1),
        )  # fmt: skip
        np.savez(
            path, raw=found.raw.astype(np.float64), forwards=found.manifest["forwards"],
            relative=found.manifest["relative_error"], seconds=time.process_time() - start,
        )  # fmt: skip

    def ready(self) -> bool:
        """Whether there is a run of every kind."""
        return bool(self.made("plain", CHUNK) and self.made("independent", CHUNK) and self.made("neyman", BUDGETS[-1]))

    def missing(self, estimator: str, samples: int, seed: int) -> bool:
        """Whether a run is still to be made."""
        return not self._path((estimator, samples, seed)).exists()

    def made(self, estimator: str, samples: int) -> list[Any]:
        """Return all runs of a kind that there are, in the order of their seeds."""
        found = []
        while self._path((estimator, samples, len(found))).exists():
            found.append(self.run(estimator, samples, len(found)))
        return found

    @property
    def maps(self) -> float:
        """How many maps are drawn."""
        return float((self.run("independent", CHUNK, 0)["forwards"] - 1) / CHUNK)


def todo(cells: Sequence[Cell], reference: int, repeats: int, budgets: Sequence[int]) -> Iterator[Callable[[], Any]]:
    """Yield the runs that are missing, the roughest picture of every cell first."""
    for turn in range(max(reference // CHUNK, repeats)):
        for cell in cells:
            wanted = [("independent", CHUNK)] if turn < reference // CHUNK else []
            if turn < repeats:
                wanted += [("plain", CHUNK), *(("neyman", n) for n in budgets)]
            for estimator, samples in wanted:
                if cell.missing(estimator, samples, turn):
                    yield lambda c=cell, e=estimator, s=samples, t=turn: c.run(e, s, t)


@dataclass(frozen=True)
class Found:
    """What a cell's runs say; errors are root mean squares over the norm of the reference."""

    cell: Cell

    @cached_property
    def reference(self) -> np.ndarray:
        """The mean of all runs with noise of their own."""
        return np.mean([run["raw"] for run in self.cell.made("independent", CHUNK)], axis=0)

    @property
    def samples(self) -> int:
        """How many samples the reference has."""
        return CHUNK * len(self.cell.made("independent", CHUNK))

    @property
    def uncertainty(self) -> float:
        """The reference's own error."""
        return self.even("independent", self.samples)

    def even(self, estimator: str, samples: int) -> float:
        """Return the error of plain sampling with so many samples, from the samples of every run against each other."""
        squares = [(run["relative"] * np.linalg.norm(run["raw"])) ** 2 for run in self.cell.made(estimator, CHUNK)]
        return float(np.sqrt(np.mean(squares) * CHUNK / samples) / np.linalg.norm(self.reference))

    def ours(self, samples: int) -> float:
        """Return the error of ours, from the spread of its runs; what a single one states; NaN without any."""
        runs = self.cell.made("neyman", samples)
        if len(runs) < 2:
            return self.claimed(samples)
        maps = np.stack([run["raw"] for run in runs])
        return float(np.sqrt(maps.var(axis=0, ddof=1).sum()) / np.linalg.norm(self.reference))

    def stretched(self, estimator: str, samples: int) -> float:
        """Return the error of the map that is shown, stretched to [0, 1], from the spread of the runs; NaN for one."""
        maps = [run["raw"] - run["raw"].min() for run in self.cell.made(estimator, samples)]
        shown = np.stack([m / m.max() for m in maps])
        if len(shown) < 2:
            return float("nan")
        longer = CHUNK / N if estimator != "neyman" else 1
        return float(np.sqrt(shown.var(axis=0, ddof=1).sum() * longer) / np.linalg.norm(shown.mean(axis=0)))

    def bias(self) -> str:
        """Say how far the mean of all runs of ours is from the reference, and how far chance alone would put it.

        Runs of one seed share their first draws, so the spread is that of the means of each seed's runs.
        """
        kinds = [self.cell.made("neyman", n) for n in BUDGETS]
        seeds = np.stack([np.mean([run["raw"] for run in runs], axis=0) for runs in zip(*kinds, strict=False)])
        norm = np.linalg.norm(self.reference)
        off = np.linalg.norm(seeds.mean(axis=0) - self.reference) / norm
        noise = np.sqrt(seeds.var(axis=0, ddof=1).sum() / len(seeds)) / norm if len(seeds) > 1 else float("nan")
        return f"{100 * off:.2f} ({100 * np.hypot(noise, self.uncertainty):.2f})"

    def claimed(self, samples: int) -> float:
        """Return the relative error that the runs of ours state themselves."""
        stated = [run["relative"] ** 2 for run in self.cell.made("neyman", samples)]
        return float(np.sqrt(np.mean(stated))) if stated else float("nan")

    def needed(self, estimator: str) -> float:
        """Return which share of the forwards of plain sampling at N ours needs for the same error; its least is 3 K."""
        ours = np.nanmean([self.ours(n) ** 2 * n for n in BUDGETS[1:]])
        return float(max(ours / self.even(estimator, N) ** 2, BUDGETS[0]) / N)


def percents(errors: Sequence[float]) -> str:
    """Return cells of a table."""
    return " | ".join("-" if np.isnan(e) else f"{100 * e:.2f}" for e in errors)


def table(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a line a cell: errors in percent of the map."""
    yield (
        "| model | photograph | variant | maps | plain, N = 35 | own noise, N = 35 | "
        + " | ".join(f"ours, {n} K" for n in BUDGETS)
        + " | stated at 7 K | forwards for plain's error | for own noise's | bias (chance) | reference"
        + " | shown: plain | own noise | ours, 7 K |"
    )
    yield "|" + " --- |" * (14 + len(BUDGETS))
    for cell in cells:
        found = Found(cell)
        shown = [found.stretched("plain", CHUNK), found.stretched("independent", CHUNK), found.stretched("neyman", 7)]
        errors = [found.even("plain", N), found.even("independent", N), *(found.ours(n) for n in BUDGETS)]
        yield (
            f"| {Path(cell.model).stem} | {cell.photo[5:]} | {cell.variant} | {cell.maps:.0f} | "
            + percents(errors)
            + f" | {100 * found.claimed(7):.2f} | 1/{1 / found.needed('plain'):.1f} | "
            f"1/{1 / found.needed('independent'):.1f} | {found.bias()} | "
            f"N = {found.samples}, {100 * found.uncertainty:.2f} | {percents(shown)} |"
        )


def times(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a line a cell of the first photograph: seconds at the error of plain sampling with N = 35.

    All of a line is measured now, by turns: the runs in the cache were made on whatever day, beside whatever else.
    Samples of plain sampling cost the same each, so a run of a seventh of them stands for all.
    """
    yield "| model | variant | SS-CAM plain | ours | Score-CAM | Grad-CAM++ |"
    yield "|" + " --- |" * 6
    for cell in cells:
        if cell.photo != PHOTOS[0]:
            continue
        ours = math.ceil(round(Found(cell).needed("plain") * N, 6))
        runs: list[tuple[int, dict[str, Any]]] = [
            (N // CHUNK, {"method": "ss-cam", "variant": cell.variant, "estimator": "plain", "samples": CHUNK}),
            (1, {"method": "ss-cam", "variant": cell.variant, "estimator": "neyman", "samples": SAVED * ours}),
            (1, {"method": "score-cam"}),
            (1, {"method": "grad-cam++"}),
        ]
        for _, options in runs:
            spent(cell, **options | ({"samples": SAVED} if "samples" in options else {}))
        found = [[[times * s for s in spent(cell, **options)] for times, options in runs] for _ in range(TURNS)]
        yield f"| {Path(cell.model).stem} | {cell.variant} | " + " | ".join(
            f"{clock:.2f} ({processor:.2f})" for clock, processor in np.median(found, axis=0)
        ) + " |"  # fmt: skip


def spent(cell: Cell, **options: Any) -> tuple[float, float]:
    """Return the seconds of one explanation, by the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    onnxsal.explain(cell.loaded, cell.image, **options)
    return time.perf_counter() - clock, time.process_time() - processor


def plot(cells: Sequence[Cell]) -> Image.Image:
    """Return a panel a model and variant: error against forwards a map, geometric means over the photographs."""
    panels = [
        [c for c in cells if (c.model, c.variant) == key] for key in dict.fromkeys((c.model, c.variant) for c in cells)
    ]
    images = [panel(each) for each in panels]
    height, width = images[0].shape[:2]
    rows = -(-len(images) // 2)
    sheet = Image.new("RGB", (2 * width + 24, rows * (height + 16)), "white")
    for i, image in enumerate(images):
        sheet.paste(Image.fromarray(image), ((i % 2) * (width + 24), (i // 2) * (height + 16)))
    return sheet.quantize(64)


def panel(cells: Sequence[Cell]) -> np.ndarray:
    """Return one panel."""
    found, steps = [Found(cell) for cell in cells], (1, 2, 3, 5, 7, 10, 20, 35)

    def mean(error: Callable[[Found], float]) -> float:
        return 100 * float(np.exp(np.nanmean([np.log(error(each)) for each in found])))

    lines = [
        Curve(NAMES[kind], steps, [mean(lambda f, k=kind, n=n: f.even(k, n)) for n in steps])
        for kind in ("plain", "independent")
    ]
    budgets = [n for n in BUDGETS if not all(np.isnan(each.ours(n)) for each in found)]
    lines.append(Curve(NAMES["neyman"], budgets, [mean(lambda f, n=n: f.ours(n)) for n in budgets], dots=True))
    ticks = (1, 2, 5, 10, 20, 50, 100)
    return curves(
        lines, x=Axis("forwards a map", 1, 35, "log", (1, 2, 3, 5, 7, 10, 20, 35)),
        y=Axis("relative error of the map, %", scale="log", ticks=[t for t in ticks if t < 120]),
        title=f"{Path(cells[0].model).stem}, variant {cells[0].variant}", size=(480, 320),
    )  # fmt: skip


def write(blocks: dict[str, str]) -> None:
    """Put text between the comment marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    for name, text in blocks.items():
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m, t=text: f"{m[1]}\n{t}\n\n{m[2]}", page, flags=re.S
        )
    PAGE.write_text(page, encoding="utf-8")


def main() -> None:
    """Make what is missing as far as the seconds go, and print what there is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
    parser.add_argument("--shared", type=Path, default=shared, help="folder of the reference material")
    parser.add_argument("--models", default=",".join(MODELS), help="models of the reference material, by commas")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "onnxsal-frontier")
    parser.add_argument("--seconds", type=float, default=170, help="start no further run after this time")
    parser.add_argument("--reference", type=int, default=300, help="samples of the reference")
    parser.add_argument("--repeats", type=int, default=8, help="runs of every kind")
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="samples a map of ours, by commas")
    parser.add_argument("--write", action="store_true", help="write tables and plot into the documentation")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    cells = [
        Cell(model, photo, variant, args.shared, args.cache)
        for model in args.models.split(",") for photo in PHOTOS for variant in (1, 2)
    ]  # fmt: skip
    end = time.monotonic() + args.seconds
    for make in todo(cells, args.reference, args.repeats, [int(n) for n in args.budgets.split(",")]):
        if time.monotonic() > end:
            break
        make()
    ready = [cell for cell in cells if cell.ready()]
    if not ready:
        raise SystemExit("no cell has all its runs yet; call it again, it goes on where it was")
    blocks = {"frontier": "\n".join(table(ready)), "times": "\n".join(times(ready))}
    print(*blocks.values(), sep="\n\n")
    if args.write:
        write(blocks)
        PLOT.parent.mkdir(exist_ok=True)
        plot(ready).save(PLOT, optimize=True)


if __name__ == "__main__":
    main()
