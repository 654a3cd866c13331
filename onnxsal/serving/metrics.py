"""What a server counts, in the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of its own: several may be in one process, and none is the default's.

    Labels are names of models that are served, of what was asked of them, and statuses: nothing that a client chooses.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)  # processor time and resident memory, where the system tells them
        own = self._registry
        self.requests = Counter(
            "onnxsal_requests", "Requests that were answered.", ["model", "endpoint", "status"], registry=own
        )
        self.seconds = Histogram(
            "onnxsal_request_seconds", "From a request's head to its answer.", ["model", "endpoint"],
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.batches = Histogram(
            "onnxsal_batch_size", "Things that were explained together.", buckets=_SIZES, registry=own
        )
        self.left = Counter("onnxsal_clients_left", "Clients that left before their answer.", registry=own)

    def watch(self, name: str, told: str, value: Callable[[], float]) -> None:
        """Have a number read whenever metrics are."""
        Gauge(f"onnxsal_{name}", told, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Return all of it, as ``CONTENT_TYPE`` says."""
        return generate_latest(self._registry)
