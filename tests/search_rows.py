"""Simulated rows for the search: series of two maps between ten players, whose counts depend on features."""

from __future__ import annotations

import numpy as np

from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES, POSITIONS, RESULTS
from training.dataset import TrainingSet

START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")
PLAYERS = 10
LEVEL = {PropType.KILLS: 3.0, PropType.ASSISTS: 6.0}


def simulate(seed: int, series: int) -> TrainingSet:
    """A series every six hours. What players do bends with one of the features, which only trees can find."""
    rng = np.random.default_rng(seed)
    n = series * 2 * PLAYERS
    of_series = np.repeat(np.arange(series), 2 * PLAYERS)
    game = np.tile(np.repeat([1, 2], PLAYERS), series)
    seat = np.tile(np.arange(PLAYERS), series * 2)
    won = np.repeat(rng.integers(0, 2, series * 2), PLAYERS) == (seat >= PLAYERS // 2)
    features = rng.normal(size=(n, len(MODEL_FEATURES))).astype(np.float32)
    form = 0.4 * np.abs(features[:, 0]) - 0.3 * (features[:, 1] > 0) + np.where(won, 0.2, -0.2)
    for prop, level in LEVEL.items():
        for result in RESULTS:
            for prefix in ("player", "expected"):
                features[:, MODEL_FEATURES.index(f"{prefix}_{prop}_when_{result}")] = level
    began = START + of_series * 6 * HOUR
    match = np.char.add(np.char.add(of_series.astype(str), "-"), game.astype(str)).astype(object)
    player = np.char.add("p", (seat + PLAYERS * (of_series % 4)).astype(str)).astype(object)
    return TrainingSet(
        features=features,
        counts={prop: rng.poisson(level * np.exp(form) * rng.gamma(8.0, 1 / 8.0, n)) for prop, level in LEVEL.items()},
        won=won,
        position=seat % len(POSITIONS),
        game_number=game,
        started_at=began + game * HOUR,
        series_started_at=began,
        series_id=of_series.astype(str).astype(object),
        match_id=match,
        player_id=player,
        player_name=player,
        tournament=np.full(n, "LCK", dtype=object),
        team_id=np.char.add("t", (seat // 5).astype(str)).astype(object),
        draft=np.full((n, len(CHAMPION_FEATURES)), np.nan, dtype=np.float32),
    )
