"""A study with people, in the manner of SS-CAM's: a page that shows unnamed maps in random order and collects choices.

Source: Wang et al. 2020, arXiv:2006.14255, section 4.3, where people choose the map that they trust more. Here any
number of methods is compared, "I cannot tell" is an answer, and order and places are random for each person.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxsal.errors import UsageError
from onnxsal.evaluation.report.images import data_uri, encoded
from onnxsal.evaluation.report.render import render
from onnxsal.experiments.base import Explain
from onnxsal.experiments.drawn import on_image, seen
from onnxsal.explanation import Explanation
from onnxsal.explanation.target import TargetSource

QUESTION = "Which map would you trust most to show why the program calls this “{label}”?"
_MOST = 9
"""Maps a picture: one for each digit key."""


@dataclass(frozen=True)
class Asked:
    """What a study asks: methods by name with what makes their maps, pictures, a class, the question and a seed."""

    makers: dict[str, Explain]
    images: tuple[str, ...]
    target: TargetSource = None
    question: str = QUESTION
    seed: int = 0


def make(asked: Asked, *, progress: Callable[[int, int], None] | None = None) -> str:
    """Return the page of a study, one HTML file that needs no server.

    Raises: UsageError: fewer than two methods, or more than nine. ImageError: a picture cannot be read.
    """
    if not 2 <= len(asked.makers) <= _MOST:
        raise UsageError(f"a study compares two to {_MOST} methods; got {len(asked.makers)}")
    trials = []
    for at, image in enumerate(asked.images):
        maps = {name: maker(image, asked.target) for name, maker in asked.makers.items()}
        trials.append(_trial(asked, at, maps))
        if progress is not None:
            progress(at + 1, len(asked.images))
    return _page(asked, trials)


def _trial(asked: Asked, at: int, maps: dict[str, Explanation]) -> dict[str, Any]:
    first = next(iter(maps.values()))
    shown = [
        {"id": _name(asked.seed, at, name), "picture": data_uri(encoded(on_image(each)))} for name, each in maps.items()
    ]
    # By their opaque names: the order of the methods is not to be read from the file either.
    return {
        "label": first.label, "picture": data_uri(encoded(seen(first))), "maps": sorted(shown, key=lambda m: m["id"]),
    }  # fmt: skip


def _name(seed: int, trial: int, method: str) -> str:
    return hashlib.blake2b(f"{seed}/{trial}/{method}".encode(), digest_size=5).hexdigest()


def _page(asked: Asked, trials: Sequence[dict[str, Any]]) -> str:
    key = {
        "methods": list(asked.makers),
        "trials": [{_name(asked.seed, at, name): name for name in asked.makers} for at in range(len(trials))],
        "images": [Path(image).name for image in asked.images],
        "models": sorted({each.request.model.name for each in asked.makers.values()}),
    }
    hidden = hide(key)
    identity = hashlib.blake2b(hidden.encode(), digest_size=6).hexdigest()
    study = {"id": identity, "seed": asked.seed, "question": asked.question, "key": hidden, "trials": trials}
    return render("study", "onnxsal.experiments", study=study)


def hide(key: dict[str, Any]) -> str:
    """Return the key of a study out of plain view: compressed, as letters. It is no secret, only not to be read."""
    return base64.b64encode(zlib.compress(json.dumps(key).encode(), 9)).decode("ascii")


def reveal(hidden: str) -> dict[str, Any]:
    """Return the key of a study. Raises: ValueError: it is none."""
    try:
        found = json.loads(zlib.decompress(base64.b64decode(hidden, validate=True)))
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the key is damaged: {error}") from None
    if not isinstance(found, dict) or {"methods", "trials"} - set(found):
        raise ValueError("the key is damaged: it names no methods")
    return found
