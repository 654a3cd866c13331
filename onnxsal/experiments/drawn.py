"""Pictures that several experiments draw: a map on what the model saw, a map alone."""

from __future__ import annotations

from onnxsal.explanation import Explanation
from onnxsal.viz.colour import Pixels, colourise
from onnxsal.viz.overlay import for_display, overlay


def on_image(explanation: Explanation) -> Pixels:
    """Return the map on the picture that the model saw."""
    return over(explanation.canvas().image, explanation)


def over(image: Pixels, explanation: Explanation) -> Pixels:
    """Return a map on a picture at a size for looking at."""
    return overlay(for_display(image)[0], explanation.saliency, signed=explanation.signed)


def alone(explanation: Explanation) -> Pixels:
    """Return the map alone: pixel maps in grey as the papers print them, signed ones in two colours."""
    return colourise(explanation.saliency, None if explanation.signed else "gray", signed=explanation.signed)


def seen(explanation: Explanation) -> Pixels:
    """Return the picture that the model saw, at a size for looking at."""
    return for_display(explanation.canvas().image)[0]
