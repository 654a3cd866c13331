"""Running a record: head, draws in batches, moments, tail; with progress, standard errors and bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import ModelError
from onnxsal.graph import Program
from onnxsal.kernels.masks import fill
from onnxsal.records import HostMasks, Record
from onnxsal.runtime import Session
from onnxsal.streaming.moments import Accumulator
from onnxsal.streaming.plan import Plan, make_plan

Array = NDArray[Any]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Subject:
    """What is explained: the picture x [C, H, W], what else the programs take (``target``), the black of x [C]."""

    x: Floats
    feeds: Mapping[str, Array]
    black: Floats
    image: int = 0
    """The image's part of the noise counter."""


@dataclass(frozen=True)
class Settings:
    """How to run: sessions on demand, names, seed, batch size, and who is told of progress."""

    session: Callable[[Program], Session]
    x: str
    """The name of the picture's input."""
    seed: int = 0
    batch_size: int = 8
    progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class Streamed:
    """What came of it: the map, its standard error, numbers for the manifest, and what it cost."""

    saliency: Floats
    stderr: Floats | None
    numbers: Mapping[str, float] = field(default_factory=dict)
    rows: int = 0
    """Images that went through the body."""
    heads: int = 0
    """Images that went through the head."""
    samples: int = 0


def stream(record: Record, subject: Subject, settings: Settings) -> Streamed:
    """Return the map of a record for one picture.

    Raises: ModelError: a run failed, or the scores are not finite. UnsupportedError: every map is flat.
    """
    head = _run_head(record, subject, settings)
    key = (settings.seed, subject.image)
    plan = make_plan(subject.x, record.draws, head, subject.black, key)
    weights = record.draws.weights
    sums = Accumulator(record.moments, masks=plan.per_sample, samples=record.draws.samples, weights=weights)
    rows = _accumulate(record, plan, subject, settings, sums)
    reference = _reference(record, plan, subject, settings)
    given = {**head, **reference, "x": plan.x[None], "baseline": plan.baseline[None]}
    finish = _Tail(record, plan, given, settings)
    saliency, numbers = finish(sums.totals())
    stderr = _stderr(record, sums, finish)
    heads = int(record.head is not None) + int(record.draws.reference)
    return Streamed(saliency, stderr, numbers, rows, heads, record.draws.samples)


def _run_head(record: Record, subject: Subject, settings: Settings) -> dict[str, Array]:
    if record.head is None:
        return {}
    return settings.session(record.head).run({settings.x: subject.x[None], **subject.feeds})


