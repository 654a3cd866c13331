"""Names of classes as tools write them: by the values they write, and counts that tell one form from another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxsal.tasks.label_words import are_placeholders, as_names, literal, metadata_labels

PETS = ("cat", "dog", "a fish")
ULTRALYTICS = {"author": "Ultralytics", "task": "classify", "names": "{0: 'cat', 1: 'dog', 2: 'a fish'}"}


def names(metadata: dict[str, str], classes: int) -> Any:
    found = next(metadata_labels(metadata, classes), None)
    return found and found.names


@pytest.mark.parametrize(
    "metadata",
    [
        ULTRALYTICS,
        {"names": "['cat', 'dog', 'a fish']", "stride": "32"},
        {"names": str(dict(enumerate(PETS)))},
        {"names": '{"0": "cat", "1": "dog", "2": "a fish"}'},
        {"class_names": json.dumps(PETS)},
        {"classes": "cat, dog, a fish"},
        {"labels": "cat\ndog\na fish"},
        {"class_labels": "cat;dog;a fish"},
        {"id2label": '{"0": "cat", "1": "dog", "2": "a fish"}'},
        {"class_to_idx": "{'dog': 1, 'cat': 0, 'a fish': 2}"},
        {"character": "cat\ndog\na fish"},
    ],
    ids=str,
)
def test_forms(metadata: dict[str, str]) -> None:
    assert names(metadata, 3) == PETS


def test_who_wrote_it_is_said() -> None:
    (found,) = metadata_labels(ULTRALYTICS, 3)
    assert found.source == "the model's metadata 'names' (Ultralytics)"


@pytest.mark.parametrize(
    ("classes", "expected"),
    [(2, ("a", "b")), (3, ("blank", "a", "b")), (4, ("blank", "a", "b", " ")), (9, ("a", "b"))],
)
def test_readers_of_text_have_a_blank_and_a_space(classes: int, expected: tuple[str, ...]) -> None:
    assert names({"character": "a\nb"}, classes) == expected


def test_openvinos_names_stand_between_spaces() -> None:
    assert names({"model_info labels": "red_apple plum"}, 2) == ("red_apple", "plum")
    assert names({"model_info labels": "red_apple plum"}, 3) == ("other", "red_apple", "plum")


def test_numbers_are_names_and_gaps_are_called_by_their_number() -> None:
    assert as_names({0: 7, 1: 3}, 2) == ("7", "3")
    assert as_names({"1": "timer", "2": "alarm"}, 3) == ("class 0", "timer", "alarm")
    assert as_names({"dog": 1, "cat": 0}, 2) == ("cat", "dog")


@pytest.mark.parametrize("value", [3, "cat", {"cat": "dog"}, {}, [["cat"]], [True], None, {"0": {"a": 1}}], ids=str)
def test_other_data_are_no_names(value: Any) -> None:
    assert as_names(value, 3) == ()


@pytest.mark.parametrize(
    "text", ["__import__('os').system('touch /tmp/x')", "[" * 100_000, "{0: cat}", "", "1e999999x", "a" * (5 << 20)],
    ids=["code", "deep", "names without quotes", "nothing", "half a number", "long"],
)  # fmt: skip
def test_nothing_is_run_and_nothing_raises(text: str) -> None:
    assert literal(text) is None
    assert names({"names": text}, 3) is None


def test_placeholders_say_no_more_than_their_place() -> None:
    assert are_placeholders(("LABEL_0", "LABEL_1"))
    assert are_placeholders(("class 0", "class 1"))
    assert not are_placeholders(("1", "0"))
    assert not are_placeholders(PETS)
