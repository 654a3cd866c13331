"""How a map of a region lies to the region itself: what is outside is the context that the model goes by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onnxsal.metrics.judgement import UNDEFINED, Doubles, Judgement
from onnxsal.metrics.pointing import distance_to
from onnxsal.metrics.registry import metric
from onnxsal.options import Level


@metric(
    "mask-share",
    paper="Wang et al. 2020, arXiv:1910.01279, section 4.3, with the region that is explained for the object",
    when="maps that stay on the region that is explained; compare with the region's share of the picture",
    ends=(0, 1),
)
def mask_share(saliency: Doubles, region: NDArray[np.bool_]) -> Judgement:
    """Return the share of a map's energy on the region that is explained, [0, 1]; NaN for a map of nothing.

    Of a signed map the absolute value counts. ``details`` has the region's share of the picture: chance.
    """
    energy = np.abs(saliency)
    if not energy.any():
        return UNDEFINED
    return Judgement(float(energy[region].sum() / energy.sum()), details={"area": float(region.mean())})


@metric(
    "region-pointing",
    paper="Zhang et al. 2016, arXiv:1608.00507, with the region that is explained for the object",
    when="maps whose highest pixel is on the region that is explained or beside it",
    ends=(0, 1),
)
def region_pointing(saliency: Doubles, region: NDArray[np.bool_], *, tolerance: Level = 15.0) -> Judgement:
    """Return 1 where the highest pixel lies within ``tolerance`` pixels of the region, else 0; NaN for a flat map.

    Of several highest pixels the share that hits. Pixels are those of the model's input.
    """
    if not np.ptp(saliency):
        return UNDEFINED
    near = distance_to(region, tolerance) <= tolerance
    return Judgement(float(near[saliency == saliency.max()].mean()), details={"area": float(region.mean())})
