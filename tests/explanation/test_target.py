"""What a target means: indices, labels, pairs, nothing, programs, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from tinynet import CLASSES, TinyNet, image

import onnxsal
from onnxsal.anatomy import body, select
from onnxsal.errors import UsageError
from onnxsal.explanation.target import resolve_target

LABELS = ["cat", "dog", "great auk", "7", "newt"]
X = image()


@pytest.fixture(scope="module")
def net() -> TinyNet:
    return TinyNet()


@pytest.fixture(scope="module")
def model(net: TinyNet) -> onnxsal.Model:
    return onnxsal.load(net.model(), labels=LABELS)


def explained(model: onnxsal.Model, target: object) -> onnxsal.Explanation:
    return onnxsal.explain(model, X, method="gradient", target=target)


@pytest.mark.parametrize("target", [2, np.int64(2), "2", "great auk", "great"])
def test_one_class_by_any_name(model: onnxsal.Model, net: TinyNet, target: object) -> None:
    found = explained(model, target)
    assert (found.target, found.label) == (2, "great auk")
    assert found.logit == pytest.approx(net.score(X, 2, "logit"), rel=1e-4)
    assert found.score == pytest.approx(net.score(X, 2, "probability"), rel=1e-4)


def test_a_label_of_digits_is_the_label(model: onnxsal.Model) -> None:
    assert explained(model, "7").target == 3


def test_nothing_is_the_predicted_class(model: onnxsal.Model, net: TinyNet) -> None:
    assert explained(model, None).target == int(net.forward(X)["logits"].argmax())


@pytest.mark.parametrize(
    ("text", "target", "label"),
    [
        ("0 minus great auk", (0, 2), "plus minus great auk"),
        ("plus minus", 1, "plus minus"),
        ("plus minus minus great auk", (1, 2), "plus minus minus great auk"),
        ("plus or minus 5 minus plus", (3, 0), "plus or minus 5 minus plus"),
        ("Plus or minus 5", 3, "plus or minus 5"),
        ("plus minus 3", (0, 3), "plus minus plus or minus 5"),
    ],
)
def test_text_is_a_pair_unless_a_class_is_called_so(net: TinyNet, text: str, target: object, label: str) -> None:
    model = onnxsal.load(net.model(), labels=["plus", "plus minus", "great auk", "plus or minus 5", "newt"])
    found = explained(model, text)
    assert (found.target, found.label) == (target, label)


def test_a_pair_is_a_difference(model: onnxsal.Model, net: TinyNet) -> None:
    found = explained(model, ("cat", 2))
    assert (found.target, found.label) == ((0, 2), "cat minus great auk")
    assert found.logit == pytest.approx(net.score(X, 0, "logit") - net.score(X, 2, "logit"), rel=1e-4)
    np.testing.assert_allclose(found.raw, explained(model, 0).raw - explained(model, 2).raw, atol=1e-5)


def test_a_program_is_explained_as_it_is(model: onnxsal.Model) -> None:
    """The sum of all logits, which no index names."""
    op = body(model.anatomy).extend()
    program = op.finish(score=op.ReduceSum(op["sal/logits"], [1], keepdims=0))
    found = explained(model, program)
    wanted = sum(explained(model, c).raw for c in range(CLASSES))
    np.testing.assert_allclose(found.raw, wanted, rtol=1e-4, atol=1e-5)
    assert found.target is None
    assert found.logit == pytest.approx(sum(explained(model, c).logit for c in range(CLASSES)), rel=1e-5)


def test_a_list_gives_a_list(model: onnxsal.Model) -> None:
    assert [e.target for e in onnxsal.explain(model, X, method="gradient", target=[1, (0, 1), None])][:2] == [1, (0, 1)]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (5, "0 to 4"), (-1, "0 to 4"), ("9", "0 to 4"), ("dgo", "dog"), (1.5, "float"),
        ("cat minus dgo", "dog"), ("cat minus dog minus newt", "'dog minus newt'"), (" minus dog", "no class"),
        (("cat", "0"), "0 whatever goes in"), ("dog minus dog", "'dog minus dog' is 0 whatever"),
        (True, "bool"), ((1, 2, 3), "3 of them"), ((1, 9), "0 to 4"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(model: onnxsal.Model, target: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        explained(model, target)


def test_a_label_without_labels_is_refused(net: TinyNet) -> None:
    with pytest.raises(UsageError, match="the model has none"):
        explained(onnxsal.load(net.model()), "cat")


def test_a_program_of_another_form_is_refused(model: onnxsal.Model) -> None:
    op = body(model.anatomy).extend()
    without_score = op.finish(sum=op.ReduceSum(op["sal/logits"], [1], keepdims=0))
    for program, message in ((without_score, "'score'"), (select(model.anatomy), "sal/target")):
        with pytest.raises(UsageError, match=message):
            resolve_target(model, program, {})
