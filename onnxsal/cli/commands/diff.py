"""``onnxsal diff``: do two models look at the same things?"""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.options import OneMethod, Setting, images_argument, json_option, loading_options
from onnxsal.importing import uncollected

HELP = """Compare where two models look: A against B on every IMAGE (files, folders, patterns).

Both explain one class, by default what A predicts. Printed are how often they predict the same, how their maps agree
(cosine, structural similarity, rank correlation; 1 is the same), and the pictures where they differ most. Of two
detectors every object that they find is compared, matched by label and overlap.

\b
Examples:
  onnxsal diff float.onnx int8.onnx photos/*.jpg
  onnxsal diff v1.onnx v2.onnx photos/ -m smoothgrad -o worst.png --report drift.html
"""


@click.command("diff", help=HELP, short_help="Do two models look at the same things?")
@click.argument("first", metavar="A", type=click.Path())
@click.argument("second", metavar="B", type=click.Path())
@images_argument
@click.option("-m", "--method", type=OneMethod(), metavar="METHOD", help="[default: as for explain]")
@click.option("-t", "--target", metavar="TARGET", help="Class by name or number; by default what A predicts.")
@click.option("-l", "--layer", metavar="LAYER", help="Layer of A, and of B unless --layer-b; by default chosen.")
@click.option("--layer-b", metavar="LAYER", help="Layer of B.")
@click.option("-O", "--option", "settings", type=Setting(), multiple=True, metavar="NAME=VALUE", help="Of the method.")
@click.option("--worst", type=click.IntRange(1, 20), default=4, metavar="N", help="Pictures in OUT. [default: 4]")
@click.option("-o", "--output", metavar="OUT", help="Picture of where they differ most.")
@click.option("--report", metavar="FILE", help="One self-contained page (.html) with all of it.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of all random draws.")
@click.option("--preprocess-b", metavar="P", help="How B wants its pictures, where --preprocess is for A alone.")
@click.option("--labels-b", metavar="FILE", help="Class names of B, where --labels are for A alone.")
@loading_options
@json_option
def command(**given: Any) -> int:
    with uncollected():
        from onnxsal.cli.actions.diff import Asked, diff_models

    return diff_models(Asked(**given))
