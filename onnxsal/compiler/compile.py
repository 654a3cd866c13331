"""The explainer as one file: the model's own outputs plus ``saliency``, in standard operators."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.anatomy.drawn import drawn_note
from onnxsal.compiler.assemble import assemble
from onnxsal.compiler.batch_of_one import UNASKED, alone_in_file, check_batch, for_one
from onnxsal.compiler.by_row import one_at_once
from onnxsal.compiler.columns import compiled_columns
from onnxsal.compiler.front import ONE, check_read, takes_one
from onnxsal.compiler.inputs import EXPLAIN, fed_batch
from onnxsal.compiler.metadata import METADATA, say_more
from onnxsal.compiler.nothing import named, nothing_of
from onnxsal.compiler.own_score import check_own
from onnxsal.compiler.padded import Mask, check_mask, mask_of, with_mask
from onnxsal.compiler.runtimes import runtime_of
from onnxsal.compiler.seeds import check_seeds
from onnxsal.compiler.switches import Switches, check_switches, switched
from onnxsal.compiler.when import when_of
from onnxsal.compiler.work import KINDS, FileTarget, Form, Kind, Work
from onnxsal.errors import ModelError, UnsupportedError, UsageError, nearest
from onnxsal.explanation.baselines import KNOWN
from onnxsal.explanation.build import build
from onnxsal.explanation.method_plan import Common, plan, split_options
from onnxsal.explanation.request import Request, no_sign, prepare_request
from onnxsal.explanation.tables import is_of_rows, steps_of
from onnxsal.explanation.target import TargetSource, opened_for, resolve_target
from onnxsal.folding import fits_any_length
from onnxsal.graph import load_ir, made_whole, to_proto, warn_of_files
from onnxsal.graph.lower import lower_opset
from onnxsal.graph.moved import write_moved
from onnxsal.modalities.image import PreprocessSource
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model import Model
from onnxsal.model.any_length import of_any_length
from onnxsal.model.load import load
from onnxsal.records import Record

_LIMITS = ("forwards", "seconds", "tolerance", "keep_partial", "progress")
"""Options of running that a file cannot have: it draws all samples, always."""


def compile(
    model: Model | str | os.PathLike[str] | onnx.ModelProto,
    *,
    method: str = "grad-cam++",
    target: Any = None,
    layer: str | Sequence[str] | None = None,
    score: str | None = None,
    seed: int | str = 0,
    preprocess: PreprocessSource | None = None,
    opset: int | None = None,
    give: str | Sequence[str] = "saliency",
    bytes_in: bool = False,
    keep_custom: bool = False,
    explain_required: bool = False,
    keep_random: bool = False,
    mask_in: bool = False,
    runtime: str | None = None,
    when: str | None = None,
    no_if: bool = False,
    batch: int | None = None,
    unroll: bool = False,
    noise_as: str = "operators",
    fold_weights: bool = False,
    **options: Any,
) -> onnx.ModelProto:
    """Return one standard model that predicts and explains: the original outputs plus ``saliency``.

    Its optional input ``explain`` (bool, true by default) leaves out everything but the prediction.

    Args:
        model: a Model, its path or a ModelProto.
        method, layer, score, preprocess: as for ``explain``.
        seed: of all draws; ``"input"`` adds the input ``seed``, int64 [B], or [1] for all things.
        target: None explains the predicted class; an index, a label or a pair (a, b) fixes it, of an embedding a
            ``Like``, and so do an ``Element`` or its text, and a Program from ``sal/x`` to ``score`` [B]; ``"input"``
            adds the input ``target``, int64 [B], or [1] for all pictures, where -1 is the predicted class, of an
            embedding the input ``reference``,
            float32 [B, N] or [1, N], a vector of any length but 0. A detector takes ``"input@input"``, a class and the
            input ``box``, float32 [B, 4] or [1, 4], or a class that is fixed at such a box, ``"dog@input"``.
        opset: of the result, 17 (18 for methods that draw noise) up to the model's own or 21, which is the default.
        give: ``saliency``; ``raw``, what the method computed, at the layer's resolution; ``drawing``, in colour; of a
            detector ``detections``, what ``Model.predict`` finds; or several.
        bytes_in: makes preprocessing part of the model: its input is bytes, red first, of the model's size.
        keep_custom: keeps the model's operators outside the standard domain; runtimes then need their library too.
        explain_required: gives ``explain`` no default, for runtimes that feed no inputs that have one (in JavaScript).
        keep_random: keeps operators that draw random numbers on which the score depends; every run then explains
            another score.
        mask_in: makes the mask of a model of texts an input again: texts of several lengths, padded to one, go in
            together, and each is explained as it is alone; the scores of pads are 0.
        runtime: whose forms the file has: ``web``, ``node``, ``openvino`` and ``tensorrt`` feed ``explain`` always;
            what they compute otherwise is noted, and what TensorRT does not have refused. ``triton``: everything has a
            row a thing in front, ``explain`` is bool [B, 1], ``target`` and ``seed`` int64 [B, 1]; rows that ask are
            explained, each as it is alone, and others cost the prediction only (``save_repository``).
        when: which things are explained, each by itself: ``score < 0.6``, with one of < <= > >=; of others maps are 0.
            ``score`` is that of what is explained: its probability where there is one. So are the kinds of numbers by
            name (``probability``, ``logit``), and ``margin``, how far a class is above the next best.
        no_if: leaves out the input ``explain`` and the If behind it: the file always explains.
        batch: how many things the file takes at a time, where that is to be fixed, and with it every shape.
        unroll: writes loops of sampling methods out turn by turn, 256 turns at most; it needs ``batch``.
        noise_as: ``operators`` draw noise in the file, or it lies there as ``constants``, the same bits.
        fold_weights: computes what depends on weights alone when the file is written, such as their transposes.
        options: the method's, and ``batch_size``, ``sign``, ``percentile`` and ``fuse``.
    Of a model of rows of a table (``shapley``) the file gives ``values``, what each column adds to ``base_value``,
    doubles [B, F] and [B]: in closed form where the score is a sum of columns, else by all coalitions, as far as these
    times the background rows are 65,536 rows a row. It takes its columns as the model itself does.
    Shape: ``saliency`` is float32 [B, H, W], exactly ``Explanation.saliency``; ``raw`` is [B, h, w] or [B, C, H, W];
        ``drawing`` is uint8 [B, H, W, 3], drawn over the input where that is bytes. Bytes in are uint8 [B, H, W, 3].
        Of detectors ``explained`` is float32 [B, 6]: the box that is explained in pixels of the model's picture, its
        score, its class; where nothing is explained NaN, and the map 0. ``detections`` is float32 [D, 7]: the picture's
        number, and the same six.
    Weights are inside; those of a model whose weights exceed 2 GB stay references into its files, with a warning.
    Raises: UsageError, UnsupportedError: as ``explain`` does, and for what no file can hold.
    """
    asked = Asked(
        method, target, layer, score, seed, preprocess, opset, give, bytes_in, keep_custom, explain_required, options,
        keep_random, mask_in, runtime, when, no_if, batch, unroll, noise_as, fold_weights,
    )  # fmt: skip
    opened = model if isinstance(model, Model) else load(model)
    made = compiled(opened, asked)
    warn_of_files(made)
    return to_proto(made, source=opened.source)


@dataclass(frozen=True)
class Asked:
    """The arguments of ``compile``."""

    method: str = "grad-cam++"
    target: Any = None
    layer: str | Sequence[str] | None = None
    score: str | None = None
    seed: int | str = 0
    preprocess: PreprocessSource | None = None
    opset: int | None = None
    give: str | Sequence[str] = "saliency"
    bytes_in: bool = False
    keep_custom: bool = False
    explain_required: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    keep_random: bool = False
    mask_in: bool = False
    runtime: str | None = None
    when: str | None = None
    no_if: bool = False
    batch: int | None = None
    unroll: bool = False
    noise_as: str = "operators"
    fold_weights: bool = False

    @property
    def by_row(self) -> bool:
        """Whether everything has a row a thing, as servers that gather requests want it."""
        named = runtime_of(self.runtime)
        return named is not None and named.by_row

    @property
    def required(self) -> bool:
        """Whether ``explain`` has no default. Raises: UsageError: there is no such runtime."""
        named = runtime_of(self.runtime)
        return self.explain_required or (named is not None and named.explain_required and not self.no_if)

    @property
    def seed_in(self) -> bool:
        """Whether the file takes the seed. Raises: UsageError: it is a text and not that."""
        if isinstance(self.seed, str) and self.seed != INPUT:
            raise UsageError(f"seed={self.seed!r}: expected a whole number, or {INPUT!r} for an input of the file")
        return self.seed == INPUT

    @property
    def switches(self) -> Switches:
        """What is written otherwise for some runtimes. Raises: UsageError: they say nothing, or contradict others."""
        found = Switches(self.no_if, self.batch, self.unroll, self.noise_as == "constants", self.fold_weights)
        check_switches(found, explain_required=self.explain_required)
        if self.by_row and (self.no_if or self.batch is not None):
            raise UsageError(
                "runtime=triton gathers requests, each of which asks for itself: leave out "
                + ("no_if" if self.no_if else "batch, which is set in config.pbtxt (max_batch_size)")
            )
        if self.mask_in and self.batch is not None:
            raise UsageError(
                "mask_in explains each text at its own length, and batch fixes every shape: leave one of them out"
            )
        if self.noise_as not in ("operators", "constants"):
            raise UsageError(f"noise_as={self.noise_as!r}: expected operators or constants")
        if self.seed_in and found.noise_held:
            raise UsageError("noise as constants is drawn with one seed, and seed=input feeds others: choose one")
        if self.unroll and self.batch is None:
            raise UsageError("unroll writes out a turn for each thing that goes in: say how many these are (batch=N)")
        return found


INPUT = "input"
"""What is told as the file runs."""


def answering(model: Model, target: TargetSource) -> Model:
    """Return the model that a file is compiled of: opened for the output of which the target names elements.

    Raises: UsageError: there is no such output.
    """
    return model if model.task.as_inputs(target) is not None else opened_for(model, target)


def compiled(model: Model, asked: Asked) -> ir.Model:
    """Return what ``compile`` does, as ``onnx_ir`` holds it: weights too many for one file still know theirs."""
    switches = asked.switches
    model = answering(model, asked.target)
    if is_of_rows(model, asked.method):
        return _of_rows(model, asked)
    model = _of_texts(with_mask(model) if asked.mask_in else model, asked)
    request = _request(model, asked)
    if not asked.keep_custom:
        _check_domains(model)
    if not asked.keep_random:
        _check_repeatable(model)
    goal = _goal(request.model, asked.target, request.score)
    batched = _batched(model, _parts(request, goal), asked)
    if switches.batch is not None:
        check_batch(batched, switches.batch)
    request = request if batched is model else _request(batched, asked)
    preprocess = request.model.for_images("bytes_in").known_preprocess() if asked.bytes_in else None
    when = None if asked.when is None else when_of(asked.when, model.task, goal.fixed, request.score)
    form = Form(
        _kinds(asked.give), preprocess, _mask(model, asked), asked.required, asked.by_row, asked.seed_in, when,
        switches,
    )  # fmt: skip
    _check_given(request.model, form)
    work = Work(request, goal, form, _parts(request, goal))
    if form.seed_in:
        check_seeds(request.steps.method.name, work.parts)
    if form.mask_in is not None:
        check_mask(request.model, form.mask_in, work.parts if "raw" in form.outputs else ())
    _check_names(work)
    _check_sign(work)
    assembled = assemble(work)
    check_read(assembled.graph)
    write_moved(assembled.graph)
    notes = switched(assembled, switches, frozenset({EXPLAIN}), fed_batch(request.model.anatomy))
    say_more(assembled, notes, switches.described)
    _for_runtime(assembled, asked.runtime, pixels=not any(request.layers))
    if asked.opset is not None:
        lower_opset(assembled, asked.opset)
    return made_whole(assembled)


def _for_runtime(made: ir.Model, name: str | None, *, pixels: bool) -> None:
    """Let a file say which runtime it was made for, and what that one computes otherwise.

    Raises: UnsupportedError: it does not run the file.
    """
    named = runtime_of(name)
    if named is not None:
        named.check(made.graph)
        say_more(made, named.notes(made.graph, pixels=pixels), {"runtime": name})


def _of_rows(model: Model, asked: Asked) -> ir.Model:
    """Return the file of a model of rows, with what its columns count for.

    Raises: UsageError: an option is for maps.
    """
    common, own = split_options(_allowed(asked.options))
    given = {"layer": asked.layer, "preprocess": asked.preprocess, "bytes_in": asked.bytes_in or None,
             "give": None if asked.give in ("saliency", ("saliency",)) else asked.give,
             **{name: value for name, value in vars(common).items() if value != getattr(Common(), name)}}  # fmt: skip
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(wrong)}: values of columns are no maps of pictures, which have such")
    if not asked.keep_random:
        _check_repeatable(model)
    steps = steps_of(asked.method, own)
    goal = _goal(model, asked.target, None)
    made = compiled_columns(
        model,
        steps,
        asked.score,
        goal,
        Form(explain_required=asked.required, by_row=asked.by_row, switches=asked.switches),
        asked.when,
    )
    write_moved(made.graph)
    _for_runtime(made, asked.runtime, pixels=False)
    if asked.opset is not None:
        lower_opset(made, asked.opset)
    return made_whole(made)


def _of_texts(model: Model, asked: Asked) -> Model:
    """Return the model of texts on its graph for all lengths, where a method takes no draws that know one; itself of
    other things.

    Raises: UsageError: the method shows a token in the place of others, which differs from text to text.
    """
    if model.modality.name != "tokens":
        return model
    request = _request(model, asked)
    parts = _parts(request, FileTarget(None))
    for part in parts:
        name = named(part) if isinstance(part, Record) else None
        if name is not None and nothing_of(model, name) is None:
            known = ", ".join(KNOWN)
            raise UsageError(f"baseline={name!r} is no token of a tokenizer beside the model: {known} or an array")
    free: Model | None = model.program("any length", lambda: of_any_length(model))
    unfit = [part for part in parts if isinstance(part, Record) and not fits_any_length(part)]
    if free is not None and not unfit and not any(request.layers) and asked.batch is None:
        return free
    (length,) = model.size
    knows = "the method's draws know" if unfit else "the maps of a layer know"
    knows = "its graph knows" if free is None else knows
    why = f"{knows} one length" if asked.batch is None else "batch fixes every shape"
    fixed = f"the file takes texts of {length} tokens and of no other number: {why}; --size N (size=) sets it"
    return replace(model, notes=(*model.notes, fixed))


def _mask(model: Model, asked: Asked) -> Mask | None:
    """Return the mask of texts that becomes an input, where that is asked for. Raises: UsageError: there is none."""
    if not asked.mask_in:
        return None
    found = mask_of(model)
    if model.sized is None:
        raise UnsupportedError(
            f"mask_in: {model.notes[-1]}; texts of other lengths need a file each, and {found.name!r} stays as it is "
            "held: leave mask_in out"
        )
    return found


def explainer(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return what a compiled file says of itself, or None where it is none.

    Raises: ModelError: the file cannot be read.
    """
    text = load_ir(path).metadata_props.get(METADATA)
    try:
        found = json.loads(text) if text is not None else None
    except ValueError:
        raise ModelError(f"{os.fspath(path)!r} is damaged: its metadata {METADATA!r} is no JSON") from None
    return found if isinstance(found, dict) else None


