"""From a file to a Model: normal form, free batch, anatomy, and what lies beside the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, OURS, TARGET, Anatomy, X
from onnxsal.anatomy.drawn import drawn_by, drawn_note
from onnxsal.anatomy.layers import find_layers
from onnxsal.anatomy.parts import Head
from onnxsal.errors import UnsaidError, UnsupportedError, UsageError
from onnxsal.graph import load_ir
from onnxsal.graph.columns import join_columns
from onnxsal.graph.files import EXTERNAL_FILES
from onnxsal.graph.moved import write_moved
from onnxsal.graph.processor import check_processor
from onnxsal.graph.program import values_by_name
from onnxsal.graph.unknown import check_operators
from onnxsal.graph.unsigned import write_unsigned
from onnxsal.modalities.image import PreprocessSource
from onnxsal.modalities.table import Table
from onnxsal.modalities.tokens import Tokens
from onnxsal.model.asked import Asked
from onnxsal.model.batch_axis import Probe, Running, freed
from onnxsal.model.file_report import with_gradients
from onnxsal.model.fitted import fitted
from onnxsal.model.floats_first import floats_first
from onnxsal.model.head_choice import chosen_head, wanted_of
from onnxsal.model.hearing import Hearing, recognised_heard
from onnxsal.model.held import held
from onnxsal.model.input_size import Known, axes_open, with_size
from onnxsal.model.made_up import last_changed, made_up
from onnxsal.model.merged import one_branch
from onnxsal.model.model import Model, Warmed, digest
from onnxsal.model.other_side import Beside, read_held
from onnxsal.model.pairs import told_apart
from onnxsal.model.rounded import rounded_notes
from onnxsal.model.rows import rows_kept
from onnxsal.model.taken import normal_form, told_of
from onnxsal.model.text_source import words_apart
from onnxsal.model.words import Recognised, read_words
from onnxsal.options import byte_count, is_count
from onnxsal.runtime.heap import DROPPED
from onnxsal.runtime.providers import CPU, full_name, providers
from onnxsal.tasks import Task, task_of
from onnxsal.tasks.evidence import Evidence, Floats, Settled
from onnxsal.tasks.labels import LabelSource
from onnxsal.tasks.outputs import holds_steps, mark_open, unmark_open


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
    head: str | None = None,
    activation: str | None = None,
    explained: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    threshold: float | None = None,
    iou: float | None = None,
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
        head: the output that is explained; by default the main one, and the others are named in a note.
        activation: what makes probabilities of it: ``softmax``, ``sigmoid``, or ``none`` where it holds them already.
        explained: the input that is explained, where there are several.
        inputs: what the other inputs are held at, by their names: arrays, numbers, or ``.npy`` files; of token ids also
            words, or a list of texts (``tokenizer.json`` beside the model), of pictures also pictures.
        threshold: of a detector: the score above which a candidate is a detection, by default 0.25.
        iou: of a detector: the overlap (intersection over union) above which two boxes of a class are one, by default
            0.5; none where the file itself leaves one box an object.
    Raises: ModelError: the file cannot be read or run. UnsupportedError: no task takes it.
    UsageError: ``path`` is neither, preprocessing, labels, threads or memory do not fit, or there is no such task.
    """
    running = Running(provider, tuple(custom_ops), _threads(threads), _memory(memory))
    if provider is not None:
        providers(provider)
    DROPPED.collect()
    source = load_ir(path)
    if not custom_ops:
        check_operators(source)
    check_processor(source)
    if explained is None and not inputs:
        join_columns(source)
    name = "" if isinstance(path, onnx.ModelProto) else os.fspath(path)
    file = File(name, digest(path, source.meta[EXTERNAL_FILES]), dict(source.metadata_props))
    read = read_held(Beside(source.graph, name, file.metadata, preprocess), inputs or {})
    asked = Asked(preprocess, labels, size, task, head, activation, explained, read, threshold, iou)
    source = told_apart(source, Known(asked, name, file.metadata, running))
    try:
        return _opened(_ready(source, asked), file, asked, running)
    except UnsaidError:  # the command to copy is in it
        raise
    except UnsupportedError as error:
        raise with_gradients(error, source, name or "MODEL") from error


def _ready(source: ir.Model, asked: Asked) -> ir.Model:
    """Return a file as what is explained of it is looked for."""
    return floats_first(words_apart(one_branch(source, asked)))


