"""Words of texts: what tokens make a word, and that colours, pages and pictures say the same scores readably."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from onnxsal.errors import UsageError
from onnxsal.modalities.pieces import Piece
from onnxsal.viz.words import Word, joined, strongest
from onnxsal.viz.words.page import Said, page
from onnxsal.viz.words.picture import picture
from onnxsal.viz.words.shades import LEVELS, Scale, contrast, letters_on
from onnxsal.viz.words.terminal import coloured, columns, nearest

BYTES = "the worlds 😀 é\n\nx  y"
EVIL = "Bad <b>\x1b[2J & \u202eevil"


def pieces(text: str, *places: tuple[int, int]) -> list[Piece]:
    return [Piece(text[a:b], a, b) for a, b in places]


def words(text: str, *places: tuple[int, int]) -> list[tuple[str, float]]:
    found = joined(text, pieces(text, *places), 2.0 ** np.arange(len(places)))
    return [(word.text, word.score) for word in found]


@pytest.mark.parametrize(
    ("text", "places", "wanted"),
    [
        # Places as the package tokenizers gives them: WordPiece; byte-level BPE with the space in front, and without;
        # SentencePiece with a mark of its own and with bytes; scripts without spaces; from the right.
        ("Obama, don't", [(0, 3), (3, 5), (5, 6), (7, 10), (10, 11), (11, 12)], ["Obama", ",", "don't"]),
        (BYTES, [(0, 3), (3, 9), (9, 10), (10, 11), *[(11, 12)] * 4, (12, 13), *[(13, 14)] * 2, (14, 15), (15, 16),
                 (16, 17), (17, 18), (18, 19), (19, 20)], ["the", "worlds", "😀", "é", "\n", "\n", "x", " ", "y"]),
        (BYTES, [(0, 3), (4, 9), (9, 10), (11, 11), *[(11, 12)] * 4, (13, 13), *[(13, 14)] * 2, (14, 15), (15, 16),
                 (16, 17), (18, 18), (19, 19), (19, 20)], ["the", "worlds", "😀", "é", "\n", "\n", "x", "", "y"]),
        ("world 日本 worlds", [(0, 5), (5, 6), (6, 7), (7, 8), (8, 14), (14, 15)], ["world", "日", "本", "worlds"]),
        ("world 日本", [(0, 5), (5, 6), *[(6, 8)] * 6], ["world", "日本"]),
        ("ภาพดีเรื่", [(0, 2), (2, 4), (4, 5), (5, 7), (7, 8), (8, 9)], ["ภา", "พดี", "เรื่"]),
        ("مرحبا، نعم", [(0, 3), (3, 5), (5, 6), (7, 10)], ["مرحبا", "،", "نعم"]),
        ("नमस्ते U.S. 3.14 well-read", [(0, 3), (3, 6), (7, 8), (8, 9), (9, 10), (10, 11), (12, 14), (14, 16), (17, 21),
                                       (21, 22), (22, 26)], ["नमस्ते", "U.S", ".", "3.14", "well-read"]),
        ("👩‍👧👍🏽🇩🇪🇫🇷 ...", [*[(at, at + 1) for at in range(9)], (10, 11), (11, 13)],
         ["👩‍👧", "👍🏽", "🇩🇪", "🇫🇷", "..."]),
        ("New York is", [(0, 8), (8, 11)], ["New York", "is"]),
    ],
)  # fmt: skip
def test_tokens_are_joined_and_their_scores_are_summed(
    text: str, places: list[tuple[int, int]], wanted: list[str]
) -> None:
    found = words(text, *places)
    assert [word for word, _ in found] == wanted
    assert sum(score for _, score in found) == 2 ** len(places) - 1  # every token is in one word, and in one only


def sample() -> tuple[str, tuple[Word, ...]]:
    """A text that would steer a terminal or a page, with tokens added, and a part that no token covers."""
    text = f"{EVIL} שלום עולם\ncut off"
    own = [Piece(m[0], m.start(), m.end()) for m in re.finditer(r"\S+", text.removesuffix("cut off"))]
    tokens = [Piece("[CLS]", 0, 0, True), *own, Piece("[SEP]", len(text), len(text), True)]
    return text, joined(text, tokens, np.linspace(-1, 2, len(tokens)))


def test_what_was_added_stands_apart_and_does_not_set_the_scale() -> None:
    _, found = sample()
    assert [word.text for word in found if word.added] == ["[CLS]", "[SEP]"]
    assert Scale.of(found, signed=True).limit == max(abs(w.score) for w in found if not w.added) < 2
    assert [w.score for w in strongest(found, 2)] == [2, sorted(w.score for w in found)[-2]]
    with pytest.raises(UsageError, match="one score each"):
        joined("a", [], np.ones(1))


@pytest.mark.parametrize("depth", ["true", "256"])
def test_a_terminal_shows_the_whole_text_in_readable_colours(depth: str) -> None:
    text, found = sample()
    lines = coloured(text, found, Scale.of(found, signed=True), width=24, depth=depth)  # type: ignore[arg-type]
    bare = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
    assert max(columns(line) for line in bare[:-1]) <= max(24, columns("added by the tokenizer: [CLS] [SEP]"))
    told = " ".join(bare).replace("<1B>", "\x1b").replace("<202E>", "\u202e")
    assert [w for w in text.split() if w not in told] == []
    assert "\x1b" not in "".join(bare) and "\u202e" not in "".join(bare)
    assert "\x1b[2mcut" in "".join(lines)  # what the model has not read is faint


@pytest.mark.parametrize("colours", [None, "viridis", "inferno_r"])
@pytest.mark.parametrize("signed", [True, False])
def test_letters_are_readable_on_every_colour(colours: str | None, signed: bool) -> None:
    scale = Scale(2.0, signed, colours)
    for level in range(-LEVELS if signed else 1, LEVELS + 1):
        for paper in (scale.colour(level), scale.at_night(level)):
            assert (paper is None) == (level == 0)
            if paper is not None:
                assert contrast(paper, letters_on(paper)) >= 4.5
                assert contrast(nearest(paper)[1], letters_on(nearest(paper)[1])) >= 4.5
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert [scale.level(score) for score in (2, 9, -1, 0)] == [LEVELS, LEVELS, -LEVELS // 2, 0]


class _Read(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.titles, self.tags = "", list[str](), set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        self.open.append("text" if given.get("class") == "text" else tag)
        if "title" in given:
            self.titles.append(str(given["title"]))
        assert given.get("dir") == "auto" or self.open[-1] != "text"

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text += data if "text" in self.open else ""


def test_a_page_holds_the_text_escaped_its_scores_and_nothing_that_runs() -> None:
    text, found = sample()
    made = page(text, found, Scale.of(found, signed=True, colours="viridis"), Said("<i>label</i>", "93 %", "a & b"))
    reader = _Read()
    reader.feed(re.sub(r"<meta[^>]*>|<!doctype html>", "", made))
    assert reader.text.replace("<1B>", "\x1b").replace("<202E>", "\u202e") == text
    assert reader.tags == {"html", "head", "title", "style", "body", "div", "h2", "p", "i", "b", "span", "details",
                           "summary", "table", "tr", "td"}  # fmt: skip
    assert [t for t in reader.titles if t[0] in "+-"] == [
        f"{w.score:+.4g}" for w in [*[w for w in found if not w.added], *[w for w in found if w.added]]
    ]
    assert "not read by the model" in reader.titles
    assert "&lt;i&gt;label" in made and "http" not in made.replace("http-equiv", "")
    assert "prefers-color-scheme:dark" in made and "default-src 'none'" in made


def test_a_picture_has_each_word_on_its_colour_and_a_text_from_the_right_at_the_right() -> None:
    text = "שלום Obama"
    found = joined(text, pieces(text, (0, 4), (5, 10)), np.array([1.0, -0.5]))
    scale = Scale.of(found, signed=True)
    drawn, plain = picture(text, found, scale), picture(text, found, scale, look="plain")
    assert drawn.shape == plain.shape and drawn.shape[1] == 640
    place = {}
    for word in found:
        where = (drawn == np.array(scale.colour(scale.level(word.score)))).all(-1)
        assert where.sum() > 500
        place[word.text] = np.nonzero(where)[1].mean()
    assert place["Obama"] < place["שלום"] and place["שלום"] > 320
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) < 256 and (plain == plain[..., :1]).mean() > 0.99
