"""What ``onnxsal methods`` prints."""

from __future__ import annotations

import json
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxsal import plugins
from onnxsal.cli.text import many, seconds, table, wrapped
from onnxsal.errors import EnvironmentSetupError
from onnxsal.explanation.costs import Cost, costs
from onnxsal.explanation.method_plan import DEFAULT_INNER, plan
from onnxsal.methods import get
from onnxsal.methods.registry import Method, Parameter, shown_type
from onnxsal.model import Model
from onnxsal.records import Record

_PROBES = (1000, 2000)
"""Numbers of maps from which a cost is read as a straight line."""


@dataclass(frozen=True)
class Line:
    """One method in the list, or what is wrong with the package that brings it."""

    name: str
    origin: str
    method: Method | None
    problem: str | None = None


def _lines() -> list[Line]:
    return [_line(offer) for offer in plugins.offers(plugins.METHODS).values()]


def _line(offer: plugins.Offer) -> Line:
    try:
        return Line(offer.name, offer.origin, get(offer.name))
    except EnvironmentSetupError as error:
        return Line(offer.name, offer.origin, None, str(error))


def print_methods(model: Model | None, *, as_json: bool) -> None:
    """Print every method; with a model what each costs on it."""
    lines = _lines()
    told = {} if model is None else _told_on(model, [line.name for line in lines if line.method is not None])
    if as_json:
        print(json.dumps([_plain(line, told.get(line.name)) for line in lines], indent=2))
        return
    rows = [(line.name, _kind(line.method), _cost(line, told.get(line.name)), line.origin) for line in lines]
    header, *body = table([("method", "kind", "cost", "from"), *rows])
    print(header)
    for line, text in zip(lines, body, strict=True):
        print("\n".join([text, *wrapped(_purpose(line, told.get(line.name)), 4)]))
    print("\n" + "\n".join(wrapped(_legend(model), 0)))


def _purpose(line: Line, told: Cost | None) -> str:
    if line.method is None:
        return f"BROKEN: {line.problem}"
    return line.method.when if told is None or told.reason is None else f"does not apply: {told.reason}"


def _kind(method: Method | None) -> str:
    if method is None:
        return "broken"
    if "inner" in method.needs:
        return "record, wrapper"
    return f"{_form(method)}, {'forward' if method.rules is None else 'gradient'}"


def _form(method: Method) -> str:
    """A program runs once, a record many times; which it is stands in the function's signature."""
    if method.of_rows:
        return "rows"
    return "record" if typing.get_type_hints(method.build).get("return") is Record else "program"


def _cost(line: Line, told: Cost | None) -> str:
    """Return what a method costs: on a model, where that is told, else in maps of its layer."""
    if line.method is None:
        return "-"
    return _symbolic(line.name) if told is None else _said(told)


OF_ROWS = "by background rows"
"""What a method costs that runs a model on other rows: it depends on how many these are, and on the model's form."""


def _symbolic(name: str, **options: str) -> str:
    """Return what a method costs, with these options in place of the default ones."""
    steps = plan(name, options)
    if steps.method.of_rows:
        return OF_ROWS
    forwards = _linear(steps.forwards)
    backwards = _linear(steps.backwards) if steps.backward else ""
    same = " + backward" if backwards == forwards else f", {backwards} backward" if backwards else ""
    return f"{forwards} forward{same}"


def _other_costs(method: Method) -> list[str]:
    """Return what a method costs where one of several choices makes it cost something else."""
    usual = _symbolic(method.name)
    choices = [(n, c) for n, p in method.options.items() for c in typing.get_args(p.type) if isinstance(c, str)]
    costs = [(_symbolic(method.name, **{name: choice}), f"-O {name}={choice}") for name, choice in choices]
    return [f"{cost} with {option}" for cost, option in costs if cost != usual]


