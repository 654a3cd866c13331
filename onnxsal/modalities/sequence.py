"""Sequences: channels over time, [B, C, T], as sensors, counters and electrodes give them, in NumPy's files and CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, explained_at, shown, steps_from
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.image.entry import order_by_following
from onnxsal.modalities.npy import read_array
from onnxsal.modalities.registry import BY_CHUNKS, Reader, Sample, Seen, modality
from onnxsal.modalities.series_file import SeriesFile, is_series_file, read_series
from onnxsal.viz.series import series

Floats = NDArray[np.float32]

_PROVING = frozenset({"Conv", "QLinearConv", "ConvInteger", "MaxPool", "AveragePool", "BatchNormalization",
                      "InstanceNormalization"})  # fmt: skip
"""Operators that have channels as their second axis, so that the third is time."""

_ORDERS = ("NCT", "NTC")

_WANTED = "a sequence is an array of floats [C, T], a CSV file"


@modality("sequence")
class SequenceModality:
    """Models of one sequence of floats, [B, C, T] or [B, T, C], whose first operator tells the two apart."""

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"T": 256}
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = True

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its sequence. Raises: UnsupportedError: it takes something else."""
        if len(graph.inputs) != 1 or (axes := _axes(graph.inputs[0])) is None:
            taken = ", ".join(f"{v.name!r} {shown(v)}" for v in graph.inputs)
            raise UnsupportedError(
                "onnxsal explains models of one sequence, [B, C, T] of floats that go into a convolution or pooling; "
                f"this one takes {taken or 'nothing'}"
            )
        source = graph.inputs[0]
        explained, sizes = explained_at(source, axes, _ORDERS), dict(zip(axes, dims(source) or (), strict=True))
        channels, steps = sizes["C"], sizes["T"]
        if not isinstance(channels, int):
            raise UnsupportedError(f"the model leaves open how many channels {source.name!r} has")
        return Entry(
            str(source.name), str(explained.value.name), source.dtype or ir.DataType.FLOAT, axes, explained.axes(axes),
            channels, (steps,) if isinstance(steps, int) else None, spatial="T",
        )  # fmt: skip

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> None:
        """Return None: a sequence is taken as it is. Raises: UsageError: preprocessing was asked for."""
        if source is not None:
            raise UsageError("preprocessing is for images; a sequence is taken as it is, so prepare it beforehand")

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return a sequence, float32 or float64 [C, T] (or with an axis of one in front), or the ``.npy`` file of one.

        Of a CSV file rows are steps and columns are channels, whichever way the model has its axes.
        Raises: ImageError: the file cannot be read. UsageError: it is of another shape or type, or not finite.
        """
        entry, names = reader.entry, None
        if is_series_file(thing):
            file = read_series(thing)
            name, names = Path(thing).name, file.names
            if file.values.shape[1] != entry.channels:
                raise UsageError(_other_columns(name, file, entry.channels))
            array = file.values if entry.input_axes == "NTC" else file.values.T
        else:
            given = read_array(thing, _WANTED)
            name, array = given.name, given.array
        batch = array[None] if array.ndim == 2 else array
        if batch.ndim != 3 or len(batch) != 1 or batch.dtype.kind != "f":
            raise UsageError(f"a sequence is an array of floats [C, T]; {name!r} is {array.dtype} {list(array.shape)}")
        wanted = {"N": 1, "C": entry.channels, "T": reader.size[0]}
        if batch.shape != (expected := tuple(wanted[letter] for letter in entry.input_axes)):
            raise UsageError(
                f"{name!r} has the shape {list(array.shape)}, and the model takes {list(expected[1:])}"
                f"{_otherwise(batch.shape, expected)}"
            )
        x = reader.enter(batch.astype(entry.dtype.numpy()))
        check_finite(x, repr(name), batch=False)
        return Sample(x, name, backdrop=partial(drawn, x, names))

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return how many steps a thing has, None where it is no sequence. Raises: as reading it."""
        if is_series_file(thing):
            return {"T": len(read_series(thing).values)}
        array = read_array(thing, _WANTED).array
        axes = entry.input_axes if array.ndim == len(entry.input_axes) else entry.input_axes.replace("N", "")
        return {"T": array.shape[axes.index("T")]} if array.ndim == len(axes) else None

    def blank(self, reader: Reader) -> Floats:
        """Return silence: what 0 is in the explained domain, [C]."""
        sizes = {"N": 1, "C": reader.entry.channels, "T": reader.size[0]}
        zeros = np.zeros([sizes[letter] for letter in reader.entry.input_axes], reader.entry.dtype.numpy())
        return reader.enter(zeros)[:, 0]


def _axes(value: ir.Value) -> str | None:
    """Return ``NCT`` or ``NTC`` where an operator that the sequence goes into proves it, or one behind that."""
    if len(dims(value) or ()) != 3 or not is_float(value) or value.dtype not in FED:
        return None
    last = steps_from(value, 3)[-1]
    if any(node.op_type in _PROVING and not node.domain for node in last.value.consumers()):
        found: str | None = "".join("NCT"[last.order.index(axis)] for axis in range(3))
    else:
        found = order_by_following(value, "NCT")
    return found if found in _ORDERS else None


def _otherwise(shape: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Say what to do with a sequence of another shape."""
    if shape[:0:-1] == expected[1:]:
        return ": its axes are the other way round, so hand over its transpose (array.T)"
    return "; where its file leaves the length open, load(size=...) opens it for another; " + BY_CHUNKS


def _other_columns(name: str, file: SeriesFile, channels: int) -> str:
    """Say what is wrong with a file of another number of channels."""
    count = file.values.shape[1]
    names = f" ({', '.join(file.names)})" if file.names is not None else ""
    return (
        f"{name!r} has {count} column{'s' if count > 1 else ''}{names}, and the model takes {channels} channels: a "
        "column for each, a row for each step, and no others such as the time"
    )


def drawn(x: Floats, names: Sequence[str] | None = None) -> Seen:
    """Return the plot of a sequence x [C, T] that its map is drawn over. Args: names: of its channels."""
    image = series(x, names)
    return Seen(image, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])), image)
