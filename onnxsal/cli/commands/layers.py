"""``onnxsal layers``: the layers that maps can be made of."""

from __future__ import annotations

import click

from onnxsal.cli.options import custom_ops_option, json_option, model_argument, provider_option, task_option

HELP = """List the layers of the MODEL that maps can be made of.

Name one to `onnxsal explain -l` by its number (#n), its name, or the end of its name where only one ends so.
The one marked * is taken when none is named: the last that sees every place of the picture, in front of a
further weighted operator.
"""


@click.command("layers", help=HELP, short_help="List the layers that maps can be made of.")
@model_argument
@provider_option
@custom_ops_option
@task_option
@json_option
def command(model: str, provider: str | None, custom_ops: tuple[str, ...], task: str | None, as_json: bool) -> None:
    from onnxsal.cli.actions.inspect import print_layers
    from onnxsal.cli.opening import Opening

    print_layers(Opening(model, provider=provider, custom_ops=custom_ops, task=task)(), as_json=as_json)
