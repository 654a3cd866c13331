"""``onnxsal serve``: models behind HTTP."""

from __future__ import annotations

from typing import Any

import click

from onnxsal.cli.options import Methods, Size, loading_options
from onnxsal.cli.per_model import PerModel, own_options
from onnxsal.importing import uncollected

HELP = """Answer predictions and explanations of MODELS over HTTP, until Ctrl-C or SIGTERM.

By the Open Inference Protocol (version 2, with binary tensors) and KServe's version 1. A MODEL is called as its file is
without the ending; NAME=PATH calls it otherwise.

\b
Examples:
  onnxsal serve model.onnx
      POST http://127.0.0.1:8080/v2/models/model/explain and .../infer, GET .../metrics
  onnxsal serve cats=cats.onnx dogs=v7/model.onnx --port 9000 --warm grad-cam++,layercam
      two models; what the first request of two methods needs is opened before
  onnxsal serve cats.onnx dogs.onnx --preprocess imagenet --preprocess dogs=clip --labels dogs=dogs.txt
      what a model is opened with: of all, or NAME=... of one (but --provider and --threads)
  curl --data-binary @dog.jpg -H "Content-Type: image/jpeg" -H "Accept: image/png" \\
      "http://127.0.0.1:8080/v2/models/model/explain?method=grad-cam" -o map.png
      a photograph in, a picture of its map out

Nobody is asked who they are: whoever reaches the port may use it. It is reached from this machine alone, unless
--host says otherwise. Needs: pip install 'onnxsal[serve]'. More: docs/serve.md.
"""

NUMBER = click.IntRange(1)
SECONDS = click.FloatRange(0, min_open=True)


@click.command("serve", cls=PerModel, help=HELP, short_help="Answer predictions and explanations over HTTP.")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path())
@click.option("--host", default="127.0.0.1", metavar="ADDRESS", help="To listen at. [default: 127.0.0.1, this machine]")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, metavar="N", help="0: any. [default: 8080]")
@click.option("--warm", type=Methods(), metavar="METHODS", help="Open beforehand what their first request needs.")
@click.option(
    "--workers",
    type=NUMBER,
    metavar="N",
    help="Explanations at a time, and predictions as many. By default the processors over --threads, four at most; and "
    "--threads by default the processors over these.",
)
@click.option(
    "--batch",
    type=NUMBER,
    metavar="N",
    help="Explanations that are run together where that gives each what it gets alone. By default 1, on a GPU 32.",
)
@click.option(
    "--gather",
    type=click.FloatRange(0, 1000),
    default=2.0,
    metavar="MS",
    help="Milliseconds that a batch waits for more. [default: 2]",
)
@click.option("--queue", type=NUMBER, default=64, metavar="N", help="Requests under way; more get 503. [default: 64]")
@click.option("--deadline", type=SECONDS, default=30.0, metavar="S", help="Of a request; then 504. [default: 30]")
@click.option("--body", type=Size(), default=32 * 2**20, metavar="SIZE", help="Of a request; above 413. [default: 32M]")
@click.option(
    "--pixels",
    type=NUMBER,
    default=32_000_000,
    metavar="N",
    help="Of a picture that is decoded; above 413. [default: 32 million]",
)
@click.option(
    "--memory",
    type=Size(),
    default=2**30,
    metavar="SIZE",
    help="That requests under way may take together, beside what is worked on; above 503. [default: 1G]",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    metavar="S",
    help="For what runs when the server is told to end. [default: 30]",
)
@loading_options
def command(**given: Any) -> None:
    with uncollected():
        from onnxsal.cli.actions.serve import Asked, serve_models

    serve_models(Asked(**given, own=own_options(click.get_current_context())))
