"""What ``onnxsal explain`` does with rows of tables: what each column counts for, printed, drawn and written."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxsal.cli.asked_maps import Asked
from onnxsal.cli.explanations import INTERRUPTED, Telling, class_of, noun_of
from onnxsal.cli.images import short
from onnxsal.cli.opening import tell
from onnxsal.cli.outputs import PREDICTED, Template, check_outputs, slug
from onnxsal.cli.planning import planned
from onnxsal.cli.progress import Progress
from onnxsal.cli.tables import each_of, rows_meant, tell_broken
from onnxsal.cli.text import can_write, many, percent, seconds, width
from onnxsal.cli.words import colour_depth, is_page, write_page
from onnxsal.errors import ImageError, ModelError, NotSeenError, UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.columns import attribution_of, drawn_swarm, swarm_of
from onnxsal.explanation.explain import explain
from onnxsal.explanation.explanation import finite
from onnxsal.explanation.figure import sheet
from onnxsal.explanation.method_plan import plan
from onnxsal.maps.columns import check_columns, write_columns
from onnxsal.modalities.table_rows import TableRows
from onnxsal.model import Model
from onnxsal.viz.colour import colour_table
from onnxsal.viz.columns.terminal import lines, sizes
from onnxsal.viz.layout import below
from onnxsal.viz.save import encoding, fast, save_image

METHOD = "shapley"
"""What rows are explained by where nothing else is asked for."""

_LABELS = 4
_PAGE = 500
"""Rows that a page shows at most: a browser would not show more in time."""


Methods = tuple[tuple[Explanation, ...], ...]
"""The explanations of a file's rows, by method."""


@dataclass(frozen=True)
class Result:
    """The explanations of a file's rows for one target, and the picture that was drawn of them."""

    thing: str
    goal: str | None
    made: Methods
    seconds: tuple[float, ...]
    """That each method took for all targets: what rows share is worked out once."""
    drawing: str | None = None
    interrupted: bool = False
    """Whether Ctrl-C ended it: it has the rows that were explained by then."""


def explain_rows(asked: Asked, model: Model) -> int:
    """Explain rows of tables, print what comes out and write what was asked for; return the exit status: 1 where one
    of several files could not be used.

    Raises: UsageError: an option is for pictures. Others as ``onnxsal.explain``; before anything is explained as far as
    that can be known.
    """
    asked = replace(asked, methods=asked.methods or (METHOD,))
    _check(asked)
    tell(model.notes)
    tables = each_of(asked.images, lambda thing: rows_meant(model, thing, asked.row), strict=asked.strict)
    results, served = _until_interrupted(asked, model, tables)  # all are read before any is run
    status = 0 if served == len(asked.images) else 1
    if not results:
        return status
    every = [each for result in results for own in result.made for each in own]
    notes = dict.fromkeys(note for each in every for note in each.manifest["notes"])
    tell(note for note in notes if note not in model.notes)
    results = [replace(each, drawing=_drawn(asked, each)) for each in results]
    if (numbers := asked.numbers) is not None:
        for each in results:
            _write_arrays(numbers, each)
    if asked.out is not None:
        write_columns(every, asked.out)
    if asked.as_json:
        _print_document(asked, results)
    else:
        print("\n".join(line for result in results for line in _as_text(result)))
        print("\n".join([] if asked.out is None else ["", asked.out]), end="\n" if asked.out else "")
    if results[-1].interrupted:
        print("onnxsal: interrupted; what there is so far is written", file=sys.stderr)
        return INTERRUPTED
    return status


def _until_interrupted(asked: Asked, model: Model, tables: Sequence[tuple[str, TableRows]]) -> tuple[list[Result], int]:
    """Return the explanations of files, target by target, and of how many files they are; Ctrl-C leaves fewer."""
    found, served = list[Result](), 0
    for thing, rows in tables:
        try:
            found += _results(asked, model, thing, rows)
            served += 1
        except (ImageError, ModelError, NotSeenError) as error:  # of this file; the next one may be another
            if asked.strict or len(asked.images) == 1:
                raise
            tell_broken(thing, error)
        except KeyboardInterrupt:
            if not found:
                raise
            return [*found[:-1], replace(found[-1], interrupted=True)], served
        if found and found[-1].interrupted:
            break
    return found, served


