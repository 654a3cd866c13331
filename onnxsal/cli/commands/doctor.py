"""``onnxsal doctor``: what is installed, what works here, and how to get what is missing."""

from __future__ import annotations

import click

from onnxsal.cli.options import json_option

HELP = """Say what is installed, what works on this machine, and how to get what is missing.

It explains the bundled scene, so that what it says of explaining is seen and not read off a list. It ends with 0 where
explaining works, and with 1 where it does not. Nothing is written and nothing is sent: what it prints may go into a
report of a fault, paths are not in it.
"""


@click.command("doctor", help=HELP, short_help="Say what works here, and how to get what is missing.")
@json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    from onnxsal.cli.actions.doctor import examined, print_examined

    found = examined()
    print_examined(found, as_json=as_json)
    context.exit(0 if found.well else 1)
