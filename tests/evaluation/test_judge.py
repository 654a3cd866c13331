"""The script behind the tables of docs/evaluate.md: what it judges, and that its tables say what a journal holds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from onnxsal.evaluation import Row
from onnxsal.evaluation.journal import Journal

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def script(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("judge", ROOT / "docs" / "judge.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "judge", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SHARED", shared)
    return module


def test_the_list_of_24_is_fixed_and_every_photograph_is_judged_once(script: Any) -> None:
    parts = script.parts()
    few = [path for at in (0, 3) for path in parts[at].photos]
    assert len(few) == len(set(few)) == 24
    assert all(script.mask_of(path).exists() for path in few)
    assert [path.name for path in few[:2]] == ["0665_moped.jpg", "0190_Sealyham_terrier.jpg"]
    assert sorted([*few, *parts[2].photos]) == sorted(script.ordered())


def test_the_tables_say_what_the_journal_holds(script: Any, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j.jsonl")
    few = script.parts()[0].photos
    for method, value in (("score-cam[preset=paper]", 0.25), ("score-cam[preset=official]", 0.75)):
        for at, path in enumerate(few):
            row = Row(path.name, 0, "c", 1.0, method, "average-drop", value + at / 1000)
            journal.add("row", f"{method}{at}", row.plain())
    journal.close()
    text = script.tables("model", tmp_path / "j.jsonl")
    assert "| `score-cam[preset=paper]` | **0.256** <br>[0.254, 0.257] <br>n 12 |" in text
    assert "| `score-cam[preset=official]` | 0.756 <br>[0.754, 0.757] <br>n 12 |" in text
    assert "More than chance under average-drop: score-cam[preset=paper] before score-cam[preset=official]." in text
