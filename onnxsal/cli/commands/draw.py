"""``onnxsal draw``: pictures of maps that were kept as data."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.importing import uncollected

HELP = """Draw the maps that `onnxsal explain --out MAPS` kept, on the photographs that they are of.

A photograph is looked for in the folder by its id, which is its path in the folder that was explained, then below
it. Those that are not found, or are of another size, are named and left out; the exit status is then 1.

\b
Examples:
  onnxsal draw maps.parquet --images photos/
      the pictures that explain would have drawn -> dog.grad-cam++.png
  onnxsal draw maps.parquet --images photos/ --kind heat --colours viridis -o "drawn/{folder}-{stem}.{target}.png"
"""


@click.command("draw", help=HELP, short_help="Draw maps that were kept as data.")
@click.argument("maps", type=click.Path())
@click.option("--images", required=True, metavar="FOLDER", help="Where the photographs are.")
@click.option(
    "-o",
    "--output",
    metavar="PICTURE",
    help="Picture to write (.png, .jpg, .webp, ...); {stem} and {folder} of the image, {method} and {target} are "
    "filled in. [default: {stem}.{method}.png in this folder]",
)
@click.option(
    "--kind",
    type=click.Choice(["overlay", "heat", "product"]),
    default="overlay",
    help="On the photograph (default), the map alone, or the picture dimmed by it.",
)
@click.option("--colours", metavar="NAME", help="Colour map, for example viridis. [default: inferno; vik if signed]")
def command(**given: Any) -> int:
    with uncollected():
        from onnxsal.cli.actions.draw import Asked, draw_all

    return draw_all(Asked(**given))
