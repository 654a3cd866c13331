"""What a modality is: it finds what a model takes, and turns a user's thing into it and a map into something shown."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from onnxsal import plugins
from onnxsal.anatomy import Entry
from onnxsal.errors import EnvironmentSetupError, UnsupportedError
from onnxsal.modalities.frame import Frame
from onnxsal.modalities.pieces import Piece

if TYPE_CHECKING:  # what draws is loaded by what is drawn
    from onnxsal.modalities.audio.heard import Heard
    from onnxsal.viz.sound import Draw

Floats = NDArray[np.float32]

plugins.offer(
    plugins.MODALITIES,
    {
        "image": "onnxsal.modalities.image.modality:ImageModality",
        "tokens": "onnxsal.modalities.tokens.modality:Tokens",
        "audio": "onnxsal.modalities.audio.modality:AudioModality",
        "sequence": "onnxsal.modalities.sequence:SequenceModality",
        "volume": "onnxsal.modalities.volume:VolumeModality",
        "table": "onnxsal.modalities.table:Table",
        "array": "onnxsal.modalities.array:ArrayModality",
    },
)

_CRISP = 24
"""Rows that a channel's map is drawn in, so that it does not run into the next."""

LAST = "array"
BY_CHUNKS = "a model of streams takes a recording chunk by chunk: --chunk N (onnxsal.Recording)"
"""What is said of a length that a model of sound or of series does not take."""
"""The modality that a model is tried with behind all others, those of packages too: it takes any floats."""


@dataclass(frozen=True)
class Seen:
    """The image that a model saw, uint8 [H, W, 3], its box (left, top, width, height) in the photograph, and that."""

    image: NDArray[np.uint8]
    box: tuple[float, float, float, float]
    photo: NDArray[np.uint8]

    @property
    def frame(self) -> Frame:
        """Where it lies in the photograph."""
        return Frame((self.photo.shape[1], self.photo.shape[0]), self.box)


@dataclass(frozen=True)
class Sample:
    """A user's thing on its way into a model: the explained value x [C, *S], and what a map of it is shown on."""

    x: Floats
    name: str
    seen: Seen | None = None
    """None where there is no image."""
    notes: tuple[str, ...] = ()
    backdrop: Callable[[], Seen] | None = None
    """What makes the picture that a map is drawn over where there is no image, a plot; its box holds the positions."""
    text: str | None = None
    """The words, of a text."""
    pieces: tuple[Piece, ...] = ()
    """Its tokens, one for each position."""
    ids: NDArray[np.int64] | None = None
    """The numbers that the model takes for them, [T]."""
    baselines: Mapping[str, Floats] = field(default_factory=dict)
    """What stands for nothing in its place, by names that the option ``baseline`` takes beside its own, [C, *S]."""
    drawing: Draw | None = None
    """What draws a map itself, where it is not laid over a picture as it is over an image."""
    heard: Heard | None = None
    """The sound that it is, where it is one."""
    whole: Callable[[Any], Any] | None = None
    """Of a part of a recording: what makes of its explanation that of all of it."""
    row: NDArray[np.float64] | None = None
    """The numbers of a row of a table, [F], as exact as they were given; of a text its code."""
    columns: tuple[str, ...] = ()
    """What its columns are called."""
    cells: tuple[str, ...] = ()
    """What stands in them, as it was given."""

    def image(self) -> Seen:
        """Return the image. Raises: UnsupportedError: there is none, the model takes something else."""
        if self.seen is None:
            raise UnsupportedError(f"{self.name!r} is no image, and this is for models of images alone")
        return self.seen

    def canvas(self) -> Seen:
        """Return the picture that a map is drawn over. Raises: UnsupportedError: there is none."""
        if self.backdrop is not None:
            return self.backdrop()
        if self.seen is None:
            axes = " x ".join(map(str, self.x.shape[1:]))
            raise UnsupportedError(
                f"a map of {self.name!r}, {axes}, is no picture: take its numbers (Explanation.to_npz, --npz FILE)"
            )
        return self.seen

    def drawn(self, saliency: Floats, each: Floats | None = None) -> tuple[Seen, Floats]:
        """Return the picture that a map is drawn over, and the map as it lies there, [rows, columns].

        Args: each: the map of every channel, [C, *S], where a method tells them apart: a plot has a row for each.
        Raises: UnsupportedError: there is none.
        """
        if each is not None and each.ndim == 2 and self.backdrop is not None:
            return self.canvas(), np.repeat(each, _CRISP, axis=0)
        return self.canvas(), saliency.reshape(-1, saliency.shape[-1])

    @property
    def mask_reader(self) -> Callable[[str | os.PathLike[str]], NDArray[np.bool_]] | None:
        """What reads the file of a mask [*S] that lies as the thing's own file does, None where there is no such."""
        return None

    @property
    def is_drawn(self) -> bool:
        """Whether there is a picture that maps are drawn over."""
        return self.backdrop is not None or self.seen is not None


