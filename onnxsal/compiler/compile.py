"""The explainer as one file: the model's own outputs plus ``saliency``, in standard operators."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import onnx
import onnx_ir as ir

from onnxsal.compiler.asked import Asked, allowed, goal_of, kinds_of, parts_of, request_of
from onnxsal.compiler.assemble import assemble
from onnxsal.compiler.batch_of_one import check_batch
from onnxsal.compiler.checks import check_domains, check_given, check_names, check_repeatable, check_sign
from onnxsal.compiler.columns import compiled_columns
from onnxsal.compiler.front import check_read
from onnxsal.compiler.inputs import EXPLAIN, fed_batch
from onnxsal.compiler.metadata import METADATA, say_more
from onnxsal.compiler.padded import check_mask, with_mask
from onnxsal.compiler.runtimes import runtime_of
from onnxsal.compiler.seeds import check_seeds
from onnxsal.compiler.source import answering, batched_of, mask_input, of_texts
from onnxsal.compiler.switches import switched
from onnxsal.compiler.when import when_of
from onnxsal.compiler.work import Form, Work
from onnxsal.errors import ModelError, UsageError
from onnxsal.explanation.method_plan import Common, split_options
from onnxsal.explanation.tables import is_of_rows, steps_of
from onnxsal.graph import load_ir, made_whole, to_proto, warn_of_files
from onnxsal.graph.lower import lower_opset
from onnxsal.graph.moved import write_moved
from onnxsal.modalities.image import PreprocessSource
from onnxsal.model import Model
from onnxsal.model.blame import blaming
from onnxsal.model.load import load


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
            input ``box``, float32 [B, 4] or [1, 4], or a class that is fixed at such a box, ``"dog@input"``; a
            model of regions likewise the input ``region``, bool [B, H, W] or [1, H, W], where it is asked about.
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


def compiled(model: Model, asked: Asked) -> ir.Model:
    """Return what ``compile`` does, as ``onnx_ir`` holds it: weights too many for one file still know theirs.

    Raises: ModelError: ONNX Runtime does not run the model itself.
    """
    with blaming(model.source, model.custom_ops):
        return _compiled(model, asked)


def _compiled(model: Model, asked: Asked) -> ir.Model:
    switches = asked.switches
    model = answering(model, asked.target)
    if is_of_rows(model, asked.method):
        return _of_rows(model, asked)
    model = of_texts(with_mask(model) if asked.mask_in else model, asked)
    request = request_of(model, asked)
    if not asked.keep_custom:
        check_domains(model)
    if not asked.keep_random:
        check_repeatable(model)
    goal = goal_of(request.model, asked.target, request.score)
    parts = parts_of(request, goal)
    switches = asked.held_for(switches, parts)
    batched = batched_of(model, parts, asked)
    if switches.batch is not None:
        check_batch(batched, switches.batch)
    request = request if batched is model else request_of(batched, asked)
    preprocess = request.model.for_images("bytes_in").known_preprocess() if asked.bytes_in else None
    when = None if asked.when is None else when_of(asked.when, model.task, goal.fixed, request.score)
    form = Form(
        kinds_of(asked.give), preprocess, mask_input(model, asked), asked.required, asked.by_row, asked.seed_in, when,
        switches,
    )  # fmt: skip
    check_given(request.model, form)
    work = Work(request, goal, form, parts_of(request, goal))
    if form.seed_in:
        check_seeds(request.steps.method.name, work.parts)
    if form.mask_in is not None:
        check_mask(request.model, form.mask_in, work.parts if "raw" in form.outputs else ())
    check_names(work)
    check_sign(work)
    assembled = assemble(work)
    check_read(assembled.graph)
    write_moved(assembled.graph)
    notes = switched(assembled, switches, frozenset({EXPLAIN}), fed_batch(request.model.anatomy))
    say_more(assembled, notes, switches.described)
    _for_runtime(assembled, asked, pixels=not any(request.layers))
    if asked.opset is not None:
        lower_opset(assembled, asked.opset)
    return made_whole(assembled)


def _for_runtime(made: ir.Model, asked: Asked, *, pixels: bool) -> None:
    """Let a file say which runtime it was made for, and what that one computes otherwise.

    Raises: UnsupportedError: it does not run the file.
    """
    named = runtime_of(asked.runtime)
    if named is not None:
        named.check(made.graph, seed_in=asked.seed_in)
        say_more(made, named.notes(made.graph, pixels=pixels), {"runtime": asked.runtime})


def _of_rows(model: Model, asked: Asked) -> ir.Model:
    """Return the file of a model of rows, with what its columns count for.

    Raises: UsageError: an option is for maps.
    """
    common, own = split_options(allowed(asked.options))
    given = {"layer": asked.layer, "preprocess": asked.preprocess, "bytes_in": asked.bytes_in or None,
             "give": None if asked.give in ("saliency", ("saliency",)) else asked.give,
             **{name: value for name, value in vars(common).items() if value != getattr(Common(), name)}}  # fmt: skip
    if wrong := [name for name, value in given.items() if value is not None]:
        raise UsageError(f"{', '.join(wrong)}: for maps of pictures; of a table a value of each column is given")
    if not asked.keep_random:
        check_repeatable(model)
    steps = steps_of(asked.method, own)
    goal = goal_of(model, asked.target, None)
    made = compiled_columns(
        model,
        steps,
        asked.score,
        goal,
        Form(explain_required=asked.required, by_row=asked.by_row, switches=asked.switches),
        asked.when,
    )
    write_moved(made.graph)
    _for_runtime(made, asked, pixels=False)
    if asked.opset is not None:
        lower_opset(made, asked.opset)
    return made_whole(made)


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
