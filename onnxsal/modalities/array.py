"""Arrays: any input of floats that nothing proves to be an image or a sequence, explained number by number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, shown
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import dims
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.npy import read_array
from onnxsal.modalities.registry import Reader, Sample, Seen, modality
from onnxsal.viz.series import series
from onnxsal.viz.shades import shades

Floats = NDArray[np.float32]

_LETTERS = "ZYXVUSRQPOMLKJIGFEDHW"
"""Of positions, the last ones of as many as there are: rows and columns are H and W."""

_OPEN = 256

_WANTED = "what is explained is an array of floats"


@modality("array")
class ArrayModality:
    """Models of one array of floats, of any number of axes: every number is a position of its own.

    The first axis holds the batch where the file leaves it open or fixes it to 1, and there is another one.
    """

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = dict.fromkeys(_LETTERS, _OPEN)
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = True

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its array. Raises: UnsupportedError: it takes something else."""
        alone = len(graph.inputs) == 1 and isinstance(graph.inputs[0].type, ir.TensorType)  # and no sequence of them
        shape = dims(graph.inputs[0]) if alone else None
        if shape is None or graph.inputs[0].dtype not in FED or len(shape) > len(_LETTERS):
            taken = ", ".join(f"{v.name!r} {shown(v)}" for v in graph.inputs)
            raise UnsupportedError(
                f"onnxsal explains models of one array of floats; this one takes {taken or 'nothing'}"
            )
        (source,) = graph.inputs
        batched = len(shape) > 1 and (shape[0] == 1 or not isinstance(shape[0], int))
        count = len(shape) - batched
        spatial = _LETTERS[-max(count, 1) :]
        axes = ("N" if batched else "") + (spatial if count else "")
        sizes = [d for d in shape[batched:] if isinstance(d, int)] if count else [1]
        return Entry(
            str(source.name), str(source.name), source.dtype or ir.DataType.FLOAT, axes, axes, 1,
            tuple(sizes) if len(sizes) == len(spatial) else None, spatial=spatial,
        )  # fmt: skip

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> None:
        """Return None: an array is taken as it is. Raises: UsageError: preprocessing was asked for."""
        if source is not None:
            raise UsageError("preprocessing is for images; an array is taken as it is, so prepare it beforehand")

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return the size of an array of the input's axes, with the batch or without it, None where it has others.

        Raises: as reading it.
        """
        own = _own(read_array(thing, _WANTED).array, entry)
        return None if own is None or not own.ndim else dict(zip(entry.spatial, own.shape, strict=True))

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return an array of the input's own shape (or without its batch axis), or the ``.npy`` file of one.

        Raises: ImageError: the file cannot be read. UsageError: it is of another shape or type, or not finite.
        """
        given = read_array(thing, _WANTED)
        name, array = given.name, given.array
        entry = reader.entry
        own, expected = _own(array, entry), reader.size if entry.input_axes else ()
        if own is None or own.shape != expected or array.dtype.kind not in "fiub":
            raise UsageError(
                f"{name!r} is {array.dtype} {list(array.shape)}, and {entry.input!r} takes floats {list(expected)}"
                f"{'' if own is None or own.shape == expected else _lengths(own, reader)}"
            )
        x = reader.enter((own if entry.one_by_one else own[None]).astype(entry.dtype.numpy()))
        check_finite(x, repr(name), batch=not entry.one_by_one)
        return Sample(x, name, backdrop=backdrop(x[0]))

    def blank(self, reader: Reader) -> Floats:
        """Return zero: nothing says what nothing there is, [1]."""
        return np.zeros(reader.entry.channels, np.float32)


def _lengths(own: NDArray[Any], reader: Reader) -> str:
    """Say of an array of the input's axes which lengths its file fixes, or how it is opened for others."""
    sizes = zip(reader.entry.spatial, own.shape, reader.size, strict=True)
    wrong = [(at, letter, size) for at, (letter, n, size) in enumerate(sizes) if n != size]
    fixed = [f"axis {at} to {size}" for at, letter, size in wrong if letter not in reader.open_axes]
    if fixed:
        return f": the file fixes {', '.join(fixed)}"
    return ": the file leaves that open, and it was opened for another size (size=, --size)"


def _own(array: NDArray[Any], entry: Entry) -> NDArray[Any] | None:
    """Return an array without the batch axis, None where it has not the axes of an input."""
    rank = len(entry.input_axes.replace("N", ""))
    if array.ndim == rank:
        return array
    return array[0] if not entry.one_by_one and array.ndim == rank + 1 and len(array) == 1 else None


def backdrop(values: Floats) -> Callable[[], Seen] | None:
    """Return what draws an array of one axis or two, those of one element left out; None of more."""
    wide = sum(size > 1 for size in values.shape)
    return None if wide > 2 else partial(_drawn, values)


def _drawn(values: Floats) -> Seen:
    rows = values.reshape(-1, values.shape[-1])
    image = series(rows) if len(rows) == 1 else shades(rows)
    return Seen(image, (0.0, 0.0, float(image.shape[1]), float(image.shape[0])), image)
