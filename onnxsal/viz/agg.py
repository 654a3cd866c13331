"""Figures of matplotlib, drawn by Agg: the one module that loads it.

Nothing is global: no pyplot, and whatever a figure shows is set on its artists, because the settings of matplotlib
(``rcParams``) are the user's, and changing them for a while would change what the user's other threads draw.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from onnxsal.errors import EnvironmentSetupError
from onnxsal.viz.axes import Axis, Colour, ticks_of
from onnxsal.viz.caption import PALE, PAPER
from onnxsal.viz.colour import Pixels
from onnxsal.viz.text import Line, fit_line, ink


@contextmanager
def _without_remarks() -> Iterator[None]:
    """Where matplotlib cannot write to the home folder it caches elsewhere until the process ends, and logs that."""
    loggers = [logging.getLogger(name) for name in ("matplotlib", "matplotlib.font_manager")]
    for each in loggers:
        each.addFilter(_silent)
    try:
        yield
    except OSError as error:
        raise EnvironmentSetupError(
            f"matplotlib, which draws plots, cannot be loaded: {error}; install it again: "
            "pip install --force-reinstall matplotlib"
        ) from error
    finally:
        for each in loggers:
            each.removeFilter(_silent)


def _silent(record: logging.LogRecord) -> bool:
    return record.levelno > logging.WARNING


with _without_remarks():
    import matplotlib
    from matplotlib.axes import Axes as Axes
    from matplotlib.axis import Axis as Numbers
    from matplotlib.backend_bases import RendererBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
    from matplotlib.figure import Figure as Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.lines import Line2D
    from matplotlib.ticker import NullLocator
    from matplotlib.transforms import Affine2D, IdentityTransform

_DPI = 72
"""At this resolution a point, in which matplotlib counts letters and lines, is a pixel."""
_RULE = (225, 228, 233)
LETTERS, TITLE = 14, 16
HALF = 5
"""Pixels from a line's middle down to where its letters stand. Fonts, and versions of matplotlib, have their own."""
_ASCENT = 14
"""Pixels from a line's top down to where its letters stand."""
_NO_SIDES: dict[str, Any] = dict.fromkeys(
    ("bottom", "top", "left", "right", "labelbottom", "labeltop", "labelleft", "labelright"), False
)
_THIN: dict[str, Any] = {"color": tuple(v / 255 for v in _RULE), "linewidth": 1, "linestyle": "solid", "alpha": 1}
_SHARED = 128
"""Points below which matplotlib simplifies no line; short paths, like that of a tick, all figures share."""
_SIMPLIFIED = 2_000
"""Points above which a line is drawn without those that no pixel would show."""


class _Renderer(RendererAgg):
    """Agg whose letters are those of all other pictures: ``viz.text`` chooses the font, Pillow draws."""

    def __init__(self, width: float, height: float, dpi: float) -> None:
        super().__init__(width, height, dpi)
        vars(self)["draw_markers"] = partial(RendererBase.draw_markers, self)  # Agg's own puts dots on whole pixels

    def get_text_width_height_descent(self, s: str, prop: FontProperties, ismath: Any) -> tuple[float, float, float]:
        line = _set(s, prop)
        ascent, descent = line.font.getmetrics()
        return line.font.getlength(line.text), ascent + descent, descent

    def draw_text(
        self, gc: Any, x: float, y: float, s: str, prop: FontProperties, angle: float, ismath: Any = False,
        mtext: Any = None,
    ) -> None:  # fmt: skip
        line = _set(s, prop)
        mask, left, top = ink(line, "ls")
        letters = np.empty((mask.height, mask.width, 4), np.uint8)
        letters[..., :3] = np.rint(np.multiply(gc.get_rgb()[:3], 255))
        letters[..., 3] = np.asarray(mask)
        lower = self.height - round(y) - (top + mask.height)
        self.draw_image(gc, round(x) + left, lower, letters[::-1])

    def draw_path(self, gc: Any, path: Any, transform: Any, rgbFace: Any = None) -> None:
        if path.codes is None and len(path.vertices) >= _SHARED:
            path.should_simplify, path.simplify_threshold = len(path.vertices) > _SIMPLIFIED, 1 / 9
        gc.set_snap(None)
        super().draw_path(gc, path, transform, rgbFace)


class _Canvas(FigureCanvasAgg):
    """A canvas with that renderer."""

    _own: _Renderer | None = None

    def get_renderer(self) -> _Renderer:
        if self._own is None:
            self._own = _Renderer(*self.figure.bbox.size, self.figure.dpi)
        return self._own


def _set(text: str, prop: FontProperties) -> Line:
    return fit_line(text, math.inf, round(prop.get_size_in_points()))


def pixels(figure: Figure) -> Pixels:
    """Return what a figure of this module shows, uint8 [h, w, 3]."""
    assert isinstance(figure.canvas, _Canvas)
    for artist in figure.findobj():
        artist.set_sketch_params(None)
        artist.set_path_effects([])
        if isinstance(artist, Line2D):
            artist.set(antialiased=True, solid_capstyle="butt", solid_joinstyle="round", fillstyle="full")
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()


