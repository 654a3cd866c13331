"""The other commands: what they print, and that what they write is right."""

from __future__ import annotations

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import tiny_models as tiny
from click.shell_completion import ShellComplete

import onnxsal
from onnxsal import plugins
from onnxsal.cli.root import COMMANDS, root
from onnxsal.modalities.image import PRESETS


def test_help_names_every_command_and_how_to_begin(run) -> None:
    for arguments in ([], ["--help"], ["-h"]):
        ended = run(*arguments)
        assert ended.status == 0
        assert all(f"\n  {name} " in ended.out for name in COMMANDS)
        assert "onnxsal demo" in ended.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_without_loading_anything(command: str) -> None:
    code = (
        "import sys; from onnxsal.cli import main; main([sys.argv[1], '--help']); "
        "sys.exit(bool({'numpy', 'onnx', 'onnxruntime', 'numba', 'PIL'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"Usage: onnxsal {command}" in ended.stdout


def test_a_command_collects_garbage_seldom_and_leaves_what_it_found(run, monkeypatch: pytest.MonkeyPatch) -> None:
    within = []
    monkeypatch.setattr(root, "main", lambda *_, **__: within.append(gc.get_threshold()))
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        run("--help")
        assert (within, gc.get_threshold()) == ([(20_000, 20, 100)], (700, 10, 10))
    finally:
        gc.set_threshold(*before)


def test_version(run) -> None:
    assert run("--version").out == f"onnxsal {onnxsal.__version__}\n"


def test_predict_shows_the_classes_as_bars(run) -> None:
    ended = run("predict", "model.onnx", "red.png", "blue.png", "--top", "2")
    assert ended.status == 0
    assert ended.err.startswith("note: nothing says what makes probabilities of the 4 numbers in 'logits': softmax is")
    assert ended.err.count("\n") == 1
    lines = ended.out.splitlines()
    assert [lines[0], lines[3]] == ["red.png", "blue.png"]
    assert lines[1].endswith("  red (0)")
    assert lines[4].endswith("  blue (2)")


def test_predict_as_json(run) -> None:
    found = json.loads(run("predict", "model.onnx", "red.png", "--json").out)
    assert found["preprocess"].startswith("the model's metadata")
    assert found["results"][0]["classes"][0]["label"] == "red"
    assert sum(c["probability"] for c in found["results"][0]["classes"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("columns", [80, 120])
def test_predict_tries_the_presets_where_none_is_known(
    run, folder: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    tiny.write(tiny.classifier(preset=None), folder / "silent model.onnx")
    ended = run("predict", "silent model.onnx", "red.png", "--labels", "labels.txt")
    assert ended.status == 2
    (folder / "labels.txt").write_text("\n".join(tiny.LABELS))
    ended = run("predict", "silent model.onnx", "red.png", "--labels", "labels.txt")
    assert ended.status == 0, ended.err
    commands = [line.strip() for line in ended.out.splitlines() if line.startswith("  onnxsal")]
    assert commands[0].startswith("onnxsal explain 'silent model.onnx' red.png --preprocess ")
    assert sorted(line.split()[6] for line in commands) == sorted(PRESETS)
    assert all(line.endswith("--labels labels.txt") for line in commands)
    assert all(len(line) <= columns for line in ended.out.splitlines() if "--preprocess" not in line)


def test_an_array_of_the_models_own_input_needs_no_preset(run, folder: Path) -> None:
    tiny.write(tiny.classifier(preset=None), folder / "silent.onnx")
    session = onnxruntime.InferenceSession("silent.onnx", providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    shape = [size if isinstance(size, int) else 1 for size in source.shape]
    x = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    np.save("x.npy", x)
    done = run("predict", "silent.onnx", "x.npy", "--json")
    assert done.status == 0
    (seen,) = json.loads(done.out)["results"]
    right = session.run(None, {source.name: x})[0].reshape(-1)
    assert seen["classes"][0]["index"] == right.argmax()
    assert "presets" in json.loads(run("predict", "silent.onnx", "x.npy", "red.png", "--json").out)["results"][0]


def test_the_commands_that_predict_offers_work(run, folder: Path) -> None:
    tiny.write(tiny.classifier(preset=None), folder / "silent.onnx")
    (folder / "silent.preprocess.json").write_text('{"preset": "unit"}')
    assert "red (0)" in run("predict", "silent.onnx", "red.png").out


def test_layers(run) -> None:
    lines = run("layers", "model.onnx").out.splitlines()
    assert lines[1].split() == ["#0", "Conv", "6", "x", "16", "x", "16", "c1"]
    assert [line.split()[-1] for line in lines if " * " in line] == ["r2"]
    found = json.loads(run("layers", "model.onnx", "--json").out)
    assert [layer["name"] for layer in found] == ["c1", "r1", "p1", "c2", "r2"]
    assert [layer["number"] for layer in found if layer["automatic"]] == [4]


def test_layers_that_lie_elsewhere_say_where(run, folder: Path) -> None:
    part = "part = Slice (picture, low, high, rows)\nsum = CumSum (part, axis)\n"
    model = tiny.behind(part, low=[4], high=[12], rows=[2], axis=3)
    tiny.write(model, folder / "crop.onnx")
    out = " ".join(run("layers", "crop.onnx").out.split())
    assert "#0 to #6: rows 25-75 % of the picture" in out
    assert "#1 to #6: if CumSum 'sum' keeps positions, which is tested when one is used" in out
    first, second = json.loads(run("layers", "crop.onnx", "--json").out)[:2]
    assert (first["placement"], first["assumed"], second["assumed"]) == ("rows 25-75 %", [], ["CumSum 'sum'"])


def test_without_layers_the_operator_is_named(run, folder: Path) -> None:
    tiny.write(tiny.behind("sum = Tile (picture, twice)\n", twice=[1, 1, 1, 2]), folder / "tile.onnx")
    out = " ".join(run("layers", "tile.onnx").out.split())
    assert "not followed through Tile 'sum' (it holds the picture more than once)" in out


def test_inspect(run) -> None:
    out = run("inspect", "model.onnx").out
    assert "'picture': 16 x 16, 3 channels, float NCHW" in out
    assert "4 classes: logits at logits" in out
    assert "million multiply-accumulates" in out
    assert re.search(r"^grad-cam +1 +1 .* MB$", out, re.MULTILINE)
    found = json.loads(run("inspect", "model.onnx", "--json").out)
    assert (found["opset"], found["layer"], found["parameters"]) == (17, "r2", 6 * 27 + 6 * 54 + 24 + 4)


def test_a_version_without_a_commit_is_the_version(run, folder: Path) -> None:
    """Tf2onnx writes its version and its commit, which installed packages do not know."""
    model = tiny.classifier()
    model.producer_name, model.producer_version = "tf2onnx", "1.17.0 None"
    tiny.write(model, folder / "tf.onnx")
    assert json.loads(run("inspect", "tf.onnx", "--json").out)["producer"] == "tf2onnx 1.17.0"


def test_methods_lists_all_with_what_they_cost(run) -> None:
    out = " ".join(run("methods").out.split())
    assert " score-cam record, forward K + 1 forward " in out
    assert " ss-cam record, forward 35 K + 1 forward " in out
    assert " grad-cam++ program, gradient 1 forward + backward " in out
    found = {method["name"]: method for method in json.loads(run("methods", "--json").out)}
    assert set(plugins.offers(plugins.METHODS)) == set(found)
    assert found["score-cam"]["origin"] == f"onnxsal {onnxsal.__version__}"
    assert found["ss-cam"]["options"]["samples"] == {"type": "a whole number", "default": 35, "range": "at least 1"}


def test_methods_on_a_model_are_in_seconds(run, folder: Path) -> None:
    found = {m["name"]: m["cost"] for m in json.loads(run("methods", "model.onnx", "--json").out)}
    assert found["score-cam"].endswith("s (7 forwards)")
    assert found["similarity-map"] == "does not apply"
    tiny.write(tiny.without_rule(), folder / "norule.onnx")
    told = json.loads(run("methods", "norule.onnx", "--json").out)
    found = {m["name"]: (m["cost"], m["refused"]) for m in told}
    assert found["gradient"] == found["smoothgrad"] and found["gradient"][0] == "does not apply"
    assert "Imputer 'flat'" in found["gradient"][1] and "does not apply: no " in run("methods", "norule.onnx").out
    assert found["score-cam"][0].endswith(" forwards)") and found["score-cam"][1] is None
    known = json.loads(run("inspect", "norule.onnx", "--json").out)["methods"]
    assert {m["method"]: m["reason"] for m in known} == {name: why for name, (_, why) in found.items()}


def test_a_broken_plugin_is_marked_and_hurts_nobody_else(run, monkeypatch: pytest.MonkeyPatch) -> None:
    offer = plugins.Offer("shiny", plugins.METHODS, "no_such_module:shiny", "shiny-methods", "3.1")
    known = plugins.offers
    monkeypatch.setattr(
        plugins, "offers", lambda group: {**known(group), **({"shiny": offer} if "meth" in group else {})}
    )
    ended = run("methods")
    assert ended.status == 0
    assert "shiny-methods 3.1" in ended.out
    assert "BROKEN: " in ended.out
    assert run("explain", "model.onnx", "red.png").status == 0
    asked = run("explain", "model.onnx", "red.png", "-m", "shiny")
    assert asked.status == 1
    assert "shiny-methods 3.1" in asked.err


def test_one_method_in_full(run) -> None:
    out = run("methods", "-m", "ss-cam").out
    assert "-O samples=35" in out
    assert "arXiv:2006.14255" in out
    costs = ["35 K + 1 forward (K: maps of the layer)", "7 K + 1 forward with -O estimator=neyman"]
    assert [line.split(maxsplit=1)[1] for line in out.splitlines() if "cost " in line] == costs[:1]
    assert costs[1] in out
    assert "35 K + 2 forward with -O preset=paper" in out
    assert "estimator=independent" not in out  # what costs the same is not listed
    out = run("methods", "-m", "smoothgrad").out
    assert "-O inner=gradient" in out
    assert "50 forward + backward\n" in out  # without a K there is none to explain
    options = json.loads(run("methods", "-m", "smoothgrad", "--json").out)["options"]
    assert list(options) == ["inner", "samples", "noise"]
    assert options["inner"]["default"] == "gradient"


def test_one_method_on_a_model(run) -> None:
    out = run("methods", "model.onnx", "-m", "score-cam").out
    assert re.search(r"^  here    .* m?s \(7 forwards\)$", out, re.M)
    found = json.loads(run("methods", "model.onnx", "-m", "score-cam", "--json").out)
    assert found["cost"].endswith("s (7 forwards)")
    assert run("methods", "gone.onnx", "-m", "score-cam").status == 1


def test_gradient_writes_a_model_that_differentiates(run, folder: Path) -> None:
    ended = run("gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "--wrt", "b3", "-o", "grad.onnx")
    assert (ended.status, ended.out) == (0, "grad.onnx\n"), ended.err
    onnx.checker.check_model(str(folder / "grad.onnx"), full_check=True)
    import onnxruntime

    session = onnxruntime.InferenceSession(folder / "grad.onnx", providers=["CPUExecutionProvider"])
    x, seed = np.random.default_rng(0).random((2, 3, 16, 16), np.float32), np.eye(2, 4, dtype=np.float32)
    names = ["logits", "grad/picture", "grad/b3"]
    logits, by_image, by_bias = session.run(names, {"picture": x, "seed/logits": seed})
    np.testing.assert_array_equal(by_bias, [1, 1, 0, 0])
    step = 1e-2 * by_image / np.abs(by_image).max()
    (moved,) = session.run(["logits"], {"picture": x + step, "seed/logits": seed})
    np.testing.assert_allclose(((moved - logits) * seed).sum(), (by_image * step).sum(), rtol=0.05)
    assert by_image.shape == x.shape


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(run, shell: str) -> None:
    ended = run("completion", shell)
    assert ended.status == 0
    assert "_ONNXSAL_COMPLETE" in ended.out


def test_completion_knows_commands(folder: Path) -> None:
    asked = {"_ONNXSAL_COMPLETE": "bash_complete", "COMP_WORDS": "onnxsal ex", "COMP_CWORD": "1"}
    command = [sys.executable, "-c", "from onnxsal.cli import main; main()"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **asked})
    assert "plain,explain" in ended.stdout


@pytest.mark.parametrize(("typed", "wanted"), [("score", "score-cam"), ("gradient,eig", "gradient,eigencam")])
def test_completion_knows_methods(typed: str, wanted: str) -> None:
    shell = ShellComplete(root, {}, "onnxsal", "_ONNXSAL_COMPLETE")
    found = shell.get_completions(["explain", "m.onnx", "a.png", "-m"], typed)
    assert [(each.type, each.value) for each in found] == [("plain", wanted)]


def test_demo(run, folder: Path) -> None:
    ended = run("demo")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "onnxsal-demo.png"
    times = [float(line.split()[-4]) for line in lines if line.endswith("times its area")]
    assert len(times) == 6
    assert min(times) > 2
    assert (folder / "onnxsal-demo.png").stat().st_size > 50_000


def test_demo_of_boxes(run, folder: Path) -> None:
    """Two discs: the map of each lies on that one."""
    ended = run("demo", "--boxes")
    assert (ended.status, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "onnxsal-demo-boxes.png"
    shares = [(float(line.split()[-5]), float(line.split()[-4])) for line in _shares_in(lines)]
    assert len(shares) == 6
    assert all(on_it > 20 * on_other for on_it, on_other in shares)
    assert (folder / "onnxsal-demo-boxes.png").stat().st_size > 50_000


def _shares_in(lines: list[str]) -> list[str]:
    return [line.replace("%", " ") for line in lines if line.endswith("on the other") and " of #" in line]


def test_demo_where_nothing_can_be_written(run, folder: Path) -> None:
    (folder / "onnxsal-demo.png").mkdir()
    ended = run("demo")
    assert (ended.status, ended.out) == (1, "")
    assert "it is a folder" in ended.err


def test_a_reader_that_goes_away_is_no_error(folder: Path) -> None:
    code = "import sys; from onnxsal.cli import main; sys.exit(main(['methods']))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_what_is_written_is_one_file(run, folder: Path) -> None:
    """Wherever the weights of the model lie, below 2 GB."""
    _outside(folder)
    for command in (["gradient", "in/model.onnx", "--of", "logits", "--wrt", "picture"], ["compile", "in/model.onnx"]):
        ended = run(*command, "-o", "out/made.onnx")
        assert (ended.status, ended.out, ended.err) == (0, "out/made.onnx\n", ""), ended.err
        assert [p.name for p in (folder / "out").iterdir()] == ["made.onnx"]
        onnxruntime.InferenceSession((folder / "out/made.onnx").read_bytes(), providers=["CPUExecutionProvider"])
    assert run("explain", "in/model.onnx", "red.png").status == 0


def test_weights_too_many_for_one_file_lie_beside_it(run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxsal.graph.files.PROTOBUF_LIMIT", 500)
    _outside(folder)
    for command in (["gradient", "in/model.onnx", "--of", "logits", "--wrt", "picture"], ["compile", "in/model.onnx"]):
        ended = run(*command, "-o", "out/made.onnx")
        assert (ended.status, ended.out) == (0, "out/made.onnx\n"), ended.err
        assert "more than one file can hold (2 GB): they lie in 'made.onnx.data', which has to stay" in ended.err
        assert sorted(p.name for p in (folder / "out").iterdir()) == ["made.onnx", "made.onnx.data"]
        onnxruntime.InferenceSession(folder / "out/made.onnx", providers=["CPUExecutionProvider"])


def _outside(folder: Path) -> None:
    for name in ("in", "out"):
        (folder / name).mkdir()
    onnx.save(onnx.load("model.onnx"), "in/model.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)


def test_a_gradient_in_an_older_opset(run, folder: Path) -> None:
    """The same numbers, and a file format that goes with it."""
    made = []
    for opset in (["--opset", 17], []):
        ended = run("gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "-o", "grad.onnx", *opset)
        assert ended.status == 0, ended.err
        session = onnxruntime.InferenceSession(folder / "grad.onnx", providers=["CPUExecutionProvider"])
        x = np.random.default_rng(0).normal(size=(1, *session.get_inputs()[0].shape[1:])).astype(np.float32)
        seed = np.eye(1, session.get_inputs()[1].shape[1], 1, dtype=np.float32)
        made.append(session.run(["grad/picture"], {"picture": x, "seed/logits": seed})[0])
        written = onnx.load(folder / "grad.onnx")
        assert [(e.version, written.ir_version) for e in written.opset_import] == [(17, 8) if opset else (21, 10)]
    np.testing.assert_allclose(*made, atol=1e-6)
    ended = run("gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "-o", "g.onnx", "--opset", 12)
    assert ended.status == 2 and "opset=12: expected 17 to 21" in ended.err
