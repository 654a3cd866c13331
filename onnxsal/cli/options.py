"""What several commands take: arguments, options, and the types that check them before anything heavy is loaded."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial, wraps
from typing import Any, TypeVar, cast

import click

from onnxsal.cli.opening import Opening
from onnxsal.options import byte_count

Command = TypeVar("Command", bound=Callable[..., Any])


class Size(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """An amount of memory: 500M, 2G."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        if isinstance(value, int):
            return value
        found = byte_count(str(value))
        if found is None:
            self.fail(f"{value!r} is no amount of memory; write for example 500M or 2G", param, ctx)
        return found


class Several(click.Option):
    """An option of one or several whole numbers: those that stand behind it are its own, as many as there are."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Add it, and have it take the numbers behind the first one too."""
        super().add_to_parser(parser, ctx)
        for spelt in self.opts:
            option = parser._long_opt[spelt]
            option.process = partial(_with_the_rest, option.process)


def _with_the_rest(process: Callable[[Any, Any], None], value: str, state: Any) -> None:
    several = [value]
    while state.rargs and state.rargs[0].isdecimal():
        several.append(state.rargs.pop(0))
    process(" ".join(several), state)


class Sides(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """Whole numbers from 1 on: ``224 288``, or ``4096``."""

    name = "sides"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return them as a tuple."""
        if isinstance(value, tuple):
            return value
        several = str(value).split()
        if not several or not all(each.isdecimal() and int(each) > 0 for each in several):
            self.fail(f"{value!r} is not one or several whole numbers from 1 on", param, ctx)
        return tuple(map(int, several))


class Setting(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """An option of a method: name=value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return name and text; dashes in the name may stand for underscores."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} is not of the form name=value, for example samples=20", param, ctx)
        return name.strip().replace("-", "_"), text.strip()


class Held(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """What an input is held at: its name, which may have signs of its own, and a file or numbers."""

    name = "name=file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Return the input's name and the text behind the last sign of equality."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).rpartition("=")
        if not equals or not name.strip() or not text.strip():
            self.fail(f"{value!r} is not of the form NAME=FILE, for example state=state.npy or sr=16000", param, ctx)
        return name.strip(), text.strip()


def each_once(
    ctx: click.Context, param: click.Parameter, given: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Return what inputs are held at. Raises: click.BadParameter: one is held at two things."""
    names = [name for name, _ in given]
    if twice := [name for at, name in enumerate(names) if name in names[:at]]:
        raise click.BadParameter(f"{twice[0]!r} is held at two things: leave one of them out", ctx, param)
    return given


class Names(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.5 on, not before
    """Names with commas between them."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in order, each once."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(part.strip() for part in str(value).split(",") if part.strip()))
        if not names:
            self.fail(f"{value!r} names nothing: expected a name, or several between commas", param, ctx)
        return names


