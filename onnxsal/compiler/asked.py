"""What a compiled file is asked to be: the arguments of ``compile``, and what is planned of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsal.compiler.own_score import check_own
from onnxsal.compiler.runtimes import runtime_of
from onnxsal.compiler.seeds import draws_noise
from onnxsal.compiler.switches import Switches, check_switches
from onnxsal.compiler.work import KINDS, FileTarget, Kind, Result
from onnxsal.errors import UsageError, nearest
from onnxsal.explanation.build import build
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.target import own_frame, resolve_target
from onnxsal.modalities.image import PreprocessSource
from onnxsal.model import Model


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

    def held_for(self, switches: Switches, parts: Iterable[Result]) -> Switches:
        """Return switches with noise in the file, where some is drawn and the runtime has no operators to draw it."""
        named = runtime_of(self.runtime)
        held = named is not None and named.noise_held and not self.seed_in and draws_noise(parts)
        return replace(switches, noise_held=switches.noise_held or held)

    @property
    def switches(self) -> Switches:
        """What is written otherwise for some runtimes. Raises: UsageError: they say nothing, or contradict others."""
        named = runtime_of(self.runtime)
        fold = self.fold_weights or (named is not None and named.fold_weights)
        found = Switches(self.no_if, self.batch, self.unroll, self.noise_as == "constants", fold)
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


def request_of(model: Model, asked: Asked) -> Request:
    """Return what ``explain`` would be asked, for a file."""
    common, own = split_options(allowed(asked.options))
    return prepare_request(
        model, plan(asked.method, own), layer=asked.layer, score=asked.score,
        seed=0 if asked.seed_in else asked.seed,  # type: ignore[arg-type]
        preprocess=asked.preprocess, common=common,
    )  # fmt: skip


_LIMITS = ("forwards", "seconds", "tolerance", "keep_partial", "progress")
"""Options of running that a file cannot have: it draws all samples, always."""


def allowed(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return options as they are. Raises: UsageError: one of them is for running alone."""
    for name in _LIMITS:
        if name in options:
            raise UsageError(f"option {name} is for running; a compiled model always draws all its samples")
    return options


def kinds_of(give: str | Sequence[str]) -> tuple[Kind, ...]:
    """Return which outputs are given. Raises: UsageError: there is no such."""
    names = tuple(dict.fromkeys(give.split(",") if isinstance(give, str) else give))
    for name in names:
        if name not in KINDS:
            raise UsageError(f"give={name!r}: expected {', '.join(KINDS)}{nearest(str(name), KINDS)}")
    if not names:
        raise UsageError(f"give names nothing: expected {', '.join(KINDS)}")
    return names  # type: ignore[return-value]


def goal_of(model: Model, target: Any, score: str | None) -> FileTarget:
    """Return where the file takes its target from."""
    asked = model.task.as_inputs(target)
    inputs, target = asked if asked is not None else ((), target)
    found = None if target is None else resolve_target(model, target, {})
    if found is not None and found.program is not None:
        check_own(found.program, model)
    found = found if found is None or score is None else model.task.aimed(found, score)
    frame = own_frame(model) if any(fed.by_place for fed in inputs) else None
    inputs = tuple(replace(fed, shape=model.size) if fed.by_place else fed for fed in inputs)
    return FileTarget(found, inputs, frame)


def parts_of(request: Request, goal: FileTarget) -> tuple[Any, ...]:
    """Return the program or record of each layer."""
    score = request.model.score(request.score, goal.fixed)
    return tuple(build(request.model, request.steps, layer=a, score=score) for a in request.layers or (None,))
