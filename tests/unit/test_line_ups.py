"""Who plays, worked out once for a view."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from actors import line_ups
from actors.line_ups import LineUp, LineUps
from actors.questions import Question
from stores.domain.props import MapRange, Position, PropType
from stores.errors import InvalidError, UnknownNameError
from stores.features.vector import LEAGUE_AVERAGE_TEAM
from tests.unit.small_world import PLAYERS, ask, world

if TYPE_CHECKING:
    from actors.feature_view import FeatureView
    from stores.domain.props import PropRequest


@pytest.fixture(scope="module")
def view() -> FeatureView:
    """The whole small world."""
    return world(PLAYERS)


@pytest.mark.parametrize(
    "other",
    [
        ask("Faker", line=7.0, opponent="gen.g"),
        ask("Faker", maps=(3, 4), opponent="Lost Team", best_of=5, strict_mode=True),
    ],
)
def test_questions_about_the_same_players_share_a_line_up(view: FeatureView, other: Any) -> None:
    """Opponent, maps, line and format are none of its business."""
    known = LineUps()
    assert known.of(ask("Faker", opponent="Gen.G"), view) is known.of(other, view)


@pytest.mark.parametrize(
    "other",
    [
        ask("Faker"),
        ask("faker", opponent="Gen.G"),
        ask("Faker", "Oner", opponent="Gen.G"),
        ask("Faker", opponent="Gen.G", tournament="LPL"),
        ask("Faker", opponent="Gen.G", team="T1"),
        ask("Faker", opponent="Gen.G", position_roles=(Position.TOP,)),
        ask("Faker", opponent="Gen.G", champions=("Ahri",)),
    ],
)
def test_what_says_who_plays_makes_another(view: FeatureView, other: Any) -> None:
    """Whatever changes names, evidence or notes is part of what it is known by."""
    known = LineUps()
    assert known.of(ask("Faker", opponent="Gen.G"), view) is not known.of(other, view)


def test_two_teams_meet_unless_an_opponent_is_given(view: FeatureView) -> None:
    """Without one both teams are of one series, each against the other; with one there are two series."""
    known = LineUps()
    (meeting,) = known.of(ask("Faker", "Chovy"), view).series
    assert meeting.same_side == (True, False)
    assert (meeting.evidence.opponent == meeting.evidence.team[::-1]).all()
    apart = known.of(ask("Faker", "Chovy", opponent="Lost Team"), view).series
    assert [side.same_side for side in apart] == [(True,), (True,)]
    average = view.context("LCK")[LEAGUE_AVERAGE_TEAM]
    assert all((side.against(average).opponent == average).all() for side in apart)


def test_an_opponent_stands_against_each_player_of_a_side(view: FeatureView) -> None:
    """Only the opponent changes, and the line-up itself does not."""
    side = LineUps().of(ask("Faker", "Oner", opponent="Gen.G"), view).series[0]
    opponent = view.team_features("t:gen")
    against = side.against(opponent)
    assert (against.opponent == [opponent, opponent]).all()
    assert against.opponent.flags.c_contiguous
    assert not (side.evidence.opponent == opponent).any()
    for name in ("player", "team", "league", "draft", "position", "same_side"):
        assert getattr(against, name) is getattr(side.evidence, name)


def test_champions_are_of_all_players_or_of_none(view: FeatureView) -> None:
    """Without them the evidence is unknown, with them it is that of champion and role, new ones included."""
    known = LineUps()
    (bare,) = known.of(ask("Faker"), view).series
    (drafted,) = known.of(ask("Faker", "Oner", champions=("Ahri", "Jinx")), view).series
    assert (bare.drafted, drafted.drafted) == (False, True)
    assert all(math.isnan(one) for one in bare.evidence.draft[0])
    ahri, jinx = drafted.evidence.draft.tolist()
    assert ahri == pytest.approx([1.2, 0.9, 40.0])
    assert jinx == list(line_ups.NEW_IN_ROLE)
    assert any("no game of Jinx as jng" in note for note in known.of(ask("Oner", champions=("Jinx",)), view).notes)


def test_what_is_wrong_is_told_every_time(view: FeatureView) -> None:
    """An error is not kept, and does not keep others from being answered."""
    known = LineUps()
    for _ in range(2):
        with pytest.raises(UnknownNameError) as unknown:
            known.of(ask("Faker", "Fakr"), view)
        assert unknown.value.field == "player_names.1"
        with pytest.raises(InvalidError, match="the same player"):
            known.of(ask("Faker", "p:faker"), view)
    assert known.of(ask("Faker"), view).players == (PLAYERS[0],)


def test_it_forgets_rather_than_grow(view: FeatureView, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the bound of players it begins anew; whoever asks many names in turn takes no memory."""
    made: list[object] = []

    class Counted(LineUp):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            made.append(self)

    monkeypatch.setattr(line_ups, "MOST", 3)
    monkeypatch.setattr(line_ups, "LineUp", Counted)
    known = LineUps()
    for _ in range(2):
        for name in ("Faker", "Oner", "Chovy"):
            known.of(ask(name), view)
    assert len(made) == 3
    for _ in range(2):
        known.of(ask("Rookie", "Newest", "Smash"), view)
    assert len(made) == 4
    known.of(ask("Faker"), view)
    known.of(ask("Rookie", "Newest", "Smash"), view)
    assert len(made) == 6


