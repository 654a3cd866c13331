"""Batches of draws, filled on a thread of its own while the batch before is in use."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

from onnxsal.streaming.device import Batch, Device


def batches(device: Device, start: int, stop: int, size: int) -> Generator[Batch, None, None]:
    """Yield draws ``start`` to ``stop`` in batches of ``size``, in two buffers; close it to end the thread."""
    size = max(1, min(size, stop - start))
    spans = [(first, min(first + size, stop)) for first in range(start, stop, size)]
    buffers = [device.buffer(size) for _ in spans[:2]]
    pool = ThreadPoolExecutor(1, thread_name_prefix="onnxsal-fill")
    try:
        ahead = pool.submit(device.fill, buffers[0], *spans[0])
        for number in range(len(spans)):
            batch = ahead.result()
            if number + 1 < len(spans):
                ahead = pool.submit(device.fill, buffers[(number + 1) % 2], *spans[number + 1])
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
