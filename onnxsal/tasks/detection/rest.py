"""What the channels behind boxes and scores are: by the graph, or by Ultralytics' metadata; else nothing is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import onnx_ir as ir

from onnxsal.graph import dims
from onnxsal.graph.program import values_by_name
from onnxsal.graph.shapes import is_float
from onnxsal.tasks.detection.beside import Keypoints, Masks, Turned
from onnxsal.tasks.detection.candidates import Candidates
from onnxsal.tasks.detection.decoding import are_turned, is_decoded
from onnxsal.tasks.detection.pieces import Piece, pieces_of
from onnxsal.tasks.detection.rows import Rows
from onnxsal.tasks.detection.words import kind_in
from onnxsal.tasks.label_words import as_names, literal
from onnxsal.tasks.words import Words

_PLANE = 4
_NUMBERS = (2, 3)
"""Of a keypoint."""
_VISIBLE = 3


def with_rest(graph: ir.Graph, found: Candidates, words: Words) -> Candidates:
    """Return candidates with what the channels behind their scores are, where that is proved.

    An angle where the boxes are worked out with its sine and cosine, keypoints where a Sigmoid makes the third number
    of each and the others are decoded, coefficients where another output has as many maps; or as the metadata say.
    """
    if found.rest is None:
        return found
    turned = _turned(graph, found, found.rest, words)
    if turned is not None:
        return replace(found, turned=turned)
    keypoints = _keypoints(graph, found.rest, words)
    if keypoints is not None:
        return replace(found, keypoints=keypoints)
    masks = _masks(graph, found.rest, words)
    if masks is None:
        return found
    return replace(found, masks=masks, outputs=(*found.outputs, *_also(graph, masks.prototypes)))


def _also(graph: ir.Graph, name: str) -> list[str]:
    return [name] if any(v.name == name for v in graph.outputs) else []


def _turned(graph: ir.Graph, found: Candidates, rest: Rows, words: Words) -> Turned | None:
    if rest.channels != 1 or found.form != "cxcywh" or found.unit != "pixels":
        return None
    boxes, made = pieces_of(values_by_name(graph)[found.boxes.values[0]], found.boxes.axis or 0), _made(graph, rest)
    turned = any(are_turned(boxes, piece) for piece in made)
    return Turned(rest) if turned or kind_in(words) == "obb" else None


def _made(graph: ir.Graph, rest: Rows) -> list[Piece]:
    """Return what the channels are put together from."""
    if len(rest.values) != 1 or rest.axis is None:
        return []
    value, at, found = values_by_name(graph)[rest.values[0]], 0, list[Piece]()
    for piece in pieces_of(value, rest.axis):
        found += [piece] if at >= rest.start else []
        at += piece.channels
    return found


def _keypoints(graph: ir.Graph, rest: Rows, words: Words) -> Keypoints | None:
    made = _made(graph, rest)
    seen = _joined(made[0]) if len(made) == 1 else None
    if seen is not None:
        logits = seen.operands
        return Keypoints(rest, _VISIBLE, logits, names=_names(words), skeleton=())
    shape = literal(words.metadata.get("kpt_shape", "")) if kind_in(words) == "pose" else None
    if not isinstance(shape, list | tuple) or len(shape) != 2 or not all(isinstance(n, int) for n in shape):
        return None
    if prod(shape) != rest.channels or shape[1] not in _NUMBERS:
        return None
    return Keypoints(rest, int(shape[1]), names=_names(words))


def _joined(piece: Piece) -> Piece | None:
    """Return the Sigmoid's numbers of keypoints [B, K, 3, N] that were laid behind each other; None where there are no
    such: two that are decoded, and one that a Sigmoid makes."""
    node = piece.values[0].producer()
    if len(piece.values) != 1 or node is None or node.op_type != "Reshape" or node.inputs[0] is None:
        return None
    source = node.inputs[0]
    shape = dims(source) or ()
    if len(shape) != _PLANE or shape[2] != _VISIBLE or not isinstance(shape[1], int):
        return None
    if shape[1] * _VISIBLE != piece.channels or (dims(piece.values[0]) or (0,))[-1] != shape[-1]:
        return None
    found = pieces_of(source, 2)
    places, seen = found[:-1], found[-1]
    if seen.made_by != "Sigmoid" or seen.channels != 1 or not is_decoded([v for p in places for v in p.values]):
        return None
    return replace(seen, axis=1, start=0, stop=shape[1])


def _names(words: Words) -> tuple[tuple[str, ...], ...]:
    """Return the names of keypoints that the metadata give for each class, one for all where they are alike."""
    told = literal(words.metadata.get("kpt_names", ""))
    if isinstance(told, dict) and all(isinstance(each, list | tuple) for each in told.values()):
        found = [as_names(list(told[key]), 0) for key in sorted(told, key=int)]
        return (found[0],) if len(set(found)) == 1 else tuple(found)
    return (as_names(told, 0),) if told is not None and as_names(told, 0) else ()


def _masks(graph: ir.Graph, rest: Rows, words: Words) -> Masks | None:
    if rest.channels < 2 or kind_in(words) not in ("", "segment"):
        return None
    found = [each for each in _planes(graph.outputs) if (dims(each) or ())[1] == rest.channels]
    if len(found) != 1:
        return None
    grid = (dims(found[0]) or ())[2:]
    if not isinstance(grid[0], int) or not isinstance(grid[1], int):
        return None
    return Masks(rest, str(found[0].name), (grid[0], grid[1]))


def _planes(values: Sequence[ir.Value]) -> list[ir.Value]:
    return [value for value in values if is_float(value) and len(dims(value) or ()) == _PLANE]
