"""Means in which older games weigh less: every new game halves the weight of those a half-life before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class DecayedMeans:
    """Means of the same stats at several half-lives, counted in games. A missing stat (NaN) is no observation.

    ``sums`` and ``weights`` have the shape [half-lives, stats].
    """

    __slots__ = ("_decay", "sums", "weights")

    def __init__(self, half_lives: Sequence[float], stats: int) -> None:
        self._decay = 0.5 ** (1.0 / np.asarray(half_lives, dtype=np.float64))[:, None]
        self.sums = np.zeros((len(half_lives), stats))
        self.weights = np.zeros((len(half_lives), stats))

    def observe(self, stats: NDArray[np.float64]) -> None:
        """Take in one game: stats of shape [stats]."""
        known = stats == stats  # noqa: PLR0124 — the fastest test for NaN on a dozen numbers
        self.sums *= self._decay
        self.weights *= self._decay
        self.sums += np.where(known, stats, 0.0)
        self.weights += known

    def shrunk(self, prior: NDArray[np.float64], strengths: Sequence[float]) -> NDArray[np.float64]:
        """The means of shape [half-lives, stats]: each horizon is drawn to the next longer, the longest to the prior.

        Half-lives rise. ``prior`` has the shape [stats]; ``strengths`` are the games that each horizon's pull weighs.
        """
        means = np.empty_like(self.sums)
        towards = prior
        for row in range(len(means) - 1, -1, -1):
            pull = strengths[row]
            means[row] = (self.sums[row] + pull * towards) / (self.weights[row] + pull)
            towards = means[row]
        return means
