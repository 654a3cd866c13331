"""Why a map is 0 everywhere, found by running the model; and what of the picture no gradient can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Layer, Score, X
from onnxsal.autodiff import rule_set
from onnxsal.autodiff.endings import blind, crossings, flow, named
from onnxsal.autodiff.probing import Ending, Probe, probe
from onnxsal.errors import UnsupportedError
from onnxsal.explanation.method_plan import MethodPlan
from onnxsal.graph.program import values_by_name
from onnxsal.modalities.nouns import nouns_of, spoken
from onnxsal.model import Model
from onnxsal.model.table import takes_rows

FORWARD = "score-cam, ss-cam, is-cam, eigencam, occlusion"
"""Methods that ask for no gradient."""

FORWARD_OF_ROWS = "shapley, occlusion, rise"
"""The same of rows of tables, which have no layers with positions."""

_AT_ITS_END = 1e-6
"""How near 0 or 1 a probability is saturated."""

SHOWN = 3
"""Nodes that a message names."""

_BOUNDS = frozenset({"Clip", "HardSigmoid", "HardSwish", "HardTanh", "QuantizeLinear", "ThresholdedRelu", "Shrink"})
_SQUASHING = frozenset({"Sigmoid", "Tanh", "Softmax", "LogSoftmax", "Erf", "Softsign", "Softplus", "Exp"})


@dataclass(frozen=True)
class Case:
    """A kind of explanation, as far as it decides whether there is a gradient.

    Attributes: layer: None where the map is of pixels.
    """

    model: Model
    steps: MethodPlan
    score: Score
    layer: Layer | None

    @property
    def source(self) -> str:
        """The value that the gradient is taken by."""
        return X if self.layer is None else self.layer.name

    @property
    def rules(self) -> str:
        """The rule set of its gradients."""
        return self.steps.innermost.method.rules or "plain"

    def key(self, what: str) -> Any:
        """What tells cases with different answers apart."""
        return (what, self.score, self.source, self.rules)


def why_empty(case: Case, x: NDArray[np.float32], feeds: Mapping[str, NDArray[Any]]) -> str | None:
    """Return why a map is 0 everywhere, and what to do; None where a method takes no gradient, or nothing was found.

    Args: x: the explained picture [C, H, W]. feeds: the target's.
    """
    found = _why(case, x, feeds) if case.steps.backward else _saturated(case, x, feeds)
    return (
        None if found is None else spoken(found, nouns_of(case.model.modality.name, case.model.anatomy.entry.spatial))
    )


def _saturated(case: Case, x: NDArray[np.float32], feeds: Mapping[str, NDArray[Any]]) -> str | None:
    """Return why a method that only runs the model, many times, finds nothing where its probability is at its end."""
    if case.score.kind != "probability" or case.steps.forwards(2) == 1:
        return None
    (score,) = case.model.session(case.score).run({X: x[None], **feeds}).values()
    at = float(np.ravel(score)[0])
    if _AT_ITS_END < at < 1 - _AT_ITS_END:
        return None
    instead = ". Explain the logit instead (score=logit)" if "logit" in case.model.task.kinds else ""
    return f"{_what(case)}: the probability is saturated ({at:.6g}), and what is covered does not move it{instead}"


def _why(case: Case, x: NDArray[np.float32], feeds: Mapping[str, NDArray[Any]]) -> str | None:
    """Return at which nodes the gradient ends, or what it is multiplied with is 0."""
    try:
        probed: Probe = _kept(case, "cause", lambda: probe(case.score, case.source, rule_set(case.rules)))
    except UnsupportedError:  # what the map needed has rules; some other way from the source to the score has not
        return None
    results = case.model.session(probed.program).run({X: x[None], **feeds})
    reached = probed.reached(results)
    if case.source in reached:
        return _not_multiplied(case, probed, results, x)
    endings = probed.endings(results)
    if not endings:
        return None
    ends = " and ".join(_told(each, case) for each in endings[:SHOWN])
    more = f" and at {len(endings) - SHOWN} more" if len(endings) > SHOWN else ""
    advice = _advice(case, endings, _alive(probed, results))
    return f"{_what(case)}: the gradient of the score ends at {ends}{more}. {advice}"


def _alive(probed: Probe, results: Mapping[str, NDArray[np.float32]]) -> list[str]:
    """Return what the gradient reaches and the picture fills with more than one number: maps to speak of."""
    flat = results["sal/low"] == results["sal/high"]
    names = {str(value.name) for value, same in zip(probed.values, flat, strict=True) if not same}
    return [name for name in probed.reached(results) if name in names]


def _kept(case: Case, what: str, make: Any) -> Any:
    return case.model.program(case.key(what), make)


def _what(case: Case) -> str:
    return "the map is 0 everywhere" if case.layer is None else f"the map of layer {case.layer.name!r} is empty"


def _told(ending: Ending, case: Case) -> str:
    node = "the probability" if ending.ours and ending.op_type in _SQUASHING else ending.node
    known = ending.low == ending.low
    if ending.void:
        return f"{node}, which goes over one number and puts out {ending.high:.6g} whatever that is"
    if ending.crossing:
        return f"{node}, which has the gradient 0 everywhere: what it puts out changes in steps"
    if ending.op_type == "Relu":
        return f"{node}, whose units are all at 0 where the score reads them"
    if ending.op_type in _BOUNDS and known:
        return f"{node}, which is at its bounds wherever the score reads it ({ending.low:.6g} to {ending.high:.6g})"
    if ending.op_type in _SQUASHING and known:
        return f"{node}, which is saturated ({ending.low:.6g} to {ending.high:.6g}): its slope rounds to 0"
    return f"{node}, where it is multiplied by 0 or too small for its type"


def _advice(case: Case, endings: Sequence[Ending], reached: Sequence[str]) -> str:
    """Methods that serve; the logit where only a probability is saturated; a layer at which there is a gradient."""
    if all(each.void for each in endings):
        return (
            "No method finds anything there: explain what lies in front of it, as --activation sigmoid (activation=) "
            "does where that is one logit"
        )
    if case.score.kind == "probability" and any(each.op_type in _SQUASHING for each in endings):
        return "Explain the logit instead (score=logit)"
    behind = [layer.name for layer in case.model.layers if layer.name in reached]
    layers = f"; and grad-cam with its kin at a layer behind it, such as {behind[-1]!r}" if behind else ""
    return f"Methods without gradients still tell something: {_forward(case)}{layers}"


def _forward(case: Case) -> str:
    return FORWARD_OF_ROWS if takes_rows(case.model) else FORWARD


def _not_multiplied(
    case: Case, probed: Probe, results: Mapping[str, NDArray[np.float32]], x: NDArray[np.float32]
) -> str | None:
    """The gradient is there: what it is multiplied with, or added up from, is not."""
    if case.layer is None:
        absent = "the picture itself is 0 everywhere, as the model sees it" if not x.any() else None
        return absent and f"{_what(case)}, though the gradient is not: {absent}. Take gradient or smoothgrad"
    at = [str(v.name) for v in probed.values].index(case.source)
    if results["sal/low"][at] == results["sal/high"][at]:
        value = float(results["sal/low"][at])
        return f"{_what(case)}: the layer holds {value:.6g} everywhere on this picture. Take an earlier layer"
    by_place = "" if case.steps.method.name in ("hirescam", "layercam") else (
        "hirescam weighs each place by its own gradient, and "
    )  # fmt: skip
    return (
        f"{_what(case)}: nothing in it is above 0 (ReLU). The gradient there is not 0, but weights and maps add up to "
        f"nothing that speaks for it; {by_place}a pair (this target minus another) asks what tells them apart"
    )


def never(case: Case) -> str | None:
    """Return why a gradient is 0 whatever goes in, as of trees: it ends on every way; None where it may be another."""
    graph = case.score.model.graph
    values = values_by_name(graph)
    found = flow(graph, [values[case.source]], [values["score"]], rule_set(case.rules))
    ends = crossings(found)
    if values["score"] in found.smooth or not ends:
        return None
    said = (
        f"its gradient is 0 everywhere, as it ends at {named(ends[0])}, which changes in steps. {_forward(case)} serve"
    )
    return spoken(said, nouns_of(case.model.modality.name, case.model.anatomy.entry.spatial))


def unseen(case: Case) -> tuple[str, ...]:
    """Return what is to be said of steps by which the picture reaches the score and no gradient sees it."""
    if not case.steps.backward:
        return ()
    return _kept(case, "unseen", lambda: _unseen(case))  # type: ignore[no-any-return]


def _unseen(case: Case) -> tuple[str, ...]:
    graph = case.score.model.graph
    values = values_by_name(graph)
    nodes = blind(flow(graph, [values[case.source]], [values["score"]], rule_set(case.rules)))
    if not nodes:
        return ()
    more = f" and {len(nodes) - 1} more like it" if len(nodes) > 1 else ""
    return (
        f"no gradient passes {named(nodes[0])}{more}: it changes in steps, so the map shows only what reaches the "
        f"score by other ways; methods without gradients see all of it: {_forward(case)}",
    )
