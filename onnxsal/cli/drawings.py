"""The writer that draws each picture that was explained, in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onnxsal.cli.explanations import Result, Written
from onnxsal.cli.outputs import Template, slug
from onnxsal.cli.stages import Explained, Made
from onnxsal.cli.words import is_page, write_page
from onnxsal.errors import UsageError
from onnxsal.explanation import Explanation
from onnxsal.explanation.figure import Kind, sheet
from onnxsal.explanation.words import is_of_text
from onnxsal.modalities.registry import writer_of
from onnxsal.tasks.detection.task import ALL
from onnxsal.viz.save import fast, save_image


@dataclass(frozen=True)
class Drawings:
    """A file for each picture and target, and where they are asked for one of numbers for each method."""

    drawing: Template | None
    """None: nothing is drawn."""
    numbers: Template | None
    methods: tuple[str, ...]
    kind: Kind
    colours: str | None
    effort: int | None
    automatic: bool
    """Whether the layers were chosen, not named."""
    named: bool = True
    """Whether the files were named: texts are shown in the terminal, and drawn where that was asked for."""
    workers: int | None = None
    sounds: Template | None = None
    """Of what matters of a sound, for each method."""

    def write(self, item: Explained) -> Written:
        """Return what was written of a picture."""
        if self.drawing is not None and f"{ALL}-2" in item.goals and "target" not in self.drawing.fields:
            raise UsageError(f"-t {ALL} gives {len(item.goals)} pictures: tell them apart with {{target}} in -o")
        made = [self._write(item.image, goal, row) for goal, row in zip(item.goals, item.rows, strict=False)]
        results = tuple(replace(each.results[0], interrupted=item.interrupted) for each in made)
        return Written(item.image, results, (*item.notes, *(note for each in made for note in each.notes)))

    def close(self, *, complete: bool) -> None:
        """Every file is finished."""

    def _write(self, image: str, goal: str | None, made: Made) -> Written:
        explanations = [explanation for _, explanation in made]
        name = slug(goal if goal is not None else explanations[0].label)
        numbers = list[Path]()
        if self.numbers is not None:
            numbers = [self.numbers.fill(image, request.steps.method.name, name) for request, _ in made]
            _write_numbers(explanations, numbers)
        sounds = () if self.sounds is None else _write_sounds(made, self.sounds, image, name)
        if self.drawing is None or (not self.named and is_of_text(explanations[0])):
            result = Result(image, None, tuple(map(str, numbers)), tuple(made), self.automatic, sounds=sounds)
            return Written(image, (result,))
        drawing, notes = self.drawing.fill(image, "+".join(self.methods), name), tuple[str, ...]()
        if is_page(drawing):
            write_page(explanations, drawing, self.colours)
        elif writer_of(explanations[0].modality, drawing) is not None:
            explanations[0].save(drawing)
        elif explanations[0].is_drawn:
            drawn = sheet(explanations, kind=self.kind, colours=self.colours)
            save_image(drawn, drawing, effort=fast(drawing, self.effort))
        elif not numbers:
            numbers = in_place_of(drawing, [explanation.method for explanation in explanations])
            _write_numbers(explanations, numbers)
        if not explanations[0].is_drawn:
            notes = (f"a map of {explanations[0].saliency.ndim} axes is no picture: it is written as numbers",)
        shown = drawing if explanations[0].is_drawn else numbers[0]
        result = Result(image, str(shown), tuple(map(str, numbers)), tuple(made), self.automatic, sounds=sounds)
        return Written(image, (result,), notes)


def _write_numbers(explanations: Sequence[Explanation], paths: Sequence[Path]) -> None:
    for path, explanation in zip(paths, explanations, strict=True):
        explanation.to_npz(path)


def _write_sounds(made: Made, sounds: Template, image: str, goal: str) -> tuple[str, ...]:
    """Write what matters of a sound by each method; return the files."""
    paths = [sounds.fill(image, request.steps.method.name, goal) for request, _ in made]
    for path, (_, explanation) in zip(paths, made, strict=True):
        explanation.to_sound(path)
    return tuple(map(str, paths))


def in_place_of(drawing: Path, methods: Sequence[str]) -> list[Path]:
    """Return where the numbers of maps that are no pictures are written, instead of the drawing."""
    return [drawing.with_suffix(f".{method}.npz" if len(methods) > 1 else ".npz") for method in methods]
