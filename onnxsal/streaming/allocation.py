"""Neyman's allocation: more samples for the maps whose noise the picture feels, decided without bias.

The error of ``sum_k alpha_k A_k`` is smallest, for a given number of forwards, where map k gets samples in proportion
to ``|A_k| sd_k`` (Neyman 1934). The spread sd_k has to be guessed from a pilot, and a mean over samples whose number
was decided by some of them is biased: a map that starts too low stays too low, and all such slips add up. So there are
two strands of samples; how many one gets of a map is decided by the pilot of the other, and both means count alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Indices = NDArray[np.int64]

STRANDS = 2

POWER = 0.65
"""The spread is taken to grow with the score to this power: 0.9-1.3 as measured, less for the pilot's own noise."""

EVEN = 0.2
"""The share that is spread by |A_k| alone, so that a pilot that happened to be low cannot starve a map."""


_AHEAD = 8
"""Times as many draws become known at once: a budget that is never used up takes no memory."""


class Order:
    """Which mask every draw is of: known at first for the pilot, one sample a mask and strand; the rest is settled."""

    def __init__(self, sizes: Doubles, total: int) -> None:
        """Args: sizes: |A_k| of every mask, [K]. total: draws in all."""
        self._sizes, self._total = sizes, total
        self._shares: list[Doubles] = []
        self.masks: Indices = np.tile(np.arange(len(sizes)), STRANDS)
        self.samples: Indices = np.repeat(np.arange(STRANDS), len(sizes))

    @property
    def known(self) -> int:
        """How many draws are known."""
        return min(len(self.masks), self._total)

    def settle(self, means: Doubles) -> None:
        """Make more draws known, some times as many each time. The scores of the first time, [STRANDS, K], decide."""
        if not self._shares:
            # Scores below 0 are no probabilities, and the size of a logit says nothing about its spread.
            power = POWER if (means >= 0).all() else 0.0
            self._shares = [weights(self._sizes, other, power) for other in means[::-1]]
        pilot = STRANDS * len(self._sizes)
        left = min(self._total, _AHEAD * self.known) - pilot
        strands = [_sequence(shares, -(-left // STRANDS)) for shares in self._shares]
        masks, counts = (np.stack(both, axis=1).reshape(-1)[:left] for both in zip(*strands, strict=True))
        self.masks = np.concatenate([self.masks[:pilot], masks])
        self.samples = np.concatenate([self.samples[:pilot], STRANDS * counts + np.arange(left) % STRANDS])


def weights(sizes: Doubles, pilot: Doubles, power: float) -> Doubles:
    """Return the share of the samples that each map should have, [K], their sum 1."""
    even = _shares(sizes, np.ones_like(sizes))
    return (1 - EVEN) * _shares(sizes * np.abs(pilot) ** power, even) + EVEN * even


def _shares(values: Doubles, otherwise: Doubles) -> Doubles:
    total = values.sum()
    chosen = values if total > 0 else otherwise
    return np.asarray(chosen / chosen.sum(), np.float64)


def _sequence(shares: Doubles, length: int) -> tuple[Indices, Indices]:
    """Return maps, and of which of their samples each is (1, 2, ...; 0 was the pilot's), rounded as Webster does.

    Every beginning of the sequence, pilot included, is as near to the shares as whole numbers can be, so an early end
    is the allocation of a smaller budget.
    """
    enough = np.maximum(np.floor((length + 1.5 * len(shares) + 1) * shares + 0.5).astype(np.int64) - 1, 0)
    maps = np.repeat(np.arange(len(shares)), enough)
    counts = 1 + np.arange(len(maps)) - np.repeat(np.cumsum(enough) - enough, enough)
    first = np.argsort((counts + 0.5) / shares[maps], kind="stable")[:length]
    return maps[first], counts[first]
