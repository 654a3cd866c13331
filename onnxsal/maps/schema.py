"""What a file of maps holds: its columns, the types that maps are kept in, and the words about the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from onnxsal._version import __version__
from onnxsal.errors import UsageError, nearest

KEY = "onnxsal.maps"
"""The key of Parquet's metadata that the words about the whole stand under."""

VERSION = 1
"""Of the columns: it grows where what was written before would be read wrongly."""

DTYPES = ("float32", "float16", "uint8")

ERRORS = "error"
"""Stands for the type of standard errors in the table of columns: float32 beside float32, else float16."""

MAPS = "map"
"""Stands for the type that maps are kept in."""


@dataclass(frozen=True)
class Column:
    """A column: its name, its type (``list`` of one where there are several numbers), what it holds."""

    name: str
    type: str
    meaning: str
    open: bool = False
    """Whether some rows have none."""


COLUMNS = (
    Column("id", "string", "which thing: its path in the folder that was named, else the path that was named"),
    Column("name", "string", "what the picture is called: its file's name"),
    Column("asked", "string", "the target as it was asked for; of `all` with a number behind", True),
    Column("label", "string", "the target's name"),
    Column("target", "int64", "the class, where it is one", True),
    Column("minus", "int64", "the class that is taken off, of a pair", True),
    Column("target_text", "string", "an element (`boxes[0, 4, 17]`) or a reference (`like:FILE`)", True),
    Column("score", "float64", "the target's probability, NaN where there is none"),
    Column("logit", "float64", "the value in front of softmax or sigmoid, NaN where there is none"),
    Column("method", "string", "its name"),
    Column("shape", "list int32", "of the map as computed: [h, w] of a layer, [C, *S] of pixels"),
    Column("map", f"list {MAPS}", "the map as computed, its last axis fastest: map_offset + map_scale * number"),
    Column("map_scale", "float64", "1 in float32"),
    Column("map_offset", "float64", "0 in float32"),
    Column("stderr", f"list {ERRORS}", "its standard error, of the same shape: stderr_scale * number", True),
    Column("stderr_scale", "float64", "1 in float32", True),
    Column("size", "list int32", "S, the positions of the model's input, to which the map is stretched"),
    Column("placement", "string", "JSON: where a layer's cells lie in S, if not evenly all over it", True),
    Column("box", "list float64", "left, top, width, height of what the model saw, in the photograph's pixels", True),
    Column("width", "int32", "of the upright photograph", True),
    Column("height", "int32", "of the upright photograph", True),
    Column("crc32", "int64", "CRC-32 of the photograph's pixels; of other things of what the model took"),
    Column("detection", "string", "JSON: what was detected: label, index, score, box, number", True),
    Column("notes", "list string", "what is to be told of the map"),
    Column("seconds", "float64", "that it took"),
    Column("about", "string", "JSON: what else the manifest says of this map"),
    Column("run", "string", "by which key the rest of its manifest stands among `runs` of the whole"),
)


_PLAIN: Mapping[str, Any] = {"string": str, "int32": int, "int64": int, "float64": Real}
"""What holds a value of a column that is no list; of a number that is none, NaN, JSON has null."""


def check_row(row: Mapping[str, Any]) -> None:
    """Check that a row has values of its columns' types. Raises: UsageError: it has not."""
    for each in COLUMNS:
        value, kind = row.get(each.name), _PLAIN.get(each.type)
        none = value is None and (each.open or kind is Real)
        if each.name not in row or kind is None or none or isinstance(value, kind):
            continue
        raise UsageError(f"the map of {row.get('id')!r} is damaged: its {each.name} is no {each.type}: {value!r:.60}")


def check_dtype(dtype: str) -> str:
    """Return the type that maps are kept in. Raises: UsageError: there is no such one."""
    if dtype not in DTYPES:
        raise UsageError(f"maps are kept as {', '.join(DTYPES)}; got {dtype!r}{nearest(dtype, DTYPES)}")
    return dtype


REQUEST = "request"
"""The word about the whole that tells what was asked for from anything else, so that it can be gone on with."""


def header(dtype: str, runs: Mapping[str, Any], *, complete: bool, request: str | None = None) -> dict[str, Any]:
    """Return what stands once in a file: version, type of the maps, and the manifests by the key of their run."""
    asked = {} if request is None else {REQUEST: request}
    return {
        "format": KEY, "version": VERSION, "onnxsal": __version__, "dtype": dtype, "complete": complete, **asked,
        "runs": dict(runs),
    }  # fmt: skip


def check_header(found: Any, where: str) -> dict[str, Any]:
    """Return what stands once in a file, checked. Raises: UsageError: it is something else, or of a later version."""
    if not isinstance(found, dict) or found.get("format") != KEY:
        raise UsageError(f"{where} holds no maps of onnxsal: those are written by onnxsal explain --out")
    version = found.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise UsageError(
            f"{where} is of version {version!r}, written by onnxsal {found.get('onnxsal')}, and this onnxsal "
            f"({__version__}) reads up to version {VERSION}: take a newer one"
        )
    if not isinstance(found.get("runs"), dict):
        raise UsageError(f"{where} is damaged: its header does not say of which runs its maps are")
    return found
