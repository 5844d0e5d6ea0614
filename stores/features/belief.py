"""Beliefs about levels that are never seen and slowly move: a Kalman filter whose covariances are left out.

Each level (a team's attack, a player's share of its kills) has a mean and a variance. A game shows a sum of levels
with noise; each level takes its share of the surprise, in proportion to how little is known of it. Source: the dynamic
generalised linear model of West, Harrison and Migon (1985); for wins it is Glickman's rating system (1999).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_US = 86_400_000_000
LONGEST_DRIFT_DAYS = 180.0  # what a longer pause forgets, it has forgotten by then


class Belief:
    """A mean and a variance as of the last game; ``daily_variance`` is what each day since then adds."""

    __slots__ = ("_at_us", "_daily_variance", "mean", "variance")

    def __init__(self, mean: float, variance: float, daily_variance: float) -> None:
        self.mean = mean
        self.variance = variance
        self._daily_variance = daily_variance
        self._at_us: int | None = None

    def variance_at(self, now_us: int) -> float:
        """The variance as of a moment that is not before the last game."""
        if self._at_us is None:
            return self.variance
        days = min((now_us - self._at_us) / DAY_US, LONGEST_DRIFT_DAYS)
        return self.variance + self._daily_variance * max(days, 0.0)

    def drift_to(self, now_us: int) -> None:
        """Let the level move until now."""
        self.variance = self.variance_at(now_us)
        self._at_us = now_us


def learn(parts: Sequence[tuple[Belief, float]], surprise: float, noise_variance: float) -> None:
    """Take in one observation of Σ weight · level, which lay by ``surprise`` above its prediction."""
    uncertainty = noise_variance + sum(weight * weight * belief.variance for belief, weight in parts)
    for belief, weight in parts:
        gain = weight * belief.variance / uncertainty
        belief.mean += gain * surprise
        belief.variance -= gain * weight * belief.variance
