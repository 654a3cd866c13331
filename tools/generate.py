"""Write the tables of README.md, its translations, docs/methods.md and docs/maps.md: ``python tools/generate.py``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
README, METHODS, MAPS = ROOT / "README.md", ROOT / "docs" / "methods.md", ROOT / "docs" / "maps.md"
TRANSLATED = {"ko": ROOT / "README.ko.md", "ja": ROOT / "README.ja.md"}
WORDS = tomllib.loads((ROOT / "tools" / "readme_words.toml").read_text(encoding="utf-8"))
"""What the table of methods says in other languages, each sentence beside the one that it translates."""
_COLUMNS = re.compile(r"(<!-- columns -->\n).*?(<!-- /columns -->)", re.DOTALL)
_BLOCK = re.compile(r"(<!-- (method: (?P<name>\S+)|methods) -->\n).*?(<!-- /methods? -->)", re.DOTALL)


def built_in() -> dict[str, dict[str, Any]]:
    """Return what ``onnxsal methods --json`` says of the built-in methods, by name."""
    listed = [sys.executable, "-m", "onnxsal", "methods", "--json"]
    done = subprocess.run(listed, capture_output=True, text=True, check=True, cwd=ROOT)
    return {each["name"]: each for each in json.loads(done.stdout) if each["origin"].startswith("onnxsal ")}


def filled(text: str, known: dict[str, dict[str, Any]], language: str = "en") -> str:
    """Return a page with every block between comment marks written anew."""
    known = known if language == "en" else {name: translated(name, each, language) for name, each in known.items()}
    return _BLOCK.sub(lambda m: f"{m[1]}{_one(known[m['name']]) if m['name'] else _all(known, language)}{m[4]}", text)


def translated(name: str, method: dict[str, Any], language: str) -> dict[str, Any]:
    """Return a method with what it is for and what it costs in another language."""
    if WORDS["methods"].get(name, {}).get("en") != method["when"]:
        sys.exit(f"tools/readme_words.toml: translate what {name!r} is for: {method['when']!r}")
    cost = method["cost"]
    for said, word in WORDS["cost"][language].items():
        cost = cost.replace(said, word)
    return {**method, "when": WORDS["methods"][name][language], "cost": cost}


def _all(known: dict[str, dict[str, Any]], language: str) -> str:
    to = anchors(METHODS.read_text(encoding="utf-8"))
    rows = [f"| [`{name}`](docs/methods.md#{to[name]}) | {m['when']} | {m['cost']} |" for name, m in known.items()]
    return "\n".join([f"| {WORDS['head'][language]} |", "| --- | --- | --- |", *rows, ""])


def anchors(page: str) -> dict[str, str]:
    """Return the anchor of every heading as GitHub makes it: letters, digits and hyphens, repetitions numbered."""
    found: dict[str, str] = {}
    for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE):
        plain = re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))
        again = sum(re.sub(r"-\d+$", "", anchor) == plain for anchor in found.values())
        found[heading] = f"{plain}-{again}" if again else plain
    return found


def _one(method: dict[str, Any]) -> str:
    when = method["when"][0].upper() + method["when"][1:]
    facts = f"\n{when}. Cost: {method['cost']}. Source: {method['paper']}.\n"
    if not method["options"]:
        return f"{facts}\n"
    rows = [f"| `{n}` | {_shown(o['default'])} | {_values(o)} |" for n, o in method["options"].items()]
    return "\n".join([facts, "| option | default | values |", "| --- | --- | --- |", *rows, "", ""])


def _shown(value: Any) -> str:
    return "none" if value is None else f"`{value}`"


def _values(option: dict[str, Any]) -> str:
    return ", ".join(part for part in (option["type"], option["range"]) if part)


def with_columns(page: str) -> str:
    """Return the page on maps with the table of their columns written anew."""
    from onnxsal.maps.schema import COLUMNS, ERRORS, MAPS

    types = {MAPS: "`dtype`", ERRORS: "float32 or float16"}
    rows = []
    for each in COLUMNS:
        several, _, one = each.type.rpartition(" ")
        kind = f"{'list of ' if several else ''}{types.get(one, one)}{', or none' if each.open else ''}"
        rows.append(f"| `{each.name}` | {kind} | {each.meaning} |")
    table = "\n".join(["| column | type | what it is |", "| --- | --- | --- |", *rows, ""])
    return _COLUMNS.sub(lambda m: f"{m[1]}{table}{m[2]}", page)


def main() -> None:
    """Write the pages."""
    known = built_in()
    for page in (README, METHODS):
        page.write_text(filled(page.read_text(encoding="utf-8"), known), encoding="utf-8")
    for language, page in TRANSLATED.items():
        page.write_text(filled(page.read_text(encoding="utf-8"), known, language), encoding="utf-8")
    MAPS.write_text(with_columns(MAPS.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
