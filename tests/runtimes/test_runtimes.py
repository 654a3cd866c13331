"""Compiled models give in other runtimes what ``explain`` gives."""

from __future__ import annotations

from pathlib import Path

import compiled_detectors
import compiled_runtimes
import pytest
from compiled_cases import built_in
from compiled_runtimes import COMMANDS, Absent, Jobs, differences, place, prepare
from forms_elsewhere import OPSETS, RUNTIMES, cell, job, laid_out

CLOSE = 1e-4
"""Of a map's range, which is 1."""

FEW = ("gradient", "grad-cam++", "eigencam", "recipro-cam", "smooth-grad-cam++")
"""For the reference evaluator, which is slow; the table in docs/compile.md has all."""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return prepare(tmp_path_factory.mktemp("jobs"), built_in())


@pytest.mark.slow("another runtime opens and runs each compiled file")
@pytest.mark.parametrize("runtime", COMMANDS)
def test_every_method_in(jobs: Jobs, runtime: str) -> None:
    try:
        found, _ = differences(runtime, jobs)
    except Absent as reason:
        pytest.skip(str(reason))
    assert {name: cell for name, cell in found.items() if isinstance(cell, str) or not cell <= CLOSE} == {}


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return compiled_detectors.prepare(
        tmp_path_factory.mktemp("detectors"), compiled_detectors.FEW, ("rise", "score-cam")
    )


@pytest.mark.slow("another runtime opens and runs each compiled file")
@pytest.mark.parametrize("runtime", list(COMMANDS)[1:])
def test_detectors_in(request: pytest.FixtureRequest, runtime: str) -> None:
    """Their maps, what is explained, and all that is detected; in ONNX Runtime tests/tasks holds them."""
    try:
        COMMANDS[runtime]()
        found, _ = differences(runtime, request.getfixturevalue("detectors"))
    except Absent as reason:
        pytest.skip(str(reason))
    assert {name: cell for name, cell in found.items() if isinstance(cell, str) or not cell <= CLOSE} == {}


@pytest.mark.slow("another runtime opens and runs each compiled file")
@pytest.mark.parametrize(("runtime", "name"), list(zip(list(COMMANDS)[1:], ("node", "web", "openvino"), strict=True)))
def test_files_of_its_name_in(runtime: str, name: str, tmp_path: Path) -> None:
    """They are fed ``explain`` always: maps where it is true, zeros where it is not, and a detector's, too."""
    try:
        COMMANDS[runtime]()
    except Absent as reason:
        pytest.skip(str(reason))
    detector = compiled_detectors.opened(tmp_path, "v8")
    told = {"v8": compiled_detectors.job(detector, "v8", "layercam", inside=True, runtime=name)}
    found, _ = differences(runtime, compiled_runtimes.laid_out(tmp_path, {**compiled_runtimes.named(name), **told}))
    assert {name: cell for name, cell in found.items() if isinstance(cell, str) or not cell <= CLOSE} == {}


@pytest.mark.slow("another runtime converts, compiles and runs a file")
@pytest.mark.parametrize("runtime", ["tract", "OpenCV", "MNN", "TVM", "tinygrad", "onnx2torch"])
def test_a_flat_file_in(runtime: str, tmp_path: Path) -> None:
    """These have no If, Loop or ScatterElements, or compute them otherwise; docs/runtimes.md has the rest."""
    try:
        place(RUNTIMES[runtime][0])
    except Absent as reason:
        pytest.skip(str(reason))
    work = job("bundled", "flat: Grad-CAM++", OPSETS.get(runtime))
    laid_out(tmp_path, work)
    assert float(cell(runtime, tmp_path, work)) <= CLOSE


def test_some_methods_in_the_reference_evaluator(tmp_path: Path) -> None:
    found, _ = differences("reference evaluator", prepare(tmp_path, FEW))
    assert all(isinstance(cell, float) and cell <= CLOSE for cell in found.values()), found
