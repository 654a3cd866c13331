"""What ``onnxsal explain`` prints: text for a person, JSON for a program."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from onnxsal._version import __version__
from onnxsal.cli.images import short
from onnxsal.cli.opening import tell
from onnxsal.cli.text import layer_name, many, percent, seconds, table, width
from onnxsal.errors import ImageError, ModelError, NotSeenError
from onnxsal.explanation.explanation import Explanation, finite
from onnxsal.explanation.figure import PARTIAL, score_of, title_of
from onnxsal.explanation.request import Request
from onnxsal.explanation.words import is_of_text
from onnxsal.modalities.nouns import nouns_of
from onnxsal.tasks.registry import get
from onnxsal.tasks.task import Task

Broken: TypeAlias = ImageError | ModelError | NotSeenError
"""What one picture can have wrong while others are served."""

INTERRUPTED = 130
"""What a shell gives a command that Ctrl-C ended."""


@dataclass(frozen=True)
class Result:
    """One picture that was written, and what is on it."""

    image: str
    drawing: str | None
    """None where its map went into a file of maps alone."""
    numbers: tuple[str, ...]
    made: tuple[tuple[Request, Explanation], ...]
    automatic: bool
    """Whether the layers were chosen, not named."""
    interrupted: bool = False
    """Whether Ctrl-C ended it: it shows what there was, some of the methods and the last one's map so far."""
    maps: str | None = None
    """The file of maps that it went into."""
    sounds: tuple[str, ...] = ()
    """The sound files of what matters, one for each map."""


@dataclass(frozen=True)
class Written:
    """What was written of a picture, in the order in which it is told of, and notes on it."""

    image: str
    results: tuple[Result, ...] = ()
    notes: tuple[str, ...] = ()
    broken: Broken | None = None
    """Why it could not be read or explained; nothing was written then."""


def as_text(result: Result) -> list[str]:
    """Return the lines about one picture: its path, then what is explained and the methods, indented."""
    first = result.made[0][1]
    lines = [
        result.drawing or result.image,
        f"  {noun_of(first):6}  {class_of(first)}",
        *_candidate(first),
        *_chunk(first),
    ]
    rows = [_row(result, request, explanation) for request, explanation in result.made]
    for at, line in enumerate(table(rows)):
        lines.append(f"  {'method' if at == 0 else '':6}  {line}")
    lines += _words(result)
    more = (("arrays", result.numbers), ("sound", result.sounds))
    return lines + [f"  {name if at == 0 else '':6}  {path}" for name, files in more for at, path in enumerate(files)]


def _words(result: Result) -> list[str]:
    """Return the lines of texts, each below its method's name where there are several."""
    texts = [each for _, each in result.made if is_of_text(each)]
    if not texts:
        return []
    from onnxsal.cli.words import shown_words

    blocks = [[f"  {each.method}"] * (len(texts) > 1) + [f"  {line}" for line in shown_words(each)] for each in texts]
    return [line for block in blocks for line in ("", *block)]


def noun_of(explanation: Explanation) -> str:
    """Return what its target is: a class, of tasks that have some, unless it is a program."""
    return get(explanation.task).noun if explanation.target is not None else Task.noun


def class_of(explanation: Explanation) -> str:
    """Return what is explained, with its number, and how sure the model is of it."""
    shown = score_of(explanation)
    if isinstance(explanation.target, tuple):
        first, second = explanation.target
        return f"{explanation.label} ({first} minus {second}){', ' if shown else ''}{shown}"
    number = f" ({explanation.target})" if isinstance(explanation.target, int) else ""
    return f"{title_of(explanation)}{number}, {shown}"


def _candidate(explanation: Explanation) -> list[str]:
    """Say which candidate a box that was asked for is matched with: it may be far from that box."""
    found = explanation.detection or {}
    if "iou" not in found:
        return []
    box = ",".join(str(round(n)) for n in found["box"])
    return [f"  {'box':6}  matched with the candidate at {box} (IoU {found['iou']:.2f})"]


