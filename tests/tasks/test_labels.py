"""Labels from every form in which they are kept, and the class that a name means."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxsal.errors import UsageError
from onnxsal.tasks.classes import class_index
from onnxsal.tasks.labels import Labels, as_labels, imagenet, read_labels

PETS = ("cat", "dog", "a fish")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.txt", "cat\ndog\na fish\n\n"),
        ("windows.txt", "\ufeffcat\r\ndog\r\na fish\r\n"),
        ("numbered.txt", "0  cat\n1  dog\n2  a fish"),
        ("colons.txt", "0: cat\n1: dog\n2: a fish\n"),
        ("wordnet.txt", "n02121808 cat\nn02084071 dog\nn02512053 a fish\n"),
        ("list.json", '["cat", "dog", "a fish"]'),
        ("index.json", '{"0": "cat", "2": "a fish", "1": "dog"}'),
        ("keras.json", '{"0": ["n02121808", "cat"], "1": ["n02084071", "dog"], "2": ["n02512053", "a fish"]}'),
        ("label.json", '{"dog": 1, "cat": 0, "a fish": 2}'),
        ("config.json", '{"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "a fish"}}'),
    ],
)
def test_forms(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_labels(tmp_path / name) == PETS


def test_digits_can_be_labels(tmp_path: Path) -> None:
    (tmp_path / "digits.txt").write_text("\n".join("0123456789"))
    assert read_labels(tmp_path / "digits.txt") == tuple("0123456789")
    assert Labels(tuple("9876543210")).find("9") == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no labels"),
        ("[]", "no labels"),
        ('{"0": "cat", "2": "dog"}', "no label for index 1"),
        ('{"cat": 0, "dog": 0}', "same index"),
        ('{"cat": "0"}', "index to label"),
        ('["cat", 3]', "a label is text; got 3"),
        ('{"id2label": 3}', "id2label is an object"),
        ('["cat"', "not valid JSON"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_labels(tmp_path / "labels.json")
    assert "labels.json" in str(caught.value)


def test_missing_files_suggest_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat")
    with pytest.raises(UsageError, match=r"did you mean 'labels.txt'"):
        read_labels(tmp_path / "label.txt")


def test_counts_must_match(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("cat\ndog")
    with pytest.raises(UsageError, match=r"2 labels, but the model has 5 classes"):
        as_labels(tmp_path / "labels.txt", 5)
    with pytest.raises(UsageError, match="background"):
        as_labels(["cat", "dog"], 3)
    assert as_labels(PETS, 3).names == PETS
    with pytest.raises(UsageError, match="list of strings"):
        as_labels([1, 2, 3], 3)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("tench, Tinca tinca", 0),
        ("Tinca Tinca", 0),
        ("GOLDFISH", 1),
        ("tabby cat", 281),
        ("volcano", 980),
        ("hen", 8),
        ("sewing mach", 786),
        ("207", 207),
        ("zebra ", 340),
    ],
)
def test_names_mean_one_class(text: str, index: int) -> None:
    assert Labels(imagenet()).find(text) == index


def test_ambiguous_names_list_the_candidates() -> None:
    with pytest.raises(UsageError, match=r"ambiguous: 134 'crane', 517 'crane'"):
        Labels(imagenet()).find("crane")
    with pytest.raises(UsageError, match=r"and \d+ more"):
        Labels(imagenet()).find("dog")


@pytest.mark.parametrize(("text", "said"), [("goldfihs", r"'goldfish' \(1\)"), ("1000", "0 to 999"), ("", "0 to 999")])
def test_unknown_names_suggest_the_nearest(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Labels(imagenet()).find(text)


def test_imagenets_names_are_whole() -> None:
    names = imagenet()
    assert len(names) == 1000
    assert (names[0], names[999]) == ("tench, Tinca tinca", "toilet tissue, toilet paper, bathroom tissue")
    assert Labels(names).short(207) == "golden retriever"


def test_imagenets_names_agree_with_the_reference(shared: Path) -> None:
    lines = (shared / "models" / "imagenet_labels_1001.txt").read_text().splitlines()
    assert ("background", *imagenet()) == tuple(lines)


@pytest.mark.parametrize(("names", "found"), [(("mountain bike, all-terrain bike", "ball"), None), (("cat", "All"), 1)])
def test_all_is_no_part_of_a_name(names: tuple[str, ...], found: int | None) -> None:
    """It is what detections are all asked for by; of a classifier it would be any class with it in its name."""
    if found is None:
        with pytest.raises(UsageError, match=r"no class is called 'all'.*detection"):
            class_index(2, Labels(names), "all")
    else:
        assert class_index(2, Labels(names), " all ") == found
