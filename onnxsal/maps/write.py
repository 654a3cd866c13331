"""Writers of maps: a Parquet file, or a folder of .npz files; whole or not at all, in bounded memory."""

from __future__ import annotations

import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol

import numpy as np

from onnxsal.errors import OutputError, UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.explanation import finite
from onnxsal.files import check_writable, replacing
from onnxsal.maps.arrow import INSTEAD, arrow_schema, batch_of
from onnxsal.maps.rows import row_and_run
from onnxsal.maps.schema import KEY, check_dtype, header
from onnxsal.parquet import pyarrow

MANIFEST = "manifest.json"
"""What stands once, in a folder."""

_LONGEST = 80
"""Bytes of the words in a file's name."""

ROWS, BYTES = 4096, 8 << 20
"""A group of rows ends with so many of them, or with so many bytes of maps: that is what is held at a time."""


class MapWriter(ABC):
    """Takes explanations one by one and keeps their maps.

    ``close`` ends it. As a context it is closed whatever ends the block: by an error or Ctrl-C with what there is so
    far, marked so (``complete`` is false); of a Parquet file of which nothing was written yet nothing is left.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype, self.rows, self._closed = check_dtype(dtype), 0, False
        self._runs: dict[str, Any] = {}
        self._request: str | None = None

    def write(self, explanation: Explanation, id: str | None = None, *, asked: str | None = None) -> None:
        """Keep the map of an explanation.

        Args: id: of the thing, by default its name. asked: the target as it was asked for, where it was.
        Raises: OutputError: it cannot be written. UsageError: the type cannot hold the map.
        """
        self.keep(*row_and_run(explanation, explanation.name if id is None else id, asked=asked, dtype=self.dtype))

    def keep(self, row: dict[str, Any], run: dict[str, Any]) -> None:
        """Keep a row that was made elsewhere, with what its key stands for. Raises: OutputError."""
        is_new = row["run"] not in self._runs
        self._runs[row["run"]] = run
        self._keep(row, is_new)
        self.rows += 1

    def close(self, *, complete: bool = True) -> None:
        """End the file; once is enough. Args: complete: whether it holds all that it was to hold."""
        if not self._closed:
            self._closed = True
            self._end(self._header(complete=complete))

    def _header(self, *, complete: bool) -> dict[str, Any]:
        return header(self.dtype, self._runs, complete=complete, request=self._request)

    def __enter__(self) -> MapWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=kind is None)

    @abstractmethod
    def _keep(self, row: dict[str, Any], is_new: bool) -> None:
        """Keep a row. Args: is_new: whether its run is met for the first time."""

    @abstractmethod
    def _end(self, whole: dict[str, Any]) -> None:
        """Write what stands once, and end."""


def map_writer(path: str | os.PathLike[str], *, dtype: str = "float16") -> MapWriter:
    """Return the writer of a file of maps: Parquet where ``path`` ends so, else of a folder that gets .npz files.

    Args: dtype: what maps are kept in: float32, float16 (off by 1/2048 of a map's range) or uint8 (by 1/510).
    Raises: UsageError: the path is neither. OutputError: it cannot be written, or the folder has files in it.
        EnvironmentSetupError: Parquet needs a package that is not installed.
    """
    if is_parquet(path):
        return ParquetMaps(path, dtype)
    return FolderOfMaps(path, dtype)


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Return whether a path of maps is of Parquet, not a folder. Raises: UsageError: it is neither."""
    suffix = Path(path).suffix.lower()
    is_folder = os.fspath(path).endswith(("/", os.sep)) or os.path.isdir(path)
    if suffix and suffix != ".parquet" and not is_folder:
        raise UsageError(f"maps are written as .parquet, or into a folder (FOLDER/); got {os.fspath(path)!r}")
    return suffix == ".parquet" and not is_folder


def check_maps(path: str | os.PathLike[str], *, again: bool = False) -> None:
    """Check, before any work is done, that maps can be written there. Args: again: whether some may be there already.

    Raises: as ``map_writer``.
    """
    if is_parquet(path):
        pyarrow(INSTEAD)
        check_writable(path)
    elif not (again and Path(path, MANIFEST).is_file()):
        _check_folder(Path(path))


class ParquetMaps(MapWriter):
    """Writes a Parquet file, which has its name once it is closed."""

    def __init__(self, path: str | os.PathLike[str], dtype: str) -> None:
        super().__init__(dtype)
        self._schema, self._path = arrow_schema(self.dtype), path
        self._waiting, self._bytes = list[dict[str, Any]](), 0
        self._place = ExitStack()
        part = self._place.enter_context(replacing(path))
        _, parquet = pyarrow(INSTEAD)
        words = [each.name for each in self._schema if each.name not in ("map", "stderr")]
        self._file = parquet.ParquetWriter(
            part, self._schema, compression="zstd", use_dictionary=words, write_page_checksum=True
        )

    def _keep(self, row: dict[str, Any], is_new: bool) -> None:
        self._waiting.append(row)
        self._bytes += row["map"].nbytes + (0 if row["stderr"] is None else row["stderr"].nbytes)
        if len(self._waiting) >= ROWS or self._bytes >= BYTES:
            self._flush()

    def _flush(self) -> None:
        rows, self._waiting, self._bytes = self._waiting, [], 0
        if rows:
            try:
                self._file.write_batch(batch_of(rows, self._schema), row_group_size=len(rows))
            except OSError as error:
                raise OutputError(f"cannot write {os.fspath(self._path)!r}: {error}") from error

    def _end(self, whole: dict[str, Any]) -> None:
        with suppress(_Nothing), self._place:
            self._flush()
            self._file.add_key_value_metadata({KEY: json.dumps(whole)})
            self._file.close()
            if not (self.rows or whole["complete"]):
                raise _Nothing


class _Nothing(Exception):
    """Ends the writing of a file that would have no rows."""


class Runs(Protocol):
    """What an earlier run left in a folder of maps."""

    @property
    def runs(self) -> Mapping[str, Any]: ...
    @property
    def next(self) -> int: ...


class FolderOfMaps(MapWriter):
    """Writes an uncompressed .npz file a map, and beside them what stands once."""

    def __init__(
        self, path: str | os.PathLike[str], dtype: str, request: str | None = None, begun: Runs | None = None
    ) -> None:
        """Args: request: which maps they are. begun: what an earlier run left there, which is gone on with."""
        super().__init__(dtype)
        self._folder, self._request, self._first = Path(path), request, 0
        if begun is None:
            _check_folder(self._folder)
            self._folder.mkdir(exist_ok=True)
        else:
            self._first = begun.next
            self._runs.update(begun.runs)
            self._end(self._header(complete=False))

    def _keep(self, row: dict[str, Any], is_new: bool) -> None:
        if is_new:  # before the file that needs it: whatever ends the process leaves a folder that can be read
            self._end(self._header(complete=False))
        arrays = {name: row[name].reshape(row["shape"]) for name in ("map", "stderr") if row[name] is not None}
        rest = finite({name: value for name, value in row.items() if name not in arrays})
        with replacing(self._folder / file_name(self._first + self.rows, row)) as part, part.open("wb") as file:
            np.savez(file, row=np.array(json.dumps(rest).encode()), **arrays)

    def _end(self, whole: dict[str, Any]) -> None:
        with replacing(self._folder / MANIFEST) as part:
            part.write_text(json.dumps(whole, indent=1), encoding="utf-8")


def file_name(number: int, row: dict[str, Any]) -> str:
    """Return what the file of a row is called: its number, so that files lie in the order of the rows, then words."""
    words = re.sub(r"[^\w.+-]+", "-", f"{PurePosixPath(row['id']).stem}.{row['method']}")
    short = words.encode()[:_LONGEST].decode(errors="ignore")  # file systems count bytes, 255 of them
    return f"{number:08d}-{short}.npz"


def _check_folder(folder: Path) -> None:
    """Raises: OutputError: a folder cannot be made, or it has something in it."""
    if not folder.exists():
        check_writable(folder)
    elif not folder.is_dir():
        raise OutputError(f"cannot write maps into {str(folder)!r}: it is a file")
    elif next(folder.iterdir(), None) is not None:
        raise OutputError(f"cannot write maps into {str(folder)!r}: the folder has files in it; name another one")
    else:
        check_writable(folder / MANIFEST)
