"""``onnxsal inspect``: what the graph proves about a model."""

from __future__ import annotations

import click

from onnxsal.cli.options import json_option, loading_options, model_argument

HELP = """Show what is known of the MODEL: its input, scores, layers, preprocessing and labels; how much work it is; and
which methods apply, with what each costs. Of a file that `onnxsal compile` made: what it explains, and how."""


@click.command("inspect", help=HELP, short_help="Show what is known of a model.")
@model_argument
@loading_options
@json_option
def command(as_json: bool, **opening: object) -> None:
    from onnxsal.cli.actions.compile import print_explainer
    from onnxsal.cli.actions.inspect import print_model
    from onnxsal.cli.opening import Opening
    from onnxsal.compiler.compile import explainer

    name = str(opening["model"])
    known = explainer(name)
    if known is not None:
        return print_explainer(name, known, as_json=as_json)
    print_model(Opening(**opening)(), as_json=as_json)  # type: ignore[arg-type]
