"""Where batches are filled and run: what a device does, and the host as one (``gpu`` is another)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError
from onnxsal.kernels.masks import fill
from onnxsal.kernels.plane import plane
from onnxsal.records import HostMasks, Made
from onnxsal.runtime import ColumnSession, Session
from onnxsal.streaming.plan import Plan

Array = NDArray[Any]
Floats = NDArray[np.float32]
Runner = Session | ColumnSession


class Batch(NamedTuple):
    """Draws ``start`` to ``start + rows``; ``x`` is overwritten two batches later."""

    start: int
    rows: int
    x: Any
    """[rows, C, H, W], an array of the device."""
    masks: Floats | None
    """Those of the host, [rows, H, W]."""


class Device(Protocol):
    """Makes buffers, fills them with draws, and runs a session on them; outputs are the host's."""

    def buffer(self, rows: int) -> Any:
        """Return room for so many rows. Raises: MemoryError or OutOfMemoryError: there is none."""

    def fill(self, buffer: Any, start: int, stop: int) -> Batch:
        """Return draws ``start`` to ``stop``, written into the beginning of a buffer."""

    def run(self, session: Runner, batch: Batch, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs of a session for a batch, as arrays of the host."""


@dataclass(frozen=True)
class Host:
    """Numba fills NumPy's memory, which ONNX Runtime takes as it lies."""

    plan: Plan
    x: str
    """The name of the picture's input."""
    key: tuple[int, int]
    """Seed and image."""

    def buffer(self, rows: int) -> Floats:
        """Return room for so many rows."""
        return np.empty((rows, *self.plan.x.shape), np.float32)

    def fill(self, buffer: Floats, start: int, stop: int) -> Batch:
        """Return draws ``start`` to ``stop``, written into the beginning of a buffer."""
        plan, out = self.plan, buffer[: stop - start]
        masks = host_masks(plan, self.key, start, stop)
        grids = plan.grids if masks is None else masks
        fill(
            out, plan.x, plan.rows(start, stop), baseline=plan.baseline, grids=grids, key=self.key,
            placement=plan.placement,
        )  # fmt: skip
        return Batch(start, stop - start, out, masks)

    def run(self, session: Runner, batch: Batch, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs of a session for a batch."""
        return session.run({self.x: self.plan.things(batch.x), **feeds}, names)


def host_masks(plan: Plan, key: tuple[int, int], start: int, stop: int) -> Floats | None:
    """Return the masks that the method makes for these draws, [rows, H, W], or None where the kernels make them.

    Args: key: seed and image; both decide what is drawn, so that a record inside a record has masks of its own.
    """
    masks, size = plan.draws.masks, plan.size
    if isinstance(masks, HostMasks):
        if len(size) != 2:
            raise UnsupportedError(
                f"this method masks images, of rows and columns; the model has positions {list(size)}"
            )
        return masks.make(_seed(*key), start, stop, (size[0], size[1]))
    if not isinstance(masks, Made):
        return None
    return plane(masks.make(_seed(*key), start, stop, size), len(size))


def _seed(seed: int, image: int) -> int:
    """Return one seed of 32 bits for a seed and an image: the seed itself for image 0, which no draw is around."""
    return seed if image == 0 else int(np.random.SeedSequence([seed, image]).generate_state(1)[0])
