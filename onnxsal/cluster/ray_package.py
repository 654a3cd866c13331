"""Ray: loaded when it is asked for, and started so that it reports to nobody."""

from __future__ import annotations

import logging
import os
from types import ModuleType
from typing import Any

from onnxsal.errors import EnvironmentSetupError, OnnxsalError, UnsupportedError

HERE = "local"
"""The address that stands for a cluster of this machine alone, started for this process and ended with it."""


def ray_data() -> ModuleType:
    """Return the package ``ray.data``. Raises: EnvironmentSetupError: it is missing or damaged."""
    # Ray reports its use over the network unless this is set before a cluster is started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        from ray import data
    except (ImportError, OSError) as error:
        raise EnvironmentSetupError(
            f"explaining on a cluster needs the package ray ({error}): pip install 'onnxsal[ray]'"
        ) from error
    found: ModuleType = data
    return found


def connect(address: str = HERE, *, cpus: int | None = None, **options: Any) -> None:
    """Connect to a cluster; without a usage report and without a dashboard where it is started here.

    Args:
        address: ``local`` starts one on this machine, ``auto`` finds one that runs on it; else as ``ray.init`` has it.
        cpus: processors that one started here hands out; by default all.
        options: further ones of ``ray.init``.
    Raises: EnvironmentSetupError: the package is missing. UnsupportedError: there is no cluster.
    """
    ray_data()
    import ray

    if ray.is_initialized():
        return
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    own = {"include_dashboard": False, "num_cpus": cpus} if address == HERE else {}
    try:
        ray.init(address=address, **{"log_to_driver": False, "logging_level": "ERROR", **own, **options})
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UnsupportedError(f"no cluster at {address!r}: {' '.join(str(error).split())}") from error


def cause(error: BaseException) -> OnnxsalError | None:
    """Return what one of our own errors became on its way through Ray, or None where it was none of ours."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, OnnxsalError):
        seen = getattr(seen, "cause", None) or seen.__cause__
    return seen


def processors() -> int:
    """Return how many processors the cluster hands out."""
    import ray

    return int(ray.cluster_resources().get("CPU", 1))


def in_order(rows: list[dict[str, Any]], block: int) -> Any:
    """Return a data set of rows, whose results come in their order. Args: block: rows that are handed out at once."""
    found = ray_data().from_items(rows, override_num_blocks=-(-len(rows) // block))
    found.context.execution_options.preserve_order = True
    found.context.enable_progress_bars = False
    return found
