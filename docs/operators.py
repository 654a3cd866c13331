"""Write docs/operators.md from the registry of rules: ``python docs/operators.py``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import onnx

from onnxsal.autodiff.registry import REGISTRY, Rule

PAGE = Path(__file__).resolve().with_suffix(".md")
HEAD = """# Operators and their derivatives

Written by `python docs/operators.py` from the registry of rules, against onnx {onnx}; a test holds it to the registry.

- **rule**: the gradient of its inputs is written as standard operators.
- **decomposed**: the gradient is that of what the operator is made of, the function that the standard defines for it or
  one of ours; the forward node itself stays, so that the runtime's own kernel computes it.
- **declared**: no derivative exists or it is zero (indices, truth values, shapes, steps, constants, random numbers).
  Nothing flows through, and that is right.
- **none yet**: a gradient through it is refused with the node's name, and methods that need none still work.

The last column names the inputs that a gradient flows to; integer inputs among them get none. What onnxsal writes is of
`ai.onnx` alone, and every operator that it writes has a rule itself, so gradients can be differentiated again.

## ai.onnx

{count}

{table}
"""
FOREIGN = """
## {domain}

{count}

{table}
"""
KINDS = ("rule", "decomposed", "declared", "none yet")
Row = tuple[str, str, str]


def page() -> str:
    """Return the page as the registry has it now."""
    text = HEAD.format(onnx=onnx.__version__, **_section(list(_standard())))
    for domain in sorted({domain for domain, _ in REGISTRY} - {""}):
        rows = [_row(name, rule, None) for (where, name), rule in sorted(REGISTRY.items()) if where == domain]
        text += FOREIGN.format(domain=domain, **_section(rows))
    return text


def _standard() -> Iterator[Row]:
    """Every operator of the newest operator set, and those of older sets that have a rule."""
    schemas = {s.name: s for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated}
    for name in sorted({*schemas, *(name for domain, name in REGISTRY if not domain)}):
        yield _row(name, REGISTRY.get(("", name)), schemas.get(name))


def _row(name: str, rule: Rule | None, schema: onnx.defs.OpSchema | None) -> Row:
    if rule is None:
        return name, "none yet", ""
    return name, rule.kind, _inputs(rule, schema) if rule.differentiable else ""


def _inputs(rule: Rule, schema: onnx.defs.OpSchema | None) -> str:
    if rule.slots is None:
        return "all"
    names = [f"{i + 1}." for i in range(len(rule.slots))]
    formal = [] if schema is None else [f"`{each.name}`" for each in schema.inputs]
    names[: len(formal)] = formal[: len(names)]
    return ", ".join(name for name, reached in zip(names, rule.slots, strict=True) if reached)


def _section(rows: list[Row]) -> dict[str, str]:
    counts = {kind: sum(row[1] == kind for row in rows) for kind in KINDS}
    parts = [f"{count} {kind}" for kind, count in counts.items() if count]
    lines = [f"| {' | '.join(row)} |" for row in [("operator", "derivative", "by"), ("---",) * 3, *rows]]
    return {"count": f"{len(rows)} operators: {', '.join(parts)}.", "table": "\n".join(lines)}


def main() -> None:
    """Write the page, or with --check only say whether it is up to date."""
    if sys.argv[1:] != ["--check"]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/operators.md is not up to date; run: python docs/operators.py")


if __name__ == "__main__":
    main()