_OF_PICTURES = ("sound", "dtype", "ray", "actors", "skip_existing", "memory")


def _check(asked: Asked) -> None:
    """Refuse what is for pictures, and everything about output that can be known before anything is explained."""
    given = [f"--{name.replace('_', '-')}" for name in _OF_PICTURES if getattr(asked, name) not in (None, False)]
    given += [] if asked.kind == "overlay" else ["--kind"]
    if given:
        raise UsageError(f"{' and '.join(given)}: rows of a table have no maps that this is for")
    for name in asked.methods:
        if plan(name, {}).needs_layer:
            raise UsageError(f"{name} needs maps of a layer, and rows of a table have none: take {METHOD} or occlusion")
    if asked.out is not None:
        check_columns(asked.out)
    goals, joined = [slug(goal) for goal in asked.goals], "+".join(asked.methods)
    paths = [] if asked.output is None else Template(asked.output, "-o").fill_all(asked.images, [joined], goals)
    numbers = [] if asked.numbers is None else asked.numbers.fill_all(asked.images, asked.methods, goals)
    data = [] if asked.out is None else [Path(asked.out)]
    read = [asked.background] if asked.background is not None else []
    check_outputs([*paths, *numbers, *data], [*asked.opening.files, *asked.images, *read])
    for path in paths:
        if not is_page(path):
            encoding(path, asked.effort)
    if asked.colours is not None:
        colour_table(asked.colours)


