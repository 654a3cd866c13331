"""What one run of a method gives, and what the runs of several layers give together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

RELIABLE = 0.5
"""Below this share that is not noise, of its weights' spread or of its own square, a map says so."""

EMPTY = "the map is empty: nothing is above 0 (ReLU), as its weights are negative or its scores below the baseline's"

ZERO = "the map is 0 everywhere: nothing that was covered or changed moves the score"

BEGUN = "ended within its first sample: a part of the feature maps has no weight yet, and the error is not known"

INCOMPLETE = 0.1
"""Share of a score's rise over the baseline from which on what a map's sum lacks of it is said."""

MANY = 100
"""Maps from which on the allocation of draws was measured to pay; with few it knows too little."""

_ENDS = ("interrupted", "seconds", "forwards", "tolerance")
"""Of the ends of several layers the first of these is that of all."""


@dataclass(frozen=True)
class Outcome:
    """A map, its standard error, numbers for the manifest, and what it cost."""

    raw: Floats
    stderr: Floats | None
    numbers: Mapping[str, float]
    forwards: int
    backwards: int
    samples: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the manifest says beside: the variant, and how the run ended."""
    notes: tuple[str, ...] = ()
    saliency_stderr: Floats | None = None
    """The standard error of the saliency [H, W], where there are several layers."""


def warnings_of(numbers: Mapping[str, float]) -> tuple[str, ...]:
    """Return what a person should know of a map with these numbers."""
    if "maps_foreseen" in numbers:
        return _foreseen(numbers)
    found = []
    share = numbers.get("weight_reliability", 1.0)
    if share < RELIABLE:
        found.append(
            f"the weights of the feature maps can hardly be told from noise: {100 * share:.0f} % of their spread"
        )
    # What is drawn holds the map and its error, so this share of its square is the map's own.
    share = max(1 - numbers.get("relative_error", 0.0) ** 2, 0.0)
    if share < RELIABLE:
        found.append(f"the map can hardly be told from the noise of its samples: {100 * share:.0f} % of its square")
    noise = tuple(f"{what} is not noise; take more samples or less noise" for what in found)
    return (*noise, *_incomplete(numbers))


def _incomplete(numbers: Mapping[str, float]) -> tuple[str, ...]:
    """Return what a person should know of contributions that do not add up to what they are contributions to."""
    gap, rise = (numbers.get(name, 0.0) for name in ("completeness_gap", "score_rise"))
    if gap <= INCOMPLETE * abs(rise) or gap == abs(rise):  # a map that is 0 has a note of its own
        return ()
    return (f"the map's sum is off the score's rise over the baseline, {rise:.3g}, by {gap:.3g}: take more steps",)


def _foreseen(numbers: Mapping[str, float]) -> tuple[str, ...]:
    """Return what a person should know of a map for which some scores were foreseen."""
    scored, error = int(numbers["maps_scored"]), numbers.get("relative_error")
    of = f"{scored} of {scored + int(numbers['maps_foreseen'])} feature maps were scored"
    if error is None:
        return (f"{of}: too few to tell how far the map is off; raise the limit",)
    if not 1 - error**2 >= RELIABLE:
        return (f"{of}, and the map may be off by {100 * error:.0f} % of itself; raise the limit",)
    return ()


def few_maps(maps: int) -> tuple[str, ...]:
    """Return what a person should know of draws that were allocated to so few maps."""
    if maps >= MANY:
        return ()
    return (
        f"estimator=neyman is for hundreds of maps, this layer has {maps}: their error is larger than that of plain "
        "samples, and stated too small where scores are near 0 or 1; estimator=independent costs little here",
    )


def noted(
    outcome: Outcome,
    cause: Callable[[], str | None],
    unseen: Sequence[str] = (),
    *,
    rank: int = 2,
    of_layer: bool = True,
) -> Outcome:
    """Return the outcome with a note where it is 0 everywhere, else with what its map cannot show.

    Args: cause: finds out why, by running the model. rank: of the explained value's positions. of_layer: whether the
    map is of a layer, and has no part below 0.
    """
    if outcome.raw.any():
        return replace(outcome, notes=(*outcome.notes, *unseen)) if unseen else outcome
    found = cause()
    if found is None and (outcome.raw.ndim > rank or not of_layer):
        found = ZERO
    return replace(outcome, notes=(*outcome.notes, found or EMPTY))


def fused(
    outcomes: Sequence[Outcome], maps: Sequence[Floats], layers: Sequence[str], how: Literal["mean", "max"]
) -> Outcome:
    """Return the mean or the maximum of the layers' saliency maps, with its standard error.

    Args:
        outcomes, maps: of every layer that was reached, maps [H, W] in [0, 1].
        layers: the names of all layers; fewer outcomes are an interruption.
    """
    stack = np.stack(maps)
    raw = stack.max(axis=0) if how == "max" else stack.mean(axis=0)
    stderr = _error(outcomes, stack, how)
    numbers: dict[str, float] = {}
    if stderr is not None:
        from onnxsal.streaming.finish import relative  # numba: whatever has an error has loaded it

        numbers = {"relative_error": relative(stderr, raw)}
    about = _about(outcomes, layers)
    seen = [o for o, each in zip(outcomes, maps, strict=True) if how == "max" and each.any()]
    notes = [note for o in seen or outcomes for note in o.notes]  # a level of a pyramid without a share takes none away
    notes += [*warnings_of(numbers), *_ended_notes(about, layers[len(outcomes) :])]
    forwards, backwards = sum(o.forwards for o in outcomes), sum(o.backwards for o in outcomes)
    samples = {o.samples for o in outcomes}
    return Outcome(
        raw, stderr, numbers, forwards, backwards, samples.pop() if len(samples) == 1 else None, about,
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _error(outcomes: Sequence[Outcome], maps: Floats, how: str) -> Floats | None:
    """Return the standard error of the fused map [H, W]; None where that of a layer is not known.

    Layers share their noise, which depends on seed, sample and position alone, so their errors may go together: the
    error of the mean is at most the mean of the errors. That of the maximum is the error of the layer that it is.
    """
    # A constant map is stretched to 0 whatever it is, so the spread of that says nothing.
    errors = [o.saliency_stderr for o, own in zip(outcomes, maps, strict=True) if np.ptp(own) > 0]
    known = [error for error in errors if error is not None]
    if len(known) < len(outcomes):
        return None
    stack = np.stack(known)
    if how == "mean":
        return np.asarray(stack.mean(axis=0), np.float32)
    return np.asarray(np.take_along_axis(stack, maps.argmax(axis=0)[None], axis=0)[0], np.float32)


def _about(outcomes: Sequence[Outcome], layers: Sequence[str]) -> dict[str, Any]:
    about = dict(outcomes[0].about)
    if "stopped" not in about:  # nothing was drawn
        return about
    ends = {o.about["stopped"] for o in outcomes} | ({"interrupted"} if len(outcomes) < len(layers) else set())
    about["stopped"] = next((end for end in _ENDS if end in ends), None)
    about["partial"] = len(outcomes) < len(layers) or any(o.about["partial"] for o in outcomes)
    smaller = [o.about for o in outcomes if "batch_size" in o.about]
    if smaller:
        last = min(smaller, key=lambda each: each["batch_size"])
        about |= {name: last[name] for name in ("batch_size", "batch_size_asked")}
    about["by_layer"] = [_row(name, outcome) for name, outcome in zip(layers, outcomes, strict=False)]
    return about


def _row(layer: str, outcome: Outcome) -> dict[str, Any]:
    ended = {name: outcome.about[name] for name in ("stopped", "partial")}
    return {
        "layer": layer, "samples": outcome.samples, "forwards": outcome.forwards, **ended, **outcome.numbers,
    }  # fmt: skip


def _ended_notes(about: Mapping[str, Any], without: Sequence[str]) -> list[str]:
    """Say which layers are missing, and how a map is made again of which no one number of forwards is the measure."""
    found = []
    if without:
        found.append(f"interrupted before layer {', '.join(without)}: the map is that of the layers before")
    if about.get("stopped") in ("seconds", "interrupted"):
        found.append(
            "no one number of forwards or samples makes this map of several layers again: run each layer of by_layer "
            "alone with its number of forwards, and fuse their saliency"
        )
    elif about.get("stopped") is not None:
        found.append(
            "this map of several layers is made again by the limits that were asked for, not by the number of forwards "
            "that it took"
        )
    return found
