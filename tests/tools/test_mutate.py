"""A slice of the mutations: each ends in a result or in one message; and what is none of both is told as a failure."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"
QUICK = {
    "classifier": "py:message", "text labels": "py:gradient", "trees newer": "py:message", "annotations": "py:boxes",
    "texts": "py:words", "rows": "py:columns", "maps kept": "py:maps", "beside pictures": "py:opened",
    "request v2 file": "py:asked", "request v1 predict": "py:asked", "request v2 infer binary": "py:sent",
}  # fmt: skip
EACH = 6


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    for name in ("tokenizers", "pyarrow", "starlette"):
        pytest.importorskip(name)
    sys.path.insert(0, str(TOOLS))
    try:
        yield SimpleNamespace(
            **{n: importlib.import_module(n) for n in ("mutate", "mutate_scenes", "mutators", "mutate_requests")}
        )
    finally:
        sys.path.remove(str(TOOLS))


def damaged(tool: Any, scene: str, seed: int) -> tuple[str, dict[str, bytes]]:
    """Return what is damaged how, and the files; of the mutations that such a file can be written with."""
    rng, here = Random(seed), tool.mutate_scenes.scene(scene)
    file = rng.choice(here.damaged)
    mutator = rng.choice(tool.mutators.mutators(file))
    with contextlib.suppress(ValueError):  # Pillow writes not every mode at every size
        return f"{scene}, {seed}: {file} {mutator.__name__}", {**here.files, file: mutator(here.files[file], rng)}
    return "whole", here.files


@pytest.mark.parametrize("scene", QUICK)
def test_damage_ends_in_a_result_or_a_message(tool: Any, scene: str, tmp_path: Path) -> None:
    for seed in range(EACH):
        what, files = damaged(tool, scene, seed)
        with tool.mutate.folder(str(tmp_path / str(seed))) as place, contextlib.chdir(place):
            tool.mutate_scenes.laid(files)
            outcome = tool.mutate.called(QUICK[scene])
        assert outcome["kind"] in tool.mutate.FINE, (what, outcome)


def test_what_is_no_message_is_a_failure(tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judged, functions = tool.mutate.judged, tool.mutate_scenes.FUNCTIONS
    ended = [
        (0, ""),
        (1, "onnxsal: no\n"),
        (2, "note\nonnxsal: no\n"),
        (1, ""),
        (1, "onnxsal: a\nnote: of another\n"),
        (1, "onnxsal: a\nb\n"),
        (7, "onnxsal: x"),
    ]
    assert [judged(*each)["kind"] in tool.mutate.FINE for each in ended] == [
        True,
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    monkeypatch.setitem(functions, "broken", lambda: {}["x"])
    assert tool.mutate.called("py:broken")["kind"] == "KeyError"
    monkeypatch.chdir(tmp_path)
    assert tool.mutate.called("predict none.onnx a.png")["kind"] == "message"


def test_answers_that_no_request_may_get_are_failures(tool: Any) -> None:
    judged, wrong = tool.mutate_requests._judged, tool.mutate_requests.WrongAnswerError
    json = {"content-type": "application/json"}
    assert [judged(200, json, b"{}", False), judged(404, json, b'{"error": "none"}', False)] == [0, 1]
    bad = [(500, b'{"error": "x"}'), (400, b'{"error": "a\\nb"}'), (400, b'{"told": "x"}'), (200, b'{"x": NaN}'),
           (404, f'{{"error": "no {sys.prefix}/x"}}'.encode())]  # fmt: skip
    for status, content in bad:
        with pytest.raises(wrong):
            judged(status, json, content, False)


def test_a_seed_is_a_case(tool: Any) -> None:
    """The same damage wherever it is made; and every mutator is drawn."""
    data = tool.mutate_scenes.scene("classifier").files["model.onnx"]
    for mutator in tool.mutators.mutators("model.onnx"):
        made = [mutator(data, Random(seed)) for seed in range(8)]
        assert made == [mutator(data, Random(seed)) for seed in range(8)]
        assert len({*made, data}) > 4, mutator
    drawn = Counter(tool.mutate_scenes.names())
    assert {*drawn} >= {*QUICK} and drawn["annotations"] == 8
