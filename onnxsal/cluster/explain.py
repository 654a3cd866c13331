"""``onnxsal.explain_dataset``: explanations as a data set, made by the workers of a cluster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from onnxsal.cluster.columns import Columns
from onnxsal.cluster.explainer import Asked, Explainer, Work
from onnxsal.cluster.mapping import Checkpoint, mapped
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.maps.schema import check_dtype
from onnxsal.modalities.image import PreprocessSource
from onnxsal.model import Model
from onnxsal.model.load import load


def explain_dataset(
    ds: Any,
    *,
    model: Model | str | os.PathLike[str],
    method: str = "grad-cam++",
    target: Any = None,
    layer: str | Sequence[str] | None = None,
    score: str | None = None,
    seed: int = 0,
    preprocess: PreprocessSource | None = None,
    image: str = "bytes",
    id: str = "path",
    targets: str | None = None,
    dtype: str = "float16",
    actors: int | tuple[int, int] = 1,
    cpus: int = 1,
    gpus: float = 0,
    rows: int = 8,
    strict: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    remote: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """Return a data set of Ray with a row an explanation: the map as it was computed, and what is known of it.

    Its columns are those of a file of maps, ``manifest`` (what such a file says once) and ``error``. It is computed
    when it is read or written. Which worker makes a row, and beside which others, changes nothing: it is the one that
    ``onnxsal.explain`` makes on one machine with ``threads=cpus``, for noise hangs on the seed and the draw alone, not
    on the row. The exception is a limit of ``seconds``, as everywhere.

    Of a list of targets every row of ``ds`` gives a row each.

    Args:
        ds: a data set of Ray; the defaults fit ``ray.data.read_binary_files(folder, include_paths=True)``.
        model: a Model, or the path of one; it is read here and sent to the workers.
        method, target, layer, score, seed, preprocess, options: as ``onnxsal.explain`` has them. A method of your own
            has to be installed where the workers are, as a plug-in.
        image: the column of what is explained: the content of picture files, paths that workers can read, or arrays.
        id: the column that tells rows apart. targets: one that says of each row what to explain, instead of ``target``.
        dtype: what maps are kept in: float32, float16 or uint8.
        actors: workers, or (least, most); each holds one model. cpus: processors of each, and threads of a run there.
        gpus: of each; above 0 the model runs there. rows: that a worker takes at a time.
        strict: end at the first row that cannot be explained; by default ``error`` says why it has no map.
        checkpoint: a folder that all workers see, in which Ray keeps what is done while the result is written by
            ``write_parquet``: the same call goes on where the last one ended. Ids have to be text.
        remote: what else Ray is to know of a worker, such as ``{"memory": 4e9}``.
    Raises: as ``onnxsal.explain``, for all that can be known without a picture. EnvironmentSetupError: Ray is missing.
    """
    share = Share(actors, cpus, gpus, rows, dict(remote or {}))
    columns = Columns(image, id, targets, checkpoint is not None)
    opened = model if isinstance(model, Model) else load(model)
    if isinstance(target, list) and not target:
        raise UsageError("target=[]: expected at least one target, or None for what is predicted")
    asked = Asked(method, options, layer, score, seed, preprocess)
    goals = target if isinstance(target, list) else [target]
    work = Work(opened, [asked], columns, share, check_dtype(dtype), strict, goals)
    identity = work.identity()  # what is wrong with it is said here, not by a worker
    kept = None if checkpoint is None else Checkpoint(checkpoint, id, identity)
    return mapped(ds, Explainer, work, kept)
