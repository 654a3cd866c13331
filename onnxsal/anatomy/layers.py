"""The layers of a model: every value that holds feature maps, and the one that is chosen when none is named."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import onnx_ir as ir

from onnxsal.anatomy.axes import place_of, side_of, size_of, tokens_of
from onnxsal.anatomy.known import Layout, Layouts
from onnxsal.anatomy.layout import APART, layouts, letters_of
from onnxsal.anatomy.means import inside_means
from onnxsal.anatomy.operators import described
from onnxsal.anatomy.parts import Entry, Head, Layer
from onnxsal.anatomy.reach import cuts, full_edges, guides, in_front, inside_attention, pools_positions
from onnxsal.anatomy.steps import steps_of
from onnxsal.anatomy.weights import moving_values, weighted_below
from onnxsal.errors import UnsupportedError, UsageError, nearest
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.kernels.placement import WHOLE, WHOLE_IMAGE, Placement, without_copies

_WITHOUT = "methods that work on what goes in need none (gradient, smoothgrad, integrated-gradients, occlusion)"
_NO_MAPS = f"the model has no value with rows and columns on which the score depends; {_WITHOUT}"
_HIDDEN = "rows and columns are not followed through {}"
_BESIDE = "name a layer that lies beside the way or in front of it (`onnxsal layers MODEL`) if it tells you enough"
_MOVERS = frozenset({"Concat", "Gather", "Pad", "ReverseSequence", "Slice", "Split"})
_BODIES = frozenset({"If", "Loop", "Scan"})
_NOT_FULL = (
    "the score depends on every position of none of them, in front of a weighted operator; name one of those that "
    "`onnxsal layers MODEL` lists"
)


@dataclass(frozen=True)
class Layers:
    """The candidates in graph order; ``automatic`` is the position of the one chosen by the rule, None without one."""

    found: tuple[Layer, ...]
    automatic: int | None
    aliases: dict[str, str]
    """Other names of the same maps: node names, the float value in front of a quantised one, the one behind it."""
    hidden: str = ""
    """The operator in front of the score through which rows and columns are not followed, if any, and why."""
    beside: tuple[Layer, ...] = ()
    """Those on which only other values of the head depend, such as a detector's boxes; none is chosen by itself."""

    @property
    def all(self) -> tuple[Layer, ...]:
        """All that can be named, those of other values last: their numbers go on behind the others."""
        return (*self.found, *self.beside)

    def find(self, name: str | None) -> Layer:
        """Return the layer of that name (value, node, unique suffix, ``#n``), or the automatic one for None.

        Raises: UsageError: unknown or ambiguous. UnsupportedError: nothing can be chosen, there are no maps.
        """
        if name is None:
            return self._chosen()
        if name.startswith("#") and name[1:].lstrip("-").isdigit():
            return self._numbered(int(name[1:]))
        by_name = {layer.name: layer for layer in self.all}
        exact = by_name.get(name) or by_name.get(self.aliases.get(name, ""))
        if exact is not None:
            return exact
        return self._by_suffix(name, by_name)

    def _chosen(self) -> Layer:
        if self.automatic is None:
            raise UnsupportedError(f"no layer could be chosen: {self._not_full() if self.found else self._no_maps()}")
        return self.found[self.automatic]

    def _not_full(self) -> str:
        return f"{_HIDDEN.format(self.hidden)}; {_BESIDE}; {_WITHOUT}" if self.hidden else _NOT_FULL

    def _no_maps(self) -> str:
        if not self.hidden:
            return _NO_MAPS
        return f"{_HIDDEN.format(self.hidden)}; {_WITHOUT}"

    def _numbered(self, number: int) -> Layer:
        if not self.all:
            raise UnsupportedError(f"there is no layer #{number}: {self._no_maps()}")
        if not 0 <= number < len(self.all):
            raise UsageError(f"there is no layer #{number}: the layers are #0 to #{len(self.all) - 1}")
        return self.all[number]

    def _by_suffix(self, name: str, by_name: dict[str, Layer]) -> Layer:
        known = {**{alias: by_name[to] for alias, to in self.aliases.items() if to in by_name}, **by_name}
        fitting = {layer.name: layer for key, layer in known.items() if key.endswith(name)}
        if len(fitting) == 1:
            return next(iter(fitting.values()))
        if fitting:
            several = ", ".join(list(fitting)[:6])
            raise UsageError(f"layer {name!r} is ambiguous: {several}; give its number or a longer name")
        if "," in name and all(self._has(part.strip()) for part in name.split(",")):
            each = " ".join(f"-l {part.strip()!r}" for part in name.split(","))
            raise UsageError(f"layer {name!r} names several: give each on its own ({each}, in Python a list)")
        hint = nearest(name, known)
        raise UsageError(f"the model has no layer {name!r} that holds feature maps{hint}; see `onnxsal layers MODEL`")

    def _has(self, name: str) -> bool:
        try:
            return bool(name and self.find(name))
        except UsageError:
            return False


