"""The parts of ``examples/web`` that need no browser: what its script looks for is there, and boxes lie where
Python has them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from itertools import product
from typing import Any

import numpy as np
import pytest
from compiled_runtimes import EXAMPLE, Absent, node

from onnxsal.modalities.frame import Frame
from onnxsal.modalities.image import Preprocess
from onnxsal.tasks.detection.box import on_photo

SCRIPT = """
import { choosable, detections, onPhoto, shares } from "./boxes.mjs";
import { place } from "./picture.mjs";
const { photos, fits, sizes, box, rows } = JSON.parse(process.argv[2]);
const lie = photos.flatMap(([width, height]) => fits.flatMap((fit) => sizes.map((size) =>
  onPhoto(box, place({ width, height }, size, fit).box, size))));
const found = detections({ data: Float32Array.from(rows.flat()), dims: [rows.length, 7] });
const targets = [{ target: "input", box: "input" }, { label: 1, box: "input" }, "input", "predicted"];
const whole = { width: 100, height: 100 };
const parts = [[-5, 10, 50, 200], [120, 0, 130, 9]].map((each) => shares(each, whole));
console.log(JSON.stringify({ lie, found, shares: parts,
  open: targets.map((target) => found.map((each) => choosable(each, target, found))) }));
"""
FITS: list[dict[str, Any]] = [{"fit": fit} for fit in ("crop", "squash", "pad", "cut")] + [
    {"fit": "crop", "edge": 71}, {"fit": "squash", "edge": 33, "rounding": "inwards"},
    *({"fit": fit, "crop_fraction": 0.7, "rounding": "torchvision"} for fit in ("crop", "squash", "pad")),
]  # fmt: skip
PHOTOS, SIZES, BOX = [(300, 201), (77, 190), (64, 48), (41, 40)], [(64, 48), (48, 48)], (5.0, 7.5, 40.25, 33.0)
ROWS = [[0, 1, 2, 3, 4, 0.75, 1], [1, 9, 9, 12, 12, 0.625, 0], [0, 5, 6, 7, 8, 0.5, 2], [0, 2, 2, 9, 9, 0.25, 1]]


def test_what_the_script_looks_for_is_in_the_page() -> None:
    page, style = ((EXAMPLE / name).read_text() for name in ("index.html", "style.css"))
    scripts = {path.name: path.read_text() for path in EXAMPLE.glob("*.js")}
    ids = set(re.findall(r'id="([^"]+)"', page))
    wanted = set(re.findall(r'byId\("([^"]+)"\)', scripts["main.js"]))
    assert {"boxes", "picture", "classes"} <= wanted <= ids
    assert set(re.findall(r"#([a-z][\w-]*)[^;{}]*\{", re.sub(r"#[0-9a-f]{3,8}\b", "", style))) <= ids
    for text in scripts.values():
        local = re.findall(r'from "\./([^"/]+)"|new URL\("([^"]+)"', text)
        assert {a or b for a, b in local} <= set(scripts)
        assert not re.search(r"https?://", text)  # nothing is asked of anybody else


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    try:
        program = node()
    except Absent as reason:
        pytest.skip(str(reason))
    folder = tmp_path_factory.mktemp("parts")
    for name in ("boxes", "picture"):
        shutil.copy(EXAMPLE / f"{name}.js", folder / f"{name}.mjs")
    (folder / "run.mjs").write_text(SCRIPT)
    given = json.dumps({"photos": PHOTOS, "fits": FITS, "sizes": SIZES, "box": BOX, "rows": ROWS})
    ended = subprocess.run([program, str(folder / "run.mjs"), given], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_boxes_lie_in_the_photograph_where_python_has_them(said: dict[str, Any]) -> None:
    wanted = []
    for photo, how, size in product(PHOTOS, FITS, SIZES):
        lies = Preprocess(**how).place(photo, size[::-1])
        wanted.append(on_photo(BOX, Frame(photo, lies.box), size[::-1]))
    np.testing.assert_allclose(said["lie"], wanted, atol=1e-3)


def test_detections_of_the_first_picture_and_which_may_be_chosen(said: dict[str, Any]) -> None:
    assert [[d["number"], *d["box"], d["score"], d["index"]] for d in said["found"]] == [
        [k, *row[1:]] for k, row in enumerate([ROWS[0], ROWS[2], ROWS[3]], 1)
    ]
    assert said["open"] == [[True] * 3, [True, False, True], [True, True, False], [False] * 3]
    assert said["shares"] == [{"left": 0, "top": 10, "width": 50, "height": 90}, None]
