"""Reading maps: one by one, a group of rows in memory at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from onnxsal.errors import UsageError, one_line
from onnxsal.files import nearest_file, parse_json, read_text
from onnxsal.maps.arrow import rows_in
from onnxsal.maps.record import SavedMap, record_of, undamaged
from onnxsal.maps.schema import COLUMNS, KEY, check_header, check_row
from onnxsal.maps.write import BYTES, MANIFEST
from onnxsal.modalities.npy import UNREADABLE
from onnxsal.parquet import pyarrow

WORDS = tuple(each.name for each in COLUMNS if each.name not in ("map", "stderr"))
"""All columns but those of many numbers."""


class Source(Protocol):
    """Where rows come from."""

    @property
    def header(self) -> Mapping[str, Any]: ...
    def __len__(self) -> int: ...
    def rows(self, columns: tuple[str, ...] | None = None) -> Iterator[dict[str, Any]]:
        """Yield the rows in their order. Args: columns: those that are wanted, by default all."""


class Maps:
    """The maps in a file, in the order in which they were written: to go through once or several times.

    Reading goes on with the loop: a group of rows is in memory at a time.

    Attributes:
        header: what stands once: ``dtype``, ``complete`` (whether it holds all that it was to hold), ``onnxsal`` (the
            version that wrote it), and ``runs``, the manifests but for what is of one map.
    """

    def __init__(self, source: Source) -> None:
        self._source, self.header = source, source.header

    def __len__(self) -> int:
        return len(self._source)

    def __iter__(self) -> Iterator[SavedMap]:
        runs = self.header["runs"]
        for row in self._checked(None):
            if row["run"] not in runs:
                raise UsageError(
                    f"the map of {row['id']!r} is of the run {row['run']!r}, which the header does not know"
                )
            with undamaged(row["id"]):
                found = record_of(row, runs[row["run"]])
            yield found

    def words(self) -> Iterator[dict[str, Any]]:
        """Yield the rows without their maps and errors: what they are of, quickly."""
        return self._checked(WORDS)

    def _checked(self, columns: tuple[str, ...] | None) -> Iterator[dict[str, Any]]:
        for row in self._source.rows(columns):
            check_row(row)
            yield row


def read_maps(path: str | os.PathLike[str]) -> Maps:
    """Return the maps that ``onnxsal explain --out`` wrote: an iterable of records, read as the loop goes on.

    Each record has ``id``, ``label``, ``target``, ``score``, ``raw`` (the map as computed, float32), ``stderr``,
    ``saliency``, ``detection`` and ``manifest``; see ``onnxsal.maps.SavedMap``.

    Args: path: of the Parquet file, or of the folder of .npz files.
    Raises: UsageError: there is nothing, something else, or a file of a later version. EnvironmentSetupError: Parquet
        needs a package that is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        raise UsageError(f"read_maps: expected the path of a file of maps, got {type(path).__name__}")
    where = Path(path)
    if not where.exists():
        raise UsageError(f"no such file of maps: {str(where)!r}{nearest_file(where)}")
    return Maps(_Folder(where) if where.is_dir() else _Parquet(where))


class _Parquet:
    def __init__(self, path: Path) -> None:
        arrow, parquet = pyarrow("read a folder of .npz files")
        self._path, self._parquet, self._wrong = path, parquet, (OSError, arrow.ArrowException, UnicodeDecodeError)
        try:
            with parquet.ParquetFile(path) as file:
                found = (file.metadata.metadata or {}).get(KEY.encode())
                self._rows, groups = file.metadata.num_rows, file.metadata.num_row_groups
                size = sum(file.metadata.row_group(at).total_byte_size for at in range(groups))
                lost = [each.name for each in COLUMNS if each.name not in file.schema_arrow.names]
        except self._wrong as error:
            raise UsageError(f"{str(path)!r} cannot be read as Parquet: {one_line(error)}") from None
        where = repr(str(path))
        said = None if found is None else parse_json(found.decode(errors="replace"), where)
        self.header = check_header(said, where)
        if lost:
            raise UsageError(f"{where} is damaged: it has no column {lost[0]!r}")
        self._at_once = max(1, BYTES * self._rows // max(size, 1))

    def __len__(self) -> int:
        return int(self._rows)

    def rows(self, columns: tuple[str, ...] | None = None) -> Iterator[dict[str, Any]]:
        try:
            with self._parquet.ParquetFile(self._path, pre_buffer=False, page_checksum_verification=True) as file:
                for batch in file.iter_batches(self._at_once, columns=columns):
                    yield from rows_in(batch)
        except self._wrong as error:
            raise UsageError(f"{str(self._path)!r} is damaged: {one_line(error)}") from None


class _Folder:
    def __init__(self, path: Path) -> None:
        where = path / MANIFEST
        if not where.is_file():
            raise UsageError(f"the folder {str(path)!r} holds no maps of onnxsal: there is no {MANIFEST} in it")
        self.header = check_header(parse_json(read_text(where, "maps"), repr(str(where))), repr(str(path)))
        self._files = sorted(path.glob("*.npz"))

    def __len__(self) -> int:
        return len(self._files)

    def rows(self, columns: tuple[str, ...] | None = None) -> Iterator[dict[str, Any]]:
        for path in self._files:
            yield row_in(path, columns)


def row_in(path: Path, columns: tuple[str, ...] | None = WORDS) -> dict[str, Any]:
    """Return the row of an .npz file, by default but for its map. Raises: UsageError: it is none, or damaged."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:  # which leaves a broken one open
            said = json.loads(arrays["row"].item())
            row: dict[str, Any] = {name: said[name] for name in WORDS}
            if columns is None:
                row["map"] = arrays["map"].reshape(-1)
                row["stderr"] = arrays["stderr"].reshape(-1) if "stderr" in arrays else None
    except (*UNREADABLE, KeyError) as error:
        raise UsageError(f"{str(path)!r} is no map of onnxsal, or is damaged: {error}") from None
    return row
