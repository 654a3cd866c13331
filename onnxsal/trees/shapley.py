"""Exact Shapley values of ensembles of trees, of the columns themselves or of groups of them."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onnxsal.errors import UnsupportedError, UsageError
from onnxsal.trees.ensemble import Doubles, Ensemble
from onnxsal.trees.few import add_few, add_few_covers, expected, shares
from onnxsal.trees.paths import ALONE, paths, plan

FEW = 2 * 10**7
"""Slots of leaves, times rows, times rows of the background, that are gone through without kernels, at most.

That takes half a second; to compile the kernels takes more than ten."""

ROW = 20_000
"""Of these, what a row alone takes."""

TABLES = 4 * 2**20
"""Bytes of tables that are made before rows go through them, about."""


def interventional(
    ensemble: Ensemble,
    rows: NDArray[Any],
    background: NDArray[Any],
    players: Any = None,
    *,
    threads: int | None = None,
) -> tuple[Doubles, Doubles]:
    """Return exact interventional Shapley values of the margins [rows, players, outputs], and their base [outputs].

    The game of a row: players of a coalition have the row's values, all others those of a row of the background,
    whose mean is taken. So a row's values and the base, the mean margin of the background, add up to its margin.

    The cost grows with rows plus background where no more than ``ALONE`` players are asked on the way to a leaf, and
    with the pairs that a leaf is worth something to where more are. Memory is that of the result, of the rows once
    more, and of a few MB of tables.

    Args:
        ensemble: from ``ensemble_of``.
        rows: [N, F].
        background: [M, F].
        players: which player each column belongs to, counted from 0, such as one for all columns behind a one-hot
            encoder; -1 for a column that depends on nothing and is the same everywhere. Each column one by default.
        threads: as many as there are processors by default.

    Raises: UsageError: rows do not fit, ``background`` is empty, or ``players`` are not one a column.
    """
    columns, behind = ensemble.columns(rows), ensemble.columns(background)
    if behind.shape[1] == 0:
        raise UsageError(f"{ensemble.name}: the background has no rows, and values are differences to it")
    if len(behind) != len(columns):
        raise UsageError(f"{ensemble.name}: rows have {len(columns)} columns, the background {len(behind)}")
    owners, count = _players(players, columns, behind)
    values = _Game(ensemble, owners, count, threads).values(columns, behind)
    return values, np.asarray(ensemble.margins(background).mean(axis=0))


def path_dependent(
    ensemble: Ensemble, rows: NDArray[Any], players: Any = None, *, threads: int | None = None
) -> tuple[Doubles, Doubles]:
    """Return exact path-dependent Shapley values [rows, players, outputs], and their base [outputs].

    As ``interventional``, but without a background: where a player outside the coalition is asked, both ways are
    taken, in the shares of training's rows that went there (Lundberg et al. 2020, arXiv:1905.04610). Only for files
    that carry these covers in nodes_hitrates, of leaves too; most converters write 1 everywhere.

    Raises: UsageError: rows or players do not fit. UnsupportedError: the file has no covers, and why that is said.
    """
    covers = _covers(ensemble)
    columns = ensemble.columns(rows)
    owners, count = _players(players, columns, columns)
    game = _Game(ensemble, owners, count, threads)
    return game.by_covers(columns, covers), game.expected(covers) + ensemble.base


def _covers(ensemble: Ensemble) -> Doubles:
    """Return the covers of all nodes. Raises: UnsupportedError: there are none, or they are none."""
    covers, other = ensemble.nodes.covers, ensemble.nodes.other
    what = f"{ensemble.name} has no covers, which path-dependent values follow: "
    if covers is None:
        raise UnsupportedError(f"{what}there is no nodes_hitrates for each node; give a background instead")
    if (covers == 1).all():
        raise UnsupportedError(f"{what}nodes_hitrates is 1 everywhere, its converter's default; give a background")
    if not np.isfinite(covers).all():
        raise UnsupportedError(f"{what}this operator's nodes_hitrates is without the leaves; give a background")
    branches = np.flatnonzero(other >= 0)
    below = covers[branches + 1] + covers[other[branches]]
    if (covers[branches] <= 0).any() or not np.allclose(below, covers[branches], rtol=1e-3):
        raise UnsupportedError(f"{what}nodes_hitrates of children do not add up to their parents'; give a background")
    return covers


def _players(players: Any, columns: NDArray[Any], behind: NDArray[Any]) -> tuple[NDArray[np.int32], int]:
    """Return the player of each column, the number behind the last for those that depend on nothing, and the number."""
    found = np.arange(len(columns)) if players is None else np.asarray(players)
    if found.shape != (len(columns),) or found.dtype.kind not in "iu" or (found < -1).any():
        raise UsageError(f"players are whole numbers from -1 on, one for each of {len(columns)} columns")
    for column in np.flatnonzero(found == -1):
        everywhere = np.concatenate([columns[column], behind[column]])
        if not ((everywhere == everywhere[0]) | (np.isnan(everywhere) & np.isnan(everywhere[0]))).all():
            raise UsageError(f"column {column} is nobody's (-1), and yet its values differ from row to row")
    count = int(found.max(initial=-1)) + 1
    return np.where(found < 0, count, found).astype(np.int32), count


class _Game:
    """An ensemble with its players: what lies on each node's way, and which columns of weights there are."""

    def __init__(self, ensemble: Ensemble, players: NDArray[np.int32], count: int, threads: int | None) -> None:
        self._threads = threads or _processors()
        self._tests, self._mix = ensemble.tests, ensemble.mix
        first, column, weight = ensemble.held
        self._used, places = np.unique(column, return_inverse=True)
        self._places = places.astype(np.int32)
        self._count = count
        self._ways = paths(self._tests, players)
        self._slots = int(self._ways[4][self._tests[4] < 0].sum())
        self._context = self._tests, (first, self._places, weight), self._ways, players

    def values(self, columns: NDArray[Any], behind: NDArray[Any]) -> Doubles:
        """Return the values [rows, players, outputs] of columns [F, rows]."""
        out = np.zeros((self._count, len(self._used), columns.shape[1]))
        if columns.shape[1] * max(self._slots * behind.shape[1], ROW) <= FEW:
            add_few(out, columns, behind, self._context, self._shares())
            return self._mixed(out)
        local, used = self._columns_by_tree()
        sizes = columns.shape[1], behind.shape[1], ALONE
        counts = (local >= 0).sum(axis=1).astype(np.int32)
        together, pairs = plan(self._tests, self._ways, self._context[3], counts, sizes)
        with ThreadPoolExecutor(self._threads) as pool:
            if pairs.any():
                self._add_pairs(pool, out, (columns, behind), pairs)
            for groups, size in self._batches(together, local, used):
                self._add_tables(pool, out, (columns, behind), groups, size)
        return self._mixed(out)

    def _shares(self) -> Doubles:
        return shares(int(self._ways[4].max(initial=0)) + 2)

    def by_covers(self, columns: NDArray[Any], covers: Doubles) -> Doubles:
        """Return path-dependent values [rows, players, outputs] of columns [F, rows]."""
        out = np.zeros((self._count, len(self._used), columns.shape[1]))
        most = int(self._ways[4].max(initial=0))
        rule = _rule(most)
        if self._slots * most * columns.shape[1] <= FEW:
            add_few_covers(out, columns, self._context, covers, rule)
            return self._mixed(out)
        from onnxsal.kernels.tree_covers import add_covers

        with ThreadPoolExecutor(self._threads) as pool:
            spans = _slices(columns.shape[1], self._threads)
            _each(pool, lambda span: add_covers(out, columns, self._context, covers, rule, span), spans)
        return self._mixed(out)

    def expected(self, covers: Doubles) -> Doubles:
        """Return the margins' mean by covers, without their base, [outputs]."""
        sums = np.zeros(len(self._used))
        expected(sums, self._context, covers)
        return np.asarray(sums @ self._mix[self._used])

    def _columns_by_tree(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return by tree the place of each column among those that its leaves have, -1 for none, and who is there."""
        start, first = self._tests[5], self._context[1][0]
        owners = np.searchsorted(first[start], np.arange(len(self._places)), side="right") - 1
        has = np.zeros((len(start) - 1, len(self._used)), bool)
        has[owners, self._places] = True
        local = np.where(has, np.cumsum(has, axis=1) - 1, -1).astype(np.int32)
        used = np.argsort(~has, axis=1, kind="stable").astype(np.int32)
        return local, used

    def _batches(self, together: NDArray[np.int32], local: Any, used: Any) -> Iterator[tuple[Any, int]]:
        """Yield groups of leaves as kernels take them, and how many numbers their tables have."""
        roots = np.flatnonzero(together > 0)
        bits = self._ways[4][roots] + (self._ways[1][roots] - roots - 1) // 2
        tree = np.searchsorted(self._tests[5], roots, side="right") - 1
        shapes = np.stack([together[roots], (local[tree] >= 0).sum(axis=1), 1 << bits], 1).astype(np.int64)
        sizes = shapes.prod(axis=1)
        begin = 0
        while begin < len(roots):
            reach = np.cumsum(sizes[begin:])
            end = begin + max(int(np.searchsorted(reach, TABLES // 8, side="right")), 1)
            offsets = np.cumsum(sizes[begin:end]) - sizes[begin:end]
            names = np.zeros((end - begin, int(shapes[begin:end, 0].max()) + 1), np.int32)
            yield (
                (roots[begin:end], offsets, shapes[begin:end], tree[begin:end], (local, used), names),
                int(sizes[begin:end].sum()),
            )
            begin = end

    def _add_pairs(self, pool: ThreadPoolExecutor, out: Doubles, given: Any, pairs: NDArray[np.uint8]) -> None:
        from onnxsal.kernels.tree_pairs import add_pairs

        columns, behind = given
        rows, others = columns.shape[1], behind.shape[1]
        by_rows = rows >= self._threads
        cuts = _slices(rows if by_rows else others, self._threads)
        spans = [(*cut, 0, others) if by_rows else (0, rows, *cut) for cut in cuts]
        parts = [np.zeros((rows, *out.shape[:2])) for _ in (cuts[:1] if by_rows else cuts)]  # a row's numbers together
        todo, given = list(zip(itertools.cycle(parts), spans, strict=False)), (columns, behind, self._context)
        table = self._shares() / others
        _each(pool, lambda one: add_pairs(one[0], *given, (pairs, table), one[1]), todo)
        for part in parts:
            out += part.transpose(1, 2, 0)

    def _add_tables(self, pool: ThreadPoolExecutor, out: Doubles, given: Any, groups: Any, size: int) -> None:
        from onnxsal.kernels.tree_tables import add_tables, fill_tables

        columns, behind = given
        tables, rule = np.empty(size), _rule(ALONE)
        roots, offsets, shapes, tree, places, names = groups

        def fill(part: tuple[int, int]) -> None:
            here = slice(*part)
            some = roots[here], offsets[here], shapes[here], tree[here], places, names[here]
            fill_tables(tables, some, behind, self._context, rule)

        _each(pool, fill, _slices(len(roots), self._threads))
        spans = _slices(columns.shape[1], self._threads)
        _each(pool, lambda span: add_tables(out, tables, groups, columns, self._context, span), spans)

    def _mixed(self, out: Doubles) -> Doubles:
        """Return sums [players, columns, rows] as outputs, [rows, players, outputs]."""
        mix = self._mix[self._used]
        if mix.shape == (len(self._mix), len(self._mix)) and (mix == np.eye(len(mix))).all():
            return out.transpose(2, 0, 1)
        return np.asarray(np.einsum("pkn,ko->npo", out, mix))


def _rule(most: int) -> tuple[Doubles, Doubles]:
    """Return Gauss-Legendre nodes and weights on 0 to 1 that are exact for so many slots, [slots, nodes]."""
    nodes, weights = np.full((2, most + 1, most // 2 + 1), 0.5)
    for slots in range(1, most + 1):
        count = (slots + 1) // 2
        x, w = np.polynomial.legendre.leggauss(count)
        nodes[slots, :count], weights[slots, :count] = (x + 1) / 2, w / 2
    return nodes, weights


def _slices(count: int, parts: int) -> list[tuple[int, int]]:
    """Return where up to ``parts`` pieces of about the same size begin and end."""
    ends = [count * i // parts for i in range(parts + 1)]
    return [(begin, end) for begin, end in itertools.pairwise(ends) if end > begin]


def _each(pool: ThreadPoolExecutor, work: Callable[[Any], None], over: list[Any]) -> None:
    for _ in pool.map(work, over):
        pass


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
