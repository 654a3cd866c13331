"""``onnxsal serve``: names, messages, and a process that SIGTERM ends in good order. What it answers: tests/serving."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.image import as_preprocess
from onnxsal.serving.sharing import named, threads_and_workers

if TYPE_CHECKING:  # needs the extra serve
    from onnxsal.serving.server import Server

MODELS = Path(__file__).resolve().parent.parent.parent / "models"


def test_a_model_is_called_as_its_file_or_as_is_said(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.onnx"
    odd.touch()
    found = named(["v1/cats.onnx", "dogs=v2/model.onnx", "x=y=z.onnx", str(odd)])
    assert found == {"cats": "v1/cats.onnx", "dogs": "v2/model.onnx", "x": "y=z.onnx", "a=b": str(odd)}


@pytest.mark.parametrize(
    ("models", "said"),
    [(["a/m.onnx", "b/m.onnx"], "both be called 'm'"), (["..=m.onnx"], "no name"), (["a/b=m.onnx"], "no name"),
     (["=m.onnx"], "no name"), (["a:explain=m.onnx"], "no name"), (["a\n=m.onnx"], "no name")],
)  # fmt: skip
def test_a_name_is_one_models_and_fits_into_an_address(models: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        named(models)


def test_threads_times_workers_are_the_processors_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    for processors in (1, 2, 3, 16, 64):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=processors: set(range(n)), raising=False)
        for threads in (None, 1, 2):
            for workers in (None, 1, 3):
                found = threads_and_workers(threads, workers)
                assert found[0] == (threads or max(1, processors // found[1]))
                assert found[1] == workers or 1 <= found[1] <= min(4, processors)


def test_a_port_that_is_taken_is_said(run) -> None:
    pytest.importorskip("starlette", reason="needs the extra serve")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = run("serve", "model.onnx", "--port", str(taken.getsockname()[1]))
    assert ended.status == 2
    assert "cannot listen at 127.0.0.1 port" in ended.err


def test_which_of_several_models_is_at_fault_is_said(run) -> None:
    pytest.importorskip("starlette", reason="needs the extra serve")
    ended = run("serve", "plain=model.onnx", f"boxes={MODELS / 'detector.onnx'}", "--head", "logits")
    assert (ended.status, ended.err.startswith("onnxsal: boxes: ")) == (2, True), ended.err


def test_what_a_model_is_opened_with_is_said_of_all_or_of_one(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each option's own type reads it; what is said of one goes before what is said of all, wherever it stands."""
    opened: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr("onnxsal.cli.actions.serve.Served", lambda path, name, **how: _Kept(opened, name, how))
    monkeypatch.setattr("onnxsal.serving.server.Server.serve_at", _ended)
    Path("b=c.txt").touch()
    asked = (
        "--preprocess b=clip a=model.onnx --preprocess a=imagenet b=model.onnx --size b=32 48 --size 9 c=model.onnx "
        "--rate=c=8000 --mono=c --input x=1 --input b=x=2 --input a=3 --iou b=0.5 --labels b=c.txt --port 0"
    )
    ended = run("serve", *asked.split())
    assert ended.status == 0, ended.err
    a, b, c = (opened[name] for name in "abc")
    assert (a["size"], b["size"], a["iou"], b["iou"]) == ((9,), (32, 48), None, 0.5)
    assert (a["inputs"], b["inputs"]) == ({"x": "1", "a": "3"}, {"x": "2", "a": "3"})
    assert a["labels"] == b["labels"] == "b=c.txt"  # there is such a file
    assert (a["preprocess"], b["preprocess"]) == (as_preprocess("imagenet"), as_preprocess("clip"))
    assert c["preprocess"] == {"sampling_rate": 8000, "mono": True}
    wrongs = (("--threads b=2", "all models share it: leave b= out"), ("--iou b=two", "'two' is not"),
              ("--size b=", "(see onnxsal serve --help)"))  # fmt: skip
    for wrong, said in wrongs:
        ended = run("serve", "a=model.onnx", "b=model.onnx", *wrong.split())
        assert (ended.status, said in ended.err) == (2, True), ended.err


def test_without_a_model_it_tells_its_use(run) -> None:
    for arguments, statuses in ((["--help"], {0}), ([], {0, 2}), (["--port", "0"], {2})):
        ended = run("serve", *arguments)
        assert ended.status in statuses and "MODEL..." in ended.out + ended.err, ended.err


def _ended(server: Server, listener: socket.socket) -> None:
    """Serve nobody."""
    listener.close()
    server._service.close()


class _Kept:
    """A model that is not opened."""

    def __init__(self, opened: dict[str, dict[str, Any]], name: str, how: dict[str, Any]) -> None:
        opened[name], self.name, self.notes = how, name, ()


def test_without_the_extra_it_says_what_to_install(run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.startswith(("onnxsal.serving.s", "onnxsal.serving.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    ended = run("serve", "model.onnx")
    assert ended.status == 1
    assert "pip install 'onnxsal[serve]'" in ended.err


def test_a_process_serves_until_it_is_told_to_end() -> None:
    pytest.importorskip("starlette", reason="needs the extra serve")
    command = [sys.executable, "-m", "onnxsal", "serve", f"shapes={MODELS / 'shapes.onnx'}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        name, _, address = process.stdout.readline().strip().partition(": ")
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert json.load(answer)["name"] == name == "shapes"
        process.send_signal(signal.SIGTERM)
        _rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
