"""An explanation as a row of plain values: nothing is read or written here."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.explanation import Explanation
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement, Side, Stretch
from onnxsal.maps.packing import packed
from onnxsal.maps.schema import check_dtype

_OF_RUN = (
    "method", "paper", "options", "model", "model_sha256", "layer", "score", "seed", "batch_size", "batch_size_asked",
    "sign", "percentile", "preprocess", "provider", "tf32", "versions", "variant", "limits", "threads", "fuse",
    "repeatable", "decided",
)  # fmt: skip
"""What of a manifest is alike for all pictures, mostly: it stands once in a file, whatever differs once each."""

_IN_COLUMNS = ("target", "label", "notes", "seconds", "detection")


def row_of(explanation: Explanation, id: str, *, asked: str | None = None, dtype: str = "float16") -> dict[str, Any]:
    """Return an explanation as a row of a table of maps: the columns of ``onnxsal.maps.schema.COLUMNS`` by name.

    Values are plain, ``map`` and ``stderr`` flat arrays. The row is the same wherever it is made, but for ``seconds``.

    Args:
        id: of the thing that is explained.
        asked: the target as it was asked for, where it was.
        dtype: what the map is kept in: float32, float16 or uint8.
    Raises: UsageError: there is no such type, or it cannot hold the map.
    """
    return row_and_run(explanation, id, asked=asked, dtype=dtype)[0]


def run_of(explanation: Explanation) -> dict[str, Any]:
    """Return what stands once in a file for all rows that share it: the manifest but for what is of one map."""
    return _run(explanation, _manifest(explanation))


def row_and_run(
    explanation: Explanation, id: str, *, asked: str | None = None, dtype: str = "float16"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what ``row_of`` and ``run_of`` do. Arguments and errors: as of the first."""
    plain = _manifest(explanation)
    run, kept = _run(explanation, plain), packed(explanation.raw, check_dtype(dtype))
    row = {
        "id": id, "name": explanation.name, "asked": asked, "label": explanation.label, **_target(explanation.target),
        "score": float(explanation.score), "logit": float(explanation.logit), "method": explanation.method,
        "shape": list(explanation.raw.shape), "map": kept.numbers, "map_scale": kept.scale, "map_offset": kept.offset,
        **_errors(explanation.stderr, dtype), "size": list(explanation.saliency.shape),
        "placement": _placed(explanation.placement), **_frame(explanation),
        "detection": json.dumps(plain["detection"]) if "detection" in plain else None,
        "notes": [as_text(note) for note in plain.get("notes", ())], "seconds": float(plain.get("seconds", 0.0)),
        "about": json.dumps({k: v for k, v in plain.items() if k not in (*_OF_RUN, *_IN_COLUMNS)}, sort_keys=True),
        "run": key_of(run),
    }  # fmt: skip
    return {name: as_text(value) if isinstance(value, str) else value for name, value in row.items()}, run


def as_text(name: str) -> str:
    """Return a name as UTF-8 holds it: file names on Linux are any bytes, and what is no UTF-8 is written out."""
    return name.encode(errors="backslashreplace").decode()


def _manifest(explanation: Explanation) -> dict[str, Any]:
    plain: dict[str, Any] = explanation.to_dict(maps=False)["manifest"]
    return plain


def _run(explanation: Explanation, plain: Mapping[str, Any]) -> dict[str, Any]:
    alike = {name: plain[name] for name in _OF_RUN if name in plain}
    channels = None if explanation.sample is None else len(explanation.sample.x)
    return {"modality": explanation.modality, "task": explanation.task, "channels": channels, **alike}


def key_of(run: Mapping[str, Any]) -> str:
    """Return by which key a run stands in a file: the same for equal ones, in every process."""
    return hashlib.sha256(json.dumps(run, sort_keys=True).encode()).hexdigest()[:16]


def manifest_in(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of a row, as JSON held it; ``run`` is what its key stands for."""
    found: dict[str, Any] = {name: value for name, value in run.items() if name in _OF_RUN}
    found |= json.loads(row["about"])
    target = target_in(row)
    found |= {"target": list(target) if isinstance(target, tuple) else target, "label": row["label"]}
    found |= {"seconds": row["seconds"], "notes": list(row["notes"])}
    return found if row["detection"] is None else found | {"detection": json.loads(row["detection"])}


def _target(target: int | tuple[int, int] | str | None) -> dict[str, Any]:
    text = target if isinstance(target, str) else None
    first, second = target if isinstance(target, tuple) else (None if text is not None else target, None)
    return {"target": first, "minus": second, "target_text": text}


def target_in(row: Mapping[str, Any]) -> int | tuple[int, int] | str | None:
    """Return the target of a row, as an explanation has it."""
    if row["minus"] is not None:
        return int(row["target"]), int(row["minus"])
    text: str | None = row["target_text"]
    return text if row["target"] is None else int(row["target"])


def _errors(stderr: NDArray[Any] | None, dtype: str) -> dict[str, Any]:
    if stderr is None:
        return {"stderr": None, "stderr_scale": None}
    kept = packed(stderr, "float32" if dtype == "float32" else "float16", from_zero=True)
    return {"stderr": kept.numbers, "stderr_scale": kept.scale}


def _placed(placement: Placement) -> str | None:
    if placement.is_whole:
        return None
    sides = {"rows": placement.rows, "columns": placement.columns}
    return json.dumps({name: [[str(n) for n in _ends(s)] for s in side] for name, side in sides.items()})


def _ends(stretch: Stretch) -> tuple[Fraction, ...]:
    return stretch.low, stretch.high, stretch.start, stretch.stop


def placement_in(row: Mapping[str, Any]) -> Placement:
    """Return where the cells of a row's map lie, to the fraction."""
    if row["placement"] is None:
        return WHOLE_IMAGE
    found = json.loads(row["placement"])
    sides: dict[str, Side] = {name: tuple(Stretch(*map(Fraction, ends)) for ends in found[name]) for name in found}
    return Placement(**sides)


def _frame(explanation: Explanation) -> dict[str, Any]:
    photo, box = explanation.photo, explanation.box
    shown = photo if photo is not None or explanation.sample is None else explanation.sample.x
    return {
        "box": None if box is None else [float(n) for n in box],
        "width": None if photo is None else photo.shape[1], "height": None if photo is None else photo.shape[0],
        "crc32": 0 if shown is None else checksum(shown),
    }  # fmt: skip


def checksum(values: NDArray[Any]) -> int:
    """Return what tells a picture's pixels from those of another that has its name and size."""
    return zlib.crc32(np.ascontiguousarray(values).data)
