"""How often the gates err, counted over simulated releases: sound candidates refused, worse ones let through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from stores.domain import negative_binomial
from tests.unit.holdouts import COUNTS, PLAYERS, ROLE_MEANS, SIZE, TEAM_CORRELATION, holdout, play
from training.champion_checks import surely_worse
from training.holdout_checks import FALSE_REFUSAL, check_calibration, check_leak
from training.paired import ClusteredMean, clustered_mean, holm
from training.scores import crps, log_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPARISONS = 1_000
SERIES = 120  # just above what the gates call comparable
SHARED_BLUR = 0.10  # of a mean's logarithm: what both versions do not know
OWN_BLUR = 0.05  # what one training knows and another does not
WORSE_BLUR = 0.14  # about 2% of CRPS on one map
GRID = np.geomspace(0.15, 40.0, 500)


def most_refusals(comparisons: int) -> int:
    """What a rate of FALSE_REFUSAL exceeds once in a thousand runs of this test."""
    return int(stats.binom.ppf(0.999, comparisons, FALSE_REFUSAL))


class Scoring:
    """Scores of distributions on a grid of means, for one map and for the sum of two: tables [means, counts]."""

    def __init__(self) -> None:
        self.pmfs: list[NDArray[np.float64]] = [
            negative_binomial.pmf(maps * GRID, np.full(len(GRID), maps * SIZE), maps * COUNTS) for maps in (1, 2)
        ]
        self.tables = [
            [np.column_stack([score(pmf, np.full(len(GRID), y)) for y in range(pmf.shape[1])]) for pmf in self.pmfs]
            for score in (crps, log_scores)
        ]

    def differences(self, seed: int, candidate_blur: float) -> list[ClusteredMean]:
        """All score differences of one release, candidate minus champion, as the gates take them."""
        rng = np.random.default_rng(seed)
        found = []
        for of_role in ROLE_MEANS.values():
            truth = np.log(np.tile(of_role, 2)) + 0.25 * rng.standard_normal((SERIES, PLAYERS))
            both = truth + SHARED_BLUR * rng.standard_normal(truth.shape)
            seen = [on_grid(both + blur * rng.standard_normal(truth.shape)) for blur in (candidate_blur, OWN_BLUR)]
            one = self.outcomes(rng, on_grid(truth))
            for table_one, table_sum in self.tables:
                per_map = [table_one[means[None], one] for means in seen]
                per_sum = [table_sum[means, one.sum(axis=0)][None] for means in seen]
                found += [relative(per_map, as_share=table_one is self.tables[0][0])]
                found += [relative(per_sum, as_share=table_one is self.tables[0][0])]
        return found

    def outcomes(self, rng: np.random.Generator, truth: NDArray[np.int64]) -> NDArray[np.int64]:
        """Counts of two maps, alike within a team, of shape [2, series, players]."""
        of_team = np.repeat(rng.standard_normal((2, SERIES, 2)), PLAYERS // 2, axis=2)
        normal = np.sqrt(TEAM_CORRELATION) * of_team
        normal += np.sqrt(1 - TEAM_CORRELATION) * rng.standard_normal(normal.shape)
        cdf = np.cumsum(self.pmfs[0], axis=1)[truth]
        counts = (stats.norm.cdf(normal)[..., None] > cdf[None]).sum(axis=-1)
        return np.asarray(np.minimum(counts, COUNTS - 1), dtype=np.int64)


def on_grid(log_means: NDArray[np.float64]) -> NDArray[np.int64]:
    """The index of the mean that is nearest on the grid."""
    step = np.log(GRID[1] / GRID[0])
    nearest = np.rint((log_means - np.log(GRID[0])) / step)
    return np.asarray(np.clip(nearest, 0, len(GRID) - 1), dtype=np.int64)


def relative(scores: list[NDArray[np.float64]], *, as_share: bool) -> ClusteredMean:
    """The clustered mean of candidate minus champion, both of shape [maps, series, players]."""
    ours, theirs = scores
    series = np.broadcast_to(np.arange(SERIES).astype(str)[None, :, None], ours.shape)
    scale = theirs.mean() if as_share else 1.0
    return clustered_mean(((ours - theirs) / scale).ravel(), series.ravel())


@pytest.fixture(scope="module")
def scoring() -> Scoring:
    """The tables, made once."""
    return Scoring()


@pytest.mark.parametrize(
    ("mean", "error", "refused"),
    [
        (0.0021, 0.05, False),  # within the limit, and uncertain
        (0.0021, 0.00001, False),  # certain, and within the margin
        (0.0040, 0.00010, True),  # certainly beyond the margin
        (0.0040, 0.00300, False),  # perhaps beyond the margin
        (0.0201, 0.05000, True),  # beyond the limit, however uncertain
        (-0.5, 0.001, False),  # much better
    ],
)
def test_a_difference_is_refused_for_sure_or_beyond_the_limit(mean: float, error: float, refused: bool) -> None:
    """The margin needs evidence, the limit none; one bad difference does not condemn the others."""
    one, fine = ClusteredMean(mean, error, 2_000, 200), ClusteredMean(0.0, 0.001, 2_000, 200)
    assert surely_worse([fine, one, fine]) == [False, refused, False]


def test_as_good_a_model_is_rarely_refused(scoring: Scoring) -> None:
    """Of 1,000 equally good candidates, with their own errors, the eight score checks refuse at most the stated rate.

    So does the bare test without a margin (7 of them): its p-values hold for series whose rows are alike.
    """
    releases = [scoring.differences(seed, OWN_BLUR) for seed in range(COMPARISONS)]
    refused = sum(any(surely_worse(differences)) for differences in releases)
    bare = sum(any(holm([one.p_above() for one in differences], FALSE_REFUSAL)) for differences in releases)
    assert max(refused, bare) <= most_refusals(COMPARISONS)
    nominal = np.mean([differences[0].p_above() <= 0.05 for differences in releases])
    assert nominal == pytest.approx(0.05, abs=0.025)


def test_a_worse_model_is_mostly_refused(scoring: Scoring) -> None:
    """Of 100 candidates that are 2% worse in CRPS on one map, over 120 series, nine in ten are refused."""
    releases = [scoring.differences(seed, WORSE_BLUR) for seed in range(100)]
    worse = np.mean([[one.mean for one in differences] for differences in releases], axis=0)
    power = np.mean([any(surely_worse(differences)) for differences in releases])
    assert worse[0] == pytest.approx(0.02, abs=0.005)
    assert power > 0.9


def test_a_true_model_is_rarely_called_miscalibrated_or_leaking() -> None:
    """Twenty-five true models on 120 series whose teammates are alike: calibration and leak err as seldom as stated."""
    miscalibrated = leaking = 0
    for seed in range(25):
        world = play(seed, SERIES)
        true = holdout(world, world.means)
        miscalibrated += not all(check.passed for check in check_calibration(true))
        leaking += not all(check.passed for check in check_leak(true))
    assert max(miscalibrated, leaking) <= most_refusals(25)
