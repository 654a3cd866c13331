"""``onnxsal compile``: a model with its explanation, as one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from onnxsal.cli.options import Names, Once, OneMethod, Setting, loading_options, model_argument
from onnxsal.importing import uncollected

HELP = """Write the MODEL together with its explanation, as one standard .onnx file.

It gives what the MODEL gives, and `saliency`; it runs without onnxsal and without Python. Fed false as `explain`, it
computes the prediction alone, at the MODEL's own cost.

\b
Examples:
  onnxsal compile model.onnx -o model.explained.onnx
      Grad-CAM++ for the class that is predicted
  onnxsal compile model.onnx -m score-cam -t input -o out.onnx
      Score-CAM for the class that is fed as `target`
  onnxsal compile detector.onnx -m layercam -t input@input --give saliency,detections -o out.onnx
      what is detected, and LayerCAM for the class and the box that are fed
  onnxsal compile model.onnx -m smoothgrad -O samples=20 --bytes-in --give drawing -o out.onnx
      bytes [B, H, W, 3] in, the map drawn over them out

  onnxsal compile pipeline.onnx --background train.csv -t 1 -o out.onnx
      rows of a table in, what it predicts and what each column adds to the score out

What a file says of itself: onnxsal inspect out.onnx
"""


class Seed(click.IntRange):
    """A whole number of 32 bits, or ``input``."""

    def __init__(self) -> None:
        super().__init__(0, 2**32 - 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or ``input``."""
        try:
            return value if value == "input" else super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r}: expected a whole number from 0 to {2**32 - 1}, or input", param, ctx)


class OneFile(Once):
    """What is written is one explanation."""

    reasons: Mapping[str, str] = {
        "method": "a file holds one method; write a file for each",
        "target": "a file holds one target; write a file for each, or take it as an input (-t input)",
    }


@click.command("compile", cls=OneFile, help=HELP, short_help="Write a model that explains itself, as one file.")
@model_argument
@click.option("-m", "--method", type=OneMethod(), metavar="METHOD", help="[default: as for explain]")
@click.option(
    "-t",
    "--target",
    metavar="TARGET",
    help='Class by name or number, "A minus B", an element "NAME[0, 3]", a place CLASS@X,Y, like:FILE, or "input" for '
    "an input `target` (of an embedding `reference`); of a detector CLASS@L,T,R,B, CLASS@input for an input `box` "
    "(of regions `region`), input@input for both. By default what the model predicts.",
)
@click.option("-l", "--layer", "layers", multiple=True, metavar="LAYER", help="As for explain. Several are fused.")
@click.option("-O", "--option", "settings", type=Setting(), multiple=True, metavar="NAME=VALUE", help="Of the method.")
@click.option(
    "--background",
    metavar="FILE",
    help="Of rows of a table: rows that columns are replaced from. They go into the file.",
)
@click.option("--score", metavar="S", help="Explain the logit or the probability. By default as the method says.")
@click.option(
    "--seed",
    type=Seed(),
    default=0,
    metavar="N",
    help='Of all random draws; "input" for an input `seed`, one for each thing.',
)
@click.option(
    "--give",
    type=Names(),
    multiple=True,
    metavar="NAMES",
    help="saliency (default), raw (at the layer's resolution), drawing (in colour), detections (of a detector); "
    "several with commas, or repeated.",
)
@click.option("--bytes-in", is_flag=True, help="Make preprocessing part of the file: bytes [B, H, W, 3] go in.")
@click.option("--mask-in", is_flag=True, help="Of texts: the mask is an input too, for texts padded to one length.")
@click.option(
    "--opset", type=int, metavar="N", help="17 (18 where noise is drawn) or higher. [default: 21 or the model's]"
)
@click.option("--keep-custom", is_flag=True, help="Keep operators outside the standard domain.")
@click.option("--keep-random", is_flag=True, help="Keep operators that draw random numbers: no two runs are alike.")
@click.option(
    "--explain-required", is_flag=True, help="Give `explain` no default: JavaScript feeds no input that has one."
)
@click.option(
    "--runtime",
    metavar="NAME",
    help="Write the forms of triton, openvino, web, tensorrt or node, and say what it computes otherwise. For triton "
    "-o FOLDER/ writes a model repository.",
)
@click.option(
    "--when",
    metavar="CONDITION",
    help='Explain only where it holds, such as "score < 0.6"; also probability, logit, margin, and <= > >=.',
)
@click.option("--no-if", is_flag=True, help="Always explain: without the input `explain` and the If behind it.")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Take N things at a time: every shape is fixed.")
@click.option("--unroll", is_flag=True, help="Write loops out turn by turn, 256 at most (with --batch).")
@click.option(
    "--noise",
    "noise_as",
    type=click.Choice(["operators", "constants"]),
    default="operators",
    help="Let operators draw noise, or hold it in the file: the same bits. [default: operators]",
)
@click.option("--fold-weights", is_flag=True, help="Compute what depends on weights alone, such as their transposes.")
@click.option("-o", "--output", required=True, metavar="FILE", help="Model to write; of --runtime triton also FOLDER/.")
@loading_options
def command(**given: Any) -> None:
    with uncollected():
        from onnxsal.cli.actions.compile import write_compiled

    given["give"] = tuple(dict.fromkeys(name for names in given["give"] for name in names)) or ("saliency",)
    del given["model"]  # the opening has it
    write_compiled(**given)
