"""Batches of draws, filled on a thread of its own while the batch before is in use."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onnxsal.kernels.masks import fill
from onnxsal.records import HostMasks
from onnxsal.streaming.plan import Plan

Floats = NDArray[np.float32]


class Batch(NamedTuple):
    """Draws ``start`` to ``start + len(x)``; ``x`` [R, C, H, W] is overwritten two batches later."""

    start: int
    x: Floats
    masks: Floats | None
    """Those of the host, [R, H, W]."""


def batches(plan: Plan, total: int, size: int, key: tuple[int, int]) -> Generator[Batch, None, None]:
    """Yield the first ``total`` draws of a plan in batches of ``size``, in two buffers; close it to end the thread."""
    size = max(1, min(size, total))
    buffers = [np.empty((size, *plan.x.shape), np.float32) for _ in range(min(2, -(-total // size)))]
    spans = [(start, min(start + size, total)) for start in range(0, total, size)]
    pool = ThreadPoolExecutor(1, thread_name_prefix="onnxsal-fill")
    try:
        ahead = pool.submit(_filled, plan, buffers[0], spans[0], key)
        for number in range(len(spans)):
            batch = ahead.result()
            if number + 1 < len(spans):
                ahead = pool.submit(_filled, plan, buffers[(number + 1) % 2], spans[number + 1], key)
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _filled(plan: Plan, buffer: Floats, span: tuple[int, int], key: tuple[int, int]) -> Batch:
    start, stop = span
    out, masks, grids = buffer[: stop - start], None, plan.grids
    if isinstance(plan.draws.masks, HostMasks):
        masks = grids = plan.draws.masks.make(key[0], start, stop, (plan.x.shape[1], plan.x.shape[2]))
    fill(out, plan.x, plan.rows(start, stop), baseline=plan.baseline, grids=grids, key=key)
    return Batch(start, out, masks)
