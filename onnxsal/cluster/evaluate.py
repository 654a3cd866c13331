"""``onnxsal.evaluate_dataset``: methods and metrics over a data set, by the workers of a cluster."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from typing import Any

from onnxsal.cluster.columns import Columns
from onnxsal.cluster.judging import JUDGED, Judge, Judging, together
from onnxsal.cluster.mapping import mapped
from onnxsal.cluster.ray_package import cause
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.evaluation import Evaluation
from onnxsal.evaluation.evaluate import Names, checked
from onnxsal.evaluation.judge import judge
from onnxsal.evaluation.named import named
from onnxsal.metrics.registry import get
from onnxsal.model import Model
from onnxsal.model.load import load

_NOT_HERE = {
    "truth": "what a row shows stands in a column (truth=COLUMN)",
    "boxes": "they are read from files beside the pictures",
    "masks": "they are read from files beside the pictures",
    "maps": "they are read from files beside the pictures",
    "journal": "it is one file, and workers are many",
    "progress": "Ray shows its own",
    "known_only": "it reads a journal",
    "confidence": "it is for mosaics",
    "mosaics": "they are made of pictures from everywhere",
}
"""Options of ``evaluate`` that there are not for a data set, and why."""


def evaluate_dataset(
    ds: Any,
    *,
    model: Model | str | os.PathLike[str],
    methods: Names = (),
    metrics: Names,
    image: str = "bytes",
    id: str = "path",
    truth: str | None = None,
    actors: int | tuple[int, int] = 1,
    cpus: int = 1,
    gpus: float = 0,
    rows: int = 8,
    remote: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Return how well methods explain a model on a data set of Ray, as ``onnxsal.evaluate`` does on one machine.

    Its rows are those of one machine with ``threads=cpus``, but for the seconds, in the order of the ids; a picture
    that cannot be judged is in ``failures``. Reports are without pictures: these stay with the workers.

    Args:
        methods, metrics, options: as ``evaluate`` has them, but for boxes, masks and maps in files, journals and
            mosaics.
        truth: the column of the class that a row shows.
        ds, model, image, id, actors, cpus, gpus, rows, remote: as ``explain_dataset`` has them.
    Raises: as ``onnxsal.evaluate``. EnvironmentSetupError: Ray is missing.
    """
    for name in options.keys() & _NOT_HERE.keys():
        raise UsageError(f"option {name} is not for data sets: {_NOT_HERE[name]}")
    checked(options)
    for each in (judge(one, get) for one in named(metrics, "metric")):
        if each.on_mosaics:
            raise UsageError(f"metric {each.label!r} judges on mosaics of pictures from everywhere: onnxsal.evaluate")
    opened = model if isinstance(model, Model) else load(model)
    share = Share(actors, cpus, gpus, rows, dict(remote or {}))
    found = mapped(ds, Judge, Judging(opened, methods, metrics, Columns(image, id, truth), share, options))
    try:
        return together(pickle.loads(row[JUDGED]) for row in found.iter_rows())
    except Exception as error:  # noqa: BLE001  Ray wraps whatever a worker raised
        raise (cause(error) or error) from None
