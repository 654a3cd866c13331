"""What a metric is: a function that judges maps, registered like a method, called by the names of its parameters."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np

from onnxsal import plugins
from onnxsal.errors import EnvironmentSetupError, UsageError, nearest
from onnxsal.metrics.given import GIVEN, PER_MAP, Given, check_given, one_map
from onnxsal.metrics.judgement import Judgement
from onnxsal.options import Parameter, check_options, options_of, parameters_of, positional

plugins.offer(
    plugins.METRICS,
    {
        "adcc": "onnxsal.metrics.stability:adcc",
        "average-drop": "onnxsal.metrics.drop:average_drop",
        "average-drop-top": "onnxsal.metrics.drop:average_drop_top",
        "completeness": "onnxsal.metrics.faithfulness:completeness",
        "complexity": "onnxsal.metrics.concentration:complexity",
        "comprehensiveness": "onnxsal.metrics.erasure:comprehensiveness",
        "deletion": "onnxsal.metrics.curves:deletion",
        "energy-pointing": "onnxsal.metrics.pointing:energy_pointing",
        "grid-pointing": "onnxsal.metrics.pointing:grid_pointing",
        "increase-in-confidence": "onnxsal.metrics.drop:increase_in_confidence",
        "increase-in-confidence-top": "onnxsal.metrics.drop:increase_in_confidence_top",
        "infidelity": "onnxsal.metrics.faithfulness:infidelity",
        "insertion": "onnxsal.metrics.curves:insertion",
        "mask-share": "onnxsal.metrics.regions:mask_share",
        "max-sensitivity": "onnxsal.metrics.stability:max_sensitivity",
        "pointing-game": "onnxsal.metrics.pointing:pointing_game",
        "randomisation": "onnxsal.metrics.stability:randomisation",
        "region-pointing": "onnxsal.metrics.regions:region_pointing",
        "road": "onnxsal.metrics.road:road",
        "road-lerf": "onnxsal.metrics.road:road_lerf",
        "road-morf": "onnxsal.metrics.road:road_morf",
        "sensitivity-n": "onnxsal.metrics.faithfulness:sensitivity_n",
        "sparseness": "onnxsal.metrics.concentration:sparseness",
        "sufficiency": "onnxsal.metrics.erasure:sufficiency",
    },
)


@dataclass(frozen=True)
class Metric:
    """A registered metric: call it with what it ``needs``, by name, and with its options."""

    name: str
    judge: Callable[..., Any]
    paper: str
    when: str
    """What it rewards, in one line."""
    higher_is_better: bool = True
    aggregate: str = "mean"
    """How the values of many pictures become one number: average drop and increase are means of per-picture values."""
    batched: bool = False
    """Whether the judge takes all maps of a picture at once; otherwise it is called for one after the other."""
    ends: tuple[float, float] = (-inf, inf)
    """The least and the greatest value it can have."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Return the Judgement of one map, or a list of them for several maps of one picture.

        Args:
            given: what it ``needs``, in that order, or by name; more than it needs, by the names in ``GIVEN``, is
                ignored. ``saliency`` is [H, W], or [M, H, W] for M maps; then ``raw`` and ``explain`` are sequences
                of M. A ``mask`` or ``boxes`` of None means that the picture has none.
            named: the same, and options; both are checked.
        Raises: UsageError: something is missing, of a wrong shape, not finite, or no option of this metric.
        """
        values = self._gather(given, named)
        options = self.check({n: v for n, v in named.items() if n not in GIVEN and n not in self.needs})
        several, values = check_given(self.name, values)
        verdicts = self._verdicts(values, options, several)
        found = [self._judgement(verdict, options, values) for verdict in verdicts]
        return found if several else found[0]

    @property
    def needs(self) -> tuple[str, ...]:
        """What it judges by: ``score``, ``logit``, ``x``, ``saliency``, ``raw``, ``baseline``, ``mask`` ..."""
        return positional(self.judge)

    @property
    def optional(self) -> frozenset[str]:
        """Those of its needs that it can do without."""
        parameters = parameters_of(self.judge)
        return frozenset(n for n in self.needs if parameters[n].default is not inspect.Parameter.empty)

    @property
    def options(self) -> dict[str, Parameter]:
        """Its options by name."""
        return options_of(self.judge)

    def check(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return all options, converted, with defaults.

        Raises: UsageError: unknown, of the wrong type, out of range.
        """
        return check_options(f"metric {self.name!r}", self.options, options)

    def _gather(self, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        if len(given) > len(self.needs):
            raise UsageError(f"metric {self.name!r} needs {', '.join(self.needs)}; got {len(given)} things")
        values = dict(zip(self.needs, given, strict=False))
        values.update({name: named[name] for name in self.needs if name in named})
        missing = [name for name in self.needs if name not in values and name not in self.optional]
        if missing:
            raise UsageError(f"metric {self.name!r} needs {', '.join(self.needs)}; {', '.join(missing)} is missing")
        return values

    def _verdicts(self, values: Given, options: Mapping[str, Any], several: int | None) -> list[Any]:
        if self.batched:
            return self._listed(self.judge(**values, **options), several or 1)
        maps = range(several or 1) if any(name in PER_MAP for name in values) else range(1)
        return [self.judge(**one_map(values, i), **options) for i in maps]

    def _listed(self, found: Any, count: int) -> list[Any]:
        try:
            verdicts = [] if isinstance(found, str) else list(found)
        except TypeError:
            verdicts = []
        if len(verdicts) != count:
            raise self._wrong(found, f"one number or Judgement for each of {count} maps")
        return verdicts

    def _judgement(self, verdict: Any, options: Mapping[str, Any], values: Given) -> Judgement:
        found = verdict if isinstance(verdict, Judgement) else Judgement(self._number(verdict))
        seed = {"seed": int(values.get("seed", 0))} if "seed" in self.needs else {}
        return replace(found, value=self._number(found.value), parameters={**options, **seed, **found.parameters})

    def _number(self, value: Any) -> float:
        if not isinstance(value, str | bytes):
            try:
                return float(np.asarray(value))
            except (TypeError, ValueError):
                pass
        raise self._wrong(value, "a number or a Judgement of one")

    def _wrong(self, value: Any, expected: str) -> UsageError:
        shape = f" of shape {list(value.shape)}" if isinstance(value, np.ndarray) else f" {reprlib.repr(value)}"
        return UsageError(f"metric {self.name!r} gave {type(value).__name__}{shape}; expected {expected}")


_MADE: dict[str, Metric] = {}
"""The metrics that this program has made; what is on offer keeps its name."""


def metric(
    name: str,
    *,
    paper: str,
    when: str = "",
    higher_is_better: bool = True,
    batched: bool = False,
    ends: tuple[float, float] = (-inf, inf),
) -> Callable[[Callable[..., Any]], Metric]:
    """Return a decorator that makes a Metric of a function of maps and of what they are judged by.

    The function's positional parameters say what it needs, out of ``onnxsal.metrics.given.GIVEN``; its keyword-only
    ones are its options: typed, with defaults, ranges by ``Annotated``. It returns a number or a Judgement.
    Packages offer metrics through the entry-point group ``onnxsal.metrics``.

    Args: when: what it rewards. batched: it takes maps as [M, H, W] and returns one verdict a map. ends: the least and
    the greatest value it can have, beyond which no interval reaches.
    Raises: UsageError: the decorator: nothing gives what it needs, or a built-in has the name.
    """

    def register(judge: Callable[..., Any]) -> Metric:
        for need in positional(judge):
            if need not in GIVEN:
                raise UsageError(f"metric {name!r} needs {need!r}, which nothing gives{nearest(need, GIVEN)}")
        plugins.check_free(plugins.METRICS, name, getattr(judge, "__module__", ""), kind="metric")
        made = _MADE[name] = Metric(name, judge, paper, when, higher_is_better, batched=batched, ends=ends)
        return made

    return register


def get(name: str) -> Metric:
    """Return a metric by name.

    Raises: UsageError: there is none of that name. EnvironmentSetupError: the package that brings it is broken.
    """
    if name in _MADE and name not in plugins.offers(plugins.METRICS):
        return _MADE[name]
    offer = plugins.find(plugins.METRICS, name, kind="metric", lister="onnxsal evaluate --list")
    found = offer.load()
    if not isinstance(found, Metric):
        raise EnvironmentSetupError(f"{name!r} from {offer.origin} is not a metric: {offer.target}")
    return found


def names() -> tuple[str, ...]:
    """Return the names of all metrics, built-in and plugged-in, without importing any."""
    return tuple(plugins.offers(plugins.METRICS))
