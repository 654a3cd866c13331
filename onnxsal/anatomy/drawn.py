"""Random numbers inside a model: the nodes that draw what its scores depend on."""

from __future__ import annotations

from onnxsal.anatomy.select import Anatomy
from onnxsal.graph.program import values_by_name
from onnxsal.graph.random import drawing_nodes

_LISTED = 3


def drawn_by(anatomy: Anatomy) -> tuple[str, ...]:
    """Return the nodes that draw random numbers on which the scores depend, as ``Operator 'name'``."""
    values, head = values_by_name(anatomy.model.graph), anatomy.head
    return tuple(
        f"{n.op_type} {str(n.name or n.outputs[0].name)!r}" for n in drawing_nodes(values[name] for name in head.reads)
    )


def drawn_note(nodes: tuple[str, ...]) -> str:
    """Return what is to be said of a model whose scores depend on these nodes."""
    more = "" if len(nodes) <= _LISTED else f" and {len(nodes) - _LISTED} more"
    return (
        f"the scores depend on random numbers that the model draws itself ({', '.join(nodes[:_LISTED])}{more}): every "
        "run gives others, and no map can be made again"
    )
