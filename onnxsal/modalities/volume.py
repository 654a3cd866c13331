"""Volumes: channels over three axes, [B, C, D, H, W], as scans and films are, in NIfTI files and NumPy's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.entry import FED, explained_at, shown
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.files import parse_json, read_text, replacing
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.finite import check_finite
from onnxsal.modalities.image.entry import order_by_following
from onnxsal.modalities.npy import Named, is_npy, read_array
from onnxsal.modalities.registry import Reader, Sample, Seen, modality
from onnxsal.modalities.scans import (
    ASKED,
    Axes,
    Space,
    Turn,
    checked_axes,
    is_scan,
    read_scan,
    scan_shape,
    shown_turn,
)
from onnxsal.viz.slices import peak, slices

Floats = NDArray[np.float32]

AXES = "NCDHW"
"""As convolutions and pooling have them, which proves which axis of an input is which."""

_ORDERS = frozenset("N" + "".join(order) for order in permutations(AXES[1:]))

_WANTED = "a volume is an array [C, D, H, W], a NIfTI file (.nii, .nii.gz)"

_PLANES = ("axial", "coronal", "sagittal")

_AS_THEY_ARE = Turn((0, 1, 2), (False, False, False))


@dataclass(frozen=True)
class Volume(Sample):
    """A volume on its way into a model; of a scan also where its voxels lie."""

    space: Space | None = None

    @property
    def is_drawn(self) -> bool:
        """Three slices of it are."""
        return True

    @property
    def mask_reader(self) -> Callable[[str | os.PathLike[str]], NDArray[np.bool_]] | None:
        """What reads a mask on the grid of the scan."""
        return None if self.space is None else self.space.read_mask

    def canvas(self) -> Seen:
        """Return the slices through the middle."""
        return self.drawn(np.zeros(self.x.shape[1:], np.float32))[0]

    def drawn(self, saliency: Floats, each: Floats | None = None) -> tuple[Seen, Floats]:
        """Return the slices through where a map [D, H, W] is strongest, and the map on them."""
        turn = _AS_THEY_ARE if self.space is None else shown_turn(self.space)
        turned = turn.apply(saliency)
        place = peak(turned)
        found = slices(
            turn.apply(self._shades), turned, place, spacing=self._spacing(turn), names=self._names(turn, place)
        )
        height, width = found.image.shape[:2]
        return Seen(found.image, (0.0, 0.0, float(width), float(height)), found.image), found.saliency

    @cached_property
    def _shades(self) -> Floats:
        """The volume in [0, 1], each channel by its own range: colours of three channels, else their mean."""
        low, high = (end(self.x, axis=(1, 2, 3), keepdims=True) for end in (np.min, np.max))
        shares = np.asarray((self.x - low) / np.where(high > low, high - low, 1), np.float32)
        return np.moveaxis(shares, 0, -1) if len(shares) == 3 else np.asarray(shares.mean(axis=0))

    def _spacing(self, turn: Turn) -> tuple[float, ...]:
        if self.space is None:
            return 1.0, 1.0, 1.0
        return tuple(self.space.spacing[self.space.turn.order[axis]] for axis in turn.order)

    def _names(self, turn: Turn, place: tuple[int, int, int]) -> list[str]:
        """What stands below the slices: which voxels they are of, counted from 0 as the file or the array has them."""
        if self.space is None:
            return [f"{letter} {at}" for letter, at in zip("DHW", place, strict=True)]
        own = self.space.turn.before(turn.before(place, [self.x.shape[1:][i] for i in turn.order]), self.x.shape[1:])
        axes = [self.space.turn.order[axis] for axis in turn.order]
        return [f"{plane}, {'xyz'[axis]} {own[axis]}" for plane, axis in zip(_PLANES, axes, strict=True)]


@modality("volume")
class VolumeModality:
    """Models of one volume of floats, channels and three axes of positions, that goes into a convolution or pooling."""

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"D": 32, "H": 64, "W": 64}
    preprocessed: ClassVar[bool] = False
    says_size: ClassVar[bool] = True

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its volume. Raises: UnsupportedError: it takes something else."""
        if len(graph.inputs) != 1 or (axes := _axes(graph.inputs[0])) is None:
            taken = ", ".join(f"{v.name!r} {shown(v)}" for v in graph.inputs)
            raise UnsupportedError(
                "onnxsal explains models of one volume, [B, C, D, H, W] of floats that go into a convolution or "
                f"pooling; this one takes {taken or 'nothing'}"
            )
        source = graph.inputs[0]
        explained, sizes = explained_at(source, axes, _ORDERS), dict(zip(axes, dims(source) or (), strict=True))
        if not isinstance(sizes["C"], int):
            raise UnsupportedError(f"the model leaves open how many channels {source.name!r} has")
        size = tuple(n for letter in "DHW" if isinstance(n := sizes[letter], int))
        return Entry(
            str(source.name), str(explained.value.name), source.dtype or ir.DataType.FLOAT, axes, explained.axes(axes),
            sizes["C"], size if len(size) == 3 else None, spatial="DHW",
        )  # fmt: skip

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> Axes | None:
        """Return which way the axes of scans go in, as was said, in the file or in ``NAME.preprocess.json`` beside it.

        Raises: UsageError: what is said is no such thing: numbers are taken as they are.
        """
        if source is not None:
            return source if isinstance(source, Axes) else _said(source)
        if (text := metadata.get("onnxsal.preprocess")) is not None:
            return checked_axes(parse_json(text, "the metadata"), "onnxsal.preprocess")
        file = Path(path).with_suffix(".preprocess.json") if path else None
        return _said(file) if file is not None and file.is_file() else None

    def read_size(self, thing: Any, reader: Reader) -> Mapping[str, int] | None:
        """Return the size of a scan as it goes in, None of an array. Raises: as reading it."""
        if not is_scan(thing):
            return None
        return dict(zip("DHW", scan_shape(thing, _known(reader.preprocess, thing))[:3], strict=True))

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return the size of an array, None where it is no volume. Raises: as reading it."""
        if is_scan(thing):
            return None
        shape = read_array(thing, _WANTED).array.shape
        axes = _letters(len(shape), entry)
        return None if axes is None else {a: n for a, n in zip(axes, shape, strict=True) if a in "DHW"}

    def read(self, thing: Any, reader: Reader) -> Volume:
        """Return a volume, numbers with the model's own axes (without that of the batch, or of one channel), or a file.

        Of a NIfTI file a voxel's number is what the file's own scale makes of it; channels are its last axis.
        Raises: ImageError: the file cannot be read. UsageError: it is of another shape or type, not finite, or nothing
        says which way its axes go in.
        """
        entry, space = reader.entry, None
        if is_scan(thing):
            scan = read_scan(thing, _known(reader.preprocess, thing))
            given, space = Named(Path(thing).name, scan.array), scan.space
            axes: str | None = "DHWC"[: scan.array.ndim]
        else:
            given = read_array(thing, _WANTED)
            axes = _letters(given.array.ndim, entry)
        sizes = {"N": 1, "C": entry.channels, **dict(zip("DHW", reader.size, strict=True))}
        own = {} if axes is None else dict(zip(axes, given.array.shape, strict=True))
        if axes is None or given.array.dtype.kind not in "fiu" or {**sizes, **own} != sizes or _lacks(own, entry):
            raise UsageError(_other(given, sizes, axes, space, entry))
        feed = _in_order(given.array, axes, entry.input_axes).astype(entry.dtype.numpy(), copy=False)
        x = reader.enter(np.ascontiguousarray(feed))
        check_finite(x, repr(given.name), batch=False)
        return Volume(x, given.name, space=space)

    def blank(self, reader: Reader) -> Floats:
        """Return what 0 is in the explained domain, [C]."""
        sizes = {"N": 1, "C": reader.entry.channels, **dict.fromkeys("DHW", 1)}
        sizes |= dict(zip("DHW", reader.size, strict=True))
        zeros = np.zeros([sizes[letter] for letter in reader.entry.input_axes], reader.entry.dtype.numpy())
        return reader.enter(zeros)[:, 0, 0, 0]

    def writes(self, path: str | os.PathLike[str]) -> bool:
        """Return whether maps are written as a file that is called so: NIfTI, and ``.npy``."""
        return is_scan(path) or is_npy(path)

    def write(self, path: str | os.PathLike[str], saliency: Floats, sample: Sample) -> None:
        """Write a map: as NIfTI voxel for voxel on the grid of the scan that it is of, as ``.npy`` [D, H, W].

        Raises: UsageError: what was explained was no scan. OutputError: it cannot be written.
        """
        if not is_scan(path):
            with replacing(path) as part, part.open("wb") as file:
                np.save(file, saliency)
            return
        space = getattr(sample, "space", None)
        if space is None:
            raise UsageError(
                f"{os.fspath(path)!r}: a map is written as NIfTI on the grid of a scan, and {sample.name!r} is an "
                "array of which no affine is known; write .npy or .npz"
            )
        space.write(path, saliency)


def _axes(value: ir.Value) -> str | None:
    """Return the letters of an input's axes where the operators that it goes into prove them."""
    if len(dims(value) or ()) != len(AXES) or not is_float(value) or value.dtype not in FED:
        return None
    found = order_by_following(value, AXES)
    return found if found in _ORDERS else None


