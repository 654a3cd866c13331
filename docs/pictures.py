"""The pictures of the pages of tasks: their models and inputs, and the commands that stand on the pages.

    python docs/pictures.py FOLDER            # models and inputs: then the commands of the pages work in there
    python docs/pictures.py FOLDER --write    # run them, and write pictures and what they print into docs/

A command is read from the page, from the block behind ``<!-- pictures -->``, so that page and picture say the same.
Needs the extras ``text`` and ``audio`` beside onnxsal.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

DOCS = Path(__file__).resolve().parent
MODELS = DOCS.parent / "models"
sys.path.insert(0, str(MODELS))
import tiny  # noqa: E402
from scenes import LABELS, draw_objects, draw_pair, draw_scene  # noqa: E402

PAGES = ("classify", "detection", "segment", "compare", "regress", "texts", "sound", "tables")
WIDTH = 960
"""Of a picture on a page, in pixels."""
_BLOCK = re.compile(r"(?<=<!-- pictures -->\n```console\n).*?(?=```)", re.DOTALL)


def made(folder: Path) -> None:
    """Write every model and input that the commands name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("shapes.onnx", "detector.onnx", "demo.png", "demo_boxes.png"):
        shutil.copy(MODELS / name, folder)
    for model in (tiny.segmenter, tiny.embedder, tiny.sizer, tiny.listener, tiny.reader, tiny.valuer):
        model(folder)
    star, drop, heart = (LABELS.index(name) for name in ("star", "drop", "heart"))
    pictures = {
        "pair": draw_pair(12, size=288, labels=(star, drop)),
        "several": draw_objects(41, (star, drop, star), size=288),
        "one": draw_scene(77, size=288, label=star),
        "other": draw_scene(78, size=288, label=star),
        "third": draw_scene(79, size=288, label=heart),
    }
    for name, scene in pictures.items():
        Image.fromarray(scene.image).save(folder / f"{name}.png")
    soundfile.write(folder / "yard.wav", tiny.sound(1000, knock=0.4, whistle=1.1), tiny.RATE)
    for name, count, seed in (("train", 100, 1), ("flats", 200, 2)):
        rows, _ = tiny.flats(count, seed)
        lines = [",".join(tiny.FLATS), *(",".join(str(int(cell)) for cell in row) for row in np.asarray(rows))]
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def ran(block: str, folder: Path) -> str:
    """Run a page's commands. Returns: them, each with what it prints."""
    told = []
    for line in block.splitlines():
        if not line.startswith("$ onnxsal "):
            told += [line] if line.startswith("$ ") else []
            continue
        command = f"'{sys.executable}' -m onnxsal {line.removeprefix('$ onnxsal ')}"
        settings = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"}
        run = subprocess.run(command, shell=True, cwd=folder, env=settings, capture_output=True, encoding="utf-8")
        print(f"{line}\n{run.stdout}{run.stderr}", flush=True)
        run.check_returncode()
        told += [line, *(each.rstrip() for each in run.stdout.rstrip().splitlines())]
        for name in re.findall(r"-o (\S+\.(?:webp|png))", line):
            shown(folder / name).save(DOCS / "images" / name, quality=80, method=6)
    return "\n".join(told) + "\n"


def shown(path: Path) -> Image.Image:
    """Return a picture at most as wide as a page."""
    with Image.open(path) as picture:
        picture.load()
    picture.thumbnail((WIDTH, 4 * WIDTH))
    return picture


def main() -> None:
    """Make the folder; with ``--write`` the pages' pictures too."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--page", choices=PAGES, action="append")
    given = parser.parse_args()
    made(given.folder)
    for page in (given.page or PAGES) if given.write else ():
        path = DOCS / f"{page}.md"
        path.write_text(_BLOCK.sub(lambda found: ran(found[0], given.folder), path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
