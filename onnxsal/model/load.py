"""From a file to a Model: normal form, free batch, anatomy, and what lies beside the file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from onnxsal.anatomy import COEFFICIENTS, OURS, TARGET, Anatomy, Entry, X, body
from onnxsal.anatomy.drawn import drawn_by, drawn_note
from onnxsal.autodiff import standardised
from onnxsal.errors import ModelError, UnsupportedError, UsageError
from onnxsal.graph import Program, dims, load_ir
from onnxsal.graph.batch import fixed_batch, free_batch, set_size
from onnxsal.graph.files import EXTERNAL_FILES
from onnxsal.graph.moved import write_moved
from onnxsal.graph.program import values_by_name
from onnxsal.graph.unknown import check_operators
from onnxsal.graph.unsigned import write_unsigned
from onnxsal.modalities.image import PreprocessSource
from onnxsal.modalities.registry import Modality, recognise
from onnxsal.model.model import Model, Warmed, digest
from onnxsal.options import byte_count
from onnxsal.runtime import Session
from onnxsal.runtime.providers import CPU, full_name, providers
from onnxsal.tasks import dissect, task_of
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
    running = _Running(provider, tuple(custom_ops), _threads(threads), _memory(memory))
    if provider is not None:
        providers(provider)
    source = load_ir(path)
    if not custom_ops:
        check_operators(source)
    normal = _free_names(open_heads(standardised(source)))
    modality, entry = recognise(normal.graph)
    normal, sized = _with_size(normal, modality, _sizes(size, modality, entry))
    if full_name(provider) == CPU:
        write_unsigned(normal.graph)
    write_moved(normal.graph)
    session = _Sessions(running)
    anatomy, notes = _free(normal, modality, session, task)
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


@dataclass(frozen=True)
class _Running:
    """What a model's sessions are opened with, under the names of its fields."""

    provider: str | None
    custom_ops: tuple[str, ...]
    threads: int | None
    memory: int | None


def _threads(given: Any) -> int | None:
    if given is None:
        return None
    if _is_count(given):
        return int(given)
    raise UsageError(f"threads={given!r}: expected a whole number from 1 on, or None for ONNX Runtime's own choice")


def _is_count(given: Any) -> bool:
    return isinstance(given, (int, np.integer)) and not isinstance(given, bool) and bool(given > 0)


def _memory(given: Any) -> int | None:
    if given is None:
        return None
    found = int(given) if _is_count(given) else byte_count(given) if isinstance(given, str) else None
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


def _sizes(given: Any, modality: Modality, entry: Entry) -> Mapping[str, int] | None:
    """Return the sizes that were asked for by the letters of their axes. Raises: UsageError: they are no such sizes."""
    if given is None:
        return None
    several = [given] if _is_count(given) else list(given) if isinstance(given, (tuple, list)) else []
    if len(several) != len(entry.spatial) or not all(map(_is_count, several)):
        expected = " and ".join(f"{letter}" for letter in entry.spatial)
        raise UsageError(
            f"size={given!r}: expected whole numbers from 1 on for {expected} of the model's {modality.name}"
        )
    return dict(zip(entry.spatial, map(int, several), strict=True))


def _with_size(
    model: ir.Model, modality: Modality, given: Mapping[str, int] | None
) -> tuple[ir.Model, tuple[str, ...]]:
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


class _Sessions:
    """How the probe runs a program: as the model itself will be run; the last one is kept for it."""

    def __init__(self, running: _Running) -> None:
        self.running = running
        self.last: tuple[Program, Session] | None = None

    def __call__(self, anatomy: Anatomy) -> Session:
        program = body(anatomy)
        self.last = (
            program,
            Session(
                program,
                provider=self.running.provider,
                threads=self.running.threads,
                custom_ops=self.running.custom_ops,
            ),
        )
        return self.last[1]


def _free(model: ir.Model, modality: Modality, session: _Sessions, task: str | None) -> tuple[Anatomy, tuple[str, ...]]:
    """Return the anatomy with a free batch axis where running proves that it is right, else as it was."""
    entry = modality.find_entry(model.graph)
    batch = fixed_batch(model, entry.input)
    anatomy = dissect(model, entry, task)
    if batch is None:
        return anatomy, ()
    if batch != 1:
        raise ModelError(f"the model's batch is fixed to {batch}; export it with batch 1 or a free batch axis")
    candidate = free_batch(model, entry.input)
    if candidate is not model:
        alone = session(anatomy)
        try:
            freed = dissect(candidate, modality.find_entry(candidate.graph), task)
            if _agree(alone, session(freed), anatomy):
                return freed, ("the batch, fixed to 1 in the file, was made free (verified by running)",)
        except (ModelError, UnsupportedError):
            pass  # what was rewritten cannot be run: the file's own batch of 1 can
    session.last = None
    return anatomy, ("the batch is fixed to 1 in the file: images run one by one",)


def _agree(single: Session, free: Session, anatomy: Anatomy) -> bool:
    """Whether two different pictures give, together, what each gives alone, and so does the first in a batch of one.

    Small float differences are allowed.
    """
    entry = anatomy.entry
    x = np.random.default_rng(0).normal(0, 1, (2, entry.channels, *(entry.size or ()))).astype(np.float32)
    name = next(iter(anatomy.head.kinds.values()))
    alone, together, one = (each.run({X: x[:n]})[name] for each, n in ((single, 2), (free, 2), (free, 1)))
    if alone.shape != together.shape or one.shape != alone[:1].shape:
        return False
    close = 0.02 if entry.dtype == ir.DataType.FLOAT16 else 1e-3
    apart = max(np.abs(alone - together).max(), np.abs(alone[:1] - one).max())
    return bool(apart <= close * (float(np.ptp(alone)) or 1.0))
