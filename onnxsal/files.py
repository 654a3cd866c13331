"""Files: output that appears whole or not at all, and small text files read with messages that name file and key."""

from __future__ import annotations

import csv
import json
import math
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from numbers import Real
from pathlib import Path
from typing import Any

from onnxsal.errors import OutputError, UsageError, nearest
from onnxsal.interrupts import whole

_LARGEST = 64 * 1024 * 1024
_LONGEST = 200
"""Characters of a value that a message quotes."""


def is_address(source: object) -> bool:
    """Return whether a path is an address of the web: nothing is fetched, and a Path would show it with one slash."""
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path after checking, before any work is done, that a file can be written there.

    Raises: OutputError: the path is a folder, its folder is missing, or nothing can be written in it.
    """
    target = _checked(path)
    try:
        with whole():  # else Ctrl-C could leave what was tried
            _part(target).unlink()
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from None
    return target


def _checked(path: str | os.PathLike[str]) -> Path:
    target = Path(path)
    if os.path.isdir(target):
        raise OutputError(f"cannot write {str(target)!r}: it is a folder; name a file in it")
    if not os.path.isdir(target.parent):
        raise OutputError(f"cannot write {str(target)!r}: the folder {str(target.parent)!r} does not exist")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise OutputError(f"cannot write {str(target)!r}: permission denied")
    return target


def _unwritable(target: Path, error: OSError | ValueError) -> OutputError:
    return OutputError(f"cannot write {str(target)!r}: {getattr(error, 'strerror', None) or error}")


def _part(target: Path) -> Path:
    """Return a new empty file beside ``target``.

    Permissions do not tell of read-only or virtual file systems, nor of names that are too long: trying does. The
    kernel takes the umask off the mode; reading the umask means setting it, which every thread of the host would see.
    """
    while True:
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        with suppress(FileExistsError):
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return part


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name when the block ends well, and vanishes otherwise.

    Raises: OutputError: the file cannot be written (no such folder, no permission, disk full).
    """
    target, made = _checked(path), list[Path]()
    try:
        with whole():  # else Ctrl-C could come before it is known what to take away
            made.append(_begun(target))
        yield made[0]
        made[0].replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        with suppress(OSError):
            for part in made:
                part.unlink(missing_ok=True)


def _begun(target: Path) -> Path:
    try:
        return _part(target)
    except ValueError as error:
        raise _unwritable(target, error) from error


def read_text(path: str | os.PathLike[str], what: str) -> str:
    """Return the text of a UTF-8 file, without a byte order mark.

    Args:
        what: what the file should hold, for messages ("labels", "preprocessing").
    Raises: UsageError: it cannot be read, or is not text.
    """
    source = Path(path)
    try:
        if source.stat().st_size > _LARGEST:
            raise UsageError(
                f"the {what} file {str(source)!r} is larger than {_LARGEST >> 20} MB: it holds something else"
            )
        return source.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"the {what} file {str(source)!r} is not a text file") from None
    except FileNotFoundError:
        raise UsageError(f"no such {what} file: {str(source)!r}{nearest_file(source)}") from None
    except (OSError, ValueError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(
            f"cannot read the {what} file {str(source)!r}: {getattr(error, 'strerror', None) or error}"
        ) from None


def nearest_file(path: Path) -> str:
    """Return a clause on what may have been meant by the path of a file that is not there, or on what is instead."""
    if path.is_dir():
        return ": it is a folder; name the files in it"
    try:
        return nearest(path.name, os.listdir(path.parent))
    except OSError:
        return f": the folder {str(path.parent)!r} does not exist"


def stem_of(path: Path) -> str:
    """Return a file's name without its ending, of which that of a packed scan has two parts."""
    return path.name[: -len(".nii.gz")] if path.name.lower().endswith(".nii.gz") else path.stem


def beside(model: Path, name: str) -> tuple[Path, ...]:
    """Return where a file that belongs to a model may lie: beside it, or above it where it is in a folder ``onnx``."""
    folders = (model.parent, model.parent.parent) if model.parent.name == "onnx" else (model.parent,)
    return tuple(folder / name for folder in folders)


def parse_json(text: str, where: str) -> Any:
    """Return what JSON text holds; ``where`` names its origin in the message.

    Raises: UsageError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} is not valid JSON: {error}") from None


def csv_cells(line: str, where: str) -> list[str]:
    """Return what one line of a CSV file holds; ``where`` names file and line in the message.

    Raises: UsageError: a quote opens and does not close: the rest of the file would be taken for one cell.
    """
    try:
        rows = list(csv.reader([line, "next"], skipinitialspace=True))
    except csv.Error as error:
        raise UsageError(f"{where}: {error}") from None
    if len(rows) == 1:
        raise UsageError(f'{where}: a quote (") opens and does not close')
    return [cell.strip() for cell in rows[0]]


def number(value: Any, key: str, where: str) -> float:
    """Return a number of JSON or NumPy as a float. Raises: UsageError: it is something else, or not finite."""
    known = isinstance(value, Real) and not isinstance(value, bool)
    if not known or not _is_finite(value):
        raise UsageError(f"{where}: {key} is a number; got {_shortened(value)}")
    return float(value)


def positive(value: Any, key: str, where: str) -> float:
    """Return a number above 0, as of what others are divided by. Raises: UsageError: it is something else."""
    found = number(value, key, where)
    if found <= 0:
        raise UsageError(f"{where}: {key} is a number above 0; got {_shortened(value)}")
    return found


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # JSON has integers of any length, and beyond 308 digits no float holds them
        return False


def _shortened(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "an integer of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}... ({len(text):,} characters)"


def numbers(value: Any, key: str, where: str) -> tuple[float, ...]:
    """Return a JSON list of numbers, or a single one, as a tuple. Raises: UsageError: it is something else."""
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise UsageError(f"{where}: {key} is a number or a list of numbers; got {value!r}")
    return tuple(number(item, key, where) for item in values)
