"""Heads are recognised in tasks/ alone: elsewhere nobody looks for what ends a classifier."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import onnxsal

ROOT = Path(onnxsal.__file__).resolve().parent

ENDS = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "QLinearSoftmax", "QLinearSigmoid", "ArgMax", "ZipMap"})
"""Operators that end a classifier."""

SPEAK_OF_OPERATORS = {
    "autodiff": "rules of operators", "graph": "graphs as data",
    "anatomy/operators.py": "which operators keep positions", "anatomy/reach.py": "what mixes positions",
    "anatomy/steps.py": "where integer operators hold their step", "anatomy/layout.py": "how axes move",
    "explanation/empty_maps.py": "where gradients end", "explanation/shapley/pipeline.py": "what numbers depend on",
    "modalities/image/entry.py": "which operators leave axes in their order",
}  # fmt: skip
"""Where an operator is named as such, and why; none of these asks what a model's output means."""

OF_CLASSIFIERS = frozenset({"classes", "activation", "probability"})
"""What only classification knows of a head."""


def recognitions(root: Path) -> Iterator[str]:
    """Yield every place under ``root`` (a package ``onnxsal``), outside tasks/, that recognises a head."""
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root).as_posix()
        if relative.startswith("tasks/"):
            continue
        speaks = any(relative == each or relative.startswith(f"{each}/") for each in SPEAK_OF_OPERATORS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            reason = _reason(node, speaks=speaks)
            if reason:
                yield f"{relative}:{getattr(node, 'lineno', 0)} {reason}"


def _reason(node: ast.AST, *, speaks: bool) -> str:
    if isinstance(node, ast.Constant) and node.value in ENDS and not speaks:
        return f"looks for {node.value}"
    if isinstance(node, ast.Attribute) and node.attr in OF_CLASSIFIERS and _ends(node.value, ("head", "task")):
        return f"asks a head for its {node.attr}"
    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("onnxsal.tasks.classification"):
        return "imports classification"
    return ""


def _ends(node: ast.expr, names: tuple[str, ...]) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)


def test_heads_are_recognised_in_tasks_alone() -> None:
    assert list(recognitions(ROOT)) == []


def test_what_speaks_of_operators_is_there() -> None:
    for name in SPEAK_OF_OPERATORS:
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize(
    ("module", "text", "reason"),
    [
        ("anatomy/select.py", "if node.op_type == 'Softmax':\n    pass", "looks for Softmax"),
        ("model/load.py", "_ENDS = frozenset({'Sigmoid'})", "looks for Sigmoid"),
        ("compiler/compile.py", "match node.op_type:\n    case 'ArgMax':\n        pass", "looks for ArgMax"),
        ("model/report.py", "n = model.anatomy.head.classes", "asks a head for its classes"),
        ("experiments/diff.py", "n = model.task.activation", "asks a head for its activation"),
        ("methods/cam.py", "from onnxsal.tasks.classification import find_head", "imports classification"),
        ("anatomy/layout.py", "n = head.classes", "asks a head for its classes"),
    ],
)
def test_a_planted_recognition_is_found(tmp_path: Path, module: str, text: str, reason: str) -> None:
    file = tmp_path / module
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    (found,) = recognitions(tmp_path)
    assert found.startswith(module)
    assert found.endswith(reason)


def test_speaking_of_operators_and_tasks_themselves_pass(tmp_path: Path) -> None:
    for module in ("autodiff/rules/activations.py", "tasks/dense.py", "anatomy/layout.py"):
        (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / module).write_text("defvjp('Softmax', None)\n", encoding="utf-8")
    assert list(recognitions(tmp_path)) == []
