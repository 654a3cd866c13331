"""--memory: the batch that keeps a run within a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxsal.anatomy import Layer
from onnxsal.errors import UsageError
from onnxsal.explanation.build import build
from onnxsal.explanation.costs import BUFFERS, footprints
from onnxsal.explanation.request import Request
from onnxsal.graph import Program, dims, infer_shapes
from onnxsal.graph.memory import Footprint
from onnxsal.records import Record

PROCESS = 320 * 2**20
"""What the process takes before the first picture: Python, ONNX Runtime, Numba; measured 230 to 310 MiB."""

ALLOWANCE = 2.1
"""ONNX Runtime's arena grows in powers of two and holds reordered copies; measured 0.15 (int8) to 2.05 times."""


COPIES = 6
"""Sums of all groups, less one, their means, and what a tail makes of them."""


def batch_size(request: Request, limit: int) -> int:
    """Return the largest batch, up to the one asked for, of which a run takes at most ``limit`` bytes.

    Raises: UsageError: one image takes more.
    """
    each = [_footprint(request, layer) for layer in request.layers or (None,)]
    fitting, needed = min(
        (((limit - f.fixed) // f.per_image, f) for f in each), key=lambda pair: (pair[0], -pair[1].total(1))
    )
    if fitting < 1:
        raise UsageError(
            f"--memory {_shown(limit)} is not enough: {request.steps.method.name} on this model takes about "
            f"{_shown(needed.total(1))} for one image, {_shown(needed.fixed)} of it whatever the image"
        )
    return min(fitting, request.batch_size)


def left_beside(request: Request, limit: int) -> int:
    """Return the bytes of a bound that a run at the request's batch leaves to what goes on beside it."""
    each = [_footprint(request, layer) for layer in request.layers or (None,)]
    return max(0, min(limit - footprint.total(request.batch_size) for footprint in each))


def _footprint(request: Request, layer: Layer | None) -> Footprint:
    built = build(request.model, request.steps, layer=layer, score=request.model.score(request.score))
    parts = footprints(built)
    image = 4 * request.model.anatomy.entry.channels * math.prod(request.model.size)
    per_image = max(part.per_image for part in parts) * ALLOWANCE + BUFFERS * image
    return Footprint(
        PROCESS + sum(part.fixed for part in parts) + _sums(built, image, several=len(request.layers) > 1),
        int(per_image),
    )


def _sums(built: Program | Record, image: int, *, several: bool) -> int:
    """Return the bytes of the running sums, by group of samples, and of what the jackknife makes of them at a time.

    Args: picture: bytes of one, in float32; a method inside another gives a map of that size at most.
    several: whether several layers are fused, for which the error of what is shown is wanted.
    """
    if isinstance(built, Program):
        return 0
    from onnxsal.streaming.moments import GROUPS, LIMIT  # numba: only methods that draw need it
    from onnxsal.streaming.run import has_groups, needs_squares

    if isinstance(built.body, Record):
        inner, one = _sums(built.body, image, several=False), 2 * image
    else:
        inner, one = 0, 0 if built.moments.per == "mask" else 8 * _elements(built.body, built.moments.names)
    one *= 1 + needs_squares(built)
    grouped = built.draws.sampled and (several or has_groups(built))
    return inner + min(one * (min(GROUPS, built.draws.samples) if grouped else 1), LIMIT) + one * COPIES


def _elements(body: Program, names: Sequence[str]) -> int:
    """Return how many numbers a body puts out for a picture under these names."""
    inferred = Program(body.model.clone())
    infer_shapes(inferred.model)
    shapes = [(dims(inferred.outputs[name]) or ())[1:] for name in names]
    return sum(math.prod(d for d in shape if isinstance(d, int)) for shape in shapes)


def _shown(count: int) -> str:
    return f"{count / 2**30:.1f}G" if count >= 2**30 else f"{-(-count // 2**20)}M"
