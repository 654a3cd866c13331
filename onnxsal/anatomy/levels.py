"""The layers that feed a head which reads a pyramid: one a level, the last that all of the level hangs on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxsal.anatomy.layers import Layers, find_layers
from onnxsal.anatomy.parts import Layer
from onnxsal.anatomy.select import Anatomy


def level_layers(anatomy: Anatomy) -> tuple[Layer, ...]:
    """Return a layer for every level of the pyramid that a model's scores are read from; none where there is none.

    Of a level with several branches, such as one for boxes and one for classes, the last layer that both hang on.
    """
    levels = anatomy.head.levels(anatomy.model.graph)
    found = [_of_level(anatomy, names) for names in levels]
    known = {layer.name for layer in anatomy.layers.found}
    outputs = {str(v.name) for v in anatomy.model.graph.outputs}
    own = all(outputs.issuperset(names) for names in levels)  # the layers of other outputs are not those of the first
    chosen = [layer for layer in found if layer is not None and (own or layer.name in known)]
    apart = tuple(dict.fromkeys(chosen))
    return apart if len(apart) == len(found) else ()


def _of_level(anatomy: Anatomy, names: Sequence[str]) -> Layer | None:
    branches = [_in_front(anatomy, name) for name in names]
    first, others = branches[0], branches[1:]
    if first.automatic is None:
        return None
    shared = [{layer.name for layer in each.found} for each in others]
    weighed = reversed(first.found[: first.automatic + 1])  # what is behind is no feature of anything, but a score
    return next((layer for layer in weighed if all(layer.name in names for names in shared)), None)


def _in_front(anatomy: Anatomy, name: str) -> Layers:
    return find_layers(anatomy.model.graph, anatomy.entry, replace(anatomy.head, logit=name), beside=False)
