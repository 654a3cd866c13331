"""``onnxsal inspect``: what the graph proves about a model."""

from __future__ import annotations

import click

from onnxsal.cli.opening import Opening
from onnxsal.cli.options import json_option, loading_options, model_argument
from onnxsal.importing import uncollected

HELP = """Show what is known of the MODEL: its input, scores, layers, preprocessing and labels; how much work it is; and
which methods apply, with what each costs. Of a file that `onnxsal compile` made: what it explains, and how."""


@click.command("inspect", help=HELP, short_help="Show what is known of a model.")
@model_argument
@loading_options
@json_option
def command(model: str, opening: Opening, as_json: bool) -> None:
    with uncollected():
        from onnxsal.cli.actions.compile import print_explainer
        from onnxsal.cli.actions.inspect import opened_or_why, print_file, print_model
        from onnxsal.compiler.compile import explainer

    known = explainer(model)
    if known is not None:
        return print_explainer(model, known, as_json=as_json)
    opened = opened_or_why(opening)
    if isinstance(opened, str):
        return print_file(model, opened, as_json=as_json)
    print_model(opened, as_json=as_json)
