"""Whatever is wrong with a request: one clear message, exit 1 or 2, no traceback, and nothing written."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import tiny_models as tiny
from PIL import Image

Files = dict[str, bytes]


def files(folder: Path) -> Files:
    """Return everything in the folder, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.fixture
def refused(run: Callable[..., object], folder: Path) -> Callable[..., None]:
    """Check that a command ends with this status and one message that says this, and leaves no trace."""

    def check(status: int, said: str, *arguments: str) -> None:
        before = files(folder)
        ended = run(*arguments)
        assert ended.status == status, ended.err
        assert ended.out == ""
        assert re.fullmatch(r"onnxsal: [^\n]+\n", ended.err), ended.err
        assert re.search(said, ended.err), ended.err
        assert files(folder) == before

    return check


def damaged(model: Path) -> Files:
    """Return files that are no models, by name."""
    whole = model.read_bytes()
    flipped = bytearray(whole)
    flipped[4] ^= 0xFF
    return {
        "text.onnx": b"this is a letter to my aunt\n",
        "empty.onnx": b"",
        "half.onnx": whole[: len(whole) // 2],
        "flipped.onnx": bytes(flipped),
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text.onnx", "'text.onnx' is a text file, not an ONNX model"),
        ("empty.onnx", "'empty.onnx' is empty"),
        ("half.onnx", "'half.onnx' is not an ONNX model, or the file is damaged or cut short"),
        ("flipped.onnx", "'flipped.onnx' is not an ONNX model"),
        ("gone.onnx", "there is no model file 'gone.onnx'"),
        ("red.png", "'red.png' is a PNG picture, not an ONNX model"),
        (".", "'.' is a folder"),
        ("https://example.org/m.onnx", "'https://example.org/m.onnx' is an address, not a file"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "predict"])
def test_files_that_are_no_models(refused, folder: Path, command: str, name: str, said: str) -> None:
    for each, data in damaged(folder / "model.onnx").items():
        (folder / each).write_bytes(data)
    refused(1, said, command, name, "red.png")


@pytest.mark.parametrize("at", range(0, 1800, 97))
def test_any_flipped_bit_ends_in_a_map_or_a_message(run, folder: Path, at: int) -> None:
    data = bytearray((folder / "model.onnx").read_bytes())
    data[at % len(data)] ^= 1 << at % 8
    (folder / "flipped.onnx").write_bytes(data)
    ended = run("explain", "flipped.onnx", "red.png", "-o", "map.png")
    assert ended.status in (0, 1)
    assert (folder / "map.png").exists() == (ended.status == 0)
    assert ended.status == 0 or re.fullmatch(r"onnxsal: [^\n]+\n", ended.err)


MODELS = {
    "an operator that nothing knows": (
        tiny.without_kernel,
        r"does not know operator lab:Sharpen \(node 'r1'\).*--custom",
    ),
    "a type without kernel": (tiny.in_float64, "no kernel for Conv of float64.*export the model in float32"),
    "an operator without rule": (tiny.without_rule, "Imputer 'flat'.*still work: .*score-cam"),
    "not a classifier": (tiny.segmenter, "no layer could be chosen|which element"),
    "cyclic": (tiny.cyclic, "cyclic"),
    "weights that are not numbers": (tiny.with_nan, "output is not finite"),
    "weights elsewhere": (lambda: tiny.with_weights_at("../w.bin"), "outside the model's folder"),
    "weights at an absolute path": (lambda: tiny.with_weights_at("/etc/hostname"), "outside the model's folder"),
    "weights that are missing": (lambda: tiny.with_weights_at("w.bin"), "'w.bin', which is missing"),
    "terabytes": (tiny.of_terabytes, "Expand 'huge' makes a value of shape .* TiB"),
}


@pytest.mark.parametrize("what", MODELS)
def test_models_that_cannot_be_served(refused, folder: Path, what: str) -> None:
    make, said = MODELS[what]
    tiny.write(make(), folder / "bad.onnx")
    method = "gradient" if what == "an operator without rule" else "grad-cam++"
    refused(1, said, "explain", "bad.onnx", "red.png", "-m", method)


def test_methods_without_gradients_serve_what_has_no_rule(run, folder: Path) -> None:
    tiny.write(tiny.without_rule(), folder / "norule.onnx")
    ended = run("explain", "norule.onnx", "red.png", "-m", "eigencam,score-cam")
    assert ended.status == 0, ended.err
    assert (folder / "red.eigencam+score-cam.png").exists()


def bomb() -> bytes:
    """Return a PNG of a few bytes that unpacks to gigabytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.png", "no such picture: 'gone.png'"),
        ("gone.JPEG", "no such picture: 'gone.JPEG'"),
        ("gone.txt", "no such file: 'gone.txt'"),
        ("gone.wav", "no such file: 'gone.wav'"),
        ("gone.nii.gz", "no such file: 'gone.nii.gz'"),
        ("empty.png", "'empty.png': the file is empty"),
        ("half.png", "'half.png' is damaged or truncated"),
        ("dot.png", "1 x 1 pixels: nothing to explain"),
        ("bomb.png", "3,600,000,000 pixels is more than the limit"),
        ("https://example.org/a.png", "'https://example.org/a.png' is an address, not a file"),
        ("model.onnx", "'model.onnx' is not a picture.*an ONNX model"),
    ],
)
@pytest.mark.parametrize("command", ["explain", "predict"])
def test_pictures_that_cannot_be_served(refused, folder: Path, command: str, name: str, said: str) -> None:
    whole = (folder / "red.png").read_bytes()
    (folder / "empty.png").write_bytes(b"")
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    (folder / "bomb.png").write_bytes(bomb())
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    refused(1, said, command, "model.onnx", name)


def test_folders_without_pictures(refused, folder: Path) -> None:
    (folder / "album").mkdir()
    refused(
        1, "'album': it is a folder; name its pictures [(]album.[*].jpg in a shell[)]", "predict", "model.onnx", "album"
    )
    refused(2, "the folder 'album' holds no pictures", "explain", "model.onnx", "album")


MISUSES = {
    "method": (["-m", "gradcam"], "no method 'gradcam'; did you mean 'grad-cam'"),
    "method like none": (["-m", "zzzz"], "no method 'zzzz'; see `onnxsal methods`"),
    "method with brackets": (
        ["-m", "gradient,score-cam[preset=paper,top_k=3]"],
        "options go with -O here: -m score-cam -O preset=paper -O top_k=3",
    ),
    "no method with brackets": (["-m", "scor-cam[top_k=3]"], "no method 'scor-cam"),
    "layer": (["-l", "r22"], "no layer 'r22'.*did you mean 'r2'"),
    "layers with a comma": (["-l", "#1,r2"], "give each on its own [(]-l '#1' -l 'r2', in Python a list"),
    "layers, one of them none": (["-l", "#1,#99"], "no layer '#1,#99'"),
    "layer number": (["-l", "#99"], "no layer #99: the layers are #0 to"),
    "layer for pixels": (["-m", "gradient", "-l", "r2"], "takes no layer"),
    "label": (["-t", "gren"], r"no class is called 'gren'; did you mean 'green' \(1\)"),
    "a detection of a classifier": (["-t", "#1"], "'#1' reads as the number of a detection.*--task detection"),
    "all detections of a classifier": (["-t", "all"], "no class is called 'all'.*'all' reads as all that is detected"),
    "a place of a classifier": (["-t", "red@3,4"], "'red@3,4' reads as a place.*--task dense, --task detection"),
    "a bound of a classifier": (["-t", "rank >= 3"], "reads as a bound of ranks.*--task ordinal"),
    "a token's label of a classifier": (["-t", "red at film"], "reads as a label at a word.*--task token-labels"),
    "a token of a classifier": (["-t", "next"], "'next' reads as the next token.*--task next-token"),
    "a bracket that is open": (["-t", "logits[0, 3"], "reads as an element whose bracket is not closed: NAME"),
    "label like none": (["-t", "xyz"], "no class is called 'xyz'; classes are 0 to 3: red, green, blue, "),
    "input twice": (["--input", "a=1", "--input", "b=1", "--input", "a=2"], "'a' is held at two things"),
    "target": (["-t", "4"], "target 4 is out of range: the model has the classes 0 to 3"),
    "negative target": (["-t", "-1"], "target -1 is out of range"),
    "pair": (["-t", "red minus grean"], "no class is called 'grean'; did you mean 'green'"),
    "option": (["-m", "score-cam", "-O", "topk=3"], "no option 'topk'; did you mean 'top_k'"),
    "option of a wrapper": (["-m", "smoothgrad", "-O", "sampels=3"], "no option 'sampels'; did you mean 'samples'"),
    "layer of none of them": (["-m", "gradient,input-x-gradient", "-l", "x"], "gradient.*takes no layer"),
    "option of none of them": (["-m", "gradient,score-cam", "-O", "topk=3"], "none of the methods.*mean 'top_k'"),
    "option without value": (["-O", "samples"], "'samples' is not of the form name=value"),
    "option twice": (["-m", "smoothgrad", "-O", "samples=2", "-O", "samples=3"], "samples is given twice"),
    "type": (["-m", "smoothgrad", "-O", "samples=many"], "samples='many': expected a whole number"),
    "fraction": (["-m", "smoothgrad", "-O", "samples=2.5"], "samples='2.5': expected a whole number"),
    "range": (["-m", "smoothgrad", "-O", "samples=0"], "samples=0 is out of range: 1 <= samples"),
    "choice": (["-m", "score-cam", "-O", "preset=oficial"], "did you mean 'official'"),
    "not a number": (["-m", "smoothgrad", "-O", "noise=nan"], "noise='nan': expected a number"),
    "batch": (["-m", "score-cam", "-O", "batch_size=0"], "batch_size=.?0"),
    "sign": (["-m", "gradient", "-O", "sign=sined"], "did you mean 'signed'"),
    "switch": (["--colors", "viridis"], "no option '--colors'; did you mean '--colours'"),
    "colours": (["--colours", "inferrno"], "no colour map 'inferrno'; did you mean 'inferno'"),
    "kind": (["--kind", "overlai"], "'--kind'.*overlay"),
    "score": (["--score", "logits"], "did you mean 'logit'"),
    "seed": (["--seed", "-1"], "'--seed'"),
    "seed's type": (["--seed", "one"], "'--seed'.*'one'"),
    "memory beyond floats": (["--memory", 400 * "9" + "G"], "is no amount of memory; write for example 500M"),
    "memory": (["--memory", "lots"], "'lots' is no amount of memory; write for example 500M"),
    "too little memory": (["--memory", "10M"], "--memory 10M is not enough: grad-cam.. on this model takes about"),
    "preset": (["--preprocess", "imagent"], "no preprocessing 'imagent'; did you mean 'imagenet'"),
    "labels": (["--labels", "gone.txt"], "no such labels file: 'gone.txt'"),
    "provider": (["--provider", "cdua"], "no provider 'cdua'; did you mean 'cuda'"),
    "library": (["--custom-ops", "gone.so"], "no library of custom operators 'gone.so'"),
    "device": (["--provider", "cpu:1"], "provider 'cpu:1': cpu has no devices to choose from; write 'cpu'"),
    "no threads": (["--threads", "0"], "'--threads'"),
    "suffix": (["-o", "map.pgn"], "did you mean '.png'"),
    "template": (["-o", "{stm}.png"], "no {stm}; did you mean 'stem'"),
    "brace": (["-o", "{stem.png"], "'{stem.png'.*a brace itself is written twice"),
    "over the input": (["-o", "red.png"], "'red.png' would be overwritten, and it is read"),
    "over the labels": (["--labels", "names.txt", "--npz", "names.txt"], "'names.txt' would be overwritten"),
    "one name for two": (
        ["-t", "0", "-t", "1", "-o", "map.png"],
        "'map.png' would be written more than once; tell the results apart with {target} in -o",
    ),
    "one array file for two": (
        ["-m", "gradient,grad-cam", "--npz", "a.npz"],
        "'a.npz' would be written more than once; tell the results apart with {method} in --npz",
    ),
    "one name for two kinds": (["-o", "a.png", "--npz", "a.png"], "more than once; give each kind of file its own"),
    "target twice": (["-t", "0", "-t", "0"], "more than once; the target '0' is given twice"),
}


@pytest.mark.parametrize("what", MISUSES)
def test_misuse(refused, what: str) -> None:
    arguments, said = MISUSES[what]
    refused(2, said, "explain", "model.onnx", "red.png", *arguments)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (["a/1.png", "b/1.png"], "tell the results apart with {folder} in -o"),
        (["a/1.png", "a/1.jpg"], "'a/1.png' and 'a/1.jpg' have one stem and folder"),
        (["a/1.png", "2.png", "-o", "x.png"], "with {stem} or {folder} in -o"),
    ],
)
def test_pictures_of_one_name_are_told_apart_or_said(refused, images: list[str], said: str) -> None:
    refused(2, re.escape(said), "explain", "model.onnx", *images)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["explian", "model.onnx", "red.png"], "no command 'explian'; did you mean 'explain'"),
        (["model.onnx", "red.png"], "did you mean 'onnxsal explain model.onnx red.png'"),
        (["explain", "model.onnx"], "missing argument 'IMAGE...'"),
        (["explain"], "missing argument 'MODEL'"),
        (["--verison"], "no option '--verison'; did you mean '--version'"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["methods", "-m", "scorecam"], "did you mean 'score-cam'"),
        (["compile", "model.onnx", "-o", "o.onnx", "-m", "ss-cam[samples=2]"], "with -O here: -m ss-cam -O samples=2"),
        (["compile", "model.onnx", "-o", "out.txt"], "'out.txt' should end in .onnx"),
        (["gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "-o", "grad"], "'grad' should end in .onnx"),
        (["diff", "model.onnx", "model.onnx", "red.png", "-m", "ss-cam[]"], "with -O here: -m ss-cam -O NAME=VALUE"),
        (["evaluate", "model.onnx", "red.png", "-m", "ss-cam,cam", "-O", "samples=2"],
         r'options go in brackets here: -m "ss-cam.samples=2."'),
        (["gradient", "model.onnx", "--of", "logit", "--wrt", "picture", "-o", "g.onnx"],
         "did you mean 'logits'[?] it takes 'picture' and gives 'logits'"),
        (["gradient", "model.onnx", "--of", "zzz", "--wrt", "picture", "-o", "g.onnx"],
         "no value 'zzz'; it takes 'picture' and gives 'logits'"),
        (["gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "-o", "model.onnx"], "would be overwritten"),
        (["gradient", "model.onnx", "--of", "logits", "--wrt", "picture", "-o", "g.onnx", "--rules", "guidde"],
         "did you mean 'guided'"),
    ],
)  # fmt: skip
def test_misuse_of_other_commands(refused, arguments: list[str], said: str) -> None:
    refused(2, said, *arguments)


@pytest.mark.parametrize("output", ["album", "gone/map.png", "/proc/map.png", "x" * 300 + ".png"])
@pytest.mark.parametrize("option", ["-o", "--npz"])
def test_outputs_are_tried_before_any_work(
    refused, folder: Path, monkeypatch: pytest.MonkeyPatch, option: str, output: str
) -> None:
    if output.startswith("/proc") and not Path("/proc/self").exists():
        pytest.skip("needs a file system of this kind")
    (folder / "album").mkdir()
    monkeypatch.setattr("onnxsal.model.load.load", lambda *a, **k: pytest.fail("the model was loaded"))
    refused(1, "cannot write", "explain", "model.onnx", "red.png", option, output)


def test_a_library_that_is_none(refused, folder: Path) -> None:
    (folder / "ops.so").write_bytes(b"no library")
    refused(1, "'ops.so' cannot be loaded as a library of custom", "explain", "model.onnx", "red.png",
            "--custom-ops", "ops.so")  # fmt: skip


def test_a_model_that_does_not_say_how_it_wants_pictures(refused, folder: Path) -> None:
    tiny.write(tiny.classifier(preset=None), folder / "silent.onnx")
    refused(2, "--preprocess.*onnxsal predict", "explain", "silent.onnx", "red.png")


def test_one_bad_picture_of_several_is_left_out(run, folder: Path) -> None:
    (folder / "half.png").write_bytes((folder / "red.png").read_bytes()[:60])
    ended = run("explain", "model.onnx", "half.png", "red.png", "gone.png", "blue.png")
    assert ended.status == 1
    assert ended.err.count("onnxsal: ") == 2
    assert {p.name for p in folder.glob("*.grad-cam++.png")} == {"red.grad-cam++.png", "blue.grad-cam++.png"}


def test_debug_shows_where_it_happened(run) -> None:
    ended = run("explain", "gone.onnx", "red.png", "--debug")
    assert ended.status == 1
    assert "Traceback" in ended.err
    assert ended.err.endswith("onnxsal: there is no model file 'gone.onnx'\n")


def test_a_flat_map_is_drawn_and_finite(run, folder: Path) -> None:
    """A black picture gives the gradient of a dead network nothing to show: the map is 0, not NaN."""
    arrays = tiny.weights()
    arrays["w2"] = -np.abs(arrays["w2"]) - 1
    tiny.write(tiny.build(tiny.BODY, arrays), folder / "dead.onnx")
    ended = run("explain", "dead.onnx", "red.png", "-m", "grad-cam", "--npz", "a.npz")
    assert ended.status == 0, ended.err
    assert not np.load(folder / "a.npz")["saliency"].any()


def test_the_model_of_these_tests_is_valid() -> None:
    onnx.checker.check_model(tiny.classifier(), full_check=True)
