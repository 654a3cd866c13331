"""The words for what a model is: its picture, its head, its layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.anatomy.score import Picked
from onnxsal.graph import Tape
from onnxsal.graph.program import Trace
from onnxsal.kernels.placement import WHOLE_IMAGE, Placement


@dataclass(frozen=True)
class Entry:
    """Where a model takes its picture: the input, and the value behind its fixed preprocessing that is explained."""

    input: str
    value: str
    dtype: ir.DataType
    input_axes: str
    """The axes of the model's input by letters: N the things, C their channels, the others positions (``NHWC``). Those
    that it has not are of one element in ``sal/x``; one more, of one element, is 1 (``NC1HW``: one frame of a film)."""
    value_axes: str
    """The same of the explained value."""
    channels: int
    size: tuple[int, ...] | None
    """Of the positions, in the order of ``spatial``; None where the model leaves one open."""
    spatial: str = "HW"
    """The letters of the positions, outermost first: the axes of ``sal/x`` behind N and C."""
    resized: bool = False
    """Whether the graph resizes it before anything weighs it."""

    @property
    def is_raw(self) -> bool:
        """Whether the graph proves that it wants bytes as they are: an integer input."""
        return not self.dtype.is_floating_point()

    @property
    def channels_last(self) -> str:
        """The letters of an input whose channels are its last axis, as in the bytes of an image."""
        return f"N{self.spatial}C"

    @property
    def fed_from_sal(self) -> list[int]:
        """The order of the axes of ``sal/x`` in which they are those of the model's input."""
        return [f"NC{self.spatial}".index(letter) for letter in self.input_axes if letter != "1"]

    @property
    def to_sal(self) -> list[int]:
        """The order of the explained value's axes in which they are those of ``sal/x``, ``absent`` ones left out."""
        own = self.value_axes.replace("1", "")
        return [own.index(letter) for letter in f"NC{self.spatial}" if letter in own]

    @property
    def from_sal(self) -> list[int]:
        """The order of the axes of ``sal/x``, ``absent`` ones left out, in which they are the explained value's."""
        present = [letter for letter in f"NC{self.spatial}" if letter in self.value_axes]
        return [present.index(letter) for letter in self.value_axes if letter != "1"]

    @property
    def absent(self) -> list[int]:
        """The axes of ``sal/x`` that the explained value has not."""
        return [i for i, letter in enumerate(f"NC{self.spatial}") if letter not in self.value_axes]

    @property
    def one_by_one(self) -> bool:
        """Whether the model takes one thing at a time: its input has no axis for several."""
        return "N" not in self.input_axes

    def as_sal(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return the explained value with the axes of ``sal/x``."""
        order, more = self.to_sal, ones(self.value_axes)
        value = op.Squeeze(value, more) if more else value
        value = value if order == sorted(order) else op.Transpose(value, perm=order)
        return op.Unsqueeze(value, self.absent) if self.absent else value

    def as_own(self, op: Tape, x: ir.Value) -> ir.Value:
        """Return ``sal/x`` with the explained value's own axes."""
        order, absent, more = self.from_sal, self.absent, ones(self.value_axes)
        x = op.Squeeze(x, absent) if absent else x
        x = x if order == sorted(order) else op.Transpose(x, perm=order)
        return op.Unsqueeze(x, more) if more else x

    def sal_shape(self, own: Sequence[int | str | None]) -> list[int | str | None]:
        """Return the shape of ``sal/x`` where the explained value has that one."""
        sizes = dict(zip(self.value_axes, own, strict=True))
        return [sizes.get(letter, 1) for letter in f"NC{self.spatial}"]


def ones(axes: str) -> list[int]:
    """Return which axes, by their letters, are of one element and of no other meaning."""
    return [i for i, letter in enumerate(axes) if letter == "1"]


@dataclass(frozen=True)
class Head:
    """Where the numbers are that a model is asked for, and how they are written as a graph."""

    output: str
    logit: str
    """The value behind the output of which layers are sought in front."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The values that scores are read from."""
        return (self.logit,)

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds of scores, the usual one first, and the name under which each is put out: ``sal/logits``,
        ``sal/probabilities`` or ``sal/values``, float32 [B, N] all of them."""
        raise NotImplementedError

    @property
    def beside(self) -> Mapping[str, str]:
        """What else its targets are resolved with, such as a shape that only running tells, and the name under which it
        is put out, [B, ...]; nothing of it is a score."""
        return {}

    @property
    def weighs_channels(self) -> bool:
        """Whether a score weighs all of the numbers itself: no operator with weights has to lie behind a layer."""
        return False

    def ends(self, kind: str) -> tuple[float, float] | None:
        """Return the least and the greatest number of a kind, None where there are none."""
        return (0.0, 1.0) if kind == "probability" else None

    @property
    def has_boxes(self) -> bool:
        """Whether what it scores are boxes, each at positions of its own."""
        return False

    def levels(self, graph: ir.Graph) -> Sequence[Sequence[str]]:
        """Return, for each level of a pyramid that scores are read from, the values that branches of it end in; none
        where there is no pyramid."""
        return ()

    def scored(self, op: Trace, kind: str) -> Picked | None:
        """Return the score of a kind that is no column of its numbers; None of those that are.

        Args: op: of the program that puts out its numbers; the score's inputs are added to it.
        """
        return None

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the numbers of every kind by the name that they are put out under, of a model's values by name."""
        raise NotImplementedError


@dataclass(frozen=True)
class Layer:
    """A value with spatial extent: which axis holds the feature maps, which the positions."""

    name: str
    op_type: str
    channel_axis: int
    spatial_axes: tuple[int, ...]
    """As many as the grid has, in its order; or one axis of patches in a row."""
    grid: tuple[int, ...]
    """How many positions there are along each of the axes of S."""
    channels: int
    dropped_tokens: int = 0
    """Tokens in front of the patches (class token, registers) that have no place in the picture."""
    trailing_tokens: int = 0
    """The same behind the patches."""
    placement: Placement = WHOLE_IMAGE
    """Where rows and columns lie in the picture, which crops, flips, padding in front may have moved."""
    assumed: tuple[str, ...] = ()
    """Operators in front of it of which it is only assumed that they keep positions; running tells."""
    absent: tuple[int, ...] = ()
    """Which axes of S the value has not, having mixed what lies along them: there the grid has one position for all."""

    @property
    def positions(self) -> tuple[int, ...]:
        """The axes of the positions in [B, K, *grid]."""
        return tuple(range(2, 2 + len(self.grid)))

    @property
    def is_tokens(self) -> bool:
        """Whether its positions lie in a row though they have several axes: patches."""
        return len(self.spatial_axes) + len(self.absent) != len(self.grid)

    @property
    def lacking(self) -> list[int]:
        """The axes of [B, K, *grid] that the value has not."""
        return [2 + axis for axis in self.absent]

    def maps(self, op: Tape, value: ir.Value) -> ir.Value:
        """Return a value of this layer's layout as feature maps, float32 [B, K, *grid]."""
        value = op.cast(value, ir.DataType.FLOAT)
        if not self.is_tokens:
            order = [0, self.channel_axis, *self.spatial_axes]
            value = value if order == sorted(order) else op.Transpose(value, perm=order)
            return op.Unsqueeze(value, self.lacking) if self.absent else value
        (tokens,) = self.spatial_axes
        if self.dropped_tokens or self.trailing_tokens:
            end = self.dropped_tokens + math.prod(self.grid)
            value = op.Slice(value, [self.dropped_tokens], [end], [tokens])
        if tokens < self.channel_axis:
            value = op.Transpose(value, perm=[0, 2, 1])
        return op.Reshape(value, [0, self.channels, *self.grid])
