"""What tokens count for, erased and kept, against the closed form of a bag of words in the file itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_texts as tiny
from numpy.typing import NDArray

import onnxsal
from onnxsal.errors import UsageError
from onnxsal.metrics.registry import get

TEXT = "Obama lives in Paris, not Berlin"
FRACTIONS = (0.01, 0.05, 0.1, 0.2, 0.5)
PAD, MASK = 0, 4


def shares(nothing: int, target: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what each token of the text itself counts for to the logits beyond a token that stands for nothing,
    [T, K], and the logits where all of them are that."""
    ids = tiny.ids(TEXT)[0]
    counts = tiny.TABLE.astype(np.float64) @ tiny.HEAD
    own = counts[ids[1:-1]] - counts[nothing]
    return own, counts[ids].sum(0) - own.sum(0)


def probability(logits: NDArray[np.float64], target: int) -> float:
    held = np.exp(logits - logits.max())
    return float(held[target] / held.sum())


@pytest.mark.parametrize(("to", "nothing"), [("pad", PAD), ("mask", MASK)])
def test_a_bag_of_words_loses_what_its_words_count_for(tmp_path: Path, to: str, nothing: int) -> None:
    path = tiny.written(tmp_path, tiny.bag(), config={"id2label": tiny.LABELS})
    metrics = [(name, {"to": to}) for name in ("comprehensiveness", "sufficiency", "deletion", "insertion")]
    found = onnxsal.evaluate(path, [TEXT], methods=["input-x-gradient"], metrics=metrics, target=1)
    values = {row.metric.partition("[")[0]: row.value for row in found.rows}

    own, rest = shares(nothing, 1)
    order = np.argsort(-(tiny.TABLE @ tiny.HEAD)[tiny.ids(TEXT)[0, 1:-1], 1], kind="stable")  # of x times its slope
    whole = probability(rest + own.sum(0), 1)
    gone = [probability(rest + own[order[n:]].sum(0), 1) for n in range(len(own) + 1)]
    kept = [probability(rest + own[order[:n]].sum(0), 1) for n in range(len(own) + 1)]
    most = [int(np.ceil(f * len(own) - 1e-9)) for f in FRACTIONS]
    wanted = {
        "comprehensiveness": np.mean([whole - gone[n] for n in most]),
        "sufficiency": np.mean([whole - kept[n] for n in most]),
        "deletion": np.trapezoid(gone, dx=1 / len(own)),
        "insertion": np.trapezoid(kept, dx=1 / len(own)),
    }
    assert {name: pytest.approx(value, rel=1e-4) for name, value in wanted.items()} == values


def test_it_is_said_what_stands_for_nothing(tmp_path: Path) -> None:
    path = tiny.written(tmp_path, tiny.bag())
    found = onnxsal.evaluate(path, [TEXT], methods=["gradient"], metrics=["comprehensiveness"])
    assert "pad" in str(found.rows[0].parameters) or "pad" in str(found.settings["metrics"])
    with pytest.raises(UsageError, match="to=pad is a token of texts"):
        get("sufficiency")(lambda x: x.sum((1, 2, 3)), np.ones((1, 2, 2), np.float32), np.eye(2), to="pad")


def test_flat_maps_and_what_nothing_changes_have_no_value() -> None:
    x, score = np.ones((2, 3, 4), np.float32), lambda things: things.sum((1, 2, 3)) / 24
    judge = get("comprehensiveness")
    assert np.isnan(judge(score, x, np.ones((3, 4))).value) and np.isnan(judge(score, 0 * x, np.eye(3, 4)).value)
    assert judge(score, x, np.eye(3, 4), fractions=(0.5, 1)).value == pytest.approx(0.75)
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        judge(score, x, np.eye(3, 4), fractions=(0.0,))


def test_a_folder_of_texts_is_judged_by_its_labels(tmp_path: Path) -> None:
    """Of as many tokens as there are fractions: what each leaves is a number of its own, and no map of the text."""
    path = tiny.written(tmp_path / "model", tiny.bag(), config={"id2label": {"0": "bad", "1": "good", "2": "else"}})
    text = tmp_path / "texts" / "good" / "one.txt"
    text.parent.mkdir(parents=True)
    text.write_text("a good film")
    (text.parent / "notes.json").write_text("{}")
    found = onnxsal.evaluate(path, tmp_path / "texts", truth="folders", target="label", methods=["input-x-gradient"],
                             metrics=["comprehensiveness"])  # fmt: skip
    (row,) = found.rows
    counts = tiny.TABLE.astype(np.float64) @ tiny.HEAD
    ids = tiny.ids("a good film")[0]
    assert (row.target, row.label, len(ids)) == (1, "good", 5)

    def probability(of: np.ndarray) -> float:
        logits = counts[of].sum(0)
        return float((np.exp(logits) / np.exp(logits).sum())[1])

    own = np.argsort(-(tiny.TABLE @ tiny.HEAD)[ids[1:-1], 1]) + 1
    drops = []
    for fraction in (0.01, 0.05, 0.1, 0.2, 0.5):
        gone = ids.copy()
        gone[own[: int(np.ceil(round(3 * fraction, 9)))]] = 0
        drops.append(probability(ids) - probability(gone))
    assert row.value == pytest.approx(np.mean(drops), abs=1e-5)
