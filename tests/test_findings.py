"""Findings: every script is listed, says what was guessed and seen, is pinned and stands alone. None is run."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "findings"
SCRIPTS = sorted(FOLDER.glob("*.sh"))
each_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def listed() -> dict[str, str]:
    """Versions by name: the rows of the README's table."""
    rows = re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+) \| [^|]+ \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    return dict(rows)


def pins(text: str) -> dict[str, str]:
    """Version by package: the arguments of the script's one `pip install`, every one of which is pinned."""
    (command,) = re.findall(r'^"\$folder/venv/bin/pip" install --quiet --disable-pip-version-check (.+)$', text, re.M)
    found = re.findall(r"'([\w.-]+)==([\w.+]+)'", command)
    assert len(found) == len(command.split()), f"not pinned with ==: {command}"
    return dict(found)


def test_the_table_lists_every_script_in_order() -> None:
    assert list(listed()) == [script.stem for script in SCRIPTS]
    assert {path.suffix for path in FOLDER.iterdir()} == {".sh", ".md"}


@each_script
def test_it_is_strict_bash_that_cleans_up(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert lines[0] == "#!/usr/bin/env bash"
    code = [line for line in lines if not line.startswith("#")]
    assert code[0] == "set -euo pipefail"
    assert "folder=$(mktemp -d)" in code and "trap 'rm -rf \"$folder\"' EXIT" in code
    assert any("no longer so: " in line for line in code)


@each_script
def test_the_comment_on_top_says_versions_guess_and_seen(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()[1:]
    comment = "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])
    parts = re.split(r"^# (?:Versions|Guess|Seen): ", comment, flags=re.MULTILINE)
    assert [len(part.split()) >= 4 for part in parts] == [True] * 4
    assert re.findall(r"^# (\w+): ", comment, re.MULTILINE)[:3] == ["Versions", "Guess", "Seen"]


@each_script
def test_versions_are_pinned_and_the_comment_and_the_table_name_them(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    found = pins(text)
    (comment,) = re.findall(r"^# Versions: ((?:.+\n)+?)#\n", text, re.MULTILINE)
    assert all(f"{package} {version}" in comment for package, version in found.items())
    for package, version in (entry.split(" ") for entry in listed()[script.stem].split(", ")):
        assert found[package] == version


@each_script
def test_it_stands_alone(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert "onnxsal" not in text
    assert not re.search(r"https?://|index-url|pypi|npmjs|/work|/root|/home|/opt|/tmp", text)
