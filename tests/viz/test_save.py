"""Pictures are written whole, in the format that their suffix names, or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsal.errors import OutputError, UsageError
from onnxsal.viz.save import FAST, image_format, save_image

IMAGE = np.full((20, 30, 3), (200, 60, 40), np.uint8)


@pytest.mark.parametrize("suffix", ["png", "PNG", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff"])
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map.{suffix}"
    save_image(IMAGE, path)
    with Image.open(path) as image:
        assert image.format == image_format(path)
        np.testing.assert_allclose(np.asarray(image.convert("RGB")), IMAGE, atol=6)
    assert list(tmp_path.iterdir()) == [path]


def test_effort_makes_a_png_smaller_and_changes_no_pixel(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 6, (60, 80, 3), np.uint8)
    sizes = []
    for effort in (0, FAST, 9):
        save_image(image, tmp_path / "map.png", effort=effort)
        sizes.append((tmp_path / "map.png").stat().st_size)
        with Image.open(tmp_path / "map.png") as read:
            np.testing.assert_array_equal(np.asarray(read), image)
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.parametrize(("name", "effort", "said"), [("map.jpg", 1, "is for PNG"), ("map.png", 10, "from 0 to 9")])
def test_effort_that_means_nothing_is_refused(tmp_path: Path, name: str, effort: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        save_image(IMAGE, tmp_path / name, effort=effort)
    assert not list(tmp_path.iterdir())


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
