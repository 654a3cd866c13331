"""What one build gave, kept in a folder, and the table of how two of them differ."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np


class Results:
    """What one build gives: arrays and facts by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}

    def keep(self, name: str, make: Callable[..., Mapping[str, Any]], *args: Any, **options: Any) -> None:
        """Store what ``make`` returns, or the type and text of its exception."""
        try:
            found = make(*args, **options)
        except Exception as error:  # noqa: BLE001 - a build that fails otherwise is what the table is for
            found = {"failed": f"{type(error).__name__}: {error}"}
        for key, value in found.items():
            array = isinstance(value, np.ndarray)
            (self.arrays if array else self.facts)[f"{name}|{key}"] = value if array else plain(value)

    def write(self, folder: Path) -> None:
        """Write ``arrays.npz`` and ``facts.json``."""
        np.savez(folder / "arrays.npz", **self.arrays)
        (folder / "facts.json").write_text(json.dumps(self.facts, indent=1, sort_keys=True), encoding="utf-8")


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def difference(a: Any, b: Any) -> str:
    """Return how two kept values differ, in words; empty where they do not."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"{a.dtype} {list(a.shape)} -> {b.dtype} {list(b.shape)}"
        if a.tobytes() == b.tobytes():
            return ""
        off = np.abs(a.astype(float) - b.astype(float)).max()
        return f"largest {off:.3g} of {np.abs(a.astype(float)).max():.3g}"
    a, b = (
        re.sub(" +time +memory", " time memory", v) if isinstance(v, str) else v for v in (a, b)
    )  # as wide as times
    return "" if _text(a) == _text(b) else f"{a!r:.400}\n      -> {b!r:.400}"


def _text(value: Any) -> str:
    """Return a value as text: 1 is not 1.0 there, and NaN is NaN."""
    return json.dumps(value, sort_keys=True, default=repr)


def read(folder: Path) -> dict[str, Any]:
    """Return what ``record`` wrote."""
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    with np.load(folder / "arrays.npz") as arrays:
        return {**facts, **dict(arrays)}


def table(old: Path, new: Path) -> int:
    """Print counts of what is equal, differs or is missing, and what that is; return the exit status."""
    first, second = read(old), read(new)
    counts: dict[str, Counter[str]] = {}
    for name in sorted({*first, *second}):
        kind = f"{name.split('|')[0]} {name.split('|')[-1].split()[0]}"
        missing = name not in first or name not in second
        how = (
            ("only in the " + ("new" if name in second else "old"))
            if missing
            else difference(first[name], second[name])
        )
        counts.setdefault(kind, Counter())["missing" if missing else "different" if how else "equal"] += 1
        if how:
            print(f"{name}: {how}")
    print(f"\n{'':28}{'equal':>8}{'different':>11}{'missing':>9}")
    for kind, found in [*counts.items(), ("all", sum(counts.values(), Counter[str]()))]:
        print(f"{kind:28}{found['equal']:8,}{found['different']:11,}{found['missing']:9,}")
    return int(any(each["different"] or each["missing"] for each in counts.values()))
