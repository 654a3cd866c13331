"""How the gradient at one pixel jumps while the picture hardly changes: why SmoothGrad smooths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import X
from onnxsal.errors import UsageError
from onnxsal.experiments.base import Case, Floats, Outcome, Table, experiment, single
from onnxsal.explanation.target import resolve_target
from onnxsal.kernels.noise import normal
from onnxsal.methods.gradients import input_gradient
from onnxsal.model import Model, Sample
from onnxsal.model.batch_check import one_by_one
from onnxsal.options import Range
from onnxsal.runtime import Session
from onnxsal.tasks.target import Target
from onnxsal.viz.caption import Caption
from onnxsal.viz.colour import Pixels
from onnxsal.viz.layout import Labels, below, beside, board, figure
from onnxsal.viz.overlay import for_display
from onnxsal.viz.plot import Axis, Colour, Curve, curves

_BATCH = 8
_INK: dict[str, Colour] = {"red": (204, 51, 63), "green": (30, 140, 75), "blue": (45, 95, 200)}
_CROSS = (255, 230, 0)


@dataclass(frozen=True)
class _Path:
    """The straight way from a picture to that with all of the noise ``far`` on it, and the pixel that is watched."""

    model: Model
    goal: Target
    prepared: Sample
    far: Floats
    place: tuple[int, int]
    """Row and column."""


@dataclass(frozen=True)
class _Walk:
    """Gradients at a pixel, [steps, C], the largest entry of each whole gradient, and the scores on the way."""

    at_pixel: NDArray[np.float64]
    largest: NDArray[np.float64]
    scores: NDArray[np.float64]


@experiment(
    "fluctuation",
    paper="Smilkov et al. 2017, arXiv:1706.03825, figure 2",
    shows="the gradient at one pixel on a straight path to a picture that looks the same, channel by channel",
    takes="picture",
)
def fluctuation(
    case: Case,
    *,
    noise: Annotated[float, Range(1e-6)] = 0.01,
    steps: Annotated[int, Range(2, 100_000)] = 200,
    pixel: tuple[int, ...] | None = None,
) -> Outcome:
    """The partial derivatives at a pixel along x + t n, t from 0 to 1, over the largest entry of each gradient.

    Args: noise: sigma of the one draw n, as a share of x's range. pixel: row, column in the model's picture; by
    default where the gradient of the picture itself is largest.
    """
    case.check_layer("gradient")
    fitted = case.fitted(single(case))
    model, prepared = fitted.model, fitted.sample
    goal = resolve_target(model, case.target, model.outputs(prepared.x), prepared)
    place = _place(model, prepared.x, goal, pixel)
    far = noise * float(np.ptp(prepared.x)) * normal(case.seed, 0, 0, prepared.x.size).reshape(prepared.x.shape)
    path = _Path(model, goal, prepared, far, place)
    walk = _walk(case, path, steps)
    names = channel_names(model)
    rows = tuple(_row(name, walk, k) for k, name in enumerate(names))
    columns = ("channel", "mean", "standard deviation", "lowest", "highest", "changes of sign")
    return Outcome(
        Table(columns, rows), _says(walk, names), _drawn(path, walk, noise),
        {"pixel": list(place), "label": goal.label, "unit": "share of the largest entry of the gradient"},
    )  # fmt: skip


def channel_names(model: Model) -> list[str]:
    """Return the names of the explained input's channels."""
    count = model.anatomy.entry.channels
    if count != 3:
        return [f"channel {k}" for k in range(count)] if count > 1 else ["grey"]
    names = ["red", "green", "blue"]
    return names[::-1] if model.preprocess is not None and model.preprocess.colour == "BGR" else names


def _gradients(model: Model, batch: Floats, goal: Target) -> tuple[Floats, Floats]:
    score = model.score(model.task.kind("logit"), goal)
    program = model.program(("fluctuation", score), lambda: input_gradient(score))
    feeds = {name: np.repeat(value, len(batch), axis=0) for name, value in goal.feeds.items()}
    session = model.session(program)
    if len(batch) > 1 and one_by_one(model, batch[0]) is not None:
        assert isinstance(session, Session)
        session.single = True
    found = session.run({X: batch, **feeds})
    return found["saliency"], found["score"]


def _place(model: Model, x: Floats, goal: Target, pixel: tuple[int, ...] | None) -> tuple[int, int]:
    height, width = x.shape[1:]
    if pixel is None:
        strongest = np.abs(_gradients(model, x[None], goal)[0][0]).max(axis=0)
        row, column = np.unravel_index(int(strongest.argmax()), strongest.shape)
        return int(row), int(column)
    if len(pixel) != 2 or not (0 <= pixel[0] < height and 0 <= pixel[1] < width):
        raise UsageError(f"option pixel={pixel}: expected row,column inside {height} x {width}")
    return pixel[0], pixel[1]


