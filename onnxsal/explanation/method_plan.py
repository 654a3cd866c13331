"""A method's name and options, checked: what is run, before there is a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from onnxsal.errors import UsageError, nearest
from onnxsal.fingerprint import code_digest, fingerprint
from onnxsal.methods import Method, get
from onnxsal.methods.registry import IN_PROGRAM, Range, Samples, parameter

DEFAULT_INNER = "gradient"

Sign = Literal["absolute", "signed", "positive", "negative", "norm"]
_ABOVE_ZERO = 1e-9

BATCH, GPU_BATCH = 8, 32
"""Images a run: on the processor from 4 to 8 all take the same time an image, and memory grows with it. A GPU is filled
by some dozens, and where its memory is short of them they are halved."""


@dataclass(frozen=True)
class Common:
    """Options that every method takes beside its own; ``split_options`` makes one of checked values."""

    batch_size: Samples | None = None
    """None: ``BATCH``, on a GPU ``GPU_BATCH``."""
    sign: Sign | None = None
    percentile: Annotated[float, Range(_ABOVE_ZERO, 100)] = 99.0
    fuse: Literal["mean", "max"] | None = None
    """None: ``mean`` of layers that were named, ``max`` of the levels of a pyramid."""
    forwards: Samples | None = None
    """Limits of methods that run many times: images through the model, seconds, relative standard error."""
    seconds: Annotated[float, Range(0)] | None = None
    tolerance: Annotated[float, Range(_ABOVE_ZERO)] | None = None
    keep_partial: bool = False
    """Whether an interruption gives the map so far; the command line's default is that it does."""
    progress: Callable[[int, int], None] | None = None


FUSE: Literal["mean"] = "mean"
"""How layers that were named are fused."""

COMMON = tuple(name for name in Common.__dataclass_fields__ if name != "progress")
"""Names of the options that every method takes, as text can give them."""


def split_options(options: Mapping[str, Any]) -> tuple[Common, dict[str, Any]]:
    """Return the options that every method takes, checked, and the method's own.

    Raises: UsageError: of the wrong type, out of range.
    """
    hints = _hints()
    common = {k: v for k, v in options.items() if k in hints}
    for name in common.keys() - {"progress"}:
        common[name] = parameter(name, hints[name], None).convert(common[name])
    return Common(**common), {k: v for k, v in options.items() if k not in common}


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(Common, include_extras=True)


@dataclass(frozen=True)
class MethodPlan:
    """A method with its options checked, and the method inside it where it is a wrapper."""

    method: Method
    options: Mapping[str, Any]
    inner: MethodPlan | None = None
    given: frozenset[str] = frozenset()
    """The options that were given; the others are usual ones."""
    baseline: str | None = None
    """What stands for nothing, of a method that has no option for it; None: what its record says."""

    def on_usual(self, usual: Mapping[str, Any]) -> MethodPlan:
        """Return the plan with options that are usual for what is explained, where others were not given.

        Raises: UsageError: one is of the wrong type, or out of range.
        """
        own = {k: v for k, v in usual.items() if k in self.method.options and k not in self.given}
        options = (
            self.method.check({**{k: v for k, v in self.options.items() if v is not None}, **own})
            if own
            else self.options
        )
        baseline = None if "baseline" in self.method.options else usual.get("baseline", self.baseline)
        inner = None if self.inner is None else self.inner.on_usual(usual)
        return replace(self, options=options, inner=inner, baseline=baseline)

    @property
    def innermost(self) -> MethodPlan:
        """The method that no other is inside of."""
        return self if self.inner is None else self.inner.innermost

    @property
    def needs_layer(self) -> bool:
        """Whether a layer has to be chosen."""
        return "layer" in self.innermost.method.needs

    @property
    def backward(self) -> bool:
        """Whether it takes gradients."""
        return self.innermost.method.rules is not None

    @property
    def score(self) -> str:
        """The score explained unless told otherwise."""
        return self.innermost.method.default_score(self.innermost.options)

    def described(self) -> dict[str, Any]:
        """Return the options as plain data that tells different ones apart, the inner method's among them."""
        own = {k: fingerprint(v) for k, v in self.options.items() if v is not None}
        if self.inner is None:
            return own
        named = {**own, "inner": self.inner.method.name}
        inner = {f"inner.{k}" if k in named else k: v for k, v in self.inner.described().items()}
        return named | inner

    def origins(self) -> list[str]:
        """Return who brought the methods: package and version, of those that this program made a hash of their code."""
        method = self.method
        code = f", SHA-256 {code_digest(method.build)}" if method.origin == IN_PROGRAM else ""
        return [method.origin + code, *([] if self.inner is None else self.inner.origins())]

    def forwards(self, maps: int) -> int:
        """Return how many images go forward through the model for a layer of so many maps."""
        own = self.method.cost.forwards(self.options, maps)
        return own if self.inner is None else own * self.inner.forwards(maps)

    def backwards(self, maps: int) -> int:
        """Return how many images go backward."""
        own = self.method.cost.backwards(self.options, maps)
        return own if self.inner is None else self.options_samples() * self.inner.backwards(maps)

    def options_samples(self) -> int:
        """Return how often a wrapper runs what is inside it."""
        return self.method.cost.forwards(self.options, 1)


def plan(name: str, options: Mapping[str, Any]) -> MethodPlan:
    """Return the checked plan of a method; a wrapper passes on the options that only its inner method has.

    Raises: UsageError: unknown method or option, wrong type, out of range.
    """
    method = get(name)
    if "inner" not in method.needs:
        if "inner" in options:
            raise UsageError(f"method {name!r} wraps no other method, so it takes no option 'inner'")
        return MethodPlan(method, method.check(options, common=COMMON), given=frozenset(options))
    rest = dict(options)
    inner_name = rest.pop("inner", DEFAULT_INNER)
    own = {k: v for k, v in rest.items() if k in method.options}
    passed = {k: v for k, v in rest.items() if k not in method.options}
    inner = _inner(method, inner_name, passed)
    return MethodPlan(method, method.check(own), inner, frozenset(own))


def _inner(method: Method, name: Any, options: Mapping[str, Any]) -> MethodPlan:
    if not isinstance(name, str):
        raise UsageError(f"option inner={name!r}: expected the name of a method")
    inner = get(name)
    known = [*method.options, "inner", *inner.options, *COMMON]
    for option in options:
        if option not in inner.options and "inner" not in inner.needs:
            raise UsageError(
                f"method {method.name!r} round {name!r} has no option {option!r}{nearest(option, known)} "
                f"(they take {', '.join(known)})"
            )
    return plan(name, options)
