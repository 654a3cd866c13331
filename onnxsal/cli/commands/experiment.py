"""``onnxsal experiment``: the papers' experiments, on any model; one subcommand each."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.options import Setting, images_argument, json_option, loading_options, model_argument
from onnxsal.errors import UsageError
from onnxsal.experiments import catalogue
from onnxsal.importing import uncollected

HELP = """Repeat an experiment of the papers on your MODEL: numbers on the terminal, a figure in OUT.

\b
Examples:
  onnxsal experiment noise-grid model.onnx dog.jpg -o grid.png
  onnxsal experiment fluctuation model.onnx dog.jpg -O pixel=80,120 -o path.png
  onnxsal experiment discrimination model.onnx dog.jpg cat.jpg bus.jpg -o two.png

Which options (-O) an experiment takes: onnxsal experiment NAME --help. Figures and results, with what they mean:
docs/experiments.md.
"""


class Described(click.Command):
    """A command that reads the experiment's options when its help is asked for."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the experiment's own options, with their defaults, and its source."""
        from onnxsal.cli.actions.experiment import described

        found = catalogue.get(str(self.name))
        with formatter.section("Options of the experiment (-O name=value)"):
            formatter.write_dl(described(found))
        formatter.write_paragraph()
        formatter.write_text(f"Source: {found.paper}")


class Experiments(click.Group):
    """A group that makes an experiment's command when it is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all experiments."""
        return list(catalogue.NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of one experiment, or None."""
        return _command(cmd_name) if cmd_name in catalogue.NAMES else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first argument names. Raises: UsageError: there is none."""
        if args and not args[0].startswith("-") and args[0] not in catalogue.NAMES:
            try:
                catalogue.get(args[0])
            except UsageError as error:
                raise click.UsageError(str(error), ctx) from None
        return super().resolve_command(ctx, args)


def _command(name: str) -> click.Command:
    said = catalogue.NAMES[name]
    what = f"{said[:1].upper()}{said[1:]}."

    @loading_options
    @json_option
    @click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of all random draws.")
    @click.option("-l", "--layer", metavar="LAYER", help="For methods of a layer; by default chosen.")
    @click.option("-t", "--target", metavar="TARGET", help="Class by name or number; by default what is predicted.")
    @click.option(
        "-O", "--option", "settings", type=Setting(), multiple=True, metavar="NAME=VALUE", help="Of the experiment."
    )
    @click.option("-o", "--output", metavar="OUT", help=f"Figure to write. [default: {name}.png in this folder]")
    @model_argument
    @images_argument
    def run(**given: Any) -> int:
        with uncollected():
            from onnxsal.cli.actions.experiment import Asked, run_experiment

        return run_experiment(Asked(name=name, **given))

    return click.command(name, cls=Described, help=what, short_help=said)(run)


@click.group("experiment", cls=Experiments, help=HELP, short_help="Repeat the papers' experiments on your model.")
def command() -> None:
    pass
