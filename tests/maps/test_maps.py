"""Maps as data: what is read is what was explained; bit for bit in float32, else as near as is said."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tiny_detectors
import tiny_models
from PIL import Image

import onnxsal
from onnxsal.errors import EnvironmentSetupError, ImageError, OutputError, UsageError
from onnxsal.maps import map_writer
from onnxsal.maps.begun import Begun, begun_in
from onnxsal.maps.schema import COLUMNS, KEY, VERSION
from onnxsal.maps.things import OTHER, Things
from onnxsal.maps.write import FolderOfMaps

pyarrow = pytest.importorskip("pyarrow", reason="Parquet is an extra")
parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is an extra")

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 26, 3), np.uint8)

SERIES = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 24] x) => (float[B, 2] y)
    <int64[1] last = {2}>
    { a = Conv <pads = [2, 2]> (x, w) r = Relu (a) m = ReduceMean <keepdims = 0> (r, last) y = MatMul (m, v) }"""

VOLUME = """<ir_version: 10, opset_import: ["" : 21]> g (float[B, 2, 4, 5, 6] x) => (float[B, 3] y)
    <int64[2] flat = {-1, 240}> { a = Mul (x, x) f = Reshape (a, flat) y = MatMul (f, v) }"""


def net(text: str, **arrays: tuple[int, ...]) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    for name, shape in arrays.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(RNG.normal(0, 1, shape).astype(np.float32), name))
    return proto


@pytest.fixture(scope="module")
def found() -> list[onnxsal.Explanation]:
    """Explanations of everything that has a map: of layers, cropped and fused, of pixels, sampled, of other ranks."""
    model = onnxsal.load(tiny_models.classifier())
    flip = onnxsal.load(tiny_models.behind("sum = Slice (picture, m1, far, last, m1)\n", m1=[-1], far=[-99], last=[3]))
    boxes = onnxsal.load(tiny_detectors.detector("v8"), labels=["red", "green", "blue"], threshold=0.6)
    several = tiny_detectors.picture((0, 2, 3), (2, 18, 16))
    series = onnxsal.load(net(SERIES, w=(3, 2, 5), v=(3, 2)))
    steps, volume = RNG.normal(0, 1, (2, 2, 24)).astype(np.float32), RNG.normal(0, 1, (2, 4, 5, 6)).astype(np.float32)
    return [
        *onnxsal.explain(model, PHOTO, method="grad-cam", target=["red", (2, 0), None]),
        onnxsal.explain(model, PHOTO, method="layercam", layer=["r1", "r2"]),
        onnxsal.explain(flip, PHOTO, method="hirescam", target="red"),
        onnxsal.explain(model, PHOTO, method="smoothgrad", samples=3, sign="signed"),
        onnxsal.explain(model, PHOTO, method="gradient", percentile=90.0, target="logits[0, 1]"),
        onnxsal.explain(model, PHOTO, method="occlusion", patch=6, stride=6),
        *onnxsal.explain(boxes, several, method="layercam", target=["all"]),
        onnxsal.explain(series, steps[0], method="grad-cam", target=1),
        onnxsal.explain(series, steps[1], method="gradient", target=1),
        onnxsal.explain(onnxsal.load(net(VOLUME, v=(240, 3))), volume, method="input-x-gradient", target=0),
    ]


def same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b is None or (a is not None and b is not None and a.dtype == b.dtype and np.array_equal(a, b))


@pytest.mark.parametrize("name", ["maps.parquet", "maps/"])
def test_what_is_read_is_what_was_explained(found: list[onnxsal.Explanation], tmp_path: Path, name: str) -> None:
    with map_writer(f"{tmp_path}/{name}", dtype="float32") as writer:
        for at, each in enumerate(found):
            writer.write(each, f"a/{at}.jpg", asked=None if at else "red")
    maps = onnxsal.read_maps(tmp_path / name)
    assert [each.id for each in maps] == [each.id for each in maps] == [f"a/{at}.jpg" for at in range(len(found))]
    assert (len(maps), maps.header["complete"], next(iter(maps)).asked) == (len(found), True, "red")
    for wanted, read in zip(found, maps, strict=True):
        assert same(read.raw, wanted.raw) and same(read.saliency, wanted.saliency) and same(read.stderr, wanted.stderr)
        for name in ("name", "label", "target", "score", "logit", "box", "method", "signed", "modality", "task",
                     "placement", "detection"):  # fmt: skip
            assert repr(getattr(read, name)) == repr(getattr(wanted, name)), name
        assert read.manifest == wanted.to_dict(maps=False)["manifest"]
        assert read.error == 0
    assert {len(each.raw.shape) for each in maps} == {1, 2, 3, 5} and {len(e.size) for e in maps} == {1, 2, 4}
    assert any(not each.placement.is_whole for each in maps) and any(each.stderr is not None for each in maps)
    assert sum(each.detection is not None for each in maps) > 1
    assert len(maps.header["runs"]) < len(found)


