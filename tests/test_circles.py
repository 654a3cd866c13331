"""No module leads back to itself over imports: nested ones, and those for the type checker alone, count as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "onnxsal"

Imports = Mapping[str, set[str]]


def imports(root: Path) -> dict[str, set[str]]:
    """Return what each module of a package folder imports of that package, wherever the import stands."""
    modules = {_name(root, path): path for path in sorted(root.rglob("*.py"))}
    found = {}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        known = {_module(wanted, modules) for wanted in _wanted(ast.parse(path.read_text(encoding="utf-8")), package)}
        found[name] = known - {None, name}
    return found


def _name(root: Path, path: Path) -> str:
    return ".".join(part for part in path.relative_to(root.parent).with_suffix("").parts if part != "__init__")


def _wanted(tree: ast.Module, package: str) -> Iterator[str]:
    """Yield the dotted name of every import; ``from a import b`` gives ``a.b``, a module or what is in one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: -node.level + 1 or None] if node.level else []
            yield from (".".join([*base, *filter(None, [node.module]), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node.func) == "import_module":
            yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def _called(function: ast.expr) -> str | None:
    return getattr(function, "attr", None) or getattr(function, "id", None)


def _module(name: str, modules: Mapping[str, Path]) -> str | None:
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def circles(known: Imports) -> list[list[str]]:
    """Return the groups of modules that all lead to one another, each sorted."""
    reached = {name: _reached(name, known) for name in known}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in known}
    return sorted(sorted(group) for group in groups if group)


def _reached(start: str, known: Imports) -> set[str]:
    found, left = set[str](), [start]
    while left:
        new = known[left.pop()] - found
        found |= new
        left += new
    return found


def test_no_circle_of_imports() -> None:
    assert circles(imports(ROOT)) == []


DOWN = {"a.py": "from onnxsal import b, c\n", "b.py": "from onnxsal.d import x\n", "c.py": "import onnxsal.d\n"}

PLANTED = {
    "at the top": ({"d.py": "from onnxsal.a import y\n"}, ["a", "b", "c", "d"]),
    "nested": ({"d.py": "def f():\n    from onnxsal import b\n"}, ["b", "d"]),
    "for the checker": ({"d.py": "if TYPE_CHECKING:\n    from onnxsal.c import C\n"}, ["c", "d"]),
    "by its name": ({"d.py": "import importlib\nimportlib.import_module('onnxsal.b')\n"}, ["b", "d"]),
    "through a package": (
        {"d.py": "from onnxsal.p import y\n", "p/__init__.py": "from .q import y\n", "p/q.py": "import onnxsal.b\n"},
        ["b", "d", "p", "p.q"],
    ),
    "over the face": ({"d.py": "from onnxsal import __version__\n"}, ["", "a", "b", "c", "d"]),
}


@pytest.mark.parametrize(("files", "circle"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_circle_is_found(tmp_path: Path, files: dict[str, str], circle: list[str]) -> None:
    face = "from onnxsal import a\n" if "" in circle else ""
    root = _written(tmp_path, {"__init__.py": face, **DOWN, **files})
    assert circles(imports(root)) == [[f"onnxsal.{name}".rstrip(".") for name in circle]]


def test_ways_that_meet_are_no_circle(tmp_path: Path) -> None:
    root = _written(tmp_path, {"__init__.py": "from onnxsal import a\n", **DOWN, "d.py": "import math, numpy\n"})
    assert imports(root)["onnxsal.a"] == {"onnxsal.b", "onnxsal.c"}
    assert circles(imports(root)) == []


def _written(folder: Path, files: Mapping[str, str]) -> Path:
    root = folder / "onnxsal"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root
