"""Parts of a data set judged apart and put together are what ``evaluate`` gives of the whole; without Ray."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny_models

import onnxsal
from onnxsal.cluster.columns import Columns
from onnxsal.cluster.judging import JUDGED, Judge, Judging, together
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.evaluation import Item

RNG = np.random.default_rng(0)
PHOTOS = [RNG.integers(0, 256, (20, 26, 3), np.uint8) for _ in range(5)]
MODEL = onnxsal.load(tiny_models.classifier())
ASKED: dict[str, Any] = {"methods": ["grad-cam", "smoothgrad[samples=2]"], "metrics": ["deletion", "sparseness"]}


def test_parts_are_the_whole() -> None:
    columns = Columns("photo", "name", "class")
    judge = Judge(pickle.loads(pickle.dumps(Judging(MODEL, *ASKED.values(), columns, Share(), {"target": "label"}))))
    things = np.empty(5, object)
    things[:] = [*PHOTOS[:4], b"no picture"]
    given = {"photo": things, "name": np.array(["e", "b", "c", "d", "a"], object), "class": np.array([0, 1, 2, 0, 1])}
    parts = [judge({name: column[some] for name, column in given.items()}) for some in ([3, 4], [0, 2, 1])]
    found = together(pickle.loads(part[JUDGED][0]) for part in parts)
    alone = onnxsal.load(tiny_models.classifier(), threads=1)
    items = [Item(things[at], given["name"][at], int(given["class"][at])) for at in (4, 1, 2, 3, 0)]
    right = onnxsal.evaluate(alone, items, target="label", **ASKED)
    assert [replace(row, seconds=0) for row in found.rows] == [replace(row, seconds=0) for row in right.rows]
    assert len(found.rows) == 4 * 2 * 2 and found.failures == right.failures and len(found.failures) == 1
    assert found.settings == right.settings and found.table() == right.table()


def test_workers_of_different_versions_make_no_one_evaluation() -> None:
    one = onnxsal.evaluate(MODEL, [Item(PHOTOS[0], "a")], **ASKED)
    other = replace(one, settings={**one.settings, "versions": {"onnxsal": "0.0"}})
    with pytest.raises(UsageError, match="workers differ in 'versions'"):
        together([one, other])
    with pytest.raises(UsageError, match="the data set is empty"):
        together([])


@pytest.mark.parametrize(
    ("given", "message"),
    [({"journal": "a.jsonl"}, "workers are many"), ({"metrics": ["pointing"]}, "metric"), ({"seeed": 1}, "no option")],
)
def test_what_is_not_for_data_sets_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        onnxsal.evaluate_dataset(None, model=MODEL, **(ASKED | given))
