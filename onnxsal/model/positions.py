"""Whether operators that nobody knows keep positions, tested by running: change a part of what one is given, see where
what comes out changes.

Only where a layer is asked for that lies behind such operators (custom ones, CumSum, DeformConv ...). It is their own
input that is changed, not the picture: what lies in front of them mixes positions too, and would blur what they do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy import Layer, X, body
from onnxsal.anatomy.axes import tokens_of
from onnxsal.anatomy.known import Layout, Layouts
from onnxsal.anatomy.layout import layouts
from onnxsal.anatomy.operators import described
from onnxsal.errors import UnsupportedError
from onnxsal.graph import Program
from onnxsal.graph.cut import cut, uses_of
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model.model import Model

Floats = NDArray[np.float64]
Grid = tuple[int, int]

A_SIDE = 3
"""Parts along rows and columns, where there are as many of these."""

NEAR = 0.1
"""How far, in shares of the picture and beside half a position, the middle of a change may lie from where it was made:
less than a third of the way from one part to the next."""

ENOUGH = 0.75
"""Of the parts that change anything, this share has to change it in its own place."""

_AMPLITUDES = (1.0, 64.0)
"""Of the change; the second where the first changes nothing, as between integers."""

_DELTA = "sal/delta"


@dataclass(frozen=True)
class Verdict:
    """Of how many parts a change was seen, of how many in its place, and the forwards it took."""

    changed: int
    matched: int
    parts: int
    forwards: int

    @property
    def keeps(self) -> bool:
        """Whether positions are kept."""
        return 2 * self.changed >= self.parts and self.matched >= ENOUGH * self.changed


@dataclass(frozen=True)
class _Probe:
    """An operator's input that is changed, by its number, and the value behind it that is looked at, by its name."""

    operator: str
    source: int
    source_layout: Layout
    target: str
    target_layout: Layout


def check_positions(model: Model, layer: Layer) -> None:
    """Return nothing where all operators in front of a layer keep positions; what is not known is tested once a model.

    Raises: UnsupportedError: one does not.
    """
    for operator, verdict in tested(model, layer).items():
        if not verdict.keeps:
            told = (
                f"layer {layer.name!r} lies behind {operator}, which does not keep positions: of {verdict.parts} parts "
                f"of its input {verdict.matched} change its result in their place (tested by {verdict.forwards} "
                "forwards), so a map cannot be drawn on the picture. Name a layer in front of it (see `onnxsal layers "
                "MODEL`), or use a method that works on the picture (gradient, smoothgrad, integrated-gradients, "
                "occlusion)"
            )
            raise UnsupportedError(spoken(told, nouns_of(model.modality.name)))


def tested(model: Model, layer: Layer) -> dict[str, Verdict]:
    """Return what running says of the operators in front of a layer that are only assumed to keep positions."""
    if not layer.assumed:
        return {}
    key = ("positions", layer.assumed)
    found: dict[str, Verdict] = model.program(key, lambda: _verdicts(model, layer))
    return found


def said(model: Model, layer: Layer) -> tuple[str, ...]:
    """Return the note that positions were tested, and what that cost."""
    verdicts = tested(model, layer)
    if not verdicts:
        return ()
    forwards = sum(verdict.forwards for verdict in verdicts.values())
    return (
        f"layer {layer.name!r}: that {', '.join(verdicts)} keeps positions was tested by running "
        f"({forwards} forwards, once a model)",
    )


def _verdicts(model: Model, layer: Layer) -> dict[str, Verdict]:
    graph, entry = model.anatomy.model.graph, model.anatomy.entry
    known = layouts(graph, values_by_name(graph)[entry.value], entry.value_axes, entry.spatial)
    probes = (_probe(node, graph, known) for node in graph if described(node) in layer.assumed)
    return {probe.operator: _verdict(model, probe) for probe in probes if probe is not None}


def _probe(node: ir.Node, graph: ir.Graph, known: Layouts) -> _Probe | None:
    """Return what to test of an operator; None where its input holds no positions: the one that took them is tested."""
    layouts = [known.get(v) for v in node.inputs]
    source = next((i for i, layout in enumerate(layouts) if _grid(layout) is not None), None)
    target = _behind(node, graph, known)
    layout = None if source is None else layouts[source]
    if source is None or layout is None or target is None:
        return None
    return _Probe(described(node), source, layout, str(target.name), known.found[target])


def _behind(node: ir.Node, graph: ir.Graph, known: Layouts) -> ir.Value | None:
    """Return the first value of a node, or behind it, that holds positions."""
    reached: set[ir.Value | None] = set()
    for other in graph:
        if other is node or any(v in reached for v in other.inputs):
            reached.update(other.outputs)
            found = next((v for v in other.outputs if _grid(known.get(v)) is not None), None)
            if found is not None:
                return found
    return None


