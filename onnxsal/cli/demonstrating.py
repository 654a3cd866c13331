"""What ``onnxsal demo`` prints."""

from __future__ import annotations

from onnxsal.cli.text import bar, percent, table, wrapped
from onnxsal.demo import Demonstration


def as_text(picture: str, shown: Demonstration) -> list[str]:
    """Return the path of the picture, and how much of each map lies on the object."""
    first = shown.explanations[0]
    said = (
        f"The model sees a {first.label} ({percent(first.score)}). It covers {percent(shown.object_share)} of the "
        "picture, and this much of each map lies on it:"
    )
    rows = [
        (f"  {each.method}", bar(share, 20), percent(share), f"{share / shown.object_share:.1f} times its area")
        for each, share in zip(shown.explanations, shown.on_object, strict=True)
    ]
    end = "Next, a model and a photograph of yours: onnxsal predict model.onnx photo.jpg"
    return [picture, "", *wrapped(said, 0), *table(rows, right=frozenset({2, 3})), "", *wrapped(end, 0)]
