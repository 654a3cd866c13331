"""``onnxsal explain``: what is drawn, what it is called, what is printed."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import onnxsal
from onnxsal.cli import stages
from onnxsal.cli.outputs import slug
from onnxsal.errors import ModelError


def images(folder: Path) -> set[str]:
    return {p.name for p in folder.glob("*.*") if p.name not in ("model.onnx", "red.png", "blue.png")}


def test_one_picture(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "--activation", "softmax")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "red.grad-cam++.png"
    assert lines[1].startswith("  class   red (0), ")
    assert "grad-cam++" in lines[2]
    assert "1 forward, " in lines[2]
    assert lines[2].endswith("layer r2 (automatic)")
    assert images(folder) == {"red.grad-cam++.png"}


def test_the_map_is_that_of_the_library(run, folder: Path) -> None:
    run("explain", "model.onnx", "red.png", "-m", "layercam", "-t", "blue", "-l", "r1", "--npz", "a.npz")
    found = onnxsal.explain("model.onnx", "red.png", method="layercam", target=2, layer="r1")
    with np.load(folder / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["saliency"], found.saliency)
        np.testing.assert_array_equal(arrays["raw"], found.raw)
        assert json.loads(str(arrays["manifest"]))["layer"] == "r1"


def test_several_methods_are_compared_in_one_picture(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "-m", "grad-cam,gradient", "-m", "score-cam")
    assert ended.status == 0, ended.err
    assert images(folder) == {"red.grad-cam+gradient+score-cam.png"}
    rows = ended.out.splitlines()[2:]
    assert [row.split()[-3:] for row in rows] == [
        ["layer", "r2", "(automatic)"], [*rows[1].split()[-3:-1], "pixels"], ["layer", "r2", "(automatic)"],
    ]  # fmt: skip
    with Image.open(folder / "red.grad-cam+gradient+score-cam.png") as image:
        assert image.width > 2 * image.height


def test_pictures_times_targets(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "blue.png", "-t", "red", "-t", "blue minus red")
    assert ended.status == 0, ended.err
    assert images(folder) == {
        f"{stem}.grad-cam++.{target}.png" for stem in ("red", "blue") for target in ("red", "blue-minus-red")
    }
    assert "blue minus red (2 minus 0), logits " in ended.out


def test_names_of_your_own(run, folder: Path) -> None:
    (folder / "maps").mkdir()
    ended = run("explain", "model.onnx", "red.png", "-o", "maps/{stem}-{method}-{target}.jpg", "--npz", "{target}.npz")
    assert ended.status == 0, ended.err
    assert [str(p.relative_to(folder)) for p in folder.glob("maps/*")] == [
        os.path.join("maps", "red-grad-cam++-red.jpg")
    ]
    assert "arrays  red.npz" in ended.out
    assert (folder / "red.npz").exists()


def test_pictures_of_one_name_by_their_folders(run, folder: Path) -> None:
    """The folder of a picture that is named without one is the current one, and .. is no name."""
    (folder / "a b").mkdir()
    shutil.copy(folder / "blue.png", folder / "a b" / "red.png")
    ended = run("explain", "model.onnx", "red.png", "a b/../a b/red.png", "-o", "{folder}-{stem}.png")
    assert ended.status == 0, ended.err
    assert images(folder) == {f"{folder.name}-red.png", "a b-red.png"}


def test_several_layers_are_fused(run) -> None:
    ended = run("explain", "model.onnx", "red.png", "-m", "layercam", "-l", "r1", "-l", "r2")
    assert ended.status == 0, ended.err
    assert "  1 forward, " in ended.out.splitlines()[2]  # one run for both
    assert "layer r1 + r2\n" in ended.out


def test_options_go_to_the_methods_that_have_them(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "-m", "smoothgrad,score-cam", "-O", "samples=3", "-O", "top-k=2",
                "-O", "sign=signed", "--json")  # fmt: skip
    assert ended.status == 0, ended.err
    smooth, score = json.loads(ended.out)["explanations"]
    assert (smooth["forwards"], smooth["manifest"]["sign"]) == (3, "signed")
    assert (score["forwards"], score["manifest"]["sign"]) == (3, None)


def test_json(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "blue.png", "--json", "--npz", "{stem}.npz")
    assert ended.status == 0 and ended.err.count("note: ") == 1
    assert ended.err.startswith("note: nothing says what makes probabilities of the 4 numbers in 'logits': softmax")
    first, second = json.loads(ended.out)["explanations"]
    assert (first["image"], first["picture"], first["npz"]) == ("red.png", "red.grad-cam++.png", "red.npz")
    assert (first["label"], first["target"], first["layer"], first["layer_automatic"]) == ("red", 0, "r2", True)
    assert (second["label"], second["method"], second["forwards"], second["backwards"]) == ("blue", "grad-cam++", 1, 1)
    assert 0.5 < first["score"] <= 1


def test_notes_go_to_stderr(run, folder: Path) -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "both.gif", save_all=True, append_images=frames[1:])
    ended = run("explain", "model.onnx", "both.gif")
    assert ended.status == 0
    assert ended.err.splitlines()[0] == "note: both.gif: animated, 2 frames: the first is used"
    assert "class   red" in ended.out


@pytest.mark.parametrize("kind", ["overlay", "heat", "product"])
def test_kinds_of_pictures_differ(run, folder: Path, kind: str) -> None:
    run("explain", "model.onnx", "red.png", "-m", "grad-cam,hirescam", "--kind", kind, "-o", "two.png")
    run("explain", "model.onnx", "red.png", "--kind", kind, "-o", "map.png")
    run("explain", "model.onnx", "red.png", "--kind", kind, "--colours", "viridis", "-o", "other.png")
    with Image.open(folder / "map.png") as one, Image.open(folder / "other.png") as other:
        assert (one.tobytes() == other.tobytes()) == (kind == "product")
    assert (folder / "two.png").exists()


def test_memory_bounds_the_batch(run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batches = []
    for limit in ("1K", "1G"):
        monkeypatch.setattr("onnxsal.cli.memory.PROCESS", 0 if limit == "1G" else -200 * 2**10)
        ended = run("explain", "model.onnx", "red.png", "-m", "score-cam", "--memory", limit, "--json")
        assert ended.status == 0, ended.err
        batches.append(json.loads(ended.out)["explanations"][0]["manifest"]["batch_size"])
    assert batches[0] < 8 == batches[1]


@pytest.mark.parametrize(
    ("target", "name"),
    [("Egyptian cat", "egyptian-cat"), ("A minus B", "a-minus-b"), ("../../x", "x"), ("?", "target")],
)
def test_targets_as_parts_of_names(target: str, name: str) -> None:
    assert slug(target) == name


def interrupt(monkeypatch: pytest.MonkeyPatch, method: str, *, begun: bool) -> list[str]:
    """Let Ctrl-C come in a method's fifth batch, or before it has begun; the list says which methods were run."""
    module = sys.modules["onnxsal.explanation.run"]
    ran, prepared = [], module.explain_goals

    def runs(request, *given):
        name = request.steps.method.name
        ran.append(name)
        if name == method and not begun:
            raise KeyboardInterrupt
        common = replace(request.common, progress=progress if name == method else None)
        return prepared(replace(request, common=common), *given)

    def progress(done: int, total: int) -> None:
        if done > 32:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "explain_goals", runs)
    return ran