def find_layers(graph: ir.Graph, entry: Entry, head: Head, *, beside: bool = True) -> Layers:
    """Return the layers of a model, by following the picture's axes through its graph.

    Args: beside: whether those are sought as well that only other values of the head depend on.
    """
    values = values_by_name(graph)
    source, logit = values[entry.value], values[head.logit]
    nodes = _between(graph, source, logit)
    known = _followed(graph, source, entry, nodes)
    names = letters_of(entry.spatial)
    pairs, aliases = _pairs(nodes, logit, known, names)
    flow = _flow(graph, nodes, logit, known, head)
    lost = {node: why for node, why in known.lost.items() if node in set(nodes)}
    found = Layers(
        tuple(layer for _, layer in pairs), _automatic(pairs, flow, known), aliases,
        _last_lost(lost) or _hidden(graph, logit),
    )  # fmt: skip
    others = [values[name] for name in head.reads if name != head.logit] if beside else []
    for other in others:
        own = _between(graph, source, other)
        more, more_aliases = _pairs(own, other, known, names)
        taken = {*nodes, *_between(graph, logit, other), *(values[layer.name].producer() for layer in found.beside)}
        new = tuple(layer for value, layer in more if value.producer() not in taken)
        found = replace(found, beside=(*found.beside, *new), aliases={**more_aliases, **found.aliases})
    return found


def _pairs(
    nodes: list[ir.Node], end: ir.Value, known: Layouts, names: Sequence[str]
) -> tuple[list[tuple[ir.Value, Layer]], dict[str, str]]:
    """Return the layers among nodes that lead to a value, and their other names."""
    pairs = [(v, layer) for node in nodes for v in node.outputs if (layer := _layer(v, known, names))]
    return _merge_twins(_without_detours(pairs, nodes, end, known))


def _followed(graph: ir.Graph, source: ir.Value, entry: Entry, nodes: Sequence[ir.Node]) -> Layouts:
    """Return where axes are followed to; of numbers without channels of their own, the most of them that layers have.

    A convolution over a volume [B, C, D, H, W] mixes what lies along C: its maps have D, H and W.
    """
    known = layouts(graph, source, entry.value_axes, entry.spatial)
    if "C" in entry.value_axes:
        return known
    names = letters_of(entry.spatial)
    having = [own for node in nodes for v in node.outputs if (own := _own_axes(known.get(v), names, known))]
    if not having or known.spread in having:
        return known
    most = max(map(len, having))
    return layouts(graph, source, entry.value_axes, entry.spatial, next(o for o in reversed(having) if len(o) == most))


def _own_axes(layout: Layout | None, names: Sequence[str], known: Layouts) -> frozenset[str] | None:
    """Return the axes of positions that a value has beside one of channels, None where it is none of feature maps."""
    if layout is None or not known.is_batch(layout.axes[0]):
        return None
    own = [tag for tag in layout.tags[1:] if tag in names]
    whole = [size_of(axis) for axis, tag in zip(layout.axes, layout.tags, strict=True) if tag in own]
    alone = len(own) == len(set(own)) == len(layout.tags) - 2
    return frozenset(tag for tag in own if tag) if alone and math.prod(whole) > 1 else None


def _last_lost(lost: dict[ir.Node, str]) -> str:
    """Return the last operator where positions went out of sight, as messages name it."""
    node = next(reversed(lost), None)
    return "" if node is None else f"{described(node)} ({lost[node]})"


