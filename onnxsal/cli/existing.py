"""--skip-existing: which pictures are left to do, by the files that are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxsal.cli.drawings import in_place_of
from onnxsal.cli.outputs import Template, slug
from onnxsal.errors import UsageError
from onnxsal.tasks.detection.task import ALL


@dataclass(frozen=True)
class Outputs:
    """What is written of every picture."""

    drawing: Template | None
    """None: nothing is drawn."""
    numbers: Template | None
    methods: tuple[str, ...]
    goals: tuple[str | None, ...]
    """The targets as they were written; None is the predicted class."""
    sounds: Template | None = None
    """Of what matters of a sound."""

    def without_own(self, images: Sequence[str]) -> tuple[str, ...]:
        """Return the pictures that are not written of another one: those lie in a folder that is written into.

        Raises: UsageError: the names are not known before a picture is explained.
        """
        self._check_names()
        of = {os.path.abspath(file): image for image in images for each in self._files(image) for file in each}
        return tuple(image for image in images if of.get(os.path.abspath(image), image) == image)

    def left(self, images: Sequence[str]) -> tuple[str, ...]:
        """Return the pictures of which not all is there."""
        return tuple(image for image in images if not self.is_done(image))

    def _check_names(self) -> None:
        fields = {
            name for each in (self.drawing, self.numbers, self.sounds) if each is not None for name in each.fields
        }
        if "target" in fields and any(goal is None or goal.strip() == ALL for goal in self.goals):
            raise UsageError(
                "--skip-existing cannot tell what is there: {target} in a name is known once a picture is explained; "
                "name the targets with -t, or leave {target} out"
            )

    def _files(self, image: str) -> tuple[list[Path], list[Path]]:
        """Return the pictures of all targets, and the files of numbers and of sounds."""
        joined, goals = "+".join(self.methods), [slug(goal) for goal in self.goals]
        drawing, each = self.drawing, [files for files in (self.numbers, self.sounds) if files is not None]
        pairs = [(method, goal) for goal in goals for method in self.methods]
        return (
            [] if drawing is None else [drawing.fill(image, joined, goal) for goal in goals],
            [files.fill(image, *pair) for files in each for pair in pairs],
        )

    def is_done(self, image: str) -> bool:
        """Return whether every file of a picture is there; maps that are no pictures are there as numbers instead."""
        drawings, numbers = self._files(image)
        drawn = all(file.exists() or all(map(Path.exists, in_place_of(file, self.methods))) for file in drawings)
        return drawn and all(map(Path.exists, numbers))