@pytest.mark.parametrize(("dtype", "steps"), [("float16", 2048), ("uint8", 510)])
def test_smaller_types_are_as_near_as_is_said(
    found: list[onnxsal.Explanation], tmp_path: Path, dtype: str, steps: int
) -> None:
    """Of maps far from 0, too, and of those that float16 could not hold as they are."""
    cam = found[0]
    far = [replace(cam, raw=cam.raw * np.float32(scale) + np.float32(shift)) for scale, shift in
           ((1e-30, 0), (1e30, 0), (1e-3, 1), (1e-3, -1), (0, 7), (0, 0))]  # fmt: skip
    with map_writer(tmp_path / "maps.parquet", dtype=dtype) as writer:
        for each in (*found, *far):
            writer.write(each)
    for wanted, read in zip((*found, *far), onnxsal.read_maps(tmp_path / "maps.parquet"), strict=True):
        largest, reach = float(np.abs(wanted.raw).max()), float(np.ptp(wanted.raw))
        assert np.abs(wanted.raw.astype(np.float64) - read.raw).max() <= read.error
        assert read.error <= reach / steps * (1 + 1e-6) + largest * 2**-23
        if wanted.stderr is not None:
            assert read.stderr is not None
            assert np.abs(wanted.stderr - read.stderr).max() <= wanted.stderr.max() / 2048
    stored = parquet.read_schema(tmp_path / "maps.parquet").field("map").type.value_type
    assert str(stored) == {"float16": "halffloat", "uint8": "uint8"}[dtype]


def test_a_group_of_rows_is_in_memory_at_a_time(found: list[onnxsal.Explanation], tmp_path: Path) -> None:
    large = replace(found[6], raw=np.zeros((1, 700, 1000), np.float32), saliency=np.zeros((700, 1000), np.float32))
    tracemalloc.start()
    with map_writer(tmp_path / "maps.parquet", dtype="float32") as writer:
        for at in range(12):
            writer.write(large, str(at))
    for at, each in enumerate(onnxsal.read_maps(tmp_path / "maps.parquet")):
        assert each.id == str(at)
    assert tracemalloc.get_traced_memory()[1] < 25e6  # of 34
    tracemalloc.stop()
    assert parquet.ParquetFile(tmp_path / "maps.parquet").num_row_groups >= 4


