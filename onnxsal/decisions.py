"""What was decided of a file, and why: by what its graph proves, by its own words or its neighbours', or by running."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Decision:
    """One answer to a question about a file; a manifest and ``onnxsal inspect`` tell all of them."""

    what: str
    """The question, in the words of the option that settles it: ``task``, ``head``, ``activation``, ``size`` ..."""
    value: str
    why: str
    """How it was answered: the node, the metadata, the neighbour or the run that says so, or who was asked."""

    def __str__(self) -> str:
        return f"{self.what}: {self.value} ({self.why})"