SAMPLED = ["-m", "grad-cam,ss-cam,score-cam", "-O", "samples=50", "--json", "--npz", "{stem}.{method}.npz"]


def test_ctrl_c_gives_the_map_so_far_and_ends_the_methods_behind(run, folder: Path, monkeypatch) -> None:
    again = onnxsal.explain("model.onnx", "red.png", method="ss-cam", samples=50, forwards=1 + 5 * 8)
    ran = interrupt(monkeypatch, "ss-cam", begun=True)
    ended = run("explain", "model.onnx", "red.png", "blue.png", *SAMPLED)
    assert (ended.status, ran) == (130, ["grad-cam", "ss-cam"])
    assert ended.err == "onnxsal: interrupted; what there is so far is written\n"
    assert images(folder) == {"red.grad-cam+ss-cam+score-cam.png", "red.grad-cam.npz", "red.ss-cam.npz"}
    whole, partial = json.loads(ended.out)["explanations"]
    assert (whole["method"], whole["manifest"].get("partial", False)) == ("grad-cam", False)
    manifest = partial["manifest"]
    assert (partial["method"], manifest["stopped"], manifest["partial"]) == ("ss-cam", "interrupted", True)
    with np.load(folder / "red.ss-cam.npz") as arrays:
        np.testing.assert_array_equal(arrays["raw"], again.raw)
        np.testing.assert_array_equal(arrays["stderr"], again.stderr)


