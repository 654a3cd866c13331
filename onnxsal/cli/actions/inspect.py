"""What ``onnxsal layers`` and ``onnxsal inspect`` print."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from onnxsal.anatomy import Layer
from onnxsal.cli.opening import Opening
from onnxsal.cli.text import layer_name, many, seconds, table, width, wrapped
from onnxsal.errors import ModelError, UnsupportedError
from onnxsal.explanation.usual import UsualMethod, usual_method
from onnxsal.graph import Program, load_ir
from onnxsal.model import Model
from onnxsal.model.file_report import inspect_file
from onnxsal.runtime import Session

_COLUMNS = 12
"""That are named."""


def opened_or_why(opening: Opening) -> Model | str:
    """Return the model, or why there is none though ONNX Runtime runs its file.

    Raises: as ``onnxsal.load``, where ONNX Runtime does not load it either, or an argument is wrong.
    """
    try:
        return opening()
    except (UnsupportedError, ModelError) as error:
        source = load_ir(opening.model)
        try:
            Session(Program(source), custom_ops=opening.custom_ops)
        except (UnsupportedError, ModelError):
            raise error from None
        return str(error.__cause__ if isinstance(error.__cause__, UnsupportedError) else error)


def print_no_layers(why: str, *, as_json: bool) -> None:
    """Print that nothing is a layer of what is no model of ours."""
    print("[]" if as_json else "\n".join(wrapped(f"no layers: {why}", 0)))


def print_file(name: str, why: str, *, as_json: bool) -> None:
    """Print what is known of a file that is not explained: what it takes and gives, and what works all the same."""
    known = inspect_file(load_ir(name), name, why)
    if as_json:
        print(json.dumps(known, indent=2, default=str))
        return
    size = f"{known['parameters']:,} parameters in {known['nodes']:,} nodes, opset {known['opset']}"
    rows = [("file", name), ("made by", known["producer"] or "unknown"), ("size", size)]
    rows += [(kind, _value(each)) for kind in ("input", "output") for each in known[f"{kind}s"]]
    print_rows([*rows, ("explain", why), *(("works", line) for line in known["works"])])


def _value(given: Mapping[str, Any]) -> str:
    shape = "of unknown rank" if given["shape"] is None else f"[{', '.join(str(d or '?') for d in given['shape'])}]"
    return f"{given['name']!r}: {given['type']} {shape}"


def print_layers(model: Model, *, as_json: bool) -> None:
    """Print the layers in graph order, the automatic one marked."""
    automatic = model.anatomy.layers.automatic
    if as_json:
        print(json.dumps([_plain(layer, at, at == automatic) for at, layer in enumerate(model.layers)], indent=2))
        return
    if not model.layers:
        print("\n".join(wrapped(_without_layers(model.anatomy.layers.hidden), 0)))
        return
    rows = [(f"#{at}", "*" if at == automatic else " ", *_cells(layer)) for at, layer in enumerate(model.layers)]
    print("\n".join(table([("", "", "operator", "K x h x w", "name"), *rows], right=frozenset({0}))))
    _print_places(model.layers)
    _print_beside(model)
    print(f"\n* chosen when none is named: {_chosen(model)}")


def _without_layers(hidden: str) -> str:
    why = f"rows and columns are not followed through {hidden}" if hidden else ""
    return f"{why or 'this model has no value with rows and columns'}; methods that need no layer still work"


def _print_places(layers: Sequence[Layer]) -> None:
    """Say which layers do not cover the picture as it stands, and which are only assumed to keep positions."""
    for place, which in groupby(enumerate(layers), key=lambda pair: str(pair[1].placement)):
        if place:
            print(f"\n{_numbers(which)}: {place} of the picture")
    for operators, which in groupby(enumerate(layers), key=lambda pair: pair[1].assumed):
        if operators:
            text = f"{_numbers(which)}: if {', '.join(operators)} keeps positions, which is tested when one is used"
            print("", *wrapped(text, 0), sep="\n")


def _print_beside(model: Model) -> None:
    """Say which layers no score of a class depends on."""
    found = len(model.anatomy.layers.found)
    if model.anatomy.layers.beside:
        text = f"{_numbers(list(enumerate(model.layers))[found:])}: only what stands beside the scores depends on them"
        print("", *wrapped(f"{text}, such as boxes: for targets that are a part of it", 0), sep="\n")


def _numbers(layers: Iterable[tuple[int, Layer]]) -> str:
    numbers = [number for number, _ in layers]
    return f"#{numbers[0]}" if len(numbers) == 1 else f"#{numbers[0]} to #{numbers[-1]}"


def _chosen(model: Model) -> str:
    automatic = model.anatomy.layers.automatic
    return "none fits, name one with -l" if automatic is None else f"-l '#{automatic}'"


def _cells(layer: Layer) -> tuple[str, str, str]:
    shape = " x ".join(map(str, (layer.channels, *layer.grid)))
    return layer.op_type, shape, layer_name(layer.name, max(24, width() - 44))


def _plain(layer: Layer, number: int, automatic: bool) -> dict[str, Any]:
    return {
        "number": number, "name": layer.name, "operator": layer.op_type, "channels": layer.channels,
        "grid": list(layer.grid), "automatic": automatic, "placement": str(layer.placement) or "whole",
        "assumed": list(layer.assumed),
    }  # fmt: skip


def print_model(model: Model, *, as_json: bool) -> None:
    """Print what ``Model.inspect`` gives."""
    known = model.inspect()
    if as_json:
        print(json.dumps(known, indent=2, default=str))
        return
    print_rows(_facts(known, usual_method(model)))
    _print_costs(known["methods"])


def print_rows(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and what is said of them; commands stay on a line of their own, to be copied."""
    indent = max(len(name) for name, _ in rows) + 2
    for name, text in rows:
        whole = text.startswith("onnxsal ")
        lines = [text] if whole else textwrap.wrap(text, max(30, width() - indent)) or [""]
        print(f"{name:{indent}}{lines[0]}", *(f"{'':{indent}}{line}" for line in lines[1:]), sep="\n")


