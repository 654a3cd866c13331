"""Finding the logit: from an output back through what only dresses it up."""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxsal.anatomy.parts import Head
from onnxsal.errors import UnsupportedError
from onnxsal.graph import attributes, dims
from onnxsal.graph.shapes import is_float

_DRESS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "QuantizeLinear", "DequantizeLinear", "Cast",
                    "Identity", "Transpose", "Dropout"})  # fmt: skip
_ACTIVATIONS = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}


def find_head(graph: ir.Graph) -> Head:
    """Return where the scores of a classifier are.

    Raises: UnsupportedError: no output holds one score per class; each is named with what it is instead.
    """
    reasons = []
    for output in graph.outputs:
        head, reason = _head_behind(output)
        if head is not None:
            return head
        reasons.append(f"{output.name!r} {reason}")
    raise UnsupportedError(
        f"onnxsal explains classifiers, and no output of this model holds one score per class: {'; '.join(reasons)}"
    )


def _head_behind(output: ir.Value) -> tuple[Head | None, str]:
    chain = list(_behind(output))
    found = next((i for i, v in enumerate(chain) if _made_by(v) in _ACTIVATIONS), None)
    if found is None:
        logit, activation, probability = _float_in(chain), "softmax", None
    else:
        node = chain[found].producer()
        assert node is not None
        logit, activation = node.inputs[0], _ACTIVATIONS[node.op_type]
        probability = chain[found] if node.op_type != "LogSoftmax" else None
    if logit is None or not is_float(logit):
        return None, f"holds {output.dtype}, not float scores"
    classes = _classes(logit)
    if classes is None:
        return None, f"has shape {_shown(logit)}, not [batch, classes]"
    if found is not None and not _over_classes(chain[found], classes):
        return None, f"has shape {_shown(logit)} and a softmax over another axis than the classes"
    if classes == 1:
        activation = "sigmoid"
    name = None if probability is None else str(probability.name)
    return Head(str(output.name), str(logit.name), name, activation, classes), ""


def _behind(value: ir.Value | None) -> Iterator[ir.Value]:
    """Yield a value and those it is only dressed from, up to and including the result of an activation."""
    while value is not None:
        yield value
        node = value.producer()
        if node is None or node.op_type not in _DRESS or node.domain:
            return
        value = node.inputs[0]


def _made_by(value: ir.Value) -> str:
    node = value.producer()
    return "" if node is None or node.domain else node.op_type


def _float_in(chain: list[ir.Value]) -> ir.Value | None:
    """The first float value in front of the output's own quantisation."""
    return next((v for v in chain if is_float(v)), None)


def _classes(value: ir.Value) -> int | None:
    """Return the number of classes of a value [B, K], or [B, K, 1, 1] and the like."""
    shape = dims(value)
    if shape is None or len(shape) < 2:
        return None
    wide = [d for d in shape[1:] if d != 1]
    if not wide:
        return 1
    return wide[0] if len(wide) == 1 and isinstance(wide[0], int) else None


def _over_classes(probability: ir.Value, classes: int) -> bool:
    node = probability.producer()
    if node is None or node.op_type == "Sigmoid" or node.inputs[0] is None:
        return True
    shape = dims(node.inputs[0]) or ()
    return bool(shape) and shape[int(attributes(node).get("axis", -1))] in (classes, None)


def _shown(value: ir.Value) -> str:
    shape = dims(value)
    return "of unknown rank" if shape is None else "[" + ", ".join(str(d or "?") for d in shape) + "]"
