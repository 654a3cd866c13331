"""``onnxsal demo``: the bundled model explains a bundled scene."""

from __future__ import annotations

import click

from onnxsal.importing import uncollected

HELP = """Explain a bundled scene with six methods, and write onnxsal-demo.png in this folder.

Nothing of your own is needed. The scene comes with an exact mask of the object, so the share of each map that
lies on it is printed beside the object's share of the picture.
"""

IMAGE = "onnxsal-demo.png"


@click.command("demo", help=HELP, short_help="Explain a bundled scene with six methods.")
def command() -> None:
    from onnxsal.files import check_writable

    check_writable(IMAGE)
    with uncollected():
        import numpy as np

        from onnxsal.cli.actions.demo import as_text, demonstrate
        from onnxsal.explanation.figure import compare
        from onnxsal.viz.save import save_image

    shown = demonstrate()
    save_image(np.asarray(compare(shown.explanations)), IMAGE)
    print("\n".join(as_text(IMAGE, shown)))
