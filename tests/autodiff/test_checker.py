"""The tests of the tests: a rule that is a little off fails; what rules emit has rules; gradients have gradients."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import test_convolution
import test_elementwise
import test_indexing
import test_linear
import test_movement
import test_pooling
import test_recurrent
import test_regions
import test_resize
from checker import Case, check, feeds_of, gradient_model, model_of, problem, quotient, run_ort, run_reference

import onnxsal
import onnxsal.autodiff as autodiff
from onnxsal.autodiff import registry
from onnxsal.errors import UsageError

R = np.random.default_rng(4)
ALL = [*test_elementwise.CASES, *test_movement.CASES, *test_linear.CASES, *test_indexing.CASES]
WINDOWS = [*test_convolution.CONV, *test_convolution.BACK, *test_pooling.MAX, *test_pooling.MEAN, *test_pooling.NORM,
           *test_pooling.GLOBAL, *test_resize.CASES, *test_regions.SAMPLED]  # fmt: skip
ONE_EACH = list({c.op_type: c for c in reversed(ALL)}.values())
ONE_WINDOW = list({(c.op_type, c.attributes.get("mode")): c for c in reversed(WINDOWS) if not c.symbolic}.values())
ROI = np.array([0.15, 0.05, 0.93, 0.9])
CROP = {"coordinate_transformation_mode": "tf_crop_and_resize", "mode": "cubic", "axes": [2, 3]}
CROPPED = Case("Resize", [R.normal(size=(1, 2, 4, 6)), ROI, None, np.array([6, 5])], CROP, wrt=[0, 1])
SINGLE = [*{c.op_type: c for c in reversed(test_recurrent.CASES)}.values(), CROPPED]
"""What the evaluator does not run: a Scan backwards, and places that are not rounded to float32."""


@pytest.fixture
def tanh_rule() -> Iterator[registry.Rule]:
    rule = registry.REGISTRY[("", "Tanh")]
    yield rule
    registry.REGISTRY[("", "Tanh")] = rule


@pytest.mark.parametrize(("factor", "fails"), [(1.0, False), (1.0005, True)])
def test_a_rule_off_by_a_two_thousandth_fails(tanh_rule: registry.Rule, factor: float, fails: bool) -> None:
    def off(call: registry.Call) -> list[ir.Value]:
        return [call.op.Mul(g, factor) for g in tanh_rule.apply(call) if g is not None]

    registry.register(dataclasses.replace(tanh_rule, apply=off))
    case = Case("Tanh", [R.normal(size=(3, 4))])
    if not fails:
        return check(case)
    with pytest.raises(AssertionError, match="the slope is"):
        check(case)
    return None


@pytest.mark.parametrize("case", [*ALL, *ONE_WINDOW, *SINGLE], ids=str)
def test_emitted_operators_have_rules(case: Case) -> None:
    p = problem(case)
    graph = p.gradient().graph
    kinds = {n.op_type for n in graph.node if not n.domain}
    missing = {k for k in kinds if ("", k) not in registry.REGISTRY}
    assert not missing


SMOOTH = [c for c in [*ONE_EACH, *ONE_WINDOW] if c.exact and not c.symbolic and not c.runtime]


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_second_order(case: Case) -> None:
    """<v2, d/dx <u, J v>> from the gradient of the gradient graph, against a quotient of the gradient."""
    p = problem(case)
    first = p.gradient()
    grads = [f"grad/{k}" for k in p.directions]
    second = gradient_model(first, grads, list(p.directions))
    weights = {g: R.normal(size=p.directions[g.removeprefix("grad/")].shape) for g in grads}
    slope = quotient(first, p.all_feeds(), weights, p.directions, 1e-5)
    feeds = {**p.all_feeds(), **{f"seed/{g}": w for g, w in weights.items()}}
    got = run_reference(second, feeds)
    value = sum(float((v * got[f"grad/{k}"]).sum()) for k, v in p.directions.items())
    assert value == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("case", SINGLE, ids=str)
def test_second_order_in_float32(case: Case) -> None:
    p = problem(case, np.float32)
    first = p.gradient()
    grads = [f"grad/{k}" for k in p.directions]
    rng = np.random.default_rng(3)
    weights = {g: rng.normal(size=p.directions[g.removeprefix("grad/")].shape).astype(np.float32) for g in grads}
    slope = quotient(first, p.all_feeds(), weights, p.directions, 2e-3, run_ort)
    feeds = {**p.all_feeds(), **{f"seed/{g}": w for g, w in weights.items()}}
    got = run_ort(gradient_model(first, grads, list(p.directions)), feeds)
    value = sum(float((v * got[f"grad/{k}"]).sum()) for k, v in p.directions.items())
    assert value == pytest.approx(slope, rel=2e-2, abs=2e-2)


def test_hessian_is_symmetric() -> None:
    case = Case("Softmax", [R.normal(size=(2, 5))])
    model, feeds = model_of(case, np.dtype(np.float64)), feeds_of(case, np.dtype(np.float64))
    first = gradient_model(model, ["y0"], ["x0"])
    second = gradient_model(first, ["grad/x0"], ["x0"])
    u, a, b = (R.normal(size=(2, 5)) for _ in range(3))

    def product(v: np.ndarray) -> np.ndarray:
        return run_reference(second, {**feeds, "seed/y0": u, "seed/grad/x0": v})["grad/x0"]

    assert (a * product(b)).sum() == pytest.approx((b * product(a)).sum(), rel=1e-9)


def test_names_that_cannot_be() -> None:
    case = Case("Softmax", [R.normal(size=(2, 5))])
    first = gradient_model(model_of(case, np.dtype(np.float64)), ["y0"], ["x0"])
    with pytest.raises(UsageError, match=r"has 'seed/y0' already \(is it a gradient graph\?\)"):
        gradient_model(first, ["y0"], ["x0"])
    with pytest.raises(UsageError, match=r"wrt='x0': expected a list of names, \['x0'\]"):
        onnxsal.gradient(first, of=["y0"], wrt="x0")  # type: ignore[arg-type]


def test_every_operator_of_the_standard_has_its_place() -> None:
    """A rule, a declaration or a decomposition for all, or a reason here."""
    waiting = {"SequenceAt", "SequenceConstruct", "SequenceErase", "SequenceInsert", "SequenceMap", "SplitToSequence",
               "ConcatFromSequence"}  # fmt: skip
    schemas = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    missing = {n for n in schemas if ("", n) not in registry.REGISTRY}
    assert missing <= waiting
    assert autodiff.gradient is not None
