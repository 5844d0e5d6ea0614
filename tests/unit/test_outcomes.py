"""What became of a prediction: the right series, the right maps, and who is believed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from stores.domain.feedback import ActualResult, Feedback, FeedbackSource
from stores.domain.props import MapRange, Position, PropRequest, PropType, Side
from stores.lake.tables import PLAYER_PERFORMANCE
from tests.examples import a_prediction
from training.outcomes import OUTCOME_COLUMNS, Outcome, OutcomeCounts, PlayedSeries, Settlement, Told, join_outcomes

if TYPE_CHECKING:
    from stores.domain.predictions import PredictionRecord

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
LONG_AFTER = NOON + timedelta(days=60)
SCHEMA = pa.schema([PLAYER_PERFORMANCE.schema.field(name) for name in OUTCOME_COLUMNS])


def played(series: str, day: float, player: str, kills: dict[int, int], **facts: Any) -> list[dict[str, Any]]:
    """The rows of a player on the maps of a series that begins ``day`` days after noon; assists are twice the kills."""
    starts = NOON + timedelta(days=day)
    return [
        {
            "series_id": series,
            "date": starts.date(),
            "started_at": starts + timedelta(hours=game),
            "game_number": game,
            "tournament": "LCK",
            "player_id": player.casefold(),
            "player_name": player,
            "position": "mid",
            "team": "T1",
            "team_id": "t1",
            "opponent": "Gen.G",
            "opponent_id": "gen",
            "kills": count,
            "assists": 2 * count,
        }
        | facts
        for game, count in kills.items()
    ]


def asked(**request: Any) -> PredictionRecord:
    """A prediction of noon; what is left out is Faker's kills on maps 1 to 2 over 5.5."""
    usual: dict[str, Any] = {
        "player_names": ("Faker",),
        "prop_type": PropType.KILLS,
        "prop_value": 5.5,
        "map_range": MapRange(1, 2),
    }
    return a_prediction(NOON, request=PropRequest(**(usual | request)))


def outcome(
    rows: list[dict[str, Any]], prediction: PredictionRecord, *told: Feedback, at: datetime = LONG_AFTER
) -> Outcome:
    """What became of one prediction."""
    series = PlayedSeries(pa.Table.from_pylist(rows, schema=SCHEMA))
    (found,) = join_outcomes([prediction], series, {prediction.prediction_id: told}, at)
    return found


def told(prediction: PredictionRecord, result: ActualResult, value: float | None = None) -> Feedback:
    """What a user says."""
    return Feedback(
        prediction_id=prediction.prediction_id,
        source=FeedbackSource.MANUAL,
        actual_result=result,
        given_at=LONG_AFTER,
        actual_stat_value=value,
    )


BEFORE = played("s0", -1, "Faker", {1: 9, 2: 9})
NEXT = played("s1", 2, "Faker", {1: 3, 2: 4, 3: 5})
LATER = played("s2", 5, "Faker", {1: 1, 2: 1}, opponent="DRX", opponent_id="drx")
SEASON = [*BEFORE, *NEXT, *LATER]


def test_the_next_series_settles() -> None:
    """Neither the one before the question nor the one after the next counts."""
    found = outcome(SEASON, asked())
    assert (found.series_id, found.actual, found.result) == ("s1", 7.0, ActualResult.OVER)
    assert (found.settlement, found.told_by, found.contradicted) == (Settlement.SETTLED, Told.LAKE, False)


@pytest.mark.parametrize(
    ("request_", "actual"),
    [
        ({"map_range": MapRange(1, 1)}, 3.0),
        ({"map_range": MapRange(2, 3)}, 9.0),
        ({"map_range": MapRange(3, 5)}, 5.0),  # the sum counts only maps that are played
        ({"prop_type": PropType.ASSISTS}, 14.0),
        ({"player_names": (" faker ",)}, 7.0),
        ({"opponent": "drx"}, 2.0),
        ({"opponent": "DRX", "map_range": MapRange(1, 1)}, 1.0),
        ({"match_date": date(2026, 3, 19)}, 2.0),
        ({"match_date": date(2026, 3, 17)}, 7.0),  # one day off: dates differ by zone
    ],
)
def test_the_sum_is_of_what_was_asked(request_: dict[str, Any], actual: float) -> None:
    """Players, prop, maps, opponent and date are those of the question."""
    assert outcome(SEASON, asked(**request_)).actual == actual


@pytest.mark.parametrize(
    ("rows", "request_", "settlement", "reason"),
    [
        (SEASON, {"map_range": MapRange(4, 5)}, Settlement.VOID, "ended after map 3"),
        (BEFORE, {}, Settlement.OPEN, "no such series"),
        (played("s1", 15, "Faker", {1: 1, 2: 1}), {}, Settlement.OPEN, "no such series"),
        (SEASON, {"opponent": "KT"}, Settlement.OPEN, "no such series"),
        (SEASON, {"match_date": date(2026, 3, 25)}, Settlement.OPEN, "no such series"),
        (SEASON, {"player_names": ("Nobody",)}, Settlement.OPEN, "no player is called"),
        (played("s1", 2, "Faker", {1: 3, 3: 5}), {}, Settlement.OPEN, "lacks a map"),
        (played("s1", 2, "Faker", {1: 3}) + played("s1", 2, "Sub", {2: 5}), {}, Settlement.VOID, "did not play"),
    ],
)
def test_what_has_no_sum_says_why(
    rows: list[dict[str, Any]], request_: dict[str, Any], settlement: Settlement, reason: str
) -> None:
    """Void for good, or open until the lake knows more."""
    found = outcome(rows, asked(**request_))
    assert found.settlement is settlement
    assert reason in found.reason
    assert (found.actual, found.result, found.decided) == (None, None, False)


