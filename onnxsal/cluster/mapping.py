"""Handing work to the actors of Ray Data."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

from onnxsal.cluster.columns import Columns
from onnxsal.cluster.ray_package import processors, ray_data
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.maps.schema import COLUMNS


class Job(Protocol):
    """What actors are made of, and where."""

    @property
    def columns(self) -> Columns:
        """What they read."""

    @property
    def share(self) -> Share:
        """What each gets."""


@dataclass(frozen=True)
class Checkpoint:
    """Where Ray keeps which rows are done.

    Attributes:
        identity: of everything that the rows depend on. Ray tells what is done by ids alone: of another method or
            model nothing is done, whatever the ids.
    """

    folder: str | os.PathLike[str]
    id: str
    identity: str

    def check(self) -> None:
        """Raises: UsageError: results have the column of ids already, with something else in it."""
        if self.id != "id" and self.id in (each.name for each in COLUMNS):
            raise UsageError(f"the column of ids is called {self.id!r}, as one of the results: give it another name")

    def into(self, ds: Any) -> None:
        """Have a data set kept there while it is written; what is done stays known when it is done."""
        from ray.data.checkpoint import CheckpointConfig

        folder = os.path.join(os.fspath(self.folder), self.identity)
        folder = folder if "://" in folder else os.path.abspath(folder)
        ds.context.checkpoint_config = CheckpointConfig(self.id, folder, delete_checkpoint_on_success=False)


_NO_ROOM = (
    "the workers take all {} processors of the cluster, and finding out what is done needs one: unless the cluster "
    "grows, nothing will ever begin; take fewer actors, or fewer cpus for each"
)


def mapped(ds: Any, worker: type, work: Job, checkpoint: Checkpoint | None = None) -> Any:
    """Return the data set of what ``worker(work)`` makes of the batches of a data set.

    Raises: EnvironmentSetupError: Ray is missing. UsageError: it is no data set of Ray, or has not the columns.
    """
    data, share = ray_data(), work.share
    if not isinstance(ds, data.Dataset):
        raise UsageError(f"a data set of Ray is expected, as ray.data.read_binary_files gives one; got {type(ds)}")
    if (known := ds.schema(fetch_if_missing=False)) is not None:
        work.columns.check(known.names)
    least, most = share.actors if isinstance(share.actors, tuple) else (share.actors, share.actors)
    found = ds.map_batches(
        worker, fn_constructor_args=(work,), batch_size=share.rows, batch_format="numpy",
        compute=data.ActorPoolStrategy(min_size=least, max_size=most), num_cpus=share.cpus,
        num_gpus=share.gpus or None, **share.remote,
    )  # fmt: skip
    if checkpoint is not None:
        checkpoint.check()
        if least * share.cpus >= processors():
            warnings.warn(_NO_ROOM.format(processors()), stacklevel=3)
        checkpoint.into(found)
    return found
