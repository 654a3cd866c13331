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
    spec = importlib.util.spec_from_file_location("judge", ROOT / "tools" / "judge.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "judge", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SHARED", shared)
    return module


def test_the_list_of_24_is_fixed_and_every_photograph_is_judged_once(script: Any) -> None:
    few, grid, rest, others = script.parts()
    assert all("estimator=neyman" in name and "top_k" not in name for name in script.SS)
    assert {f"ss-cam[preset=onnxsal,variant=1,{script.SAMPLED}]", script.SCORE[0]} == set(script.COSTLY)
    assert few.photos == grid.photos == script.chosen() and len(set(few.photos)) == 24
    assert all(script.mask_of(path).exists() for path in few.photos)
    assert [path.name for path in few.photos[:2]] == ["0665_moped.jpg", "0190_Sealyham_terrier.jpg"]
    assert sorted([*few.photos, *rest.photos]) == sorted(script.ordered())
    assert rest.photos == others.photos and rest.methods == others.methods
    assert set(rest.methods) == {*script.CHEAP, "score-cam[preset=official]"} <= set(few.methods)


def journal_of(path: Path, values: dict[tuple[str, str], float]) -> Path:
    journal = Journal(path)
    for (image, method), value in values.items():
        row = Row(image, 0, "c", 1.0, method, "average-drop", value)
        journal.add("row", f"{method}{image}", row.plain())
    journal.close()
    return path


def test_the_tables_say_what_the_journal_holds(script: Any, tmp_path: Path) -> None:
    means = {"score-cam[preset=paper]": 0.25, "score-cam[preset=official]": 0.75}
    values = {(p.name, m): v + at / 2000 for m, v in means.items() for at, p in enumerate(script.chosen())}
    found = script.tables("model", journal_of(tmp_path / "j.jsonl", values))
    assert "| `score-cam[preset=paper]` | **0.256** <br>[0.254, 0.257] <br>n 24 |" in found["presets"]
    assert "| `score-cam[preset=official]` | 0.756 <br>[0.754, 0.757] <br>n 24 |" in found["presets"]
    assert (
        "More than chance under average-drop: score-cam[preset=paper] before score-cam[preset=official]."
        in (found["presets"])
    )
    assert "`score-cam[preset=official]`" in found["few"] and "all" not in found


def test_the_table_of_all_photographs_has_the_24_too(script: Any, tmp_path: Path) -> None:
    values = {(p.name, "grad-cam"): 0.5 for p in (*script.chosen(), *script.parts()[2].photos[:6])}
    found = script.tables("model", journal_of(tmp_path / "j.jsonl", values))
    assert "| `grad-cam` | **0.500** <br>[0.500, 0.500] <br>n 30 |" in found["all"]
    assert "n 24 |" in found["few"]


def test_cells_of_mosaics_count_where_all_four_photographs_do(script: Any, tmp_path: Path) -> None:
    few, other = [p.name for p in script.chosen()], script.parts()[2].photos[0].name
    journal = Journal(tmp_path / "j.jsonl")
    for four in (few[:4], [*few[4:7], other]):
        for cell in four:
            image = f"{cell} in {' + '.join(four)}"
            journal.add("row", image, Row(image, 0, "c", 1.0, "grad-cam", "grid-pointing", 0.5).plain())
    journal.close()
    assert "<br>n 4 |" in script.tables("model", tmp_path / "j.jsonl")["few"]


def test_a_table_goes_between_its_marks_and_nowhere_else(script: Any) -> None:
    page = "a\n<!-- few m -->\nold\n<!-- /few m -->\nb\n<!-- all m -->\nkept\n<!-- /all m -->\n"
    assert script.filled(page, "few m", "new") == page.replace("\nold\n", "\n\nnew\n\n")
    marks = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    for name in script.PREPROCESS:
        for of in ("few", "presets", "all"):
            assert marks.count(f"<!-- {of} {name} -->") == marks.count(f"<!-- /{of} {name} -->") == 1
