"""The command ``onnxsal`` itself: its commands by name, each imported when it is needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from onnxsal._version import __version__
from onnxsal.errors import nearest

PROGRAM = "onnxsal"

COMMANDS = (
    "explain", "predict", "demo", "draw", "evaluate", "experiment", "diff", "study", "methods", "layers", "inspect",
    "gradient", "compile", "serve", "doctor", "completion",
)  # fmt: skip
"""In the order in which a newcomer wants them."""

_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

HELP = """Show what an exported ONNX model looked at.

\b
Try it without anything of your own:
  onnxsal demo

\b
A model and a photograph of yours:
  onnxsal predict model.onnx dog.jpg         what does the model see?
  onnxsal explain model.onnx dog.jpg         where? writes dog.grad-cam++.png
  onnxsal explain model.onnx dog.jpg -m grad-cam++,score-cam,smoothgrad
                                             several methods in one picture
  onnxsal methods                            which method is for what

Every command explains itself: onnxsal COMMAND --help.
"""


class Root(click.Group):
    """A group that imports a command's file only for that command, and suggests the nearest name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"onnxsal.cli.commands.{cmd_name}").command
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; Ctrl-C ends it in click's own way, without the blank line that click would print."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.Abort from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises: UsageError: there is none."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(_no_command(args), ctx)
        return super().resolve_command(ctx, args)


def _no_command(args: list[str]) -> str:
    first = args[0]
    if Path(first).suffix.lower() == ".onnx":
        wanted = "explain" if len(args) > 1 else "inspect"
        return f"the command is missing; did you mean '{PROGRAM} {wanted} {' '.join(args)}'?"
    return f"there is no command {first!r}{nearest(first, COMMANDS)}"


@click.group(cls=Root, help=HELP, invoke_without_command=True, context_settings=_SETTINGS)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback behind an error message.")
@click.pass_context
def root(context: click.Context) -> None:
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
