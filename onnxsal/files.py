"""Output files that appear whole or not at all, and what is no file's path."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onnxsal.errors import OutputError


def is_address(source: object) -> bool:
    """Return whether a path is an address of the web: nothing is fetched, and a Path would show it with one slash."""
    return isinstance(source, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", source) is not None


def check_writable(path: str | os.PathLike[str]) -> Path:
    """Return ``path`` as a Path after checking, before any work is done, that a file can be written there.

    Raises: OutputError: the path is a folder, its folder is missing, or nothing can be written in it.
    """
    target = _checked(path)
    try:
        handle, name = _part(target)
        os.close(handle)
        os.unlink(name)
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


def _part(target: Path) -> tuple[int, str]:
    """Permissions do not tell of read-only or virtual file systems, nor of names that are too long: trying does."""
    return tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its name when the block ends well, and vanishes otherwise.

    Raises: OutputError: the file cannot be written (no such folder, no permission, disk full).
    """
    target = _checked(path)
    try:
        handle, name = _part(target)
        os.close(handle)
    except (OSError, ValueError) as error:
        raise _unwritable(target, error) from error
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())
        part.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