def _without_detours(
    pairs: Sequence[tuple[ir.Value, Layer]], nodes: list[ir.Node], logit: ir.Value, known: Layouts
) -> list[tuple[ir.Value, Layer]]:
    """Leave out what is moved to and fro inside a block, as shifted windows are: the block's own layers stand for it.

    Margins alone move nothing away.
    """
    at_home = {v for v, layer in pairs if layer.placement.is_whole}
    back, returned = {logit: False}, _returned(nodes, known)
    for node in reversed(nodes):
        returns = all(back[v] for v in node.outputs if v in back)
        for value in (v for v in node.inputs if v is not None):
            back[value] = back.get(value, True) and (returns or any(v in at_home for v in node.outputs))
    kept = [(v, layer) for v, layer in pairs if v not in returned]
    return [(v, layer) for v, layer in kept if layer.placement.has_all or not back.get(v, False)]


def _returned(nodes: list[ir.Node], known: Layouts) -> set[ir.Value]:
    """Return the values that are nothing but what was moved, moved back."""
    found: set[ir.Value] = set()
    for node in nodes:
        layouts = [known.get(v) for v in node.inputs]
        away = any(layout is not None and not layout.is_at_home for layout in layouts)
        if node.op_type in _MOVERS and (away or node.inputs[0] in found):
            found.update(v for v in node.outputs if (layout := known.get(v)) is not None and layout.is_at_home)
    return found


@dataclass(frozen=True)
class _Flow:
    """What lies between the picture and the numbers behind which a score is."""

    nodes: list[ir.Node]
    logit: ir.Value
    moving: set[ir.Value]
    weighted: set[ir.Value]
    """The values in front of weights: those of an operator, or of the score itself."""


def _flow(graph: ir.Graph, nodes: list[ir.Node], logit: ir.Value, known: Layouts, head: Head) -> _Flow:
    moving = moving_values(graph)
    if head.weighs_channels:
        return _Flow(nodes, logit, moving, {v for node in nodes for v in node.inputs if v is not None})
    return _Flow(nodes, logit, moving, weighted_below(nodes, logit, known, moving))


def _automatic(pairs: Sequence[tuple[ir.Value, Layer]], flow: _Flow, known: Layouts) -> int | None:
    """The last one that sees every position and lies in front of a weighted operator.

    One through which everything flows goes before others of its grid: a whole layer before a branch of it. Of several
    views of the picture that which covers most goes first. What only tells an operator where to look is none, nor what
    is one of several views that are put together behind it. Where the score is the best of all positions, as that of a
    map of anomalies, they all compete for it: what lies in front of the map is asked where nothing else does.
    """
    chosen = _chosen_in(pairs, flow, known, full_edges(flow.nodes, flow.logit, known, flow.weighted))
    if chosen is not None or not pairs:
        return chosen
    competing = full_edges(flow.nodes, flow.logit, known, flow.weighted, best_selects=False)
    return _chosen_in(pairs, flow, known, competing)


def _chosen_in(
    pairs: Sequence[tuple[ir.Value, Layer]], flow: _Flow, known: Layouts, edges: set[tuple[ir.Value, ir.Node]]
) -> int | None:
    nodes, weighted = flow.nodes, flow.weighted
    all_through = cuts(nodes, edges)
    needed = {value for value, _ in edges} - guides(nodes, known.lost)
    needed -= in_front(nodes, [node for node, why in known.lost.items() if why == APART]) - all_through
    full = [i for i, (v, _) in enumerate(pairs) if v in weighted and v in needed]
    inside = inside_attention(nodes, known, flow.moving, all_through)
    inside |= inside_means([node for node in nodes if pools_positions(node, known)])
    fitting = [i for i in full if pairs[i][0] not in inside] or full
    if not fitting:
        return None
    if pairs[fitting[-1]][0] not in all_through:
        most = max(pairs[i][1].placement.area for i in fitting)
        fitting = [i for i in fitting if pairs[i][1].placement.area == most]
    last = fitting[-1]
    through = [i for i in fitting if pairs[i][0] in all_through and pairs[i][1].grid <= pairs[last][1].grid]
    return through[-1] if through else last


def _between(graph: ir.Graph, source: ir.Value, logit: ir.Value) -> list[ir.Node]:
    """Return the nodes on the way from the picture to the logit, in graph order."""
    forward: set[ir.Value | None] = {source}
    ahead = []
    for node in graph:
        if any(v in forward for v in node.inputs):
            forward.update(node.outputs)
            ahead.append(node)
    backward, kept = {logit}, []
    for node in reversed(ahead):
        if any(v in backward for v in node.outputs):
            backward.update(v for v in node.inputs if v is not None)
            kept.append(node)
    return kept[::-1]


