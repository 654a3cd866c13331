"""What is said where ONNX Runtime is missing, doubled or damaged."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import onnxruntime
import pytest

from onnxsal.errors import EnvironmentSetupError
from onnxsal.runtime import environment


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Pretend that these packages are installed, with or without a module behind them."""

    def pretend(*names: str, files: bool = True, caches: bool = False) -> None:
        def distribution(name: str) -> object:
            if name not in names:
                raise metadata.PackageNotFoundError(name)
            return object()

        spec = SimpleNamespace(origin="/x/onnxruntime/__init__.py") if files else SimpleNamespace(origin=None)
        monkeypatch.setattr(metadata, "distribution", distribution)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if files or caches else None)

    environment.onnxruntime.cache_clear()
    return pretend


def test_one_build_is_well(installed) -> None:
    for name in environment.BUILDS:
        installed(name)
        assert environment.problem() is None


def test_none_is_named_with_the_command(installed) -> None:
    installed(files=False)
    assert "pip install 'onnxsal[cpu]'" in str(environment.problem())
    with pytest.raises(EnvironmentSetupError, match="not installed"):
        environment.onnxruntime()


def test_two_builds_are_removed_before_one_is_installed(installed) -> None:
    installed("onnxruntime", "onnxruntime-gpu")
    lines = str(environment.problem()).splitlines()
    assert lines[0].startswith("onnxruntime and onnxruntime-gpu are installed over each other")
    assert lines[1].strip() == "pip uninstall -y onnxruntime onnxruntime-gpu"
    assert lines[2].strip().startswith("pip install 'onnxsal[cpu]'")


@pytest.mark.parametrize("caches", [False, True])
def test_a_build_whose_files_are_gone(installed, caches: bool) -> None:
    """What uninstalling one of two leaves behind: pip believes that the other is there."""
    installed("onnxruntime", files=False, caches=caches)
    assert "pip uninstall -y onnxruntime\n" in str(environment.problem())


def test_a_damaged_build(installed, monkeypatch: pytest.MonkeyPatch) -> None:
    installed("onnxruntime")
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    with pytest.raises(EnvironmentSetupError, match=r"cannot be loaded.*\n.*pip uninstall"):
        environment.onnxruntime()


@pytest.mark.parametrize(
    ("arguments", "given", "warned"),
    [
        (["/home/me/script.py"], ["python", "/home/me/script.py"], True),
        ([""], ["python"], True),
        (["/usr/bin/onnxsal", "demo"], ["python", "/usr/bin/onnxsal", "demo"], False),
        ([r"onnxsal.exe"], ["python", "onnxsal.exe"], False),
        (["-m", "-m", "rise"], ["python", "-m", "onnxsal", "explain", "-m", "rise"], False),
        (["-m"], ["python", "-m", "other"], True),
    ],
)
def test_importing_warns_but_a_command_says_it_itself(
    installed, monkeypatch: pytest.MonkeyPatch, arguments: list[str], given: list[str], warned: bool
) -> None:
    installed(files=False)
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "orig_argv", given)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        environment.warn_importer()
    assert [str(w.message).startswith("onnxsal runs models on ONNX Runtime") for w in caught] == [True] * warned


def test_importing_onnxsal_loads_nothing_heavy() -> None:
    code = "import sys, onnxsal, onnxsal.cli; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "onnx", "onnx_ir", "onnxruntime", "numba", "PIL", "cmap", "sympy"} & set(loaded)


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_nothing_is_reported_over_the_network_unless_it_is_wanted(before: str | None, after: str) -> None:
    """ONNX Runtime reads the variable when it is loaded, so it has to be there by then; a choice is left as it is."""
    code = "import os; from onnxsal.runtime.environment import onnxruntime as load; load(); print(os.environ[NAME])"
    code = code.replace("NAME", "'ORT_DISABLE_TELEMETRY'")
    given = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    given |= {} if before is None else {"ORT_DISABLE_TELEMETRY": before}
    ended = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [after]


def test_the_variable_is_one_that_onnx_runtime_reads() -> None:
    """Reports came with 1.29; the name is looked for in the library itself, so that a new one would be noticed."""
    folder = Path(onnxruntime.__file__).parent / "capi"
    built = [path.read_bytes() for path in folder.glob("onnxruntime_pybind11_state*")]
    assert built
    if not any(b"events.data.microsoft.com" in each for each in built):
        pytest.skip("this build of ONNX Runtime reports nothing")
    assert any(b"ORT_DISABLE_TELEMETRY" in each for each in built)
