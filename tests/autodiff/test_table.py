"""docs/operators.md says of every operator what the registry has."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
ROW = re.compile(r"^\| (\w+) \| (rule|decomposed|taken apart|declared|none yet) \| (.*?) \|$", re.MULTILINE)

SEQUENCES = ("ConcatFromSequence", "SequenceAt", "SequenceConstruct", "SequenceErase", "SequenceInsert", "SequenceMap",
             "SplitToSequence")  # fmt: skip

BUILT_IN = """
import json, onnxsal.autodiff as autodiff
from onnxsal.autodiff.contrib import PARTS
from onnxsal.autodiff.registry import REGISTRY
print(json.dumps([[*key, rule.kind] for key, rule in REGISTRY.items()] + [[*key, "taken apart"] for key in PARTS]))
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A process of its own has the built-in rules alone, whatever other tests register."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, cwd=DOCS.parent)


def sections() -> dict[str, dict[str, tuple[str, str]]]:
    """Return what the page says: for each domain its operators, with kind and inputs."""
    parts = re.split(r"^## (\S+)$", (DOCS / "operators.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        "" if domain == "ai.onnx" else domain: {name: (kind, by) for name, kind, by in ROW.findall(text)}
        for domain, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_the_page_is_what_the_generator_writes() -> None:
    if f"against onnx {onnx.__version__};" not in (DOCS / "operators.md").read_text(encoding="utf-8"):
        pytest.skip(f"the page was written with another onnx than {onnx.__version__}")
    done = run("tools/operators.py", "--check")
    assert done.returncode == 0, done.stderr


def test_every_rule_is_on_the_page_with_its_kind() -> None:
    said = {(domain, name): kind for domain, rows in sections().items() for name, (kind, _) in rows.items()}
    registered = {(domain, name): kind for domain, name, kind in json.loads(run("-c", BUILT_IN).stdout)}
    sequences = {("", name) for name in SEQUENCES}
    assert {key: kind for key, kind in said.items() if key not in sequences} == registered
    assert {said[key] for key in sequences} == {"taken apart"}


def test_no_operator_of_the_standard_is_without_a_place() -> None:
    """Every operator of the newest set, with its count at the head of the table."""
    standard = {s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated}
    rows = sections()[""]
    assert standard <= set(rows)
    assert "none yet" not in {kind for kind, _ in rows.values()}
    text = (DOCS / "operators.md").read_text(encoding="utf-8")
    assert f"{len(rows)} operators: {sum(kind == 'rule' for kind, _ in rows.values())} rule" in text


@pytest.mark.parametrize(
    ("operator", "kind", "by"),
    [
        ("Conv", "rule", "`X`, `W`, `B`"),
        ("Gather", "rule", "`data`"),
        ("Shape", "declared", ""),
        ("SequenceAt", "taken apart", "all"),
        ("SoftmaxCrossEntropyLoss", "decomposed", "all"),
    ],
)
def test_rows_that_are_known_to_be_so(operator: str, kind: str, by: str) -> None:
    assert sections()[""][operator] == (kind, by)
