"""What ``onnxsal evaluate`` does: outputs checked first, progress while it runs, a table and files at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsal.cli.images import gathered
from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.outputs import check_outputs, check_page
from onnxsal.cli.progress import StatusBar
from onnxsal.cli.tables import as_table_of
from onnxsal.cli.text import many, seconds, width, wrapped
from onnxsal.errors import EnvironmentSetupError, UsageError
from onnxsal.evaluation import Evaluation
from onnxsal.evaluation.evaluate import BY_PICTURE, Options, evaluate
from onnxsal.evaluation.export import check_parquet
from onnxsal.evaluation.judge import OBJECT
from onnxsal.evaluation.named import named
from onnxsal.evaluation.remaining_time import Pace
from onnxsal.evaluation.results import left_out
from onnxsal.explanation.explanation import finite
from onnxsal.metrics import registry
from onnxsal.modalities.nouns import nouns_of
from onnxsal.model.batch_check import found_of

_SHOWN = 10
"""Failures that are printed; the report and --json have them all."""


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal evaluate``."""

    model: str
    images: tuple[str, ...]
    methods: tuple[str, ...]
    metrics: tuple[str, ...]
    maps: tuple[str, ...]
    truth: str | None
    target: str
    label_offset: int | None
    boxes: str | None
    masks: str | None
    layers: tuple[str, ...]
    score: str | None
    seed: int
    batch_size: int
    confidence: float
    mosaics: int | None
    stages: int
    journal: str | None
    report: str | None
    csv: str | None
    as_json: str | None
    parquet: str | None
    opening: Opening
    """What the model is opened with."""
    background: str | None
    told: frozenset[str]
    """The options that were given, whatever their values; the others have their defaults."""

    @property
    def kept(self) -> Path:
        """The journal's file."""
        return Path(self.journal or f"{Path(self.model).stem}.evaluation.jsonl")

    @property
    def files(self) -> dict[str, str]:
        """The files to write, by what they are."""
        wanted = {"report": self.report, "csv": self.csv, "json": self.as_json, "parquet": self.parquet}
        return {kind: path for kind, path in wanted.items() if path is not None and (kind, path) != ("json", "-")}


def evaluate_all(asked: Asked, usual: tuple[str, str]) -> int:
    """Judge, print and write; return the exit status: 1 where a picture or a map could not be judged.

    Args: usual: the metrics where none is named, and those of rows of a table.
    """
    images = gathered(asked.images)
    _check(asked, images)
    model = asked.opening()
    of_rows = as_table_of(model, images) is not None
    asked = replace(asked, metrics=asked.metrics or (usual[of_rows],))
    goal = None if asked.target in BY_PICTURE else asked.target
    tell([*notes_of(model, images, goal), *_unread(asked)])
    progress = _Progress(nouns_of("table" if of_rows else model.modality.name).things)
    try:
        found = evaluate(
            model, list(images), methods=asked.methods, metrics=asked.metrics, progress=progress,
            **_options(asked),
        )  # fmt: skip
    finally:
        progress.close()
    tell([*_notes(asked, found), *found_of(model)])
    return _finish(asked, found)


def _check(asked: Asked, images: Sequence[str]) -> None:
    """Everything about output that can be known before hours of work."""
    for kind, path in asked.files.items():
        if path == "-":
            raise UsageError(f"--{kind} - : only --json - writes to the screen; name a file")
    if asked.report is not None:
        check_page(asked.report, "--report")
    check_outputs([Path(path) for path in asked.files.values()], _inputs(asked, images), again="name another file")
    if asked.parquet is not None:
        check_parquet()
    if not asked.methods and not asked.maps:
        raise UsageError("nothing to judge: name methods (-m grad-cam++,layercam) or a folder of maps (--maps FOLDER)")


_READ = {("boxes", "masks"): OBJECT, ("stages",): ("randomised",), ("mosaics", "confidence"): ("cell",)}
"""Options of the command that metrics read, by what these need."""


def _unread(asked: Asked) -> list[str]:
    """What was given though nothing that was asked for reads it."""
    notes = []
    for options, needs in _READ.items():
        given = [f"--{option}" for option in options if option in asked.told]
        if given and not any(_reads(each.name, needs) for each in named(asked.metrics, "metric")):
            would = ",".join(name for name in registry.names() if _reads(name, needs))
            notes.append(f"no metric here reads {' and '.join(given)}; those that do: --metrics {would}")
    if "label_offset" in asked.told and asked.truth is None:
        notes.append("nothing here reads --label-offset: it is added to the labels of --truth")
    return notes