def _results(asked: Asked, model: Model, thing: str, rows: TableRows) -> Iterator[Result]:
    """Yield the explanations of a file's rows, target by target; Ctrl-C leaves the rows and methods that are whole."""
    each: list[Any] = [rows.row(number) for number in range(1, len(rows) + 1)]
    made, took, count = list[list[Explanation]](), list[float](), len(asked.goals)
    for at in range(len(asked.methods)):
        try:
            found, seconds = _explained(asked, model, each, at)
        except KeyboardInterrupt:
            if not made:
                raise
            break
        made.append(found)
        took.append(seconds)
        if _is_partial(found, count * len(each)):
            break
    interrupted = len(made) < len(asked.methods) or _is_partial(made[-1], count * len(each))
    whole = min(len(own) // count for own in made) * count
    if not whole:
        raise KeyboardInterrupt
    for at, goal in enumerate(asked.goals):
        parts = tuple(tuple(own[at:whole:count]) for own in made)
        yield Result(thing, goal, parts, tuple(took), interrupted=interrupted)


def _is_partial(found: Sequence[Explanation], expected: int) -> bool:
    return len(found) < expected or found[-1].manifest.get("stopped") == "interrupted"


def _explained(asked: Asked, model: Model, rows: list[Any], at: int) -> tuple[list[Explanation], float]:
    """Return what one of the methods makes of the rows, row by row an explanation for each target, and the seconds."""
    own = [*asked.settings, *([] if asked.background is None else [("background", asked.background)])]
    steps, common = planned(asked.methods, own)[at]
    progress, started = Progress(steps.method.name), time.perf_counter()
    options: dict[str, Any] = {**steps.options, "keep_partial": "true", **common, "progress": progress}
    try:
        found = explain(
            model, rows, method=steps.method.name, target=list(asked.goals), layer=list(asked.layers) or None,
            score=asked.score, seed=asked.seed, **options,
        )  # fmt: skip
        return found, time.perf_counter() - started
    finally:
        progress.close()


def _drawn(asked: Asked, result: Result) -> str | None:
    """Draw one row as bars, many as a beeswarm, or a page of all; return the file, None where none was asked for."""
    if asked.output is None:
        return None
    first, several = result.made[0][0], len(result.made[0]) > 1
    goal = PREDICTED if result.goal is None and several else slug(result.goal or first.label)
    path = Template(asked.output, "-o").fill(result.thing, "+".join(asked.methods), goal)
    if is_page(path):
        write_page(_few(result, path), path, asked.colours)
    elif several:
        swarms = [drawn_swarm(own, asked.colours) for own in result.made]
        save_image(below(swarms), path, effort=fast(path, asked.effort))
    else:
        save_image(sheet([own[0] for own in result.made], colours=asked.colours), path, effort=fast(path, asked.effort))
    return str(path)


def _few(result: Result, path: Path) -> list[Explanation]:
    every = [each for own in result.made for each in own]
    if len(every) > _PAGE:
        raise UsageError(
            f"{str(path)!r}: a page shows up to {_PAGE} explanations, and there are {len(every):,}: draw a beeswarm "
            "(-o PICTURE.png), write a table (--out TABLE.csv), or pick a row (--row N)"
        )
    return every


def _write_arrays(numbers: Template, result: Result) -> None:
    """Write the numbers of one row. Raises: UsageError: there are several."""
    for own in result.made:
        if len(own) > 1:
            raise UsageError(f"--npz holds one row, and {result.thing!r} has {len(own)}: --row N, or --out TABLE.csv")
        goal = slug(result.goal if result.goal is not None else own[0].label)
        own[0].to_npz(numbers.fill(result.thing, own[0].method, goal))


def _as_text(result: Result) -> list[str]:
    """Return the lines about one row, or about many."""
    first, several = result.made[0][0], len(result.made[0]) > 1
    labels = dict.fromkeys(each.label for each in result.made[0])
    head = f"{short(result.thing)}: {many(len(result.made[0]), 'row')}" if several else first.name
    what = ", ".join(labels) if several and len(labels) <= _LABELS else f"{len(labels)} of them"
    said = f"{what}{', as each row is predicted' if len(labels) > 1 else ''}" if several else class_of(first)
    told = [*([] if result.drawing is None else [result.drawing]), head, f"  {noun_of(first):6}  {said}"]
    for own, took in zip(result.made, result.seconds, strict=True):
        told += [f"  {'method':6}  {_cost(own, took)}"]
    for own in result.made:
        told += ["", *([f"  {own[0].method}"] if len(result.made) > 1 else []), *(f"  {line}" for line in _shown(own))]
    return [*told, ""]


def _shown(own: Sequence[Explanation]) -> list[str]:
    room, blocks = width() - 2, can_write("█▏▎▍▌▋▊▉")
    if len(own) > 1:
        return ["mean |value|", *sizes(swarm_of(own), width=room, blocks=blocks)]
    return lines(attribution_of(own[0]), width=room, depth=colour_depth(), blocks=blocks)


def _cost(own: Sequence[Explanation], took: float) -> str:
    """Return the method, how it came to its values, and what that took."""
    forwards = sum(each.manifest["forwards"] for each in own)
    ways = dict.fromkeys(each.manifest["way"] for each in own if "way" in each.manifest)
    error = own[0].manifest.get("relative_error", math.nan) if len(own) == 1 else math.nan
    parts = [*ways, many(forwards, "forward"), seconds(took), *([f"error {percent(error)}"] * math.isfinite(error))]
    return f"{own[0].method}  {', '.join(parts)}"


def _print_document(asked: Asked, results: Sequence[Result]) -> None:
    """Print the explanations as JSON, one a row, target and method, each by itself: of many none is held as text."""
    telling = Telling(as_json=True)
    for result in results:
        about = {"picture": result.drawing, "table": asked.out}
        for own in result.made:
            for each in own:
                telling.add(
                    {"image": each.name, **about, **each.to_dict(maps=False), "columns": finite(_columns(each))}
                )
    telling.close(failed=False)


def _columns(explanation: Explanation) -> list[dict[str, Any]]:
    parts = attribution_of(explanation).parts
    return [{"name": part.name, "cell": part.cell, "value": part.value, "stderr": part.error} for part in parts]
