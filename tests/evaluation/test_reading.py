"""Names with options, labels and boxes as people write them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.evaluation.annotations import read_boxes
from onnxsal.evaluation.items import Item, gather
from onnxsal.evaluation.named import Named, named
from onnxsal.evaluation.placement import boxes_mask, moved_boxes, moved_mask, placement
from onnxsal.evaluation.remaining_time import Pace
from onnxsal.evaluation.truth import background, read_truth, with_truth
from onnxsal.modalities.image import Photo, Preprocess
from onnxsal.model import Model


def test_options_stand_in_brackets() -> None:
    assert named("grad-cam, score-cam[preset=paper, top-k=64],ss-cam[variant=1]", "method") == (
        Named("grad-cam"),
        Named("score-cam", {"preset": "paper", "top_k": "64"}),
        Named("ss-cam", {"variant": "1"}),
    )
    assert named([("deletion", {"steps": 5}), "deletion[steps=5]"], "metric")[0].label == "deletion[steps=5]"
    assert len(named(["a,a", "a"], "method")) == 1


def test_an_option_of_several_values_has_commas_between_them() -> None:
    assert named("road[shares=0.1, 0.5,noise=0],smooth-grad-cam++[maps=1,3]", "metric") == (
        Named("road", {"shares": "0.1,0.5", "noise": "0"}),
        Named("smooth-grad-cam++", {"maps": "1,3"}),
    )


def test_labels_tell_large_arrays_apart() -> None:
    """By eight digits of their hashes; what would be called the same and is not is refused."""
    arrays = [np.full((3, 40, 40), 0, np.float32) for _ in range(3)]
    arrays[1][:, 10:20, 10:20] = 1
    found = named([("occlusion", {"baseline": each}) for each in arrays], "method")
    assert len(found) == 2
    for each in found:
        assert re.fullmatch(r"occlusion\[baseline=array \[3, 40, 40\] of float32, SHA-256 [0-9a-f]{8}\]", each.label)
    with pytest.raises(UsageError, match=r"two methods with different options would both be called 'a\[x=1,y=2\]'"):
        named([("a", {"x": "1,y=2"}), "a[x=1,y=2]"], "method")


@pytest.mark.parametrize("text", ["[x=1]", "a[x=1", "a[x=1]b", "a[[x=1]]", "a[x]", "a[x,y=1]"])
def test_brackets_that_are_wrong(text: str) -> None:
    with pytest.raises(UsageError):
        named(text, "method")


LABELS = {
    "a.jpg,3\nb.jpg,5\n": {"a.jpg": 3, "b.jpg": 5},
    "a.jpg tabby cat\n\nb.jpg 5\n": {"a.jpg": "tabby cat", "b.jpg": 5},
    "label,image\n3,a.jpg\n": {"a.jpg": 3},
    'Image,Class\n"a, b.jpg","cat, domestic"\n': {"a, b.jpg": "cat, domestic"},
}


@pytest.mark.parametrize("text", LABELS)
def test_labels(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    assert read_truth(tmp_path / "t.txt") == LABELS[text]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a.jpg\n", "line 1"),
        ("a,1\na,2\n", "two labels, 1 and 2"),
        ('a,1\n"b,2\nc,3\n', r't.txt, line 2: a quote \("\) opens and does not close'),
        (f"a,{'1' * 200_000}\n", "t.txt, line 1: field larger than"),
    ],
)
def test_labels_that_are_wrong(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_truth(tmp_path / "t.txt")


def test_truth_from_names_and_folders() -> None:
    images = [Item(Path("/p/tabby/0207_x.jpg"), "0207_x.jpg")]
    assert with_truth(images, "names")[0].truth == 207
    assert with_truth(images, "folders")[0].truth == "tabby"
    with pytest.raises(UsageError, match="does not begin with a class index"):
        with_truth([Item(Path("x.jpg"), "x.jpg")], "names")


def test_the_background_is_class_0_of_1001(model: object) -> None:
    from dataclasses import replace

    from onnxsal.tasks.labels import Labels

    assert background(model) == 0  # type: ignore[arg-type]
    many = replace(model, labels=Labels(("background", *map(str, range(1000)))))  # type: ignore[type-var]
    assert background(many) == 1  # type: ignore[arg-type]


BAD_BOXES = {
    "a.json": ("{", "not valid JSON"),
    "b.json": ('{"images": []}', "no COCO file"),
    "c.json": (
        '{"images": [{"id": 1, "file_name": "x"}], "annotations": [{"image_id": 2, "bbox": [0,0,1,1]}]}',
        "'image_id' 2, and there is no image of this 'id'",
    ),
    "d.json": (
        '{"images": [{"id": 1, "file_name": "x"}], "annotations": [{"image_id": 1, "bbox": [0,0,-1,1]}]}',
        "no size",
    ),
    "k.json": (
        '{"images": [{"id": 1, "file_name": "x"}], "categories": [{"id": 1, "name": "a"}], "annotations": '
        '[{"image_id": 1, "category_id": 0, "bbox": [0,0,1,1]}]}',
        "'category_id' 0, and no category has this 'id'",
    ),
    "l.json": (
        '{"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
        "two categories have the 'id' 1: 'a' and 'b'",
    ),
    "m.json": ('{"images": [], "annotations": ["bbox"]}', "something is wrong with"),
    "e.xml": ("<annotation>", "not valid XML"),
    "f.xml": ("<thing/>", "root is <thing>"),
    "g.xml": (
        '<!DOCTYPE annotation [<!ENTITY n "red">]><annotation><object><name>&n;</name></object></annotation>',
        r"g\.xml has a <!DOCTYPE: Pascal VOC has none, and none is read",
    ),
    "q.csv": ('image,left,top,right,bottom\n"x,1,2,3,4\ny,1,2,3,4\n', r"q.csv, line 2: a quote .* does not close"),
    "g.csv": ("a,b,c\n", "the first line names the columns"),
    "h.csv": ("image,left,top,right,bottom\nx,1,2,three,4\n", "line 2: a box is four numbers"),
    "i.csv": ("image,left,top,right,bottom\nx,1,2\n", "line 2: 3 columns"),
    "j.txt": ("x", "boxes are read from COCO"),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_boxes_that_are_wrong(tmp_path: Path, name: str) -> None:
    text, said = BAD_BOXES[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        read_boxes(tmp_path / name)


KINDS = {
    "a.json": '{"images": [{"id": 1, "file_name": "0_red0.png"}], "categories": [{"id": 4, "name": "Red"}, {"id": 5, '
    '"name": "car"}], "annotations": [{"image_id": 1, "bbox": [0,0,20,40], "category_id": 4}, {"image_id": 1, "bbox": '
    '[20,0,40,40], "category_id": 5}]}',
    "a.xml": "<annotation><filename>0_red0.png</filename><object><name>red</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
    "<xmax>20</xmax><ymax>40</ymax></bndbox></object><object><name>car</name><bndbox><xmin>21</xmin><ymin>1</ymin>"
    "<xmax>60</xmax><ymax>40</ymax></bndbox></object></annotation>",
    "a.csv": "image,left,top,right,bottom,label\n0_red0.png,0,0,20,40,red\n0_red0.png,20,0,60,40,car\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_only_boxes_of_the_class_explained_count(model: Model, photos: Path, tmp_path: Path, name: str) -> None:
    """Where one is called as a class is; where none is, all of them are the object."""

    def energy(text: str, label: str) -> list[float]:
        (tmp_path / name).write_text(text)
        found = onnxsal.evaluate(model, photos / "0_red0.png", methods=["gradient"], metrics=["energy-pointing"],
                                 boxes=tmp_path / name, truth={"0_red0.png": label}, target="label")  # fmt: skip
        return [row.value for row in found.rows]

    boxes = ((0.0, 0.0, 20.0, 40.0), (20.0, 0.0, 60.0, 40.0))
    saliency = onnxsal.explain(model, photos / "0_red0.png", method="gradient", target=0).saliency.astype(np.float64)
    inside = boxes_mask(np.array([boxes[0]]) * (16 / 60, 16 / 40, 16 / 60, 16 / 40), (16, 16))
    assert energy(KINDS[name], "red") == [pytest.approx(saliency[inside].sum() / saliency.sum(), abs=1e-6)]
    assert energy(KINDS[name], "blue") == []
    assert energy(KINDS[name].replace("Red", "n01").replace("red<", "n01<").replace(",red", ",n01"), "red") == [
        pytest.approx(1.0)
    ]


def test_a_folder_of_pascal_voc(tmp_path: Path) -> None:
    inside = "<xmin>1</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax>"
    one = f"<annotation><object><bndbox>{inside}</bndbox></object></annotation>"
    (tmp_path / "a.xml").write_text(one.format(5))
    (tmp_path / "b.xml").write_text(one.format(6))
    assert read_boxes(tmp_path) == {"a": [(0, 0, 5, 9)], "b": [(0, 0, 6, 9)]}


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("photo", [(120, 80), (80, 120), (64, 64), (33, 97)])
def test_a_mask_moves_as_the_picture_does(tmp_path: Path, fit: str, photo: tuple[int, int]) -> None:
    """The object is painted white on black in the photograph: what the model sees of it is the mask moved."""
    width, height = photo
    mask = np.zeros((height, width), np.uint8)
    mask[height // 5 : height // 2, width // 3 : 2 * width // 3] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    preprocess = Preprocess(fit=fit)  # type: ignore[arg-type]
    seen = preprocess.apply(Photo(Image.fromarray(mask).convert("RGB")), (32, 48)).image[..., 0] > 127
    at = placement(photo, (32, 48), preprocess)
    moved = moved_mask(Item(None, "m", mask=tmp_path / "m.png"), at)
    assert moved is not None and np.array_equal(moved, seen)
    box = (width // 3, height // 5, 2 * width // 3, height // 2)
    (found,) = moved_boxes(Item(None, "m", boxes=(tuple(map(float, box)),)), at)  # type: ignore[misc,arg-type]
    rows, columns = np.nonzero(seen)
    assert np.abs(found - [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).max() <= 1.0


def test_a_box_out_of_view_is_none() -> None:
    at = placement((200, 100), (32, 32), Preprocess(fit="crop", crop_fraction=1.0))
    assert moved_boxes(Item(None, "x", boxes=((0.0, 0.0, 20.0, 20.0),)), at) is None


def test_masks_count_to_1_or_to_255(tmp_path: Path) -> None:
    at = placement((8, 8), (8, 8), Preprocess())
    for level, mode in ((1, "L"), (255, "L"), (1, "P"), (1, "1")):
        values = np.zeros((8, 8), np.uint8)
        values[2:4, 2:6] = 255 if mode == "1" else level
        image = Image.fromarray(values)
        if mode == "P":
            image.putpalette([0, 0, 0, 128, 0, 0])
        (image.convert("1") if mode == "1" else image).save(tmp_path / "m.png")
        moved = moved_mask(Item(None, "m", mask=tmp_path / "m.png"), at)
        assert moved is not None and np.array_equal(moved, values > 0)


def test_pictures_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4)).save(tmp_path / folder / "x.png")
    (tmp_path / "notes.txt").write_text("no picture")
    found = gather([tmp_path, tmp_path / "a" / "x.png", str(tmp_path / "b" / "*.png")])
    assert [each.name for each in found] == ["x.png", (tmp_path / "b" / "x.png").as_posix()]


def test_pil_pictures_have_the_digest_of_what_is_seen() -> None:
    """Of one array of palette numbers in two palettes, and of one that its EXIF data turn and one that they do not."""
    palette = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)).quantize(16)
    other = palette.copy()
    other.putpalette([255 - level for level in palette.getpalette() or ()])
    turned = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    upright = turned.copy()
    turned.getexif()[0x112] = 6
    digests = [Item(each, "p").digest() for each in (palette, palette.copy(), other, turned, upright)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 4


def test_what_the_journal_knew_says_nothing_of_the_time_left() -> None:
    now = [0.0]
    pace = Pace(10, clock=lambda: now[0])
    for _ in range(4):
        pace.step(worked=False)
    assert pace.left is None
    for _ in range(2):
        now[0] += 3.0
        pace.step(worked=True)
    assert pace.left == pytest.approx(4 * 3.0)
