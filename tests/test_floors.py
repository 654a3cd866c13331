"""Imports go strictly downwards: every import of every module, nested ones too, is held against the table of floors."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "onnxsal"

GROUND = {
    "_version", "errors", "plugins", "files", "options", "fingerprint", "decisions", "plain_yaml", "importing",
    "interrupts",
    "pipeline", "parquet",
}  # fmt: skip
BELOW_MODELS = GROUND | {
    "graph", "kernels", "autodiff", "anatomy", "records", "runtime", "metrics", "viz", "methods", "streaming",
    "folding", "tasks", "modalities", "trees",
}  # fmt: skip

MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "errors": set(),
    "importing": set(),
    "plugins": {"_version", "errors"},
    "files": {"errors", "interrupts"},
    "options": {"errors"},
    "fingerprint": set(),
    "decisions": set(),
    "plain_yaml": {"errors"},
    "pipeline": set(),
    "interrupts": set(),
    "parquet": {"errors"},
    "graph": GROUND,
    "kernels": GROUND,
    "autodiff": GROUND | {"graph"},
    "runtime": GROUND | {"graph"},
    "anatomy": GROUND | {"graph", "kernels"},
    "records": GROUND | {"graph", "kernels"},
    "trees": GROUND | {"graph", "kernels"},
    "metrics": GROUND | {"kernels"},
    "viz": GROUND | {"kernels"},
    "methods": GROUND | {"graph", "autodiff", "anatomy", "records"},
    "streaming": GROUND | {"runtime", "kernels", "graph", "records"},
    "folding": GROUND | {"runtime", "kernels", "graph", "records"},
    "modalities": GROUND | {"graph", "anatomy", "viz"},
    "tasks": GROUND | {"graph", "kernels", "anatomy", "modalities"},
    "model": BELOW_MODELS,
    "explanation": BELOW_MODELS | {"model"},
    "maps": BELOW_MODELS | {"explanation"},
    "compiler": BELOW_MODELS | {"model", "explanation"},
    "evaluation": BELOW_MODELS | {"model", "explanation"},
    "experiments": BELOW_MODELS | {"model", "explanation", "evaluation"},
    "cluster": BELOW_MODELS | {"model", "explanation", "maps", "evaluation"},
    "serving": BELOW_MODELS | {"model", "explanation"},
}
"""The floors from the ground up: what each package may import beside itself."""

MAY_IMPORT |= {"__init__": set(MAY_IMPORT), "cli": set(MAY_IMPORT), "__main__": {"cli"}}

UPWARD = {
    ("model/warm.py", "explanation"): "a method is made ready by explaining once; it is imported when somebody asks",
    ("model/report.py", "explanation"): "the report tells what every method costs; it is imported when somebody asks",
}
"""Imports that go up all the same, and why."""

WRITE_GRAPHS = {"graph", "autodiff", "anatomy", "methods", "runtime", "folding", "modalities", "tasks"}
ONLY_IN: dict[str, set[str]] = {
    "numba": {"kernels"},
    "onnxruntime": {"runtime"},
    "onnx_ir.passes": {"graph"},
    "onnx_ir": WRITE_GRAPHS | {"trees", "model", "explanation", "compiler"},
    "onnx": {"graph", "autodiff", "runtime", "model", "compiler"},
    "google": {"graph"},
    "PIL": {"modalities", "viz", "evaluation"},
    "tokenizers": {"modalities"},
    "nibabel": {"modalities"},
    "cmap": {"viz"},
    "matplotlib": {"viz"},
    "pyarrow": {"parquet"},
    "ray": {"cluster"},
    "soundfile": {"modalities"},
    "jinja2": {"evaluation"},
    "markupsafe": {"evaluation"},
    "starlette": {"serving"},
    "uvicorn": {"serving"},
    "prometheus_client": {"serving"},
    "click": {"cli"},
    "packaging": {"cli"},
    "rich": {"cli"},
    "numpy": set(MAY_IMPORT) - GROUND | {"fingerprint"},
}
"""Foreign packages, and who may import them; those that are not here may be imported by nobody."""


ONLY_BELOW: dict[str, tuple[str, ...]] = {
    r"\bN(CHW|HWC)\b": ("modalities/image/", "anatomy/"),
    r"^\s*(from|import) PIL\b": ("modalities/image/", "viz/", "evaluation/"),
}
"""What only these folders may say, in code and in words: others ask an ``Entry`` where its channels are."""


def imports(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of every import in a module, wherever it stands; ``from a import b`` gives ``a.b``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: -node.level + 1 or None]) if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            yield from ((node.lineno, a.value) for a in node.args if isinstance(a, ast.Constant))


def violations(root: Path) -> list[str]:
    """Return every import under ``root`` (a package ``onnxsal``) that the table forbids."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        unit = relative.parts[0].removesuffix(".py")
        package = ".".join(["onnxsal", *relative.parts[:-1]])
        for line, name in imports(path, package):
            reason = "" if _goes_up(relative.as_posix(), name) else forbidden(unit, name)
            if reason:
                found.append(f"{relative.as_posix()}:{line} imports {name}: {reason}")
    return found


def _goes_up(module: str, name: str) -> bool:
    top, *rest = name.split(".")
    return top == "onnxsal" and bool(rest) and (module, rest[0]) in UPWARD


def forbidden(unit: str, name: str) -> str:
    """Return why ``unit`` may not import ``name``, or an empty string."""
    top, *rest = name.split(".")
    if top == "onnxsal":
        return _forbidden_here(unit, rest[0] if rest else "")
    if top in sys.stdlib_module_names or unit == "__init__":
        return ""
    known = next((k for k in ONLY_IN if name == k or name.startswith(f"{k}.")), None)
    if known is None:
        return "the table of foreign packages does not know it"
    return "" if unit in ONLY_IN[known] else f"only {', '.join(sorted(ONLY_IN[known]))} may"


