"""``onnxsal demo``: a bundled model explains a bundled scene."""

from __future__ import annotations

import click

from onnxsal.importing import uncollected

HELP = """Explain a bundled scene with six methods, and write onnxsal-demo.png in this folder.

Nothing of your own is needed. The scene comes with an exact mask of the object, so the share of each map that
lies on it is printed beside the object's share of the picture.
"""

IMAGE = "onnxsal-demo.png"
BOXES_IMAGE = "onnxsal-demo-boxes.png"


@click.command("demo", help=HELP, short_help="Explain a bundled scene with six methods.")
@click.option(
    "--boxes", is_flag=True,
    help=f"A detector and a scene with two objects of one class instead, each explained; writes {BOXES_IMAGE}.",
)  # fmt: skip
def command(boxes: bool) -> None:
    image = BOXES_IMAGE if boxes else IMAGE
    from onnxsal.files import check_writable

    check_writable(image)
    print("\n".join(_of_boxes(image) if boxes else _of_a_class(image)))


def _of_a_class(image: str) -> list[str]:
    with uncollected():
        from onnxsal.cli.actions.demo import as_text, demonstrate
        from onnxsal.explanation.figure import compare
        from onnxsal.viz.save import save_image

    shown = demonstrate()
    save_image(compare(shown.explanations), image)
    return as_text(image, shown)


def _of_boxes(image: str) -> list[str]:

    from onnxsal.cli.actions.demo_boxes import boxes_as_text, demonstrate_boxes
    from onnxsal.explanation.figure import compare
    from onnxsal.viz.save import save_image

    shown = demonstrate_boxes()
    save_image(compare([each.explanation for each in shown]), image)
    return boxes_as_text(image, shown)
