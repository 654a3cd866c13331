"""The bar: on a terminal alone, one line that fits, names as they are, and the terminal as it was afterwards."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import onnxsal
from onnxsal.cli import progress as module
from onnxsal.cli.progress import Progress, StatusBar

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal(io.StringIO):
    """A terminal that keeps what is written."""

    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """Every state of the line that was shown, without colours."""
        return [text.rstrip() for text in CODES.sub("", self.getvalue()).replace("\n", "\r").split("\r")]


def opened(monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> Terminal:
    """Put a terminal in the place of stderr; no fixture, since pytest sets stderr between the setup and the test."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setattr(module, "_PAUSE", -1.0)
    for name, text in {"TERM": "xterm", "COLUMNS": str(columns)}.items():
        monkeypatch.setenv(name, text)
    return found


def test_progress_is_silent_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    progress = Progress("red.png")
    for done in range(10):
        progress(done, 10)
    progress.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [12, 24, 40, 80, 200])
@pytest.mark.parametrize("name", ["a-photograph-with-a-very-long-name.jpg · score-cam", "三毛猫の写真" * 9, "x"])
def test_the_bar_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, name: str) -> None:
    terminal = opened(monkeypatch, columns)
    bar = StatusBar()
    bar(name, 30, 120, "12 s left")
    bar.close()
    wide = max(terminal.lines(), key=len)
    assert sum(2 if "\u2e80" <= letter <= "\uffdc" else 1 for letter in wide) <= columns
    assert columns < 40 or wide.endswith("30/120  25 % 12 s left")
    assert columns < 80 or name[-8:] in wide


@pytest.mark.parametrize("name", ["photo[1].jpg", "[red]x[/].png", "a {task} %s.png", ":smile:.jpg", "[/].png", "$5"])
def test_names_are_shown_as_they_are(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    terminal, progress = opened(monkeypatch), Progress(name)
    progress(1, 4)
    progress.close()
    assert [line for line in terminal.lines() if line.startswith(f"{name} ")]
    assert "\x1b[1;3" not in terminal.getvalue()  # no number in it is highlighted


def test_the_time_left_follows_from_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten a minute from the first call on, batches longer than half a minute; a second target starts anew."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    terminal, progress = opened(monkeypatch), Progress("x")
    for done in (8, 18, 28, 2, 12, 32):
        progress(done, 32)
        clock[0] += 120.0 if done == 2 else 60.0
    progress.close()
    shown = [line.partition(" % ")[2] for line in terminal.lines() if "/32" in line]
    assert list(dict.fromkeys(shown)) == ["", "84 s left", "24 s left", "4 min left"]


def test_closing_takes_the_line_away_and_never_hides_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, progress = opened(monkeypatch), Progress("x")
    progress(1, 4)
    progress(3, 4)
    progress.close()
    assert terminal.lines()[-1] == ""
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")
    assert "\x1b[?25" not in terminal.getvalue()
    written = terminal.getvalue()
    progress.close()
    assert terminal.getvalue() == written


def test_streams_stay_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    opened(monkeypatch)
    before = sys.stdout, sys.stderr
    progress = Progress("x")
    progress(1, 4)
    assert (sys.stdout, sys.stderr) == before
    progress.close()


ENDLESS = """
import sys, time
from onnxsal.cli.progress import Progress
progress = Progress("photo[1].jpg")
try:
    for at in range(10 ** 9):
        progress(at, 10 ** 9)
        if at == 3:
            print("shown", flush=True)
        time.sleep(0.05)
except KeyboardInterrupt:
    sys.exit(130)
finally:
    progress.close()
"""


def _hears_ctrl_c() -> None:
    """A process in the background of a shell ignores SIGINT, and so do those that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")
def test_ctrl_c_leaves_the_terminal_as_it_was() -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environment = {**os.environ, "PYTHONPATH": str(Path(onnxsal.__file__).parent.parent), "TERM": "xterm"}
    command = [sys.executable, "-W", "error", "-c", ENDLESS]
    streams = {"stdout": subprocess.PIPE, "stderr": theirs}
    with subprocess.Popen(command, env=environment, preexec_fn=_hears_ctrl_c, **streams) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert termios.tcgetattr(theirs) == before
    written = os.read(ours, 1_000_000).decode()
    os.close(theirs)
    os.close(ours)
    assert "photo[1].jpg" in written
    assert written.endswith("\x1b[1A\x1b[2K")
    assert "\x1b[?25l" not in written
