"""What ``onnxsal study`` does: writes the page, or reads answers and prints what they add up to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsal._version import __version__
from onnxsal.cli.actions.experiment import plain
from onnxsal.cli.images import gathered
from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.outputs import check_outputs, check_page
from onnxsal.cli.planning import planned
from onnxsal.cli.progress import Progress
from onnxsal.cli.text import bar, many, table
from onnxsal.errors import UsageError
from onnxsal.experiments import tally as counting
from onnxsal.experiments.base import Explain
from onnxsal.experiments.study import QUESTION, make
from onnxsal.experiments.study import Asked as Study
from onnxsal.explanation.method_plan import split_options
from onnxsal.explanation.request import prepare_request
from onnxsal.explanation.target import opened_for
from onnxsal.files import replacing
from onnxsal.viz.save import image_format, save_image


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal study``."""

    files: tuple[str, ...]
    tally: bool
    methods: tuple[str, ...]
    target: str | None
    settings: tuple[tuple[str, str], ...]
    question: str | None
    output: str | None
    seed: int
    opening: Opening
    """What the model is opened with."""
    as_json: bool


def run_study(asked: Asked) -> int:
    """Write a study or count one; return the exit status."""
    return _count(asked) if asked.tally else _write(asked)


def _write(asked: Asked) -> int:
    if len(asked.files) < 2:
        raise UsageError("a study is of a model and pictures: onnxsal study MODEL IMAGE...")
    page = asked.output or "study.html"
    check_page(page, "a study")
    images = gathered(asked.files[1:])
    check_outputs([Path(page)], [*_opening(asked).files, *images])
    study = Study(_makers(asked, images), images, asked.target, asked.question or QUESTION, asked.seed)
    progress = Progress("drawing maps")
    try:
        content = make(study, progress=progress)
    finally:
        progress.close()
    with replacing(page) as part:
        part.write_text(content, encoding="utf-8")
    said = {"page": page, "pictures": len(study.images), "methods": list(study.makers), "bytes": len(content)}
    print(json.dumps(said, indent=2) if asked.as_json else "\n".join(_written(page, study, len(content))))
    return 0


def _opening(asked: Asked) -> Opening:
    return replace(asked.opening, model=asked.files[0])


def _makers(asked: Asked, images: Sequence[str]) -> dict[str, Explain]:
    """What makes the maps, every option checked before the model is opened."""
    plans = planned(asked.methods, asked.settings)
    model = opened_for(_opening(asked)().for_images("a study"), asked.target)
    tell(notes_of(model, images))
    return {
        name: Explain(
            prepare_request(
                model, steps, layer=None, score=None, seed=asked.seed, preprocess=None, common=split_options(common)[0]
            )
        )
        for name, (steps, common) in zip(asked.methods, plans, strict=True)
    }  # fmt: skip


def _written(page: str, study: Study, size: int) -> list[str]:
    return [
        page,
        f"  {many(len(study.images), 'picture')} x {len(study.makers)} maps, {size / 1e6:.1f} MB",
        "  send it to people; count what they send back: onnxsal study --tally answers-*.json",
    ]


def _count(asked: Asked) -> int:
    if asked.output is not None:
        image_format(asked.output)
        check_outputs([Path(asked.output)], asked.files)
    found = counting.count([counting.read(path) for path in asked.files])
    if asked.output is not None:
        save_image(counting.drawn(found), asked.output)
    print(_document(found) if asked.as_json else "\n".join(_counted(asked, found)))
    return 0


def _counted(asked: Asked, found: counting.Tally) -> list[str]:
    order = sorted(found.shares, key=lambda name: -found.shares[name].value)
    rows = [(name, str(found.counts[name]), bar(found.shares[name].value, 20), _percent(found, name)) for name in order]
    undecided = found.undecided
    lines = [
        f"{many(found.persons, 'person')}, {many(found.answers, 'answer')}, half of them within {found.seconds:.1f} s",
        *table(rows, right=frozenset({1})),
        f"cannot tell: {100 * undecided.value:.0f} %",
        *counting.says(found),
    ]
    return [*lines, *([asked.output] if asked.output else [])]


def _percent(found: counting.Tally, name: str) -> str:
    share = found.shares[name]
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f} %)"


def _document(found: counting.Tally) -> str:
    shares = {name: {**plain(share), "count": found.counts[name]} for name, share in found.shares.items()}
    document = {
        "onnxsal": __version__, "persons": found.persons, "answers": found.answers, "shares": shares,
        "undecided": plain(found.undecided), "first_place": plain(found.first_place), "chance": found.chance,
        "median_seconds": found.seconds, "says": counting.says(found),
    }  # fmt: skip
    return json.dumps(document, indent=2)
