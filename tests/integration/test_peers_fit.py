"""The peers' own environment: both scripts on a small season whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES
from training.dataset import TrainingSet
from training.evaluation import peers
from training.evaluation.peer_rows import peer_rows
from training.evaluation.peers import PEERS, fit_peers
from training.evaluation.questions import Question
from training.scores import log_scores
from training.subsets import ONE_MAP

GAMES, ASKED = 1_600, 400
START = np.datetime64("2026-01-01", "us")
DAY = np.timedelta64(1, "D")


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """One game a day; the mean is the exponential of the first feature, and the second is often missing."""
    rng = np.random.default_rng(30)
    features = rng.uniform(0.0, 1.0, size=(GAMES, len(MODEL_FEATURES))).astype(np.float32)
    means = np.exp(2.0 * features[:, 0])
    kills = rng.poisson(rng.gamma(20.0, means / 20.0))
    features[::3, 1] = np.nan
    days = START + np.arange(GAMES) * DAY
    same, number = np.full(GAMES, "p", dtype=object), np.arange(GAMES).astype(str).astype(object)
    zeros = np.zeros(GAMES, dtype=np.int64)
    return TrainingSet(
        features=features,
        counts={PropType.KILLS: kills, PropType.ASSISTS: 2 * kills},
        position=zeros,
        game_number=zeros + 1,
        won=zeros == 0,
        started_at=days,
        series_started_at=days,
        series_id=number,
        match_id=number,
        player_id=same,
        player_name=same,
        team_id=same,
        tournament=same,
        draft=np.full((GAMES, len(CHAMPION_FEATURES)), np.nan, dtype=np.float32),
    )


@pytest.mark.timeout(900)  # a minute alone
def test_both_peers_know_more_than_the_frequencies(rows: TrainingSet) -> None:
    """NGBoost and XGBoostLSS give whole distributions that say more of unseen games than all counts seen do."""
    if not peers.PEER_PYTHON.exists():
        pytest.skip("the peers NGBoost and XGBoostLSS are not installed: run `make peers`")
    asked = np.arange(GAMES) >= GAMES - ASKED
    methods, chosen = fit_peers(peer_rows(rows, ~asked, asked))
    at = np.flatnonzero(asked)
    actual = rows.counts[PropType.KILLS][at]
    question = Question(
        PropType.KILLS,
        ONE_MAP,
        (at,),
        actual,
        np.full(ASKED, 2.5),
        rows.position[at],
        rows.series_id[at],
        rows.position[at],
    )
    frequencies = np.bincount(rows.counts[PropType.KILLS][~asked], minlength=question.counts) + 0.1
    plain = log_scores(np.tile(frequencies / frequencies.sum(), (ASKED, 1)), actual).mean()
    assert set(chosen) == set(methods[PropType.ASSISTS]) == set(PEERS)
    for method in methods[PropType.KILLS].values():
        pmf = method(question)
        assert pmf.sum(axis=1) == pytest.approx(1.0)
        assert (pmf >= 0).all()
        assert log_scores(pmf, actual).mean() < plain - 0.05
