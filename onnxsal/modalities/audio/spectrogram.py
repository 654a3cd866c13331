"""Spectrograms inside a graph: signs of one, the values that may be it, and what is known of its two axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.graph import dims
from onnxsal.graph.operands import computed_from
from onnxsal.graph.shapes import is_float

Doubles = NDArray[np.float64]

CHANNELS = 3
"""A spectrogram has at most: as it is, and its first two differences along time."""

_TRANSFORMS = frozenset({"STFT", "DFT"})
_PRODUCTS = frozenset({"Conv", "MatMul", "Gemm"})

_FEWEST, _SHORTEST, _LARGEST = 8, 16, 1 << 23
"""Filters that make a basis at least, their taps, and the numbers of a weight that is looked at."""
_LOOKED_AT = 64
_TONAL = 0.9
"""Share of a windowed sine's energy that lies round one frequency, and of the filters that are such sines."""
_LOBE = 2.0
"""Half of the main lobe of the usual windows, in cycles over their length."""


@dataclass(frozen=True)
class Spectrogram:
    """What running the front of a model on clicks and tones tells of the value that it makes."""

    axes: str
    """Of the value: N, C, F (bins) and T (frames); 1 where an axis is of one element."""
    channels: int
    hop: float
    """Samples from one frame to the next."""
    offset: float
    """The sample that the first frame is centred on."""
    cycles: tuple[float, ...]
    """The frequency of each bin, in cycles a sample."""
    silence: Doubles | None = field(default=None, compare=False)
    """What silence gives, [C, F]; None where that is not finite."""

    def seconds(self, frames: int, rate: float) -> tuple[float, float]:
        """Return where the first of so many frames begins and the last ends, each taken to be one hop long."""
        first = (self.offset - self.hop / 2) / rate
        return first, first + frames * self.hop / rate


def has_transform(graph: ir.Graph, source: ir.Value) -> bool:
    """Return whether something computed from an input is brought to frequencies: what takes sound does that."""
    return next(_transforms(graph, source), None) is not None


def candidates(graph: ir.Graph, source: ir.Value) -> list[str]:
    """Return the values that may be the spectrogram which the first convolution reads, the nearest to it first."""
    starts = [value for node in _transforms(graph, source) for value in node.outputs]
    reached = computed_from(graph, starts)
    first = next((node for node in graph if node.op_type == "Conv" and node.inputs[0] in reached
                  and not _is_basis(node, node.inputs[0])), None)  # fmt: skip
    if not starts or first is None or first.inputs[0] is None:
        return []
    return [str(v.name) for v in _only_ways(graph, source, first.inputs[0], reached)]


def _only_ways(graph: ir.Graph, source: ir.Value, last: ir.Value, reached: set[ir.Value | None]) -> list[ir.Value]:
    """Return the values in front of one, itself among them, that all of the outputs depend on the input through."""
    found = list[ir.Value]()
    for node in reversed(list(graph)):
        for value in node.outputs:
            if (
                value in reached
                and _has_form(value)
                and (value is last or last in computed_from(graph, [value]))
                and _parts(graph, source, value)
            ):
                found.append(value)
    return found


def _has_form(value: ir.Value) -> bool:
    """Whether a value may be a spectrogram: floats, of bins and frames, and few channels."""
    shape = dims(value) or ()
    wide = [d for d in shape[1:] if d != 1]
    few = len(wide) == 2 or (len(wide) == 3 and any(not isinstance(d, int) or d <= CHANNELS for d in wide))
    return (is_float(value) or value.dtype is None) and len(shape) >= 3 and few


def _parts(graph: ir.Graph, source: ir.Value, value: ir.Value) -> bool:
    """Whether no output is computed from the input past a value."""
    reached: set[ir.Value | None] = {source}
    for node in graph:
        if any(v in reached for v in node.inputs):
            reached.update(v for v in node.outputs if v is not value)
    return reached.isdisjoint(graph.outputs)


def _transforms(graph: ir.Graph, source: ir.Value) -> Iterator[ir.Node]:
    """Yield the operators that bring what is computed from an input to frequencies."""
    reached = computed_from(graph, [source])
    for node in graph:
        data = next((v for v in node.inputs if v in reached), None)
        if data is not None and not node.domain and (node.op_type in _TRANSFORMS or _is_basis(node, data)):
            yield node


def _is_basis(node: ir.Node, data: ir.Value | None) -> bool:
    """Whether an operator multiplies with windowed sines alone, many of them."""
    if node.op_type not in _PRODUCTS or data is None:
        return False
    weight = next((v for v in node.inputs[:2] if v is not None and v is not data and v.const_value is not None), None)
    shape = () if weight is None else tuple(d for d in dims(weight) or () if isinstance(d, int))
    if weight is None or weight.const_value is None or not 2 <= len(shape) <= 4 or np.prod(shape) > _LARGEST:
        return False
    filters = _filters(node, weight, shape)
    return filters is not None and min(filters.shape) >= 1 and filters.shape[0] >= _FEWEST and _are_sines(filters)


def _filters(node: ir.Node, weight: ir.Value, shape: tuple[int, ...]) -> Doubles | None:
    """Return the filters of a weight, [filters, taps]; None where it has several channels."""
    assert weight.const_value is not None
    wide = max(shape[1:]) if node.op_type == "Conv" else max(shape)
    if wide < _SHORTEST or (node.op_type == "Conv" and np.prod(shape[1:]) != wide):
        return None
    array = np.asarray(weight.const_value.numpy(), np.float64)
    if node.op_type == "Conv":
        return array.reshape(shape[0], -1)
    matrix = array.reshape(shape[-2:]) if np.prod(shape[:-2]) == 1 else None
    if matrix is None:
        return None
    turned = weight is node.inputs[1] and not (node.op_type == "Gemm" and _is_on(node, "transB"))
    return matrix.T if turned else matrix


def _is_on(node: ir.Node, name: str) -> bool:
    return name in node.attributes and bool(node.attributes[name].as_int())


def _are_sines(filters: Doubles) -> bool:
    """Whether filters [filters, taps] are sines under windows, of many frequencies."""
    if filters.shape[1] < _SHORTEST:
        return False
    energy = (filters**2).sum(1)
    alive = filters[energy > 1e-6 * energy.max()] if energy.max() > 0 else filters[:0]
    if len(alive) < _FEWEST:
        return False
    looked = alive[np.unique(np.linspace(0, len(alive) - 1, _LOOKED_AT).astype(np.intp))]
    peaks, shares = np.transpose([_peak(each) for each in looked])
    several = len(np.unique(np.rint(peaks * filters.shape[1]))) >= min(_FEWEST, len(looked)) // 2
    return bool((shares >= _TONAL).mean() >= _TONAL and several)


def _peak(taps: Doubles) -> tuple[float, float]:
    """Return the frequency at which a filter is strongest, in cycles a sample, and the share of energy round it."""
    many = 4 * len(taps)
    power = np.abs(np.fft.rfft(taps, many)) ** 2
    power[1:-1] *= 2
    peak = int(power.argmax())
    grown = np.cumsum(taps**2) / (taps**2).sum()
    length = max(int(np.searchsorted(grown, 0.995) - np.searchsorted(grown, 0.005)) + 1, 4)
    reach = round(_LOBE * many / length)
    return peak / many, float(power[max(peak - reach, 0) : peak + reach + 1].sum() / power.sum())