def _forbidden_here(unit: str, other: str) -> str:
    if unit not in MAY_IMPORT:
        return f"{unit} has no floor yet: enter it in the table"
    if other == "":
        return "the top level is above it"
    return "" if other == unit or other in MAY_IMPORT[unit] else f"{other} is not below {unit}"


def test_every_import_goes_downwards() -> None:
    assert violations(ROOT) == []


def test_the_table_has_no_way_round() -> None:
    """Following the table downwards never leads back."""
    for start, allowed in MAY_IMPORT.items():
        for name in allowed:
            assert start not in MAY_IMPORT.get(name, set()), f"{start} and {name} may import each other"


def strays(root: Path) -> list[str]:
    """Return the modules under ``root`` that say what only other folders may."""
    return [
        f"{name}: {found[0].strip()}"
        for path in sorted(root.rglob("*.py"))
        for pattern, homes in ONLY_BELOW.items()
        if not (name := path.relative_to(root).as_posix()).startswith(homes)
        and (found := re.search(pattern, path.read_text(encoding="utf-8"), re.MULTILINE))
    ]


def test_what_an_image_is_stands_where_images_are() -> None:
    assert strays(ROOT) == []


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("compiler/assemble.py", 'if entry.input_axes == "NHWC":\n    pass\n', "NHWC"),
        ("tasks/dense.py", 'def f():\n    """Return [B, N] of an NCHW value."""\n', "NCHW"),
        ("modalities/volume.py", "def f():\n    from PIL import Image\n", "from PIL"),
    ],
)
def test_a_planted_stray_is_found(tmp_path: Path, module: str, text: str, found: str) -> None:
    for name in (module, "modalities/image/fit.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert strays(tmp_path) == [f"{module}: {found}"]


PLANTED = [
    ("graph/tape.py", "from onnxsal import __version__", "__version__ is not below graph"),
    ("graph/tape.py", "from onnxsal.autodiff import backward", "autodiff is not below graph"),
    ("viz/maps.py", "def f():\n    import onnxsal.methods.cam\n", "methods is not below viz"),
    ("methods/cam.py", "from onnxsal.runtime import Session", "runtime is not below methods"),
    ("streaming/run.py", "if True:\n    from onnxsal.methods import get\n", "methods is not below streaming"),
    ("kernels/masks.py", "from ..graph import Program", "graph is not below kernels"),
    ("explanation/explain.py", "from onnxsal import cli", "cli is not below explanation"),
    ("model/model.py", "from onnxsal.explanation.costs import costs", "explanation is not below model"),
    ("errors.py", "import numpy", "may"),
    ("explanation/explain.py", "import onnxruntime", "only runtime may"),
    ("autodiff/walk.py", "from onnx_ir.passes.common import InlinePass", "only graph may"),
    ("tasks/classification.py", "from onnx_ir import passes", "only graph may"),
    ("modalities/image/fit.py", "import importlib\nimportlib.import_module('numba.cuda')", "only kernels may"),
    ("explanation/figure.py", "from PIL import Image", "only evaluation, modalities, viz may"),
    ("metrics/pointing.py", "import scipy.stats", "does not know it"),
    ("somewhere/new.py", "import onnxsal.graph", "has no floor yet"),
]


def test_every_import_that_goes_up_is_there() -> None:
    for (module, top), reason in UPWARD.items():
        assert reason
        path = ROOT / module
        package = ".".join(["onnxsal", *Path(module).parts[:-1]])
        assert any(name.split(".")[1:2] == [top] for _, name in imports(path, package)), f"{module} imports no {top}"


@pytest.mark.parametrize(("module", "text", "reason"), PLANTED, ids=[f"{m}: {t}" for m, t, _ in PLANTED])
def test_a_planted_violation_is_found(tmp_path: Path, module: str, text: str, reason: str) -> None:
    file = tmp_path / module
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    (found,) = violations(tmp_path)
    assert found.startswith(module)
    assert reason in found


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    (tmp_path / "methods").mkdir()
    text = "import math, numpy as np\nfrom onnxsal.graph.program import empty\nfrom onnxsal.methods.parts import x\n"
    (tmp_path / "methods" / "cam.py").write_text(text, encoding="utf-8")
    assert violations(tmp_path) == []


LIGHT = {
    "the package": "import onnxsal",
    "listing the methods": "import onnxsal; assert onnxsal.methods()",
    "one map": "import onnxsal.viz.maps as m, numpy as n; m.cam_saliency(n.eye(3, dtype='f'), (9, 9))",
    "a gradient graph": "import onnxsal.model.export",
    "a metric": "from onnxsal.metrics.registry import get; get('energy-pointing')",
    "the command line": "import onnxsal.cli",
    "an evaluation": "import onnxsal.evaluation",
}


HEAVY = {"numba", "onnxruntime", "jinja2", "matplotlib", "rich"}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT.keys())
def test_what_is_slow_to_load_stays_unloaded(code: str) -> None:
    assert _loaded(code, HEAVY) == ""


def test_neither_commands_nor_experiments_load_what_draws_plots_and_bars() -> None:
    code = "import onnxsal.cli.root; from onnxsal.experiments.catalogue import NAMES, get; list(map(get, NAMES))"
    assert _loaded(code, {"matplotlib", "rich"}) == ""


def _loaded(code: str, names: set[str]) -> str:
    ask = f"import sys; {code}; print(*sorted({names!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