def test_ctrl_c_before_a_method_has_begun_gives_those_before_it(run, folder: Path, monkeypatch) -> None:
    interrupt(monkeypatch, "ss-cam", begun=False)
    ended = run("explain", "model.onnx", "red.png", *SAMPLED)
    assert ended.status == 130
    assert [each["method"] for each in json.loads(ended.out)["explanations"]] == ["grad-cam"]
    assert images(folder) == {"red.grad-cam+ss-cam+score-cam.png", "red.grad-cam.npz"}


def test_ctrl_c_before_a_target_has_begun_gives_those_before_it(run, folder: Path, monkeypatch) -> None:
    module, ran = sys.modules["onnxsal.explanation.run"], []
    prepared = module.explain_goals

    def runs(*given):
        ran.append(given)
        if len(ran) == 2:
            raise KeyboardInterrupt
        return prepared(*given)

    monkeypatch.setattr(module, "explain_goals", runs)
    targets = ["-t", "0", "-t", "1", "-t", "2"]
    ended = run("explain", "model.onnx", "red.png", "blue.png", "-m", "grad-cam,ss-cam", *targets, "--json")
    assert ended.status == 130
    assert ended.err == "onnxsal: interrupted; what there is so far is written\n"
    assert [each["target"] for each in json.loads(ended.out)["explanations"]] == [0]
    assert images(folder) == {"red.grad-cam+ss-cam.0.png"}


@pytest.mark.parametrize(("end", "status"), [(KeyboardInterrupt(), 130), (ModelError("broken"), 1)])
def test_what_is_written_is_in_the_document_however_the_run_ends(
    run, folder: Path, monkeypatch, end: BaseException, status: int
) -> None:
    explain, calls = stages.explain_prepared, []

    def ending(request, sample, targets):
        calls.append(sample)
        if len(calls) == 2:
            raise end
        return explain(request, sample, targets)

    monkeypatch.setattr(stages, "explain_prepared", ending)
    ended = run("explain", "model.onnx", "red.png", "blue.png", "-m", "grad-cam", "--json")
    assert ended.status == status
    assert [each["image"] for each in json.loads(ended.out)["explanations"]] == ["red.png"]
    assert images(folder) == {"red.grad-cam.png"}
    assert ("what there is so far is written" in ended.err) == (status == 130)


def test_a_part_of_the_draws_and_the_error_are_told(run, folder: Path) -> None:
    lines = run("explain", "model.onnx", "red.png", "-m", "ss-cam", "-O", "samples=4").out
    assert re.search(r"forwards, [^,]*, error \d+\.\d %  ", lines)
    ended = run(
        "explain", "model.onnx", "red.png", "-m", "ss-cam", "-O", "samples=4", "-O", "forwards=3", "-o", "a.png"
    )
    assert "3 forwards (part of the draws), " in ended.out
    assert "error" not in ended.out
    assert "ended within its first sample: a part of the feature maps has no weight yet" in ended.err


def test_a_limit_without_effect_is_told(run, folder: Path) -> None:
    ended = run("explain", "model.onnx", "red.png", "-m", "grad-cam", "-O", "seconds=5", "-O", "forwards=9")
    assert ended.status == 0
    assert "forwards, seconds: no effect, grad-cam runs the model once" in ended.err


@pytest.mark.parametrize(
    ("method", "begun", "options"),
    [("grad-cam", False, []), ("ss-cam", True, ["-O", "keep_partial=false"]),
     ("ss-cam", False, ["-O", "keep_partial=false"])],
)  # fmt: skip
def test_ctrl_c_gives_nothing_where_there_is_nothing_or_it_is_not_wanted(
    run, folder: Path, monkeypatch, method: str, begun: bool, options: list[str]
) -> None:
    interrupt(monkeypatch, method, begun=begun)
    ended = run("explain", "model.onnx", "red.png", *SAMPLED, *options)
    assert (ended.status, ended.out) == (130, "")
    assert ended.err == "onnxsal: interrupted; nothing half-written is left\n"
    assert images(folder) == set()


