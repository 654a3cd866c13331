"""``onnxsal doctor`` says what it saw: versions that are installed, what is missing with the command that brings it."""

from __future__ import annotations

import json
from importlib import metadata
from typing import Any

import onnxruntime
import pytest
from packaging.requirements import Requirement

from onnxsal import plugins
from onnxsal.cli import main
from onnxsal.cli.actions import doctor


def found(capsys: pytest.CaptureFixture[str], status: int = 0) -> dict[str, dict[str, Any]]:
    """Return the findings by name."""
    assert main(["doctor", "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert told["well"] == (status == 0)
    return {each["name"]: each for each in told["findings"]}


def test_it_explains_and_names_what_is_installed(capsys: pytest.CaptureFixture[str]) -> None:
    told = found(capsys)
    assert told["ONNX Runtime"]["said"].startswith(f"{onnxruntime.__version__} (")
    assert told["--provider cpu"] == {"name": "--provider cpu", "said": "works", "state": "well"}
    assert told["explaining"]["said"].startswith("works: Grad-CAM++ of the bundled scene (star) in ")
    assert f"numpy {metadata.version('numpy')}" in told["packages"]["said"]
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.endswith("\nExplaining works here.\n") and "site-packages" not in out


def test_without_a_runtime_it_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("onnxsal.runtime.environment._has_files", lambda: False)
    monkeypatch.setattr("onnxsal.runtime.environment._has", lambda name: False)
    monkeypatch.setattr(doctor, "_explaining", lambda: iter(()))  # a runtime that was loaded already is not unloaded
    told = found(capsys, 1)
    assert told["ONNX Runtime"]["state"] == "broken" and "pip install 'onnxsal[cpu]'" in told["ONNX Runtime"]["said"]
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("\nTo be mended: ONNX Runtime.\n")


def test_packages_outside_their_bounds_and_extras_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed = ["numpy>=2.0", "pillow>=99", "tokenizers>=0.21; extra == 'text'", "not-there; extra == 'audio'"]
    monkeypatch.setattr(doctor, "_required", lambda: [Requirement(each) for each in needed])
    there = {"numpy": "2.3.1", "pillow": "11.0", "tokenizers": "0.22"}
    monkeypatch.setattr(doctor, "_version", there.get)
    told = found(capsys, 1)
    assert told["packages"]["said"] == "pillow 11.0 is not >=99: pip install --upgrade onnxsal"
    assert (told["extra text"]["state"], told["extra audio"]["state"]) == ("well", "missing")
    assert told["extra audio"]["said"].endswith("not-there is not installed: pip install 'onnxsal[audio]'")


def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    broken = plugins.Offer("mine", plugins.METHODS, "no_such_module:x", "my-package", "1.2")
    whole = plugins.Offer("bound", plugins.METRICS, "math:pi", "other", "3")
    own = {plugins.METHODS: (broken,), plugins.METRICS: (whole,)}
    monkeypatch.setattr(plugins, "_installed", lambda group: own.get(group, ()))
    told = found(capsys, 1)
    assert told["plug-in my-package 1.2"]["state"] == "broken"
    assert "upgrade or uninstall it" in told["plug-in my-package 1.2"]["said"]
    assert told["plug-in other 3"]["said"] == "metrics: 1"
