"""Functions that name ``onnxsal`` travel to other processes, as Ray, Dask, joblib and Spark send them."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import onnxsal
from onnxsal import errors


def names_of_methods() -> list[str]:
    return sorted(onnxsal.methods())


def test_the_package_is_pickled_by_its_name() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(onnxsal, protocol)) is onnxsal
    assert copy.deepcopy({"module": onnxsal})["module"] is onnxsal


@pytest.mark.parametrize("name", sorted(set(onnxsal.__all__) - {"__version__"}))
def test_public_functions_and_classes_are_pickled_by_their_names(name: str) -> None:
    thing = getattr(onnxsal, name)
    assert pickle.loads(pickle.dumps(thing)) is thing


def test_the_function_stays_where_the_module_of_its_name_is_imported_later() -> None:
    code = "import onnxsal; from onnxsal.methods import Level; assert 'grad-cam' in onnxsal.methods()"
    subprocess.run([sys.executable, "-c", code], check=True)


ERRORS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.OnnxsalError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_another_process_with_its_message(kind: type[errors.OnnxsalError]) -> None:
    back = pickle.loads(pickle.dumps(kind("what failed")))
    assert type(back) is kind and str(back) == "what failed"


@pytest.mark.parametrize("use", [names_of_methods, lambda: sorted(onnxsal.methods())], ids=["function", "lambda"])
def test_a_function_of_a_script_that_names_the_package_runs_in_another_process(use: Callable[[], Any]) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    use.__module__ = "__main__"  # as in a script or a notebook: sent by value
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer)())"
    done = subprocess.run([sys.executable, "-c", code], input=cloudpickle.dumps(use), capture_output=True, check=True)
    own = "import onnxsal; print(sorted(onnxsal.methods()))"  # here, a plug-in's tests may have registered more
    assert done.stdout == subprocess.run([sys.executable, "-c", own], capture_output=True, check=True).stdout
