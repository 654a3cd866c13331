"""``onnxsal evaluate`` as a user runs it: outputs, exit status, and what an interruption or a full disk leaves."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WHAT = ("evaluate", "model.onnx", "pictures", "-m", "grad-cam,gradient", "--metrics", "deletion[steps=3],sparseness")


@pytest.fixture
def images(folder: Path) -> Path:
    """Six pictures in a folder of their own."""
    made = folder / "pictures"
    made.mkdir()
    for at in range(6):
        image = np.full((40, 60, 3), 90, np.uint8)
        image[8 : 20 + at, 15:45] = (220, 40 * at, 30)
        Image.fromarray(image).save(made / f"{at}_picture.png")
    return made


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_table_and_files(run: Any, images: Path, folder: Path) -> None:
    ended = run(*WHAT, "--csv", "r.csv", "--json", "r.json", "--report", "r.html")
    assert ended.status == 0
    assert ended.out.splitlines()[0].split() == ["method", "deletion[steps=3]", "↓", "sparseness", "↑"]
    assert len(rows(folder / "r.csv")) == 24
    assert len(json.loads((folder / "r.json").read_text())["rows"]) == 24
    assert (folder / "r.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (folder / "model.evaluation.jsonl").exists()


def test_json_to_the_screen(run: Any, images: Path) -> None:
    ended = run(*WHAT, "--json", "-")
    assert len(json.loads(ended.out)["rows"]) == 24


def test_a_second_run_says_what_it_knew(run: Any, images: Path) -> None:
    run(*WHAT)
    assert "24 results of 24 were in model.evaluation.jsonl already" in run(*WHAT).err


def test_the_metrics_are_listed(run: Any) -> None:
    out = run("evaluate", "--list").out
    assert "deletion (lower is better)" in out and "needs score, x, saliency" in out


BAD = {
    "no method": (["evaluate", "model.onnx", "pictures"], 2, "nothing to judge: name methods"),
    "an empty folder": (["evaluate", "model.onnx", ".", "-m", "grad-cam"], 0, ""),
    "a pattern without match": (["evaluate", "model.onnx", "*.gif", "-m", "grad-cam"], 2, "no file matches '*.gif'"),
    "an address": ([*WHAT[:2], "https://a.org/b.png", *WHAT[3:]], 2, "'https://a.org/b.png' is an address"),
    "an unknown metric": ([*WHAT[:5], "--metrics", "deletoin"], 2, "did you mean 'deletion'?"),
    "an unknown method": ([*WHAT[:4], "grad-cm"], 2, "did you mean 'grad-cam'?"),
    "a layer that no method takes": (
        [*WHAT[:4], "gradient,input-x-gradient", "-l", "x"],
        2,
        "nothing here takes a layer (methods: gradient, ",
    ),
    "no such truth": ([*WHAT, "--truth", "labels.csv"], 2, "no such truth file: 'labels.csv'"),
    "a report in no folder": ([*WHAT, "--report", "no/r.html"], 1, "the folder 'no' does not exist"),
    "the model as journal": ([*WHAT, "--journal", "model.onnx"], 2, "is no journal of onnxsal"),
    "no maps": ([*WHAT[:3], "--maps", "mine"], 2, "there is no folder 'mine'"),
    "label without truth": ([*WHAT, "--target", "label"], 2, "nothing says it: give truth (--truth)"),
}


@pytest.mark.parametrize("case", [c for c in BAD if c != "an empty folder"])
def test_bad_input_is_one_clear_message(run: Any, images: Path, folder: Path, case: str) -> None:
    arguments, status, message = BAD[case]
    before = (folder / "model.onnx").read_bytes()
    ended = run(*arguments)
    assert (ended.status, message in ended.err) == (status, True), ended.err
    assert "Traceback" not in ended.err
    assert (folder / "model.onnx").read_bytes() == before


def test_an_empty_folder(run: Any, folder: Path) -> None:
    (folder / "empty").mkdir()
    ended = run("evaluate", "model.onnx", "empty", "-m", "grad-cam")
    assert ended.status == 2
    assert "the folder 'empty' holds no pictures" in ended.err


def test_a_broken_picture_gives_status_1_and_everything_else(run: Any, images: Path, folder: Path) -> None:
    (images / "7_broken.png").write_bytes(b"not a picture at all, but text")
    ended = run(*WHAT, "--csv", "r.csv")
    assert ended.status == 1
    assert "7_broken.png" in ended.err and "Traceback" not in ended.err
    assert len(rows(folder / "r.csv")) == 24


ANNOTATIONS = {
    "coco.json": json.dumps(
        {
            "images": [{"id": 1, "file_name": "0_picture.png", "width": 60, "height": 40}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 0, "bbox": [15, 8, 30, 12]}],
        }
    ),
    "voc.xml": "<annotation><filename>0_picture.png</filename><object><name>red</name><bndbox><xmin>16</xmin>"
    "<ymin>9</ymin><xmax>45</xmax><ymax>20</ymax></bndbox></object></annotation>",
    "corners.csv": "image,xmin,ymin,xmax,ymax\n0_picture.png,15,8,45,20\n",
    "sizes.csv": "image,x,y,width,height\n0_picture.png,15,8,30,12\n",
}


def test_the_same_box_in_four_formats(run: Any, images: Path, folder: Path) -> None:
    values = []
    for name, text in ANNOTATIONS.items():
        (folder / name).write_text(text)
        run(*WHAT[:5], "--metrics", "energy-pointing", "--boxes", name, "--csv", "r.csv", "--journal", f"{name}.jsonl")
        values.append([row["value"] for row in rows(folder / "r.csv")])
    assert len(values[0]) == 2 and values[0][0] != ""
    assert values == [values[0]] * 4


def test_boxes_that_no_metric_reads_are_said(run: Any, images: Path, folder: Path) -> None:
    (folder / "boxes.csv").write_text(ANNOTATIONS["corners.csv"])
    said = "note: no metric here reads --boxes; those that do: --metrics energy-pointing,pointing-game\n"
    assert said in run(*WHAT, "--boxes", "boxes.csv").err
    ended = run(*WHAT[:-1], "sparseness,pointing-game[tolerance=1]", "--boxes", "boxes.csv")
    assert (ended.status, "no metric here" in ended.err) == (0, False), ended.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--stages", "5"], "no metric here reads --stages; those that do: --metrics randomisation"),
        (["--mosaics", "2", "--confidence", "0.8"], "no metric here reads --mosaics and --confidence; those that do: "
         "--metrics grid-pointing"),
        (["--label-offset", "1"], "nothing here reads --label-offset: it is added to the labels of --truth"),
    ],
)  # fmt: skip
def test_what_nothing_reads_is_said_where_it_was_given(run: Any, images: Path, given: list[str], said: str) -> None:
    assert f"note: {said}\n" in run(*WHAT, *given).err
    assert "reads" not in run(*WHAT).err


def test_stages_that_a_metric_reads_are_not_said_to_be_unread(run: Any, images: Path) -> None:
    ended = run(*WHAT[:-1], "randomisation", "--stages", "1")
    assert (ended.status, "reads" in ended.err) == (0, False), ended.err


def test_labels_from_a_file(run: Any, images: Path, folder: Path) -> None:
    (folder / "truth.csv").write_text("image,label\n" + "".join(f"{p.name},blue\n" for p in images.iterdir()))
    ended = run(*WHAT, "--truth", "truth.csv", "--target", "label", "--csv", "r.csv")
    assert ended.status == 0
    assert {row["label"] for row in rows(folder / "r.csv")} == {"blue"}
    (folder / "truth.csv").write_text("0_picture.png,bleu\n" + "".join(f"{i}_picture.png,blue\n" for i in range(1, 6)))
    ended = run(*WHAT, "--truth", "truth.csv")
    assert ended.status == 2
    assert "no class is called 'bleu'; did you mean 'blue'" in ended.err


def _started(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "onnxsal", *WHAT, "--journal", "j.jsonl", *more]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _lines(path: Path) -> int:
    return path.read_bytes().count(b'"kind": "row"') if path.exists() else 0


@pytest.mark.slow("two processes are killed in the midst of thirty pictures, and two more run to the end")
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_process_loses_nothing_and_counts_nothing_twice(run: Any, images: Path, folder: Path) -> None:
    """Killed again and again in the midst of work, until a run gets through."""
    for at in range(6, 30):
        Image.open(images / "0_picture.png").rotate(at).save(images / f"{at}_picture.png")
    kills = 0
    for _ in range(2):
        process, before = _started(folder), _lines(folder / "j.jsonl")
        while process.poll() is None and _lines(folder / "j.jsonl") < before + 8:
            time.sleep(0.005)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.communicate()
        assert _lines(folder / "j.jsonl") >= before + 8
    assert kills == 2
    with (folder / "j.jsonl").open("ab") as file:
        file.write(b'{"kind": "row", "key": "abc", "ima')
    ended = run(*WHAT, "--journal", "j.jsonl", "--csv", "r.csv")
    assert ended.status == 0
    assert "1 line of j.jsonl cut off by an interruption" in ended.err
    found = rows(folder / "r.csv")
    assert len(found) == 30 * 2 * 2
    assert len({(r["image"], r["method"], r["metric"]) for r in found}) == 120
    fresh = run(*WHAT, "--journal", "fresh.jsonl", "--csv", "fresh.csv")
    assert fresh.status == 0
    keep = ("image", "method", "metric", "value", "target")
    assert [[r[k] for k in keep] for r in found] == [[r[k] for k in keep] for r in rows(folder / "fresh.csv")]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the size of files")
def test_a_disk_that_fills_loses_nothing(run: Any, images: Path, folder: Path) -> None:
    """A limit on the size of files stands for the end of the disk: writing stops in the midst of a line."""
    import resource

    limit = 20_011
    process = subprocess.run(
        [sys.executable, "-m", "onnxsal", *WHAT, "--journal", "j.jsonl"], cwd=folder, capture_output=True, text=True,
        check=False, preexec_fn=lambda: (resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
                                         signal.signal(signal.SIGXFSZ, signal.SIG_IGN)),
    )  # fmt: skip
    assert process.returncode == 1
    assert "cannot write the journal 'j.jsonl': File too large; what was judged so far is kept in it" in process.stderr
    content = (folder / "j.jsonl").read_bytes()
    assert content.endswith(b"\n") and len(content) <= limit
    known = _lines(folder / "j.jsonl")
    assert 0 < known < 24
    ended = run(*WHAT, "--journal", "j.jsonl", "--csv", "r.csv")
    assert ended.status == 0
    assert f"{known} results of 24 were in j.jsonl already" in ended.err
    assert "cut off" not in ended.err
    assert len(rows(folder / "r.csv")) == 24


def test_ctrl_c_ends_it_and_the_next_run_goes_on(run: Any, images: Path, folder: Path) -> None:
    from onnxsal.evaluation import run as running

    real, count = running.verdicts, []

    def stop(*given: Any) -> Any:
        count.append(1)
        if len(count) == 5:
            raise KeyboardInterrupt
        return real(*given)

    running.verdicts = stop
    try:
        assert run(*WHAT).status == 130
    finally:
        running.verdicts = real
    ended = run(*WHAT)
    assert "8 results of 24 were in" in ended.err


def test_no_output_replaces_what_is_read(run: Any, images: Path, folder: Path) -> None:
    """Nor a picture, a map or a mask in a folder that was named."""
    (folder / "own.csv").write_text("image,left,top,right,bottom\n0_picture.png,0,0,9,9\n")
    (folder / "t.csv").write_text("".join(f"{p.name},0\n" for p in images.iterdir()))
    (folder / "l.txt").write_text("red\ngreen\nblue\ngreen apple\n")
    (folder / "maps").mkdir()
    np.save(folder / "maps" / "0_picture.npy", np.eye(16))
    cases = [("--boxes", "own.csv", "own.csv"), ("--truth", "t.csv", "t.csv"), ("--labels", "l.txt", "l.txt"),
             ("--maps", "maps", "maps/0_picture.npy"), ("--seed", "0", "pictures/0_picture.png")]  # fmt: skip
    for option, given, output in cases:
        before = (folder / output).read_bytes()
        for kind in ("--csv", "--json"):
            ended = run(*WHAT, option, given, kind, output)
            assert ended.status == 2 and "would be overwritten, and it is read: name another file" in ended.err
        assert (folder / output).read_bytes() == before


def test_a_report_is_a_page(run: Any, images: Path) -> None:
    ended = run(*WHAT, "--report", "r.txt")
    assert ended.status == 2 and "--report is a page: 'r.txt' should end in .html" in ended.err


@pytest.mark.parametrize("kind", ["csv", "report", "parquet"])
def test_only_json_goes_to_the_screen(run: Any, images: Path, kind: str) -> None:
    ended = run(*WHAT, f"--{kind}", "-")
    assert ended.status == 2 and "only --json - writes to the screen" in ended.err
