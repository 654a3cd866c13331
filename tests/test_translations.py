"""README in other languages says what README.md says, by section: commands, numbers, names, links, pictures, tables."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from tool import tool

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"en": "README.md", "ko": "README.ko.md", "ja": "README.ja.md"}
OWN_NAMES = {"en": "English", "ko": "한국어", "ja": "日本語"}
IN_DIGITS = {r"\ba hundred and fifty\b": "150", r"\btwenty metrics\b": "20", r"^Eight experiments\b": "8"}
"""Numbers that English writes as words, and that others write in digits."""


def read(language: str) -> str:
    return (ROOT / PAGES[language]).read_text(encoding="utf-8")


def facts(section: str) -> dict[str, object]:
    """What a section says in any language: the order counts for commands and tables, not inside sentences."""
    blocks = re.findall(r"^(?:<!-- ci: (\w+) -->\n)?```(\w+)\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    prose = re.sub(r"<!-- methods -->.*?<!-- /methods -->|^```.*?^```$", "", section, flags=re.DOTALL | re.MULTILINE)
    for words, digits in IN_DIGITS.items():
        prose = re.sub(words, digits, prose, flags=re.MULTILINE)
    said = re.sub(r"`[^`]*`|\]\([^)]*\)|!\[[^\]]*", "", prose)
    return {
        "depth": re.findall(r"^#+ ", section, re.MULTILINE),
        "code": [(mark, kind, re.sub(r"(?<=\S)? +# .*$", "", code, flags=re.MULTILINE)) for mark, kind, code in blocks],
        "comments": [len(re.findall(r" # ", code)) for _, _, code in blocks],
        "tables": [line.count(" |") for line in prose.splitlines() if line.startswith("|")],
        "list": len(re.findall(r"^- ", prose, re.MULTILINE)),
        "names": Counter(re.findall(r"`([^`]+)`", re.sub(r"\s+", " ", prose))),
        "links": Counter(re.findall(r"\]\(([^)]+)\)", prose)),
        "pictures": re.findall(r"!\[.+?\]\((.+?)\)", prose, re.DOTALL),
        "numbers": Counter(re.findall(r"(?<![A-Za-z\d_.])\d+(?:\.\d+)*", said)),
    }


def sections(text: str) -> list[str]:
    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.M)  # code has # that are no headings
    marked = (each if each.startswith("```") else re.sub(r"^## ", "\0## ", each, flags=re.MULTILINE) for each in parts)
    return "".join(marked).split("\0")


@pytest.mark.parametrize("language", ["ko", "ja"])
def test_a_section_says_what_the_english_one_says(language: str) -> None:
    english, other = sections(read("en")), sections(read(language))
    assert len(english) == len(other) > 15
    for ours, theirs in zip(english[1:], other[1:], strict=True):
        assert facts(theirs) == facts(ours), theirs.splitlines()[0]
    top, ours_at_top = facts(other[0]), facts(english[0])
    assert {**top, "links": None} == {**ours_at_top, "links": None}  # each links the other two languages


def test_a_changed_command_number_or_link_would_be_noticed() -> None:
    there = sections(read("ko"))
    whole = [facts(each) for each in there]
    for said, instead in (("--rate 16000", "--rate 8000"), ("256", "255"), ("docs/metrics.md", "docs/maps.md"),
                          ("`found.raw`", "`found.row`"), ("| Keras", "| | Keras")):  # fmt: skip
        assert any(said in each for each in there)
        assert [facts(each.replace(said, instead)) for each in there] != whole, said


@pytest.mark.parametrize("language", PAGES)
def test_the_first_line_names_every_language_in_itself(language: str) -> None:
    named = [OWN_NAMES[each] if each == language else f"[{OWN_NAMES[each]}]({PAGES[each]})" for each in PAGES]
    assert read(language).splitlines()[2] == " · ".join(named)


def test_every_method_is_translated_from_what_it_says_now() -> None:
    make = tool("generate")
    known = make.built_in()
    translated = {name: each["en"] for name, each in make.WORDS["methods"].items()}
    assert translated == {name: each["when"] for name, each in known.items()}
    for language in make.TRANSLATED:
        assert make.filled(read(language), known, language) == read(language), "run: python tools/generate.py"
        for name, method in known.items():
            said = make.translated(name, method, language)
            assert re.findall(r"\d+", said["cost"]) == re.findall(r"\d+", method["cost"])
            assert re.search(r"[가-힣]" if language == "ko" else r"[ぁ-ん]|[一-龥]", said["when"]), (language, name)
            assert not re.search(r"[a-z]{3}", said["cost"]), (language, name)
