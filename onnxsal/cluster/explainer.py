"""The class that explains rows where they are: Ray Data makes one in every actor, which keeps its sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxsal.cluster.columns import Batch, Columns, Row
from onnxsal.cluster.rows import failed_row, made_row, table_of
from onnxsal.cluster.worker import Share
from onnxsal.errors import ImageError, ModelError, NotSeenError, UsageError
from onnxsal.evaluation.journal import key
from onnxsal.evaluation.run import identity_of
from onnxsal.explanation.asked import numbered
from onnxsal.explanation.identity import request_identity
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import explain_prepared, read_fitted
from onnxsal.explanation.target import looked_at, opened_for_all
from onnxsal.model import Model

NOT_HERE = ("progress", "keep_partial")
"""Options of who sits in front of one explanation."""


@dataclass(frozen=True)
class Asked:
    """How ``explain`` is asked to, by names: a method is a function, which each worker looks up for itself."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    layer: str | Sequence[str] | None = None
    score: str | None = None
    seed: int = 0
    preprocess: Any = None

    def request(self, model: Model) -> Request:
        """Return the request on a model that answers all targets.

        Raises: as ``explain``, for all that can be known without a picture.
        """
        for name in NOT_HERE:
            if name in self.options:
                raise UsageError(f"option {name} is for one explanation at a time, not for those of a data set")
        common, chosen = split_options(self.options)
        return prepare_request(
            model, plan(self.method, chosen), layer=self.layer, score=self.score, seed=self.seed,
            preprocess=self.preprocess, common=common,
        )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What is done to every row.

    Attributes:
        asked: how it is explained, one a method.
        dtype: what maps are kept in.
        strict: whether a row that cannot be explained ends everything, rather than being named among the results.
        targets: what of it, each by all methods, unless a column says it.
    """

    model: Model
    asked: Sequence[Asked]
    columns: Columns
    share: Share
    dtype: str = "float16"
    strict: bool = False
    targets: Sequence[Any] = (None,)

    def requests(self, model: Model | None = None) -> list[Request]:
        """Return what is asked for of the model, or of the one that a worker opened, one a method.

        Raises: as ``explain``, for all that can be known without a picture.
        """
        opened = opened_for_all(model or self.model, self.targets)
        return [each.request(opened) for each in self.asked]

    def identity(self) -> str:
        """Return what tells rows from those of another model, method, option or target. Raises: as ``requests``."""
        requests = [request_identity(each) for each in self.requests()]
        return key(requests, [identity_of(target) for target in self.targets], self.columns.target, self.dtype)


class Explainer:
    """Rows in, rows out: a map for each, or why there is none."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._requests = work.requests(work.share.opened(work.model))
        self._targets = [looked_at(self._requests[0].model, target) for target in work.targets]

    def __call__(self, batch: Batch) -> Any:
        """Return the rows of a batch as a table of Arrow."""
        return table_of(self.rows(batch), self._work.dtype, self._work.columns.kept)

    def rows(self, batch: Batch) -> list[dict[str, Any]]:
        """Return the rows of the maps of a batch, in its order: of every target by every method.

        Raises: UsageError: what would fail for every row. ImageError, ModelError: a row's own, where ``strict``.
        """
        kept = self._work.columns.kept
        return [made | dict.fromkeys(kept, row.id) for row in self._work.columns.rows(batch) for made in self._of(row)]

    def _of(self, row: Row) -> list[dict[str, Any]]:
        own = self._work.columns.target is not None
        goals, targets = ([row.target], [row.target]) if own else (self._work.targets, self._targets)
        try:
            first, sample = read_fitted(self._requests[0], row.image)
            maps = [explain_prepared(each.on(first.model), sample, targets) for each in self._requests]
        except (ImageError, ModelError, NotSeenError) as error:
            if self._work.strict:
                raise
            return [failed_row(row, str(error))]
        names = numbered([None if goal is None else str(goal) for goal in goals], len(maps[0]))
        return [made_row(row, name, made[at], self._work.dtype) for at, name in enumerate(names) for made in maps]
