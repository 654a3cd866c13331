"""What every picture of ``onnxsal explain`` goes through: read and fitted, explained, written, told of.

Pictures are read ahead of the one that is explained and written behind it, in threads; they are told of in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Protocol, TypeAlias

from onnxsal.cli.explanations import Broken, Telling, Written
from onnxsal.cli.images import short
from onnxsal.cli.progress import Progress
from onnxsal.errors import ImageError, ModelError, NotSeenError
from onnxsal.explanation import Explanation
from onnxsal.explanation.asked import numbered
from onnxsal.explanation.images import explain_read, images_at_once
from onnxsal.explanation.request import Request
from onnxsal.explanation.run import explain_prepared, read_fitted, was_interrupted
from onnxsal.explanation.target import TargetSource
from onnxsal.interrupts import whole
from onnxsal.modalities.image.images import decoded_bytes
from onnxsal.modalities.registry import Sample
from onnxsal.model.recording import Recording
from onnxsal.pipeline import Bounds, InOrder, ahead

Made: TypeAlias = Sequence[tuple[Request, Explanation]]
"""Explanations of one target, by the methods."""

Read: TypeAlias = tuple[Request, Sample]
"""A picture as its model takes it, and the first request on the model that does."""


@dataclass(frozen=True)
class Explained:
    """A picture with its maps, on its way to a writer."""

    image: str
    goals: tuple[str | None, ...]
    """The targets as they were written; one that stands for several is there for each of these, numbered."""
    rows: tuple[Made, ...]
    """By target; Ctrl-C leaves fewer, and of these the last one with fewer methods."""
    notes: tuple[str, ...] = ()
    interrupted: bool = False
    broken: Broken | None = None
    """Why it could not be read or explained; there is no map then."""

    @property
    def weight(self) -> int:
        """The bytes that it takes until it is written, with those of drawing it."""
        if self.broken is not None:
            return 0
        photo = self.rows[0][0][1].photo
        maps = [each for row in self.rows for _, each in row]
        return 3 * (0 if photo is None else photo.nbytes) + sum(each.raw.nbytes + each.saliency.nbytes for each in maps)


class Writer(Protocol):
    """What makes files of pictures that were explained."""

    @property
    def workers(self) -> int | None:
        """How many threads may write at once, each a picture: 1 where they go into one file, in order; None: any."""

    def write(self, item: Explained) -> Written:
        """Return what was written of a picture; files appear whole or not at all.

        Raises: OutputError: it cannot be written. UsageError: there are no names for all of it.
        """

    def close(self, *, complete: bool) -> None:
        """Finish what holds several pictures; called once. Args: complete: whether the run came to its end."""


@dataclass(frozen=True)
class Stages:
    """What pictures go through."""

    requests: Sequence[Request]
    """One a method."""
    goals: tuple[str | None, ...]
    """The targets as they were written; None is the predicted class."""
    targets: tuple[TargetSource, ...]
    """The same, with the references in them as the model sees these."""
    writer: Writer
    strict: bool
    """Whether the first picture that cannot be served ends it."""
    at_once: int = 1
    """Pictures that are read before the first of them is explained, so that one run of the model serves them."""
    recording: Recording | None = None
    """What is asked of each thing, where a model is run over it chunk by chunk."""

    @property
    def read(self) -> Callable[[str], Read]:
        """What reads a picture."""
        if self.recording is None:
            return partial(read_fitted, self.requests[0])
        from onnxsal.explanation.recording import read_recording  # most things are none

        return partial(read_recording, self.requests[0], self.recording)


def serve(stages: Stages, images: Sequence[str], within: Bounds, telling: Telling) -> None:
    """Take every picture through its stages, and tell of each in its turn.

    However it ends, pictures that were explained are written and told of.

    Raises: KeyboardInterrupt: Ctrl-C came and left no map of the picture that was explained. ImageError, ModelError,
    NotSeenError: a picture cannot be read or explained, and it is the only one, or that is to end it. Other errors,
    whichever picture they are of.
    """
    complete = False
    try:
        complete = _served(stages, images, within, telling)
    finally:
        stages.writer.close(complete=complete)


def _served(stages: Stages, images: Sequence[str], within: Bounds, telling: Telling) -> bool:
    """Take every picture through its stages; return whether all came through. Raises: as ``serve``."""
    threads = replace(within, workers=min(within.workers, stages.writer.workers or within.workers))
    with (
        InOrder(partial(_written, stages.writer), threads, "onnxsal-write") as behind,
        closing(ahead(images, stages.read, within, decoded_bytes)) as coming,
    ):
        try:
            for item in _in_groups(stages, coming):
                if item.broken is not None and (stages.strict or len(images) == 1):
                    raise item.broken
                with whole():  # else Ctrl-C could come between a file and the line that tells of it
                    behind.pass_on(item, item.weight, telling.tell)
                if item.interrupted:
                    return False
        finally:
            with whole():
                behind.drain(telling.tell)
        return True


def _written(writer: Writer, item: Explained) -> Written:
    try:
        return Written(item.image, broken=item.broken) if item.broken is not None else writer.write(item)
    except ImageError as error:
        return Written(item.image, broken=error)


def _in_groups(stages: Stages, coming: Iterator[tuple[str, Callable[[], Read]]]) -> Iterator[Explained]:
    """Yield pictures with their maps, or what is wrong with them, in their order; some methods run several together.

    Raises: KeyboardInterrupt: nothing can be shown yet, or what is unfinished is not wanted.
    """
    while group := [(image, _tried(read)) for image, read in islice(coming, stages.at_once)]:
        whole_ones = {image: found for image, found in group if isinstance(found, tuple)}
        ready = _ready(stages, whole_ones) if len(whole_ones) > 1 else {}
        for image, found in group:
            if isinstance(found, tuple):
                yield _explained(stages, image, found, ready.get(image, {}))
            else:
                yield Explained(image, (), (), broken=found)


def _tried(read: Callable[[], Read]) -> Read | Broken:
    try:
        return read()
    except (ImageError, ModelError, NotSeenError) as error:  # of this picture; the next one may be another
        return error


Ready: TypeAlias = Mapping[int, list[Explanation]]
"""Explanations of a picture that are there already, by the place of their request."""


def _ready(stages: Stages, reads: Mapping[str, Read]) -> Mapping[str, Ready]:
    """Return by picture the explanations of methods that run several together, by the place of their request."""
    found: dict[str, dict[int, list[Explanation]]] = {image: {} for image in reads}
    for at, request in enumerate(stages.requests):
        if images_at_once(request) == 1:
            continue
        fitted = [(request.on(first.model), sample) for first, sample in reads.values()]
        with suppress(ImageError, ModelError, NotSeenError):  # each by itself says whose it is
            for image, several in zip(reads, explain_read(fitted, stages.targets), strict=True):
                found[image][at] = several
    return found


def _explained(stages: Stages, image: str, read: Read, ready: Ready) -> Explained:
    """Return a picture with its maps, or what is wrong with it. Args: ready: maps that are there already.

    Raises: KeyboardInterrupt: nothing can be shown yet, or what is unfinished is not wanted.
    """
    try:
        first, sample = read
        maps, interrupted = _maps(stages, first, sample, image, ready)
    except (ImageError, ModelError, NotSeenError) as error:  # of this picture; the next one may be another
        return Explained(image, (), (), broken=error)
    rows = tuple(
        [(request, found[at]) for request, found in zip(stages.requests, maps, strict=False) if at < len(found)]
        for at in range(len(maps[0]))
    )
    return Explained(image, numbered(stages.goals, len(maps[0])), rows, _notes(first, maps), interrupted)


def _maps(
    stages: Stages, first: Request, sample: Sample, image: str, ready: Ready
) -> tuple[list[list[Explanation]], bool]:
    """Return the explanations by method, and whether Ctrl-C ended them."""
    maps: list[list[Explanation]] = []
    for at, request in enumerate(stages.requests):
        try:
            own = request.on(first.model) if sample.whole is None else request.again(first.model)
            maps.append(ready.get(at) or _map(own, sample, stages.targets, image))
        except KeyboardInterrupt:
            if not (maps and request.common.keep_partial):
                raise
            return maps, True
        if was_interrupted(maps[-1], stages.targets):
            return maps, True
    return maps, False


def _map(request: Request, sample: Sample, targets: Sequence[TargetSource], image: str) -> list[Explanation]:
    progress = Progress(f"{short(image)} · {request.steps.method.name}")
    shown = replace(request, common=replace(request.common, progress=progress))
    try:
        found = explain_prepared(shown, sample, targets)
        return found if sample.whole is None else [sample.whole(each) for each in found]
    finally:
        progress.close()


def _notes(request: Request, maps: Sequence[Sequence[Explanation]]) -> tuple[str, ...]:
    notes = [note for row in maps for explanation in row for note in explanation.manifest["notes"]]
    return tuple(note for note in dict.fromkeys(notes) if note not in request.model.notes)
