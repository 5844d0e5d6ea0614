"""The single checks of a holdout: each floor of the leak test, the gain, and the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from stores.domain.props import PropType
from tests.unit.holdouts import CUT, PLAYERS, baseline_scores, holdout, play, rows, seen
from training.champion_checks import check_champion
from training.holdout import Holdout
from training.holdout_checks import ENTROPY_MARGIN, check_baseline, check_leak
from training.scores import crps, log_scores
from training.subsets import ONE_MAP

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.unit.holdouts import World

SERIES = 250


@pytest.fixture(scope="module")
def world() -> World:
    """Four months of series."""
    return play(1, SERIES)


@pytest.fixture(scope="module")
def own_view(world: World) -> dict[PropType, NDArray[np.float64]]:
    """What a sound training sees of the world's means."""
    return seen(world, 1)


@pytest.fixture(scope="module")
def sound(world: World, own_view: dict[PropType, NDArray[np.float64]]) -> Holdout:
    """What it says of them."""
    return holdout(world, own_view)


def test_a_leak_is_better_than_its_own_entropy(world: World, own_view: dict[PropType, NDArray[np.float64]]) -> None:
    """Means drawn a fifth towards the outcome, with an honest spread: too little for the Poisson floor, and refused."""
    means = {prop: 0.8 * view + 0.2 * world.outcomes[prop].mean(axis=0) for prop, view in own_view.items()}
    checks = check_leak(holdout(world, means, size=3.5))
    refused = [check for check in checks if not check.passed]
    assert len(refused) >= 3
    assert all(check.measured is not None and check.measured > ENTROPY_MARGIN for check in refused)
    assert all("and -" in check.reason for check in refused)


def test_a_leak_that_was_fitted_to_is_refused(world: World, sound: Holdout) -> None:
    """Counts that follow their own distributions, but narrower than a Poisson count's: nothing before a match knows so.

    The scores equal the entropy, so the second floor alone shows it.
    """
    rng = np.random.default_rng(1)
    counts = np.arange(11)
    shares = rng.uniform(0.4, 0.8, SERIES * PLAYERS)
    narrow = rows(world, 0, rng.binomial(10, shares), stats.binom.pmf(counts, 10, shares[:, None]))
    checks = check_leak(Holdout(CUT, {**sound.questions, (PropType.KILLS, ONE_MAP): narrow}))
    (refused,) = [check for check in checks if not check.passed]
    assert refused.name == "leak: kills, one map"
    assert refused.measured == pytest.approx(0.0, abs=0.03)
    assert "outcomes were seen" in refused.reason


def test_an_impossible_gain_is_refused(world: World, sound: Holdout) -> None:
    """What beats the rolling mean by more than any honest model is named, beside a baseline that passed."""
    rolling_mean = baseline_scores(world)
    assert all(check.passed for check in check_baseline(sound, rolling_mean))
    checks = check_baseline(sound, {name: 1.2 * score for name, score in rolling_mean.items()})
    assert [check.name for check in checks if not check.passed] == ["leak: kills gain", "leak: assists gain"]


def test_a_score_is_compared_as_a_share_of_the_champions(world: World, sound: Holdout) -> None:
    """The measured difference of CRPS is the quotient of both less one, that of the log score is in nats."""
    blurred = holdout(world, seen(world, 5, blur=0.2))
    checks = {check.name: check.measured for check in check_champion(blurred, sound)}
    ours, theirs = (said.for_question(PropType.ASSISTS, "1-2") for said in (blurred, sound))
    means = [[score(one.probabilities(), one.actual).mean() for one in (ours, theirs)] for score in (crps, log_scores)]
    assert checks["score: assists, maps 1-2, CRPS"] == pytest.approx(means[0][0] / means[0][1] - 1)
    assert checks["score: assists, maps 1-2, log score"] == pytest.approx(means[1][0] - means[1][1])


def test_small_slices_are_pooled(world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout) -> None:
    """Of 104 series no league has 30: what is wrong in all of them is found in the pool of the leagues."""
    some = {
        question: part.at(np.flatnonzero(series_below(part.series_id, 104)))
        for question, part in sound.questions.items()
    }
    bad = holdout(world, {prop: 1.6 * view for prop, view in own_view.items()})
    checks = {check.name: check for check in check_champion(bad, Holdout(CUT, some))}
    assert "other (kills" in checks["slice: league"].reason
    assert "LCK" not in checks["slice: league"].reason
    assert "slice: rookies" not in checks


def series_below(series_id: NDArray[np.object_], end: int) -> NDArray[np.bool_]:
    """Which rows are of the first series."""
    return np.isin(series_id, [f"s{one}" for one in range(end)])
