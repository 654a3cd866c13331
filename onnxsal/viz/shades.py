"""An array of two axes as a picture: a grey for each number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.viz.colour import Pixels


def shades(values: NDArray[np.floating]) -> Pixels:
    """Return a picture, uint8 [h, w, 3], of values [h, w]: from black to white, grey where all agree."""
    exact = np.asarray(values, np.float64)
    low, span = float(exact.min()), float(np.ptp(exact))
    share = np.full(exact.shape, 0.5) if span == 0 else (exact - low) / span
    return np.ascontiguousarray(np.repeat(np.rint(share * 255).astype(np.uint8)[..., None], 3, axis=2))
