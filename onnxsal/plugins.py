"""Plug-ins: what is offered under a group of entry points, by name without importing it, and by whom.

Built-ins are offered through the same table: ``offer`` takes their names and targets where an installed package would
declare entry points. An object is imported when it is asked for, so a broken package hurts only who asks for it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxsal._version import __version__
from onnxsal.errors import EnvironmentSetupError, UsageError, nearest

METHODS, RULES, METRICS, TASKS = "onnxsal.methods", "onnxsal.rules", "onnxsal.metrics", "onnxsal.tasks"
MODALITIES = "onnxsal.modalities"
"""Entry-point groups: methods, metrics, tasks and modalities (``module:object`` by name), and for rules the module to
import by operator.

An operator is called ``OpType``, or ``domain:OpType`` outside the standard's own domain.
"""


@dataclass(frozen=True)
class Offer:
    """One name of a group: where its object is, and which package brought it."""

    name: str
    group: str
    target: str
    package: str
    version: str

    @property
    def origin(self) -> str:
        """Package and version."""
        return f"{self.package} {self.version}"

    def load(self) -> Any:
        """Import and return the object.

        Raises: EnvironmentSetupError: its package cannot be imported, or has no such object.
        """
        module, _, attribute = self.target.partition(":")
        try:
            found = importlib.import_module(module)
            return functools.reduce(getattr, attribute.split("."), found) if attribute else found
        except (Exception, SystemExit) as error:  # importing may raise anything; it is re-raised as ours
            raise EnvironmentSetupError(
                f"{self.name!r} comes from the package {self.origin}, which is broken: "
                f"{type(error).__name__}: {error}; upgrade or uninstall it"
            ) from error


_BUILT_IN: dict[str, dict[str, str]] = {}


def offer(group: str, targets: Mapping[str, str]) -> None:
    """Offer built-in objects (``module:object`` by name) in a group."""
    _BUILT_IN.setdefault(group, {}).update(targets)


def offers(group: str) -> dict[str, Offer]:
    """Return everything on offer in a group by name; a built-in keeps its name against a package that reuses it.

    Among packages that offer the same name the first by alphabet has it.
    """
    found = {name: Offer(name, group, to, "onnxsal", __version__) for name, to in _BUILT_IN.get(group, {}).items()}
    for each in _installed(group):
        found.setdefault(each.name, each)
    return found


def check_free(group: str, name: str, module: str, *, kind: str) -> None:
    """Check that an object made in a module may have a name: a built-in would be found instead of it.

    Raises: UsageError: a built-in from another module has it.
    """
    target = _BUILT_IN.get(group, {}).get(name)
    if target is not None and target.partition(":")[0] != module:
        raise UsageError(f"{name!r} is a built-in {kind}, which keeps its name: give yours another")


@functools.cache
def _installed(group: str) -> tuple[Offer, ...]:
    found = importlib.metadata.entry_points(group=group)
    return tuple(
        Offer(e.name, group, e.value, e.dist.name if e.dist else "unknown", e.dist.version if e.dist else "?")
        for e in sorted(found, key=lambda e: (e.name, e.dist.name if e.dist else ""))
    )


def find(group: str, name: str, *, kind: str, lister: str) -> Offer:
    """Return the offer of that name.

    Args: kind: what the group's members are called. lister: the command that lists them.
    Raises: UsageError: there is none, with the nearest, or the command where none is near.
    """
    known = offers(group)
    if name not in known:
        raise UsageError(f"there is no {kind} {name!r}{nearest(name, known) or f'; see `{lister}`'}")
    return known[name]
