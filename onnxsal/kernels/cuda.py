"""The fused fill on an NVIDIA GPU: the formulas of the processor's kernels, one thread an element."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from onnxsal.errors import UnsupportedError
from onnxsal.kernels import formulas
from onnxsal.kernels.masks import INPUT, MASK, Rows, check_fill, checked_key
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement
from onnxsal.kernels.resize import taps

try:
    cuda: Any = importlib.import_module("numba.cuda")
except ImportError as error:
    raise UnsupportedError(f"the GPU kernels need numba-cuda: pip install 'onnxsal[gpu]' ({error})") from error

BLOCK = 128

SIMULATED = bool(importlib.import_module("numba.core.config").ENABLE_CUDASIM)
KIND = "cpu" if SIMULATED else "cuda"
"""Where the arrays of this module lie, in ONNX Runtime's words."""

ENOUGH = 1 if SIMULATED else 512
"""Blocks of a launch, at least: with fewer most of a GPU waits, and numba warns. Blocks cost the simulator time."""

MOST = 65535
"""Blocks along the second axis of a launch, at most; the first, on which rows are, takes 2^31 - 1."""

# What the driver raises over whatever it cannot do; no kind of MemoryError.
_driver_error: Any = getattr(importlib.import_module("numba.cuda.cudadrv.driver"), "CudaAPIError", MemoryError)
_NO_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
_NONE, _ONE = np.zeros((0, 1, 1), np.float32), np.zeros((1, 1, 1), np.float32)  # a GPU has no empty arrays


def _device(function: Callable[..., Any]) -> Any:
    return cuda.jit(device=True)(function)


def _kernel(function: Callable[..., Any]) -> Any:
    return cuda.jit(function)


_bound = formulas.bind(_device, math.sqrt)
lerp, level, blend, normals = _bound["lerp"], _bound["level"], _bound["blend"], _bound["normals"]


