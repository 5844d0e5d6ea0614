"""The search without Ray: folds of time, draws, when a trial ends and when the default stays."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from typer.testing import CliRunner

from cluster.cli import app
from stores.domain.props import PropType
from stores.errors import InvalidError
from tests.search_rows import simulate
from training.boosting import BoostingParams
from training.fitting import VALIDATION_SHARE
from training.paired import clustered_mean
from training.search import (
    ALPHA,
    KEPT,
    SearchPlan,
    SearchResult,
    SearchTrial,
    halved_after,
    search_space,
    trial_params,
    verdict,
)
from training.search_folds import FOLDS, fold_score, folds_by_time, losses_on_fold, paired_gain
from training.subsets import split_by_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.dataset import TrainingSet
    from training.search_folds import Folds


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """A season of 300 series."""
    return simulate(1, 300)


@pytest.fixture(scope="module")
def searched(rows: TrainingSet) -> Folds:
    """Its folds."""
    return folds_by_time(rows)


def test_folds_follow_one_another(searched: Folds) -> None:
    """Nothing is scored before what it was learnt from, no series is on two sides, and windows only grow."""
    begins, series = searched.rows.series_started_at, searched.rows.series_id
    for fold in searched.folds:
        assert begins[fold.fit].max() < begins[fold.choose].min()
        assert begins[fold.choose].max() < begins[fold.score].min()
        parts = [set(series[mask]) for mask in (fold.fit, fold.choose, fold.score)]
        assert len(set.union(*parts)) == sum(map(len, parts))
    assert len(searched.folds) == FOLDS
    for older, newer in zip(searched.folds, searched.folds[1:], strict=False):
        assert ((older.fit | older.choose) == newer.fit).all()
        assert (older.score == newer.choose).all()
    assert searched.folds[-1].score.any()


def test_the_games_of_the_gates_are_not_searched(rows: TrainingSet, searched: Folds) -> None:
    """No row of the newest series, on which a release is judged, is among those searched."""
    gates = split_by_time(rows, VALIDATION_SHARE * 0.95)[1]  # the share of what is left after the warm-up
    assert len(gates)
    assert not set(gates.series_id) & set(searched.rows.series_id)


def test_too_few_rows_are_refused() -> None:
    """A handful of games holds no folds, nor do many that all began at once."""
    with pytest.raises(InvalidError, match="200 games"):
        folds_by_time(simulate(1, 20))
    crowded = simulate(1, 150)
    first = np.full_like(crowded.series_started_at, crowded.series_started_at[0])
    with pytest.raises(InvalidError, match="days"):
        folds_by_time(replace(crowded, series_started_at=first))


def test_a_fold_is_scored_by_its_own_rows(searched: Folds) -> None:
    """Trees that find what the counts depend on lose less than the rolling mean, and again to the bit the same."""
    fold, params = searched.folds[0], replace(BoostingParams(), eta=0.1, max_rounds=60, colsample_bytree=1.0)
    losses = losses_on_fold(searched.rows, fold, params)
    assert losses.shape == (len(PropType), fold.score.sum())
    assert fold_score(losses, fold) < 0.97
    assert (losses_on_fold(searched.rows, fold, params) == losses).all()
    later = replace(searched.rows, counts={prop: counts.copy() for prop, counts in searched.rows.counts.items()})
    for counts in later.counts.values():
        counts[~(fold.fit | fold.choose | fold.score)] += 10
    assert (losses_on_fold(later, fold, params) == losses).all()


def test_the_default_is_a_point_of_the_space() -> None:
    """Drawn as it is, the default comes out unchanged; other draws are rounded and a small step has time."""
    default = BoostingParams()
    config = {name: getattr(default, name) for name in search_space()}
    assert trial_params(config) == default
    drawn = trial_params(config | {"eta": 0.0200001, "max_depth": 5})
    assert (drawn.eta, drawn.max_depth) == (0.02, 5)
    assert isinstance(drawn.max_depth, int)
    assert drawn.max_rounds * drawn.eta == pytest.approx(default.max_rounds * default.eta)
    assert trial_params(config | {"eta": 0.1}).max_rounds == default.max_rounds


@given(st.lists(st.lists(st.floats(0.5, 1.5), min_size=FOLDS, max_size=FOLDS), min_size=1, max_size=20))
def test_halving_is_that_of_ray_fed_in_order(scores: list[list[float]]) -> None:
    """Where every trial is known, trials end where Ray's ASHAScheduler ends them one after another."""
    asha = ASHAScheduler(
        time_attr="fold", metric="mean", mode="min", max_t=FOLDS, reduction_factor=1 / KEPT, stop_last_trials=False
    )
    assert halved_after(scores, FOLDS) == [_ended_by(asha, number, one) for number, one in enumerate(scores)]


