"""Prints every requirement of pyproject.toml at its lower bound, one a line: what `.ci/full` installs together.

Only the extras `cpu` and `parquet` and pytest: linters are pinned, and a GPU is not everywhere.
"""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project["optional-dependencies"]
for line in (*project["dependencies"], *extras["cpu"], *extras["parquet"], *extras["test"]):
    found = re.fullmatch(r"([\w.-]+(?:\[[\w,]+\])?)>=([\w.]+)(?:,.*)?", line)
    if found:
        print(f"{found[1]}=={found[2]}")
