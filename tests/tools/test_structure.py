"""The figures of a package, against those of one that is small enough to count by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[2] / "tools" / "structure.py"

FILES = {
    "onnxsal/__init__.py": '__version__ = "1"\n',
    "onnxsal/errors.py": '"""Said."""\n\nfrom onnxsal import __version__  # type: ignore[attr-defined]\n',
    "onnxsal/loose.py": "x = 1\n",
    "onnxsal/graph/a.py": "import onnxsal.graph.b\nfrom onnxsal.errors import x\n\n# Why\ndef one(): return 1\n",
    "onnxsal/graph/b.py": 'def f():\n    """Said\n\n    twice."""\n    import onnxsal.graph.a\n    return 1\n',
    "onnxsal/model/c.py": "import onnxsal.cli.d, math\n",
    "onnxsal/cli/d.py": "def g():\n    def h():\n        return 2\n    x = 1\n    return h\n",
    "tests/test_x.py": "assert True\n\n\nassert True\n",
}

TABLE = """
MAY_IMPORT = {"errors": {"loose"}, "loose": {"errors"}, "graph": {"errors"}, "model": {"graph"}, "cli": {"model"}}
UPWARD = {("model/c.py", "cli"): "it must"}
"""

COUNTED = {
    "modules": "7", "loose modules at the top": "2", "circles of imports": "1", "upward imports": "2",
    "upward, named by the table": "0", "functions": "4", "median / p90 / longest, lines": "1.5 / 4 / 4",
    "type: ignore": "1", "lines of code": "15", "lines of code, tests": "2", "lines of code, tools": "0",
}  # fmt: skip


def counted(folder: Path, files: dict[str, str]) -> dict[str, str]:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, str(TOOL), str(folder / "onnxsal")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {line[:31].strip(): line[31:].strip() for line in done.stdout.splitlines()}


def test_figures_counted_by_hand(tmp_path: Path) -> None:
    assert counted(tmp_path, FILES) == COUNTED


def test_the_table_of_floors_beside_the_package_decides(tmp_path: Path) -> None:
    """Two that may import each other are not one above the other; what the table names is counted apart."""
    files = {**FILES, "tests/test_floors.py": TABLE, "onnxsal/loose.py": "import onnxsal.errors\n"}
    changed = {"upward imports": "2", "upward, named by the table": "1", "lines of code, tests": "4"}
    assert counted(tmp_path, files) == COUNTED | changed