DRAWING = """
import sys
from onnxsal.cli import main
from onnxsal.cli.progress import Progress

def says(self, done, total):
    if done >= 200:
        print("drawing", flush=True)
        Progress.__call__ = lambda self, done, total: None

Progress.__call__ = says
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_ends_a_process_with_one_line(folder: Path, kept: bool) -> None:
    """A real process, interrupted while it draws; the wait ends when it says that it does."""
    arguments = [sys.executable, "-c", DRAWING, "explain", "model.onnx", "red.png", "-m", "ss-cam", "-O",
                 "samples=1000000", "-o", "map.png", *([] if kept else ["-O", "keep_partial=false"])]  # fmt: skip
    before = {p.name for p in folder.iterdir()}
    environment = {**os.environ, "PYTHONPATH": str(Path(onnxsal.__file__).parent.parent), "COLUMNS": "80"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(arguments, env=environment, preexec_fn=_hears_ctrl_c, **pipes) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert (b"part of the draws" in out) == kept
    assert err.count(b"\n") == 1
    assert err.endswith(b"what there is so far is written\n" if kept else b"nothing half-written is left\n")
    assert {p.name for p in folder.iterdir()} == before | ({"map.png"} if kept else set())


def _hears_ctrl_c() -> None:
    """Shells let what they start in the background ignore the signal, and a process hands that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_a_command_to_copy_has_the_pictures_own_name(run, folder: Path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[n, 3, 16, 16] x) => (float[n, 3] a, float[n, 3] b)
        { a = ReduceMean <keepdims = 0> (x, axes) m = ReduceMax <keepdims = 0> (x, axes) b = Neg (m) }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 3]), "axes"))
    onnx.save(proto, folder / "two heads.onnx")
    ended = run("explain", "two heads.onnx", "red.png", "-m", "gradient", "--preprocess", "unit")
    assert ended.status == 2
    assert "onnxsal explain 'two heads.onnx' red.png --head a" in ended.err and "IMAGE" not in ended.err


@pytest.mark.parametrize("name", ["maps.parquet", "maps/"])
def test_maps_as_data_are_those_of_the_library(run, folder: Path, name: str) -> None:
    """Also of what Ctrl-C or a broken picture leaves out; without a name for pictures there are none."""
    if name == "maps.parquet":
        pytest.importorskip("pyarrow")
    (folder / "photos" / "deep").mkdir(parents=True)
    shutil.copy(folder / "red.png", folder / "photos" / "deep" / "red.png")
    shutil.copy(folder / "blue.png", folder / "photos")
    (folder / "photos" / "broken.png").write_bytes(b"")
    asked = ["-m", "grad-cam,layercam", "-t", "red", "-t", "blue minus red", "--out", name, "--dtype", "float32"]
    ended = run("explain", "model.onnx", "photos", *asked)
    assert (ended.status, "broken.png': the file is empty" in ended.err) == (1, True)
    assert ended.out.splitlines()[-2:] == [name, "  8 maps"] and images(folder) <= {"maps.parquet"}
    maps = list(onnxsal.read_maps(name))
    order = itertools.product(["blue.png", "deep/red.png"], ["red", "blue minus red"], ["grad-cam", "layercam"])
    assert [(each.id, each.asked, each.method) for each in maps] == list(order)
    wanted = onnxsal.explain("model.onnx", "red.png", method="layercam", target=(2, 0))
    np.testing.assert_array_equal(maps[-1].saliency, wanted.saliency)
    assert (maps[-1].target, maps[-1].score, maps[-1].logit) == (wanted.target, wanted.score, wanted.logit)
    both = run("explain", "model.onnx", "red.png", "--out", "more/", "-o", "a.png", "--json")
    told = json.loads(both.out)["explanations"][0]
    assert (told["picture"], told["maps"]) == ("a.png", "more/")


def test_maps_that_ctrl_c_leaves_are_a_whole_file(run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = stages.explain_prepared

    def interrupted(request, prepared, targets):
        if prepared.name == "blue.png":
            raise KeyboardInterrupt
        return before(request, prepared, targets)

    pytest.importorskip("pyarrow")
    monkeypatch.setattr(stages, "explain_prepared", interrupted)
    ended = run("explain", "model.onnx", "red.png", "blue.png", "--out", "maps.parquet")
    assert (ended.status, "interrupted; what there is so far is written" in ended.err) == (130, True)
    maps = onnxsal.read_maps("maps.parquet")
    assert ([each.id for each in maps], maps.header["complete"]) == (["red.png"], False)
    assert run("explain", "model.onnx", "red.png", "--dtype", "uint8").status == 2
    assert run("explain", "model.onnx", "red.png", "--out", "maps.csv").status == 2
