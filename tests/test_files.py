"""Output files: whole or not at all, with the mode that any new file gets."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from onnxsal.errors import OutputError
from onnxsal.files import check_writable, replacing

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_file_has_the_mode_that_open_gives(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with replacing(tmp_path / "ours") as part:
            part.write_text("x")
        (tmp_path / "theirs").write_text("x")
    finally:
        os.umask(before)
    ours, theirs = ((tmp_path / name).stat().st_mode for name in ("ours", "theirs"))
    assert stat.S_IMODE(ours) == stat.S_IMODE(theirs) == 0o666 & ~mask


@posix
def test_the_umask_of_the_process_is_never_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail(f"os.umask({mask:o}): other threads would see it"))
    with replacing(tmp_path / "file") as part:
        part.write_text("x")
    assert check_writable(tmp_path / "other") == tmp_path / "other"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_threads_that_write_one_file_leave_one_whole_file(tmp_path: Path) -> None:
    def write(letter: str) -> None:
        for _ in range(20):
            with replacing(tmp_path / "file") as part:
                part.write_text(letter * 1000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (path,) = tmp_path.iterdir()
    assert len(path.read_text()) == 1000 and len(set(path.read_text())) == 1


def test_what_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(KeyError), replacing(tmp_path / "file") as part:
        raise KeyError(part.write_text("new"))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "old")]


@pytest.mark.parametrize("name", ["x" * 300, "no\0name"])
def test_a_name_that_no_file_can_have_is_one_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        check_writable(tmp_path / name)


@pytest.mark.parametrize("begin", [check_writable, lambda path: replacing(path).__enter__()])
def test_ctrl_c_just_behind_the_making_of_a_file_leaves_none(
    begin: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = os.close

    def interrupted(descriptor: int) -> None:
        close(descriptor)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell runs behind itself ignores it
    monkeypatch.setattr(os, "close", interrupted)
    try:
        with pytest.raises(KeyboardInterrupt):
            begin(tmp_path / "file")
    finally:
        signal.signal(signal.SIGINT, before)
    assert list(tmp_path.iterdir()) == []