def _walk(case: Case, path: _Path, steps: int) -> _Walk:
    (row, column), x = path.place, path.prepared.x
    shares = np.linspace(0, 1, steps, dtype=np.float32)
    parts = [shares[at : at + _BATCH] for at in range(0, steps, _BATCH)]
    step, found = case.count(len(parts)), []
    for part in parts:
        g, score = _gradients(path.model, (x + part[:, None, None, None] * path.far).astype(np.float32), path.goal)
        found.append((g[:, :, row, column], np.abs(g).reshape(len(g), -1).max(axis=1), score))
        step()
    at_pixel, largest, scores = (np.concatenate(each).astype(np.float64) for each in zip(*found, strict=True))
    return _Walk(at_pixel, largest, scores)


def _shares(walk: _Walk) -> NDArray[np.float64]:
    safe = np.where(walk.largest > 0, walk.largest, 1.0)
    found: NDArray[np.float64] = walk.at_pixel / safe[:, None]
    return found


def sign_changes(values: Sequence[float] | NDArray[np.float64]) -> int:
    """Return how often a row of numbers changes its sign; zeros do not count."""
    signs = np.sign(np.asarray(values, np.float64))
    signs = signs[signs != 0]
    return int((signs[1:] != signs[:-1]).sum())


def _row(name: str, walk: _Walk, channel: int) -> tuple[str, float, float, float, float, int]:
    values = _shares(walk)[:, channel]
    spread = (float(f(values)) for f in (np.mean, np.std, np.min, np.max))
    mean_, std, low, high = spread
    return name, mean_, std, low, high, sign_changes(values)


def _says(walk: _Walk, names: Sequence[str]) -> tuple[str, ...]:
    shares, change = _shares(walk), float(np.ptp(walk.scores))
    spans = np.ptp(shares, axis=0)
    most = int(spans.argmax())
    return (
        f"while the score moves by {change:.3g} (of {walk.scores[0]:.3g}), the derivative of {names[most]} runs over "
        f"{100 * spans[most]:.0f} % of the gradient's largest entry and changes its sign "
        f"{sign_changes(shares[:, most])} times",
    )


def _drawn(path: _Path, walk: _Walk, noise: float) -> Pixels:
    names, shares = channel_names(path.model), _shares(walk)
    t = np.linspace(0, 1, len(shares))
    lines = [Curve(n, list(t), list(shares[:, k]), colour=_INK.get(n)) for k, n in enumerate(names)]
    plot = curves(
        lines,
        x=Axis("t, on the way from the picture to the picture with noise"),
        y=Axis("derivative at the pixel, share of the gradient's largest entry"),
        title=f"Row {path.place[0]}, column {path.place[1]}",
        size=(680, 380),
    )
    score = curves(
        [Curve("logit", list(t), list(walk.scores), colour=(90, 90, 90))],
        x=Axis(), y=_wide(walk.scores), title="The score meanwhile", size=(680, 190),
    )  # fmt: skip
    ends = [
        [marked(path.prepared.image().image, path.place)],
        [for_display(_noisy(path.model, path.prepared, path.far))[0]],
    ]
    images = board(ends, Labels(["the picture and the pixel"], ["t = 0", "t = 1"]), cell=270)
    heading = Caption(
        f"The gradient of one pixel · {path.goal.label}",
        detail=f"The path adds noise of {100 * noise:g} % of the picture's range, little by little.",
    )
    return figure([beside([images, below([plot, score])])], heading)


def _noisy(model: Model, prepared: Sample, far: Floats) -> Pixels:
    """The picture at the end of the path, as a person would see it: what was added to x, in levels of a pixel."""
    levels = (far * _levels(model, prepared.x)[:, None, None]).transpose(1, 2, 0)
    levels = levels[..., ::-1] if channel_names(model)[0] == "blue" else levels
    levels = levels if levels.shape[2] == 3 else levels[..., :1]
    return np.rint(prepared.image().image + levels).clip(0, 255).astype(np.uint8)


def _levels(model: Model, x: Floats) -> NDArray[np.float64]:
    """How many levels of a pixel 1 in x is, by channel: preprocessing turned round.

    Without preprocessing x is shown with its own least value black and its greatest white.
    """
    if model.preprocess is None:
        return np.full(len(x), 255 / max(float(np.ptp(x)), 1e-12))
    black, white = model.preprocess.limits()
    span = (white - black).astype(np.float64).reshape(len(white), -1).mean(axis=1)  # the same at every pixel
    return np.broadcast_to(255 / span, len(x))


def _wide(scores: NDArray[np.float64]) -> Axis:
    """An axis on which a small change looks small: from zero, or a little round a constant."""
    return Axis("logit", min(0.0, float(scores.min())), max(0.0, float(scores.max())) * 1.15 or 1.0)


def marked(image: Pixels, place: tuple[int, int]) -> Pixels:
    """Return a picture for looking at with a cross round a pixel."""
    shown = for_display(image)[0].copy()
    y, x = (int((p + 0.5) * s / o) for p, s, o in zip(place, shown.shape[:2], image.shape[:2], strict=True))
    arm = max(6, len(shown) // 24)
    for inner, outer in ((arm // 2, arm * 2),):
        for reach in range(inner, outer):
            for dy, dx in ((reach, 0), (-reach, 0), (0, reach), (0, -reach)):
                shown[max(0, y + dy - 1) : y + dy + 2, max(0, x + dx - 1) : x + dx + 2] = _CROSS
    return shown
