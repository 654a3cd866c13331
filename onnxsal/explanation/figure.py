"""Explanations as pictures: overlay, heat map, product, and the grid that compares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UsageError, nearest
from onnxsal.explanation.columns import LETTERS, drawn_bars, is_of_row
from onnxsal.explanation.words import drawn_words, is_of_text
from onnxsal.modalities.registry import Sample, Seen
from onnxsal.viz.boxes import boxed
from onnxsal.viz.caption import Caption, with_caption
from onnxsal.viz.grid import Tile, grid
from onnxsal.viz.layout import below
from onnxsal.viz.overlay import for_display, heat_map, overlay, product
from onnxsal.viz.save import PillowImage, as_image
from onnxsal.viz.sound import Style

Kind = Literal["overlay", "heat", "product"]
KINDS = ("overlay", "heat", "product")

PARTIAL = "part of the draws"
"""What is said of a map that a limit or Ctrl-C ended."""


class Drawable(Protocol):
    """What drawing reads of an explanation; ``Explanation`` says what each is."""

    @property
    def saliency(self) -> NDArray[np.float32]: ...
    @property
    def signed(self) -> bool: ...
    def drawn(self) -> tuple[Seen, NDArray[np.float32]]: ...
    @property
    def name(self) -> str: ...
    @property
    def target(self) -> int | tuple[int, int] | str | None: ...
    @property
    def label(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def logit(self) -> float: ...
    @property
    def method(self) -> str: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...


def draw(
    explanation: Drawable,
    *,
    kind: Kind = "overlay",
    colours: str | None = None,
    opacity: float = 0.65,
    caption: bool = True,
) -> PillowImage:
    """Return the picture of one explanation.

    Args:
        kind: ``overlay`` on the whole photograph, ``heat`` for the map alone, ``product`` for the picture dimmed by it.
        colours: a colour map by name; by default perceptually uniform, diverging for signed maps.
        opacity: of the map at its strongest.
        caption: whether label, score, method and layer stand below.
    """
    return as_image(drawn(explanation, kind=kind, colours=colours, opacity=opacity, caption=caption))


def drawn(
    explanation: Drawable,
    *,
    kind: Kind = "overlay",
    colours: str | None = None,
    opacity: float = 0.65,
    caption: bool = True,
) -> NDArray[np.uint8]:
    """Return the picture of one explanation as pixels, uint8 [h, w, 3]; arguments as of ``draw``."""
    image = _image(explanation, kind, colours, opacity)
    size = LETTERS if is_of_row(explanation) else None
    return with_caption(image, caption_of(explanation), size=size) if caption else image


def _image(explanation: Drawable, kind: str, colours: str | None, opacity: float) -> NDArray[np.uint8]:
    if kind not in KINDS:
        raise UsageError(f"there is no kind of picture {kind!r}{nearest(kind, KINDS)} (there are: {', '.join(KINDS)})")
    if kind != "heat" and is_of_text(explanation):
        return drawn_words(explanation, "ink" if kind == "product" else "colours", colours)
    if is_of_row(explanation):
        return drawn_bars(explanation, colours)
    sample: Sample | None = getattr(explanation, "sample", None)
    if sample is not None and sample.drawing is not None:
        return sample.drawing(explanation.saliency, Style(kind, colours, opacity, explanation.signed))
    seen, saliency = explanation.drawn()
    if kind == "overlay":
        photo, box = for_display(seen.photo, seen.box)
        over = overlay(photo, saliency, box, colours=colours, opacity=opacity, signed=explanation.signed)
        return _boxed(over, explanation, seen.photo)
    shown = (
        heat_map(saliency, colours=colours, signed=explanation.signed)
        if kind == "heat"
        else product(seen.image, saliency)
    )
    return for_display(shown)[0]


def _boxed(drawn: NDArray[np.uint8], explanation: Drawable, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a drawing with the box that is explained on it, where there is one."""
    found = explanation.manifest.get("detection")
    if not isinstance(found, Mapping):
        return drawn
    scale = drawn.shape[1] / photo.shape[1]
    corners = None if "asked_box" in found else found.get("corners")
    mask = found.get("mask")
    return boxed(
        drawn, [n * scale for n in found.get("asked_box", found["box"])],
        None if corners is None else [[n * scale for n in each] for each in corners],
        [[n * scale for n in found["point"]]] if "point" in found else [], None if mask is None else _pixels(mask),
    )  # fmt: skip