@dataclass(frozen=True)
class StatedSize:
    """A size that somebody says of a model: by the letters of its axes, and who."""

    sizes: Mapping[str, int]
    where: str
    note: str = ""
    """What is to be told where that was not the whole size."""


@dataclass(frozen=True)
class Told:
    """What is said of a model beside its graph."""

    source: Any
    """What the user gave as preprocessing, or None."""
    path: str
    metadata: Mapping[str, str]
    numbers: Mapping[str, float]
    """What its further inputs are held at, of those that are numbers."""


@dataclass(frozen=True)
class Reader:
    """What a modality is told of the model that a thing is read for."""

    entry: Entry
    size: tuple[int, ...]
    """Of the explained value's positions S."""
    shape: tuple[int | str | None, ...]
    """Of the model's own input, the batch axis first."""
    preprocess: Any
    """What ``Modality.preprocess`` found, or None."""
    enter: Callable[[NDArray[Any]], Floats]
    """From the model's own input, one thing with its batch axis, to the explained value x [C, *S]."""
    open_axes: frozenset[str] = frozenset()
    """The letters of the positions whose size the file leaves open."""


class Modality(Protocol):
    """What onnxsal asks of a modality; ``onnxsal.modality`` registers a class that has all of it.

    One that has ``preprocess_notes(path, metadata, entry)`` too, strings, tells of what ``find_preprocess`` met with.
    """

    name: ClassVar[str]
    default_size: ClassVar[Mapping[str, int]]
    """Sizes by the letter of an axis in ``Entry.input_axes``, for models that leave theirs open."""
    preprocessed: ClassVar[bool]
    """Whether its things need preprocessing that a model may not tell."""
    says_size: ClassVar[bool]
    """Whether a note says so where they are taken."""

    def find_entry(self, graph: ir.Graph) -> Entry:
        """Return where a model takes such a thing. Raises: UnsupportedError: it does not."""

    def find_preprocess(self, source: Any, path: str, metadata: Mapping[str, str], entry: Entry) -> Any:
        """Return how the model wants its things prepared, or None where nothing says so or nothing has to be.

        Args: source: what the user gave, or None. path: of the model's file. metadata: the file's own.
        Raises: UsageError: it is wrong, or of another model.
        """

    def read(self, thing: Any, reader: Reader) -> Sample:
        """Return a user's thing as the model takes it.

        Raises: ImageError, UsageError: it cannot be read, or is something else.
        """

    def blank(self, reader: Reader) -> Floats:
        """Return the value of nothing there, in the explained domain: black, silence.

        Shape: [C], or [C, *S] where it is not the same at all positions.
        """


@runtime_checkable
class Sizing(Protocol):
    """What a modality may have beside: who says the size of its things, for models that leave it open."""

    def stated_sizes(self, source: Any, path: str, metadata: Mapping[str, str]) -> tuple[StatedSize, ...]:
        """Return the sizes that are said of a model, and who says them; arguments as of ``find_preprocess``.

        Raises: UsageError: a file that may say it cannot be read.
        """

    def stated_stride(self, metadata: Mapping[str, str]) -> int:
        """Return of what number sizes are multiples, 1 where nothing says it."""

    def resizes(self, model: ir.Model, entry: Entry) -> str | None:
        """Return the operator at which a model in normal form brings things of any size to one of its own, or None."""


@runtime_checkable
class OwnSize(Protocol):
    """What a modality may have beside: its things have sizes of their own, and a model may be opened for one."""

    def own_size(self, thing: Any, entry: Entry, *, any_size: bool) -> Mapping[str, int] | None:
        """Return a thing's size by the letters of the axes, None where it is brought to the model's.

        Args: any_size: the model itself brings things of any size to one of its own.
        """


@runtime_checkable
class Usual(Protocol):
    """What a modality may have beside: what is usual for its things where nothing else is asked for."""

    def usual(self, path: str, size: tuple[int, ...]) -> Mapping[str, Any]:
        """Return values of methods' options by name, those that a method has not left aside; ``sign`` of a map beside.

        Args: path: of the model's file. size: of the positions S.
        """


