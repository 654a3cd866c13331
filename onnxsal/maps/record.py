"""A map as it was read: its numbers as an explanation has them, and that itself once there is its picture."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import OnnxsalError, UsageError, one_line
from onnxsal.explanation import Explanation
from onnxsal.kernels.placement import Placement
from onnxsal.maps.packing import Packed
from onnxsal.maps.rows import checksum, manifest_in, placement_in, target_in
from onnxsal.modalities.registry import Sample, Seen
from onnxsal.viz.maps import cam_saliency, normalise, over_recording, pixel_saliency

Floats = NDArray[np.float32]


_STRANGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError, RecursionError)


@contextmanager
def undamaged(id: str) -> Iterator[None]:
    """Turn what is raised over values that no writer of maps wrote into a UsageError that names the map."""
    try:
        yield
    except OnnxsalError:
        raise
    except _STRANGE as error:
        raise UsageError(f"the map of {id!r} is damaged: {one_line(error)}") from None


@dataclass(frozen=True, eq=False)
class SavedMap:
    """One map of one thing for one target, as it was kept.

    Attributes:
        id: of the thing; asked: the target as it was asked for, None where it was not.
        name, label, target, score, logit, box: as an Explanation has them.
        raw: what the method computed, float32 in its own shape, off by ``error`` at most; stderr: its standard error,
            None where nothing was sampled.
        size: of the model's input, to which ``saliency`` is stretched; placement: where a layer's cells lie in it.
        photo_size: (width, height) of the upright photograph, None where the model takes no images.
        crc32: CRC-32 of the photograph's pixels; where there is none, of what the model took.
        manifest: everything needed to make the map again.
        modality, task, channels: what was explained, what the outputs mean, and of how many channels it was.
    """

    id: str
    asked: str | None
    name: str
    label: str
    target: int | tuple[int, int] | str | None
    score: float
    logit: float
    raw: Floats
    stderr: Floats | None
    error: float
    size: tuple[int, ...]
    placement: Placement
    box: tuple[float, float, float, float] | None
    photo_size: tuple[int, int] | None
    crc32: int
    manifest: Mapping[str, Any]
    modality: str
    task: str
    channels: int | None

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.manifest["method"])

    @property
    def signed(self) -> bool:
        """Whether the map has a sign."""
        return self.manifest.get("sign") == "signed"

    @property
    def detection(self) -> Mapping[str, Any] | None:
        """What was detected, as an Explanation has it."""
        found: Mapping[str, Any] | None = self.manifest.get("detection")
        return found

    @cached_property
    def saliency(self) -> Floats:
        """The map at the model's input resolution, as an Explanation has it; from float32 bit for bit."""
        about = self.manifest.get("recording")
        with undamaged(self.id):
            if isinstance(about, Mapping) and "part" in about:
                return over_recording(self.raw, self.size, about, self._saliency)
            return self._saliency(self.raw, self.size)

    def _saliency(self, raw: Floats, size: tuple[int, ...]) -> Floats:
        sign, layer = self.manifest.get("sign"), self.manifest.get("layer")
        if sign is not None:
            return pixel_saliency(raw, sign, self.manifest["percentile"])
        if isinstance(layer, list):  # fused of several layers: it has the input's resolution
            return normalise(raw)
        return cam_saliency(raw, size, self.placement)

    def on(self, image: str | os.PathLike[str]) -> Explanation:
        """Return the explanation on what was explained, so that it can be drawn and saved.

        Its notes say where the pixels are not those that were explained.

        Args: image: the path of the photograph, or of the array.
        Raises: ImageError: it cannot be read, or is of another size. UnsupportedError: it is no picture. UsageError: no
            path is given, or the map is damaged.
        """
        if not isinstance(image, str | os.PathLike):
            raise UsageError(f"on: expected the path of what was explained, got {type(image).__name__}")
        with undamaged(self.id):
            return self._on(Path(image))

    def _on(self, path: Path) -> Explanation:
        from onnxsal.maps.samples import sample_on  # what is only read needs no pictures
        from onnxsal.maps.things import OTHER, seen_on

        sample = sample_on(self, path)
        if sample is not None:
            return self.explanation(None, sample)
        seen = seen_on(self, path)
        found = self.explanation(seen)
        if self.photo_size is None or checksum(seen.photo) == self.crc32:
            return found
        return replace(found, manifest={**self.manifest, "notes": [OTHER, *self.manifest["notes"]]})

    def explanation(self, seen: Seen | None, sample: Sample | None = None) -> Explanation:
        """Return the explanation. Args: seen: the picture that was explained, as the model saw it too. sample: what
        was explained in its place, where that is no picture."""
        image, box, photo = (None, None, None) if seen is None else (seen.image, seen.box, seen.photo)
        return Explanation(
            saliency=self.saliency, raw=self.raw, stderr=self.stderr, target=self.target, label=self.label,
            score=self.score, logit=self.logit, image=image, box=box, manifest=self.manifest, photo=photo,
            sample=sample, name=self.name, modality=self.modality, task=self.task, detection=self.detection,
            placement=self.placement,
        )  # fmt: skip


def record_of(row: Mapping[str, Any], run: Mapping[str, Any]) -> SavedMap:
    """Return the record of a row. Args: run: what its key stands for."""
    shape, kept = tuple(row["shape"]), Packed(row["map"], row["map_scale"], row["map_offset"])
    stderr = row["stderr"]
    return SavedMap(
        id=row["id"], asked=row["asked"], name=row["name"], label=row["label"], target=target_in(row),
        score=_number(row["score"]), logit=_number(row["logit"]), raw=kept.unpacked(shape),
        stderr=None if stderr is None else Packed(stderr, row["stderr_scale"]).unpacked(shape), error=kept.error,
        size=tuple(row["size"]), placement=placement_in(row), box=None if row["box"] is None else tuple(row["box"]),
        photo_size=None if row["width"] is None else (row["width"], row["height"]), crc32=row["crc32"],
        manifest=manifest_in(row, run), modality=run["modality"], task=run["task"], channels=run["channels"],
    )  # fmt: skip


def _number(value: float | None) -> float:
    return math.nan if value is None else value