class Frame(NamedTuple):
    """Where the axes of a plot lie, in pixels from the upper left corner of a figure of that size."""

    left: int
    top: int
    right: int
    bottom: int
    size: tuple[int, int]


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes lie in."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def blank(frame: Frame) -> Axes:
    """Return axes in a new figure, with nothing on them: what matplotlib's settings put there is taken away."""
    width, height = frame.size
    figure = Figure(
        (width / _DPI, height / _DPI), _DPI, facecolor=rgb(PAPER), edgecolor="none", linewidth=0, frameon=True
    )
    figure.set_layout_engine("none")
    _Canvas(figure)
    place = (frame.left / width, 1 - frame.bottom / height)
    extent = ((frame.right - frame.left) / width, (frame.bottom - frame.top) / height)
    axes = figure.add_axes((*place, *extent), facecolor="none", frameon=True, axisbelow=True)
    axes.grid(False, which="both")
    axes.minorticks_off()
    axes.tick_params(which="both", **_NO_SIDES)
    for spine in axes.spines.values():
        spine.set(visible=False, linewidth=1, edgecolor=rgb(PALE), linestyle="solid", zorder=0.9)
    return axes


def rgb(given: Colour) -> tuple[float, float, float]:
    """Return a colour as matplotlib takes it, in [0, 1]."""
    return given[0] / 255, given[1] / 255, given[2] / 255


def letters(size: float, colour: Colour) -> dict[str, Any]:
    """Return how text is set: dollar signs are no mathematics, and nothing is of the user's settings."""
    bundled = f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"  # asked for heights alone: _Renderer draws
    return {
        "fontproperties": FontProperties(fname=bundled, size=size), "color": rgb(colour), "parse_math": False,
        "usetex": False, "antialiased": True,
    }  # fmt: skip


def number_below(axes: Axes, axis: Axis, ends: tuple[float, float], *, beside: int = 0) -> None:
    """Put the scale from left to right; its ends stand ``beside`` pixels inside the frame."""
    axes.set_xscale(axis.scale)
    axes.set_xlim(ends)
    left, right = axes.transAxes.transform([(0, 0), (1, 0)])[:, 0]
    more = beside * (right - left) / (right - left - 2 * beside)
    axes.set_xlim(*axes.transData.inverted().transform([(left - more, 0), (right + more, 0)])[:, 0])
    number(axes.xaxis, axis, ends)
    axes.tick_params("x", bottom=True, labelbottom=True, direction="out", length=5, width=1, color=rgb(PALE), pad=3)
    for label in axes.get_xticklabels():
        label.set(ha="center", va="baseline", transform=label.get_transform() + Affine2D().translate(0, -_ASCENT))
    room = 2 * min((left + right) / 2, figure_of(axes).bbox.width - (left + right) / 2)
    line = fit_line(axis.title, room, LETTERS)
    axes.set_xlabel(line.text, loc="center", va="baseline", **letters(line.font.size, PALE))
    axes.xaxis.set_label_coords(0.5, -(2.1 * LETTERS + _ASCENT) / axes.bbox.height)


def rule(axes: Axes, *, pad: int) -> None:
    """Put names so many pixels left of the axes, and a pale line for each."""
    axes.tick_params("y", labelleft=True, length=0, pad=pad)
    axes.grid(True, "major", "y", **_THIN)
    for label in axes.get_yticklabels():
        label.set(ha="right", va="baseline", transform=label.get_transform() + Affine2D().translate(0, -HALF))


def number(numbers: Numbers, axis: Axis, ends: tuple[float, float]) -> None:
    """Put numbers at an axis, those between its ends."""
    ticks = [tick for tick in ticks_of(axis, ends) if ends[0] <= tick <= ends[1]]
    numbers.set_minor_locator(NullLocator())
    numbers.set_ticks(ticks, [f"{tick:g}" for tick in ticks], **letters(LETTERS, PALE))


def say(axes: Axes, line: Line, place: tuple[float, float], colour: Colour) -> None:
    """Put text into the figure; its baseline begins so many pixels from the lower left corner."""
    figure_of(axes).text(
        *place, line.text, transform=IdentityTransform(), ha="left", va="baseline", **letters(line.font.size, colour)
    )


_LEFT, _TOP, _RIGHT, _BELOW = 74, 30, 18, 48


def framed(
    plot: Pixels, below: Axis, ends: tuple[float, float], left: Sequence[tuple[float, str]], title: str
) -> Pixels:
    """Return a picture inside axes, pixel for pixel: numbers below it, and words at its left.

    Args: left: places from 0 (below) to 1 (above), and what stands there. title: of them, above the picture.
    """
    height, width = plot.shape[:2]
    size = (_LEFT + width + _RIGHT, _TOP + height + _BELOW)
    axes = blank(Frame(_LEFT, _TOP, _LEFT + width, _TOP + height, size))
    number_below(axes, below, ends)
    axes.set_ylim(0, 1)
    lines = [fit_line(text, _LEFT - 12, LETTERS) for _, text in left]
    axes.set_yticks([place for place, _ in left], [line.text for line in lines], **letters(LETTERS, PALE))
    axes.tick_params("y", left=True, labelleft=True, direction="out", length=5, width=1, color=rgb(PALE), pad=4)
    for label in axes.get_yticklabels():
        label.set(ha="right", va="baseline", transform=label.get_transform() + Affine2D().translate(0, -HALF))
    if title:
        say(axes, fit_line(title, width, LETTERS), (4, size[1] - 20), PALE)
    drawn = pixels(figure_of(axes))
    drawn[_TOP : _TOP + height, _LEFT : _LEFT + width] = plot
    return drawn
