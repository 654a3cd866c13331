"""``onnxsal study``: ask people which maps they trust, and count what they say."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.options import Methods, Setting, json_option, loading_options
from onnxsal.importing import uncollected

HELP = """Write a page that asks people which map they trust, or count their answers (--tally).

IMAGE is a file, a folder or a pattern. The page is one file for any browser, on a phone too. It shows each picture with
its maps in random order, the methods unnamed, collects the choices and saves them as a file for you. Nothing is sent
anywhere.

\b
Examples:
  onnxsal study model.onnx photos/*.jpg -m grad-cam++,score-cam,ss-cam -o study.html
  onnxsal study --tally answers-*.json
  onnxsal study --tally answers-*.json -o trust.png --json
"""


@click.command("study", help=HELP, short_help="Ask people which maps they trust, and count.")
@click.argument("files", metavar="MODEL IMAGE... | --tally ANSWERS...", nargs=-1, required=True, type=click.Path())
@click.option("--tally", is_flag=True, help="Count files of answers instead; -o writes a figure.")
@click.option(
    "-m", "--method", "methods", type=Methods(), default="grad-cam,grad-cam++,score-cam", metavar="METHOD,METHOD",
    help="Two to nine. [default: grad-cam,grad-cam++,score-cam]",
)  # fmt: skip
@click.option("-t", "--target", metavar="TARGET", help="Class by name or number; by default what is predicted.")
@click.option("-O", "--option", "settings", type=Setting(), multiple=True, metavar="NAME=VALUE", help="Of the methods.")
@click.option("--question", metavar="TEXT", help="What people are asked; {label} is filled in.")
@click.option("-o", "--output", metavar="FILE", help="Page to write. [default: study.html]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of orders and other draws.")
@loading_options
@json_option
def command(**given: Any) -> int:
    with uncollected():
        from onnxsal.cli.actions.study import Asked, run_study

    return run_study(Asked(**given))