@dataclass(frozen=True)
class File:
    """What is known of a file beside its graph."""

    name: str
    digest: str
    metadata: Mapping[str, str]


def _opened(source: ir.Model, file: File, asked: Asked, running: Running) -> Model:
    """Return the model of a file, as it was asked for."""
    holding = held(source, asked)
    normal = _free_names(normal_form(holding, asked.filled))
    hearing = Hearing(source, asked, running, file.digest, told_of(asked, file.name, file.metadata))
    modality, entry, inside = recognised_heard(normal, holding, hearing)
    if inside is not None:
        return _opened(source, file, replace(asked, explained=inside, found=inside), running)
    open_sizes = axes_open(normal, entry)
    mark_open(normal.graph)
    sized = with_size(normal, modality, entry, Known(asked, file.name, file.metadata, running))
    unsized = normal if isinstance(modality, Tokens) and entry.size is None else None
    normal = sized.model
    if full_name(running.provider) == CPU:
        write_unsigned(normal.graph)
    write_moved(normal.graph)
    session = Probe(running)
    wanted = wanted_of(asked, file.name, file.metadata)
    rows = rows_kept(normal, modality.find_entry(normal.graph), wanted, session)
    anatomy, freeing = freed(rows.model, modality, session, wanted, holding.rows)
    chosen = chosen_head(anatomy, wanted, file.name)
    steps = tuple(str(v.name) for v in anatomy.model.graph.outputs if holds_steps(v))
    unmark_open(anatomy.model.graph)
    run, changed = (partial(made, anatomy, modality, session) for made in (made_up, last_changed))
    anatomy, settled = _settled(anatomy, asked, file, run, changed)
    drawn = drawn_by(anatomy)
    words = read_words(source, file.name, asked, Recognised(modality, anatomy))
    entry_notes = getattr(modality, "entry_notes", None)
    rounded = () if isinstance(modality, Table) else rounded_notes(anatomy)
    told = (*(entry_notes(entry) if entry_notes else ()), *task_of(anatomy).notes, *rows.notes, *sized.notes, *freeing,
            *((drawn_note(drawn),) if drawn else ()), *rounded)  # fmt: skip
    model = Model(
        name=file.name, anatomy=anatomy, modality=modality, preprocess=words.preprocess, sound=words.sound,
        labels=words.labels, digest=file.digest, metadata=file.metadata,
        notes=(*chosen.notes, *holding.notes, *_of_held(asked), *told, *settled.notes, *words.notes),
        question=chosen.question,
        source=source, inspector=_inspected, warmer=_warmed, reopener=_reopened, fitter=fitted, asked=asked,
        any_size=sized.any_size, inputs=holding.inputs, open_sizes=open_sizes, steps=steps,
        assumed=settled.assumed, unsized=None if rows.lost or freeing else unsized,
        decided=(*chosen.decided, *holding.decided, *rows.decided, *task_of(anatomy).decided, *sized.decided,
                 *settled.decisions, *words.decided),
        **vars(running),
    )  # fmt: skip
    if session.last is not None and session.serves(anatomy):
        model.take("body", *session.last)
    return model


def _of_held(asked: Asked) -> tuple[str, ...]:
    """Return what is to be told of how things were read that inputs are held at."""
    return tuple(note for each in asked.held.values() for note in each.notes)


def _settled(anatomy: Anatomy, asked: Asked, known: File, *runs: Callable[[Head], Floats]) -> tuple[Anatomy, Settled]:
    """Return the anatomy with the task that everything known of the file makes of it, and what was decided.

    Args: runs: give the numbers of a head on made-up inputs, and on two that differ in their last position.
    """
    task, graph = task_of(anatomy), anatomy.model.graph
    evidence = Evidence(graph, asked.task, asked.activation, known.name, known.metadata, asked.labels, *runs)
    settled = task.settled(evidence)
    head = settled.task
    if asked.threshold is not None or asked.iou is not None:
        assert isinstance(head, Task)
        head = head.ruled(asked.threshold, asked.iou)
    if head == task:
        return anatomy, settled
    layers = anatomy.layers if head.logit == task.logit else find_layers(graph, anatomy.entry, head)
    return replace(anatomy, head=head, layers=layers), settled


def _reopened(model: Model, asked: Asked) -> Model:
    running = Running(model.provider, model.custom_ops, model.threads, model.memory)
    return _opened(_ready(model.source, asked), File(model.name, model.digest, model.metadata), asked, running)


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
