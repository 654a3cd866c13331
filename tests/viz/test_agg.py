"""What matplotlib is to leave alone: the user's settings, threads, home folders that cannot be written."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

import onnxsal
from onnxsal.viz.caption import INK
from onnxsal.viz.plot import Axis, Curve, Value, curves, values
from onnxsal.viz.text import fit_line

ROOT = Path(onnxsal.__file__).parent


def drawn(at: float = 0.9) -> list[np.ndarray]:
    """One plot of each kind, with a band, dots, a long line, text."""
    steps = np.linspace(0, 1, 3000)
    lines = [
        Curve("noise $0$ %", (1, 5, 20), (0.2, 0.5, at), (0.1, 0.1, 0.1), (0.5, 0.6, 0.9), dots=True),
        Curve("negative", (1, 5, 20), (-0.4, -0.1, -at), (-0.5, -0.6, -0.9), (0.1, 0.1, 0.1)),
    ]
    return [
        curves(lines, x=Axis("samples", scale="log", ticks=(1, 5, 20)), y=Axis("y"), title="$x$"),
        curves([Curve("sine", list(steps), list(np.sin(300 * steps)))], x=Axis(), y=Axis(), size=(400, 200)),
        values([Value("a", -0.5, -0.75, at), Value("b", at, at, at)], x=Axis("share", None, 1), title="values"),
    ]


OTHERS = {
    "axes.autolimit_mode": "round_numbers", "axes.axisbelow": False, "axes.edgecolor": "red", "axes.facecolor": "0.3",
    "axes.formatter.limits": (0, 0), "axes.grid": True, "axes.grid.which": "both", "axes.labelcolor": "red",
    "axes.labelpad": 30, "axes.labelsize": 30, "axes.linewidth": 5, "axes.spines.bottom": False,
    "axes.spines.left": True, "axes.unicode_minus": False, "axes.xmargin": 0.4, "axes.ymargin": 0.4,
    "figure.autolayout": True, "figure.dpi": 300, "figure.edgecolor": "red", "figure.facecolor": "red",
    "figure.frameon": False, "figure.titlesize": 40, "font.family": ["serif"], "font.size": 30, "font.weight": "bold",
    "grid.alpha": 0.1, "grid.color": "red", "grid.linestyle": ":", "grid.linewidth": 4, "lines.antialiased": False,
    "lines.color": "red", "lines.dash_capstyle": "round", "lines.linestyle": ":", "lines.linewidth": 9,
    "lines.marker": "x", "lines.markeredgecolor": "red", "lines.markeredgewidth": 4, "lines.markerfacecolor": "red",
    "lines.markersize": 30, "lines.solid_capstyle": "round", "lines.solid_joinstyle": "bevel",
    "patch.antialiased": False,
    "patch.edgecolor": "red", "patch.force_edgecolor": True, "patch.linewidth": 5, "path.simplify": False,
    "path.simplify_threshold": 1.0, "path.sketch": (4, 100, 2), "path.snap": False, "text.antialiased": False,
    "text.color": "red", "text.hinting": "none", "text.parse_math": True, "text.usetex": True,
    "xaxis.labellocation": "right", "xtick.alignment": "left", "xtick.bottom": False, "xtick.color": "red",
    "xtick.direction": "inout", "xtick.labelcolor": "red", "xtick.labelsize": 30, "xtick.labeltop": True,
    "xtick.major.pad": 30, "xtick.major.size": 30, "xtick.minor.visible": True, "xtick.top": True,
    "yaxis.labellocation": "top", "ytick.alignment": "top", "ytick.color": "red", "ytick.direction": "in",
    "ytick.labelright": True, "ytick.labelsize": 30, "ytick.left": False, "ytick.major.pad": 30,
    "ytick.minor.visible": True, "ytick.right": True,
}  # fmt: skip
"""Settings of matplotlib that nobody has by default."""


@pytest.mark.parametrize("names", [OTHERS.keys(), ["path.sketch"], ["axes.autolimit_mode", "path.snap"]], ids=len)
def test_the_settings_of_the_user_change_nothing(names: list[str]) -> None:
    expected = drawn()
    with matplotlib.rc_context({name: OTHERS[name] for name in names}):
        for found, wanted in zip(drawn(), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_nor_do_plots_change_the_settings_nor_what_is_logged() -> None:
    before = dict(matplotlib.rcParams)
    drawn()
    assert dict(matplotlib.rcParams) == before
    assert not [name for name in ("matplotlib", "matplotlib.font_manager") if logging.getLogger(name).filters]


def test_threads_draw_what_one_does() -> None:
    shares = [0.1 + 0.05 * at for at in range(12)]
    expected = [drawn(at) for at in shares]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(drawn, shares))
    for one, other in zip(expected, found, strict=True):
        for wanted, got in zip(one, other, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("title", ["$x_1$ and $5", "Fußgänger", "고양이 三毛猫", "jpg[1]"])
def test_letters_are_those_of_captions(title: str) -> None:
    plot = curves([Curve("", (0, 1), (0, 1))], x=Axis(), y=Axis(), title=title)
    expected = Image.new("RGB", (plot.shape[1], 22), "white")
    line = fit_line(title, 500, 16)
    ImageDraw.Draw(expected).text((0, 15), line.text, INK, line.font, "ls")
    assert np.abs(plot[:22].astype(int) - np.asarray(expected)).max() <= 2


def test_one_module_loads_it() -> None:
    found = [path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py") if "matplotlib" in imported(path)]
    assert found == ["viz/agg.py"]


def imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


PLOT = """
import sys
from onnxsal.viz.plot import Axis, Curve, curves
assert "matplotlib" not in sys.modules
picture = curves([Curve("고양이 $x$", (0, 1), (0, 1))], x=Axis(), y=Axis())
assert picture.shape == (340, 520, 3) and picture.std() > 5
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""


def run(code: str, folder: Path, home: Path) -> subprocess.CompletedProcess[str]:
    """Run code with a home folder, in which nothing of matplotlib's was set before, and temporary files in a folder."""
    keep = {name: text for name, text in os.environ.items() if not name.startswith(("MPL", "XDG_", "MATPLOTLIB"))}
    variables = {**keep, "HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home), "TMPDIR": str(folder),
                 "TEMP": str(folder), "PYTHONPATH": str(ROOT.parent), "PYTHONUTF8": "1"}  # fmt: skip
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=variables, cwd=folder, capture_output=True, text=True, check=False)


def test_a_home_that_cannot_be_written_is_no_hindrance(tmp_path: Path) -> None:
    """matplotlib then caches in a temporary folder, which it says in the log, and which it is to take away."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "file").write_text("a file can be no home", encoding="utf-8")
    done = run(PLOT, tmp_path / "temporary", tmp_path / "file" / "home")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / "temporary").iterdir()) == []


def test_where_nothing_can_be_written_at_all_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    code = f"""
import tempfile
def refused(*given, **named):
    raise OSError(30, "Read-only file system")
tempfile.mkdtemp = refused
from onnxsal.errors import EnvironmentSetupError
try:
    {PLOT.strip().replace(chr(10), chr(10) + "    ")}
except EnvironmentSetupError as error:
    print(error)
"""
    done = run(code, tmp_path, tmp_path / "file" / "home")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("matplotlib, which draws plots, cannot be loaded: ")
    assert "MPLCONFIGDIR" in done.stdout