def _reads(name: str, needs: Sequence[str]) -> bool:
    try:
        return any(need in needs for need in registry.get(name).needs)
    except EnvironmentSetupError:  # a broken package hurts only who asks for it
        return False


def _inputs(asked: Asked, images: Sequence[str]) -> list[str]:
    """Every file that is read, those of folders too: an output must be none of them."""
    told = (*asked.maps, asked.boxes, asked.masks, asked.truth, asked.background)
    named = [path for path in told if path is not None]
    below = [str(each) for path in named if Path(path).is_dir() for each in Path(path).rglob("*")]
    return [*asked.opening.files, *images, *named, *below, str(asked.kept)]


def _options(asked: Asked) -> dict[str, object]:
    layer = None if not asked.layers else asked.layers[0] if len(asked.layers) == 1 else list(asked.layers)
    same = {name: getattr(asked, name) for name in Options.__dataclass_fields__ if name in _SAME}
    return {**same, "target": asked.target, "maps": list(asked.maps), "layer": layer, "journal": asked.kept}


_SAME = (
    "truth", "label_offset", "boxes", "masks", "score", "seed", "batch_size", "confidence", "mosaics",
    "stages", "background",
)  # fmt: skip


def _notes(asked: Asked, found: Evaluation) -> list[str]:
    notes = []
    if asked.background is None and (background := found.settings.get("background")) is not None:
        notes.append(f"the {background['rows']} rows themselves are the background; --background FILE.csv names others")
    if found.reused:
        notes.append(f"{many(found.reused, 'result')} of {len(found.rows)} were in {asked.kept} already")
    if found.journal.unreadable:
        notes.append(f"{many(found.journal.unreadable, 'line')} of {asked.kept} cut off by an interruption, made again")
    for metric, count in found.left_out.items():
        notes.append(f"{metric}: {left_out(count, found)}; left out")
    return notes


def _finish(asked: Asked, found: Evaluation) -> int:
    write: dict[str, Callable[[str], None]] = {
        "report": found.report, "csv": found.to_csv, "json": found.to_json, "parquet": found.to_parquet,
    }  # fmt: skip
    if asked.as_json == "-":
        print(json.dumps({**finite(found.about()), "rows": [row.plain() for row in found.rows]}, default=str))
    else:
        print(found.table(width()), flush=True)
    for kind, path in asked.files.items():
        write[kind](path)
        tell([f"wrote {path}"])
    for failure in found.failures[:_SHOWN]:
        print(f"onnxsal: {failure}", file=sys.stderr)
    if len(found.failures) > _SHOWN:
        print(f"onnxsal: and {len(found.failures) - _SHOWN} more could not be judged", file=sys.stderr)
    return 1 if found.failures else 0


class _Progress:
    """A bar with the time that is left; where stderr is no terminal, a line a minute."""

    def __init__(self, things: str) -> None:
        self._things = things
        self._bar, self._shown = StatusBar(), time.monotonic()

    def __call__(self, pace: Pace) -> None:
        left = "" if pace.left is None or pace.done == pace.total else f"{seconds(max(pace.left, 0.1))} left"
        if sys.stderr.isatty():
            self._bar(pace.name, pace.done, pace.total, left)
        elif time.monotonic() - self._shown > 60:
            self._shown = time.monotonic()
            print(
                f"{pace.done} of {pace.total} {self._things}{', ' if left else ''}{left}", file=sys.stderr, flush=True
            )

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


def print_metrics() -> None:
    """Print every metric: what it rewards, which way is better, what it needs, its options."""
    for name in registry.names():
        try:
            metric = registry.get(name)
        except EnvironmentSetupError as error:
            print(f"{name}\n  {error}")
            continue
        options = ", ".join(f"{option}={each.default}" for option, each in metric.options.items())
        lines = [f"{name} ({'higher' if metric.higher_is_better else 'lower'} is better)", *wrapped(metric.when, 2)]
        lines += [f"  needs {', '.join(metric.needs)}"] + ([f"  options {options}"] if options else [])
        print("\n".join([*lines, f"  {metric.paper}"]))
