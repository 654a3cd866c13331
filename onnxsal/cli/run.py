"""From arguments to an exit status: every failure is one clear message, and no traceback unless it is asked for."""

from __future__ import annotations

import gc
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from onnxsal.cli.root import PROGRAM, root
from onnxsal.errors import OnnxsalError, nearest

INTERRUPTED = 130
"""What a shell gives a command that Ctrl-C ended."""

GARBAGE = (20_000, 20, 100)
"""Thresholds of the collection of garbage in a command: graphs are many small objects that live, and by Python's own
thresholds looking at them again and again takes a tenth of a command on one photograph."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit status of a command line: 0 done, 1 an input cannot be served, 2 misuse, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    _prepare_streams()
    with warnings.catch_warnings(), _collected_seldom():
        if not debug:
            warnings.simplefilter("ignore")
        return _run([each for each in given if each != "--debug"], debug)


@contextmanager
def _collected_seldom() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _prepare_streams() -> None:
    """Labels and bars must not end a command on a terminal that cannot write them."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


def _run(arguments: list[str], debug: bool) -> int:
    try:
        status = root.main(arguments, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        return _reader_gone()
    except (OnnxsalError, click.ClickException, click.Abort, MemoryError) as error:
        if debug:
            traceback.print_exc()
        text, status = _explained(error)
        print(f"{PROGRAM}: {text}", file=sys.stderr)
        return status


def _explained(error: BaseException) -> tuple[str, int]:
    if isinstance(error, OnnxsalError):
        return str(error), error.exit_code
    if isinstance(error, click.ClickException):
        return _misuse(error), 2
    if isinstance(error, MemoryError):
        return "out of memory; bound it with --memory (for example --memory 1G), or use a smaller model", 1
    return "interrupted; nothing half-written is left", INTERRUPTED


def _misuse(error: click.ClickException) -> str:
    """Click's sentence in the form of our own, with the place where the right way stands."""
    context = getattr(error, "ctx", None)
    text = error.format_message().strip().rstrip(".")
    if isinstance(error, click.NoSuchOption):
        known = (
            [name for each in context.command.params if not getattr(each, "hidden", False) for name in each.opts]
            if context is not None
            else []
        )
        text = f"there is no option {error.option_name!r}{nearest(error.option_name, known)}"
    return f"{text[:1].lower()}{text[1:]} (see {context.command_path if context is not None else PROGRAM} --help)"


def _reader_gone() -> int:
    """``onnxsal methods | head``: whoever read the output has enough; the rest goes nowhere, silently."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
