"""What a command line says of a recording that a model is run over chunk by chunk."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from onnxsal.errors import UsageError

if TYPE_CHECKING:
    from onnxsal.model.recording import Recording

Command = TypeVar("Command", bound=Callable[..., Any])

_AT = "say --at '#12', a chunk's number from 0, or --at 1.4s"


@dataclass(frozen=True)
class Chunks:
    """The options of a recording; none of them given: things are explained whole."""

    chunk: int | None = None
    hop: int | None = None
    at: str | None = None
    unrolled: int | None = None
    states: Sequence[tuple[str, str]] = ()
    axis: int | None = None

    def __bool__(self) -> bool:
        return any(value not in (None, ()) for value in (getattr(self, each.name) for each in fields(self)))

    def recording(self, rate: int | None) -> Recording:
        """Return what is asked of each thing, in the place of which stands none. Raises: UsageError: ``at`` is wrong.

        Args: rate: steps a second, where somebody says it.
        """
        from onnxsal.model.recording import Recording

        number, second = chunk_in(self.at)
        return Recording(
            None, self.chunk, self.hop, number, second, rate, 1 if self.unrolled is None else self.unrolled,
            dict(self.states) or None, self.axis,
        )  # fmt: skip


def chunk_in(text: str | None) -> tuple[int | None, float | None]:
    """Return the chunk that text names by its number, or the second. Raises: UsageError: it names neither."""
    if text is None:
        return None, None
    number, second = text.strip().removeprefix("#"), text.strip().removesuffix("s")
    try:
        if number != text.strip():
            return int(number), None
        found = float(second) if second != text.strip() else math.nan
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise UsageError(f"--at {text!r} is neither a chunk nor a time: {_AT}")
    return None, found


def chunk_options(command: Command) -> Command:
    """Add what a recording depends on; the command is given all of it as one ``Chunks``."""
    names = [each.name for each in fields(Chunks)]

    @wraps(command)
    def gathered(**given: Any) -> Any:
        return command(chunks=Chunks(**{name: given.pop(name) for name in names}), **given)

    made = cast(Command, gathered)
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


class State(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """A state's input and the output that is its next value."""

    name = "before=after"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the two names."""
        if isinstance(value, tuple):
            return value
        before, _, after = (part.strip() for part in str(value).partition("="))
        if not before or not after:
            self.fail(f"{value!r} is not of the form INPUT=OUTPUT, for example h0=hN", param, ctx)
        return before, after


_OPTIONS: list[Callable[[Any], Any]] = [
    click.option(
        "--chunk", type=click.IntRange(1), metavar="N",
        help="Run the model over a recording of any length, so many steps at once, its state carried, and explain one "
        "chunk's score. Where the file fixes its length, that is it: any of these options will do.",
    ),
    click.option(
        "--hop", type=click.IntRange(1), metavar="N",
        help="Of a chunk, how many steps are new: the others are the last of the chunk before. [default: all]",
    ),
    click.option(
        "--at", metavar="'#N'|SECONDSs",
        help="Which chunk's score is explained: '#12', or 1.4s. By default that of the highest score.",
    ),
    click.option(
        "--unrolled", type=click.IntRange(1), metavar="K",
        help="Through how many chunks the score is followed back. [default: 1, that one alone]",
    ),
    click.option(
        "--state", "states", type=State(), multiple=True, metavar="INPUT=OUTPUT",
        help="Of a recording: the output that is the next value of a state. By default found. May be repeated.",
    ),
    click.option("--axis", type=click.IntRange(1), metavar="N", help="Of a recording: the input's axis that is time."),
]  # fmt: skip