def _hidden(graph: ir.Graph, logit: ir.Value) -> str:
    """Return the last node with bodies that the logit is computed from, as messages name it."""
    above: set[ir.Value | None] = {logit}
    for node in reversed(list(graph)):
        if any(v in above for v in node.outputs):
            if node.op_type in _BODIES and not node.domain:
                return f"{node.op_type} {node.name or node.outputs[0].name!r}"
            above.update(node.inputs)
    return ""


def _layer(value: ir.Value, known: Layouts, names: Sequence[str] = ("H", "W")) -> Layer | None:
    layout, sizes, node = known.get(value), known.sizes(value), value.producer()
    if layout is None or sizes is None or node is None or not known.is_batch(layout.axes[0]):
        return None
    places = _places(layout, [name for name in names if name in known.spread])
    if places is None:
        return None
    spatial, grid, beside = places
    placement = _placement(layout, spatial)
    if math.prod(grid) <= 1 or placement is None:
        return None
    (channel,) = set(range(1, len(sizes))) - set(spatial)
    absent = tuple(i for i, name in enumerate(names) if name not in known.spread)
    for axis in absent:
        grid = (*grid[:axis], 1, *grid[axis:])
    return Layer(
        str(value.name), node.op_type, channel, spatial, grid, sizes[channel], *beside, placement, layout.assumed,
        absent,
    )  # fmt: skip


def _placement(layout: Layout, spatial: Sequence[int]) -> Placement | None:
    """Return where the positions of a value lie in the picture; None of more than two axes that are not where it is."""
    if layout.tags[spatial[0]] == "T":
        return place_of(layout.axes[spatial[0]])
    own = {str(layout.tags[axis]): side_of(layout.axes[axis]) for axis in spatial}
    sides = {name: without_copies(side) or side for name, side in own.items()}
    if not sides.keys() <= {"H", "W"}:
        return WHOLE_IMAGE if all(side == WHOLE for side in sides.values()) else None
    return Placement(sides.get("H", WHOLE), sides.get("W", WHOLE))


def _places(layout: Layout, names: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, int]] | None:
    """Return the axes of the positions called so, their grid, and the tokens in front of them and behind."""
    tags = list(layout.tags)
    if len(tags) == 2 + len(names) and all(tags.count(name) == 1 for name in names):
        axes = tuple(tags.index(name) for name in names)
        return axes, tuple(size_of(layout.axes[axis]) for axis in axes), (0, 0)
    if list(names) == ["H", "W"] and len(tags) == 3 and tags.count("T") == 1:
        tokens = tags.index("T")
        grid, dropped = tokens_of(layout.axes[tokens])
        return (tokens,), grid, (dropped, size_of(layout.axes[tokens]) - dropped - grid[0] * grid[1])
    return None


def _merge_twins(
    pairs: Sequence[tuple[ir.Value, Layer]],
) -> tuple[list[tuple[ir.Value, Layer]], dict[str, str]]:
    """Copies are one layer; in quantised graphs the integer value stands for its float forms, which undo fusion."""
    kept: list[tuple[ir.Value, Layer]] = []
    aliases: dict[str, str] = {}
    present = {value for value, _ in pairs}
    for value, layer in pairs:
        node = value.producer()
        assert node is not None
        if node.name:
            aliases.setdefault(node.name, layer.name)
        twin = _twin(value, node)
        if twin is not None and twin in present:
            aliases[layer.name] = str(twin.name)
        elif is_float(value) or node.op_type == "QuantizeLinear" or steps_of(value) is not None:
            kept.append((value, layer))
    return kept, {alias: aliases.get(to, to) for alias, to in aliases.items()}


def _twin(value: ir.Value, node: ir.Node) -> ir.Value | None:
    """Return the value that stands for this one: what it copies or rearranges, or its quantised form."""
    if node.op_type in ("Dropout", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze"):
        return node.inputs[0]
    if node.op_type == "DequantizeLinear":
        return node.inputs[0] if node.inputs[0] is not None and _is_quantised(node.inputs[0]) else None
    consumers = list(value.consumers())
    if len(consumers) == 1 and consumers[0].op_type == "QuantizeLinear":
        return consumers[0].outputs[0]
    return None


def _is_quantised(value: ir.Value) -> bool:
    node = value.producer()
    return node is not None and (node.op_type == "QuantizeLinear" or steps_of(value) is not None)
