"""Batches of draws, filled on a thread of its own while the batch before is in use."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

from onnxsal.streaming.device import Batch, Device


def batches(device: Device, start: int, stop: int, size: int) -> Generator[Batch, None, None]:
    """Yield draws ``start`` to ``stop`` in batches of ``size``, in two buffers; close it to end the thread."""
    size = max(1, min(size, stop - start))
    starts = range(start, stop, size)
    buffers = [device.buffer(size) for _ in starts[:2]]
    pool = ThreadPoolExecutor(1, thread_name_prefix="onnxsal-fill")

    def ahead(number: int) -> Future[Batch]:
        first = starts[number]
        return pool.submit(device.fill, buffers[number % 2], first, min(first + size, stop))

    try:
        coming = ahead(0)
        for number in range(len(starts)):
            batch = coming.result()
            if number + 1 < len(starts):
                coming = ahead(number + 1)
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
