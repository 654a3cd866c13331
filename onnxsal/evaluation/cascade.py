"""Models whose weights are drawn anew from the output down, each made once for a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from onnxsal.graph.redraw import redrawn, weights
from onnxsal.model import Model
from onnxsal.tasks import Wanted, dissect


@dataclass(frozen=True)
class Cascade:
    """A model, and ``stages`` copies with ever more of its weighted operators drawn anew, the last one with all."""

    model: Model
    stages: int = 5
    seed: int = 0
    _made: dict[int, Model] = field(default_factory=dict, repr=False, compare=False)

    def on(self, model: Model) -> Cascade:
        """Return that of the same file opened for another size; itself of its own model."""
        return self if model is self.model else Cascade(model, self.stages, self.seed)

    def models(self) -> list[Model]:
        """Return the copies, least changed first; later ones have the earlier ones' draws."""
        return [self._model(count) for count in self.counts()]

    def counts(self) -> list[int]:
        """Return how many operators each copy has drawn anew: 1, ever more, all of them; of one copy all."""
        total = max(len(weights(self.model.anatomy.model)), 1)
        # np.geomspace of a single number is its start, which would leave nearly all weights learnt.
        steps = np.geomspace(1, total, self.stages) if self.stages > 1 else [total]
        return sorted({round(float(step)) for step in steps})

    def _model(self, count: int) -> Model:
        if count not in self._made:
            self._made[count] = self._drawn(count)
        return self._made[count]

    def _drawn(self, count: int) -> Model:
        graph = self.model.anatomy.model
        names = [name for each in reversed(weights(graph)[-count:]) for name in each]
        drawn = redrawn(graph, list(dict.fromkeys(names)), self.seed)
        anatomy = dissect(drawn, self.model.modality.find_entry(drawn.graph), Wanted.same(self.model.task))
        digest = f"{self.model.digest}, {count} operators drawn anew by seed {self.seed}"
        return replace(self.model, anatomy=anatomy, digest=digest)
