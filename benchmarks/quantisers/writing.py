"""What the writers share: calibration pictures, and one file or one reason a form. Runs in any quantiser's Python."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np


def images(count: int = 8) -> Iterator[dict[str, np.ndarray]]:
    """Random pictures as the float models take them, one a batch."""
    rng = np.random.default_rng(3)
    for _ in range(count):
        yield {"x": rng.normal(size=(1, 3, 32, 32)).astype(np.float32)}


class Reader:
    """Calibration data as ONNX Runtime's quantiser, and those made after it, ask for it."""

    def __init__(self) -> None:
        self.rewind()

    def rewind(self) -> None:
        self._left = images()

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._left, None)


def write(forms: dict[str, Callable[[Path], None]]) -> None:
    """Write every form into the folder that the command line names: FORM.onnx, or FORM.txt with what went wrong.

    A quantiser's own failures are part of the table, whatever they raise.
    """
    folder = Path(sys.argv[-1])
    for name, make in forms.items():
        try:
            make(folder / f"{name}.onnx")
        except Exception as error:  # noqa: BLE001
            traceback.print_exc()
            (folder / f"{name}.txt").write_text(f"{type(error).__name__}: {error}")