def _ended_by(asha: Any, number: int, scores: Sequence[float]) -> int:
    trial = SimpleNamespace(trial_id=str(number))
    asha.on_trial_add(None, trial)
    for fold in range(1, FOLDS):
        told = {"fold": fold, "mean": float(np.mean(scores[:fold]))}
        if asha.on_trial_result(None, trial, told) == TrialScheduler.STOP:
            return fold
    return FOLDS


@given(
    st.lists(st.lists(st.floats(0.5, 1.5), min_size=FOLDS, max_size=FOLDS), min_size=2, max_size=12),
    st.data(),
)
def test_nobody_is_ended_for_what_is_not_yet_known(scores: list[list[float]], data: st.DataObject) -> None:
    """With any trial behind, those that are ended are ended in the end as well: the order of telling is no matter."""
    behind = [one[: data.draw(st.integers(0, FOLDS))] for one in scores]
    for early, late in zip(halved_after(behind, FOLDS), halved_after(scores, FOLDS), strict=True):
        assert early in {late, FOLDS}


@pytest.mark.parametrize(
    ("gain", "others", "beats"),
    [(0.004, 1, True), (0.004, 20, True), (0.0, 1, False), (0.0005, 1, False), (0.0018, 1, True), (0.0018, 40, False)],
)
def test_the_default_stays_unless_beaten_by_more_than_noise(gain: float, others: int, *, beats: bool) -> None:
    """A gain must be large beside its error, and the larger the more trials there were to be lucky."""
    series = np.repeat(np.arange(200), 20).astype(object)
    noise = np.random.default_rng(1).normal(0.0, 0.05, len(series))
    measured = clustered_mean(noise - noise.mean() + gain, series)
    found, reason = verdict(3, measured, others)
    assert found is beats
    assert reason.startswith("default") is not beats
    assert "trial 3" in reason


def test_luck_seldom_replaces_the_default() -> None:
    """The best of 15 trials that are all as good as the default replaces it in about ALPHA of the searches at most."""
    rng, searches, trials = np.random.default_rng(2), 300, 15
    series = np.repeat(np.arange(60), 4).astype(object)
    lucky = 0
    for _ in range(searches):
        gains = [clustered_mean(rng.normal(0.0, 1.0, len(series)), series) for _ in range(trials)]
        lucky += verdict(1, max(gains, key=lambda one: one.mean), trials)[0]
    assert lucky <= ALPHA * searches + 3 * np.sqrt(ALPHA * searches)


def test_the_gain_is_the_difference_of_scores(searched: Folds) -> None:
    """Its mean is by how much the mean score falls, though folds have different lengths; its draws are series."""
    rng = np.random.default_rng(3)
    ours, theirs = (
        [rng.uniform(0.5, 2.0, (len(PropType), int(fold.score.sum()))) for fold in searched.folds] for _ in range(2)
    )
    scores = [
        np.mean([fold_score(of_fold, fold) for of_fold, fold in zip(losses, searched.folds, strict=True)])
        for losses in (ours, theirs)
    ]
    gain = paired_gain(searched, ours, theirs)
    assert gain.mean == pytest.approx(scores[1] - scores[0])
    assert gain.clusters == sum(len(set(searched.rows.series_id[fold.score])) for fold in searched.folds)


def test_a_budget_without_a_search_is_refused() -> None:
    """The command says which option is missing, before anything is started."""
    done = CliRunner().invoke(app, ["train", "--budget", "3"])
    assert done.exit_code == 2
    assert "--tune" in done.stderr


@pytest.mark.parametrize(("plan", "field"), [((0, None), "trials"), ((2, 0.0), "budget_s")])
def test_a_plan_that_holds_nothing_is_refused(plan: tuple[int, float | None], field: str) -> None:
    """The error names the field."""
    with pytest.raises(InvalidError) as refused:
        SearchPlan(*plan)
    assert refused.value.field == field


def test_the_table_is_compact() -> None:
    """Names once, a row for each trial with its scores, and no more than was drawn."""
    trial = SearchTrial(0, BoostingParams(), (0.912345678, 0.9))
    table = SearchResult(BoostingParams(), "default: alone", (trial,), None).to_json()
    row = dict(zip(table["columns"], table["rows"][0], strict=True))
    assert row["scores"] == [0.91235, 0.9]
    assert {name: row[name] for name in search_space()} == {
        name: getattr(BoostingParams(), name) for name in search_space()
    }
