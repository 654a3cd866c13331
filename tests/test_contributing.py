"""CONTRIBUTING.md is followed: what its examples write is written into a copy, and what they run is run there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (Add an? \w+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
STEP = re.compile(
    r"^`(\S+)`, (a new file|at the end|below the line with `([^`]+)`):\n\n```python\n(.*?)^```$", re.M | re.S
)
LINKED, COPIED = ("models", "examples", "benchmarks", "findings"), ("onnxsal", "tests", "docs", "tools", "plugins")
PROGRAMS = {".venv/bin/pytest": ("pytest", "-n0"), ".venv/bin/python": (), ".venv/bin/onnxsal": ("onnxsal",)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project, as far as an example may change it."""
    for name in LINKED:
        (tmp_path / name).symlink_to(ROOT / name, target_is_directory=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.suffix in (".md", ".toml", ".py"):
            shutil.copy(path, tmp_path)
    return tmp_path


def write(root: Path, path: str, where: str, below: str, code: str) -> None:
    """Do what a caption says with the block under it."""
    file = root / path
    if where == "a new file":
        assert not file.exists(), f"{path} is there already"
        file.write_text(code, encoding="utf-8")
        return
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    at = [number for number, line in enumerate(lines, 1) if below in line] if below else [len(lines)]
    assert len(at) == 1, f"{path} has {len(at)} lines with {below}"
    apart = "" if below else "\n\n"  # a block at the end is a definition, which a formatter wants two lines away
    file.write_text("".join([*lines[: at[0]], apart, code, *lines[at[0] :]]), encoding="utf-8")


def run(root: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the page in the copy."""
    program, *arguments = shlex.split(line)
    module = PROGRAMS[program]
    command = [sys.executable, *(["-m", *module] if module else []), *arguments]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        command, cwd=root, env={**ours, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=False
    )


def steps(section: str) -> list[tuple[str, str, str, str]]:
    return STEP.findall(SECTIONS[section])


def commands(section: str) -> list[str]:
    return [line for block in re.findall(r"```sh\n(.*?)```", SECTIONS[section], re.S) for line in block.splitlines()]


@pytest.mark.parametrize("section", SECTIONS)
def test_an_example_works_as_it_stands(copy: Path, section: str) -> None:
    for step in steps(section):
        write(copy, *step)
    for line in commands(section):
        done = run(copy, line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_an_example_fails_without_what_it_adds(copy: Path) -> None:
    """All of them in one process: it takes longer to start than their tests do."""
    tests = [step for section in SECTIONS for step in steps(section) if step[0].startswith("tests/")]
    for step in tests:
        write(copy, *step)
    first = {commands(section)[0].split()[-1] for section in SECTIONS}
    assert first <= {step[0] for step in tests}
    line = shlex.join([".venv/bin/pytest", "--continue-on-collection-errors", "--tb=no", "-rfE", *sorted(first)])
    done = run(copy, line)
    failed = set(re.findall(r"^(?:FAILED|ERROR) (tests/[\w/]+\.py)", done.stdout, re.MULTILINE))
    assert failed == first, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_block_of_an_example_is_taken_in(section: str) -> None:
    assert len(steps(section)) == SECTIONS[section].count("```python")
    assert {path.partition("/")[0] for path, *_ in steps(section)} == {"onnxsal", "tests"}
    assert commands(section)


def test_there_are_examples() -> None:
    assert set(SECTIONS) >= {f"Add a {part}" for part in ("rule", "method", "metric", "task", "modality")}


def test_every_session_is_on_the_page() -> None:
    sessions = re.findall(
        r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == sessions


@pytest.mark.parametrize("script", ["run", "full"])
def test_ci_calls_sessions_that_there_are(script: str) -> None:
    text = (ROOT / ".ci" / script).read_text(encoding="utf-8")
    called = re.search(r"for session in ([\w ]+);|parts=\(([\w ]+)\)$", text, re.MULTILINE)
    assert called is not None
    names = (called[1] or called[2]).split()
    assert len(names) >= 4
    assert set(names) <= set(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE))
