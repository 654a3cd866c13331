"""The writer that keeps the maps of all pictures as data, in one file, and has them drawn where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxsal.cli.drawings import Drawings
from onnxsal.cli.explanations import Written
from onnxsal.cli.stages import Explained
from onnxsal.maps.write import MapWriter


@dataclass(frozen=True)
class Kept:
    """A file of maps, and beside it the files of each picture."""

    maps: MapWriter
    path: str
    ids: Mapping[str, str]
    """What data calls the pictures, by their paths."""
    drawings: Drawings
    workers: int = 1

    def write(self, item: Explained) -> Written:
        """Return what was written of a picture."""
        written = self.drawings.write(item)
        for goal, row in zip(item.goals, item.rows, strict=False):
            for _, explanation in row:
                self.maps.write(explanation, self.ids[item.image], asked=goal)
        return replace(written, results=tuple(replace(each, maps=self.path) for each in written.results))

    def close(self, *, complete: bool) -> None:
        """End the file, with what is done so far where the run ends early."""
        self.drawings.close(complete=complete)
        self.maps.close(complete=complete)
