"""The class that explains rows where they are: Ray Data makes one in every actor, which keeps its sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onnxsal._version import __version__
from onnxsal.cluster.columns import Batch, Columns, Row
from onnxsal.cluster.rows import failed_row, made_row, table_of
from onnxsal.cluster.worker import Share
from onnxsal.errors import ImageError, ModelError, NotSeenError, UsageError
from onnxsal.evaluation.journal import key
from onnxsal.evaluation.run import identity_of
from onnxsal.explanation.method_plan import plan, split_options
from onnxsal.explanation.request import Request, prepare_request
from onnxsal.explanation.run import explain_image
from onnxsal.explanation.target import looked_at, opened_for_all
from onnxsal.model import Model

NOT_HERE = ("progress", "keep_partial")
"""Options of who sits in front of one explanation."""


@dataclass(frozen=True)
class Asked:
    """What ``explain`` is asked for, by names: a method is a function, which each worker looks up for itself."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    target: Any = None
    layer: str | Sequence[str] | None = None
    score: str | None = None
    seed: int = 0
    preprocess: Any = None

    def request(self, model: Model) -> Request:
        """Return the request on a model. Raises: as ``explain``, for all that can be known without a picture."""
        for name in NOT_HERE:
            if name in self.options:
                raise UsageError(f"option {name} is for one explanation at a time, not for those of a data set")
        common, chosen = split_options(self.options)
        return prepare_request(
            opened_for_all(model, [self.target]), plan(self.method, chosen), layer=self.layer, score=self.score,
            seed=self.seed, preprocess=self.preprocess, common=common,
        )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What is done to every row.

    Attributes:
        dtype: what maps are kept in.
        strict: whether a row that cannot be explained ends everything, rather than being named among the results.
    """

    model: Model
    asked: Asked
    columns: Columns
    share: Share
    dtype: str = "float16"
    strict: bool = False

    def identity(self, request: Request) -> str:
        """Return what tells rows from those of another model, method or option. Args: request: ``asked`` of it."""
        model, layers = request.model, [layer.name for layer in request.layers]
        preprocess = None if model.preprocess is None else model.preprocess.described()
        return key(
            __version__, model.digest, preprocess, request.steps.described(), layers, request.score, request.seed,
            vars(request.common), identity_of(self.asked.target), self.columns.target, self.dtype,
        )  # fmt: skip


class Explainer:
    """Rows in, rows out: a map for each, or why there is none."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._request = work.asked.request(work.share.opened(work.model))
        self._target = looked_at(self._request.model, work.asked.target)

    def __call__(self, batch: Batch) -> Any:
        """Return the rows of a batch as a table of Arrow."""
        return table_of(self.rows(batch), self._work.dtype, self._work.columns.kept)

    def rows(self, batch: Batch) -> list[dict[str, Any]]:
        """Return the rows of the maps of a batch, in its order; several for a target that stands for several.

        Raises: UsageError: what would fail for every row. ImageError, ModelError: a row's own, where ``strict``.
        """
        kept = self._work.columns.kept
        return [made | dict.fromkeys(kept, row.id) for row in self._work.columns.rows(batch) for made in self._of(row)]

    def _of(self, row: Row) -> list[dict[str, Any]]:
        row = row if self._work.columns.target is not None else replace(row, target=self._work.asked.target)
        goal = self._target if self._work.columns.target is None else row.target
        try:
            found = explain_image(self._request, row.image, [goal])
        except (ImageError, ModelError, NotSeenError) as error:
            if self._work.strict:
                raise
            return [failed_row(row, str(error))]
        return [made_row(row, each, self._work.dtype) for each in found]