def test_a_series_that_may_go_on_is_open() -> None:
    """Half a day after its last map it is over."""
    last = NOON + timedelta(days=2, hours=3)
    assert outcome(SEASON, asked(), at=last + timedelta(hours=11)).settlement is Settlement.OPEN
    assert outcome(SEASON, asked(), at=last + timedelta(hours=12)).settlement is Settlement.SETTLED


def test_players_are_summed_over_the_first_series_of_them_all() -> None:
    """A series that one of them did not play in is not the one that was asked for."""
    rows = SEASON + played("s2", 5, "Keria", {1: 0, 2: 3})
    found = outcome(rows, asked(player_names=("Faker", "Keria")))
    assert (found.series_id, found.actual, found.result) == ("s2", 5.0, ActualResult.UNDER)


def test_a_namesake_is_told_by_team_role_and_games() -> None:
    """As in serving: the team given counts first, then the role, else the one with most games."""
    other = {"player_id": "other", "team": "DK", "team_id": "dk", "position": "sup"}
    rows = SEASON + played("s9", 1, "Faker", {1: 8, 2: 8}, **other)
    assert outcome(rows, asked()).actual == 7.0
    assert outcome(rows, asked(team="dk")).actual == 16.0
    assert outcome(rows, asked(position_roles=(Position.SUPPORT,))).actual == 16.0


def test_a_line_that_is_met_is_a_push() -> None:
    """It is settled, and neither right nor wrong."""
    found = outcome(SEASON, asked(prop_value=7.0))
    assert (found.result, found.decided) == (ActualResult.PUSH, False)


def test_the_lake_wins_over_feedback() -> None:
    """What is told otherwise is marked, by value, by side, or of what is void."""
    one, void = asked(), asked(map_range=MapRange(4, 5))
    for said in (told(one, ActualResult.OVER, 8.0), told(one, ActualResult.UNDER)):
        found = outcome(SEASON, one, said)
        assert (found.actual, found.told_by, found.contradicted) == (7.0, Told.LAKE, True)
    assert not outcome(SEASON, one, told(one, ActualResult.OVER, 7.0)).contradicted
    assert not outcome(SEASON, one, told(one, ActualResult.OVER)).contradicted
    found = outcome(SEASON, void, told(void, ActualResult.OVER, 8.0))
    assert (found.settlement, found.contradicted) == (Settlement.VOID, True)


def test_feedback_settles_what_the_lake_does_not_know() -> None:
    """With its value, or with the side alone; the most reliable source comes first."""
    one = asked()
    found = outcome(BEFORE, one, told(one, ActualResult.UNDER, 2.0), told(one, ActualResult.OVER, 9.0))
    assert (found.settlement, found.actual, found.result) == (Settlement.SETTLED, 2.0, ActualResult.UNDER)
    assert found.told_by is Told.FEEDBACK
    found = outcome(BEFORE, one, told(one, ActualResult.OVER))
    assert (found.actual, found.result) == (None, ActualResult.OVER)


def test_every_outcome_is_counted_once() -> None:
    """Settled, void and open add up."""
    one = asked()
    found = [
        outcome(SEASON, one, told(one, ActualResult.UNDER)),
        outcome(SEASON, asked(map_range=MapRange(4, 5))),
        outcome(BEFORE, asked()),
        outcome(BEFORE, one, told(one, ActualResult.OVER)),
    ]
    assert OutcomeCounts.of(found) == OutcomeCounts(
        predictions=4, settled=2, void=1, open=1, told_by_feedback=1, contradicted=1
    )


def test_the_probability_of_over_is_that_of_the_other_side_reversed() -> None:
    """70% for UNDER are 30% for OVER."""
    under = asked()._replace(prediction=Side.UNDER, confidence=70.0)
    assert outcome(SEASON, under).over == pytest.approx(0.3)
    assert outcome(SEASON, under._replace(prediction=Side.OVER)).over == pytest.approx(0.7)


def test_the_series_is_the_first_after_the_question_in_any_season() -> None:
    """Against a search through all series, for questions of any time in a random season."""
    rng = np.random.default_rng(4)
    days = np.sort(rng.uniform(0, 90, size=25))
    counts = rng.integers(0, 9, size=(25, 2))
    rows = [
        row
        for at, (day, kills) in enumerate(zip(days, counts, strict=True))
        for row in played(f"s{at}", float(day), "Faker", dict(enumerate(kills.tolist(), 1)))
    ]
    for asked_day in rng.uniform(-20, 95, size=60):
        when = NOON + timedelta(days=float(asked_day))
        prediction = a_prediction(when, request=asked().request)
        first_game = days + 1 / 24  # map 1 starts an hour after the series' day begins
        fitting = np.flatnonzero((first_game > asked_day) & (first_game <= asked_day + 14))
        expected = float(counts[fitting[0]].sum()) if len(fitting) else None
        assert outcome(rows, prediction, at=NOON + timedelta(days=200)).actual == expected
