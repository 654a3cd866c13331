"""Elements of an output, whatever it holds: the way that always works, where no other task is proved or fits.

A target is the sum of what an index selects of an output, by NumPy's rules, as the file gives it for one input.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal.anatomy.select import SHAPE, VALUES
from onnxsal.errors import ModelError, UnsupportedError, UsageError, nearest
from onnxsal.graph import Tape, dims
from onnxsal.graph.program import Trace, values_by_name
from onnxsal.graph.shapes import is_float, static
from onnxsal.modalities.registry import recognise
from onnxsal.tasks.detection.unproven import suspected
from onnxsal.tasks.indexed import Columns, Element, example, one_of, shown
from onnxsal.tasks.labels import Labels
from onnxsal.tasks.outputs import behind, main_output, named_outputs
from onnxsal.tasks.registry import LAST, assumed, get, task
from onnxsal.tasks.target import Target
from onnxsal.tasks.task import Numbers, Prediction, Task, most

_PAIR = 2


@dataclass(frozen=True)
class ElementPrediction(Prediction):
    """A number of an output, and what names it."""

    @property
    def told(self) -> str:
        """The target that it is, to be copied."""
        return f"-t {shlex.quote(self.label)}"


@task("element", when="any element of any output, where nothing else is proved")
@dataclass(frozen=True)
class ElementTask(Task):
    """One output, flattened: what is asked of it is said by an index."""

    shape: tuple[int | str | None, ...] | None
    """As the graph knows it; None where not even the rank is known."""
    axis: int | None
    """That of the batch; None where the output is of one input at a time."""
    asked: bool = False
    """Whether running told the axis."""
    wanted: bool = True
    """Whether somebody asked for an element, and nothing has to be said."""
    tasks: tuple[str, ...] = ()
    """Tasks that its shape allows and nothing proves: a user may say that it is one of them."""

    boxes: bool = False
    """Whether it is likely that boxes with classes are among the outputs."""

    by_element: ClassVar[bool] = True
    by_length: ClassVar[bool] = True

    @classmethod
    def find(cls, graph: ir.Graph) -> Self:
        """Return the task of the main output that holds floats. Raises: UnsupportedError: none does."""
        found = cls.assume(graph)
        return replace(found, wanted=False, tasks=_allowed(graph, found.output), boxes=suspected(graph))

    @classmethod
    def assume(cls, graph: ir.Graph) -> Self:
        """Return the same of which nobody asks what else it may be."""
        floats = [v for v in graph.outputs if _is_served(v)]
        if not floats:
            raise UnsupportedError(_without_floats(graph))
        output = floats[main_output(floats)]
        shape = dims(output)
        return cls(str(output.name), str(output.name), shape, _batch_axis(graph, shape))

    def of_any_length(self, graph: ir.Graph) -> Self:
        """Return the task, whose shape is known where it is run."""
        return replace(self, shape=dims(values_by_name(graph)[self.logit]))

    @property
    def alone(self) -> bool:
        """Whether the output is of one input at a time."""
        return self.axis is None

    def rows_on(self, axis: int) -> Self:
        """Return the same with its batch on an axis where running showed it."""
        return replace(self, axis=axis, asked=True)

    @property
    def by_running(self) -> bool:
        """Whether running told the axis of the batch."""
        return self.asked

    @property
    def kinds(self) -> Mapping[str, str]:
        """The numbers as they are, in the order of the output's axes, that of the batch left out."""
        return {"value": VALUES}

    @property
    def beside(self) -> Mapping[str, str]:
        """The shape, where the graph does not know it."""
        return {} if self._known() is not None else {"shape": SHAPE}

    @property
    def size(self) -> int:
        """How many numbers there are; at least 1 where only running tells."""
        known = self._known()
        return 1 if known is None else math.prod(known)

    def _known(self) -> tuple[int, ...] | None:
        """Return the shape of one input's output, where the graph knows it."""
        numbers = tuple(d for d in self.one or () if isinstance(d, int))
        return numbers if self.one is not None and len(numbers) == len(self.one) else None

    def write(self, op: Tape, values: Mapping[str, ir.Value] | Trace) -> dict[str, ir.Value]:
        """Return the numbers, float32 [B, N], and the output's shape, int64 [B, rank]."""
        value = values[self.logit]
        flat = self._rows(op, op.cast(value, ir.DataType.FLOAT))
        if not self.beside:
            return {VALUES: flat}
        rows = op.Concat(op.Shape(flat, start=0, end=1), [1], axis=0)
        return {VALUES: flat, SHAPE: op.Expand(op.Unsqueeze(op.Shape(value), [0]), rows)}

    def _rows(self, op: Tape, value: ir.Value) -> ir.Value:
        if self.axis is None:
            return op.Reshape(value, [1, -1])
        if self.axis > 0 and self.shape is not None:
            others = [axis for axis in range(len(self.shape)) if axis != self.axis]
            value = op.Transpose(value, perm=[self.axis, *others])
        return op.Flatten(value, axis=1)

    def check(self, numbers: Numbers) -> None:
        """Nothing: numbers that are not finite are none of its business, as long as no target is among them."""

    def resolve(self, target: Any, numbers: Numbers, labels: Labels | None) -> Target:
        """Return the sum of what an ``Element``, or its text, selects; of a pair the one minus the other.

        An index alone is meant where the output has one axis beside the batch. None is an output of one number.

        Raises: UsageError: it is of another output, out of range, or does not say which. ModelError: NaN is there.
        """
        shape = self._shape(numbers)
        if isinstance(target, tuple):
            if len(target) != _PAIR:
                raise UsageError(f"a pair of targets (a, b) means a minus b; got {len(target)} of them")
            return self._minus([self._element(each, shape) for each in target], shape, numbers)
        element = self._element(target, shape)
        columns = element.columns(shape)
        return self._checked(Target(str(element), str(element), None, columns, _ones(columns)), numbers)

    def _minus(self, pair: Sequence[Element], shape: Sequence[int | None], numbers: Numbers) -> Target:
        first, second = (each.columns(shape) for each in pair)
        name = f"{pair[0]} minus {pair[1]}"
        signs = np.concatenate([_ones(first), -_ones(second)])
        return self._checked(Target(name, name, None, np.concatenate([first, second]), signs), numbers)

    def _checked(self, target: Target, numbers: Numbers) -> Target:
        if numbers and not np.isfinite(numbers["value"][target.indices]).all():
            raise ModelError(f"{target.label!r} is not finite here (NaN or infinity): there is nothing to explain")
        return target

    def _element(self, target: Any, shape: Sequence[int | None]) -> Element:
        if target is None and math.prod(1 if d is None else d for d in shape) == 1 and None not in shape:
            return Element(self.output, *[0] * len(shape))
        if isinstance(target, str):
            target = Element.read(target, [self.output]) or target
        wide = [axis for axis, d in enumerate(shape) if d != 1]
        number = _number(target)
        if number is not None and len(wide) <= 1:
            at = wide[0] if wide else len(shape) - 1
            return Element(self.output, *[number if axis == at else 0 for axis in range(len(shape))])
        if isinstance(target, Element) and target.output == self.output and (target.index or not shape):
            return target
        raise UsageError(
            f"{self._not_said(target)}: {self.output!r} has the shape {shown(shape)}, so name one, "
            f"{example(self.output, shape)}{self.saying}"
        )

    @property
    def saying(self) -> str:
        """How a user says what else it holds, as the end of a message."""
        ways = [f"--task {name} ({get(name).when})" for name in self.tasks]
        said = f"; or say what it holds, where that is so: {' or '.join(ways)}" if ways else ""
        return (
            f"{said}; it looks like a detector's boxes: --task detection tells what is missing" if self.boxes else said
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What its output holds is not proved, where nobody asked for an element."""
        if self.wanted:
            return ()
        found = f"nothing proves what the output {self.output!r} {shown(self.one)} holds"
        return (f"{found}: any element of it can be explained, {example(self.output, self.one)}{self.saying}",)

    @property
    def one(self) -> tuple[int | str | None, ...] | None:
        """The shape of one input's output, as far as the graph knows it."""
        return None if self.shape is None else tuple(1 if a == self.axis else d for a, d in enumerate(self.shape))

    @property
    def example(self) -> str:
        """An element."""
        return str(one_of(self.output, self.one))

    def _not_said(self, target: Any) -> str:
        if target is None or (isinstance(target, Element) and target.output == self.output):
            return "which element is explained has to be said"
        name = str(target)
        return f"{name!r} is no element of it{nearest(name, [self.output])}"

    def _shape(self, numbers: Numbers) -> tuple[int | None, ...]:
        """Return the shape as the file gives it for one input; what is not known before it is run is None."""
        if "shape" in numbers:
            return tuple(1 if axis == self.axis else int(d) for axis, d in enumerate(numbers["shape"]))
        if self.shape is None:
            raise UsageError(f"the shape of {self.output!r} is known when it is run, not before")
        return tuple(1 if a == self.axis else d if isinstance(d, int) else None for a, d in enumerate(self.shape))

    def predict(self, numbers: Numbers, labels: Labels | None, top: int) -> list[Prediction]:
        """Return the largest numbers, each with what names it as a target."""
        shape, values = self._shape(numbers), numbers["value"]
        found = list[Prediction]()
        for column in most(np.where(np.isnan(values), -np.inf, values), top):
            at = [int(i) for i in np.unravel_index(column, [d or 0 for d in shape])]
            found.append(ElementPrediction(column, str(Element(self.output, *at)), float("nan"), float(values[column])))
        return found

    @property
    def heading(self) -> str:
        """The shape of what is predicted."""
        return f"{self.output!r} has the shape {shown(self.one)}; its largest numbers, each as a target:"

    def shown(self, target: Target, numbers: Numbers) -> tuple[float, float]:
        """Return the sum, which is both what is explained and its score."""
        value = target.value(numbers["value"])
        return value, value

    def any_target(self, rows: int, *, weighted: bool) -> dict[str, NDArray[Any]]:
        """Return what a score program may be fed: of an output whose size only running tells the first number."""
        fed = super().any_target(rows, weighted=weighted)
        return fed if self._known() is not None else {name: np.abs(array) for name, array in fed.items()}

    def facts(self) -> dict[str, Any]:
        """Return what ``onnxsal inspect`` tells of the output."""
        return {**super().facts(), "shape": None if self.one is None else list(self.one), "target": self.example}


def _ones(columns: Columns) -> NDArray[np.float32]:
    return np.ones(len(columns), np.float32)


def _number(target: Any) -> int | None:
    """Return an index that is given as a number or as its digits."""
    if isinstance(target, str):
        text = target.strip()
        return int(text) if text.removeprefix("-").isdecimal() else None
    if isinstance(target, bool) or not hasattr(target, "__index__"):
        return None
    return int(target.__index__())


def _is_served(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType) and is_float(value)


def _allowed(graph: ir.Graph, output: str) -> tuple[str, ...]:
    """Return the tasks that the shape of an output allows, though nothing proves them."""
    return tuple(name for name in assumed(graph, output) if name != LAST)


def _batch_axis(graph: ir.Graph, shape: tuple[int | str | None, ...] | None) -> int | None:
    """Return the axis that has the size of the explained input's batch, whatever that is; None where none is proved."""
    entry = recognise(graph)[1]
    taken = dims(next(v for v in graph.inputs if v.name == entry.input)) or ()
    batch = None if entry.one_by_one or not taken else taken[entry.input_axes.index("N")]
    axes = [axis for axis, size in enumerate(shape or ()) if isinstance(size, str) and size == batch]
    return axes[0] if len(axes) == 1 else None


def _without_floats(graph: ir.Graph) -> str:
    """Say that no output has a gradient, and which float values lie behind those that there are."""
    told = [f"{v.name!r} holds {_type(v)}{_floats_behind(v)}" for v in graph.outputs]
    return f"only float outputs can be explained: {named_outputs(told)}"


def _type(value: ir.Value) -> str:
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return "a sequence or map"
    return "values of unknown type" if value.dtype is None else value.dtype.name.lower()


def _floats_behind(value: ir.Value) -> str:
    """Name the float value that an output was picked or rounded from, and what gives its gradient."""
    node = value.producer()
    found = next((v for v in behind(value) if is_float(v)), None)
    if found is None and node is not None:
        found = next((v for v in node.inputs if v is not None and v.const_value is None and is_float(v)), None)
    if found is None:
        return ""
    sizes = static(found) or dims(found)
    return (
        f", made of the floats {found.name!r} {shown(sizes)}: make them an output, or write their gradient with "
        f"`onnxsal gradient MODEL --of {found.name!r} --wrt INPUT`"
    )


__all__ = ["Element", "ElementTask"]
