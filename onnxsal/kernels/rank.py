"""The order of a map's pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def order(maps: NDArray[Any]) -> NDArray[np.int64]:
    """Return the flat pixel indices of each map from its highest value to its lowest, int64 ``[..., H * W]``.

    Equal pixels keep their reading order, NaN comes last.
    """
    maps = np.asarray(maps)
    values = maps if np.issubdtype(maps.dtype, np.floating) else maps.astype(np.float64)
    flat = values.reshape(*maps.shape[:-2], maps.shape[-2] * maps.shape[-1])
    return np.argsort(-flat, axis=-1, kind="stable")


def rank(maps: NDArray[Any]) -> NDArray[np.int64]:
    """Return each pixel's place in its map's descending order, int64, shaped like ``maps``; 0 is the highest value."""
    indices = order(maps)
    places = np.empty_like(indices)
    np.put_along_axis(places, indices, np.broadcast_to(np.arange(indices.shape[-1]), indices.shape), axis=-1)
    return places.reshape(np.shape(maps))
