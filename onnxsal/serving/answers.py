"""What one explanation gives to whoever asked from afar: arrays, a picture, facts; no path of this machine."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import OnnxsalError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.target import resolve_target
from onnxsal.modalities.tokens import Tokens
from onnxsal.model import Model
from onnxsal.tasks import Numbers


@dataclass(frozen=True)
class Drawing:
    """How a map is drawn: as ``Explanation.save`` has it."""

    kind: str
    suffix: str = ".png"
    colours: str | None = None
    opacity: float = 0.65
    caption: bool = True

    def of(self, explanation: Explanation) -> bytes:
        """Return the content of a picture's file. Raises: UsageError: there is no such style."""
        from onnxsal.explanation.figure import draw
        from onnxsal.viz.save import content

        style: Any = {"kind": self.kind, "colours": self.colours, "opacity": self.opacity, "caption": self.caption}
        return content(draw(explanation, **style), self.suffix)


@dataclass(frozen=True)
class Answer:
    """One explanation.

    Attributes:
        arrays: ``saliency``, ``raw``, and where there are such ``stderr`` and ``values``, as ``Explanation`` has them.
        picture: the content of a picture's file, where one was asked for.
        told: as JSON can hold it: ``Explanation.to_dict`` without the arrays, and ``error``, ``baseline_score``,
            ``baseline_logit``, ``stopped``; None where there is none.
    """

    arrays: Mapping[str, NDArray[Any]]
    picture: bytes | None
    told: Mapping[str, Any]


def answer_of(explanation: Explanation, model: Model, drawing: Drawing | None, hidden: Hidden) -> Answer:
    """Return what is answered. Raises: UsageError: it cannot be drawn so. UnsupportedError: it cannot be drawn."""
    found = {name: getattr(explanation, name) for name in ("saliency", "raw", "stderr", "values")}
    manifest = explanation.manifest
    told = explanation.to_dict(maps=False) | {
        "error": _error(manifest), **_baseline(explanation, model), "stopped": manifest.get("stopped"),
    }  # fmt: skip
    return Answer(
        {name: array for name, array in found.items() if array is not None},
        None if drawing is None else drawing.of(explanation),
        hidden.without(told),
    )


def _error(manifest: Mapping[str, Any]) -> float | None:
    """Return the estimated relative error: of what samples draw, or what contributions lack of their sum."""
    if "relative_error" in manifest:
        return _finite(manifest["relative_error"])
    if manifest.get("score_rise"):
        return _finite(manifest["completeness_gap"] / abs(manifest["score_rise"]))
    return None


def _baseline(explanation: Explanation, model: Model) -> dict[str, float | None]:
    """Return what the model gives the target where nothing is there: black, silence; of a row over the background."""
    if explanation.base_value is not None:
        return {"baseline_score": None, "baseline_logit": _finite(explanation.base_value)}
    own = explanation.target is not None and explanation.detection is None and "region" not in explanation.manifest
    numbers = _of_nothing(model) if own and not isinstance(model.modality, Tokens) else None
    score, logit = math.nan, math.nan
    if numbers is not None:
        with suppress(OnnxsalError):  # a target that is seen on some things alone
            score, logit = model.task.shown(resolve_target(model, explanation.target, numbers), numbers)
    return {"baseline_score": _finite(score), "baseline_logit": _finite(logit)}


def _of_nothing(model: Model) -> Numbers | None:
    """Return the model's numbers where nothing is there, run once; None where it gives none."""
    found: Numbers | None = model.program("numbers of nothing", lambda: _run_on_nothing(model))
    return found


def _run_on_nothing(model: Model) -> Numbers | None:
    try:
        black = model.black()
        black = black if black.ndim > 1 else black.reshape(-1, *(1 for _ in model.size))
        return model.outputs(np.ascontiguousarray(np.broadcast_to(black, (len(black), *model.size))))
    except OnnxsalError:  # it gives no finite number then
        return None


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


class Hidden:
    """The places of a model's file, which nobody from afar is told."""

    def __init__(self, path: str | os.PathLike[str], name: str) -> None:
        given, whole = Path(path), Path(path).absolute()
        files = sorted({str(given), str(whole), str(whole.resolve())}, key=len, reverse=True)
        folders = {f"{folder}{os.sep}" for file in files for folder in (Path(file).parent, Path(file).parent.parent)}
        found = [each for each in sorted(folders, key=len, reverse=True) if len(Path(each).parts) > 1 or ".." in each]
        self._names = [*((file, name) for file in files), *((folder, "") for folder in found)]

    @contextmanager
    def covered(self) -> Iterator[None]:
        """Let errors that leave the block say nothing of them."""
        try:
            yield
        except OnnxsalError as error:
            error.args = tuple(self.without(each) for each in error.args)
            raise

    def without(self, told: Any) -> Any:
        """Return text, or data with text in it, that has the model's name in place of its file's."""
        if isinstance(told, str):
            for file, name in self._names:
                told = told.replace(file, name) if file in told else told
            return told
        if isinstance(told, Mapping):
            return {key: self.without(each) for key, each in told.items()}
        return [self.without(each) for each in told] if isinstance(told, list | tuple) else told
