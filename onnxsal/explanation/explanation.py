"""What explaining gives: the map, its raw form and error, the target, and a manifest that lets it be made again."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.files import replacing
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.plane import plane
from onnxsal.modalities.registry import Sample, Seen, writer_of

Floats = NDArray[np.float32]
PAGES = (".html", ".htm")
"""What pages are called, which texts and rows are written to."""


def finite(value: Any) -> Any:
    """Return data as JSON can hold it: NaN and infinity, at any depth, become None."""
    if isinstance(value, float):  # first: a curve holds many
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, np.floating) and not np.isfinite(value) else value


@dataclass(frozen=True, eq=False)
class Explanation:
    """One map of one picture for one target.

    Each is equal to itself alone, so that it can stand in sets and as a key; compare maps by their arrays, and with
    the error that they have: no two runs share all of a manifest.

    Attributes:
        saliency: float32 [H, W] at the model's input resolution; [0, 1], or [-1, 1] where signed. Its rank is that of
            the positions that the model takes: [T] of a sequence.
        raw: what the method computed: [C, H, W] for pixel gradients, [h, w] for maps of a layer.
        stderr: standard error of ``raw`` in its shape where the method samples, else None.
        target: class index, or (a, b) for a minus b, text of an element (``"boxes[0, 4, 17]"``) or a reference
            (``"like:FILE"``), or None where it was a Program or a reference that is no file; label: its name.
        score: probability of the target; logit: the value in front of softmax or sigmoid, of a pair the difference.
            Both are the value itself where the target was an element or a Program.
        image: uint8 [H, W, 3] that the model saw; box: its rectangle (left, top, width, height) in the photograph.
            Both, and photo, are None where the model takes no images.
        manifest: everything needed to make the map again.
    """

    saliency: Floats
    raw: Floats
    stderr: Floats | None
    target: int | tuple[int, int] | str | None
    label: str
    score: float
    logit: float
    image: NDArray[np.uint8] | None
    box: tuple[float, float, float, float] | None
    manifest: Mapping[str, Any]
    photo: NDArray[np.uint8] | None = field(repr=False)
    """The photograph itself, uint8 [h, w, 3], upright."""
    name: str = ""
    """The picture's name."""
    sample: Sample | None = field(default=None, repr=False)
    """What was explained, as the model took it."""
    modality: str = "image"
    """What kind of thing it is."""
    task: str = "classification"
    """What the model's outputs mean."""
    detection: Mapping[str, Any] | None = None
    """What was detected, where a detector is explained: ``label``, ``index``, ``score``, ``box`` (left, top, right,
    bottom in pixels of the photograph) and ``number``, or where a box was asked for ``asked_box`` and its ``iou`` with
    ``box``, the candidate's that is matched with it."""
    placement: Placement = WHOLE_IMAGE
    """Where the cells of ``raw`` lie in what the model saw, of a map of one layer."""
    values: NDArray[np.float64] | None = None
    """What each column of a row of a table adds to ``base_value``, [F]; together they are what is explained."""
    base_value: float | None = None
    """The mean of what is explained over the background rows."""
    names: tuple[str, ...] = ()
    """What the columns are called."""
    features: tuple[str, ...] = ()
    """What stands in them, as their file has it; of arrays empty where something is missing."""

    @property
    def method(self) -> str:
        """The method's name."""
        return str(self.manifest["method"])

    @property
    def signed(self) -> bool:
        """Whether the map has a sign."""
        return self.manifest.get("sign") == "signed"

    def canvas(self) -> Seen:
        """Return the picture that the map is drawn over: what the model saw, its box, and the photograph.

        Raises: UnsupportedError: there is none.
        """
        return self.drawn()[0]

    def drawn(self) -> tuple[Seen, Floats]:
        """Return that picture, and the map as it lies there, [rows, columns]: of a volume on slices of it.

        Raises: UnsupportedError: there is none.
        """
        if self.image is not None and self.box is not None and self.photo is not None:
            return Seen(self.image, self.box, self.photo), plane(self.saliency, self.saliency.ndim)
        if self.sample is None:
            raise UnsupportedError("there is nothing to draw the map over")
        from onnxsal.explanation.words import canvas_of, is_of_text

        if is_of_text(self):
            return canvas_of(self), plane(self.saliency, self.saliency.ndim)
        return self.sample.drawn(self.saliency, self._each())

    def _each(self) -> Floats | None:
        """Return the map of every channel where the method was asked to tell them apart (``by``), else None."""
        options, sign = self.manifest.get("options", {}), self.manifest.get("sign")
        if sign is None or options.get("by", "segment") == "segment" or self.raw.ndim != self.saliency.ndim + 1:
            return None
        from onnxsal.viz.maps import channel_saliency

        return channel_saliency(self.raw, sign, self.manifest["percentile"])

    def save(self, path: str | os.PathLike[str], *, effort: int | None = None, **style: Any) -> None:
        """Draw the map on the photograph and write the picture; the format is that of the suffix.

        With a suffix of the modality's own the map is written itself: of a volume ``.nii`` and ``.nii.gz``, on the grid
        of the scan that was explained, and ``.npy``. Of a text or a row ``.html`` is what ``html`` returns.

        Args:
            effort: of PNG, from 0 (fast, a large file) to 9 (slow, a small one); by default 1.
            style: see ``onnxsal.explanation.figure.draw``: kind, colours, opacity, product, caption.
        Raises: OutputError: it cannot be written. UsageError: unknown format or style.
        """
        from onnxsal.explanation.figure import drawn
        from onnxsal.viz.save import encoding, fast, save_image

        writer = writer_of(self.modality, path)
        if writer is not None and self.sample is not None:
            writer.write(path, self.saliency, self.sample)
            return
        if Path(path).suffix.lower() in PAGES and self._has_page:
            page = self.html(colours=style.get("colours"))
            with replacing(path) as part:
                part.write_text(page, encoding="utf-8")
            return
        effort = fast(path, effort)
        encoding(path, effort)  # before anything is drawn
        save_image(drawn(self, **style), path, effort=effort)

    def png(self, **style: Any) -> bytes:
        """Return what ``save`` writes as the content of a PNG file. Args: style: as for ``save``."""
        from onnxsal.explanation.figure import draw
        from onnxsal.viz.save import png

        return png(draw(self, **style))

    def to_dict(self, *, maps: bool = True) -> dict[str, Any]:
        """Return it as JSON can hold it, without pixels; what is not finite is None.

        Keys: ``image`` (the picture's name), ``target`` (a list of two for a pair), ``label``, ``score``, ``logit``,
        ``method``, ``signed``, ``box``, ``manifest``; of a row of a table also ``base_value``, ``names``, ``features``
        and ``values``; with ``maps`` the arrays ``saliency``, ``raw`` and ``stderr`` as
        nested lists, the last None where nothing was sampled.
        """
        facts = {name: getattr(self, name) for name in ("target", "label", "score", "logit", "method", "signed", "box")}
        arrays = {name: _listed(getattr(self, name)) for name in ("saliency", "raw", "stderr")} if maps else {}
        if self.values is not None:
            facts |= {name: getattr(self, name) for name in ("base_value", "names", "features")}
            facts["values"] = self.values.tolist()
        plain = json.loads(json.dumps(finite({**facts, "manifest": self.manifest}), default=_in_json))
        return {"image": self.name, **plain, **arrays}

    def to_npz(self, path: str | os.PathLike[str]) -> None:
        """Write ``saliency``, ``raw``, ``stderr`` (if any) and ``manifest`` (JSON text; what is not finite is null).

        Raises: OutputError: it cannot be written.
        """
        arrays: dict[str, Any] = {"saliency": self.saliency, "raw": self.raw}
        if self.stderr is not None:
            arrays["stderr"] = self.stderr
        arrays["manifest"] = np.array(json.dumps(finite(self.manifest), default=str))
        with replacing(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)

    def to_sound(self, path: str | os.PathLike[str]) -> None:
        """Write the part of a sound that matters, its waveform times the map, as a WAV or FLAC file by the suffix.

        A map of a spectrogram is added up over its bins first: the seconds that matter, with all of their frequencies.
        Raises: UnsupportedError: what was explained is no sound. UsageError: nothing says its rate, or another suffix.
        OutputError: it cannot be written. EnvironmentSetupError: soundfile is missing.
        """
        heard = None if self.sample is None else self.sample.heard
        if heard is None or not len(heard.wave):
            raise UnsupportedError(
                f"what was explained of {self.name!r} is no sound, so that no part of it can be written as one"
            )
        from onnxsal.modalities.audio.files import write_sound

        write_sound(path, heard.part(self.saliency), heard.rate or 1)

    @property
    def is_drawn(self) -> bool:
        """Whether there is a picture that the map is drawn over, or words, or columns; without one it is numbers."""
        from onnxsal.explanation.columns import is_of_row
        from onnxsal.explanation.words import is_of_text

        own = is_of_text(self) or is_of_row(self) or (self.sample is not None and self.sample.is_drawn)
        return self.image is not None or own

    def words(self) -> tuple[tuple[str, float], ...]:
        """Return the words of a text in its order, each with its score: the sum of its tokens', in the unit of ``raw``.

        Tokens that the tokenizer added are among them, at their places.
        Raises: UnsupportedError: no text was explained.
        """
        from onnxsal.explanation.words import words_of

        return tuple((word.text, word.score) for word in words_of(self))

    def html(self, *, colours: str | None = None) -> str:
        """Return a page of a text, each word on the colour of its score, or of a row, a bar a column: it needs nothing
        beside, light and dark.

        Args: colours: a colour map by name.
        Raises: UnsupportedError: something else was explained.
        """
        from onnxsal.explanation.page import page_of

        return page_of([self], colours=colours)

    @property
    def _has_page(self) -> bool:
        from onnxsal.explanation.columns import is_of_row
        from onnxsal.explanation.words import is_of_text

        return is_of_text(self) or is_of_row(self)

    def _repr_html_(self) -> str | None:
        """Show the words of a text, or the columns of a row, in a notebook."""
        if not self._has_page:
            return None
        from onnxsal.explanation.page import part_of

        return part_of(self)

    def _repr_png_(self) -> bytes | None:
        """Draw it in a notebook, where it can be drawn; texts are shown as words, rows as a table."""
        return self.png() if self.is_drawn and self._repr_html_() is None else None


def _listed(array: Floats | None) -> Any:
    if array is None:
        return None
    return array.tolist() if np.isfinite(array).all() else finite(array.tolist())


def _in_json(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
