"""What ``onnxsal explain --ray`` does: the workers of a cluster make the maps, and their rows are written here."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxsal.cli.asked_maps import Asked
from onnxsal.cli.opening import notes_of, tell
from onnxsal.cli.planning import layers_for, parted, planned
from onnxsal.cli.text import many
from onnxsal.cluster.columns import Columns
from onnxsal.cluster.explainer import Asked as Wanted
from onnxsal.cluster.explainer import Explainer, Work
from onnxsal.cluster.mapping import mapped
from onnxsal.cluster.ray_package import cause, connect, in_order, processors
from onnxsal.cluster.rows import ERROR, MANIFEST
from onnxsal.cluster.worker import Share
from onnxsal.errors import UsageError
from onnxsal.explanation.target import opened_for_all
from onnxsal.explanation.usual import usual_method
from onnxsal.maps.arrow import rows_in
from onnxsal.maps.write import map_writer
from onnxsal.model import Model

BLOCK = 32
"""Pictures that are handed out at once: what a worker that ends takes with it."""


def explain_on_cluster(asked: Asked, address: str, ids: Mapping[str, str]) -> int:
    """Write the maps of all pictures, in their order; return the exit status. Args: ids: what data calls them.

    A picture that cannot be read is reported, and the others are served.
    """
    _check(asked)
    assert asked.out is not None
    if not asked.is_usual:
        planned(asked.methods, asked.settings)  # what is wrong is said first
    gpu = (asked.opening.provider or "cpu").partition(":")[0] == "cuda"
    opening = replace(asked.opening, provider=None) if gpu else asked.opening  # there may be no GPU here
    model = opening()
    wanted = _wanted(_of_usual_method(asked, model))
    tell(notes_of(model, asked.images))
    threads = asked.opening.threads or 1
    connect(address, cpus=None if asked.actors is None else asked.actors * threads)
    failed = 0
    with map_writer(asked.out, dtype=asked.dtype or "float16") as maps:
        for row in _rows(asked, wanted, ids, model, Share(_actors(asked, threads), threads, int(gpu))):
            if (error := row.pop(ERROR)) is not None:
                print(f"onnxsal: {row['id']}: {error}", file=sys.stderr)
                failed = 1
            else:
                maps.keep(row, json.loads(row.pop(MANIFEST)))
    tell(model.assumed if maps.rows else ())
    print(f"{asked.out}\n  {many(maps.rows, 'map')}")
    return failed


def _check(asked: Asked) -> None:
    """Raises: UsageError: something is asked for that workers do not make."""
    if asked.out is None or asked.drawing is not None:
        raise UsageError("--ray makes maps as data: --out maps.parquet without -o; onnxsal draw makes pictures of them")
    here = {"--npz": asked.npz, "--json": asked.as_json, "--memory": asked.memory, "--strict": asked.strict,
            "--skip-existing": asked.skip_existing}  # fmt: skip
    for option, given in here.items():
        if given:
            raise UsageError(f"{option} is for explaining here, without --ray")


def _actors(asked: Asked, threads: int) -> int:
    return asked.actors or max(processors() // threads, 1)


def _rows(
    asked: Asked, wanted: Sequence[Wanted], ids: Mapping[str, str], model: Model, share: Share
) -> Iterator[dict[str, Any]]:
    """Yield the rows of all pictures in their order. Raises: what ended a worker, as it would have here."""
    things = [{"path": os.path.abspath(each), "id": ids[each]} for each in asked.images]
    work = Work(model, wanted, Columns("path", "id"), share, asked.dtype or "float16", targets=asked.goals)
    work.requests()  # what is wrong with them is said here, not by a worker
    made = mapped(in_order(things, BLOCK), Explainer, work)
    try:
        for batch in made.iter_batches(batch_format="pyarrow", batch_size=None):
            for part in batch.to_batches():
                yield from rows_in(part)
    except Exception as error:  # noqa: BLE001  Ray wraps whatever a worker raised
        raise (cause(error) or error) from None


def _of_usual_method(asked: Asked, model: Model) -> Asked:
    """Return it with the method that is usual for the model where none was named."""
    if not asked.is_usual:
        return asked
    usual = usual_method(opened_for_all(model, asked.goals), layer=bool(asked.layers))
    tell(usual.notes)
    return replace(asked, methods=(usual.name,))


def _wanted(asked: Asked) -> tuple[Wanted, ...]:
    layers = layers_for(asked.layers, [steps for steps, _ in planned(asked.methods, asked.settings)])
    options = [own | common for own, common in parted(asked.methods, asked.settings)]
    each = zip(asked.methods, options, layers, strict=True)
    return tuple(Wanted(method, given, layer, asked.score, asked.seed) for method, given, layer in each)
