"""Twenty drawn pages of text for a detector of text: how much of a map lies in the line that was asked for.

    python benchmarks/text_pages.py DETECTOR.onnx --out /tmp/pages [--methods gradient grad-cam ...] [--size 256]

The pages are drawn by Pillow with a fixed seed: several fonts and sizes, dark on light and light on dark, some noise.
Of each page one line is asked for, by its box in pixels of the page. The figure of a map is the share of its energy in
that box divided by the box's share of the page: 1 is chance. Writes ``pages.csv``, a table, and a contact sheet.
"""

from __future__ import annotations

import argparse
import csv
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import onnxsal
from onnxsal.viz.layout import Labels, board
from onnxsal.viz.overlay import for_display, overlay
from onnxsal.viz.save import save_image

FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono-Bold.ttf", "LiberationSans-Regular.ttf",
         "LiberationSerif-Italic.ttf", "LiberationMono-Regular.ttf")  # fmt: skip
WORDS = (
    "invoice", "total", "street", "number", "amount", "paid", "order", "date", "house", "garden", "river", "between",
    "morning", "letter", "window", "paper", "seven", "twelve", "north", "station", "account", "balance", "receipt",
    "thank", "please", "return", "before", "winter", "yellow", "market", "signal",
)  # fmt: skip
METHODS: dict[str, dict[str, Any]] = {
    "gradient": {}, "input-x-gradient": {}, "smoothgrad": {"samples": 15}, "grad-cam": {}, "grad-cam++": {},
    "xgrad-cam": {}, "layercam": {}, "hirescam": {}, "seg-xres-cam": {}, "score-cam": {},
    "occlusion": {"patch": 32, "stride": 32}, "rise": {"samples": 100},
}  # fmt: skip
PAGES, SEED = 20, 17


@dataclass(frozen=True)
class Page:
    """A page and the box (left, top, right, bottom) of the line that is asked for, in its pixels."""

    image: NDArray[np.uint8]
    box: tuple[int, int, int, int]


def draw_page(number: int, side: int) -> Page:
    """Return a page; the same for the same number and side."""
    rng = np.random.default_rng((SEED, number))
    dark = number % 5 == 4
    paper, ink = (rng.integers(20, 60), rng.integers(190, 250)) if dark else (rng.integers(215, 256), rng.integers(90))
    image = Image.new("RGB", (side, side), (int(paper),) * 3)
    draw, boxes, y = ImageDraw.Draw(image), list[tuple[int, int, int, int]](), int(rng.integers(8, 24))
    while True:
        font = ImageFont.truetype(FONTS[number % len(FONTS)], int(rng.integers(13, 25)))
        text = _line(rng, font, side)
        x = int(rng.integers(6, max(7, side - round(font.getlength(text)) - 6)))
        left, top, right, bottom = draw.textbbox((x, y), text, font=font)
        if bottom > side - 6:
            break
        draw.text((x, y), text, fill=(int(ink),) * 3, font=font)
        boxes.append((int(left), int(top), int(right), int(bottom)))
        y = int(bottom + rng.integers(12, 40))
    noisy = np.asarray(image, np.float32) + rng.normal(0, 4, (side, side, 1))
    return Page(noisy.clip(0, 255).astype(np.uint8), boxes[int(rng.integers(len(boxes)))])


def _line(rng: np.random.Generator, font: Any, side: int) -> str:
    words = [str(rng.choice(WORDS))]
    for word in rng.choice(WORDS, 6):
        if font.getlength(" ".join([*words, word])) > rng.uniform(0.5, 0.9) * side:
            break
        words.append(str(word))
    return " ".join(words)


def inside_share(saliency: NDArray[np.float32], box: tuple[int, int, int, int]) -> tuple[float, float]:
    """Return the shares of a map's energy and of the page that lie in a box; the map has the page's size."""
    left, top, right, bottom = box
    energy, area = np.abs(saliency), (right - left) * (bottom - top)
    total = float(energy.sum())
    within = float(energy[top:bottom, left:right].sum()) / total if total else float("nan")
    return within, area / saliency.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--layer")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    model = onnxsal.load(asked.model, size=(asked.size, asked.size), preprocess="imagenet", labels=["text"])
    rows, cells = measure(model, asked)
    with (asked.out / "pages.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["page", "method", "inside", "area", "ratio", "seconds"], *rows])
    names = [f"{n}" for n in range(asked.pages)]
    save_image(board(cells, Labels(["page", *asked.methods], names, down="page"), cell=200), asked.out / "pages.png")
    print(table(rows, asked.methods))


def measure(model: onnxsal.Model, asked: argparse.Namespace) -> tuple[list[list[Any]], list[list[Any]]]:
    """Return rows of the table and the pictures of the contact sheet, a row a page."""
    rows, cells = list[list[Any]](), list[list[Any]]()
    for number in range(asked.pages):
        page = draw_page(number, asked.size)
        cells.append([_boxed(page.image, page.box)])
        for method in asked.methods:
            started = time.perf_counter()
            layer = {"layer": asked.layer} if asked.layer and "cam" in method else {}
            target = onnxsal.Region("text", box=page.box, pixels=True)
            found = onnxsal.explain(model, page.image, method=method, target=target, **layer, **METHODS.get(method, {}))
            within, area = inside_share(found.saliency, page.box)
            seconds = time.perf_counter() - started
            rows.append([number, method, round(within, 5), round(area, 5), round(within / area, 4), round(seconds, 3)])
            photo, at = for_display(page.image, None, least=200, most=200)
            cells[-1].append(_boxed(overlay(photo, found.saliency, at), tuple(n * 200 / asked.size for n in page.box)))
        print(*(f"{row[1]} {row[4]:.2f}" for row in rows[-len(asked.methods) :]), flush=True)
    return rows, cells


def _boxed(image: NDArray[np.uint8], box: tuple[float, ...]) -> NDArray[np.uint8]:
    shown = Image.fromarray(image)
    ImageDraw.Draw(shown).rectangle(tuple(round(n) for n in box), outline=(0, 200, 255))
    return np.asarray(shown)


def table(rows: list[list[Any]], methods: list[str]) -> str:
    """Return, per method, mean share inside, median, least and greatest ratio, and seconds a page."""
    lines = ["| method | share in the line | ratio: median | mean | least | greatest | seconds |",
             "| --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    for method in methods:
        own = np.array([[row[2], row[4], row[5]] for row in rows if row[1] == method])
        share, ratio, seconds = own.T
        lines.append(
            f"| {method} | {share.mean():.3f} | {np.median(ratio):.2f} | {ratio.mean():.2f} | {ratio.min():.2f} | "
            f"{ratio.max():.2f} | {seconds.mean():.2f} |"
        )
    area = np.mean([row[3] for row in rows])
    return "\n".join([*lines, f"\nthe line is {100 * area:.1f} % of the page on average; 1 is chance"])


if __name__ == "__main__":
    main()
