"""``onnxsal methods``: which method is for what, what it costs, who brings it."""

from __future__ import annotations

import click

from onnxsal.cli.options import json_option, provider_option
from onnxsal.importing import uncollected

HELP = """List the methods: when to choose each, what it costs, which package brings it.

With a MODEL the cost is in seconds on this machine, from forward and backward passes measured here. With
-m NAME everything about one method: its options, their defaults, its source, and with a MODEL its cost there.

\b
Examples:
  onnxsal methods
  onnxsal methods model.onnx
  onnxsal methods -m ss-cam
"""


@click.command("methods", help=HELP, short_help="List the methods, and when to choose which.")
@click.argument("model", required=False, type=click.Path())
@click.option("-m", "--method", metavar="METHOD", help="Show everything about one method.")
@provider_option
@json_option
def command(model: str | None, method: str | None, provider: str | None, as_json: bool) -> None:
    with uncollected():
        from onnxsal.cli.actions.methods import print_method, print_methods
        from onnxsal.cli.opening import Opening

    opened = None if model is None else Opening(model, provider=provider)
    if method is not None:
        print_method(method, opened, as_json=as_json)
        return
    print_methods(None if opened is None else opened(), as_json=as_json)
