"""Where scores of tokens are in a graph: outputs [B, T, K] of a model whose input are vectors of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from onnxsal.errors import UnsupportedError
from onnxsal.graph import dims
from onnxsal.graph.shapes import is_float
from onnxsal.modalities.registry import recognise
from onnxsal.modalities.tokens.modality import MARK, ROWS
from onnxsal.tasks.outputs import ACTIVATIONS, behind, made_by, main_outputs, named_outputs, source


@dataclass(frozen=True)
class TokenHead:
    """Scores of K things at each of T tokens."""

    output: str
    logit: str
    probability: str | None
    """The value that holds probabilities; None where the model ends in logits."""
    activation: str
    classes: int
    length: int
    proof: str = ""
    """What makes probabilities in the graph; empty where nothing does."""


def is_of_tokens(graph: ir.Graph) -> bool:
    """Return whether a graph takes vectors of tokens."""
    return len(graph.inputs) == 1 and MARK in graph.inputs[0].metadata_props


def vocabulary(graph: ir.Graph) -> int | None:
    """Return how many ids a model of tokens knows, None where its table does not say it."""
    rows = graph.inputs[0].metadata_props.get(ROWS) if is_of_tokens(graph) else None
    return None if rows is None else int(rows)


def heads_of(graph: ir.Graph) -> list[TokenHead]:
    """Return the scores of tokens that a graph puts out, the main ones alone.

    Raises: UnsupportedError: there are none; the message says what the outputs are instead.
    """
    if not is_of_tokens(graph):
        raise UnsupportedError("the model takes no token ids, so that no output is of tokens")
    length = (recognise(graph)[1].size or (None,))[0]
    found = [(output, _head(output, length)) for output in graph.outputs]
    heads = [(output, head) for output, head in found if head is not None]
    if not heads:
        told = named_outputs([f"{v.name!r} is {list(dims(v) or ())}" for v in graph.outputs])
        raise UnsupportedError(f"no output has a row of scores for each token, [batch, tokens, scores]: {told}")
    return [heads[i][1] for i in main_outputs([output for output, _ in heads])]


def vectors_of(graph: ir.Graph) -> list[ir.Value]:
    """Return the outputs that may be a vector for each token, [B, T, D], none of which nothing makes probabilities."""
    if not is_of_tokens(graph):
        return []
    length = (recognise(graph)[1].size or (None,))[0]
    every = [(output, _head(output, length)) for output in graph.outputs]
    return [output for output, head in every if head is not None and not head.proof]


def _head(output: ir.Value, length: int | None) -> TokenHead | None:
    chain = list(behind(output))
    made = next((v for v in chain if made_by(v) in ACTIVATIONS), None)
    scores = chain if made is None else list(behind(source(made)))
    logit = next((v for v in scores if _is_row_of_scores(v, length)), None)
    if logit is None:
        return None
    operator = "" if made is None else made_by(made)
    held = made is not None and operator != "LogSoftmax" and dims(made) == dims(logit)
    proof = "" if made is None else f"{operator} makes {output.name!r}"
    return TokenHead(
        str(output.name), str(logit.name), str(made.name) if made is not None and held else None,
        ACTIVATIONS.get(operator, "softmax"), _last(logit), length or 1, proof,
    )  # fmt: skip


def _is_row_of_scores(value: ir.Value, length: int | None) -> bool:
    shape = dims(value)
    if not is_float(value) or shape is None or len(shape) != 3 or not isinstance(shape[2], int):
        return False
    return length is None or not isinstance(shape[1], int) or shape[1] == length


def _last(value: ir.Value) -> int:
    size = (dims(value) or (0,))[-1]
    assert isinstance(size, int)
    return size
