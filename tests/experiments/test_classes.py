"""Classes of two models matched by label, against lists whose right answer is known."""

from __future__ import annotations

import pytest

from onnxsal.errors import UsageError
from onnxsal.experiments.classes import same_class
from onnxsal.experiments.diff import translated
from onnxsal.model.load import load
from onnxsal.tasks.labels import Labels, imagenet


def matched(index: int, first: list[str], second: list[str]) -> int | None:
    return same_class(index, Labels(tuple(first)), Labels(tuple(second)))


def test_all_of_imagenet_in_any_order() -> None:
    """Without the background and turned round: names that several classes share are in turn again."""
    names = list(imagenet())
    shuffled = [*names[500:], "something else", *names[:500]]
    place = {index: shuffled.index(name) for index, name in enumerate(names) if names.count(name) == 1}
    assert {index: matched(index, names, shuffled) for index in place} == place
    assert [matched(k, names, ["background", *names]) for k in range(1000)] == list(range(1, 1001))
    assert [matched(k, ["background", *names], names) for k in range(1001)] == [None, *range(1000)]


def test_the_whole_label_is_matched_before_its_first_synonym() -> None:
    first = ["Cardigan, Cardigan Welsh corgi", "cardigan", "maillot", "maillot, tank suit"]
    second = ["maillot, tank suit", "x", "y", "cardigan", "MAILLOT", "Cardigan Welsh corgi, Cardigan"]
    assert [matched(k, first, second) for k in range(4)] == [5, 3, 4, 0]


def test_classes_of_one_name_are_matched_in_turn_where_both_have_as_many() -> None:
    assert [matched(k, ["crane", "a", "crane"], ["a", "b", "crane", "crane"]) for k in (0, 2)] == [2, 3]
    for first, second in ((["crane", "a"], ["b", "crane", "crane"]), (["crane", "a", "crane"], ["b", "crane"])):
        with pytest.raises(UsageError, match=r"'crane' is cannot be told: 0.* here and 1.* there share the name"):
            matched(0, first, second)


def test_a_first_synonym_serves_where_it_is_one_class_in_both() -> None:
    assert matched(0, ["tench, Tinca tinca", "a"], ["b", "c", "Tench"]) == 2
    assert matched(0, ["tench, Tinca tinca", "a"], ["b", "c", "d"]) is None
    with pytest.raises(UsageError, match="0, 1 here and 1 there"):
        matched(0, ["bar, pub", "bar, rod"], ["a", "bar", "b"])


def test_two_networks_of_imagenet(shared) -> None:
    """1000 classes against 1001: the machine and the bird are both called crane, the dog and the garment cardigan."""
    folder = shared / "models"
    models = (
        load(folder / "squeezenet1.0_fp32.onnx", preprocess="caffe"),
        load(folder / "mobilenet_v1_025_int8.onnx", labels=folder / "imagenet_labels_1001.txt"),
    )
    assert [translated(models, k) for k in (134, 517, 264, 474, 638, 639)] == [135, 518, 265, 475, 639, 640]
    assert [translated(models[::-1], k) for k in (518, 475, 640)] == [517, 474, 639]
