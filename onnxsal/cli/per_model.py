"""Options of a command that opens several models: of all of them, or ``NAME=...`` of one."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from onnxsal.cli.opening import Opening
from onnxsal.cli.options import Several, loading_names
from onnxsal.errors import UsageError
from onnxsal.serving.sharing import named

SHARED = ("provider", "threads")
"""What models of one process share."""
ADDED = ("custom_ops", "inputs")
"""What may be said several times: what is said of one model comes to what is said of all."""

_OWN = "onnxsal.own"


class PerModel(click.Command):
    """A command of MODELS each of whose loading options may be of one of them: ``--labels cats=cats.txt``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what is left of the arguments; what is said of single models is for ``own_options``."""
        names = loading_names()
        loading = [p for p in self.params if isinstance(p, click.Option) and p.name in names]
        options = {spelt: option for option in loading for spelt in option.opts}
        general, own = args, dict[str, list[str]]()
        if not ctx.resilient_parsing:
            general, own = apart(args, options, self._models(ctx, args, options))
        rest = super().parse_args(ctx, general)
        ctx.meta[_OWN] = {name: _parsed(ctx, loading, tokens) for name, tokens in own.items()}
        return rest

    def _models(self, ctx: click.Context, args: Sequence[str], options: Mapping[str, Any]) -> Collection[str]:
        """Return what the models are called, none where that is wrong, which is said when they are opened."""
        plain = [each for each in args if not (_is_flag(options.get(each.partition("=")[0])) and "=" in each)]
        said = self.make_parser(ctx).parse_args(plain)[0].get("models")
        try:
            return named(said) if isinstance(said, tuple) else ()  # nothing said is None, from click 8.3 on a sentinel
        except UsageError:
            return ()


def own_options(ctx: click.Context) -> Mapping[str, Mapping[str, Any]]:
    """Return what was said of single models, by their names."""
    found: Mapping[str, Mapping[str, Any]] = ctx.meta.get(_OWN, {})
    return found


def opening_for(opening: Opening, own: Mapping[str, Any]) -> Opening:
    """Return what a model is opened with, what was said of it alone before what was said of all."""
    said: dict[str, Any] = {n: (*getattr(opening, n), *v) if n in ADDED else v for n, v in own.items()}
    return replace(opening, **said)


def apart(
    args: Sequence[str], options: Mapping[str, click.Option], names: Collection[str]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the arguments of all models, and those of single ones by name, without it.

    A file that is called so is taken for itself, and an input that is called as a model needs the model in front too.
    Raises: click.BadParameter: models share what is said of one.
    """
    rest, general, own = list(args), list[str](), defaultdict[str, list[str]](list)
    while rest and rest[0] != "--":
        token = rest.pop(0)
        spelt, equals, value = token.partition("=")
        option = options.get(spelt)
        if option is None or (_is_flag(option) and value not in names) or not (equals or rest or _is_flag(option)):
            general.append(token)
            continue
        if _is_flag(option):
            own[value].append(spelt)
            continue
        said = [value if equals else rest.pop(0)]
        while isinstance(option, Several) and rest and rest[0].isdecimal():
            said.append(rest.pop(0))
        name, of_one = _of_one(option, said[0], names)
        if name is None:
            general += [token, *said[1:]] if equals else [token, *said]
        else:
            own[name] += [spelt, of_one, *said[1:]]
    return general + rest, dict(own)


def _of_one(option: click.Option, value: str, names: Collection[str]) -> tuple[str | None, str]:
    """Return which model an option's value is of, None for all, and the value without."""
    name, equals, own = value.partition("=")
    if not equals or name not in names or os.path.exists(value) or (option.name == "inputs" and "=" not in own):
        return None, value
    if option.name in SHARED:
        raise click.BadParameter(f"all models share it: leave {name}= out", param=option)
    return name, own


def _is_flag(option: Any) -> bool:
    return isinstance(option, click.Option) and option.is_flag


def _parsed(ctx: click.Context, options: Sequence[click.Parameter], tokens: list[str]) -> dict[str, Any]:
    """Return the values of options that were said, as the command itself would have them."""
    command = click.Command(ctx.command.name, params=list(options), add_help_option=False)
    with command.make_context(ctx.info_name, tokens, parent=ctx.parent) as inner:
        return {n: v for n, v in inner.params.items() if inner.get_parameter_source(n) is ParameterSource.COMMANDLINE}
