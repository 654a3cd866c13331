"""Batches on an NVIDIA GPU: kernels fill device memory that the session is bound to, of a batch scores alone come back.

Ordering is left to waiting, never to luck: the thread that fills waits for its own stream before it hands a batch over,
and a run has ended when its scores are on the host. Numba's stream and ONNX Runtime's are different ones, so the next
batch is filled while this one runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import OutOfMemoryError
from onnxsal.kernels import cuda
from onnxsal.runtime import DeviceBuffer
from onnxsal.streaming.device import Batch, Runner, host_masks
from onnxsal.streaming.plan import Plan

Array = NDArray[Any]


class Gpu:
    """The twin of ``Host``: picture, baseline and maps are uploaded once."""

    def __init__(self, plan: Plan, x: str, key: tuple[int, int]) -> None:
        """Raises: OutOfMemoryError: the GPU has no room for picture and maps, which no smaller batch would change."""
        self._plan, self._x, self._key = plan, x, key
        try:
            self._filler = cuda.Filler(plan.x, plan.baseline, plan.grids, key, placement=plan.placement)
        except MemoryError as error:
            raise OutOfMemoryError(
                f"out of memory before the first batch: {error}; --provider cpu does it in the memory of the host"
            ) from error

    def buffer(self, rows: int) -> Any:
        """Return room for so many rows on the GPU."""
        return cuda.room((rows, *self._plan.x.shape))

    def fill(self, buffer: Any, start: int, stop: int) -> Batch:
        """Return draws ``start`` to ``stop``, written into the beginning of a buffer. Raises: MemoryError: no room."""
        plan, out = self._plan, buffer[: stop - start]
        masks = host_masks(plan, self._key, start, stop)
        self._filler(out, plan.rows(start, stop), masks)
        return Batch(start, stop - start, out, masks)

    def run(self, session: Runner, batch: Batch, feeds: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """Return the outputs of a session that is bound to a batch, on the host."""
        place = DeviceBuffer(cuda.KIND, cuda.address(batch.x), (batch.x.shape[0], *self._plan.thing))
        return {n: np.asarray(v) for n, v in session.run_placed({self._x: place}, feeds, names).items()}