def _chunk(explanation: Explanation) -> list[str]:
    """Say which chunk of a recording is explained, and what of it the map tells of."""
    found = explanation.manifest.get("recording")
    if found is None:
        return []
    start, end = found.get("seconds", found["covers"])
    unit = "s" if "seconds" in found else "steps"
    return [f"  {'chunk':6}  #{found['at']} of {found['chunks']}; the map is of {start:.4g} to {end:.4g} {unit}"]


def _row(result: Result, request: Request, explanation: Explanation) -> tuple[str, ...]:
    manifest = explanation.manifest
    cost = many(manifest["forwards"], "forward") + (f" ({PARTIAL})" if manifest.get("partial") else "")
    layer = _layers(request, result.automatic)
    return explanation.method, f"{cost}, {seconds(manifest['seconds'])}{_error(manifest)}", layer


def _error(manifest: Mapping[str, Any]) -> str:
    error = manifest.get("relative_error", math.nan)
    return f", error {percent(error)}" if math.isfinite(error) else ""


def _layers(request: Request, automatic: bool) -> str:
    if not request.layers:
        return nouns_of(request.model.modality.name, request.model.anatomy.entry.spatial).positions
    names = " + ".join(layer_name(layer.name, max(24, width() - 58)) for layer in request.layers)
    return f"layer {names}{' (automatic)' if automatic else ''}"


def _plain(result: Result, at: int) -> dict[str, Any]:
    request, explanation = result.made[at]
    manifest = finite(explanation.manifest)
    return {
        "image": result.image,
        "picture": result.drawing,
        "npz": result.numbers[at] if result.numbers else None,
        **({"sound": result.sounds[at]} if result.sounds else {}),
        **({} if result.maps is None else {"maps": result.maps}),
        "target": explanation.target,
        "label": explanation.label,
        "score": finite(explanation.score),
        "logit": finite(explanation.logit),
        "method": explanation.method,
        "layer": manifest["layer"],
        "layer_automatic": result.automatic if request.layers else None,
        "forwards": manifest["forwards"],
        "backwards": manifest["backwards"],
        "seconds": manifest["seconds"],
        "manifest": manifest,
        **({"words": [list(pair) for pair in explanation.words()]} if is_of_text(explanation) else {}),
    }


class Telling:
    """Prints pictures that were written, each as it comes, so that none is held: text, or parts of one JSON document.

    Broken pictures and notes go to stderr.
    """

    def __init__(self, *, as_json: bool) -> None:
        self._as_json, self._printed = as_json, 0
        self.told = 0
        """How many results there were."""
        self.failed = False
        """Whether a picture could not be served."""
        self.interrupted = False
        """Whether Ctrl-C ended the last one."""

    def tell(self, found: Written) -> None:
        """Tell of the next picture: what was written, or why it could not be served."""
        if found.broken is not None:
            self.failed = True
            named = isinstance(found.broken, ImageError)  # its message says which picture
            print(f"onnxsal: {'' if named else f'{found.image}: '}{found.broken}", file=sys.stderr, flush=True)
            return
        tell(found.notes, short(found.image))
        for result in found.results:
            self.told, self.interrupted = self.told + 1, result.interrupted
            for at in range(len(result.made) if self._as_json else 0):
                self.add(_plain(result, at))
        if not self._as_json:
            print("\n".join(line for result in found.results for line in as_text(result)), flush=True)

    def add(self, explanation: Mapping[str, Any]) -> None:
        """Print one more element of the document's list."""
        print(_OPENING if self._printed == 0 else ",", end="\n")
        text = json.dumps(explanation, indent=2, default=str)
        print(" " * 4 + text.replace("\n", "\n" + " " * 4), end="", flush=True)  # strings in it have no line breaks
        self._printed += 1

    def close(self, *, failed: bool) -> None:
        """End the document, also where the run ends early: the files of what is in it are there.

        Args: failed: without a result there is none then.
        """
        if self._as_json and (self._printed or not failed):
            print("\n  ]\n}" if self._printed else f"{_OPENING}]\n}}")


_OPENING = f'{{\n  "onnxsal": {json.dumps(__version__)},\n  "explanations": ['
