"""``onnxsal evaluate``: how well methods explain a model, on many pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from onnxsal.cli.options import Setting, loading_options, model_argument
from onnxsal.importing import uncollected

HELP = """Judge the maps of methods on IMAGES by METRICS.

IMAGES are files, folders and patterns: pictures, or the texts, sounds, arrays and
scans that the MODEL takes. Methods and metrics take options in brackets:
score-cam[preset=paper,top_k=64], deletion[steps=25]. What metrics there are: onnxsal evaluate --list.

\b
Examples:
  onnxsal evaluate model.onnx photos/ -m grad-cam++,layercam,score-cam
      deletion, insertion, average drop and sparseness of three methods
  onnxsal evaluate model.onnx photos/ -m grad-cam++ --masks masks/ --metrics energy-pointing,pointing-game
      does the map lie on the object? (also --boxes: COCO, Pascal VOC, YOLO, CSV)
  onnxsal evaluate detector.onnx photos/ -t all -m layercam --boxes coco.json --metrics energy-pointing,deletion
      a row a detection, each held against the true boxes
  onnxsal evaluate model.onnx photos/ -m grad-cam++,smoothgrad --report report.html --csv rows.csv
      a page to read in a browser, and a row an image x method x metric
  onnxsal evaluate model.onnx photos/ --maps mine/ --metrics deletion,insertion
      maps made elsewhere: mine/NAME.npy for photos/NAME.jpg
  onnxsal evaluate pipeline.onnx rows.csv -m shapley --background train.csv
      the rows of a table: columns go to those of background rows, and come back

Results go into a journal as they come, so the same command goes on where it was interrupted. Pictures that cannot
be judged are named and left out; the exit status is then 1, and 0 otherwise.
"""

METRICS = "deletion,insertion,average-drop,sparseness"
OF_ROWS = "deletion,insertion,sparseness"
"""Of rows of a table, whose columns do not change by degrees."""


@click.command("evaluate", help=HELP, short_help="Judge methods on many pictures: metrics, intervals, a report.")
@click.option("--list", "listed", is_flag=True, is_eager=True, expose_value=False, callback=lambda *a: _list(*a),
              help="List the metrics: what each rewards and needs.")  # fmt: skip
@model_argument
@click.argument("images", metavar="IMAGES...", nargs=-1, required=True, type=click.Path())
@click.option("-m", "--method", "methods", multiple=True, metavar="METHODS", help="Methods, with commas between them.")
@click.option("-O", "--option", "settings", type=Setting(), multiple=True, hidden=True)
@click.option("--metrics", multiple=True, metavar="METRICS", help=f"With commas between them. [default: {METRICS}; of "
              f"rows of a table {OF_ROWS}]")  # fmt: skip
@click.option("--maps", multiple=True, metavar="FOLDER", help="Judge maps made elsewhere, .npy [H, W] named like the "
              "pictures. May be repeated.")  # fmt: skip
@click.option("--truth", metavar="T", help="What the pictures show: names (0207_dog.jpg: class 207), folders, or a "
              "file of picture,label lines.")  # fmt: skip
@click.option("-t", "--target", default="predicted", metavar="TARGET",
              help="Explain the class that the model predicts (default); label, the one that --truth says; or what "
              'explain takes, the same of all pictures: a class, CLASS@X,Y, "NAME[0, 3]", like:FILE; of a detector '
              "a label, #2, or all.")  # fmt: skip
@click.option("--label-offset", type=int, metavar="N", help="Added to labels that are numbers. By default 1 for models "
              "whose class 0 is the background.")  # fmt: skip
@click.option("--boxes", metavar="FILE", help="Where the objects are: COCO .json, Pascal VOC .xml (or a folder of "
              "them), a folder of YOLO's labels, or .csv.")  # fmt: skip
@click.option("--masks", metavar="FOLDER", help="Where the objects are: pictures named like the photographs and of "
              "their size, above 0 on the object.")  # fmt: skip
@click.option("-l", "--layer", "layers", multiple=True, metavar="LAYER", help="Layer of class activation maps. By "
              "default chosen. Several are fused.")  # fmt: skip
@click.option(
    "--score",
    metavar="S",
    help="Explain the logit, the probability, or of a detector match. By default as the method says.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, metavar="N", help="Of all random draws.")
@click.option("--batch-size", type=click.IntRange(1), default=8, metavar="N", help="Pictures a run. [default: 8]")
@click.option("--confidence", type=click.FloatRange(0, 1), default=0.8, metavar="P",
              help="How sure a picture's class is to stand in a mosaic (grid-pointing). [default: 0.8]")  # fmt: skip
@click.option("--mosaics", type=click.IntRange(1), metavar="N", help="At most so many mosaics. [default: all]")
@click.option("--stages", type=click.IntRange(1), default=5, metavar="N",
              help="Of drawing the model's weights anew (randomisation). [default: 5]")  # fmt: skip
@click.option("--background", metavar="FILE", help="Of rows of a table: rows that columns are exchanged for, by "
              "metrics and methods alike. [default: the rows that are judged]")  # fmt: skip
@click.option("--journal", metavar="FILE", help="Where results are kept as they come, and taken from again. "
              "[default: MODEL.evaluation.jsonl in this folder]")  # fmt: skip
@click.option(
    "--report", metavar="FILE", help="Write a page to read in a browser (.html): one file, nothing beside it."
)
@click.option("--csv", metavar="FILE", help="Write a row an image x method x metric.")
@click.option("--json", "as_json", metavar="FILE", help="The same with curves, summary and settings; - prints it.")
@click.option("--parquet", metavar="FILE", help="The same as typed columns (needs pyarrow: onnxsal[parquet]).")
@loading_options
def command(**given: Any) -> int:
    with uncollected():
        from onnxsal.cli.actions.evaluate import Asked, evaluate_all

    _refuse_settings(given.pop("settings"), given["methods"])
    context = click.get_current_context()
    told = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    return evaluate_all(Asked(**given, told=frozenset(told)), (METRICS, OF_ROWS))


def _refuse_settings(settings: Sequence[tuple[str, str]], methods: Sequence[str]) -> None:
    """-O is how the other commands take options; with several methods and metrics it would not say whose they are."""
    if settings:
        name = re.split(r"[\[,]", methods[0])[0].strip() if methods else "METHOD"
        options = ",".join(f"{option}={value}" for option, value in settings)
        raise click.UsageError(f'options go in brackets here: -m "{name}[{options}]"', click.get_current_context())


def _list(context: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        from onnxsal.cli.actions.evaluate import print_metrics

        print_metrics()
        context.exit()
