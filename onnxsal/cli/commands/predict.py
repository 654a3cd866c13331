"""``onnxsal predict``: what a model sees in pictures, and how it wants to be given them."""

from __future__ import annotations

import click

from onnxsal.cli.opening import Opening, notes_of, tell
from onnxsal.cli.options import images_argument, json_option, loading_options, model_argument, row_option, text_option
from onnxsal.importing import uncollected

HELP = """Show the classes that the MODEL sees in each IMAGE, of a detector the boxes.

Where neither the model nor a file beside it says how pictures are prepared, the classes under every usual
preparation are shown, so that you can pick the one that names what is on the picture.

\b
Examples:
  onnxsal predict model.onnx dog.jpg
  onnxsal predict model.onnx dog.jpg --preprocess imagenet --top 3
  onnxsal predict segmenter.onnx street.jpg -o regions.png
      the regions of classes, drawn on the photograph
  onnxsal predict detector.onnx street.jpg --threshold 0.4 -o boxes.png
      what a detector finds: label, score, #k and box
  onnxsal predict pipeline.onnx rows.csv
      a line for each row of a table; one of them with --row 3
"""


@click.command("predict", help=HELP, short_help="Show what the model sees, and find its preprocessing.")
@model_argument
@images_argument
@click.option(
    "--top",
    type=click.IntRange(1),
    default=None,
    metavar="N",
    help="How many classes. [default: 5, and all that is detected]",
)
@row_option
@text_option
@loading_options
@json_option
@click.option(
    "-o", "--output", metavar="PICTURE",
    help="Also draw the regions of classes, or the boxes; {stem} and {folder} of the image are filled in.",
)  # fmt: skip
def command(
    model: str,
    images: tuple[str, ...],
    top: int | None,
    opening: Opening,
    as_json: bool,
    output: str | None,
    text: bool,
    row: int | None,
) -> int:
    with uncollected():
        from onnxsal.cli.actions.predict import are_taken, drawings, predict_all, try_all
        from onnxsal.cli.actions.predict_rows import predict_rows
        from onnxsal.cli.images import said
        from onnxsal.cli.tables import as_table_of

    images = said(images, words=text)
    pictures = drawings(output, images, opening)
    opened = opening()
    if output is None and (model_of_rows := as_table_of(opened, images, asked="" if row is None else "--row")):
        tell(model_of_rows.notes)
        return predict_rows(model_of_rows, images, top, row, as_json=as_json)
    tell(notes_of(opened, images))
    unsaid = opened.preprocess is None and opened.modality.preprocessed
    if unsaid and opened.anatomy.entry.channels in (1, 3) and not are_taken(opened, images):
        return try_all(opened, opening, images, as_json=as_json, drawn=output is not None)
    tell(opened.placement)
    return predict_all(opened, images, top, as_json=as_json, pictures=pictures)
