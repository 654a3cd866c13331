"""ONNX's own backend node tests as cases for gradients: <v, J^T u> against difference quotients.

A case counts where ONNX Runtime's CPU provider runs it and a float output has a stable difference quotient by a float
input. Every such input is held separately. Where the quotients to the left and to the right differ (a kink), any value
between them is right. Prints right / wrong / not built, and which operators are whole; ``--json`` writes the verdicts.

    python benchmarks/node_tests.py [--only NAME] [--json FILE] [-v]
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

import onnxsal.autodiff as autodiff
from onnxsal.errors import UnsupportedError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "autodiff"))
NEWEST = 28
"""The newest opset that ONNX Runtime 1.32 loads."""

NOT_LOADED = "ONNX Runtime does not run it"
FLOATS = ("float16", "float32", "float64")
Arrays = dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What became of one case: right, wrong, not built, or why it does not count."""

    name: str
    operator: str
    state: str
    detail: str = ""


def main() -> None:
    """Run all cases, print the table."""
    options = _arguments()
    verdicts = [judge(case) for case in cases(options.only)]
    if options.verbose:
        for v in verdicts:
            if v.state in ("wrong", "not built", "refused by name") or options.only:
                print(f"{v.state:10} {v.operator:28} {v.name}: {v.detail[:300]}")
    report(verdicts)
    if options.json:
        Path(options.json).write_text(json.dumps([v.__dict__ for v in verdicts], indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="a regular expression that the case's name matches")
    parser.add_argument("--json", help="file for the verdicts")
    parser.add_argument("-v", "--verbose", action="store_true", help="list what is wrong or not built")
    return parser.parse_args()


def cases(only: str) -> Iterator[Any]:
    """Yield the backend test cases whose names match."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = collect_testcases("")
    yield from (case for case in found if re.search(only, case.name))


def report(verdicts: list[Verdict]) -> None:
    """Print the counts, and for every operator that is not whole its gaps."""
    counts = collections.Counter(v.state for v in verdicts)
    judged = [v for v in verdicts if v.state in ("right", "wrong", "not built")]
    by_operator: dict[str, list[Verdict]] = collections.defaultdict(list)
    for v in judged:
        by_operator[v.operator].append(v)
    whole = [name for name, vs in by_operator.items() if all(v.state == "right" for v in vs)]
    for name, vs in sorted(by_operator.items()):
        states = collections.Counter(v.state for v in vs)
        if name not in whole:
            print(f"{name}: {dict(states)}; {next(v.detail for v in vs if v.state != 'right')[:160]}")
    print(f"{len(judged)} cases: {counts['right']} right, {counts['wrong']} wrong, {counts['not built']} not built")
    print(f"operators whole: {len(whole)} of {len(by_operator)}")
    lost = collections.Counter(v.operator for v in verdicts if v.state == NOT_LOADED)
    print("not loaded or run by ONNX Runtime:", ", ".join(f"{name} {n}" for name, n in sorted(lost.items())) or "none")
    print("left out:", {k: n for k, n in counts.items() if k not in ("right", "wrong", "not built")})


def judge(case: Any) -> Verdict:
    """Return the verdict on one case."""
    operator = _operator(case)
    try:
        problem = Problem(case)
    except Skip as reason:
        return Verdict(case.name, operator, str(reason))
    slopes = {name: s for name in problem.wrt if (s := problem.slope(name)) is not None}
    if not slopes:
        return Verdict(case.name, operator, "no stable quotient")
    try:
        grads = problem.gradients(list(slopes))
    except UnsupportedError as error:
        return Verdict(case.name, operator, "refused by name", str(error))
    except Exception as error:  # noqa: BLE001 - whatever stops it, the case was not built
        return Verdict(case.name, operator, "not built", f"{type(error).__name__}: {str(error).strip()}")
    faults = [text for name, slope in slopes.items() if (text := problem.fault(name, slope, grads[name]))]
    return Verdict(case.name, operator, "wrong" if faults else "right", "; ".join(faults))


def _operator(case: Any) -> str:
    """The operator that the case is about: an expanded case carries the name of the whole one."""
    main = [n.op_type for n in case.model.graph.node if n.op_type not in ("Constant", "Identity")]
    if "_expanded" not in case.name and main:
        return main[0] if len(set(main)) == 1 else max(main, key=lambda n: n.lower() in case.name.replace("_", ""))
    stem = case.name.split("_expanded")[0].removeprefix("test_").replace("_", "")
    names = {s.name.lower(): s.name for s in onnx.defs.get_all_schemas() if s.domain == ""}
    aliases = {
        "sce": "SoftmaxCrossEntropyLoss",
        "nllloss": "NegativeLogLikelihoodLoss",
        "mvn": "MeanVarianceNormalization",
    }
    names.update(aliases)
    fits = [n for n in names if stem.startswith(n)]
    return names[max(fits, key=len)] if fits else stem


class Skip(Exception):
    """Why a case does not count."""


class Problem:
    """A case that ONNX Runtime runs, with random cotangents and directions."""

    def __init__(self, case: Any) -> None:
        self.model = _lowered(case.model)
        if not case.data_sets:
            raise Skip("no data")
        names = [i.name for i in self.model.graph.input]
        given = [np.asarray(v) if isinstance(v, np.generic) else v for v in case.data_sets[0][0]]
        self.feeds: Arrays = dict(zip(names, given, strict=False))
        self.wrt = [n for n, v in self.feeds.items() if _is_float(v) and v.size]
        if not self.wrt:
            raise Skip("no float input")
        self.forward = _runner(self.model)
        self.y = self._first()
        outputs = [n for n, v in self.y.items() if _is_float(v) and v.size]
        if not outputs:
            raise Skip("no float output")
        rng = np.random.default_rng(0)
        # what a mask put at the lowest number would drown the rest
        moderate = {n: np.abs(np.nan_to_num(self.y[n], nan=1e9, posinf=1e9, neginf=-1e9)) < 1e6 for n in outputs}
        self.u = {n: np.asarray(rng.normal(size=np.shape(m)) * m, self.y[n].dtype) for n, m in moderate.items()}
        self.v = {n: rng.normal(size=self.feeds[n].shape) for n in self.wrt}
        self.exact = self._double()

    def _first(self) -> Arrays:
        try:
            return self.forward(self.feeds)
        except Exception as error:
            raise Skip(NOT_LOADED) from error

    def _double(self) -> Callable[[Arrays], Arrays] | None:
        """The same in float64 on the reference evaluator, where that agrees with ONNX Runtime."""
        run = _double_runner(self.model)
        try:
            again = run(self.feeds)
        except Exception:  # noqa: BLE001 - an evaluator that fails in whatever way is not used
            return None
        agree = all(
            np.shape(again[n]) == self.y[n].shape and np.allclose(again[n], self.y[n], 1e-3, 1e-4) for n in self.u
        )
        return run if agree else None

    def _value(self, name: str, x: np.ndarray) -> float:
        run = self.exact or self.forward
        out = run({**self.feeds, name: x})
        if any(np.shape(out[n]) != u.shape for n, u in self.u.items()):
            return float("nan")
        return sum(_weighted(u, out[n]) for n, u in self.u.items())

    def _sides(self, name: str, v: np.ndarray, h: float) -> tuple[float, float]:
        x = self.feeds[name].astype(np.float64)
        if self.exact is None:
            x = self.feeds[name]
            left, right = (x - h * v).astype(x.dtype), (x + h * v).astype(x.dtype)
        else:
            left, right = x - h * v, x + h * v
        try:
            low, mid, high = (self._value(name, a) for a in (left, x, right))
        except Exception:  # noqa: BLE001 - the point beside is no valid input
            return float("nan"), float("nan")
        return (mid - low) / h, (high - mid) / h

    def slope(self, name: str, v: np.ndarray | None = None) -> tuple[float, float, float] | None:
        """Return the one-sided quotients and their tolerance; None where they are not stable."""
        v = self.v[name] if v is None else v
        steps = (1e-5, 3e-6) if self.exact else (1e-2, 3e-3) if self.feeds[name].dtype != np.float64 else (1e-5, 3e-6)
        first, second = (self._sides(name, v, h) for h in steps)
        if not np.all(np.isfinite([*first, *second])):
            return None
        central = [(a + b) / 2 for a, b in (first, second)]
        size = max(abs(central[0]), 1e-1)
        loose = 1e-3 if self.exact else 3e-2
        kink = abs(second[0] - second[1]) > 10 * loose * size
        if abs(central[0] - central[1]) > loose * size and not kink:
            return None
        if kink and max(abs(a - b) for a, b in zip(first, second, strict=True)) > 3 * loose * size:
            return None
        return (*(second if kink else (central[1], central[1])), loose * size)

    def gradients(self, wrt: list[str]) -> Arrays:
        """Return the gradients, on ONNX Runtime in the case's own types."""
        model = autodiff.gradient(ir.from_proto(self.model), of=list(self.u), wrt=wrt)
        results = _runner(model)({**self.feeds, **{f"seed/{k}": v for k, v in self.u.items()}})
        return {name: results[f"grad/{name}"] for name in wrt}

    def fault(self, name: str, slope: tuple[float, float, float], g: np.ndarray) -> str:
        """Return what is wrong with a gradient, or nothing."""
        if g.shape != self.feeds[name].shape:
            return f"{name}: shape {g.shape}, not {self.feeds[name].shape}"
        left, right, tolerance = slope
        got, size = (
            float((g.astype(float) * self.v[name]).sum()),
            float(np.sqrt(((g * self.v[name]).astype(float) ** 2).sum())),
        )
        tolerance += size * (1e-2 if "float16" in (str(g.dtype), *(str(u.dtype) for u in self.u.values())) else 1e-3)
        if min(left, right) - tolerance <= got <= max(left, right) + tolerance:
            return ""
        if left != right and self._within(name, g):
            return ""
        return f"{name}: <v, J^T u> is {got:.5g}, the quotients {left:.5g} and {right:.5g}"

    def _within(self, name: str, g: np.ndarray) -> bool:
        """Element by element: kinks of several elements may hide each other in one direction."""
        for i in np.ndindex(*g.shape):
            v = np.zeros(g.shape)
            v[i] = 1
            sides = self.slope(name, v)
            if sides is None or not min(sides[:2]) - sides[2] <= g[i] <= max(sides[:2]) + sides[2]:
                return False
        return True


def _lowered(model: onnx.ModelProto) -> onnx.ModelProto:
    """Where only the newest opset keeps ONNX Runtime from loading a case, the same nodes in the one it knows."""
    lower = onnx.ModelProto()
    lower.CopyFrom(model)
    lower.ir_version = min(lower.ir_version, 11)
    for opset in lower.opset_import:
        if not opset.domain:
            opset.version = min(opset.version, NEWEST)
    return lower


def _weighted(u: np.ndarray, y: np.ndarray) -> float:
    return float((u.astype(float) * np.where(u != 0, y, 0).astype(float)).sum())


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and str(value.dtype) in FLOATS


def _runner(model: onnx.ModelProto) -> Callable[[Arrays], Arrays]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        if any(n.name.startswith("seed/") for n in model.graph.input):
            raise RuntimeError(f"ONNX Runtime refuses the gradient: {error}") from error
        raise Skip(NOT_LOADED) from error
    names = {i.name for i in session.get_inputs()}
    outputs = [o.name for o in session.get_outputs()]
    return lambda feeds: dict(
        zip(outputs, session.run(None, {k: v for k, v in feeds.items() if k in names}), strict=True)
    )


def _double_runner(model: onnx.ModelProto) -> Callable[[Arrays], Arrays]:
    from checker import run_reference

    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    for value in [*wide.graph.input, *wide.graph.output]:
        if value.type.tensor_type.elem_type in (1, 10):
            value.type.tensor_type.elem_type = 11
    return lambda feeds: run_reference(wide, {k: v.astype(float) if _is_float(v) else v for k, v in feeds.items()})


if __name__ == "__main__":
    main()