@_device
def _noise(start: Any, element: Any, draw: Any, key: Any) -> Any:
    a, b = normals(np.uint32(start + np.uint32(element // 2)), draw, key[0], key[1])
    return a if element % 2 == 0 else b


@_device
def _upsampled(grid: Any, across: Any, down: Any, y: Any, x: Any) -> Any:
    left, right, share = across[0][x], across[1][x], across[2][x]
    top = lerp(grid[down[0][y], left], grid[down[0][y], right], share)
    bottom = lerp(grid[down[1][y], left], grid[down[1][y], right], share)
    return lerp(top, bottom, down[2][y])


@_device
def _block_range(low: Any, high: Any) -> Any:
    """Return the smallest low and largest high of the block's threads, to every one of them."""
    # One a line: the simulator tells shared arrays apart by the line that makes them.
    lows = cuda.shared.array(BLOCK, np.float32)
    highs = cuda.shared.array(BLOCK, np.float32)
    t, half = cuda.threadIdx.x, BLOCK // 2
    lows[t], highs[t] = low, high
    cuda.syncthreads()
    while half > 0:
        if t < half:
            lows[t], highs[t] = min(lows[t], lows[t + half]), max(highs[t], highs[t + half])
        cuda.syncthreads()
        half //= 2
    return lows[0], highs[0]


@_kernel
def _planes(planes: Any, masks: Any, rows: Any, options: Any) -> None:
    """Some blocks a row: the noisy mask. Where it is normalised after the noise, one block: it has to see all of it."""
    grids, across, down = masks
    key, renormalise = options
    row, plane = rows[cuda.blockIdx.x], planes[cuda.blockIdx.x]
    height, width = plane.shape
    whole = renormalise and row.mask >= 0
    if whole and cuda.blockIdx.y > 0:
        return
    step = BLOCK if whole else BLOCK * cuda.gridDim.y
    first = cuda.threadIdx.x + BLOCK * cuda.blockIdx.y
    low, high = np.float32(np.inf), np.float32(-np.inf)
    for p in range(first, height * width, step):
        m = np.float32(1)
        if row.mask >= 0:
            m = level(_upsampled(grids[row.mask], across, down, p // width, p % width), row.gain, row.offset)
        if not whole:
            m *= row.scale
        if row.mask_noise != 0:
            m += row.mask_noise * _noise(MASK, p, row.draw, key)
        plane[p // width, p % width] = m
        low, high = min(low, m), max(high, m)
    if whole:
        low, high = _block_range(low, high)
        for p in range(first, height * width, step):
            y, x = p // width, p % width
            plane[y, x] = row.scale * ((plane[y, x] - low) / (high - low)) if high > low else np.float32(0)


@_kernel
def _compose(out: Any, image: Any, planes: Any, rows: Any, key: Any) -> None:
    """Some blocks a row: the masked picture, and noise on it."""
    x, base = image
    r = cuda.blockIdx.x
    row, (channels, height, width) = rows[r], x.shape
    first = cuda.threadIdx.x + BLOCK * cuda.blockIdx.y
    for i in range(first, channels * height * width, BLOCK * cuda.gridDim.y):
        c, y, column = i // (height * width), i // width % height, i % width
        z, mask = x[c, y, column], planes[r, y, column]
        if row.mask >= 0 or row.mask_noise != 0 or row.scale != 1:
            z = blend(z, base[c, y, column], mask)
        if row.input_noise != 0:
            z += row.input_noise * _noise(INPUT, i, row.draw, key)
        out[r, c, y, column] = z


def check_available() -> None:
    """Raise UnsupportedError, saying what is missing, unless a GPU can be used."""
    if not cuda.is_available():
        detail = " ".join(str(cuda.cuda_error()).split())
        raise UnsupportedError(
            "the GPU kernels need an NVIDIA GPU, its driver, and what pip install 'onnxsal[gpu]' brings; "
            f"numba cannot use a GPU here: {detail}"
        )


@contextmanager
def _short_of_memory(what: str) -> Iterator[None]:
    """Within it a GPU without room for ``what`` raises MemoryError, so that the executor halves the batch.

    Raises: UnsupportedError: the driver fails in another way; the message is what it says.
    """
    try:
        yield
    except _driver_error as error:
        said = " ".join(str(error).split())
        if "OUT_OF_MEMORY" in said or getattr(error, "code", None) == _NO_MEMORY:
            raise MemoryError(f"the GPU has no room for {what}") from error
        raise UnsupportedError(f"the GPU's driver fails: {said}; --provider cpu does without it") from error


def _mib(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"


def _sent(values: Any, stream: Any = 0) -> Any:
    """Return an array of the host as one on the GPU. Raises: as ``_short_of_memory``."""
    with _short_of_memory(_mib(values.nbytes)):
        return cuda.to_device(values, stream=stream)


def upload(values: Any) -> Any:
    """Return ``values`` as a float32 array on the GPU; one that lies there already is taken as it is.

    Raises: MemoryError: the GPU has no room for it. UnsupportedError: no GPU can be used.
    """
    check_available()
    if hasattr(values, "copy_to_host"):
        return values
    if hasattr(values, "__cuda_array_interface__"):
        return cuda.as_cuda_array(values)
    return _sent(np.require(values, np.float32, ["C", "A"]))


def room(shape: tuple[int, ...]) -> Any:
    """Return a float32 array on the GPU with nothing in it yet. Raises: MemoryError: the GPU has no room for it."""
    with _short_of_memory(_mib(4 * math.prod(shape))):
        return cuda.device_array(shape, np.float32)


def address(array: Any) -> int:
    """Return where an array of the GPU begins; on the simulator, where its stand-in begins on the host."""
    return int(array._ary.ctypes.data if SIMULATED else array.__cuda_array_interface__["data"][0])


def _masks(grids: Any, size: tuple[int, int], placement: Placement = WHOLE_IMAGE) -> tuple[Any, ...]:
    placed = ((2, size[1], placement.columns), (1, size[0], placement.rows))
    sides = [taps(grids.shape[i], n, side) for i, n, side in placed]
    return (grids, *(tuple(_sent(column) for column in side) for side in sides))


class Filler:
    """Fills batches on the GPU from one picture: what stays the same is uploaded once, on a stream of its own."""

    def __init__(
        self,
        x: Any,
        baseline: Any,
        grids: Any,
        key: tuple[int, int],
        *,
        renormalise: bool = False,
        placement: Placement = WHOLE_IMAGE,
    ) -> None:
        check_available()
        self._image = upload(x), upload(baseline)
        self._options = checked_key(key), renormalise
        self._masks = None if grids is None else _masks(upload(grids), x.shape[1:], placement)
        self._stream = cuda.stream()
        self._planes = room((1, *x.shape[1:]))

    def __call__(self, out: Any, rows: Rows, grids: Any = None) -> None:
        """Return when ``out`` on the GPU holds the batch of these rows; ``grids`` are masks of this batch alone.

        Raises: MemoryError: the GPU has no room for them. UnsupportedError: its driver fails. UsageError: see ``fill``.
        """
        x, base = self._image
        masks = self._masks if grids is None else _masks(upload(grids), x.shape[1:])
        check_fill(out, x, rows, base, _NONE if masks is None else masks[0])
        if self._planes.shape[0] < rows.size:
            self._planes = room((rows.size, *x.shape[1:]))
        masks = masks or _masks(upload(_ONE), x.shape[1:])
        with _short_of_memory("the kernels"):  # they are loaded at their first launch
            _launch(out, (x, base), masks, (rows, self._planes), (*self._options, self._stream))
            self._stream.synchronize()


def _launch(out: Any, image: Any, masks: Any, work: Any, options: Any) -> None:
    (x, _), (rows, planes), (key, renormalise, stream) = image, work, options
    if rows.size:
        table = _sent(rows, stream)
        parts = math.ceil(ENOUGH / rows.size)
        _planes[(rows.size, parts), BLOCK, stream](planes, masks, table, (key, renormalise))
        blocks = min(max(math.ceil(math.prod(x.shape) / BLOCK), parts), MOST)
        _compose[(rows.size, blocks), BLOCK, stream](out, image, planes, table, key)


def fill(
    out: Any,
    x: Any,
    rows: Rows,
    *,
    baseline: Any = None,
    grids: Any = None,
    key: tuple[int, int] = (0, 0),
    renormalise: bool = False,
    placement: Placement = WHOLE_IMAGE,
) -> None:
    """Return nothing; write the batch as ``masks.fill`` does, into an array on the GPU.

    Args:
        out: ``[R, C, H, W]`` on the GPU (anything with ``__cuda_array_interface__``).
        x, baseline, grids: as there; arrays on the GPU (``upload``) save a copy each call.
        rows: on the host.

    Raises:
        UnsupportedError: no GPU can be used.
        UsageError: shapes, types or mask indices do not fit.
    """
    out, x = upload(out), upload(x)
    base = upload(np.zeros(x.shape, np.float32) if baseline is None else baseline)
    Filler(x, base, grids, key, renormalise=renormalise, placement=placement)(out, rows)
