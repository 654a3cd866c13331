"""tests/ mirrors onnxsal/: a folder for every package, a file for every module that lies loose."""

from __future__ import annotations

from pathlib import Path

import pytest

import onnxsal

PACKAGE = Path(onnxsal.__file__).parent
TESTS = Path(__file__).resolve().parent

ELSEWHERE = {
    "errors": "what is raised is held where it is raised",
    "interrupts": "tests/streaming/test_interrupt.py, where sums are kept whole, and tests/cli/test_explain_folder.py",
    "options": "tests/explanation/test_build.py, and every method's and metric's own",
    "parquet": "tests/evaluation/test_evaluate.py, without pyarrow and with it",
}
"""Loose modules without a file of their own, and where they are held instead."""

WITHOUT_MODULE = {"data", "models", "reference", "runtimes", "support", "tools"}
"""Folders of tests that mirror no package: examples, the bundled model, oracles, other runtimes, how
tests are run, tools."""


def loose() -> list[str]:
    return sorted(path.stem for path in PACKAGE.glob("*.py") if not path.stem.startswith("_"))


def packages(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_dir() and path.name[0] not in "_."}


@pytest.mark.parametrize("module", loose())
def test_a_loose_module_has_a_file_or_a_reason(module: str) -> None:
    assert (TESTS / f"test_{module}.py").exists() != (module in ELSEWHERE), "a file of its own, or a line above"


def test_nothing_is_excused_that_is_not_there() -> None:
    assert set(ELSEWHERE) <= set(loose())


def test_every_package_has_its_folder_and_every_folder_its_package() -> None:
    assert packages(TESTS) == packages(PACKAGE) | WITHOUT_MODULE
