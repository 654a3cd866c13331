"""Explanations of texts: words and their scores against sums by hand; the same in pages, pictures and notebooks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onnxsal.errors import UnsupportedError
from onnxsal.explanation import Explanation
from onnxsal.explanation.figure import compare
from onnxsal.modalities.pieces import Piece
from onnxsal.modalities.registry import Sample

TEXT = "Obama isn't <b>"
PIECES = (Piece("[CLS]", 0, 0, True), Piece("ob", 0, 2), Piece("##ama", 2, 5), Piece("is", 6, 8), Piece("##n", 8, 9),
          Piece("'", 9, 10), Piece("t", 10, 11), Piece("<b>", 12, 15))  # fmt: skip
RAW = np.arange(24, dtype=np.float32).reshape(3, 8) - 12


def explanation(raw: np.ndarray = RAW, sign: str | None = "signed") -> Explanation:
    manifest = {"method": "integrated-gradients", "layer": None, "sign": sign, "samples": 50, "seconds": 0.1,
                "forwards": 52, "notes": []}  # fmt: skip
    sample = Sample(RAW, "text", text=TEXT, pieces=PIECES)
    flat = raw if raw.ndim == 1 else raw.sum(0)
    return Explanation(
        flat / np.abs(flat).max(), raw, None, 1, "positive", 0.9, 2.5, None, None, manifest, None, "text", sample,
        modality="tokens",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "sign", "tokens"),
    [
        (RAW, "signed", RAW.sum(0)),
        (RAW, "absolute", np.abs(RAW).max(0)),
        (RAW[0], None, RAW[0]),  # of masks: what the score loses, below 0 too, though the map has no sign
        (RAW[0, :3], None, RAW[0] / 12),  # of a layer with other positions the saliency
    ],
)
def test_a_words_score_is_the_sum_of_its_tokens(raw: np.ndarray, sign: str | None, tokens: np.ndarray) -> None:
    found = replace(explanation(raw if raw.size > 3 else RAW[0], sign), raw=raw)
    summed = [tokens[0], tokens[1:3].sum(), tokens[3:7].sum(), tokens[7]]
    assert [word for word, _ in found.words()] == ["[CLS]", "Obama", "isn't", "<b>"]
    np.testing.assert_allclose([score for _, score in found.words()], summed, rtol=1e-6)


def test_a_text_is_a_page_a_picture_and_a_part_of_a_notebook(tmp_path: Path) -> None:
    found = explanation()
    found.save(tmp_path / "words.png")
    with Image.open(tmp_path / "words.png") as drawn:
        assert drawn.width == 640 and len(np.unique(np.asarray(drawn).reshape(-1, 3), axis=0)) > 3
    page = found.html()
    found.save(tmp_path / "words.html")
    assert (tmp_path / "words.html").read_text(encoding="utf-8") == page
    assert page.startswith("<!doctype html>") and "positive" in page and f"{RAW.sum(0)[1:3].sum():+.4g}" in page
    assert "&lt;b&gt;" in page and "<b></b>" not in page
    assert found._repr_html_() in page and found._repr_png_() is None
    assert found.is_drawn and compare([found, found]).width > 700


def test_pictures_have_no_words() -> None:
    found = replace(explanation(), sample=Sample(RAW, "numbers"), modality="sequence")
    assert found._repr_html_() is None
    for ask in (found.words, found.html):
        with pytest.raises(UnsupportedError, match="words are of texts"):
            ask()
