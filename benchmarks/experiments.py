"""Rerun the experiments of docs/experiments.md: ``python benchmarks/experiments.py [NAME...] [--write]``.

Needs the reference material (``$ONNXSAL_SHARED``, or ``../shared`` beside the checkout) for photographs, and
for ``training-noise`` the models that ``python models/noise_series.py --out series`` makes. With ``--write`` results
go into the page, the figures into docs/images, made small.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
PAGE, IMAGES = ROOT / "docs" / "experiments.md", ROOT / "docs" / "images"
LARGEST = 145_000

SHARED = Path(os.environ.get("ONNXSAL_SHARED") or ROOT.parent / "shared")
LABELS = "--labels models/imagenet_labels_1001.txt"
PHOTOS, DOG = "images/imagenet/0?50_*.jpg", "images/imagenet/0207_golden_retriever.jpg"
SQUEEZE = "models/squeezenet1.0_fp32.onnx"
MOBILE, SMALL = "models/mobilenet_v2_int8.onnx", "models/mobilenet_v1_025_int8.onnx"

# Figure by name: the command as the page has it. Paths of the reference material begin with models/ and images/.
COMMANDS = {
    "noise-grid": "experiment noise-grid shapes.onnx demo.png -O samples=1,5,20,50",
    "fluctuation": "experiment fluctuation shapes.onnx demo.png -O noise=0.05",
    "fluctuation-photograph": f"experiment fluctuation {SQUEEZE} {DOG} --preprocess caffe -O noise=0.02",
    "combine": "experiment combine shapes.onnx demo.png",
    "combine-photographs": f"experiment combine {SQUEEZE} images/imagenet/0[0-2]50_*.jpg --preprocess caffe",
    "discrimination": "experiment discrimination shapes.onnx pairs/",
    "discrimination-photographs": f"experiment discrimination {MOBILE} {PHOTOS} {LABELS} "
    "-O methods=gradient,grad-cam,grad-cam++,layercam,eigencam",
    "occurrences": "experiment occurrences shapes.onnx several/",
    "occurrences-earlier": "experiment occurrences shapes.onnx several/ -l block2/relu",
    "occurrences-photographs": f"experiment occurrences {MOBILE} {PHOTOS} {LABELS} "
    "-O methods=grad-cam,grad-cam++,layercam -O threshold=0.6",
    "score-variants": "experiment score-variants shapes.onnx several/00[0-2]?.png -O samples=10",
    "training-noise": "experiment training-noise 'series/shapes-noise{noise}-seed{seed}.onnx' several/ "
    "-O limit=20 -O samples=15",
    "feature-maps": "experiment feature-maps shapes.onnx demo.png -l block1/relu",
    "diff": f"diff models/mobilenet_v2_fp32.onnx {MOBILE} images/imagenet/*0_*.jpg {LABELS}",
    "diff-versions": f"diff {MOBILE} {SMALL} images/imagenet/*0_*.jpg {LABELS}",
    "diff-trained": "diff series/shapes-noise0-seed0.onnx series/shapes-noise20-seed0.onnx several/00??.png --worst 3",
}  # fmt: skip


def arguments(command: str) -> list[str]:
    """Return a command's arguments with its paths found and its patterns filled in."""
    found: list[str] = []
    for part in shlex.split(command):
        if part in ("shapes.onnx", "demo.png"):
            found.append(str(ROOT / "models" / part))
            continue
        base = SHARED if part.startswith(("models/", "images/")) else Path()
        pattern = any(sign in part for sign in "?*[")
        found += sorted(map(str, base.glob(part))) if pattern else [str(base / part) if base != Path() else part]
    return found


def run(name: str) -> tuple[str, float]:
    """Run one command in the current folder and return what it printed, and its seconds."""
    from onnxsal.cli import main

    out, start = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out):
        status = main([*arguments(COMMANDS[name]), "-o", f"{name}.png"])
    if status not in (0, None):
        raise SystemExit(f"{name} ended with {status}")
    return out.getvalue(), time.perf_counter() - start


def shrunk(source: Path, target: Path) -> None:
    """Write a figure as a PNG of few enough bytes: 256 colours that keep rare ones, and as many pixels as fit."""
    image = Image.open(source).convert("RGB")
    for width in (1100, 1000, 900, 800, 720, 640, 560):
        share = min(1.0, width / image.width)
        small = image.resize((round(image.width * share), round(image.height * share)), Image.Resampling.LANCZOS)
        palette = small.quantize(256, method=Image.Quantize.MAXCOVERAGE, kmeans=4)
        small.quantize(256, palette=palette).save(target, optimize=True)
        if target.stat().st_size <= LARGEST:
            return


def written(page: str, name: str, printed: str) -> str:
    """Return the page with a command and what it printed between the marks of that name."""
    line, *rest = printed.rstrip().splitlines()
    wrapped = COMMANDS[name]
    block = (
        f"```console\n$ onnxsal {wrapped} -o {name}.png\n"
        + "\n".join([re.sub(r"^(\S+\.png) \(.*\)$", r"\1", line), *rest])
        + "\n```"
    )
    pattern = re.compile(rf"(<!-- result: {name} -->\n).*?(<!-- /result -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}{block}\n{m[2]}", page)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(COMMANDS)}; all by default")
    parser.add_argument("--series", type=Path, help="folder of the models for training-noise")
    parser.add_argument("--write", action="store_true", help="into docs/experiments.md and docs/images")
    chosen = parser.parse_args()
    names = chosen.names or [name for name in COMMANDS if "series/" not in COMMANDS[name] or chosen.series]
    series = chosen.series.resolve() if chosen.series else None
    os.environ["COLUMNS"] = "110"
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), series)
        os.chdir(folder)
        for name in names:
            printed, seconds = run(name)
            print(f"== {name}, {seconds:.0f} s\n{printed}", flush=True)
            if chosen.write:
                PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), name, printed), encoding="utf-8")
                if f"(images/{name}.png)" in PAGE.read_text(encoding="utf-8"):
                    shrunk(Path(f"{name}.png"), IMAGES / f"{name}.png")


def prepare(folder: Path, series: Path | None) -> None:
    """Write the scenes that the commands name, and link the series of models."""
    sys.path.insert(0, str(ROOT / "models"))
    import write_scenes

    for kind, count in (("pairs", 40), ("several", 90)):
        write_scenes.write_folder(folder / kind, kind, count, 192)
    if series is not None:
        (folder / "series").symlink_to(series)


if __name__ == "__main__":
    main()