def _grid(layout: Layout | None) -> Grid | None:
    """Return rows and columns of a value that has both."""
    tags = () if layout is None else layout.tags
    if layout is not None and "T" in tags:
        return tokens_of(layout.axes[tags.index("T")])[0]
    if layout is not None and {"H", "W"} <= set(tags):
        h, w = (layout.axes[tags.index(name)][0].extent for name in ("H", "W"))
        return h, w
    return None


def _verdict(model: Model, probe: _Probe) -> Verdict:
    session, forwards = model.session(_changed(model, probe)), 0
    rng, grid = np.random.default_rng(0), _grid(probe.source_layout) or (1, 1)
    x = rng.normal(0, 1, (1, model.anatomy.entry.channels, *model.size)).astype(np.float32)
    noise, parts = rng.normal(0, 1, _sizes(probe.source_layout)), list(_parts(grid))
    for amplitude in _AMPLITUDES:
        deltas = [0 * noise, *(amplitude * noise * _spread(part, probe.source_layout) for part in parts)]
        found = [session.run({X: x, _DELTA: d.astype(np.float32)})["sal/target"].astype(np.float64) for d in deltas]
        forwards += len(found)
        changes = [_seen(np.abs(value - found[0]), probe.target_layout) for value in found[1:]]
        if any(change.any() for change in changes):
            break
    pairs = [(change, part) for change, part in zip(changes, parts, strict=True) if change.any()]
    return Verdict(len(pairs), sum(_is_near(*pair) for pair in pairs), len(parts), forwards)


def _changed(model: Model, probe: _Probe) -> Program:
    """Return the program in which a change is added to an operator's input, for that operator alone."""
    op = body(model.anatomy).extend()
    node = next(n for n in op.graph if described(n) == probe.operator)
    source, target = node.inputs[probe.source], op[probe.target]
    assert source is not None
    delta = op.input(_DELTA, ir.DataType.FLOAT, _sizes(probe.source_layout))

    def changed() -> ir.Value:
        return op.cast(op.Add(op.cast(source, ir.DataType.FLOAT), delta), source.dtype)

    cut(op, source, changed, uses=[use for use in uses_of(source) if use[0] is node], before=node)
    return op.finish_with({"sal/target": op.cast(target, ir.DataType.FLOAT)})


def _sizes(layout: Layout) -> list[int]:
    """Return the sizes of one picture's value."""
    return [math.prod(a.extent for a in axis if a.index is None or a.index.name != "B") for axis in layout.axes]


def _parts(grid: Grid) -> Iterator[Floats]:
    """Yield masks [h, w] of the middles of equal parts."""
    for rows in _middles(grid[0]):
        for columns in _middles(grid[1]):
            mask = np.zeros(grid)
            mask[rows, columns] = 1
            yield mask


def _middles(size: int) -> Iterator[slice]:
    count = min(size, A_SIDE)
    for i in range(count):
        low, high = i * size // count, (i + 1) * size // count
        margin = (high - low) // 4
        yield slice(low + margin, high - margin)


def _spread(mask: Floats, layout: Layout) -> Floats:
    """Return a mask [h, w] in the layout of a value, size 1 along the other axes."""
    tags, sizes = layout.tags, [1] * len(layout.axes)
    if "T" in tags:
        at = tags.index("T")
        (grid, dropped), sizes[at] = tokens_of(layout.axes[at]), _sizes(layout)[at]
        flat = np.zeros(sizes[at])
        flat[dropped : dropped + grid[0] * grid[1]] = mask.reshape(-1)
        return flat.reshape(sizes)
    h, w = tags.index("H"), tags.index("W")
    sizes[h], sizes[w] = mask.shape
    return (mask if h < w else mask.T).reshape(sizes)


def _seen(change: Floats, layout: Layout) -> Floats:
    """Return how much changed at every position, [h, w]."""
    tags = layout.tags
    kept = [tags.index("T")] if "T" in tags else [tags.index("H"), tags.index("W")]
    total = change.sum(axis=tuple(i for i in range(change.ndim) if i not in kept))
    if "T" in tags:
        grid, dropped = tokens_of(layout.axes[kept[0]])
        return np.asarray(total[dropped : dropped + grid[0] * grid[1]].reshape(grid), np.float64)
    return np.asarray(total if kept[0] < kept[1] else total.T, np.float64)


def _is_near(change: Floats, part: Floats) -> bool:
    """Whether the middle of what changed most lies where the change was made."""
    found, made = _middle(np.maximum(change - change.mean(), 0) if np.ptp(change) else change), _middle(part)
    pairs = zip(found, made, change.shape, part.shape, strict=True)
    return all(abs(a - b) <= NEAR + 0.5 / min(n, m) for a, b, n, m in pairs)


def _middle(values: Floats) -> tuple[float, float]:
    """Return the centre of mass of [h, w] in shares of rows and columns."""
    total = values.sum()
    rows, columns = ((values.sum(axis=1 - i) * (np.arange(n) + 0.5)).sum() / n for i, n in enumerate(values.shape))
    return float(rows / total), float(columns / total)
