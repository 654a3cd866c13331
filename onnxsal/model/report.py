"""The report on a model: what the graph proves, what it costs, which methods apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxsal.anatomy import body
from onnxsal.anatomy.levels import level_layers
from onnxsal.autodiff.registry import find
from onnxsal.explanation.costs import costs
from onnxsal.explanation.rates import Rates, measure
from onnxsal.graph import Program
from onnxsal.graph.operations import operations
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.table import Table
from onnxsal.modalities.tokens.tokenizer import Tokenizer, beside
from onnxsal.model.file_report import described, file_facts, operator_counts, operator_name
from onnxsal.model.model import Model
from onnxsal.model.rows import ROWS
from onnxsal.model.words import facts_in
from onnxsal.tasks.indexed import one_of
from onnxsal.tasks.outputs import marked
from onnxsal.tasks.registry import read_alone

_LEVELS = {"UINT8": 256, "INT8": 256, "UINT16": 65536, "INT16": 65536, "UINT4": 16, "INT4": 16}


def inspect(model: Model) -> dict[str, Any]:
    """Return what is known of a model as plain data.

    Beside the facts of the file: ``operations`` (multiply-accumulates an image), ``grid`` (the steps of a quantised
    output), ``without_rule`` (nodes between picture and score that no gradient passes), ``speed`` (seconds an image,
    from a short run now) and ``methods`` (whether each applies, images through the model, seconds, bytes of a batch of
    8).
    """
    graph = model.source.graph
    scores = model.program("body", lambda: body(model.anatomy))
    rates = measure(model)
    return {
        **_facts(model), **_parts(model),
        "inputs": described(graph.inputs), "outputs": _outputs(model),
        "operators": operator_counts(graph),
        "operations": _operations(scores), "grid": _grid(model),
        "without_rule": _without_rule(scores),
        "speed": asdict(rates), "methods": _methods(model, rates),
    }  # fmt: skip


def _facts(model: Model) -> dict[str, Any]:
    return {
        "file": model.name, "sha256": model.digest, **file_facts(model.source),
        "preprocess": _prepared(model),
        "labels": None if model.labels is None else model.labels.source, "notes": list(model.notes),
        "decided": [asdict(each) for each in model.decided], "stated": facts_in(model.metadata),
    }  # fmt: skip


def _prepared(model: Model) -> str | None:
    """Return what says how things are prepared, and of sound the rate too."""
    if model.sound is not None and model.sound.sampling_rate is not None:
        return f"{model.sound.sampling_rate} Hz ({model.sound.where})"
    return None if model.preprocess is None else model.preprocess.name


def _text(model: Model) -> dict[str, Any]:
    """Return, of a model of token ids, what takes them, how they become vectors, and whether words can be given."""
    embedding = getattr(model.modality, "embedding", None)
    if embedding is None:
        return {}
    tokenizer = beside(model.name)
    known = {} if isinstance(tokenizer, str) else {"pad": _pad(tokenizer)}
    return {"ids": embedding.ids, "found": embedding.why, "words": bool(known), **known}


def _pad(tokenizer: Tokenizer) -> dict[str, Any] | None:
    """Return the token that fills texts up, and who says so; None where nobody does."""
    number, where = tokenizer.pad, tokenizer.padding.where
    return None if number is None else {"token": tokenizer.word(number), "id": number, "from": where}


def _columns(model: Model) -> dict[str, Any]:
    """Return, of a model of rows of a table, what its columns are called, and what each holds."""
    if not isinstance(model.modality, Table):
        return {}
    return {"columns": [{"name": each.name, "holds": each.kind, **({"known": list(each.known)} if each.known else {})}
                        for each in model.modality.columns]}  # fmt: skip


def _parts(model: Model) -> dict[str, Any]:
    entry, automatic = model.anatomy.entry, model.anatomy.layers.automatic
    return {
        "input": {"name": entry.input, "type": entry.dtype.name.lower(), "axes": entry.input_axes,
                  "size": list(model.size), "channels": entry.channels, "explained": entry.value,
                  "modality": model.modality.name, **_text(model), **_columns(model)},
        "output": model.task.facts(),
        "layers": len(model.layers), "layer": None if automatic is None else model.layers[automatic].name,
        "levels": [layer.name for layer in level_layers(model.anatomy)],
    }  # fmt: skip


def _outputs(model: Model) -> list[dict[str, Any]]:
    """Return what each output is: how it is read where it is the one that is explained, and how an element is named."""
    graph, source = model.anatomy.model.graph, model.source.graph
    known = {str(v.name): v for v in graph.outputs}
    with marked(graph, model.steps):
        found = [{**each, **(read_alone(graph, each["name"]) if each["name"] in known else {})}
                 for each in described(source.outputs)]  # fmt: skip
    put_back = {decision.value for decision in model.decided if decision.what == ROWS}
    return [each | _as_the_file_has_it(each) if each["name"] in put_back else each for each in found]


def _as_the_file_has_it(output: Mapping[str, Any]) -> dict[str, Any]:
    """Return how an element of an output is named whose axis of the batch is not the file's own."""
    return {"element": str(one_of(output["name"], output["shape"]))}


def _operations(scores: Program) -> dict[str, Any]:
    found = operations(scores.model.graph)
    return {"multiply_accumulates": found.total, "by_operator": found.by_operator, "unknown": list(found.unknown)}


def _grid(model: Model) -> dict[str, Any] | None:
    """Return the steps in which a quantised output says its scores; None where they are floats."""
    graph = model.anatomy.model.graph
    output = values_by_name(graph)[model.task.output]
    maker = output.producer()
    while maker is not None and maker.op_type in ("DequantizeLinear", "Reshape", "Flatten", "Squeeze", "Identity"):
        source = maker.inputs[0]
        maker = None if source is None else source.producer()
    if maker is None or maker.op_type != "QuantizeLinear" or len(maker.inputs) < 2:
        return None
    kind = maker.outputs[0].dtype or ir.DataType.UINT8
    scale, zero = _constant(maker.inputs[1]), _constant(maker.inputs[2] if len(maker.inputs) > 2 else None)
    return {"type": kind.name.lower(), "scale": scale, "zero_point": 0 if zero is None else int(zero),
            "steps": _LEVELS.get(kind.name)}  # fmt: skip


def _constant(value: ir.Value | None) -> float | None:
    if value is None or value.const_value is None:
        return None
    return float(np.asarray(value.const_value.numpy()).reshape(-1)[0])


def _without_rule(scores: Program) -> list[dict[str, str]]:
    """Nodes that the scores are computed by and that no gradient passes; those of subgraphs stand for themselves."""
    return [
        {"operator": operator_name(node), "node": str(node.name or node.outputs[0].name)}
        for node in scores.model.graph
        if find(node) is None
    ]


def _methods(model: Model, rates: Rates) -> list[Mapping[str, Any]]:
    return [{"applies": cost.reason is None, **asdict(cost)} for cost in costs(model, rates)]


__all__ = ["inspect"]
