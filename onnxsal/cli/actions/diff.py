"""What ``onnxsal diff`` does: both models opened, every picture compared, a table, a picture, a page."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsal._version import __version__
from onnxsal.cli.actions.experiment import plain
from onnxsal.cli.images import gathered
from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.outputs import check_outputs, check_page
from onnxsal.cli.planning import once
from onnxsal.cli.progress import Progress
from onnxsal.cli.text import shortened, table, wrapped
from onnxsal.experiments.diff import AGREEMENTS, Drift, How, Pair, compare, opened, says
from onnxsal.experiments.diff_pages import drawn, write_report
from onnxsal.explanation.usual import UsualMethod, usual_method
from onnxsal.model import Model
from onnxsal.viz.save import image_format, save_image

_LISTED = 8


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal diff``."""

    first: str
    second: str
    images: tuple[str, ...]
    method: str | None
    target: str | None
    layer: str | None
    layer_b: str | None
    settings: tuple[tuple[str, str], ...]
    worst: int
    output: str | None
    report: str | None
    seed: int
    preprocess_b: str | None
    labels_b: str | None
    opening: Opening
    """What the first model is opened with, and the second where nothing else is said of it."""
    as_json: bool

    @property
    def openings(self) -> tuple[Opening, Opening]:
        """What the two models are opened with."""
        first = replace(self.opening, model=self.first)
        preprocess, labels = self.preprocess_b or first.preprocess, self.labels_b or first.labels
        return first, replace(first, model=self.second, preprocess=preprocess, labels=labels)

    @property
    def names(self) -> tuple[str, str]:
        """What the two models are called: their files, or their paths where the files have one name."""
        names = Path(self.first).stem, Path(self.second).stem
        return names if names[0] != names[1] else (self.first, self.second)


def diff_models(asked: Asked) -> int:
    """Print and write the comparison; return the exit status: 1 where a picture could not be read."""
    images = gathered(asked.images)
    _check_files(asked, images)
    first, second = asked.openings
    models = opened(first(), asked.target), opened(second(), asked.target)
    for model in models:
        tell(notes_of(model, images), model.name)
    layers = asked.layer, asked.layer_b or asked.layer
    usual = UsualMethod(asked.method) if asked.method else usual_method(*models, layer=any(layers))
    tell(usual.notes)
    how = How(usual.name, dict(once(asked.settings)), layers, asked.target, asked.seed)
    if any(model.task.has_boxes for model in models):
        return _diff_detectors(asked, models, images, how)
    progress = Progress("comparing")
    try:
        drift = compare(models, images, how, progress=progress)
    finally:
        progress.close()
    for _, why in drift.failures:
        print(f"onnxsal: {why}", file=sys.stderr)
    if asked.output is not None:
        save_image(drawn(drift, asked.names, most=asked.worst), asked.output)
    if asked.report is not None:
        write_report(drift, asked.names, asked.report)
    print(as_document(asked, drift) if asked.as_json else "\n".join(as_text(asked, drift)))
    return 1 if drift.failures else 0


def _diff_detectors(asked: Asked, models: tuple[Model, Model], images: Sequence[str], how: How) -> int:
    from onnxsal.cli.actions import detector_diff as told
    from onnxsal.experiments import detector_diff_pages as pages
    from onnxsal.experiments.detector_diff import compare_detectors

    progress = Progress("comparing")
    try:
        drift = compare_detectors(models, images, how, progress=progress)
    finally:
        progress.close()
    for _, why in drift.failures:
        print(f"onnxsal: {why}", file=sys.stderr)
    if asked.output is not None:
        save_image(pages.drawn(drift, asked.names, most=asked.worst), asked.output)
    if asked.report is not None:
        pages.write_report(drift, asked.names, asked.report)
    written = {"picture": asked.output, "report": asked.report}
    if asked.as_json:
        print(told.as_document(drift, (asked.first, asked.second), written))
    else:
        print("\n".join([*told.as_text(drift, asked.names), *(path for path in written.values() if path)]))
    return 1 if drift.failures else 0


def _check_files(asked: Asked, images: Sequence[str]) -> None:
    """Everything about output that can be known before the models are loaded."""
    if asked.report is not None:
        check_page(asked.report, "--report")
    if asked.output is not None:
        image_format(asked.output)
    read = [path for opening in asked.openings for path in opening.files]
    check_outputs([Path(path) for path in (asked.report, asked.output) if path is not None], [*read, *images])


def as_text(asked: Asked, drift: Drift) -> list[str]:
    """Return the lines that are printed."""
    names = asked.names
    head = ("", "cosine", "SSIM", "rank", names[0], names[1])
    rows = [_row(pair) for pair in drift.pairs[:_LISTED]]
    lines = [line for each in says(drift) for line in wrapped(each, 0)]
    lines += ["", "where they differ most:", *table([head, *rows], right=frozenset({1, 2, 3}))]
    return [*lines, *(path for path in (asked.output, asked.report) if path is not None)]


def _row(pair: Pair) -> tuple[str, ...]:
    classes = (shortened(told, 30) for told in pair.told)
    found = [getattr(pair, name) for name in AGREEMENTS]
    numbers = ("flat" if value != value else f"{value:.3f}" for value in found)
    return (shortened(Path(pair.image).name, 32), *numbers, *classes)


def as_document(asked: Asked, drift: Drift) -> str:
    """Return the same, of all pictures, as one JSON document."""
    summary = {name: plain(drift.agreement(name)) for name in AGREEMENTS}
    document: dict[str, Any] = {
        "onnxsal": __version__, "models": [asked.first, asked.second], "settings": drift.settings,
        "same_class": plain(drift.same_class), "probability_change": plain(drift.change), **summary,
        "pictures": [_plain(pair) for pair in drift.pairs],
        "failures": [{"image": image, "error": why} for image, why in drift.failures],
        "picture": asked.output, "report": asked.report,
    }  # fmt: skip
    return json.dumps(document, indent=2, default=str)


def _plain(pair: Pair) -> dict[str, Any]:
    predicted = [{"label": label, "probability": plain(p)} for label, p in pair.predicted]
    return {
        "image": pair.image, "explained": pair.first.label, "probabilities": [plain(p) for p in pair.probabilities],
        "predicted": predicted, "same_class": pair.same_class,
        **{name: plain(getattr(pair, name)) for name in AGREEMENTS},
    }  # fmt: skip
