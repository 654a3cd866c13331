"""What a metric is: a function that judges a map, registered like a method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from onnxsal import plugins
from onnxsal.errors import EnvironmentSetupError

plugins.offer(plugins.METRICS, {"energy-pointing": "onnxsal.metrics.pointing:energy_pointing"})


@dataclass(frozen=True)
class Metric:
    """A registered metric: call it with what its signature names."""

    name: str
    judge: Callable[..., Any]
    paper: str
    when: str
    """What it rewards, in one line."""
    higher_is_better: bool = True

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self.judge(*args, **options)


def metric(
    name: str, *, paper: str, when: str = "", higher_is_better: bool = True
) -> Callable[[Callable[..., Any]], Metric]:
    """Return a decorator that makes a Metric of a function of maps and of what they are judged by.

    Packages offer metrics through the entry-point group ``onnxsal.metrics``.
    """
    return lambda judge: Metric(name, judge, paper, when, higher_is_better)


def get(name: str) -> Metric:
    """Return a metric by name.

    Raises: UsageError: there is none of that name. EnvironmentSetupError: the package that brings it is broken.
    """
    offer = plugins.find(plugins.METRICS, name, kind="metric")
    found = offer.load()
    if not isinstance(found, Metric):
        raise EnvironmentSetupError(f"{name!r} from {offer.origin} is not a metric: {offer.target}")
    return found
