"""Writing models that explain themselves, and what is printed of one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxsal.cli.actions.inspect import print_rows
from onnxsal.cli.opening import Opening, tell
from onnxsal.cli.outputs import check_model, check_outputs
from onnxsal.cli.planning import once
from onnxsal.cli.tables import as_table_of
from onnxsal.compiler.asked import Asked
from onnxsal.compiler.compile import compiled
from onnxsal.compiler.metadata import METADATA
from onnxsal.compiler.padded import with_mask
from onnxsal.compiler.repository import write_repository
from onnxsal.compiler.runtimes import TRITON
from onnxsal.compiler.source import answering
from onnxsal.errors import UsageError
from onnxsal.explanation.usual import UsualMethod, usual_method
from onnxsal.graph import save_ir, told_of_files


def write_compiled(
    *,
    output: str,
    method: str | None,
    target: str | None,
    layers: Sequence[str],
    settings: Sequence[tuple[str, str]],
    background: str | None,
    opening: Opening,
    **asked: Any,
) -> None:
    """Write the compiled model and print its name. Raises: UsageError: several methods are named."""
    names = [name for name in (method or "").split(",") if name.strip()]
    if len(names) > 1:
        raise UsageError(f"a file holds one method, and -m names {len(names)}; write a file for each")
    settings = [*settings, *([] if background is None else [("background", background)])]
    read = [*opening.files, *([] if background is None else [background])]
    folder = _repository(output, asked["runtime"], read)
    if folder is None:
        check_outputs([Path(output)], read)
        check_model(output)
    model = opening()
    if background is not None:
        model = as_table_of(model, [background], asked="--background") or model
    opened = answering(model, target)
    opened = with_mask(opened) if asked["mask_in"] else opened
    usual = usual_method(opened, layer=bool(layers)) if method is None else UsualMethod(method)
    tell([*opened.notes, *usual.notes])
    wanted = Asked(method=usual.name, target=target, layer=list(layers) or None, options=once(settings), **asked)
    made = compiled(opened, wanted)
    tell(note for note in json.loads(made.metadata_props[METADATA])["notes"] if note not in opened.notes)
    if folder is not None:
        own = folder / write_repository(made, folder, source=opened.source)
        tell(told_of_files(made, str(own / "1" / "model.onnx")))
        print(own)
        return
    save_ir(made, output, source=opened.source)
    tell(told_of_files(made, output))
    print(output)


def _repository(output: str, runtime: str | None, read: Sequence[str]) -> Path | None:
    """Return the folder of a model repository, where it is that which is to be written.

    Raises: UsageError: a folder is named for another runtime. OutputError: nothing can be written there.
    """
    if not (output.endswith(("/", os.sep)) or os.path.isdir(output)):
        return None
    if runtime != TRITON:
        raise UsageError(f"-o {output!r} is a folder: a model repository is for --runtime triton; name a .onnx file")
    folder = Path(output)
    check_outputs([folder / "config.pbtxt" if folder.is_dir() else folder], read)
    return folder


def print_explainer(name: str, known: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what a compiled file says of itself."""
    if as_json:
        print(json.dumps({"file": name, "explainer": known}, indent=2))
        return
    rows = [("file", name), *_facts(known)]
    print_rows(rows)


def _facts(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    taken, given = known["input"], known["output"]
    options = ", ".join(f"{name}={value}" for name, value in known["options"].items())
    return [
        ("explains", f"with {known['method']}{f' ({options})' if options else ''}, seed {known['seed']}"),
        ("target", _goal(known["target"]) + _places(known)),
        *((name, known[name]) for name in ("runtime", "when") if name in known),
        ("layer", ", ".join(known["layer"]) or "none: it works on the input itself"),
        ("score", str(known["score"])),
        ("picture" if taken["axes"].endswith(("HW", "HWC")) else "takes",
         f"{taken['name']!r}: {taken['type']} {taken['axes']}, {_size(taken['size'])}, {taken['channels']} channels"),
        ("gives", ", ".join(dict.fromkeys([given["name"], *known["outputs"]]))),
        *([("switches", _switches(known["switches"]))] if "switches" in known else []),
        *((name, text) for name, text in known.get("means", {}).items()),
        *(("note", note) for note in known.get("notes", ())),
        ("made from", f"{known['source'] or 'a model in memory'}, sha256 {known['source_sha256']}"),
        ("made by", f"onnxsal {known['onnxsal']}"),
    ]  # fmt: skip


def _switches(known: Mapping[str, Any]) -> str:
    """Return how a file was written for some runtimes, in the words of ``compile``."""
    return ", ".join(name if value is True else f"{name}={value}" for name, value in known.items())


def _goal(goal: Any) -> str:
    if isinstance(goal, list):
        return f"{goal[0]} minus {goal[1]}"
    if isinstance(goal, dict):  # a class that is fixed or fed, at a box or in a region that is fed
        where = "in a region" if "region" in goal else "at a box"
        return f"{goal.get('label', 'input')}, {where} that is fed"
    return str(goal)


def _size(sizes: Sequence[int]) -> str:
    """Return width x height, and of other positions each in its order."""
    return " x ".join(map(str, sizes[::-1] if len(sizes) == 2 else sizes))


def _places(known: Mapping[str, Any]) -> str:
    """Return where a target is asked for, in a few words."""
    found = known.get("region", [])
    return "".join(f", {_place(each)}" for each in (found if isinstance(found, list) else [found]) if each)


def _place(region: Mapping[str, Any]) -> str:
    unit = region["unit"]
    kind, place = next((k, v) for k, v in region.items() if k != "unit")
    if isinstance(place, Mapping):
        return f"{kind} {place.get('file', '')}{place['size']} ({unit})"
    return f"{kind} {', '.join(f'{n:g}' for n in place)} ({unit})"
