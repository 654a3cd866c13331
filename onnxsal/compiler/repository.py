"""A model repository of NVIDIA's Triton: a compiled file in a folder of its own, and what the server is told of it.

What its ONNX backend and its core refuse is in docs/servers.md; ``config_of`` keeps to that.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.compiler.metadata import METADATA
from onnxsal.errors import ModelError, OutputError, UnsupportedError, UsageError
from onnxsal.files import replacing
from onnxsal.graph import Program, load_ir, save_ir
from onnxsal.runtime import Port, Session

MOST = 8
"""Things that the server may run together, where nobody says it."""

_TYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float": "FP32", "double": "FP64",
    "string": "STRING",
}  # fmt: skip
"""What the backend calls ONNX's types; others it has none for."""

LABELS = "labels.txt"


def save_repository(
    model: onnx.ModelProto | str | os.PathLike[str], folder: str | os.PathLike[str], *, name: str | None = None,
    max_batch_size: int = MOST,
) -> str:  # fmt: skip
    """Return the name under which Triton serves a file of ``compile(runtime="triton")``, after writing its repository.

    Writes ``folder/NAME/config.pbtxt``, ``folder/NAME/1/model.onnx`` with weights beside it that are external, and
    ``folder/NAME/labels.txt`` where the file knows its classes.

    Args: name: by default that of the file which the model was made from. max_batch_size: how many things the server
    may run together; a file that takes no batches has 0.
    Raises: UsageError: the file was not compiled for Triton. UnsupportedError: the server has no type for an input or
    output. OutputError: nothing can be written there.
    """
    return write_repository(load_ir(model), Path(folder), name=name, most=max_batch_size)


def write_repository(
    made: ir.Model, folder: Path, *, name: str | None = None, most: int = MOST, source: ir.Model | None = None
) -> str:
    """Return what ``save_repository`` does. Args: source: the user's own model."""
    told = _described(made)
    name = model_name(str(told.get("source") or "model")) if name is None else _checked(name)
    if most < 1:
        raise UsageError(f"max_batch_size={most}: the server has to run one thing at least")
    labels = json.loads(made.metadata_props.get("onnxsal.labels", "[]"))
    text = config_of(name, *_ports(made), most=most, labels=(str(told["output"].get("name")), len(labels)))
    own = folder / name
    _folders(own / "1")
    save_ir(made, own / "1" / "model.onnx", source=source)
    if f'"{LABELS}"' in text:
        _write(own / LABELS, "".join(f"{' '.join(str(label).split())}\n" for label in labels))
    _write(own / "config.pbtxt", text)  # at last: a server that looks on finds nothing before
    return name


def model_name(path: str) -> str:
    """Return what a file is served as: its name without its ending, in characters that an address keeps."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(path).stem).strip("._-") or "model"


def config_of(
    name: str, inputs: Sequence[Port], outputs: Sequence[Port], *, most: int = MOST, labels: tuple[str, int] = ("", 0)
) -> str:
    """Return what the server is told of a file. Args: labels: the output that has them, and how many there are."""
    needed = [port for port in inputs if not port.optional]
    batched = _has_batch((*needed, *outputs))
    lines = [f"name: {_quoted(name)}", 'backend: "onnxruntime"', f"max_batch_size: {most if batched else 0}"]
    lines += ["dynamic_batching { }"] if batched and most > 1 else []
    for port in needed if batched else inputs:  # where it batches, the backend takes no optional input
        lines += _told("input", port, batched, ["optional: true"] if port.optional else [])
    for port in outputs:
        has = labels[1] > 1 and (port.name, labels[1]) == (labels[0], _count(port.shape[1:]))
        lines += _told("output", port, batched, [f"label_filename: {_quoted(LABELS)}"] if has else [])
    return "\n".join(lines) + "\n"


def _has_batch(ports: Sequence[Port]) -> bool:
    """Whether everything has as many rows in front as there are things, whatever that number is."""
    first = {port.shape[:1] for port in ports}
    return len(first) == 1 and all(isinstance(size, str) for sizes in first for size in sizes or (0,))


def _count(shape: Sequence[int | str | None]) -> int:
    """Return how many numbers there are, 0 where that is open."""
    return math.prod(size if isinstance(size, int) else 0 for size in shape)


def _told(kind: str, port: Port, batched: bool, more: Sequence[str]) -> Iterator[str]:
    """Yield the lines of an input or output."""
    own = port.shape[1:] if batched else port.shape
    sizes = ", ".join(str(size if isinstance(size, int) else -1) for size in own)
    yield f"{kind} {{"
    yield f"  name: {_quoted(port.name)}"
    yield f"  data_type: TYPE_{_type(port)}"
    yield f"  dims: [ {sizes or 1} ]"  # no size at all is refused
    if batched and not own:
        yield "  reshape { shape: [ ] }"
    yield from (f"  {line}" for line in more)
    yield "}"


def _type(port: Port) -> str:
    found = re.fullmatch(r"tensor\((\w+)\)", port.type)
    if found is None or found[1] not in _TYPES:
        raise UnsupportedError(
            f"Triton's ONNX backend has no type for {port.name!r}, which is {port.type}: cast it in the model, or "
            "leave it out"
        )
    return _TYPES[found[1]]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _described(made: ir.Model) -> dict[str, Any]:
    """Return what a file says of itself. Raises: UsageError: it was not made for Triton."""
    told: dict[str, Any] = json.loads(made.metadata_props.get(METADATA, "{}"))
    if told.get("runtime") != "triton":
        raise UsageError("a model repository is made of what compile(runtime='triton') gives; this is another file")
    return told


def _checked(name: str) -> str:
    if name != model_name(f"{name}.onnx"):
        raise UsageError(f"name={name!r}: a served model is called by letters, digits, and _ . - between them")
    return name


def _ports(made: ir.Model) -> tuple[tuple[Port, ...], tuple[Port, ...]]:
    """Return what goes in and out as ONNX Runtime sees it, to which the backend holds the configuration."""
    try:
        return Session(Program(made)).ports
    except ModelError as error:
        raise UnsupportedError(
            f"config.pbtxt has the sizes that ONNX Runtime sees, and it does not load the file here: {error}"
        ) from error


def _folders(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise OutputError(f"cannot make the folder {str(path)!r}: {error}") from error


def _write(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
