"""docs/versions.md states the numbers of pyproject.toml, and what `.ci/full` installs and resolves are they."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
LEAST = re.compile(r"([\w-]+)(?:\[[\w,]+\])?>=([\w.]+)(?:,[^\s;]+)?(?:; .+)?")
"""A package and its lower bound, on some systems perhaps; pins and extras of our own are none."""


def bounds(lines: list[str]) -> dict[str, str]:
    return {found[1]: found[2] for line in lines if (found := LEAST.fullmatch(line))}


def test_the_page_has_every_lower_bound_and_who_asks_for_it() -> None:
    section = PAGE.partition("## Lowest versions")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \|(?: (.*))? \|$", section, re.MULTILINE)
    stated = {name: (version, extras) for name, version, extras in rows}
    asked = dict.fromkeys(bounds(PROJECT["dependencies"]), "")
    found = bounds(PROJECT["dependencies"])
    for extra in set(EXTRAS) - {"test", "dev"}:
        for name, version in bounds(EXTRAS[extra]).items():
            assert found.setdefault(name, version) == version, name
            asked[name] = ", ".join(sorted(filter(None, {*asked.get(name, "").split(", "), f"`{extra}`"})))
    assert stated == {name: (version, asked[name]) for name, version in found.items()}


def test_the_lowest_versions_are_installed_with_all_that_the_tests_need() -> None:
    lowest = runpy.run_path(str(ROOT / ".ci" / "lowest.py"))
    found = dict(lowest["required"](EXTRAS["test"]))
    (own,) = (line for line in EXTRAS["test"] if line.startswith(PROJECT["name"]))
    named = re.findall(r"\w+", own.partition("[")[2])
    assert len(named) > 2
    assert found == bounds([line for extra in (*named, "test") for line in EXTRAS[extra]])


def test_the_pythons_of_the_page_are_those_that_are_resolved() -> None:
    pythons = re.findall(r'"(3\.\d+)"', (ROOT / "noxfile.py").read_text(encoding="utf-8").partition("PYTHONS = (")[2])
    resolved = pythons[: pythons.index("3.14") + 1]
    assert f"| {', '.join(resolved)} |" in PAGE
    assert PROJECT["requires-python"] == f">={resolved[0]}"
    assert {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line} <= set(resolved)
