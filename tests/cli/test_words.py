"""``onnxsal explain`` on a text: words in the terminal, with colours and without, as a page, a picture and JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import tiny_texts as tiny
from PIL import Image

import onnxsal
from onnxsal.cli import main
from onnxsal.cli.words import colour_depth

TEXT = "Obama lives in Paris, not Berlin"


def test_a_text_is_shown_as_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tiny.written(tmp_path / "tagger", tiny.proto("labels"), config={"id2label": tiny.LABELS})
    asked = ["explain", str(path), TEXT, "-m", "gradient", "-t", "B-PER at Obama"]
    wanted = onnxsal.explain(path, TEXT, method="gradient", target="B-PER at Obama").words()

    assert main(asked) == 0  # nobody looks at colours here: the strongest words in numbers
    rows = re.findall(r"^ *([+-]\S+)  (\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert rows == [(f"{score:+.3g}", word) for word, score in sorted(wanted, key=lambda pair: -abs(pair[1]))]
    assert [each.name for each in tmp_path.iterdir()] == ["tagger"]  # nothing was asked to be written

    monkeypatch.setattr("onnxsal.cli.words.colour_depth", lambda: "true")
    assert main(asked) == 0
    shown = capsys.readouterr().out
    assert "\x1b[48;2;" in shown and TEXT in re.sub(r"\x1b\[[\d;]*m", "", shown)

    assert main([*asked, "-o", "page.html"]) == 0
    capsys.readouterr()
    assert main([*asked, "-o", "words.png", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)["explanations"]
    assert printed["words"] == [[word, pytest.approx(score, rel=1e-5)] for word, score in wanted]
    assert "B-PER at Obama (#1)" in Path("page.html").read_text(encoding="utf-8")
    with Image.open("words.png") as drawn:
        assert drawn.size[0] == 640


def test_inspect_says_how_ids_become_vectors_and_the_line_to_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny.written(tmp_path / "tagger", tiny.proto("labels"), config={"id2label": tiny.LABELS})
    assert main(["inspect", str(path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "text 'input_ids': each id becomes a vector of" in said and "(rows of the table 'table')" in said
    assert f'onnxsal explain {path} "A TEXT"' in said
    (tmp_path / "tagger" / "tokenizer.json").unlink()
    assert main(["inspect", str(path)]) == 0
    assert f"onnxsal explain {path} IDS.npy" in " ".join(capsys.readouterr().out.split())


def test_texts_of_no_words_and_of_more_than_a_file_s_name_has_room_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is the name of a file: the first is no folder either, and the second is what it says."""
    monkeypatch.chdir(tmp_path)
    path = str(tiny.written(tmp_path / "tagger", tiny.proto("labels"), config={"id2label": tiny.LABELS}))
    for empty in ("", " "):
        assert main(["explain", path, empty]) == 2
        assert "is empty: there is nothing to explain" in capsys.readouterr().err
    long = " ".join(["Paris"] * 60)
    assert main(["explain", path, long, "-m", "gradient", "-t", "B-PER at #1", "--json"]) == 0
    (printed,) = json.loads(capsys.readouterr().out)["explanations"]
    assert len(printed["words"]) >= 60


@pytest.mark.parametrize(
    ("variables", "depth"),
    [
        ({"TERM": "xterm-256color"}, "256"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "true"),
        ({"TERM": "xterm", "COLORTERM": "truecolor", "NO_COLOR": "1"}, None),
        ({"TERM": "dumb"}, None),
    ],
)
def test_colours_are_those_that_the_terminal_has(
    variables: dict[str, str], depth: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "COLORTERM", "NO_COLOR", "WT_SESSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert colour_depth() == depth
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert colour_depth() is None
