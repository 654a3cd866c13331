"""Images: photographs as a model wants them, and arrays shaped like its input."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.anatomy.parts import ones
from onnxsal.errors import UsageError
from onnxsal.modalities.finite import how_many
from onnxsal.modalities.image.bands import PHOTOGRAPHS, Bands, bands_of
from onnxsal.modalities.image.entry import find_entry
from onnxsal.modalities.image.geometry import resizes
from onnxsal.modalities.image.images import read_image
from onnxsal.modalities.image.preprocess import Preprocess
from onnxsal.modalities.image.sizes import stated_sizes, stated_stride
from onnxsal.modalities.image.sources import Gathered, as_preprocess, gather_preprocess
from onnxsal.modalities.npy import opened
from onnxsal.modalities.registry import Reader, Sample, Seen, StatedSize, modality

Floats = NDArray[np.float32]


@modality("image")
class ImageModality:
    """Models of one picture, [B, C, H, W] or [B, H, W, C]."""

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]] = {"H": 224, "W": 224}
    preprocessed: ClassVar[bool] = True
    says_size: ClassVar[bool] = True

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes its picture. Raises: UnsupportedError: it takes something else."""
        return find_entry(graph)

    def stated_sizes(self, source: Any, path: str, metadata: Mapping[str, str]) -> tuple[StatedSize, ...]:
        """Return who says the height and width of a model's pictures."""
        return stated_sizes(source, path, metadata)

    def stated_stride(self, metadata: Mapping[str, str]) -> int:
        """Return of what number sides are multiples, 1 where the metadata do not say it."""
        return stated_stride(metadata)

    def resizes(self, model: ir.Model, entry: Entry) -> str | None:
        """Return the Resize at which a model brings pictures of any size to one of its own, or None."""
        return resizes(model, entry)

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return the height and width of an array that is taken as it is, and of any picture where it goes in so."""
        return own_size(thing, entry, any_size=any_size)

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> Preprocess | None:
        """Return the preprocessing that was given, else the model's own; raw where its input is bytes."""
        found = as_preprocess(source) if source is not None else _gathered(path, metadata, entry).preprocess
        if found is None and entry.dtype == ir.DataType.UINT8:  # what is resized inside is not cropped before
            found = replace(as_preprocess("raw"), fit="squash" if entry.resized else "crop")
        if found is None and entry.dtype == ir.DataType.UINT16:
            found = replace(as_preprocess("raw"), scale=257.0, fit="squash" if entry.resized else "crop")
        if found is None:
            return None
        fitting = found.for_channels(entry.channels)
        return fitting if entry.size is None else fitting.for_size(entry.size)

    def preprocess_notes(self, path: str, metadata: Mapping[str, str], entry: Entry) -> tuple[str, ...]:
        """Return what is to be told of the preprocessing that comes with a model."""
        return _gathered(path, metadata, entry).notes

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return a picture as the model sees it.

        ``thing`` is what ``read_image`` reads, preprocessed as the model says; or a float array shaped like the model's
        input, taken as it is. An ``.npy`` file is the array that it holds.
        """
        bands = bands_of(thing, reader.entry)
        if bands is not None:
            return _taken(bands, reader)
        path = os.fspath(thing) if isinstance(thing, str | os.PathLike) else "IMAGE"
        name, thing = _name(thing), opened(thing)
        photo, channels = read_image(thing), reader.entry.channels
        if channels not in PHOTOGRAPHS:
            raise UsageError(
                f"the model takes {channels} channels, and {photo.name!r} is a photograph: hand over an array or an "
                f".npy file of {channels} bands, or a TIFF of as many pages"
            )
        own = reader.entry.dtype.numpy() if reader.entry.is_raw else np.float32
        fitted = known(reader.preprocess, path).apply(photo, _hw(reader.size), own)
        values, said = _whole(fitted.values, reader) if photo.levels is not None else (fitted.values, _words(reader))
        x = _entered(_feed(values, reader.entry, known(reader.preprocess)), reader)
        named = name if isinstance(thing, np.ndarray) else photo.name
        return Sample(x, named, Seen(fitted.image, fitted.box, np.asarray(photo.pixels)), (*photo.notes, *said))

    def blank(self, reader: Reader) -> Floats:
        """Return the value of a black pixel, [C], the black picture [C, H, W] where a mean picture is taken off it.

        Zero where the preprocessing is unknown.
        """
        entry = reader.entry
        if reader.preprocess is None:
            return np.zeros(entry.channels, np.float32)
        reader.preprocess.for_size(reader.size)
        black = reader.preprocess.limits()[0]
        low = np.broadcast_to(black.reshape(len(black), *(black.shape[1:] or (1, 1))), (entry.channels, *reader.size))
        black = _entered(_feed(np.ascontiguousarray(low), entry, reader.preprocess), reader)
        return black if np.ptp(black, axis=(1, 2)).any() else black[:, 0, 0]


def _gathered(path: str, metadata: Mapping[str, str], entry: Entry) -> Gathered:
    return gather_preprocess(path or "model.onnx", metadata, entry.channels)


def known(preprocess: Preprocess | None, image: str = "IMAGE", model: str = "MODEL") -> Preprocess:
    """Return how the model wants its pictures. Args: image, model: what stands in the command to copy.

    Raises: UsageError: nothing says so.
    """
    if preprocess is None:
        raise UsageError(
            "the model does not say how it wants its pictures. Name a preset with --preprocess (preprocess=...), "
            "or see what it makes of the picture under each: "
            f"onnxsal predict {shlex.quote(model)} {shlex.quote(image)}"
        )
    return preprocess


def own_size(thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
    """Return the sizes of what is taken as it is by the letters of its axes, and of others where ``any_size`` is."""
    bands = bands_of(thing, entry)
    if bands is not None:
        if bands.array.ndim != len(entry.input_axes):
            return None
        pairs = zip(entry.input_axes, bands.array.shape, strict=True)
        return {letter: n for letter, n in pairs if letter in entry.spatial}
    if not any_size:
        return None
    width, height = read_image(opened(thing)).pixels.size
    return {"H": height, "W": width}


def _name(thing: Any) -> str:
    """Return what an array is called: by its file, where it has one."""
    return Path(thing).name if isinstance(thing, str | os.PathLike) else "array"


def _hw(size: tuple[int, ...]) -> tuple[int, int]:
    height, width = size
    return height, width


def _whole(values: Floats, reader: Reader) -> tuple[Floats, tuple[str, ...]]:
    """Return values finer than bytes as the model takes them: rounded, where it takes whole numbers."""
    preprocess = known(reader.preprocess)
    table = preprocess.table()
    if not reader.entry.is_raw or (table != np.rint(table)).any() or preprocess.mean_image is not None:
        return values, ()
    in_bytes = reader.entry.dtype in (ir.DataType.UINT8, ir.DataType.INT8)
    return np.rint(values), ("rounded to 8 bits: the model takes bytes",) if in_bytes else ()


def _words(reader: Reader) -> tuple[str, ...]:
    """Return what is to be said of a picture of bytes for a model of 16 bits."""
    is_words = reader.entry.dtype == ir.DataType.UINT16 and float(known(reader.preprocess).limits()[1].max()) > 255
    return ("8 bits are scaled to the model's 16 (0-255 to 0-65535)",) if is_words else ()


def prepared(thing: Any, entry: Entry, preprocess: Preprocess, size: tuple[int, ...]) -> NDArray[Any]:
    """Return a photograph as an input takes it, with a batch axis. Raises: ImageError, UsageError: it is none."""
    photo = read_image(opened(thing))
    return _feed(preprocess.apply(photo, _hw(size)).values, entry, preprocess)


def _feed(values: NDArray[Any], entry: Entry, preprocess: Preprocess) -> NDArray[Any]:
    """Return [C, H, W] in the layout and type of the model's input, with a batch axis."""
    array = np.expand_dims(values[None].transpose(entry.fed_from_sal), tuple(ones(entry.input_axes)))
    dtype = entry.dtype.numpy()
    if entry.is_raw and array.dtype != dtype:
        info = np.iinfo(dtype)
        if array.min() < info.min or array.max() > info.max or (array != np.round(array)).any():
            raise UsageError(
                f"the model takes {entry.dtype.name} bytes, and preprocessing "
                f"{preprocess.name!r} gives other numbers "
                f"({array.min():.3g} to {array.max():.3g}); use raw"
            )
    return np.ascontiguousarray(array, dtype)


