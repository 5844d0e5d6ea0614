"""Parts of a training set: time is never mixed, and the maps that are summed are those of one player."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.subsets import pairs_of_maps, split_by_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")


def objects(values: Any) -> NDArray[np.object_]:
    """Ids as the training set holds them."""
    return np.asarray(values).astype(str).astype(object)


@given(
    lengths=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 5)), min_size=2, max_size=40),
    share=st.floats(0.05, 0.6),
)
def test_a_split_never_cuts_a_series(
    make_rows: Callable[..., TrainingSet], lengths: list[tuple[int, int]], share: float
) -> None:
    """Every series lies on one side, all of the older side began before all of the newer, and nothing is lost."""
    series = np.repeat(np.arange(len(lengths)), [maps for _, maps in lengths])
    opened = START + np.array([day for day, _ in lengths])[series] * 24 * HOUR
    game = np.concatenate([np.arange(maps) for _, maps in lengths])
    rows = make_rows(objects(series), opened + game * HOUR, series_started_at=opened, series_id=objects(series))
    older, newer = split_by_time(rows, share)
    assert len(older) + len(newer) == len(rows)
    assert len(newer) >= share * len(rows) - 1
    assert not set(older.series_id) & set(newer.series_id)
    if len(older):
        assert older.series_started_at.max() < newer.series_started_at.min()


def test_pairs_are_maps_one_and_two_of_the_same_player(make_rows: Callable[..., TrainingSet]) -> None:
    """Pairs are found in any order; a player who joins on map 2, or leaves after map 1, is in none."""
    facts = [("s1", "b", 2), ("s1", "a", 1), ("s1", "b", 1), ("s1", "a", 2), ("s1", "a", 3), ("s2", "a", 1)]
    facts += [("s3", "c", 1), ("s3", "d", 2)]
    rows = make_rows(
        [player for _, player, _ in facts],
        np.full(len(facts), START),
        series_id=objects([series for series, _, _ in facts]),
        game_number=np.array([game for _, _, game in facts]),
    )
    first, second = pairs_of_maps(rows)
    assert sorted(zip(first.tolist(), second.tolist(), strict=True)) == [(1, 3), (2, 0)]
    none = pairs_of_maps(rows.where(rows.game_number == 1))
    assert [len(part) for part in none] == [0, 0]