@runtime_checkable
class Informed(Protocol):
    """What a modality may have beside: what is said of a file tells whether it takes such things."""

    def for_file(self, told: Told) -> Modality:
        """Return the modality that knows what is said of a file."""


@runtime_checkable
class ReadSize(Protocol):
    """What a modality may have beside: how large a thing is depends on how the model wants its things prepared."""

    def read_size(self, thing: Any, reader: Reader) -> Mapping[str, int] | None:
        """Return a thing's size by the letters of the axes, None where ``own_size`` tells it. Raises: as ``read``."""


@runtime_checkable
class Fronted(Protocol):
    """What a modality of a value inside may have beside: it reads the things that the value is computed from."""

    def is_value(self, thing: Any, entry: Entry) -> bool:
        """Return whether a thing may be the value itself."""

    def hear(self, thing: Any, preprocess: Any, shape: tuple[int | str | None, ...]) -> Heard:
        """Return what an input of that shape takes of a thing. Raises: as ``read``."""

    def computed(self, value: NDArray[Any], heard: Heard) -> Any:
        """Return a thing that ``read`` takes: the value, and what it was computed from."""


@runtime_checkable
class Writes(Protocol):
    """What a modality may have beside: maps of its things are written as files of its own kinds."""

    def writes(self, path: str | os.PathLike[str]) -> bool:
        """Return whether a file that is called so is of one of these kinds."""

    def write(self, path: str | os.PathLike[str], saliency: Floats, sample: Sample) -> None:
        """Write a map [*S] of a thing. Raises: UsageError: it has none such. OutputError: it cannot be written."""


def writer_of(name: str, path: str | os.PathLike[str]) -> Writes | None:
    """Return the modality of that name where it writes files that are called so, else None."""
    found: object = MADE.get(name)
    return found if isinstance(found, Writes) and found.writes(path) else None


def some_writes(path: str | os.PathLike[str]) -> bool:
    """Return whether a modality that is there writes files that are called so; all are loaded to tell."""
    for name in names():
        with suppress(EnvironmentSetupError):  # a broken package hurts only who asks for it by name
            get(name)
    return any(writer_of(name, path) is not None for name in names())


M = TypeVar("M")

MADE: dict[str, Modality] = {}
"""The modalities that this program has made, built-in ones too once they were imported."""


def modality(name: str) -> Callable[[type[M]], type[M]]:
    """Return a decorator that registers a class of the form of ``Modality``, which is made without arguments.

    In the program that made it models are tried with it at once; packages offer theirs through the entry-point group
    ``onnxsal.modalities``.
    Raises: UsageError: the decorator: a built-in has the name.
    """

    def register(kind: type[M]) -> type[M]:
        plugins.check_free(plugins.MODALITIES, name, kind.__module__, kind="modality")
        kind.name = name  # type: ignore[attr-defined]
        MADE[name] = cast(Modality, kind())
        return kind

    return register


def names() -> list[str]:
    """Return the names of all modalities in the order in which a model is tried with them.

    Built-in ones come first, but for the one that takes whatever is left.
    """
    every = dict.fromkeys((*plugins.offers(plugins.MODALITIES), *MADE))
    return [*(name for name in every if name != LAST), *([LAST] if LAST in every else [])]


def get(name: str) -> Modality:
    """Return a modality by name.

    Raises: UsageError: there is none of that name. EnvironmentSetupError: the package that brings it is broken.
    """
    if name not in plugins.offers(plugins.MODALITIES) and name in MADE:
        return MADE[name]
    offer = plugins.find(plugins.MODALITIES, name, kind="modality", lister="onnxsal.modalities.registry.names()")
    offer.load()
    if name not in MADE:
        raise EnvironmentSetupError(f"{name!r} from {offer.origin} is not a modality: {offer.target}")
    return MADE[name]


def recognise(graph: ir.Graph, told: Told | None = None) -> tuple[Modality, Entry]:
    """Return the first modality that finds its things among a model's inputs, and where the model takes them.

    Args: told: what is said of it beside its graph.
    Raises: UnsupportedError: none does; the message is that of the first.
    """
    refusals: list[UnsupportedError] = []
    for name in names():
        try:
            found = get(name)
            found = found.for_file(told) if told is not None and isinstance(found, Informed) else found
            return found, found.find_entry(graph)
        except UnsupportedError as error:
            refusals.append(error)
        except EnvironmentSetupError:  # a broken package hurts only who asks for it by name
            continue
    raise refusals[0]