def test_threads_may_share_it(view: FeatureView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches are answered in threads, while the event loop answers others."""
    monkeypatch.setattr(line_ups, "MOST", 2)
    known = LineUps()
    names = [player.name for player in PLAYERS if player.name != "Smash"] * 200
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda name: known.of(ask(name), view).players[0].name, names))
    assert found == names


def test_a_question_keeps_its_own_prop_and_maps(view: FeatureView) -> None:
    """A shared line-up carries nothing from one question to the next."""
    first = ask("Faker", maps=(1, 1))
    second = replace(first, prop_type=PropType.ASSISTS, map_range=MapRange(2, 5), best_of=5)
    assert view.line_ups.of(first, view) is view.line_ups.of(second, view)
    asked = [Question(one, view).series()[0] for one in (first, second, first)]
    assert [(one.prop, one.map_range, one.best_of) for one in asked] == [
        (one.prop_type, one.map_range, one.best_of) for one in (first, second, first)
    ]


def test_players_without_a_team_stand_together_where_the_first_of_them_does() -> None:
    """The order of the series is that of the sum, and so of the last bits."""
    free = PLAYERS[4]._replace(player_id="p:free", name="Free")
    view = world((*PLAYERS, free))
    (first, second, third) = view.line_ups.of(ask("Free", "Faker", "p:smash2"), view).series
    rows = [view.player_features(player) for player in ("p:free", "p:smash2", "p:faker")]
    for one, row in zip((first, second, third), rows, strict=True):
        assert (one.evidence.player == row).all()


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ask("Nobody", opponent="Nope", tournament="Nowhere"), "player_names.0"),
        (ask("Faker", opponent="Nope", tournament="Nowhere", champions=("None",)), "tournament"),
        (ask("Faker", opponent="Nope", champions=("None",)), "champions.0"),
        (ask("Faker", "p:faker", opponent="Nope"), "player_names"),
        (ask("Newest", opponent="Nope", strict_mode=True), "opponent"),
        (ask("Newest", opponent="Gen.G", strict_mode=True), "opponent"),
        (ask("Newest", opponent="T1", strict_mode=True), "strict_mode"),
    ],
)
def test_of_several_mistakes_the_first_is_told(view: FeatureView, request_: PropRequest, field: str) -> None:
    """Who plays comes first, then the opponent, then whether that is evidence enough."""
    with pytest.raises((InvalidError, UnknownNameError)) as wrong:
        Question(request_, view)
    assert isinstance(wrong.value, InvalidError | UnknownNameError)
    assert wrong.value.field == field
