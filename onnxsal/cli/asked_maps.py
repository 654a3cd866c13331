"""What a command line of ``onnxsal explain`` asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from onnxsal.cli.chunks import Chunks
from onnxsal.cli.opening import Opening
from onnxsal.cli.outputs import Template, default_template
from onnxsal.explanation.figure import Kind


@dataclass(frozen=True)
class Asked:
    """The command line of ``onnxsal explain``."""

    model: str
    images: tuple[str, ...]
    methods: tuple[str, ...]
    targets: tuple[str, ...]
    layers: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    output: str | None
    npz: str | None
    kind: Kind
    colours: str | None
    score: str | None
    seed: int
    memory: int | None
    opening: Opening
    """What the model is opened with."""
    as_json: bool
    is_usual: bool = False
    """Whether no method was named: it is that which is usual for what the model takes, once that is known."""
    strict: bool = False
    """Whether the first picture that cannot be served ends it."""
    skip_existing: bool = False
    """Whether pictures are left out whose files are there."""
    effort: int | None = None
    """Of encoding a PNG."""
    ray: str | None = None
    """The address of the cluster whose workers explain."""
    actors: int | None = None
    """How many they are."""
    out: str | None = None
    """Where maps are written as data."""
    dtype: str | None = None
    sound: str | None = None
    """Where what matters of a sound is written as a sound."""
    chunks: Chunks = field(default_factory=Chunks)
    """What is said of recordings, where things are such."""
    background: str | None = None
    """Of rows of a table: those that columns are replaced from."""
    row: int | None = None
    """The one row that is meant, from 1."""

    @property
    def goals(self) -> tuple[str | None, ...]:
        """The targets as they were written; None is the predicted class."""
        return self.targets or (None,)

    @property
    def drawing(self) -> Template | None:
        """The names of the pictures; none where data alone is wanted."""
        if self.output is None and self.out is not None:
            return None
        return default_template(self.goals) if self.output is None else Template(self.output, "-o")

    @property
    def numbers(self) -> Template | None:
        """The names of the files of numbers."""
        return None if self.npz is None else Template(self.npz, "--npz")

    @property
    def sounds(self) -> Template | None:
        """The names of the sound files."""
        return None if self.sound is None else Template(self.sound, "--sound")