class Methods(Names):
    """Methods with commas between them, without options."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names in order, each once."""
        if not isinstance(value, tuple):
            self._check_brackets(str(value), param, ctx)
        return super().convert(value, param, ctx)

    def _check_brackets(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> None:
        """Brackets are how ``onnxsal evaluate`` takes options: what is meant is known, so it is said."""
        from onnxsal.methods import catalogue

        for name, inside in re.findall(r"([^\s,\[\]]+)\[([^\]]*)", text):
            if name in catalogue.names():
                options = "".join(f" -O {part.strip()}" for part in inside.split(",") if part.strip())
                self.fail(f"options go with -O here: -m {name}{options or ' -O NAME=VALUE'}", param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Return the methods that what is typed may become."""
        from click.shell_completion import CompletionItem

        from onnxsal.methods import catalogue

        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + name) for name in catalogue.names() if name.startswith(last)]


class OneMethod(Methods):
    """A method, without options."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return its name."""
        self._check_brackets(str(value), param, ctx)
        return str(value)


class Once(click.Command):
    """A command that refuses a second value of an option that takes one: click keeps the last and says nothing."""

    reasons: Mapping[str, str] = {}
    """Why there is one value, by the option's name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Fill the context from arguments. Raises: UsageError: an option of one value is given twice."""
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for param, count in Counter(order).items():
            if count > 1 and isinstance(param, click.Option) and not (param.multiple or param.is_flag):
                reason = self.reasons.get(str(param.name), "it takes one value")
                raise click.UsageError(f"{param.opts[-1]} is given more than once: {reason}", ctx)
        return super().parse_args(ctx, args)


def model_argument(command: Command) -> Command:
    """Add MODEL."""
    return click.argument("model", type=click.Path())(command)


def images_argument(command: Command) -> Command:
    """Add IMAGE..."""
    return click.argument("images", metavar="IMAGE...", nargs=-1, required=True, type=click.Path())(command)


def text_option(command: Command) -> Command:
    """Add --text."""
    return click.option("--text", "text", is_flag=True, help="What is named are words, and no files.")(command)


def row_option(command: Command) -> Command:
    """Add --row."""
    return click.option(
        "--row", type=click.IntRange(1), metavar="N", help="Of a table: the one row that is meant, the first is 1."
    )(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")(command)


def loading_names() -> list[str]:
    """Return what opening a model depends on, by the names of parameters."""
    return [each.name for each in fields(Opening) if each.name != "model"]


def loading_options(command: Command) -> Command:
    """Add what opening a model depends on; the command is given all of it as one ``Opening``."""
    names = loading_names()

    @wraps(command)
    def gathered(**given: Any) -> Any:
        opening = Opening(str(given.get("model", "")), **{name: given.pop(name) for name in names})
        return command(opening=opening, **given)

    made = cast(Command, gathered)
    for option in reversed(_LOADING):
        made = option(made)
    return made


provider_option = click.option(
    "--provider", metavar="NAME", help="Where to run: cpu (default), cuda (cuda:1), or another that ONNX Runtime has."
)
threads_option = click.option(
    "--threads", type=click.IntRange(1), metavar="N", help="Processor threads of one run. By default one a core."
)
custom_ops_option = click.option(
    "--custom-ops",
    "custom_ops",
    metavar="LIBRARY",
    multiple=True,
    help="Load a library of custom operators. Only one that you trust: it is code. May be repeated.",
)
task_option = click.option(
    "--task", metavar="NAME", help="What the outputs mean, such as dense. By default what the graph proves."
)
size_option = click.option(
    "--size", cls=Several, type=Sides(), metavar="H W",
    help="Height and width to open the model for, where its file leaves them open; of a sequence its one length, N.",
)  # fmt: skip

_LOADING: list[Callable[[Any], Any]] = [
    click.option(
        "--preprocess", metavar="P",
        help="How the model wants its pictures: imagenet, unit, tf, caffe, clip, raw, or a JSON file. "
        "By default what the model or a file beside it says.",
    ),
    click.option("--labels", metavar="FILE", help="Class names: a line each, or JSON."),
    click.option(
        "--rate", type=click.IntRange(1), metavar="HZ",
        help="Of a model of sound: the samples a second that it takes. By default what the file or one beside it says.",
    ),
    click.option("--resample", is_flag=True, help="Bring a sound file to the model's rate, where it has another."),
    click.option("--mono", is_flag=True, help="Average the channels of a sound file, where the model takes one."),
    click.option(
        "--start", type=click.FloatRange(0), metavar="SECONDS", help="Of a sound file: what is left out in front."
    ),
    provider_option,
    custom_ops_option,
    task_option,
    threads_option,
    size_option,
    click.option("--head", metavar="NAME", help="The output that is explained. By default the main one."),
    click.option(
        "--activation", type=click.Choice(["softmax", "sigmoid", "none"]),
        help="What makes probabilities of the output; none: it holds them. By default what the graph proves.",
    ),
    click.option("--explained", metavar="NAME", help="The input that is explained, where there are several."),
    click.option(
        "--input", "inputs", type=Held(), multiple=True, metavar="NAME=FILE", callback=each_once,
        help="What another input is held at: a .npy file, numbers, words of token ids, or a picture. May be repeated.",
    ),
    click.option(
        "--threshold", type=click.FloatRange(0, 1), metavar="SCORE",
        help="Of a detector: the score above which something is detected. [default: 0.25]",
    ),
    click.option(
        "--iou", type=click.FloatRange(0, 1), metavar="IOU",
        help="Of a detector: the overlap above which two boxes of a class are one. By default 0.5, or its file's own.",
    ),
]  # fmt: skip
