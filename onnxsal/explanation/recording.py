"""Explaining one chunk of a recording by the chunks that lead to it, and the map joined over the recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.anatomy import Entry
from onnxsal.errors import UsageError
from onnxsal.explanation.explanation import Explanation
from onnxsal.explanation.request import Request
from onnxsal.modalities.array import backdrop
from onnxsal.modalities.audio.backdrop import drawing, picture
from onnxsal.modalities.registry import Sample
from onnxsal.modalities.sequence import drawn
from onnxsal.model.load import load
from onnxsal.model.model import Model
from onnxsal.model.recorded import of_waveform
from onnxsal.model.recording import Framing, Ran, Recording, in_a_row
from onnxsal.viz.maps import cam_saliency, over_recording, pixel_saliency

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Part:
    """The chunks of a recording that are explained: a model that takes them in a row, and what it takes."""

    model: Model
    ran: Ran
    chunks: tuple[int, int]
    """The first and the last one, whose score is explained."""

    @property
    def thing(self) -> NDArray[Any]:
        """What these chunks see."""
        first, at = self.chunks
        return self.ran.frame.part(first, at + 1)

    def joined(self, found: Explanation) -> Explanation:
        """Return the explanation of the part as one of all of the recording; 0 where nothing was asked of it."""
        return _joined(found, self.model, self.ran, self.chunks)


def explain_recording(
    model: Model, recording: Recording, explained: Callable[[Model, NDArray[Any]], Explanation]
) -> Explanation:
    """Return the explanation of one chunk's score over the whole recording; 0 where nothing was asked of it.

    Args: explained: explains a part of the recording by a model that takes all of its chunks in a row.
    Raises: UsageError: there is no such chunk, or nothing says which one. Others as of ``explain``.
    """
    part = part_of(model, recording)
    return part.joined(explained(part.model, part.thing))


def part_of(model: Model, recording: Recording) -> Part:
    """Return the chunks of a recording that are explained. Raises: as ``explain_recording``."""
    model = of_waveform(model)
    ran = recording.run(model)
    frame, at = ran.frame, _chosen(recording, ran)
    if not recording.unrolled >= 1:
        raise UsageError(f"unrolled={recording.unrolled}: at least the chunk itself is one")
    first = max(at + 1 - recording.unrolled, 0)
    opened = model.others(
        ("chunks", at + 1 - first, frame.chunk, frame.hop, frame.axis, frame.wiring, *_digests(ran, first)),
        lambda: _opened(model, ran, first, at),
    )
    return Part(opened, ran, (first, at))


def read_recording(request: Request, recording: Recording, thing: Any) -> tuple[Request, Sample]:
    """Return the request on the model of the chunks that are explained, and these as it takes them.

    Args: recording: what is asked of the thing, in whose place it stands. Raises: as ``explain_recording``.
    """
    part = part_of(request.model, replace(recording, thing=thing))
    return request.again(part.model), replace(part.model.prepare(part.thing), whole=part.joined)


def _chosen(recording: Recording, ran: Ran) -> int:
    """Return the number of the chunk that is explained."""
    frame = ran.frame
    if recording.at is not None and recording.second is not None:
        raise UsageError("a recording is explained at a chunk (at=) or at a second, not at both")
    if recording.second is not None:
        if frame.rate is None or not frame.rate > 0:
            raise UsageError("second= needs the steps a second: --rate HZ (rate=)")
        at = int(recording.second * frame.rate // frame.hop)
    elif recording.at is not None:
        at = recording.at if recording.at >= 0 else frame.count + recording.at
    elif ran.scores.ndim == 1:
        at = int(ran.scores.argmax())
    else:
        shape = list(ran.scores.shape[1:])
        raise UsageError(f"{ran.head!r} is {shape} for each chunk: say which one is explained, --at (at= or second=)")
    if not 0 <= at < frame.count:
        raise UsageError(f"there is no chunk {at}: {frame.name!r} has {frame.count} of {frame.hop} steps")
    return at


def _digests(ran: Ran, first: int) -> tuple[int, ...]:
    return tuple(hash(array.tobytes()) for _, array in sorted(ran.before[first].items()))


def _opened(model: Model, ran: Ran, first: int, at: int) -> Model:
    """Return the chunks in a row as a model, the state in front of them held at its true value."""
    asked, frame = model.asked, ran.frame
    preprocess: Any = model.sound or asked.preprocess
    return load(
        in_a_row(model, frame, at + 1 - first), preprocess=preprocess, labels=asked.labels,
        provider=model.provider, custom_ops=model.custom_ops, threads=model.threads, memory=model.memory,
        task=asked.task or model.task.name, head=asked.head or model.task.output, activation=asked.activation,
        explained=frame.input, inputs={**frame.held, **ran.before[first]}, threshold=asked.threshold, iou=asked.iou,
    )  # fmt: skip


def _joined(found: Explanation, opened: Model, ran: Ran, chunks: tuple[int, int]) -> Explanation:
    """Return an explanation of a part of a recording as one of all of it."""
    frame, (first, at) = ran.frame, chunks
    entry = opened.anatomy.entry
    along = entry.spatial.index(entry.input_axes[frame.axis]) - len(entry.spatial)
    place = partial(_placed, frame=frame, along=along, start=frame.span(first, at + 1)[0])
    whole = found.raw.shape[found.raw.ndim - len(entry.spatial) :] == opened.size
    raw, stderr = (array if array is None or not whole else place(array) for array in (found.raw, found.stderr))
    assert raw is not None
    name = frame.name
    manifest = {**found.manifest, "recording": _about(frame, along, first, at)}
    if first:
        held = (
            f"what lies before chunk {first} reaches the score through the state alone, which is held: 0 there"
            if frame.states
            else "no state is carried from chunk to chunk: each is run by itself, and what lies before is 0"
        )
        manifest["notes"] = [*manifest["notes"], held]
    if frame.heard is not None and frame.heard.notes:
        manifest["notes"] = [*frame.heard.notes, *manifest["notes"]]
    saliency = place(found.saliency)
    if whole:  # of what lies in the recording alone: zeros in front of it are not shown
        made = partial(_saliency, found=found)
        saliency = over_recording(raw, saliency.shape, manifest["recording"], made)
    sample = None if found.sample is None else _sample(frame, entry)
    return replace(found, saliency=saliency, raw=raw, stderr=stderr, manifest=manifest, sample=sample, name=name)


def _saliency(raw: Floats, size: tuple[int, ...], *, found: Explanation) -> Floats:
    sign = found.manifest["sign"]
    if sign is not None:
        return pixel_saliency(raw, sign, found.manifest["percentile"])
    return cam_saliency(raw, size, found.placement)


def _sample(frame: Framing, entry: Entry) -> Sample:
    """Return all of a recording as what maps are drawn over."""
    x, heard = frame.array[0].astype(np.float32), frame.heard
    x = x[None] if "C" not in entry.input_axes else np.moveaxis(x, entry.input_axes.index("C") - 1, 0)
    if heard is not None:
        own = replace(heard, rate=None if frame.rate is None else round(frame.rate))
        return Sample(
            x, frame.name, notes=heard.notes, backdrop=picture(x, own), drawing=drawing(x, own), heard=own
        )  # fmt: skip
    return Sample(x, frame.name, backdrop=partial(drawn, x) if x.ndim == 2 else backdrop(x[0]))


def _placed(array: Floats, *, frame: Framing, along: int, start: int) -> Floats:
    """Return a map of a part of the recording as one of all of it, 0 elsewhere."""
    size = list(array.shape)
    size[along] = frame.padded.shape[frame.axis]
    found = np.moveaxis(np.zeros(size, np.float32), along, 0)
    found[start : start + array.shape[along]] = np.moveaxis(array, along, 0)
    return np.ascontiguousarray(np.moveaxis(found[frame.lead : frame.lead + frame.length], 0, along))


def _about(frame: Framing, along: int, first: int, at: int) -> dict[str, Any]:
    """What makes it again, as plain data."""
    start, end = frame.span(first, at + 1)
    covers = [max(start - frame.lead, 0), min(end - frame.lead, frame.length)]
    state = "as given before the first chunk" if first == 0 else f"held at its true value before chunk {first}"
    seconds = {} if frame.rate is None else {"seconds": [n / frame.rate for n in covers]}
    return {
        "chunk": frame.chunk, "hop": frame.hop, "chunks": frame.count, "at": at, "unrolled": at + 1 - first,
        "covers": covers, **seconds, "axis": along, "part": [start - frame.lead, end - frame.lead],
        "states": dict(frame.states), "state": state if frame.states else "none",
    }  # fmt: skip