def _linear(count: Callable[[int], int]) -> str:
    """Return a count as text in K, the number of maps of the layer."""
    low, high = (count(maps) for maps in _PROBES)
    slope = (high - low) // (_PROBES[1] - _PROBES[0])
    rest = low - slope * _PROBES[0]
    if not slope:
        return f"{rest}"
    times = "K" if slope == 1 else f"{slope} K"
    return times if not rest else f"{times} + {rest}"


def _told_on(model: Model, names: Sequence[str]) -> Mapping[str, Cost]:
    """Return what methods take on a model, or why they do not apply, by their names."""
    from onnxsal.explanation.rates import measure

    return {cost.method: cost for cost in costs(model, measure(model), names)}


def _said(cost: Cost) -> str:
    """Return what a method costs, in a few words."""
    if cost.reason is not None:
        return "does not apply"
    if plan(cost.method, {}).method.of_rows:
        return OF_ROWS
    return f"{seconds(cost.seconds or 0.0)} ({many(cost.forwards, 'forward')})"


def _legend(model: Model | None) -> str:
    if model is None:
        return (
            "K is the number of feature maps of the layer. A program runs once; a record evaluates the model many "
            "times, one marked forward without gradients, and a wrapper some other method. With a model "
            "(onnxsal methods MODEL) the cost is in seconds."
        )
    return (
        "Seconds for one picture at default options, from passes measured here just now, without loading. "
        f"Wrappers are counted round {DEFAULT_INNER}. Flat maps are left out, so score-based methods may be faster."
    )


def _plain(line: Line, told: Cost | None) -> dict[str, Any]:
    found = line.method
    return {
        "name": line.name, "origin": line.origin, "problem": line.problem, "kind": _kind(found),
        "cost": _cost(line, told), "refused": None if told is None else told.reason,
        "when": None if found is None else found.when,
        "paper": None if found is None else found.paper, "options": {} if found is None else _options(found),
    }  # fmt: skip


def _options(method: Method) -> dict[str, Any]:
    """Return every option, a wrapper's choice of what it wraps too, which is none of its function's."""
    inner = {"type": "any other method, with its options", "default": DEFAULT_INNER, "range": ""}
    own = {name: {"type": shown_type(p.type), "default": p.default, "range": _range(p)} for name, p in
           method.options.items()}  # fmt: skip
    return {"inner": inner, **own} if "inner" in method.needs else own


def _range(parameter: Parameter) -> str:
    bounds = parameter.range
    if bounds is None:
        return ""
    low, high = bounds.low, bounds.high
    if high is None:
        return f"at least {low:g}"
    return f"{low:g} to {high:g}" if low is not None else f"at most {high:g}"


def print_method(name: str, opened: Callable[[], Model] | None = None, *, as_json: bool) -> None:
    """Print everything about one method; with a model what it costs on it, as ``print_methods`` does."""
    method = get(name)
    line = Line(name, plugins.offers(plugins.METHODS)[name].origin, method)
    told = None if opened is None else _told_on(opened(), [name])[name]
    if as_json:
        print(json.dumps(_plain(line, told), indent=2))
        return
    score = method.default_score({n: p.default for n, p in method.options.items()})
    facts = [("when", method.when), ("kind", _kind(method)), ("cost", _explained_cost(_symbolic(name))),
             ("score", score), ("source", method.paper), ("from", line.origin)]  # fmt: skip
    print(name)
    here = [] if told is None else [("here", told.reason or _said(told))]
    facts[3:3] = [*(("", other) for other in _other_costs(method)), *here]
    print("\n".join(f"  {key:8}{text}" for key, text in facts))
    rows = [(f"  -O {n}={_default(o['default'])}", o["type"], o["range"]) for n, o in _options(method).items()]
    print("\n".join(["options", *table(rows)]) if rows else "no options of its own")


def _explained_cost(cost: str) -> str:
    return f"{cost} (K: maps of the layer)" if "K" in cost else cost


def _default(value: Any) -> str:
    return "none" if value is None else str(value)
