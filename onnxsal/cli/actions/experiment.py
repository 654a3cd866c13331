"""What ``onnxsal experiment`` does: checks, runs, prints the table and what follows from it, writes the figure."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsal._version import __version__
from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.outputs import check_outputs
from onnxsal.cli.planning import once
from onnxsal.cli.progress import Progress
from onnxsal.cli.text import seconds, table, wrapped
from onnxsal.experiments.base import Case, Cell, Experiment, Outcome
from onnxsal.experiments.catalogue import get
from onnxsal.experiments.scenes import is_folder, scene_files
from onnxsal.experiments.statistics import Estimate
from onnxsal.experiments.training_noise import series
from onnxsal.model import Model
from onnxsal.options import shown_type
from onnxsal.viz.save import image_format, save_image


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal experiment NAME``."""

    name: str
    model: str
    images: tuple[str, ...]
    output: str | None
    target: str | None
    layer: str | None
    settings: tuple[tuple[str, str], ...]
    seed: int
    opening: Opening
    """What the model is opened with."""
    as_json: bool

    @property
    def drawing(self) -> str:
        """The figure's file name."""
        return f"{self.name}.png" if self.output is None else self.output


def run_experiment(asked: Asked) -> int:
    """Print and write one experiment; return the exit status."""
    found = get(asked.name)
    options = found.check(once(asked.settings))
    image_format(asked.drawing)
    check_outputs([Path(asked.drawing)], _read(asked, found))
    if asked.target is not None and not found.targeted:
        tell([f"{asked.name} explains the classes of the objects, and does not read -t"])
    progress, start = Progress(asked.name), time.perf_counter()
    try:
        outcome = found.run(_case(asked, progress), **options)
    finally:
        progress.close()
    save_image(outcome.image, asked.drawing)
    spent = time.perf_counter() - start
    print(as_document(asked, options, outcome, spent) if asked.as_json else "\n".join(as_text(asked, outcome, spent)))
    return 0


def _read(asked: Asked, found: Experiment) -> list[str]:
    """The files that are read: those of the models, pictures, and what a folder of scenes names."""
    scenes = "scenes" in found.takes and is_folder(asked.images)
    images = scene_files(asked.images[0]) if scenes else asked.images
    return [*asked.opening.files, *series(asked.model), *images]


def _case(asked: Asked, progress: Progress) -> Case:
    def opened(path: str) -> Model:
        model = replace(asked.opening, model=path)()
        tell(notes_of(model, asked.images, asked.target if get(asked.name).targeted else None))
        return model

    return Case(asked.model, asked.images, opened, asked.target, asked.layer, asked.seed, progress)


def described(found: Experiment) -> list[tuple[str, str]]:
    """Return the options of an experiment with their types and defaults."""
    return [(o.name, f"{shown_type(o.type)}; default {_default(o.default)}") for o in found.options.values()]


def _default(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "chosen" if value is None else str(value)


def as_text(asked: Asked, outcome: Outcome, spent: float) -> list[str]:
    """Return the lines that are printed: the figure's name, the table, what follows."""
    rows = [outcome.table.columns, *(tuple(map(_shown, row)) for row in outcome.table.rows)]
    facts = ", ".join(f"{name} {value}" for name, value in outcome.settings.items() if value is not None)
    said = [line for each in outcome.says for line in wrapped(each, 0)]
    return [f"{asked.drawing} ({seconds(spent)})", *wrapped(facts, 2), "", *table(rows), "", *said]


def _shown(cell: Cell) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def as_document(asked: Asked, options: Mapping[str, Any], outcome: Outcome, spent: float) -> str:
    """Return the same as one JSON document."""
    rows = [dict(zip(_keys(outcome), map(plain, row), strict=True)) for row in outcome.table.rows]
    document = {
        "onnxsal": __version__, "experiment": asked.name, "model": asked.model, "images": list(asked.images),
        "picture": asked.drawing, "options": dict(options), "seed": asked.seed, "settings": dict(outcome.settings),
        "rows": rows, "says": list(outcome.says), "seconds": round(spent, 3),
    }  # fmt: skip
    return json.dumps(document, indent=2)


def _keys(outcome: Outcome) -> list[str]:
    return [name or "kind" for name in outcome.table.columns]


def plain(cell: Any) -> Any:
    """Return a cell as JSON knows it: estimates as objects, NaN as null."""
    if isinstance(cell, Estimate):
        return {name: plain(getattr(cell, name)) for name in ("value", "low", "high", "n")}
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


__all__ = ["Asked", "as_document", "as_text", "described", "plain", "run_experiment"]
