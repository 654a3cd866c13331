"""Pictures are written whole, in the format that their suffix names, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsal.errors import OutputError, UsageError
from onnxsal.viz.save import image_format, save_image

IMAGE = np.full((20, 30, 3), (200, 60, 40), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"])
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map.{suffix}"
    save_image(IMAGE, path)
    with Image.open(path) as image:
        assert image.format == image_format(path)
        np.testing.assert_allclose(np.asarray(image.convert("RGB")), IMAGE, atol=6)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "said"), [("map.pgn", "did you mean '.png'"), ("map", "no suffix"), ("map.svg", r"\.png, \.jpg")]
)
def test_unknown_suffixes_list_the_known(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        save_image(IMAGE, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="WEBP"):
        save_image(np.zeros((2, 20_000, 3), np.uint8), tmp_path / "wide.webp")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        save_image(IMAGE, tmp_path / "nowhere" / "map.png")


def test_drawing_loads_neither_cmap_nor_numba_at_import() -> None:
    modules = ["maps", "colour", "overlay", "caption", "grid", "save"]
    code = "import sys; " + "; ".join(f"import onnxsal.viz.{name}" for name in modules)
    code += "; print({'cmap', 'numba', 'onnxruntime', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
