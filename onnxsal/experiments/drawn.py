"""Pictures that several experiments draw: a map on what the model saw, a map alone."""

from __future__ import annotations

from onnxsal.explanation import Explanation
from onnxsal.viz.boxes import boxed_in_view
from onnxsal.viz.colour import Pixels, colourise
from onnxsal.viz.overlay import for_display, overlay


def on_image(explanation: Explanation) -> Pixels:
    """Return the map on the picture that the model saw."""
    return over(explanation.canvas().image, explanation)


def over(image: Pixels, explanation: Explanation) -> Pixels:
    """Return a map on a picture at a size for looking at, with the box of what is explained, where that has one."""
    shown = overlay(for_display(image)[0], explanation.saliency, signed=explanation.signed)
    return _framed(shown, explanation)


def alone(explanation: Explanation) -> Pixels:
    """Return the map alone: pixel maps in grey as the papers print them, signed ones in two colours."""
    return colourise(explanation.saliency, None if explanation.signed else "gray", signed=explanation.signed)


def seen(explanation: Explanation) -> Pixels:
    """Return the picture that the model saw, at a size for looking at, with the box of what is explained."""
    return _framed(for_display(explanation.canvas().image)[0], explanation)


def _framed(shown: Pixels, explanation: Explanation) -> Pixels:
    """Return the model's picture with a detection's box, which is in pixels of the photograph."""
    found = explanation.detection
    if found is None:
        return shown
    return boxed_in_view(shown, found.get("asked_box", found["box"]), explanation.canvas().box)
