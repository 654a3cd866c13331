"""From a photograph to a model's input: value = (pixel * scale - mean) / std per channel, in the model's order."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray
from PIL import Image

from onnxsal.errors import UsageError, nearest
from onnxsal.modalities.image.colours import Levels
from onnxsal.modalities.image.fit import (
    FITS,
    RESAMPLES,
    ROUNDINGS,
    Box,
    Colour,
    Fit,
    Placement,
    Resample,
    Rounding,
    Whole,
    draw,
    place,
)
from onnxsal.modalities.image.images import Photo
from onnxsal.modalities.image.mean_image import MeanImage
from onnxsal.options import is_count

ColourOrder: TypeAlias = Literal["RGB", "BGR", "grey", "bands"]

_ORDERS: tuple[str, ...] = get_args(ColourOrder)
_CROP_FRACTION = 0.875
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, eq=False)
class Fitted:
    """What became of a photograph.

    Shape: ``values`` float32 [C, H, W], or of the type asked for, in the model's channel order; ``picture`` uint8 RGB
    [H, W, 3], which it saw.
    Units: ``box`` is left, top, width, height of the picture in the upright photograph, in its pixels; padding makes it
    larger than the photograph.
    """

    values: NDArray[Any]
    image: NDArray[np.uint8]
    box: Box


@dataclass(frozen=True)
class Preprocess:
    """How a model wants its pictures: value = (pixel * scale - mean) / std, pixels 0 to 255, channels in model order.

    Args:
        colour: the model's channel order; ``grey`` is one channel (0.299 R + 0.587 G + 0.114 B), ``bands`` are those of
            an array, in its order.
        mean, std: one number for all channels, or one per channel in the model's order.
        fit: ``crop`` the centre, ``squash`` to the model's size, ``pad`` to it with ``pad_colour`` (RGB, 0 to 255), or
            ``cut`` the centre out of the picture as it is, with ``pad_colour`` round a smaller one.
        crop_fraction: the share of the resized picture's side that stays; by default 0.875 for crop, 1 for squash.
        resample: Pillow's filter, with antialiasing, or OpenCV's INTER_LINEAR, without: ``opencv-linear``.
        mean_image: taken off in place of ``mean``, which is 0 then: one number a pixel, of the model's own size.
        name: where it comes from, for messages; it takes no part in comparison, nor does the next.
        open_fit: whether what it comes from leaves open how a photograph is fitted.
        edge: pixels of the resized picture's shorter side (``crop``), or of both (``squash``), in place of
            ``crop_fraction``.
        said: what is to be told of it; it takes no part in comparison.
        rounding: how odd sides and margins become whole pixels: ``torchvision`` as there, ``inwards`` as the classes of
            transformers that run on it; by default sides are rounded and half a margin lies in front of padding.
    Raises: UsageError: a part is unknown, of the wrong length, or not a number that makes sense.
    """

    colour: ColourOrder = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    fit: Fit = "crop"
    crop_fraction: float | None = None
    resample: Resample = "bilinear"
    pad_colour: Colour = (0, 0, 0)
    mean_image: MeanImage | None = None
    name: str = field(default="own", compare=False)
    open_fit: bool = field(default=False, compare=False)
    edge: int | None = None
    said: str = field(default="", compare=False)
    rounding: Rounding | None = None

    def __post_init__(self) -> None:
        for key, value, known in (
            ("colour", self.colour, _ORDERS),
            ("fit", self.fit, FITS),
            ("resample", self.resample, RESAMPLES),
            ("rounding", self.rounding, (None, *ROUNDINGS)),
        ):
            if value not in known:
                words = tuple(filter(None, known))
                raise self._wrong(key, value, f"one of {', '.join(words)}{nearest(str(value), words)}")
        self._check_numbers()
        if self.crop_fraction is not None and not 0 < self.crop_fraction <= 1:
            raise self._wrong("crop_fraction", self.crop_fraction, "a number above 0 and up to 1")
        if self.edge is not None and not (is_count(self.edge) and self.fit in ("crop", "squash")):
            raise self._wrong("edge", self.edge, "a whole number from 1 on, of crop and squash")
        if self.edge is not None and self.crop_fraction is not None:
            raise self._wrong("edge", self.edge, "given in place of crop_fraction, not with it")
        if len(self.pad_colour) != 3 or not all(0 <= level <= 255 for level in self.pad_colour):
            raise self._wrong("pad_colour", self.pad_colour, "three whole numbers from 0 to 255")

    def _check_numbers(self) -> None:
        for key, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels) and self.colour != "bands":
                raise self._wrong(key, values, f"1 or {self.channels} numbers for colour {self.colour!r}")
        if not all(map(math.isfinite, (self.scale, *self.mean, *self.std))):
            raise self._wrong("scale, mean or std", (self.scale, self.mean, self.std), "finite numbers")
        if self.scale == 0 or 0 in self.std:
            raise self._wrong("scale or std", (self.scale, self.std), "numbers other than 0")
        if self.mean_image is not None and self.mean_image.planes(self.channels) is None:
            shape = list(self.mean_image.array.shape)
            raise self._wrong("the mean picture", shape, f"of {self.channels} channels, or one, for {self.colour!r}")

    def _wrong(self, key: str, got: object, expected: str) -> UsageError:
        return UsageError(f"preprocessing {self.name!r}: {key} is {expected}; got {got!r}")

    @property
    def channels(self) -> int:
        """The number of channels that ``apply`` gives: 1 for grey, 3 for colours; of bands as many as have numbers."""
        if self.colour == "bands":
            return max(len(self.mean), len(self.std), self._bands)
        return 1 if self.colour == "grey" else 3

    @property
    def _bands(self) -> int:
        """How many channels the mean picture has where nothing else tells: its first axis holds them."""
        return len(self.mean_image.array) if self.mean_image is not None and self.mean_image.array.ndim == 3 else 1

    @property
    def fraction(self) -> float:
        """The share of the resized picture's side that the model sees (crop and squash)."""
        default = _CROP_FRACTION if self.fit == "crop" else 1.0
        return default if self.crop_fraction is None else self.crop_fraction

    def agrees(self, other: Preprocess) -> bool:
        """Return whether another gives the same pixels, as far as both say how."""
        if (self.colour, self.table().shape, self.mean_image) != (other.colour, other.table().shape, other.mean_image):
            return False
        how, others = (self.fit, self.fraction, self.edge), (other.fit, other.fraction, other.edge)
        rounds = None in (self.rounding, other.rounding) or self.rounding == other.rounding
        fits = self.open_fit or other.open_fit or (how == others and rounds)
        return fits and bool(np.allclose(self.table(), other.table(), rtol=1e-3, atol=1e-3 * np.ptp(self.table())))

    def for_channels(self, count: int) -> Preprocess:
        """Return the same for a model of ``count`` channels: grey, with mean and std averaged, for a model of one.

        Bands, where it has neither one channel nor three and mean and std have one number or as many.

        Raises: UsageError: the model has another number of channels.
        """
        if count == self.channels:
            return self
        if count not in (1, 3) and {len(self.mean), len(self.std), self._bands} <= {1, count}:
            return replace(self, colour="bands")
        if count != 1:
            raise UsageError(
                f"preprocessing {self.name!r} gives {self.channels} channels, the model takes {count}; "
                "hand over a float array shaped like the model's input instead of a picture"
            )
        mean, std = (float(np.mean(values)) for values in (self.mean, self.std))
        image = None if self.mean_image is None else self.mean_image.averaged(self.channels)
        return replace(self, colour="grey", mean=(mean,), std=(std,), mean_image=image)

    def for_size(self, size: tuple[int, ...]) -> Preprocess:
        """Return the same for a model of that height and width.

        Raises: UsageError: its mean picture is of another size.
        """
        self.taken_off(size)
        return self

    def taken_off(self, size: tuple[int, ...]) -> NDArray[np.float32] | None:
        """Return the mean picture of a model of that height and width, [C, H, W] or [1, H, W]; None without one.

        Raises: UsageError: it is of another size.
        """
        planes = None if self.mean_image is None else self.mean_image.planes(self.channels)
        if planes is not None and planes.shape[1:] != tuple(size):
            assert self.mean_image is not None
            named = f" {self.mean_image.name!r}" if self.mean_image.name else ""
            raise UsageError(
                f"preprocessing {self.name!r}: its mean picture{named} is {planes.shape[1]} x {planes.shape[2]}, and "
                f"the model takes {' x '.join(map(str, size))} (height x width): resize or crop it to that"
            )
        return planes

    def place(self, photo: tuple[int, int], size: tuple[int, int]) -> Placement:
        """Return where the model's picture (``size``: height, width) lies in a photograph (width, height)."""
        return place(photo, (size[1], size[0]), self.fit, self.fraction, Whole(self.edge, self.rounding))

    def apply(self, photo: Photo, size: tuple[int, int], dtype: DTypeLike = np.float32) -> Fitted:
        """Return the photograph as a model of input ``size`` (height, width) sees it.

        Args: dtype: of the values, where all levels of a byte have a number of that type; else they are float32.
        """
        placement = self.place(photo.pixels.size, size)
        image = draw(photo.pixels, placement, self.resample, self.pad_colour)
        seen = np.array(image.convert("L").convert("RGB") if self.colour == "grey" else image)
        values = self._values(seen, dtype) if photo.levels is None else self._fine(photo.levels, placement)
        return Fitted(values, seen, placement.box)

    def _fine(self, levels: Levels, placement: Placement) -> NDArray[np.float32]:
        """Return the values of levels that are finer than bytes, placed as their picture is."""
        is_luma = self.colour == "grey" and levels.shape[2] == 3
        wanted = (levels @ _LUMA)[:, :, None] if is_luma else levels
        placed = [self._placed(wanted[:, :, channel], channel, placement) for channel in range(wanted.shape[2])]
        ordered = placed * self.channels if len(placed) == 1 else placed[::-1] if self.colour == "BGR" else placed
        return self.values_of(np.stack(ordered))

    def _placed(self, plane: Levels, channel: int, placement: Placement) -> Levels:
        if placement.scaled == placement.photo == placement.size:
            return plane
        image = Image.fromarray(plane.astype(np.float32))
        return np.asarray(draw(image, placement, self.resample, self.pad_colour[channel]), np.float64)

    def _values(self, pixels: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
        planes = pixels.transpose(2, 0, 1)[: self.channels]
        ordered, tables = planes[::-1] if self.colour == "BGR" else planes, self._table_of(dtype)
        if tables.dtype == np.uint8 and (tables == np.arange(256)).all():  # it takes the bytes as they lie there
            return ordered
        return self._centred(np.stack([levels.take(own) for levels, own in zip(tables, ordered, strict=True)]))

    def _table_of(self, dtype: DTypeLike) -> NDArray[Any]:
        """Return ``table`` in a type that has all of its numbers, else as it is."""
        table = self.table()
        with np.errstate(invalid="ignore"):
            same = table.astype(dtype)
        return same if self.mean_image is None and np.array_equal(same, table) else table

    def _centred(self, scaled: NDArray[Any]) -> NDArray[Any]:
        """Return what ``table`` gives, [C, H, W], less the mean picture where there is one, in float32."""
        planes = self.taken_off(scaled.shape[1:])
        return scaled if planes is None else np.asarray((scaled - planes) / self._stds(), np.float32)

    def _stds(self) -> NDArray[np.float32]:
        return np.asarray(self.std, np.float32).reshape(-1, 1, 1)

    def values_of(self, levels: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return levels [C, ...], 0 to 255 in the model's order, as the model takes them."""
        if self.mean_image is not None:
            scaled = (levels * self.scale).reshape(-1, *levels.shape[-2:]).astype(np.float32)
            return self._centred(scaled).reshape(levels.shape)
        mean, std = (np.reshape(values, (-1, *[1] * (levels.ndim - 1))) for values in (self.mean, self.std))
        values: NDArray[np.float32] = ((levels * self.scale - mean) / std).astype(np.float32)
        return values

    def table(self) -> NDArray[np.float32]:
        """Return the value of each of the 256 levels per channel, [C, 256]: rounded to float32 once.

        Where a mean picture is taken off, the levels are scaled only: that and ``std`` come behind.
        """
        levels = np.arange(256) * self.scale
        if self.mean_image is not None:
            return np.broadcast_to(levels, (self.channels, 256)).astype(np.float32)
        mean, std = (np.broadcast_to(values, self.channels)[:, None] for values in (self.mean, self.std))
        table: NDArray[np.float32] = ((levels - mean) / std).astype(np.float32)
        return table

    def limits(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the values of black and of white per channel, [C] each; all values lie between them.

        Shape: [C, H, W] where a mean picture is taken off.
        """
        low, high = self.table()[:, 0], self.table()[:, -1]
        if self.mean_image is None:
            return low, high
        planes = self.mean_image.planes(self.channels)
        assert planes is not None
        ends = (np.broadcast_to(end[:, None, None], (self.channels, *planes.shape[1:])) for end in (low, high))
        black, white = map(self._centred, ends)
        return black, white

    def to_json(self, *, inside: bool = True) -> str:
        """Return the JSON text that reads back as the same preprocessing, from a file or a model's metadata.

        Args: inside: whether a mean picture is in it, not only what names it for certain.
        """
        own = [part.name for part in fields(self) if part.compare and part.name != "mean_image"]
        found = {name: value for name in own if (value := getattr(self, name)) is not None}
        if self.mean_image is not None:
            found["mean"] = self.mean_image.inside if inside else self.mean_image.told
        return json.dumps(found)

    def described(self) -> str | dict[str, Any]:
        """Return what stands for it in a manifest: a preset's name, of others what ``as_preprocess`` makes it of."""
        preset = PRESETS.get(self.name)
        is_preset = preset is not None and self in (preset, *([preset.for_channels(1)] if self.channels == 1 else []))
        found: dict[str, Any] = json.loads(self.to_json(inside=False))
        return self.name if is_preset else found


_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

PRESETS: dict[str, Preprocess] = {
    "imagenet": Preprocess(scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), name="imagenet"),
    "unit": Preprocess(scale=1 / 255, name="unit"),
    "tf": Preprocess(scale=1 / 127.5, mean=(1.0,), name="tf"),
    "caffe": Preprocess(colour="BGR", mean=(103.94, 116.78, 123.68), name="caffe"),
    "clip": Preprocess(scale=1 / 255, mean=_CLIP_MEAN, std=_CLIP_STD, name="clip"),
    "raw": Preprocess(name="raw"),
}


def try_presets() -> tuple[str, ...]:
    """Return the presets in the order in which to try them on a model that does not say how it wants its pictures."""
    return tuple(PRESETS)