@pytest.mark.parametrize("name", ["maps.parquet", "maps/"])
def test_what_ends_early_leaves_what_is_done_and_says_so(
    found: list[onnxsal.Explanation], tmp_path: Path, name: str
) -> None:
    def interrupted() -> None:
        with map_writer(f"{tmp_path}/{name}") as writer:
            writer.write(found[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    maps = onnxsal.read_maps(tmp_path / name)
    assert ([each.label for each in maps], maps.header["complete"]) == (["red"], False)
    with pytest.raises(KeyError), map_writer(tmp_path / "none.parquet"):
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [name.rstrip("/")]


def rewritten(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    """Write a file of maps anew with other words about the whole."""
    table = parquet.read_table(path)
    whole = json.loads(parquet.read_metadata(path).metadata[KEY.encode()])
    parquet.write_table(table.replace_schema_metadata({KEY: json.dumps(change(whole))}), path)


def test_what_is_no_file_of_maps_says_so(found: list[onnxsal.Explanation], tmp_path: Path) -> None:
    with map_writer(tmp_path / "maps.parquet") as writer:
        writer.write(found[0])
    with pytest.raises(UsageError, match=r"no such file of maps: .*maps.parq'; did you mean 'maps.parquet'"):
        onnxsal.read_maps(tmp_path / "maps.parq")
    rewritten(tmp_path / "maps.parquet", lambda whole: {**whole, "version": VERSION + 1})
    with pytest.raises(UsageError, match=rf"is of version {VERSION + 1}, written by .* reads up to version {VERSION}"):
        onnxsal.read_maps(tmp_path / "maps.parquet")
    rewritten(tmp_path / "maps.parquet", lambda whole: {"settings": {}})
    (tmp_path / "folder").mkdir()
    for path, said in (("maps.parquet", "no maps of onnxsal"), ("folder", "there is no manifest.json in it")):
        with pytest.raises(UsageError, match=said):
            onnxsal.read_maps(tmp_path / path)
    (tmp_path / "maps.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        onnxsal.read_maps(tmp_path / "maps.parquet")
    with pytest.raises(UsageError, match=r"as \.parquet, or into a folder"):
        map_writer(tmp_path / "maps.csv")
    with pytest.raises(UsageError, match="float32, float16, uint8; got 'float8'; did you mean 'float32'"):
        map_writer(tmp_path / "new.parquet", dtype="float8")
    with pytest.raises(OutputError, match="has files in it"):
        map_writer(tmp_path)


def test_a_damaged_byte_of_a_map_is_no_other_map(found: list[onnxsal.Explanation], tmp_path: Path) -> None:
    """Noise is stored as it is: without a checksum another number is read, and nothing said."""
    with map_writer(tmp_path / "maps.parquet", dtype="float32") as out:
        out.write(found[0], "a.png")
    data = (tmp_path / "maps.parquet").read_bytes()
    at = data.index(found[0].raw.tobytes()[:16])
    (tmp_path / "maps.parquet").write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(UsageError, match=r"maps\.parquet' is damaged"):
        list(onnxsal.read_maps(tmp_path / "maps.parquet"))


def _array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _changed(given: Path | bytes, mark: bytes, behind: int, byte: int) -> bytes:
    """Change a byte behind each of a zip's marks: of what is kept in it, and of its index."""
    data = bytearray(given if isinstance(given, bytes) else given.read_bytes())
    for found in re.finditer(re.escape(mark), bytes(data)):
        data[found.start() + behind] = byte
    return bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty, as after a loss of power": lambda path: path.write_bytes(b""),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[:99]),
    "an array": _array,
    "a row of something else": lambda path: np.savez(path, row=np.array(b"[1]")),
    "a row without columns": lambda path: np.savez(path, row=np.array(b"{}")),
    "no text": lambda path: np.savez(path, row=3),
    "packed by a later zip": lambda path: path.write_bytes(_changed(path, b"PK\1\2", 6, 208)),
    "encrypted": lambda path: path.write_bytes(_changed(_changed(path, b"PK\1\2", 8, 1), b"PK\3\4", 6, 1)),
    "packed otherwise than it says": lambda path: path.write_bytes(
        _changed(_changed(path, b"PK\1\2", 10, 8), b"PK\3\4", 8, 8)
    ),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_file_of_a_folder_is_named_and_gone_on_without(
    found: list[onnxsal.Explanation], tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    with FolderOfMaps(tmp_path, "float32", "this") as out:
        out.write(found[0], "a.png")
        out.write(found[0], "b.png")
    file = next(tmp_path.glob("*-a.*.npz"))
    damage(file)
    with pytest.raises(UsageError, match=rf"{re.escape(file.name)}' is no map of onnxsal, or is damaged"):
        list(onnxsal.read_maps(tmp_path))
    begun = begun_in(tmp_path, "this", "float32")
    assert begun is not None and begun.damaged == [file] and list(begun.files) == ["b.png"]


def test_a_folder_whose_manifest_lost_the_type_of_its_maps_is_not_gone_on_with(
    found: list[onnxsal.Explanation], tmp_path: Path
) -> None:
    with FolderOfMaps(tmp_path, "float32", "this") as out:
        out.write(found[0], "a.png")
    manifest = tmp_path / "manifest.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"dtype"', '"type"'), "utf-8")
    with pytest.raises(UsageError, match="name another folder"):
        begun_in(tmp_path, "this", "float32")


@pytest.mark.parametrize(("runs", "said"), [(None, "its header does not say"), ({}, "which the header does not know")])
def test_maps_without_their_manifest_are_named(
    found: list[onnxsal.Explanation], tmp_path: Path, runs: object, said: str
) -> None:
    with FolderOfMaps(tmp_path, "float32") as out:
        out.write(found[0], "a.png")
    whole = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**whole, "runs": runs}))
    with pytest.raises(UsageError, match=said):
        list(onnxsal.read_maps(tmp_path))


RUNS: dict[str, Any] = {
    "sign": 3, "modality": [], "channels": {}, "method": None, "layer": [], "seed": [[]],
}  # fmt: skip
ROWS: dict[str, Any] = {
    "shape": [3], "size": "x", "about": "[", "placement": '{"rows": [["1", "2", "3", "x"]]}', "map_scale": "x",
    "notes": 7, "detection": "{", "box": 5,
}  # fmt: skip


HARMLESS = ("modality", "channels", "method", "layer", "seed")
"""What the numbers of a map do not depend on."""


@pytest.mark.parametrize(("held_in", "key"), [*(("runs", k) for k in RUNS), *(("row", k) for k in ROWS)])
def test_values_that_no_writer_wrote_are_a_map_or_a_message(
    found: list[onnxsal.Explanation], tmp_path: Path, held_in: str, key: str
) -> None:
    with FolderOfMaps(tmp_path, "float16") as out:
        out.write(found[0], "a.png")
    whole = json.loads((tmp_path / "manifest.json").read_text())
    file = next(tmp_path.glob("*.npz"))
    with np.load(file) as arrays:
        held = dict(arrays)
    row = json.loads(held["row"].item())
    if held_in == "runs":
        next(iter(whole["runs"].values()))[key] = RUNS[key]
    else:
        row[key] = ROWS[key]
    (tmp_path / "manifest.json").write_text(json.dumps(whole))
    np.savez(file, **{**held, "row": np.array(json.dumps(row).encode())})
    said = r"the map of 'a\.png' is damaged: .|sign"
    with contextlib.nullcontext() if key in HARMLESS else pytest.raises(UsageError, match=said):
        (one,) = onnxsal.read_maps(tmp_path)
        assert np.isfinite(one.saliency).all()


def test_parquet_without_a_column_or_with_bytes_for_a_header(found: list[onnxsal.Explanation], tmp_path: Path) -> None:
    with map_writer(tmp_path / "maps.parquet") as out:
        out.write(found[0], "a.png")
    table = parquet.read_table(tmp_path / "maps.parquet")
    kept = {KEY: parquet.read_metadata(tmp_path / "maps.parquet").metadata[KEY.encode()]}
    parquet.write_table(table.drop_columns(["crc32"]).replace_schema_metadata(kept), tmp_path / "less.parquet")
    with pytest.raises(UsageError, match=r"less\.parquet' is damaged: it has no column 'crc32'"):
        onnxsal.read_maps(tmp_path / "less.parquet")
    parquet.write_table(table.replace_schema_metadata({KEY: b"\xff{"}), tmp_path / "bytes.parquet")
    with pytest.raises(UsageError, match=r"bytes\.parquet' is not valid JSON"):
        onnxsal.read_maps(tmp_path / "bytes.parquet")
    whole = (tmp_path / "maps.parquet").read_bytes()
    (tmp_path / "strange.parquet").write_bytes(whole.replace(b"crc32", b"crc3\xb9"))
    with pytest.raises(UsageError, match=r"strange\.parquet' cannot be read as Parquet: 'utf-8' codec"):
        onnxsal.read_maps(tmp_path / "strange.parquet")
    at = table.column_names.index("method")
    other = table.set_column(at, "method", pyarrow.array([[1.0]])).replace_schema_metadata(kept)
    parquet.write_table(other, tmp_path / "other.parquet")
    with pytest.raises(UsageError, match=r"the map of 'a\.png' is damaged: its method is no string: \[1\.0\]"):
        next(onnxsal.read_maps(tmp_path / "other.parquet").words())
    for name, read in (("stderr", contextlib.nullcontext()), ("map", pytest.raises(UsageError, match="is damaged"))):
        other = table.set_column(table.column_names.index(name), name, pyarrow.nulls(1))  # no list of any type
        parquet.write_table(other.replace_schema_metadata(kept), tmp_path / "none.parquet")
        with read:
            assert [each.stderr for each in onnxsal.read_maps(tmp_path / "none.parquet")] == [None]


def test_without_pyarrow_there_is_the_folder(
    found: list[onnxsal.Explanation], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(EnvironmentSetupError, match=r"onnxsal\[parquet\]'; or name a folder"):
        map_writer(tmp_path / "maps.parquet")
    with map_writer(tmp_path / "maps") as writer:
        writer.write(found[0])
    assert [each.label for each in onnxsal.read_maps(tmp_path / "maps")] == ["red"]


@pytest.mark.skipif(sys.platform != "linux", reason="others have no such names")
@pytest.mark.parametrize("name", ["maps.parquet", "maps/"])
def test_a_photograph_is_found_again_whatever_bytes_its_name_has(tmp_path: Path, name: str) -> None:
    """One that is no UTF-8, and so long that no more fits into a file's name."""
    photo = tmp_path / "photos" / "deep" / ("caf\udce9" + "\u6f22" * 80 + ".png")
    photo.parent.mkdir(parents=True)
    Image.fromarray(PHOTO).save(photo)
    model = onnxsal.load(tiny_models.classifier())
    with map_writer(tmp_path / name, dtype="float32") as writer:
        writer.write(onnxsal.explain(model, photo), f"deep/{photo.name}")
    (read,) = onnxsal.read_maps(tmp_path / name)
    assert Things(tmp_path / "photos").find(read.id) == photo
    assert same(read.raw, onnxsal.explain(model, PHOTO).raw) and OTHER not in read.on(photo).manifest["notes"]


@pytest.mark.parametrize(
    ("asked", "last", "done"),
    [
        ([("all-1", "a"), ("all-1", "b"), ("all-2", "a"), ("all-2", "b"), ("red", "a"), ("red", "b")], "y", True),
        ([("all-1", "a"), ("all-1", "b"), ("all-2", "a"), ("all-2", "b"), ("red", "a"), ("red", "b")], "x", False),
        ([("all-1", "a"), ("all-1", "b"), ("all-2", "a"), ("red", "a"), ("red", "b")], "y", False),
        ([("all-1", "a"), ("all-1", "b"), ("red", "a")], "y", False),
        ([("red", "a"), ("red", "b")], "y", False),
    ],
)
def test_of_all_that_is_seen_the_last_picture_may_lack_some(asked: list, last: str, done: bool) -> None:
    rows = [(Path("0.npz"), {"asked": goal, "method": method, "about": "{}"}) for goal, method in asked]
    assert Begun({}, 0, {"x": rows}, last, ()).is_done("x", ["all", "red"], ["a", "b"]) is done


@pytest.mark.parametrize(
    ("id", "found"),
    [
        ("a/0.png", "a/0.png"),  # where it says, though others are called so
        ("photos/0.png", "0.png"),  # the folder itself was named then
        ("/data/photos/a/0.png", "a/0.png"),
        ("there/photos/b/c/1.png", "b/c/1.png"),
        ("c/1.png", "b/c/1.png"),  # below, and its path ends so
        ("pictures/2.png", "2.png"),  # the folder has another name now, and nothing else is called so
        ("pictures/0.png", r"may be '.*photos.0.png' or '.*photos.a.0.png'"),
        ("c/3.png", r"may be '.*b.c.3.png' or '.*d.c.3.png'"),
        ("x/1.png", "is neither in the folder"),  # the only one called so, but elsewhere
        ("a/4.png", "is neither in the folder"),  # there is 4.png, which is another one's
    ],
)
def test_what_is_called_alike_in_another_folder_is_not_taken_for_it(tmp_path: Path, id: str, found: str) -> None:
    folder = tmp_path / "data" / "photos"
    for each in ("0.png", "a/0.png", "b/c/1.png", "2.png", "b/c/3.png", "d/c/3.png", "4.png"):
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).touch()
    things = Things(folder, [id, "4.png"])
    if found.endswith("png"):
        assert things.find(id) == folder / found
    else:
        with pytest.raises(ImageError, match=found):
            things.find(id)


def test_the_page_has_the_columns() -> None:
    page = (Path(__file__).parents[2] / "docs" / "maps.md").read_text(encoding="utf-8")
    for column in COLUMNS:
        kind = column.type.replace("list ", "list of ").replace("error", "float32 or float16").replace("map", "`dtype`")
        assert f"| `{column.name}` | {kind}{', or none' if column.open else ''} | {column.meaning} |" in page
