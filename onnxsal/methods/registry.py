"""What a method is: a function from programs to a program or a record, with its options, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from onnxsal import plugins
from onnxsal.anatomy import Anatomy, Layer
from onnxsal.errors import UsageError
from onnxsal.graph import Program
from onnxsal.options import (
    Level,
    Parameter,
    Range,
    Samples,
    check_options,
    options_of,
    parameter,
    positional,
    shown_type,
)
from onnxsal.records import Record

__all__ = [
    "IN_PROGRAM",
    "Cost",
    "Level",
    "Method",
    "Parameter",
    "Range",
    "Result",
    "Samples",
    "Scores",
    "method",
    "parameter",
    "shown_type",
]

Result = Program | Record
Scores = Literal["logit", "probability"]


@dataclass(frozen=True)
class Cost:
    """Forwards and backwards in images through the model, for K maps, as ``K x samples`` or a number of samples."""

    forwards: Callable[[Mapping[str, Any], int], int]
    backwards: Callable[[Mapping[str, Any], int], int]


@dataclass(frozen=True)
class Method:
    """A registered method: call it with what its signature names to get its program or record."""

    name: str
    build: Callable[..., Result]
    paper: str
    when: str
    """When to choose it, in one line."""
    score: Scores | Callable[[Mapping[str, Any]], Scores] = "logit"
    """The score it explains unless told otherwise; a function of the options where presets differ."""
    rules: str | None = "plain"
    """The rule set of its gradients; None for forward-only methods."""
    cost: Cost = field(default=Cost(lambda o, k: 1, lambda o, k: 1))
    choose_layer: Callable[[Anatomy], Layer] | None = None
    """Its own automatic layer, where the common rule does not fit."""
    origin: str = ""
    """Package and version that brought it."""
    sized: bool = False
    """Whether what it builds depends on the size of what is explained beside the score."""
    adds_up: bool = False
    """Whether the numbers of its map of the explained value are shares of the score, which may be summed."""
    of_rows: bool = False
    """Whether it explains rows of a table by running the model on others; then there is nothing to be built."""
    pools: bool = False
    """Whether a feature map has one weight for the whole picture: then what it shows of one object it shows of others
    like it."""

    def __call__(self, *args: Any, **options: Any) -> Result:
        return self.build(*args, **options)

    @property
    def needs(self) -> tuple[str, ...]:
        """What it is built from: ``score``, ``layer``, ``inner``."""
        return positional(self.build)

    @property
    def options(self) -> dict[str, Parameter]:
        """Its options by name."""
        return options_of(self.build)

    def check(self, options: Mapping[str, Any], *, common: Sequence[str] = ()) -> dict[str, Any]:
        """Return all options, converted, with defaults.

        Args: common: what every method takes beside its own, for the message about an unknown one.
        Raises: UsageError: unknown, of the wrong type, out of range.
        """
        return check_options(f"method {self.name!r}", self.options, options, common=common)

    def default_score(self, options: Mapping[str, Any]) -> Scores:
        """Return the score explained unless told otherwise."""
        return self.score(options) if callable(self.score) else self.score


IN_PROGRAM = "this program"
"""The origin of methods that no package offers."""

MADE: dict[str, Method] = {}
"""The methods that this program has made, built-in ones too once they were imported."""


def method(name: str, *, paper: str, when: str = "", **details: Any) -> Callable[[Callable[..., Result]], Method]:
    """Return a decorator that makes a Method of a function.

    The function's positional parameters say what it is built from (``score: Program``, ``layer: Layer``,
    ``inner: Program | Record``), its keyword-only ones are its options: typed, with defaults, ranges by ``Annotated``.
    In the program that made it a method can be named at once; packages offer theirs to all programs through the
    entry-point group ``onnxsal.methods``, and what is on offer keeps its name.

    Args: paper: authors, year, identifier, equation. when: when to choose it. details: further fields of Method.
    Raises: UsageError: there is no such field; the decorator: a built-in has the name.
    """
    unknown = set(details) - set(Method.__dataclass_fields__)
    if unknown:
        raise UsageError(
            f"method {name!r}: there is no field {', '.join(map(repr, sorted(unknown)))}; "
            f"known are {', '.join(Method.__dataclass_fields__)}"
        )

    def register(build: Callable[..., Result]) -> Method:
        plugins.check_free(plugins.METHODS, name, getattr(build, "__module__", ""), kind="method")
        made = MADE[name] = Method(name=name, build=build, paper=paper, when=when, **details)
        return made

    return register
