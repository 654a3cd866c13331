"""Collections are paused while modules are imported, and never longer."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from onnxsal.importing import uncollected


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    was = gc.isenabled()
    gc.enable()
    yield
    (gc.enable if was else gc.disable)()


def test_collections_pause_and_come_back() -> None:
    with uncollected():
        paused = gc.isenabled()
    assert (paused, gc.isenabled()) == (False, True)


def test_they_come_back_where_an_import_fails() -> None:
    with pytest.raises(ModuleNotFoundError), uncollected():
        import no_such_module  # noqa: F401
    assert gc.isenabled()


def test_what_is_off_stays_off() -> None:
    gc.disable()
    with uncollected():
        pass
    assert not gc.isenabled()


def test_one_in_another_does_not_end_the_pause() -> None:
    with uncollected():
        with uncollected():
            pass
        within = gc.isenabled()
    assert (within, gc.isenabled()) == (False, True)


CODE = """
import gc, sys
found = []
gc.callbacks.append(lambda phase, info: found.append("onnx_ir._core" in sys.modules))
{}
print(sum(found), gc.isenabled())
"""


@pytest.mark.parametrize("what", ["import onnxsal; onnxsal.load", "import onnxsal.cli as cli; cli.main(['methods'])"])
def test_neither_a_public_name_nor_a_command_collects_while_it_loads(what: str) -> None:
    """What a command does when everything is loaded collects a few times; loading the packages of graphs hundreds."""
    done = subprocess.run([sys.executable, "-c", CODE.format(what)], capture_output=True, text=True, check=True)
    during, enabled = done.stdout.split()[-2:]
    assert int(during) < 60
    assert enabled == "True"
