"""Write docs/operators.md from the registry of rules: ``python tools/operators.py``."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import onnx

import onnxsal.autodiff  # noqa: F401 - registers every rule
from onnxsal.autodiff.contrib import PARTS
from onnxsal.autodiff.registry import REGISTRY, Rule
from onnxsal.autodiff.sequences import FOLLOWED

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operators.md"
HEAD = """# Operators and their derivatives

Written by `python tools/operators.py` from the registry of rules, against onnx {onnx}; a test holds it to the registry.

- **rule**: the gradient of its inputs is written as standard operators.
- **decomposed**: the gradient is that of what the operator is made of, the function that the standard defines for it or
  one of ours; the forward node itself stays, so that the runtime's own kernel computes it.
- **taken apart**: before anything is differentiated the node gives way to standard operators (the runtime fuses them
  again); operators on sequences to the tensors themselves, as far as places and lengths are constants.
- **declared**: no derivative exists or it is zero (indices, truth values, shapes, steps, constants, random numbers).
  Nothing flows through, and that is right.
- **none yet**: a gradient through it is refused with the node's name, and methods that need none still work.

Integer operators (QLinearConv, MatMulInteger ...) pass gradients straight through their rounding, and none outside
their result's range; so do QuantizeLinear and DynamicQuantizeLinear. QuantizeLinear and DequantizeLinear
of `com.microsoft` become those of the standard when a file is loaded. DynamicQuantizeLSTM has the gradient of the LSTM
with the numbers that its weights stand for.

The last column names the inputs that a gradient flows to; integer inputs among them get none. What onnxsal writes is of
`ai.onnx` alone, and every operator that it writes has a rule itself, so gradients can be differentiated again.

## What is refused by name

{gaps}

## ai.onnx

{count}

{table}
"""
FOREIGN = """
## {domain}

{count}

{table}
"""
GAPS = {
    "AveragePool, Conv, LpPool, MaxPool": "a kernel whose size is known only at run time",
    "Attention, MultiHeadAttention (com.microsoft)": "a past in a buffer, beams, rotary embedding within",
    "FusedMatMul (com.microsoft)": "transBatchA, transBatchB",
    "Gradient (ai.onnx.preview.training)": "inside a subgraph: it is lowered in the main graph only",
    "GroupQueryAttention (com.microsoft)": "a quantised cache, weights of its own normalisation, query_seqlens",
    "MatMulNBits (com.microsoft)": "a g_idx with other than 4 bits or packed zero points; weight_prepacked",
    "QLinearAveragePool, QLinearConv, QLinearGlobalAveragePool": "channels last, and every operator of "
    "com.microsoft.nchwc or named Nhwc: the layout of one machine; optimise up to ORT_ENABLE_EXTENDED only",
    "Resize": "by its scales, of which sizes are steps and places are not; by its region with antialias",
    "Resize (keep_aspect_ratio_policy)": "over the batch or the channels, not nearest",
    "RoiAlign": "mode max, of which runtimes disagree",
    "RotaryEmbedding (com.microsoft)": "packed batches, a scale",
    "Scan of opset 8": "sequence lengths, which no later opset has",
    "Sequence operators": "places or lengths known only at run time; a sequence that is an input of the model",
}
KINDS = ("rule", "decomposed", "taken apart", "declared", "none yet")
Row = tuple[str, str, str]


def page() -> str:
    """Return the page as the registry has it now."""
    gaps = "\n".join(textwrap.fill(f"- {n}: {reason}.", 120, subsequent_indent="  ") for n, reason in GAPS.items())
    text = HEAD.format(onnx=onnx.__version__, gaps=gaps, **_section(list(_standard())))
    for domain in sorted({domain for domain, _ in (*REGISTRY, *PARTS)} - {""}):
        names = sorted({name for where, name in (*REGISTRY, *PARTS) if where == domain})
        rows = [_row(name, REGISTRY.get((domain, name)), None, domain) for name in names]
        text += FOREIGN.format(domain=domain, **_section(rows))
    return text


def _standard() -> Iterator[Row]:
    """Every operator of the newest operator set, and those of older sets that have a rule."""
    schemas = {s.name: s for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated}
    for name in sorted({*schemas, *(name for domain, name in (*REGISTRY, *PARTS) if not domain)}):
        yield _row(name, REGISTRY.get(("", name)), schemas.get(name))


def _row(name: str, rule: Rule | None, schema: onnx.defs.OpSchema | None, domain: str = "") -> Row:
    if (domain, name) in PARTS or (not domain and name in FOLLOWED - {"SequenceEmpty", "SequenceLength"}):
        return name, "taken apart", "all"
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
        sys.exit("docs/operators.md is not up to date; run: python tools/operators.py")


if __name__ == "__main__":
    main()
