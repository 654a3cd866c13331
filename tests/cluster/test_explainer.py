"""What a worker makes of a batch: the rows of ``explain`` itself, whatever the batch; without Ray."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.cluster.columns import Columns
from onnxsal.cluster.explainer import Asked, Explainer, Work
from onnxsal.cluster.rows import MANIFEST, NAMES, table_of
from onnxsal.cluster.worker import Share
from onnxsal.errors import ImageError, UsageError
from onnxsal.maps.rows import row_of, run_of

RNG = np.random.default_rng(0)
PHOTOS = [RNG.integers(0, 256, (20 + i, 26, 3), np.uint8) for i in range(4)]
MODEL = onnxsal.load(tiny_models.classifier())
DRAWN = Asked("smoothgrad", {"samples": 3}, seed=7)


def png(photo: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, format="PNG")
    return file.getvalue()


def batch(**columns: list[Any]) -> dict[str, np.ndarray]:
    """Return columns as Ray Data gives them."""
    made = {}
    for name, values in columns.items():
        made[name] = np.empty(len(values), object)
        made[name][:] = values
    return made


def worker(*asked: Asked, columns: Columns | None = None, **more: Any) -> Explainer:
    """Return a worker as it is where Ray made it: of what was sent."""
    work = Work(MODEL, asked or (DRAWN,), columns or Columns("bytes", "path"), Share(cpus=1), **more)
    return Explainer(pickle.loads(pickle.dumps(work)))


def wanted(photo: Any, id: str, asked: Asked = DRAWN, target: Any = None) -> dict[str, Any]:
    """Return the row of what ``explain`` gives on one machine."""
    alone = onnxsal.load(tiny_models.classifier(), threads=1)
    found = onnxsal.explain(alone, photo, method=asked.method, target=target, seed=asked.seed, **asked.options)
    text = None if target is None else str(target)
    row = row_of(found, id, asked=text)
    return {**row, MANIFEST: json.dumps(run_of(found), sort_keys=True), "error": None}


def assert_equal(found: dict[str, Any], right: dict[str, Any]) -> None:
    assert set(found) == set(NAMES)
    for name in NAMES:
        if name != "seconds":
            np.testing.assert_array_equal(found[name], right[name], err_msg=name)


@pytest.mark.parametrize("kind", ["content", "path", "array"])
def test_a_row_is_that_of_one_machine_whatever_the_batch(kind: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{at}.png" for at in range(4)]
    for file, photo in zip(files, PHOTOS, strict=True):
        file.write_bytes(png(photo))
    things = {"content": [png(p) for p in PHOTOS], "path": [str(f) for f in files], "array": PHOTOS}[kind]
    ids = ["a", "b", "c", "d"]
    made = worker()
    together = made.rows(batch(bytes=things, path=ids))
    parted = [row for at in (3, 1) for row in made.rows(batch(bytes=things[at : at + 1], path=ids[at : at + 1]))]
    for row, right in zip([*together, *parted], [*range(4), 3, 1], strict=True):
        assert_equal(row, wanted(things[right], ids[right]))
    assert json.loads(together[0][MANIFEST])["threads"] == 1  # what an actor is given reaches the sessions


def test_what_a_row_asks_for_does_not_hang_on_its_neighbours() -> None:
    """Ray makes floats of a column of whole numbers where one is missing in the same batch."""
    made = worker(columns=Columns("bytes", "n", target="class"))
    things = batch(bytes=[png(p) for p in PHOTOS])["bytes"]
    whole = made.rows({"bytes": things[:1], "n": np.array([5]), "class": np.array([2])})
    gap = made.rows({"bytes": things[:2], "n": np.array([5, 6]), "class": np.array([2, np.nan])})
    assert_equal(whole[0], wanted(png(PHOTOS[0]), "5", target=2))
    assert_equal(gap[0], wanted(png(PHOTOS[0]), "5", target=2))
    assert_equal(gap[1], wanted(png(PHOTOS[1]), "6"))


def test_a_broken_picture_is_named_among_the_results_or_ends_them() -> None:
    given = batch(bytes=[b"no picture", png(PHOTOS[0])], path=["broken.png", "a.png"])
    broken, whole = worker().rows(given)
    assert (broken["id"], broken["map"]) == ("broken.png", None)
    assert "not a picture that can be read" in broken["error"]
    assert_equal(whole, wanted(png(PHOTOS[0]), "a.png"))
    with pytest.raises(ImageError, match="not a picture that can be read"):
        worker(strict=True).rows(given)
    with pytest.raises(UsageError, match="no column 'bytes'; did you mean 'byte'"):
        worker().rows({"byte": given["bytes"], "path": given["path"]})


def test_types_of_a_table_do_not_hang_on_what_is_in_it() -> None:
    pytest.importorskip("pyarrow", reason="tables of Arrow are an extra")
    made = worker(columns=Columns("bytes", "path", keeps_id=True))
    tables = [made(batch(bytes=[thing], path=["x"])) for thing in (b"no picture", png(PHOTOS[0]))]
    assert tables[0].schema == tables[1].schema == table_of([], "float16", ["path"]).schema
    (row,) = tables[1].to_pylist()
    right = wanted(png(PHOTOS[0]), "x")
    assert (row["path"], row["map"], row["shape"]) == ("x", right["map"].tolist(), right["shape"])


def test_what_is_done_is_told_apart_by_all_that_a_map_hangs_on() -> None:
    """Ray knows what is done by ids alone: of another method, option, target or seed nothing is done."""
    drawn, columns = Asked("smoothgrad", {"samples": 3}), Columns("bytes", "path")
    others = [
        Asked("smoothgrad", {"samples": 4}), Asked("gradient"), Asked("smoothgrad", {"samples": 3}, seed=1),
        Asked("smoothgrad", {"samples": 3, "percentile": 98.0}), Asked("grad-cam++"), Asked("grad-cam++", layer="r1"),
        Asked("layercam"), Asked("hirescam"),  # which have no options that tell them apart
    ]  # fmt: skip
    works = [Work(MODEL, [asked], columns, Share()) for asked in (drawn, *others)]
    works += [Work(MODEL, [drawn], columns, Share(), targets=goals) for goals in ([1], [1, 2], [2, 1])]
    heads = [onnxsal.load(tiny_models.classifier(), activation=each) for each in ("softmax", "sigmoid")]
    works += [Work(each, [drawn], columns, Share()) for each in heads]
    works += [Work(MODEL, [drawn, each], columns, Share()) for each in others[-2:]]
    names = [work.identity() for work in works]
    assert len(set(names)) == len(works)
    assert Work(MODEL, [drawn], columns, Share(actors=3, cpus=2, rows=1)).identity() == names[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [({"actors": 0}, "actors=0"), ({"actors": (3, 1)}, "least, most"), ({"cpus": 0.5}, "cpus=0.5"),
     ({"gpus": -1}, "gpus=-1")],
)  # fmt: skip
def test_a_share_that_is_none(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Share(**given)
