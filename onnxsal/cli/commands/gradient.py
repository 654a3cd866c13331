"""``onnxsal gradient``: a model with its gradient graph, as a file."""

from __future__ import annotations

import click

from onnxsal.cli.options import Held, each_once, model_argument
from onnxsal.importing import uncollected

HELP = """Write the MODEL with its gradient: standard operators, all inputs and outputs kept.

For each value named by --of an input seed/VALUE is added (what its gradient is multiplied with), for each named
by --wrt an output grad/VALUE.

\b
Example; OUTPUT and INPUT stand for names that `onnxsal inspect MODEL` shows:
  onnxsal gradient model.onnx --of OUTPUT --wrt INPUT -o model.grad.onnx
"""


@click.command("gradient", help=HELP, short_help="Write a model with its gradient graph.")
@model_argument
@click.option("--of", "of", multiple=True, required=True, metavar="VALUE", help="Float value to differentiate.")
@click.option(
    "--wrt",
    "wrt",
    multiple=True,
    required=True,
    metavar="VALUE",
    help="By which: an input, a value inside, or a weight. Both may be repeated.",
)
@click.option("-o", "--output", required=True, metavar="FILE", help="Model to write.")
@click.option("--rules", default="plain", metavar="RULES", help="plain (default), guided, deconv or attnlrp.")
@click.option("--opset", type=int, metavar="N", help="17 or higher. [default: 21 or the model's]")
@click.option(
    "--input", "inputs", type=Held(), multiple=True, metavar="NAME=FILE", callback=each_once,
    help="What an input is held at inside the file: a .npy file, or numbers. May be repeated.",
)  # fmt: skip
def command(
    model: str, of: tuple[str, ...], wrt: tuple[str, ...], output: str, rules: str, opset: int | None,
    inputs: tuple[tuple[str, str], ...],
) -> None:  # fmt: skip
    from pathlib import Path

    from onnxsal.cli.opening import tell
    from onnxsal.cli.outputs import check_model, check_outputs

    check_outputs([Path(output)], [model])
    check_model(output)
    with uncollected():
        from onnxsal.autodiff import gradient_model
        from onnxsal.autodiff.gradient import ZERO
        from onnxsal.graph import load_ir, save_ir, told_of_files
        from onnxsal.model.held import fixed

    # Not by way of a message, which would not know in which folder external weights lie, and is bound to 2 GiB.
    given = load_ir(model)
    made = gradient_model(fixed(given, dict(inputs)), of=of, wrt=wrt, rules=rules, opset=opset)
    save_ir(made, output, source=given)
    tell(told_of_files(made, output))
    tell([f"{k.removeprefix(ZERO)} is {why}" for k, why in made.metadata_props.items() if k.startswith(ZERO)])
    print(output)
