"""What a compiled file says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import onnx_ir as ir

from onnxsal._version import __version__
from onnxsal.compiler.seeds import said_of_seeds
from onnxsal.compiler.work import LISTED, Work
from onnxsal.graph.files import EXPLAINER
from onnxsal.model import Model

METADATA = EXPLAINER
"""Where the file says what it is, as JSON."""


def metadata_of(work: Work) -> Mapping[str, str]:
    """Return the metadata of a compiled file: the model's own, what explains it, how its pictures are prepared."""
    model, form = work.request.model, work.form
    found = {**model.metadata, METADATA: json.dumps(_described(work), default=str)}
    if model.labels is not None:
        found["onnxsal.labels"] = json.dumps([model.labels.short(i) for i in range(model.task.labelled)])
    if form.bytes_in is not None:
        bare = {"scale": 1.0, "mean": (0.0,), "std": (1.0,), "colour": "RGB", "mean_image": None}
        found["onnxsal.preprocess"] = replace(form.bytes_in, **bare).to_json()  # type: ignore[arg-type]
    elif model.preprocess is not None:
        found["onnxsal.preprocess"] = model.preprocess.to_json()
    return found


def say_more(model: ir.Model, notes: Sequence[str], more: Mapping[str, Any]) -> None:
    """Let a compiled file say what was noted of it since, and more of itself, in place."""
    said = json.loads(model.metadata_props[METADATA])
    model.metadata_props[METADATA] = json.dumps({**said, **more, "notes": [*said["notes"], *notes]})


def _inputs(model: Model, mask: str | None) -> dict[str, Any]:
    """What is fixed inside the file of a model that takes more than what is explained. Args: mask: which it takes."""
    held = {each.name: each.at for each in model.inputs if each.role == "held" and each.name != mask}
    made_of = [each.name for each in model.inputs if each.role == "inside"]
    masked = {} if mask is None else {"mask": mask}
    return {**({"held": held} if held else {}), **masked, **({"computed_from": made_of} if made_of else {})}


def _target(work: Work) -> Any:
    """Return what is explained: what is fixed, or where it comes from."""
    goal = work.goal
    if goal.is_program:
        return "program"
    fixed = None if goal.fixed is None else goal.fixed.target
    if not goal.as_input:
        return "predicted" if fixed is None else fixed
    names = {each.name: "input" for each in goal.inputs}
    return "input" if len(names) == 1 and fixed is None else {**({} if fixed is None else {"label": fixed}), **names}


def _means(work: Work) -> dict[str, str]:
    """Return what the inputs and outputs mean that a task has beside a class and maps, by name."""
    names = [*(each.name for each in work.goal.inputs), *work.told]
    own = {name: text for name, text in work.request.model.task.means.items() if name in names}
    asked = work.form.by_row and work.form.when is None  # a condition takes the place of the input
    rows = {"explain": "bool [B, 1]: which rows are explained; the maps of others are 0"} if asked else {}
    if work.form.by_row and LISTED in own:
        own[LISTED] = "float32 [B, K, 6], best first: sides, score, class, as in explained; NaN behind the last"
    seeds = {"seed": "int64, modulo 2^32, of all draws of a thing"} if work.form.seed_in else {}
    return {**rows, **own, **seeds}


def _described(work: Work) -> dict[str, Any]:
    """What the file says of itself."""
    request, entry = work.request, work.request.model.anatomy.entry
    axes, dtype = entry.input_axes, entry.dtype.name.lower()
    if work.form.bytes_in:
        axes, dtype = entry.channels_last, "uint8"
    return {
        "method": request.steps.method.name, "options": request.steps.described(),
        "seed": "input" if work.form.seed_in else request.seed,
        "layer": [layer.name for layer in request.layers], "score": request.score,
        "target": _target(work),
        **({} if work.goal.fixed is None else work.goal.fixed.about),
        "signed": work.finish(work.parts[0]).sign == "signed",
        "input": {"name": entry.input, "axes": axes, "type": dtype, "size": list(request.model.size),
                  "channels": 3 if work.form.bytes_in else entry.channels},
        **_inputs(request.model, None if work.form.mask_in is None else work.form.mask_in.name),
        "output": request.model.task.written(),
        "outputs": [*work.form.outputs, *(name for name in work.told if name not in work.form.outputs)],
        **({} if not (means := _means(work)) else {"means": means}),
        **({"batched": True} if work.form.by_row else {}),
        **({} if work.form.when is None else {"when": str(work.form.when)}),
        "notes": [
            *request.model.notes, *([] if work.form.when is None else [work.form.when.note]),
            *([] if work.goal.frame is None or not work.goal.frame.assumed else [work.goal.frame.assumed]),
            *(said_of_seeds(work.parts) if work.form.seed_in else ()),
        ],
        **({"repeatable": False} if request.model.drawn else {}),
        "source": request.model.name.replace("\\", "/").rsplit("/", 1)[-1],
        "source_sha256": request.model.digest, "onnxsal": __version__,
    }  # fmt: skip
