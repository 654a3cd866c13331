"""How a package is built, in figures: modules, circles, upward imports, functions, exceptions of the checker, lines.

python tools/structure.py [FOLDER]...    FOLDER: a package (./onnxsal), with its tests/ and tools/ beside it
"""

from __future__ import annotations

import ast
import importlib.util
import re
import statistics
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent.parent
FACES = ("__init__", "__main__", "_version")
FLOORS = (
    "_version errors plugins options files fingerprint", "graph kernels",
    "autodiff runtime metrics viz records anatomy",
    "methods streaming folding tasks modalities", "model", "explanation", "compiler evaluation", "experiments", "cli",
)  # fmt: skip
"""Where no table of floors stands beside a package: from the ground up."""


def figures(package: Path) -> dict[str, object]:
    """Return the figures of one package folder, by name."""
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    trees = {path: ast.parse(text) for path, text in texts.items()}
    lengths = sorted(length for tree in trees.values() for length in _lengths(tree))
    loose = [path.stem for path in package.glob("*.py") if path.stem not in FACES]
    named, upward = _upward(package, trees)
    circles = _loaded(HERE / "tests" / "test_circles.py")
    return {
        "modules": len(texts),
        "loose modules at the top": len(loose),
        "circles of imports": len(circles.circles(_without_face(circles.imports(package), package.name))),
        "upward imports": len(upward),
        "upward, named by the table": len(named),
        "functions": len(lengths),
        "median / p90 / longest, lines": f"{statistics.median(lengths):g} / {_p90(lengths)} / {lengths[-1]}",
        "type: ignore": sum(len(re.findall(r"#.*type: ignore", text)) for text in texts.values()),
        "lines of code": sum(map(_code, texts)),
        "lines of code, tests": sum(map(_code, _python(package.parent / "tests"))),
        "lines of code, tools": sum(map(_code, _python(package.parent / "tools"))),
    }


def _without_face(imports: Mapping[str, set[str]], face: str) -> dict[str, set[str]]:
    """What reads the package's face goes up, and is counted there: with it one circle would swallow the others."""
    return {name: wanted - {face} for name, wanted in imports.items()}


def _lengths(tree: ast.Module) -> Iterator[int]:
    """Yield the lines of every function behind its first one, docstring left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            said = node.body[0] if ast.get_docstring(node) is not None else None
            yield (node.end_lineno or 0) - node.lineno - _span(said)


def _span(node: ast.stmt | None) -> int:
    return 0 if node is None else (node.end_lineno or 0) - node.lineno + 1


def _p90(lengths: list[int]) -> int:
    return lengths[min(len(lengths) - 1, round(0.9 * len(lengths)))]


def _code(path: Path) -> int:
    """Return the lines that hold code: no blank ones, comments, or strings that stand alone (docstrings)."""
    text = path.read_text(encoding="utf-8")
    said = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    lines = enumerate(map(str.strip, text.splitlines()), 1)
    return sum(bool(line) and not line.startswith("#") and at not in said for at, line in lines)


def _python(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def _upward(package: Path, trees: Mapping[Path, ast.Module]) -> tuple[list[str], list[str]]:
    """Return the modules' imports of a unit that is not below theirs: those the table of floors names, and others."""
    path = package.parent / "tests" / "test_floors.py"
    table = _loaded(path) if path.is_file() else None
    below = _by_list() if table is None else table.MAY_IMPORT
    names = {f"{module} -> {unit}" for module, unit in getattr(table, "UPWARD", ())}
    found = set()
    for path, tree in trees.items():
        module, unit = path.relative_to(package).as_posix(), path.relative_to(package).parts[0].removesuffix(".py")
        wanted = set(_units(tree, package)) - {unit}
        higher = {each for each in wanted if each not in below.get(unit, ()) or unit in below.get(each, ())}
        found |= {f"{module} -> {each}" for each in higher | wanted & {"__init__"} if unit != "__init__"}
    return sorted(found & names), sorted(found - names)


def _units(tree: ast.Module, package: Path) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for top, unit, *_ in (f"{name}.".split(".") for name in names):
            if top == package.name:
                is_module = unit and ((package / unit).is_dir() or (package / f"{unit}.py").is_file())
                yield unit if is_module else "__init__"


def _by_list() -> dict[str, set[str]]:
    floors = [floor.split() for floor in FLOORS]
    return {unit: {each for floor in floors[:i] for each in floor} for i, units in enumerate(floors) for unit in units}


def _loaded(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"structure_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = ModuleType(spec.name)
    module.__spec__, module.__file__ = spec, str(path)
    spec.loader.exec_module(module)
    return module


def main(folders: list[str]) -> None:
    """Print a table, one column a folder."""
    found = [figures(Path(folder).resolve()) for folder in folders or [str(HERE / "onnxsal")]]
    for name in found[0]:
        print(f"{name:31}", *(f"{each[name]!s:>16}" for each in found))


if __name__ == "__main__":
    main(sys.argv[1:])