def _said(source: Any) -> Axes:
    if isinstance(source, str | os.PathLike) and os.fspath(source).endswith(".json"):
        return checked_axes(parse_json(read_text(source, "the preprocessing"), os.fspath(source)), os.fspath(source))
    return checked_axes(source)


def _known(axes: Axes | None, thing: Any) -> Axes:
    """Return the axes. Raises: UsageError: nobody says them, and a graph does not."""
    if axes is None:
        raise UsageError(
            f"{Path(thing).name!r} is a scan, whose axes are x, y, z, and the model's are not named; {ASKED}"
        )
    return axes


def _letters(rank: int, entry: Entry) -> str | None:
    """Return what the axes of an array of so many are: the model's, without the batch, and without one channel."""
    axes = entry.input_axes
    return {5: axes, 4: axes.replace("N", ""), 3: axes.replace("N", "").replace("C", "")}.get(rank)


def _lacks(own: Mapping[str, int], entry: Entry) -> bool:
    return "C" not in own and entry.channels != 1


def _in_order(array: NDArray[Any], axes: str, wanted: str) -> NDArray[Any]:
    """Return an array with other axes, those that it has not of one element."""
    missing = [letter for letter in wanted if letter not in axes]
    present = "".join(missing) + axes
    return array.reshape(*(1 for _ in missing), *array.shape).transpose([present.index(letter) for letter in wanted])


def _other(given: Named, sizes: Mapping[str, int], axes: str | None, space: Space | None, entry: Entry) -> str:
    """Say what is wrong with a volume of another shape or type."""
    wanted = axes if space is not None and axes is not None else entry.input_axes.replace("N", "")
    if space is not None and entry.channels != 1 and "C" not in wanted:
        wanted += "C"
    goes = "" if space is None else f" (its axes go in as {', '.join('xyz'[i] for i in space.turn.order)})"
    return (
        f"{given.name!r} is {given.array.dtype} {list(given.array.shape)}{goes}, and the model takes numbers "
        f"{', '.join(wanted)} {[sizes[letter] for letter in wanted]}; where its file leaves a size open, "
        "load(size=...) opens it for another"
    )