def _taken(bands: Bands, reader: Reader) -> Sample:
    """Return an array as it is; its own range stretched to grey or colour is what maps are drawn on."""
    shape, whole = reader.shape, bands.array
    if (
        whole.ndim != len(shape)
        or len(whole) != 1
        or any(isinstance(d, int) and d != n for d, n in zip(shape[1:], whole.shape[1:], strict=True))
    ):
        raise UsageError(
            f"a float array must be shaped like the model's input {list(shape)}, one image; got "
            f"{list(whole.shape[1:] if whole.ndim == len(shape) and len(whole) == 1 else whole.shape)}"
        )
    values, said = _prepared(whole, reader)
    x = _entered(values, reader)
    seen, notes = visible(x), (*bands.notes, *said)
    return Sample(x, bands.name, Seen(seen, (0.0, 0.0, float(seen.shape[1]), float(seen.shape[0])), seen), notes)


def _prepared(whole: NDArray[Any], reader: Reader) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return what the model takes of an array [1, ...]: floats as they are, integers as its preprocessing says."""
    if whole.dtype.kind == "f" or reader.preprocess is None:
        said = () if whole.dtype.kind == "f" else ("its integers are taken as they are: no preprocessing is known",)
        return whole.astype(reader.entry.dtype.numpy()), said
    axis = reader.entry.input_axes.index("C")
    levels = np.moveaxis(whole, axis, 1).astype(np.float64) * (255 / np.iinfo(whole.dtype).max)
    return np.moveaxis(reader.preprocess.values_of(levels[0])[None], 1, axis).astype(reader.entry.dtype.numpy()), ()


def _entered(feed: NDArray[Any], reader: Reader) -> Floats:
    x = reader.enter(feed)
    if not np.isfinite(x).all():
        raise UsageError(f"the picture holds numbers that are not finite{how_many(feed)}")
    return x


def visible(x: Floats) -> NDArray[np.uint8]:
    """Return what a map of an array x [C, H, W] is drawn over: its range stretched to grey or colour, [H, W, 3]."""
    span = float(np.ptp(x)) or 1.0
    shown = ((x - x.min()) / span * 255).astype(np.uint8)
    channels = shown if len(shown) == 3 else np.repeat(shown[:1], 3, axis=0)
    return np.ascontiguousarray(channels.transpose(1, 2, 0))
