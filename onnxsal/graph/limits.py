"""Refusing a graph that no run of could fit into this machine, before the system is brought to its knees."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph.names import node_title
from onnxsal.graph.shapes import Dim, dims, per_image


def physical_memory() -> int | None:
    """Return the bytes of memory that the machine has, None where the system does not say."""
    names = getattr(os, "sysconf_names", {})
    if "SC_PHYS_PAGES" not in names or "SC_PAGE_SIZE" not in names:
        return None
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return pages * size if pages > 0 and size > 0 else None


def value_bytes(value: ir.Value) -> int:
    """Return the bytes of a value for one image; unknown extents count 1."""
    return kind_bytes(value.dtype, dims(value))


def kind_bytes(dtype: ir.DataType | None, shape: Sequence[Dim] | None) -> int:
    """Return the bytes of one image's value of a type and a shape; unknown extents count 1."""
    return 0 if shape is None else math.prod(per_image(d) for d in shape) * _bits(dtype) // 8


def _bits(dtype: ir.DataType | None) -> int:
    """Texts have no size of their own."""
    return 0 if dtype in (None, ir.DataType.STRING, ir.DataType.UNDEFINED) else int(dtype.bitwidth)


def check_limits(graph: ir.Graph, available: int | None = None) -> None:
    """Check that every value of a graph fits into memory (``available`` bytes; by default what the machine has).

    Raises: UnsupportedError: one does not; the node that computes it is named.
    """
    limit = available if available is not None else physical_memory()
    largest = max((v for node in graph for v in node.outputs), key=value_bytes, default=None)
    if limit is None or largest is None or value_bytes(largest) <= limit:
        return
    node = largest.producer()
    assert node is not None
    raise UnsupportedError(
        f"{node_title(node)} makes a value of shape {list(dims(largest) or ())}, "
        f"{_shown(value_bytes(largest))} for one picture; this machine has {_shown(limit)}"
    )


def _shown(count: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count} {unit}"
        count //= 1024
    return f"{count} bytes"