def _pixels(runs: Mapping[str, Any]) -> NDArray[np.bool_]:
    from onnxsal.tasks.detection.masks import of_runs  # other pictures have none

    return of_runs(dict(runs))


def caption_of(explanation: Drawable) -> Caption:
    """Return what stands below a picture: class and probability, method, layer and what it cost."""
    layer = explanation.manifest.get("layer")
    names = [layer] if isinstance(layer, str) else list(layer or ())
    own = [explanation.name] if is_of_row(explanation) else []
    parts = [*own, explanation.method, *(_short(name) for name in names)]
    samples = explanation.manifest.get("samples")
    if samples and samples > 1:
        parts.append(f"{samples} samples")
    if explanation.manifest.get("partial"):
        parts.append(PARTIAL)
    return Caption(title_of(explanation), score_of(explanation), " · ".join(parts))


def title_of(explanation: Drawable) -> str:
    """Return what is explained: its label; of detections, of which several may have one, the number or the box too."""
    found = explanation.manifest.get("detection")
    if not isinstance(found, Mapping):
        return explanation.label
    if "asked_box" in found:
        return f"{explanation.label} at {','.join(str(round(n)) for n in found['asked_box'])}"
    return f"#{found['number']} {explanation.label}" if "number" in found else explanation.label


def score_of(explanation: Drawable) -> str:
    """Return the probability of the class, or of a pair what is explained: the difference of its logits.

    Where there is no class or no probability it is the number, and nothing where there is none either.
    """
    if np.isnan(explanation.logit):
        return "" if isinstance(explanation.target, tuple) else percent(explanation.score)
    if isinstance(explanation.target, tuple):
        return f"{'values' if np.isnan(explanation.score) else 'logits'} {explanation.logit:+.2f}"
    own = np.isnan(explanation.score) or explanation.score == explanation.logit
    if not isinstance(explanation.target, int) and own:  # an element, a reference: no class, its score is no share
        return f"{explanation.logit:.4g}"
    return percent(explanation.score) or f"{explanation.logit:.4g}"


def _short(name: str) -> str:
    tail = name.split(";")[0]
    return tail if len(tail) <= 40 else "…" + tail[-39:]


def percent(score: float) -> str:
    """Return a probability as a person reads it; nothing for NaN."""
    return "" if np.isnan(score) else f"{100 * score:.1f} %"


def sheet(explanations: Sequence[Drawable], *, kind: Kind = "overlay", colours: str | None = None) -> PillowImage:
    """Return the picture of one explanation, or the grid that compares several."""
    if len(explanations) == 1:
        return draw(explanations[0], kind=kind, colours=colours)
    return compare(explanations, kind=kind, colours=colours)


def compare(
    explanations: Sequence[Drawable], *, kind: Kind = "overlay", colours: str | None = None, opacity: float = 0.65
) -> PillowImage:
    """Return a grid: the photograph, or what else was explained, first; then every explanation by its method's name."""
    first = explanations[0]
    if is_of_row(first):
        return as_image(below([_with_method(each, colours) for each in explanations]))
    seen, _ = first.drawn()
    photo, _ = for_display(seen.photo if kind == "overlay" else seen.image)
    several = len({title_of(e) for e in explanations}) > 1
    thing = getattr(first, "modality", "image")
    whole = "photograph" if thing in ("image", "frame") else thing
    tiles = [Tile(photo, whole if kind == "overlay" else "as the model sees it", first.name)]
    tiles += [Tile(_image(e, kind, colours, opacity), e.method, _detail(e, several)) for e in explanations]
    heading = Caption(title_of(first), score_of(first)) if not several else None
    return as_image(grid(tiles, heading=heading))


def _with_method(explanation: Drawable, colours: str | None) -> NDArray[np.uint8]:
    """Return the bars of one of several methods or targets: each says in a line of its own which it is."""
    caption = Caption(
        title_of(explanation), score_of(explanation), f"{explanation.method} · {_detail(explanation, False)}"
    )
    return with_caption(drawn_bars(explanation, colours), caption, size=LETTERS)


def _detail(explanation: Drawable, with_label: bool) -> str:
    forwards = explanation.manifest["forwards"]
    part = f" ({PARTIAL})" if explanation.manifest.get("partial") else ""
    seconds = float(f"{explanation.manifest['seconds']:.2g}")
    cost = f"{forwards} forward{'' if forwards == 1 else 's'}{part}, {seconds:g} s"
    return f"{title_of(explanation)} {score_of(explanation)} · {cost}" if with_label else cost
