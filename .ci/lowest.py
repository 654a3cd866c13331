"""Prints every requirement of pyproject.toml at its lower bound, one a line: what `.ci/full` installs together.

Of the extras `cpu`, `parquet` and `test` with what that names: linters are pinned, and a GPU is not everywhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("cpu", "parquet", "test")

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]


def required(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the packages of requirements and their lower bounds, those of extras of our own that they name too."""
    for line in lines:
        if own := re.fullmatch(rf"{project['name']}\[([\w,]+)\]", line):
            for extra in own[1].split(","):
                yield from required(extras[extra])
        elif found := re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?)>=([\w.]+)(?:[,;].*)?", line):
            yield found[1], found[2]


if __name__ == "__main__":
    everything = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    print(*dict.fromkeys(f"{name}=={least}" for name, least in required(everything)), sep="\n")
