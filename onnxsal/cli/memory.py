"""--memory: the batch that keeps a run within a bound."""

from __future__ import annotations

from onnxsal.anatomy import Layer
from onnxsal.building import build
from onnxsal.costs import BUFFERS, footprints
from onnxsal.errors import UsageError
from onnxsal.explain import Request
from onnxsal.graph.memory import Footprint

PROCESS = 320 * 2**20
"""What the process takes before the first picture: Python, ONNX Runtime, Numba; measured 230 to 310 MiB."""

ALLOWANCE = 2.1
"""ONNX Runtime's arena grows in powers of two and holds reordered copies; measured 0.15 (int8) to 2.05 times."""


def batch_size(request: Request, limit: int) -> int:
    """Return the largest batch, up to the one asked for, of which a run takes at most ``limit`` bytes.

    Raises: UsageError: one image takes more.
    """
    needed = max((_footprint(request, layer) for layer in request.layers or (None,)), key=lambda f: f.total(1))
    fitting = (limit - needed.fixed) // needed.per_image
    if fitting < 1:
        raise UsageError(
            f"--memory {_shown(limit)} is not enough: {request.steps.method.name} on this model takes about "
            f"{_shown(needed.total(1))} for one image, {_shown(needed.fixed)} of it whatever the image"
        )
    return min(fitting, request.batch_size)


def _footprint(request: Request, layer: Layer | None) -> Footprint:
    built = build(request.model, request.steps, layer=layer, score=request.score, target=False)
    parts = footprints(built)
    height, width = request.model.size
    picture = 4 * request.model.anatomy.picture.channels * height * width
    per_image = max(part.per_image for part in parts) * ALLOWANCE + BUFFERS * picture
    return Footprint(PROCESS + sum(part.fixed for part in parts), int(per_image))


def _shown(count: int) -> str:
    return f"{count / 2**30:.1f}G" if count >= 2**30 else f"{-(-count // 2**20)}M"