def _batched(model: Model, parts: tuple[Any, ...], asked: Asked) -> Model:
    """Return the model with the batch that its file may promise: free, or one picture at a time."""
    try:
        why = alone_in_file(model, parts) or (ONE if takes_one(model) else None)
        why = why or (one_at_once(model) if asked.by_row else None)
    except UnsupportedError:
        if not asked.keep_custom:
            raise
        unasked = spoken(UNASKED, nouns_of(model.modality.name))
        return replace(model, notes=(*model.notes, unasked))  # a library that only the file's user has
    return model if why is None else for_one(model, why)


def _request(model: Model, asked: Asked) -> Request:
    common, own = split_options(_allowed(asked.options))
    return prepare_request(
        model, plan(asked.method, own), layer=asked.layer, score=asked.score,
        seed=0 if asked.seed_in else asked.seed,  # type: ignore[arg-type]
        preprocess=asked.preprocess, common=common,
    )  # fmt: skip


def _allowed(options: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _LIMITS:
        if name in options:
            raise UsageError(f"option {name} is for running; a compiled model always draws all its samples")
    return options


def _kinds(give: str | Sequence[str]) -> tuple[Kind, ...]:
    names = tuple(dict.fromkeys(give.split(",") if isinstance(give, str) else give))
    for name in names:
        if name not in KINDS:
            raise UsageError(f"give={name!r}: expected {', '.join(KINDS)}{nearest(str(name), KINDS)}")
    if not names:
        raise UsageError(f"give names nothing: expected {', '.join(KINDS)}")
    return names  # type: ignore[return-value]


def _goal(model: Model, target: Any, score: str | None) -> FileTarget:
    asked = model.task.as_inputs(target)
    inputs, target = asked if asked is not None else ((), target)
    found = None if target is None else resolve_target(model, target, {})
    if found is not None and found.program is not None:
        check_own(found.program, model)
    return FileTarget(found if found is None or score is None else model.task.aimed(found, score), inputs)


def _parts(request: Request, goal: FileTarget) -> tuple[Any, ...]:
    score = request.model.score(request.score, goal.fixed)
    return tuple(build(request.model, request.steps, layer=a, score=score) for a in request.layers or (None,))


def _check_sign(work: Work) -> None:
    if work.request.common.sign is not None and not work.is_own(work.parts[0]):
        raise no_sign(work.request.steps, work.request.model)


def _check_given(model: Model, form: Form) -> None:
    """Raise where detections are asked for of what detects nothing, or a picture of what is none."""
    if "detections" in form.outputs and "detections" not in model.task.told:
        if model.task.has_boxes:
            raise UnsupportedError("give=detections: no operator leaves out boxes that are turned; predict lists them")
        raise UsageError(f"give=detections is for detectors, and the task is {model.task.name!r}")
    if form.outputs == ("detections",):
        raise UsageError("give=detections alone explains nothing: give saliency, raw or drawing beside it")
    if "drawing" in form.outputs and len(model.size) != 2:
        raise UnsupportedError(
            f"give=drawing is a picture, and maps of this model are {' x '.join(map(str, model.size))} numbers "
            f"({model.modality.name}): leave it out, and draw what saliency holds"
        )


def _check_names(work: Work) -> None:
    graph = work.request.model.anatomy.model.graph
    inputs = {*(() if work.form.switches.always else (EXPLAIN,)), *(fed.name for fed in work.inputs)}
    taken = {str(v.name) for v in (*graph.inputs, *graph.outputs)}
    for kind, names in (("input", inputs), ("output", {*work.form.outputs, *work.told})):
        for name in sorted(names & taken):
            raise UnsupportedError(
                f"the compiled model would have an {kind} {name!r}, and the model has a value of that name already as "
                "input or output: rename it there (is it a compiled model?)"
            )


def _check_domains(model: Model) -> None:
    graph = model.anatomy.model.graph
    nodes: Counter[str] = Counter(f"{n.domain}.{n.op_type}" for n in graph.all_nodes() if _is_custom(n))
    if nodes:
        named = ", ".join(f"{name} ({count})" for name, count in sorted(nodes.items()))
        raise UnsupportedError(
            f"the model has operators outside the standard domain, which few runtimes know: {named}. Keep them with "
            "--keep-custom (keep_custom=True), or export the model without them"
        )


def _check_repeatable(model: Model) -> None:
    if model.drawn:
        raise UnsupportedError(
            f"{drawn_note(model.drawn)}, so each run of the file would explain another score. Write it all the same "
            "with --keep-random (keep_random=True), or export the model without them"
        )


def _is_custom(node: ir.Node) -> bool:
    return node.domain not in ("", "ai.onnx")
