"""From a file to a Model: normal form, free batch, anatomy, and what lies beside the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, OURS, TARGET, X
from onnxsal.anatomy.drawn import drawn_by, drawn_note
from onnxsal.autodiff import standardised
from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.graph import load_ir
from onnxsal.graph.files import EXTERNAL_FILES
from onnxsal.graph.moved import write_moved
from onnxsal.graph.program import values_by_name
from onnxsal.graph.unknown import check_operators
from onnxsal.graph.unsigned import write_unsigned
from onnxsal.modalities.image import PreprocessSource
from onnxsal.modalities.registry import recognise
from onnxsal.model.batch_axis import Probe, Running, freed
from onnxsal.model.input_size import asked_sizes, with_size
from onnxsal.model.model import Model, Warmed, digest
from onnxsal.options import byte_count, is_count
from onnxsal.runtime.providers import CPU, full_name, providers
from onnxsal.tasks import task_of
from onnxsal.tasks.integer import open_heads
from onnxsal.tasks.labels import LabelSource, as_labels, find_labels


def load(
    path: str | os.PathLike[str] | onnx.ModelProto,
    *,
    preprocess: PreprocessSource | None = None,
    labels: LabelSource | None = None,
    provider: str | None = None,
    custom_ops: Sequence[str] = (),
    threads: int | None = None,
    memory: int | str | None = None,
    task: str | None = None,
    size: int | Sequence[int] | None = None,
) -> Model:
    """Return a model ready to predict and to be explained.

    Args:
        path: an ``.onnx`` file (weights inside or beside it), or a ModelProto.
        preprocess: a preset, a JSON file, a dict or a ``Preprocess``; by default what the file's metadata or a
            ``preprocessor_config.json`` beside it say, and raw bytes where the graph proves them. A model without any
            loads all the same; only a picture needs it.
        labels: a file or a list; by default those beside the model, and ImageNet's for 1000 or 1001 classes.
        provider: ``cpu`` (default), ``cuda`` or another execution provider's name; ``cuda:1`` is the second GPU.
        custom_ops: libraries of custom operators, loaded because they are named here.
        threads: that share the operators of one run; by default as many as ONNX Runtime takes, one a core.
        memory: bytes, or text such as ``2G``, that inference sessions kept for the next explanation may take together;
            those not used for longest go, and are opened again when they are asked for. By default 512 MiB, or 16 times
            the weights where that is more, and never fewer than five sessions. What one run takes is not bound by it
            (``batch_size`` is what that needs).
        task: what the outputs mean, such as ``classification``; by default the first task that the graph proves.
        size: of what the model takes where its file leaves that open: height and width of images (by default 224 each),
            the steps of a sequence (256).
    Raises: ModelError: the file cannot be read or run. UnsupportedError: it is not a classifier of pictures.
    UsageError: ``path`` is neither, preprocessing, labels, threads or memory do not fit, or there is no such task.
    """
    running = Running(provider, tuple(custom_ops), _threads(threads), _memory(memory))
    if provider is not None:
        providers(provider)
    source = load_ir(path)
    if not custom_ops:
        check_operators(source)
    normal = _free_names(open_heads(standardised(source)))
    modality, entry = recognise(normal.graph)
    normal, sized = with_size(normal, modality, asked_sizes(size, modality, entry))
    if full_name(provider) == CPU:
        write_unsigned(normal.graph)
    write_moved(normal.graph)
    session = Probe(running)
    anatomy, notes = freed(normal, modality, session, task)
    drawn = drawn_by(anatomy)
    notes = (*sized, *notes, drawn_note(drawn)) if drawn else (*sized, *notes)
    name = "" if isinstance(path, onnx.ModelProto) else os.fspath(path)
    metadata = dict(source.metadata_props)
    found = modality.find_preprocess(preprocess, name, metadata, anatomy.entry)
    classes = task_of(anatomy).labelled
    named = as_labels(labels, classes) if labels is not None else find_labels(name or "model.onnx", classes, metadata)
    model = Model(
        name=name, anatomy=anatomy, modality=modality, preprocess=found, labels=named,
        digest=digest(path, source.meta[EXTERNAL_FILES]), notes=notes, metadata=metadata, source=source,
        inspector=_inspected, warmer=_warmed, **vars(running),
    )  # fmt: skip
    if session.last is not None:
        model.take("body", *session.last)
    return model


def _threads(given: Any) -> int | None:
    if given is None:
        return None
    if is_count(given):
        return int(given)
    raise UsageError(f"threads={given!r}: expected a whole number from 1 on, or None for ONNX Runtime's own choice")


def _memory(given: Any) -> int | None:
    if given is None:
        return None
    found = int(given) if is_count(given) else byte_count(given) if isinstance(given, str) else None
    if found is None:
        raise UsageError(f"memory={given!r}: expected a number of bytes, or text such as '500M' or '2G'")
    return found


def _free_names(model: ir.Model) -> ir.Model:
    """Rename values inside that have a name that programs take in or put out: values are looked up by their names.

    Files that onnxsal wrote, or a layer called ``score``, have them.
    """
    for name in ({str(v.name) for v in model.graph.outputs} & {X, TARGET, COEFFICIENTS}) - {
        str(v.name) for v in model.graph.inputs
    }:
        raise UnsupportedError(
            f"an output of the model is called {name!r}, as what onnxsal feeds: rename it in the file"
        )
    fixed = {id(v) for v in (*model.graph.inputs, *model.graph.outputs)}
    for value in values_by_name(model.graph).values():
        if value.name in OURS and id(value) not in fixed:
            value.name = f"own/{value.name}"
    return model


def _warmed(model: Model, methods: str | Sequence[str], options: dict[str, Any]) -> tuple[Warmed, ...]:
    from onnxsal.model.warm import warm  # explaining is loaded only for who asks

    return warm(model, methods, options)


def _inspected(model: Model) -> dict[str, Any]:
    from onnxsal.model.report import inspect  # the methods are loaded only for who asks

    return inspect(model)