def _accumulate(record: Record, plan: Plan, subject: Subject, settings: Settings, sums: Accumulator) -> int:
    evaluate = _evaluator(record, subject, settings)
    rows = 0
    for start, batch, masks in _batches(plan, settings, subject.image):
        outputs, cost = evaluate(batch, start)
        t = np.arange(start, start + len(batch))
        if record.moments.per == "weighted" and masks is not None:
            outputs = _weighted(record, outputs, masks)
        sums.add(outputs, t // plan.per_sample, t % plan.per_sample)
        rows += cost
        if settings.progress is not None:
            settings.progress(min(start + len(batch), plan.total), plan.total)
    return rows


def _weighted(record: Record, outputs: Mapping[str, Array], masks: Floats) -> dict[str, Array]:
    products = {name: outputs[name].reshape(-1, 1, 1) * masks for name in record.moments.names}
    return {**products, "mask": masks}


def _evaluator(
    record: Record, subject: Subject, settings: Settings
) -> Callable[[Floats, int], tuple[dict[str, Array], int]]:
    body = record.body
    if isinstance(body, Record):
        return lambda batch, start: _nested(body, batch, start, subject, settings)
    session = settings.session(body)

    def run(batch: Floats, start: int) -> tuple[dict[str, Array], int]:
        feeds = {name: np.repeat(value, len(batch), axis=0) for name, value in subject.feeds.items()}
        outputs = session.run({settings.x: batch, **feeds})
        for name in record.moments.names:
            if not np.isfinite(outputs[name]).all():
                raise ModelError(f"the model's output is not finite (NaN or infinity in {name!r}); are its weights?")
        return outputs, len(batch)

    return run


def _nested(
    body: Record, batch: Floats, start: int, subject: Subject, settings: Settings
) -> tuple[dict[str, Array], int]:
    """A record inside a record runs whole on every draw, with noise of its own."""
    quiet = replace(settings, progress=None)
    parts = [
        stream(body, replace(subject, x=x.copy(), image=subject.image + 1 + start + i), quiet)
        for i, x in enumerate(batch)
    ]
    return {"saliency": np.stack([p.saliency for p in parts])}, sum(p.rows + p.heads for p in parts)


def _batches(plan: Plan, settings: Settings, image: int) -> Iterator[tuple[int, Floats, Floats | None]]:
    """Yield (first draw, batch, host masks); the next batch is filled on a thread of its own while one is used."""
    size = max(1, min(settings.batch_size, plan.total))
    buffers = [np.empty((size, *plan.x.shape), np.float32) for _ in range(2)]
    with ThreadPoolExecutor(1, thread_name_prefix="onnxsal-fill") as pool:
        pending: Future[tuple[Floats, Floats | None]] | None = None
        for number, start in enumerate(range(0, plan.total, size)):
            stop = min(start + size, plan.total)
            current = pending or pool.submit(
                _fill, plan, buffers[0][: stop - start], (start, stop), (settings.seed, image)
            )
            ahead = (stop, min(stop + size, plan.total))
            batch, masks = current.result()
            pending = None
            if ahead[0] < ahead[1]:
                buffer = buffers[(number + 1) % 2][: ahead[1] - ahead[0]]
                pending = pool.submit(_fill, plan, buffer, ahead, (settings.seed, image))
            yield start, batch, masks


def _fill(plan: Plan, out: Floats, span: tuple[int, int], key: tuple[int, int]) -> tuple[Floats, Floats | None]:
    masks, grids = None, plan.grids
    if isinstance(plan.draws.masks, HostMasks):
        first, last = (t % plan.per_sample for t in (span[0], span[1] - 1))
        height, width = plan.x.shape[1:]
        if first > last:
            raise ModelError("host masks take one sample")
        masks = grids = plan.draws.masks.make(key[0], first, last + 1, (height, width))
    fill(out, plan.x, plan.rows(*span), baseline=plan.baseline, grids=grids, key=key, renormalise=_renormalises(plan))
    return out, masks


def _renormalises(plan: Plan) -> bool:
    noise = plan.draws.noise
    return noise is not None and noise.unit == "authors" and noise.on == "mask"


def _reference(record: Record, plan: Plan, subject: Subject, settings: Settings) -> dict[str, Array]:
    if not record.draws.reference or isinstance(record.body, Record):
        return {}
    outputs = settings.session(record.body).run({settings.x: plan.baseline[None], **subject.feeds})
    return {f"reference/{name}": value for name, value in outputs.items()}


class _Tail:
    """From moments to the map; called once for the map and once a group for its error."""

    def __init__(self, record: Record, plan: Plan, given: Mapping[str, Array], settings: Settings) -> None:
        self._record, self._plan, self._given = record, plan, given
        self._session = None if record.tail is None else settings.session(record.tail)

    def __call__(self, totals: Mapping[str, Floats]) -> tuple[Floats, dict[str, float]]:
        if self._session is None:
            return totals[f"mean/{self._record.moments.names[0]}"], {}
        per_mask = self._record.moments.per == "mask"
        moments = {n: self._scatter(v) if per_mask else v[None] for n, v in totals.items()}
        drawn = self._scatter(np.ones(self._plan.per_sample, np.float32)) if per_mask else np.ones(1, np.float32)
        outputs = self._session.run({**self._given, **moments, "drawn": drawn})
        numbers = {name: float(np.ravel(v)[0]) for name, v in outputs.items() if name != "saliency"}
        return outputs["saliency"][0].astype(np.float32), numbers

    def _scatter(self, values: Floats) -> Floats:
        full = np.zeros(self._plan.of, np.float32)
        full[self._plan.kept] = values
        return full


def _stderr(record: Record, sums: Accumulator, finish: _Tail) -> Floats | None:
    """The error of a mean in closed form; of anything else by the delete-a-group jackknife."""
    n = record.draws.samples
    if not record.draws.random or (n < 2 and not isinstance(record.draws.masks, HostMasks)):
        return None
    if record.tail is None:
        return np.sqrt(sums.totals()[f"variance/{record.moments.names[0]}"] / n).astype(np.float32)
    if sums.groups < 2:
        return None
    maps = np.stack([finish(sums.totals(leave_out=g))[0] for g in range(sums.groups)]).astype(np.float64)
    spread = ((maps - maps.mean(axis=0)) ** 2).sum(axis=0) * (len(maps) - 1) / len(maps)
    return np.sqrt(spread).astype(np.float32)
