"""The size of what a model takes, where its file leaves that open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from onnxsal.anatomy import Entry
from onnxsal.errors import UsageError
from onnxsal.graph import dims
from onnxsal.graph.batch import set_size
from onnxsal.modalities.registry import Modality
from onnxsal.options import is_count


def asked_sizes(given: Any, modality: Modality, entry: Entry) -> Mapping[str, int] | None:
    """Return the sizes that were asked for by the letters of their axes. Raises: UsageError: they are no such sizes."""
    if given is None:
        return None
    several = [given] if is_count(given) else list(given) if isinstance(given, (tuple, list)) else []
    if len(several) != len(entry.spatial) or not all(map(is_count, several)):
        expected = " and ".join(f"{letter}" for letter in entry.spatial)
        raise UsageError(
            f"size={given!r}: expected whole numbers from 1 on for {expected} of the model's {modality.name}"
        )
    return dict(zip(entry.spatial, map(int, several), strict=True))


def with_size(model: ir.Model, modality: Modality, given: Mapping[str, int] | None) -> tuple[ir.Model, tuple[str, ...]]:
    """Fix the sizes that the model leaves open, since rules and layers want to know them; say where one was assumed.

    Raises: UsageError: another size was asked for than the file has.
    """
    entry = modality.find_entry(model.graph)
    shape = dict(zip(entry.input_axes, dims(next(v for v in model.graph.inputs if v.name == entry.input)) or (),
                     strict=True))  # fmt: skip
    wanted = given or modality.default_size
    fixed = {letter: shape[letter] for letter in wanted if isinstance(shape[letter], int)}
    if given is not None and any(given[letter] != size for letter, size in fixed.items()):
        raise UsageError(f"size={tuple(given.values())}: the file fixes {fixed} of {entry.input!r}")
    opened = {letter: size for letter, size in wanted.items() if letter not in fixed}
    if not opened:
        return model, ()
    made = set_size(model, entry.input, {entry.input_axes.index(letter): size for letter, size in opened.items()})
    said = given is None and modality.says_size
    note = f"the file leaves the size of {entry.input!r} open: it was opened for {opened}; size= opens it for another"
    return made, (note,) if said else ()
