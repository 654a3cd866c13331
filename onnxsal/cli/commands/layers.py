"""``onnxsal layers``: the layers that maps can be made of."""

from __future__ import annotations

import click

from onnxsal.cli.opening import Opening
from onnxsal.cli.options import json_option, loading_options, model_argument
from onnxsal.importing import uncollected

HELP = """List the layers of the MODEL that maps can be made of.

Name one to `onnxsal explain -l` by its number (#n), its name, or the end of its name where only one ends so.
The one marked * is taken when none is named: the last that sees every place of the picture, in front of a
further weighted operator.
"""


@click.command("layers", help=HELP, short_help="List the layers that maps can be made of.")
@model_argument
@loading_options
@json_option
def command(model: str, opening: Opening, as_json: bool) -> None:
    with uncollected():
        from onnxsal.cli.actions.inspect import opened_or_why, print_layers, print_no_layers

    opened = opened_or_why(opening)
    if isinstance(opened, str):
        return print_no_layers(opened, as_json=as_json)
    print_layers(opened, as_json=as_json)
