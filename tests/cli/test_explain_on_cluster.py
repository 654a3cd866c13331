"""``onnxsal explain --ray``: what it refuses, before any cluster is there; what it makes is held in tests/cluster."""

from __future__ import annotations

import sys

import pytest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--ray", "local"], "--out maps.parquet without -o"),
        (["--ray", "local", "--out", "maps/", "-o", "a.png"], "--out maps.parquet without -o"),
        (["--ray", "local", "--out", "maps/", "--json"], "--json is for explaining here"),
        (["--ray", "local", "--out", "maps/", "-m", "gradient,grad-cam"], "one method and one target"),
        (["--ray", "local", "--out", "maps/", "-t", "red", "-t", "blue"], "one method and one target"),
        (["--actors", "2", "--out", "maps/"], "say which cluster (--ray local)"),
    ],
)
def test_what_workers_do_not_make_is_refused(run, given: list[str], message: str) -> None:
    ended = run("explain", "model.onnx", "red.png", *given)
    assert (ended.status, ended.out) == (2, "") and message in ended.err


def test_without_the_package_the_message_is_how_to_have_it(run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = run("explain", "model.onnx", "red.png", "--ray", "local", "--out", "maps/", "--activation", "softmax")
    assert ended.status == 1 and "pip install 'onnxsal[ray]'" in ended.err
