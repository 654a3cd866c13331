"""``onnxsal explain`` of a folder: in order, with broken pictures, stopped, gone on with, ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onnxsal
from onnxsal.cli import drawings, stages
from onnxsal.errors import OutputError

NAMES = tuple("abcdefgh")


@pytest.fixture
def album(folder: Path) -> Path:
    """A folder of eight photographs, the fourth of them cut short, and an empty one for what is written."""
    album = folder / "album"
    album.mkdir()
    (folder / "maps").mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(album / f"{name}.png")
    whole = (album / "d.png").read_bytes()
    (album / "d.png").write_bytes(whole[: len(whole) // 2])
    return album


ORDER = [name for name in NAMES if name != "d"]


def threads(monkeypatch: pytest.MonkeyPatch, *, late: str = "") -> None:
    """Have three threads read and write, and one picture come late out of both."""
    read, write = stages.read_fitted, drawings.Drawings.write

    def reading(request, image):
        time.sleep(0.1 if Path(image).stem == late else 0)
        return read(request, image)

    def writing(self, item):
        time.sleep(0.1 if Path(item.image).stem == late else 0)
        return write(self, item)

    monkeypatch.setattr(stages, "read_fitted", reading)
    monkeypatch.setattr(drawings.Drawings, "write", writing)
    monkeypatch.setattr("onnxsal.cli.actions.explain.bounds", lambda **_: stages.Bounds(3, 5))


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "maps").iterdir())


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_folder_is_explained_in_order_and_a_broken_picture_is_named(run, folder, album, monkeypatch, suffix) -> None:
    threads(monkeypatch, late="a")
    ended = run("explain", "model.onnx", "album", "-o", f"maps/{{stem}}.{suffix}")
    assert ended.status == 1
    assert [line for line in ended.out.splitlines() if line[0] != " "] == [f"maps/{name}.{suffix}" for name in ORDER]
    (said,) = [line for line in ended.err.splitlines() if not line.startswith("note")]
    assert said.startswith(f"onnxsal: the picture {str(Path('album/d.png'))!r} is damaged or truncated: ")
    model = onnxsal.load("model.onnx")
    for name in ORDER:
        onnxsal.explain(model, album / f"{name}.png").save(folder / f"alone.{suffix}")
        assert (folder / f"alone.{suffix}").read_bytes() == (folder / "maps" / f"{name}.{suffix}").read_bytes()


def test_a_batch_that_is_asked_for_is_of_several_pictures(run, folder, album, monkeypatch) -> None:
    """The same maps in order, round the broken one; of methods that run many times each picture has its own batches."""
    sizes, together = [], stages.explain_read
    monkeypatch.setattr(stages, "explain_read", lambda reads, goals: sizes.append(len(reads)) or together(reads, goals))
    given = ["explain", "model.onnx", "album", "-m", "gradient,grad-cam,smoothgrad", "-O", "samples=2"]
    given += ["-t", "red", "-t", "blue"]
    assert run(*given, "--out", "one/", "--dtype", "float32").status == 1 and not sizes
    ended = run(*given, "--out", "three/", "--dtype", "float32", "-O", "batch_size=3", "--json")
    assert ended.status == 1 and sizes == [3, 3, 2, 2, 2, 2] and "d.png' is damaged" in ended.err
    one, three = (list(onnxsal.read_maps(each)) for each in ("one/", "three/"))
    order = [(f"{name}.png", goal, method) for name in ORDER for goal in ("red", "blue")
             for method in ("gradient", "grad-cam", "smoothgrad")]  # fmt: skip
    assert [(each.id, each.asked, each.method) for each in three] == order
    for alone, both in zip(one, three, strict=True):
        np.testing.assert_allclose(both.raw, alone.raw, rtol=0, atol=1e-5 * np.ptp(alone.raw))
        assert (both.id, both.label, both.crc32) == (alone.id, alone.label, alone.crc32)

    def interrupted(request, sample, targets):
        if sample.name == "c.png":
            raise KeyboardInterrupt
        return explain(request, sample, targets)

    explain = stages.explain_prepared
    monkeypatch.setattr(stages, "explain_prepared", interrupted)
    ended = run(*given, "--out", "until/", "-O", "batch_size=3")
    assert ended.status == 130
    assert [each.id for each in onnxsal.read_maps("until/")] == ["a.png"] * 6 + ["b.png"] * 6 + ["c.png"] * 4


def test_strict_ends_at_the_broken_picture_and_tells_of_those_before(run, folder, album, monkeypatch) -> None:
    threads(monkeypatch, late="c")
    ended = run("explain", "model.onnx", "album", "-o", "maps/{stem}.png", "--strict", "--json")
    assert ended.status == 1 and "d.png' is damaged" in ended.err
    assert [Path(each["image"]).stem for each in json.loads(ended.out)["explanations"]] == ["a", "b", "c"]
    assert written(folder) == ["a.png", "b.png", "c.png"]


def test_what_cannot_be_written_ends_it_once_what_is_written_was_told_of(run, folder, album, monkeypatch) -> None:
    threads(monkeypatch)
    write = drawings.Drawings.write

    def failing(self, item):
        if Path(item.image).stem == "b":
            time.sleep(0.1)
            raise OutputError("the disk is full")
        return write(self, item)

    monkeypatch.setattr(drawings.Drawings, "write", failing)
    ended = run("explain", "model.onnx", "album", "-o", "maps/{stem}.png", "--json")
    told = [each["picture"] for each in json.loads(ended.out)["explanations"]]
    assert ended.status == 1 and ended.err.endswith("onnxsal: the disk is full\n")
    assert [Path(each).name for each in told] == written(folder) and "a.png" in written(folder)


def test_skipping_goes_on_where_a_run_stopped(run, folder, album, monkeypatch) -> None:
    """Also in the folder itself: what the command wrote into it is no photograph of its own."""
    arguments = ["explain", "model.onnx", "album", "-o", "album/{stem}.map.png", "--npz", "maps/{stem}.npz"]
    (album / "d.png").unlink()
    assert run(*arguments, "--skip-existing").status == 0
    before = {path: path.stat().st_mtime_ns for path in album.glob("*.map.png")}
    (album / "c.map.png").unlink()
    (folder / "maps" / "f.npz").unlink()
    ended = run(*arguments, "--skip-existing")
    assert ended.status == 0 and "note: --skip-existing: 5 of 7 are done already\n" in ended.err
    assert [line for line in ended.out.splitlines() if line[0] != " "] == ["album/c.map.png", "album/f.map.png"]
    assert {path.stem for path, at in before.items() if path.stat().st_mtime_ns != at} == {"c.map", "f.map"}
    nothing = run(*arguments, "--skip-existing", "--json")
    assert (nothing.status, json.loads(nothing.out)["explanations"]) == (0, [])
    assert "would be overwritten" in run(*arguments).err


def test_skipping_goes_on_in_a_folder_of_maps(run, folder, album) -> None:
    """What is there whole stays as it is; a map that is missing, damaged or of part of the draws is made again."""
    arguments = ["explain", "model.onnx", "album", "-m", "smoothgrad,grad-cam", "-O", "samples=2", "-t", "red"]
    arguments += ["-t", "blue", "--out", "data/", "--skip-existing"]
    (album / "d.png").unlink()
    assert run(*arguments).status == 0
    first = [(each.id, each.method, each.asked) for each in onnxsal.read_maps("data/")]
    files = {path: path.stat().st_mtime_ns for path in sorted((folder / "data").glob("*.npz"))}
    assert len(first) == len(files) == 7 * 4
    of = {name: [path for path in files if f"-{name}." in path.name] for name in NAMES}
    of["b"][2].unlink()
    of["e"][0].write_bytes(of["e"][0].read_bytes()[:-9])
    with np.load(of["g"][1]) as arrays:
        row = json.loads(arrays["row"].item())
        about = json.dumps(json.loads(row["about"]) | {"stopped": "interrupted"})
        np.savez(of["g"][1], map=arrays["map"], row=np.array(json.dumps(row | {"about": about}).encode()))
    ended = run(*arguments)
    assert ended.status == 0 and "note: --skip-existing: 4 of 7 are done already\n" in ended.err
    maps = onnxsal.read_maps("data/")
    again = [one for one in first if one[0] in ("b.png", "e.png", "g.png")]
    assert [(each.id, each.method, each.asked) for each in maps] == [one for one in first if one not in again] + again
    assert maps.header["complete"]
    kept = [path for path in files if path.exists()]
    assert len(kept) == 16 and all(path.stat().st_mtime_ns == files[path] for path in kept)
    other = run(*arguments, "-O", "sign=signed")
    assert other.status == 2 and "are of another model, method, option, target" in other.err
    assert "name another one" in run(*arguments[:-1]).err  # without --skip-existing nothing is written over
    parquet = run(*arguments[:-3], "--out", "maps.parquet", "--skip-existing")
    assert parquet.status == 2 and "goes on in a folder of maps (--out FOLDER/)" in parquet.err


@pytest.mark.parametrize("kept", [("-o", "maps/{stem}.png"), ("--out", "data/")])
def test_a_picture_that_is_named_again_is_explained_once(run, folder, album, kept) -> None:
    """By another path, in its folder, through a link to that; a link to a picture has a name of its own."""
    (folder / "there").symlink_to(album), (album / "link.png").symlink_to(album / "a.png"), (album / "d.png").unlink()
    twice = ["album/b.png", "album", "there/c.png", "./album/../album/b.png"]
    ended = run("explain", "model.onnx", *twice, *kept, "--json")
    assert ended.status == 0 and "note: 3 things named more than once: explained once\n" in ended.err
    order = [f"album/{name}.png" for name in ["b", "a", "c", "e", "f", "g", "h", "link"]]
    assert [each["image"] for each in json.loads(ended.out)["explanations"]] == order
    if kept[0] == "--out":
        assert [each.id for each in onnxsal.read_maps("data/")] == order


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--skip-existing", "-o", "{stem}.{target}.png"], "name the targets with -t, or leave {target} out"),
        (["--skip-existing", "-o", "album/{stem}.png"], "'album/a.png' would be overwritten, and it is read"),
        (["--effort", "3", "-o", "{stem}.jpg"], "effort=3 is for PNG"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(run, folder, album, arguments, said) -> None:
    ended = run("explain", "model.onnx", "album", *arguments)
    assert ended.status == 2 and said in ended.err and ended.out == ""


SLOW = """
import sys, time
from onnxsal.cli import main, stages
explain = stages.explain_prepared

def slow(*given):
    time.sleep(0.05)
    return explain(*given)

stages.explain_prepared = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_folder_with_what_is_done(folder: Path, album: Path) -> None:
    for copy in range(60):
        shutil.copy(album / "a.png", album / f"z{copy:02}.png")
    arguments = [sys.executable, "-c", SLOW, "explain", "model.onnx", "album", "-o", "maps/{stem}.png"]
    environment = {**os.environ, "PYTHONPATH": str(Path(onnxsal.__file__).parent.parent), "COLUMNS": "80"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    hears = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(arguments, env=environment, preexec_fn=hears, **pipes) as process:
        try:
            first = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.stdout.read(), process.stderr.read()
            process.wait(timeout=60)
        finally:
            process.kill()
    told = [Path(line).name for line in (first + out).splitlines() if line[0] != " "]
    assert process.returncode == 130 and err.endswith("onnxsal: interrupted; what there is so far is written\n")
    assert written(folder) == sorted(told) and 1 <= len(told) < 60
    for name in told:
        Image.open(folder / "maps" / name).load()
