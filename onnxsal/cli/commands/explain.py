"""``onnxsal explain``: maps of pictures, drawn on them."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.chunks import chunk_options
from onnxsal.cli.options import (
    Methods,
    Setting,
    Size,
    images_argument,
    json_option,
    loading_options,
    model_argument,
    row_option,
    text_option,
)
from onnxsal.importing import uncollected

HELP = """Draw on each IMAGE where the MODEL looked; of a folder on the pictures in it and below.

\b
Examples:
  onnxsal explain model.onnx dog.jpg
      Grad-CAM++ for the class that the model predicts -> dog.grad-cam++.png
  onnxsal explain model.onnx dog.jpg -m grad-cam++,score-cam,smoothgrad
      three methods side by side in one picture
  onnxsal explain model.onnx dog.jpg -t "tabby" -t "Egyptian cat"
      two classes, by name or number, a picture each
  onnxsal explain model.onnx dog.jpg -t "tabby minus Egyptian cat"
      what speaks for the one rather than for the other
  onnxsal explain model.onnx */*.jpg -m ss-cam -O samples=10 -o "{folder}-{stem}.png"
      many pictures, an option of the method, names of your own
  onnxsal explain model.onnx photographs -o "maps/{stem}.jpg" --skip-existing
      a folder, going on where an earlier run stopped
  onnxsal explain model.onnx photos/ --out maps.parquet
      the maps of a folder as data, without pictures: onnxsal draw maps.parquet --images photos/


  onnxsal explain model.onnx "a text"
      words, of models of token ids with their tokenizer.json beside them: also - (what comes in), a .txt file

  onnxsal explain vad.onnx meeting.wav -m gradient --input sr=16000 --chunk 576 --hop 512 --unrolled 8 --sound part.wav
      a recording, chunk by chunk, and what of it mattered to the surest chunk as a sound

  onnxsal explain pipeline.onnx rows.csv --background train.csv -o beeswarm.png --out values.csv
      what each column of a table counts for: bars of one row (--row 3), a beeswarm of many, a table of all

Ctrl-C ends a method that runs many times with its map so far (-O keep_partial=false: with nothing).
Results are printed, notes and progress go to stderr. What methods there are: onnxsal methods. Which options
a method takes: onnxsal methods -m METHOD.
"""


@click.command("explain", help=HELP, short_help="Draw where the model looked, on the photograph.")
@model_argument
@images_argument
@click.option(
    "-m",
    "--method",
    "methods",
    type=Methods(),
    multiple=True,
    metavar="METHOD[,METHOD]",
    help="Method, or several for a comparison in one picture. [default: grad-cam++; without a layer gradient; of texts "
    "integrated-gradients; of rows of a table shapley]",
)
@click.option(
    "-t",
    "--target",
    "targets",
    multiple=True,
    metavar="TARGET",
    help='Class by name or number, or "A minus B"; of an embedding like:FILE; of regions also cat@X,Y, '
    "cat@LEFT,TOP,RIGHT,BOTTOM in the photograph's pixels, cat@MASK.png; of detections #2, all, "
    "cat@LEFT,TOP,RIGHT,BOTTOM, '#1 left', '#1 mask', '#1 keypoint 5 x', '#1 angle'; of tokens 'B-PER at WORD', "
    "'at #3'; next, or the next token's text; like:WORDS; of steps of time '#12', 1.2s, 'LABEL at #12', a "
    "word. By default what the model predicts. May be repeated.",
)
@click.option(
    "-l",
    "--layer",
    "layers",
    multiple=True,
    metavar="LAYER",
    help="Layer by name, end of its name, or #n of `onnxsal layers`. By default chosen. Several are fused.",
)
@click.option(
    "-O",
    "--option",
    "settings",
    type=Setting(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the method, for example samples=20. May be repeated.",
)
@click.option(
    "-o",
    "--output",
    metavar="PICTURE",
    help="Picture to write (.png, .jpg, .webp, ...), of texts also a page (.html); {stem} and {folder} of the image, "
    "{method} and {target} are filled in. "
    "[default: {stem}.{method}.png in this folder]",
)
@click.option("--npz", metavar="FILE", help="Also write the numbers, as arrays of NumPy; {stem} and so on as above.")
@click.option(
    "--sound", metavar="FILE",
    help="Also write what matters of a sound as a sound (.wav, .flac): its waveform times the map; {stem} and so on as "
    "above.",
)  # fmt: skip
@click.option(
    "--out",
    metavar="MAPS",
    help="Write the maps as data: a Parquet file (.parquet), or a folder (FOLDER/) of .npz files. Pictures are drawn "
    "with -o alone then, or later by onnxsal draw. Of rows of a table: a line for each column of each row (.csv, "
    ".parquet).",
)
@click.option(
    "--background", metavar="FILE",
    help="Of rows of a table: rows that columns are replaced from, such as those that the model was trained on.",
)  # fmt: skip
@row_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float16", "uint8"]), help="What --out keeps maps in. [default: float16]"
)  # fmt: skip
@click.option(
    "--ray", metavar="ADDRESS",
    help="Have workers of a Ray cluster make the maps of --out: local starts one on this machine, auto finds one that "
    "runs here. They read the pictures at their paths. Each has --threads processors (1), with --provider cuda a GPU.",
)  # fmt: skip
@click.option("--actors", type=click.IntRange(1), metavar="N", help="Workers of --ray. By default as many as fit in.")
@click.option(
    "--kind",
    type=click.Choice(["overlay", "heat", "product"]),
    default="overlay",
    help="On the photograph (default), the map alone, or the picture dimmed by it.",
)
@click.option("--colours", metavar="NAME", help="Colour map, for example viridis. [default: inferno; vik if signed]")
@click.option("--score", metavar="S", help="Explain the logit or the probability. By default as the method says.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of all random draws.")
@click.option("--memory", type=Size(), metavar="M", help="Bound the memory that running takes: 500M, 2G.")
@click.option(
    "--effort", type=click.IntRange(0, 9), metavar="N",
    help="Of encoding a PNG: 0 (fast, a large file) to 9 (slow, a small one). [default: 1]",
)  # fmt: skip
@click.option(
    "--strict", is_flag=True, help="End at the first picture that cannot be read or explained, instead of naming it."
)
@click.option(
    "--skip-existing", is_flag=True,
    help="Leave out pictures whose files, or maps in --out FOLDER/, are there: go on where a run stopped. A method "
    "that Ctrl-C ends leaves no map then, unless -O keep_partial=true.",
)  # fmt: skip
@text_option
@chunk_options
@loading_options
@json_option
def command(**given: Any) -> int:
    with uncollected():
        from onnxsal.cli.actions.explain import explain_all
        from onnxsal.cli.asked_maps import Asked
        from onnxsal.cli.images import said
        from onnxsal.explanation.usual import USUAL

    given["images"] = said(given["images"], words=given.pop("text"))
    methods = tuple(dict.fromkeys(name for names in given.pop("methods") for name in names))
    return explain_all(Asked(**given, methods=methods or (USUAL,), is_usual=not methods))