def _outputs(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say of several outputs what each is, and how an element of one is asked for."""
    rows = []
    for each in known["outputs"] if len(known["outputs"]) > 1 else ():
        mine = " (explained)" if each["name"] == known["output"]["name"] else ""
        element = f"; -t {shlex.quote(each['element'])}" if each.get("element") else ""
        rows.append(("output", f"{_value(each)}: {each.get('holds') or 'not followed'}{element}{mine}"))
    return rows


def _command(known: Mapping[str, Any], usual: UsualMethod) -> str:
    """Return the line that explains it, to be copied. Args: usual: the method that is taken where none is named."""
    thing = "IMAGE" if _is_image(known) else "SOUND.wav" if _is_sound(known) else "THING.npy"
    if "ids" in known["input"]:
        thing = '"A TEXT"' if known["input"]["words"] else "IDS.npy"
    target = known["output"].get("target")
    if "columns" in known["input"]:
        return f"onnxsal explain {shlex.quote(str(known['file']))} ROWS.csv --background TRAIN.csv"
    method = f" -m {usual.name}" if usual.passed_over else ""
    asked = method + (f" -t {shlex.quote(target)}" if target else "")
    open_ = {"IMAGE": " --preprocess P", "SOUND.wav": " --rate HZ"} if known["preprocess"] is None else {}
    preprocess = open_.get(thing, "")
    return f"onnxsal explain {shlex.quote(str(known['file']))} {thing}{preprocess}{asked}"


def _print_costs(methods: Sequence[Mapping[str, Any]]) -> None:
    """Print what each method takes for one picture, then why others don't apply."""
    head = ("method", "forward", "backward", "time", "memory")
    rows = [
        (m["method"], f"{m['forwards']:,}", f"{m['backwards']:,}", seconds(m["seconds"]), _bytes(m["memory"]))
        for m in methods
        if m["applies"] and m["seconds"] is not None
    ]
    print("\n" + "\n".join(table([head, *rows], right=frozenset({1, 2, 3, 4}))))
    of_rows = [m["method"] for m in methods if m["applies"] and m["seconds"] is None]
    if of_rows:  # most methods are for pictures, and say so at length
        told = (
            f"What {' and '.join(of_rows)} takes depends on the rows and their background. The others do not apply to "
            "rows of a table; --json says why of each."
        )
        print("\n" + "\n".join(wrapped(told, 0)))
    for m in () if of_rows else methods:
        if not m["applies"]:
            print("\n".join(wrapped(f"{m['method']} does not apply: {m['reason']}", 0)))
    legend = (
        "Passes through the model for one map at default options; time from a short run now; memory by the graph's "
        "shapes, of a batch of 8, without the runtime's own."
    )
    print("\n" + "\n".join(wrapped(legend, 0)))


def _bytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{max(1, round(count / 2**20))} MB"


def _work(known: Mapping[str, Any]) -> str:
    done, speed = known["operations"], known["speed"]
    text = (
        f"{done['multiply_accumulates'] / 1e6:,.1f} million multiply-accumulates, {seconds(speed['forward'])} forward"
    )
    backward = "no gradient to the pixels" if speed["to_pixels"] is None else f"{seconds(speed['to_pixels'])} backward"
    unknown = f"; {many(len(done['unknown']), 'node')} of unknown size not counted" if done["unknown"] else ""
    return f"{text}, {backward}{unknown}"


def _optional(known: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Facts that only some models have."""
    rows, grid, missing = [], known["grid"], known["without_rule"]
    if grid is not None:
        rows.append(
            ("grid", f"the output has {grid['steps']} steps of {grid['scale']:g}, zero at {grid['zero_point']}")
        )
    if missing:
        named = ", ".join(f"{n['operator']} {_name(n['node'])}" for n in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        rows.append(("no rule", f"{named}{more}: no gradient passes"))
    return rows


_SCORED = {"token-labels": "labels of every token", "next-token": "tokens of which one comes next"}
"""What has the scores of a task, where it is no class of the whole input."""


def _scores(given: Mapping[str, Any]) -> str:
    if "probability" not in given:  # of a task without classes, or whose scores are not of the whole input
        classes = f", {given['classes']:,} classes" if "classes" in given else ""
        return f"{given['task']}{classes}: {_name(given['logit'])}"
    probability = "" if given["probability"] is None else f", {given['activation']} inside"
    scored = _SCORED.get(given.get("task", ""), "classes")
    if given["logit"] is None:
        held = given["probability"] or given["name"]
        what = "numbers" if given["probability"] is None else "probabilities"
        return f"{given['classes']:,} {scored}: {what} at {_name(held)}, no logits"
    return f"{given['classes']:,} {scored}: logits at {_name(given['logit'])}{probability}"


def _boxes(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say how a detector's boxes are read and what proves it, and what candidates have beside them."""
    if "boxes" not in given:
        return []
    beside = f"; beside them {', '.join(given['parts'])}" if given["parts"] else ""
    return [("boxes", f"{given['boxes']} in {given['unit']}{beside}: {given['proof']}")]


def _default(known: Mapping[str, Any]) -> str:
    """Return the layers that are taken where none is named."""
    return " + ".join(map(_name, known["levels"] or [known["layer"] or "none"]))


def _no_preprocess(known: Mapping[str, Any]) -> str:
    command = f"onnxsal predict {shlex.quote(str(known['file']))} IMAGE"
    if _is_sound(known):
        return "unknown: at which rate it takes its sound is for you to say, --rate HZ"
    if known["input"]["modality"] == "tokens":
        return "none: words are read by the tokenizer.json beside the model, ids of tokens are taken as they are"
    return f"unknown: find it with {command}" if _is_image(known) else "none: it is taken as it is"


def _is_sound(known: Mapping[str, Any]) -> bool:
    return bool(known["input"]["modality"] == "audio")


def _is_image(known: Mapping[str, Any]) -> bool:
    return bool(known["input"]["modality"] == "image")


def _taken(known: Mapping[str, Any]) -> tuple[str, str]:
    """Return what is explained, and what that is called."""
    taken = known["input"]
    if "ids" in taken:
        vector = f"{taken['ids']!r}: each id becomes a vector of {taken['channels']} numbers"
        pad = taken.get("pad")
        fills = "" if pad is None else f"; {pad['token']!r} fills texts up ({pad['from']})"
        return "text", f"{vector}, which is explained, at {_name(taken['explained'])} ({taken['found']}){fills}"
    if "columns" in taken:
        return "columns", f"{len(taken['columns'])}: {', '.join(map(_column, taken['columns'][:_COLUMNS]))}" + (
            " ..." if len(taken["columns"]) > _COLUMNS else ""
        )
    kind, across = "picture" if _is_image(known) else "input", " x ".join(map(str, taken["size"][::-1]))
    explained = "" if taken["explained"] == taken["name"] else f"; explained at {_name(taken['explained'])}"
    return (
        kind,
        f"{taken['name']!r}: {across}, {taken['channels']} channels, {taken['type']} {taken['axes']}{explained}",
    )


def _column(column: Mapping[str, str]) -> str:
    """Return a column's name and what it holds, where that is no number."""
    return column["name"] if column["holds"] == "number" else f"{column['name']} ({column['holds']})"


def _facts(known: Mapping[str, Any], usual: UsualMethod) -> list[tuple[str, str]]:
    given = known["output"]
    size = f"{known['parameters']:,} parameters in {known['nodes']:,} nodes, opset {known['opset']}"
    return [
        ("file", str(known["file"])),
        ("made by", known["producer"] or "unknown"),
        ("size", size),
        _taken(known),
        ("scores", _scores(given)),
        *_boxes(given),
        *_outputs(known),
        ("explain", _command(known, usual)),
        ("work", _work(known)),
        *_optional(known),
        ("layers", f"{known['layers']}, by default {_default(known)}"),
        ("preprocess", known["preprocess"] or _no_preprocess(known)),
        ("labels", known["labels"] or "none: name a file with --labels"),
        *((key.replace("_", " "), _stated(value)) for key, value in known["stated"].items()),
        ("sha256", known["sha256"]),
        *(("note", note) for note in known["notes"]),
    ]  # fmt: skip


def _stated(value: Any) -> str:
    """Return a fact of the file's metadata in a line."""
    if not isinstance(value, list):
        return str(value)
    return f"{len(value)}: {', '.join(value[:8])}{' ...' if len(value) > 8 else ''}"


def _name(name: str) -> str:
    """Names of values that converters make can be longer than the screen; JSON has them whole."""
    return layer_name(name, max(24, width() - 44))
