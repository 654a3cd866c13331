"""Serving models: what the command line says, as a service on a socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsal.cli.opening import Opening, tell
from onnxsal.cli.per_model import opening_for
from onnxsal.errors import EnvironmentSetupError, OnnxsalError
from onnxsal.explanation.method_plan import GPU_BATCH
from onnxsal.runtime.nvidia import ON_GPU
from onnxsal.runtime.providers import full_name
from onnxsal.serving.gather import Gathering
from onnxsal.serving.limits import Limits
from onnxsal.serving.served import Served
from onnxsal.serving.sharing import named, threads_and_workers


@dataclass(frozen=True)
class Asked:
    """What is served, where, and within which limits."""

    models: Sequence[str]
    opening: Opening
    host: str
    port: int
    warm: Sequence[str] | None
    workers: int | None
    batch: int | None
    gather: float
    queue: int
    deadline: float
    body: int
    pixels: int
    memory: int
    grace: float
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What was said of single models, by their names."""

    @property
    def limits(self) -> Limits:
        """What is taken on."""
        return Limits(self.queue, self.deadline, self.body, self.memory, self.grace)


def serve_models(asked: Asked) -> None:
    """Serve until told to end. Raises: EnvironmentSetupError: the extra is missing; UsageError: names, or the port."""
    try:
        from onnxsal.serving.server import Server, address_of, listening
        from onnxsal.serving.service import Service
    except ImportError as error:
        if error.name is None or error.name.startswith("onnxsal"):
            raise
        raise EnvironmentSetupError(f"serving needs {error.name}: pip install 'onnxsal[serve]'") from None
    paths = named(asked.models)
    threads, workers = threads_and_workers(asked.opening.threads, asked.workers)
    models = [_opened(asked, name, path, threads) for name, path in paths.items()]
    batch = asked.batch or (GPU_BATCH if full_name(asked.opening.provider) in ON_GPU else 1)
    listener = listening(asked.host, asked.port)
    usual = {} if asked.batch is None else {"batch_size": asked.batch}
    service = Service(models, asked.limits, Gathering(workers, batch, asked.gather / 1000), usual)
    Server(service, lambda: _told(address_of(listener), list(paths))).serve_at(listener)


def _opened(asked: Asked, name: str, path: str, threads: int) -> Served:
    """Return a model, warm where that was asked for, its notes told. What is wrong with it is told with its name."""
    try:
        opening = opening_for(asked.opening, asked.own.get(name, {}))
        how = replace(opening, model=path, threads=threads).how()
        served = Served(path, name, pixels=asked.pixels, **how)
        tell(served.notes, name)
        if asked.warm:
            served.model.warm(asked.warm, **({} if asked.batch is None else {"batch_size": asked.batch}))
    except OnnxsalError as error:  # several models are opened by one command, and told the same
        error.args = (f"{name}: {error}", *error.args[1:])
        raise
    return served


def _told(address: str, names: Sequence[str]) -> None:
    for name in names:
        print(f"{name}: {address}/v2/models/{name}")
    print("Ctrl-C ends it", flush=True)
