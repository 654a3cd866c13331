"""``onnxsal predict``: what a model sees in pictures, and how it wants to be given them."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.options import images_argument, json_option, loading_options, model_argument

HELP = """Show the classes that the MODEL sees in each IMAGE.

Where neither the model nor a file beside it says how pictures are prepared, the classes under every usual
preparation are shown, so that you can pick the one that names what is on the picture.

\b
Examples:
  onnxsal predict model.onnx dog.jpg
  onnxsal predict model.onnx dog.jpg --preprocess imagenet --top 3
"""


@click.command("predict", help=HELP, short_help="Show what the model sees, and find its preprocessing.")
@model_argument
@images_argument
@click.option("--top", type=click.IntRange(1), default=5, metavar="N", help="How many classes. [default: 5]")
@loading_options
@json_option
def command(images: tuple[str, ...], top: int, as_json: bool, **opening: Any) -> int:
    from onnxsal.cli.actions.predict import predict_all, try_all
    from onnxsal.cli.opening import Opening, tell

    wanted = Opening(**opening)
    model = wanted()
    tell(model.notes)
    if model.preprocess is None and model.modality.preprocessed:
        return try_all(model, wanted, images, as_json=as_json)
    tell(model.placement)
    return predict_all(model, images, top, as_json=as_json)
