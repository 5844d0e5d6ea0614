"""From a question to its answer in a small world: two teams that are known, one that is not, and their players."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.answers import Outlook, curve_lines, look, look_all
from actors.published import PlayerEntry
from stores.domain.props import DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.errors import InvalidError, RiftlineError, UnknownNameError
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble
from tests.unit.small_world import BOT, FAKER, MID, PLAYERS, TOP, ask, publication, world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from actors.feature_view import FeatureView
    from actors.forecast_kernel import Evidence


@pytest.fixture(scope="module")
def view() -> FeatureView:
    """The whole small world."""
    return world(PLAYERS)


@pytest.fixture
def outlook(view: FeatureView, small_model: PropEnsemble) -> Outlook:
    """Faker against Gen.G."""
    return look(ask(opponent="Gen.G"), view, small_model)


def evidence(view: FeatureView, player: PlayerEntry, maps: MapRange) -> NDArray[np.float32]:
    """MODEL_FEATURES of a player's maps against the other team, put together by hand, of shape [maps, features]."""
    assert player.team_id is not None
    snapshots = (
        view.player_features(player.player_id),
        view.team_features(player.team_id),
        view.team_features("t:gen" if player.team_id == "t:t1" else "t:t1"),
        view.context("LCK"),
    )
    rows = [
        assemble(*(one[None, :] for one in snapshots), np.array([player.position]), np.array([number]))  # type: ignore[call-arg,arg-type]
        for number in maps.maps
    ]
    return np.concatenate(rows)


def test_the_forecast_is_that_of_the_assembled_row(
    view: FeatureView, small_model: PropEnsemble, outlook: Outlook
) -> None:
    """The answer rests on the features of player, team, opponent and league, put together map by map."""
    rows = evidence(view, FAKER, MapRange(1, 2))
    means = small_model.map_means(PropType.KILLS, rows)
    (expected,) = small_model.forecasts(PropType.KILLS, means, np.array([[MID]]), MapRange(1, 2))
    assert outlook.forecast.base.pmf.tolist() == expected.base.pmf.tolist()
    assert outlook.forecast.calibrated.pmf.tolist() == expected.calibrated.pmf.tolist()


def test_a_line_and_the_curve_give_the_same_numbers(
    view: FeatureView, small_model: PropEnsemble, outlook: Outlook
) -> None:
    """Each line of the curve, asked alone, is answered to the same digits."""
    lines = curve_lines(outlook.forecast)
    assert lines[:2] == [0.5, 1.5]
    assert outlook.forecast.calibrated.over_probability(lines[-1]) <= 0.001
    for line in lines:
        alone = look(ask(line=line, opponent="gen.g "), view, small_model).at_line(line)
        assert alone == outlook.at_line(line)
        points = outlook.curve([0.0, line])
        over, confidence = points.over_probabilities[1], points.confidences[1]
        assert (points.predictions[1], confidence, points.expected_stats[1]) == (
            alone.prediction,
            alone.confidence,
            alone.expected_stat,
        )
        assert confidence == pytest.approx(over if alone.prediction is Side.OVER else 100 - over, abs=2e-4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 240).map(lambda halves: halves / 2), min_size=2, max_size=2).map(sorted))
def test_the_curve_falls_with_the_line(outlook: Outlook, lines: list[float]) -> None:
    """OVER is never likelier at a higher line, whole lines with their push included."""
    low = lines[0]
    over_low, over_high = outlook.curve(lines).over_probabilities
    assert over_low >= over_high
    answer = outlook.at_line(low)
    assert 50 <= answer.confidence <= 100
    assert (answer.push_probability > 0) <= (low == int(low))


def test_an_answer_gives_what_was_promised(outlook: Outlook) -> None:
    """Side, confidences, push, mean and interval all come from the one distribution."""
    answer = outlook.at_line(4.0)
    calibrated, base = outlook.forecast.calibrated, outlook.forecast.base
    said = calibrated.at_line(4.0)
    assert answer.prediction is said.side
    assert answer.confidence == pytest.approx(100 * said.probability, abs=1e-4)
    base_over = base.over_probability(4.0)
    expected_base = base_over if said.side is Side.OVER else 1 - base_over
    assert answer.base_model_confidence == pytest.approx(100 * expected_base, abs=1e-4)
    assert answer.push_probability == pytest.approx(100 * calibrated.pmf[4], abs=1e-4)
    assert answer.expected_stat == pytest.approx(calibrated.mean, abs=1e-4)
    low, high = answer.confidence_interval
    assert calibrated.pmf[int(low) : int(high) + 1].sum() >= 0.8
    assert answer.data_tier is DataTier.DIRECT


@pytest.mark.parametrize(
    ("request_", "field", "suggestion"),
    [
        (ask("Faker", "Chovvy"), "player_names.1", "Chovy"),
        (ask(opponent="GenG"), "opponent", "Gen.G"),
        (ask(team="T2"), "team", None),
        (ask(tournament="LCKK"), "tournament", "LCK"),
    ],
)
def test_unknown_names_are_refused_with_field_and_suggestion(
    view: FeatureView, small_model: PropEnsemble, request_: PropRequest, field: str, suggestion: str | None
) -> None:
    """The error names the field, and the near name where there is one."""
    with pytest.raises(UnknownNameError) as caught:
        look(request_, view, small_model)
    assert caught.value.field == field
    assert suggestion is None or suggestion in caught.value.suggestions


@pytest.mark.parametrize("request_", [ask(opponent="T1"), ask("Chovy", team="T1", opponent="t1")])
def test_a_team_does_not_meet_itself(view: FeatureView, small_model: PropEnsemble, request_: PropRequest) -> None:
    """The opponent is another team than the player's, whether that was given or inferred."""
    with pytest.raises(InvalidError) as caught:
        look(request_, view, small_model)
    assert caught.value.field == "opponent"


def test_one_player_under_two_names_is_refused(view: FeatureView, small_model: PropEnsemble) -> None:
    """A name and the id of the same player are not two players."""
    with pytest.raises(InvalidError) as caught:
        look(ask("Faker", "p:faker"), view, small_model)
    assert caught.value.field == "player_names"


@pytest.mark.parametrize(
    ("players", "tier", "refused"),
    [
        (("Faker",), DataTier.DIRECT, False),
        (("Rookie",), DataTier.THIN, False),
        (("Newest",), DataTier.SPARSE, True),
        (("Faker", "Newest"), DataTier.SPARSE, True),
    ],
)
def test_strict_mode_refuses_thin_evidence(
    view: FeatureView, small_model: PropEnsemble, players: tuple[str, ...], tier: DataTier, *, refused: bool
) -> None:
    """The player with the least evidence decides; without strict mode the answer says how thin it is."""
    open_ = look(ask(*players), view, small_model)
    assert open_.data_tier is tier
    told = f"thin evidence of {players[-1]}: {tier.meaning}"
    assert (told in open_.warnings) == (tier >= DataTier.THIN)
    strict = ask(*players, strict_mode=True)
    if refused:
        with pytest.raises(InvalidError) as caught:
            look(strict, view, small_model)
        assert caught.value.field == "strict_mode"
        for said_ in (f"the evidence of {players[-1]} is of tier {tier:d}", tier.meaning, "ask without strict_mode"):
            assert said_ in str(caught.value)
    else:
        assert look(strict, view, small_model).data_tier is tier


def test_what_was_inferred_is_told(view: FeatureView, small_model: PropEnsemble) -> None:
    """Players by their own spelling, role, team and league are reported; two teams are no team."""
    alone = look(ask("FAKER"), view, small_model).inferred
    assert (alone.players, alone.position_roles) == (("Faker",), ("mid",))
    assert (alone.team, alone.opponent, alone.tournament) == ("T1", None, "LCK")
    given_ = look(
        ask(team="gen.g", opponent="t1", tournament="lpl", position_roles=(Position.TOP,)), view, small_model
    ).inferred
    assert given_.position_roles == ("top",)
    assert (given_.team, given_.opponent, given_.tournament) == ("Gen.G", "T1", "LPL")
    assert look(ask("Faker", "Chovy"), view, small_model).inferred.team is None


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (ask(), "opponent not given: an average LCK opponent is assumed"),
        (ask("Smash"), "Smash is the name of several players; Smash of no known team is meant"),
        (ask("Chovy", team="T1"), "Chovy last played for Gen.G, not T1"),
        (ask(match_date=date(2026, 5, 30)), "features are as of 2026-05-31"),
        (ask(match_date=date(2026, 6, 15)), "features are as of 2026-05-31, 15 days older than the match"),
        (ask("Smash", team="Gen.G"), "Smash is the name of several players; Smash of no known team is meant"),
        (ask("Smash", position_roles=(Position.BOT,)), "Smash is the name of several players"),
        (ask("Faker", "Chovy"), "the players' two teams are taken to meet"),
        (ask("Faker", "Chovy", "Lost"), "independent"),
        (ask("Faker", "p:smash2", opponent="Gen.G"), "independent"),
        (ask(maps=(3, 3)), "the answer holds once map 3 is played"),
        (ask("Faker", champions=("Jinx",)), "no game of Jinx as mid is known"),
    ],
)
def test_doubts_are_told(view: FeatureView, small_model: PropEnsemble, request_: PropRequest, said: str) -> None:
    """What the answer assumed or could not know stands beside it."""
    assert any(said in note for note in look(request_, view, small_model).warnings)


def test_a_clear_question_has_no_warning(view: FeatureView, small_model: PropEnsemble, outlook: Outlook) -> None:
    """Nothing is said where nothing is doubtful, and an id is nobody else's name."""
    assert outlook.warnings == ()
    request = ask("p:smash", opponent="Gen.G", match_date=date(2026, 6, 14), maps=(2, 2))
    assert look(request, view, small_model).warnings == ()


TWINS = (
    PlayerEntry("p:top", "Twin", TOP, "t:gen", "Gen.G", "LPL", 300),
    PlayerEntry("p:mid", "Twin", MID, "t:t1", "T1", "LCK", 200),
    PlayerEntry("p:bot", "Twin", BOT, None, None, "LCK", 100),
    PlayerEntry("p:late", "Twin", BOT, None, None, "LCK", 50),
)


@pytest.mark.parametrize(
    ("given_", "meant", "clear"),
    [
        ({}, "p:top", False),
        ({"team": "T1"}, "p:mid", True),
        ({"position_roles": (Position.MID,)}, "p:mid", True),
        ({"position_roles": (Position.BOT,)}, "p:bot", False),
        ({"tournament": "LPL"}, "p:top", True),
        ({"tournament": "LCK"}, "p:mid", False),
        ({"tournament": "LCK", "position_roles": (Position.BOT,)}, "p:bot", False),
        ({"team": "T1", "position_roles": (Position.BOT,), "tournament": "LPL"}, "p:mid", True),
        ({"position_roles": (Position.TOP,), "tournament": "LCK"}, "p:top", True),
        ({"position_roles": (Position.SUPPORT,)}, "p:top", False),
    ],
)
def test_of_namesakes_the_one_that_fits_is_meant(
    small_model: PropEnsemble, given_: dict[str, Any], meant: str, *, clear: bool
) -> None:
    """The team decides, then the role, then the league, and games only among the rest, which is then told."""
    outlook = look(ask("twin", **given_), world(TWINS), small_model)
    assert [player.player_id for player in outlook.players] == [meant]
    assert any("several players" in note for note in outlook.warnings) != clear


@pytest.mark.parametrize("player", ["p:smash2", "Lost"])
def test_a_team_without_features_is_the_league_average(
    view: FeatureView, small_model: PropEnsemble, player: str
) -> None:
    """A player without a team, and one whose team was never seen whole, are answered as in training."""
    found = view.players.find(player)
    league = view.context("LPL")
    average = league[LEAGUE_AVERAGE_TEAM]
    row = assemble(
        view.player_features(found.player_id)[None, :],
        average[None, :],
        average[None, :],
        league[None, :],
        np.array([BOT]),
        np.array([1]),
    )
    means = small_model.map_means(PropType.KILLS, row)
    (expected,) = small_model.forecasts(PropType.KILLS, means, np.array([[BOT]]), MapRange(1, 1))
    answered = look(ask(player, maps=(1, 1)), view, small_model)
    assert answered.forecast.base.pmf.tolist() == expected.base.pmf.tolist()


@pytest.mark.parametrize(
    ("names", "asked", "same_side"),
    [
        (("Faker", "Oner"), {"opponent": "Gen.G"}, (True, True)),
        (("Faker", "Chovy"), {}, (True, False)),
        (("Faker", "Oner", "Chovy"), {}, (True, True, False)),
    ],
    ids=["mates", "opponents", "both"],
)
def test_players_of_one_series_are_asked_together(
    view: FeatureView,
    small_model: PropEnsemble,
    names: tuple[str, ...],
    asked: dict[str, Any],
    same_side: tuple[bool, ...],
) -> None:
    """Team mates win and lose the same maps; players of two teams are taken to meet, so that one side loses."""
    maps = MapRange(1, 3)
    of_player = {one.name: one for one in PLAYERS}
    rows, roles = [], []
    for name in names:
        rows.append(evidence(view, of_player[name], maps))
        roles.append(of_player[name].position)
    means = small_model.map_means(PropType.KILLS, np.concatenate(rows))
    (expected,) = small_model.forecasts(PropType.KILLS, means, np.array([roles]), maps, same_side=np.array(same_side))
    found = look(ask(*names, maps=(1, 3), **asked), view, small_model).forecast
    assert found.base.pmf.tolist() == expected.base.pmf.tolist()
    assert found.calibrated.pmf.tolist() == expected.calibrated.pmf.tolist()


def test_players_of_different_series_are_convolved(view: FeatureView, small_model: PropEnsemble) -> None:
    """Who plays for an unknown team plays another series: the sum is the convolution, in whatever order."""
    against: dict[str, Any] = {"opponent": "Gen.G", "tournament": "LCK"}
    both = look(ask("Faker", "p:smash2", **against), view, small_model).forecast
    alone = [look(ask(name, **against), view, small_model).forecast for name in ("p:smash2", "Faker")]
    assert both.base.pmf == pytest.approx(alone[0].base.plus(alone[1].base).pmf)
    assert both.calibrated.pmf == pytest.approx(alone[0].calibrated.plus(alone[1].calibrated).pmf)


@pytest.mark.parametrize("best_of", [None, 5])
@pytest.mark.parametrize("maps", [(1, 3), (1, 4), (3, 4)])
def test_how_often_the_last_map_is_played_is_told(
    view: FeatureView, small_model: PropEnsemble, maps: tuple[int, int], best_of: int | None
) -> None:
    """The chance is that of the courses that reach it, given the format, as the sum itself is made of."""
    map_range = MapRange(*maps)
    rows = evidence(view, FAKER, map_range)
    win = small_model.map_means(PropType.KILLS, rows).win[None, :]
    courses, chances = small_model.parameters.series.result_chances(win, map_range, best_of)
    reached = chances[0, courses.played == len(map_range.maps)].sum()
    notes = look(ask(opponent="Gen.G", maps=maps, best_of=best_of), view, small_model).warnings
    told = f"map {maps[1]} is played with probability {reached:.2f}"
    assert any(told in note and ("once map 3 is played" in note) == (maps[0] == 3) for note in notes)


def test_the_format_and_the_champion_matter(view: FeatureView, small_model: PropEnsemble, outlook: Outlook) -> None:
    """A longer format has more maps to count; a champion changes the mean of who plays it, and of nobody else."""
    three, five = (
        look(ask(opponent="Gen.G", maps=(1, 3), best_of=best_of), view, small_model).forecast.base.mean
        for best_of in (3, 5)
    )
    assert three < five
    drafted = look(ask(opponent="Gen.G", champions=("ahri",)), view, small_model)
    rows = evidence(view, FAKER, MapRange(1, 2))
    draft = np.tile(np.array([1.2, 0.9, 40.0], dtype=np.float32), (2, 1))
    means = small_model.map_means(PropType.KILLS, rows, draft)
    (expected,) = small_model.forecasts(PropType.KILLS, means, np.array([[MID]]), MapRange(1, 2))
    assert drafted.forecast.base.pmf.tolist() == expected.base.pmf.tolist()
    assert drafted.forecast.base.mean != outlook.forecast.base.mean


def test_position_and_prop_matter(view: FeatureView, small_model: PropEnsemble, outlook: Outlook) -> None:
    """A role that was given replaces the known one, and assists are not kills."""
    request = ask(opponent="Gen.G", position_roles=(Position.SUPPORT,))
    assert look(request, view, small_model).forecast.base.pmf.tolist() != outlook.forecast.base.pmf.tolist()
    assists = replace(ask(opponent="Gen.G"), prop_type=PropType.ASSISTS)
    assert look(assists, view, small_model).forecast.base.mean != outlook.forecast.base.mean


def test_many_are_answered_as_each_alone(view: FeatureView, small_model: PropEnsemble) -> None:
    """Of mixed questions each answer is that of its question alone to the bit, and errors stay put."""
    names = [("Faker",), ("nobody",), ("Faker", "Oner", "Rookie"), ("Lost",), ("Smash",), ("Faker", "p:faker")]
    names += [("Faker",), ("Chovy",), ("Faker", "Oner", "Smash", "Chovy", "Rookie")]
    drafts: list[tuple[str, ...]] = [()] * 6 + [("Ahri",), ("Jinx",), ()]
    ranges = [(1, 1), (2, 2), (1, 2), (1, 5), (3, 4)]
    requests = [
        replace(ask(*players, maps=maps, opponent=opponent, best_of=best_of), prop_type=prop, champions=champions)
        for maps in ranges
        for players, champions in zip(names, drafts, strict=True)
        for prop in PropType
        for opponent, best_of in ((None, None), ("Gen.G", None), ("Gen.G", 5), ("T1", 5))
    ]
    together = look_all(requests, view, small_model)
    assert len(together) == len(requests)
    assert {type(one) for one in together} == {Outlook, UnknownNameError, InvalidError}
    for request, found in zip(requests, together, strict=True):
        assert said(found) == said(alone(request, view, small_model))


def test_nothing_asked_is_nothing_answered(view: FeatureView, small_model: PropEnsemble) -> None:
    """No question, or none that can be answered, needs no model."""
    assert look_all([], view, small_model) == []
    assert [type(one) for one in look_all([ask("nobody")], view, small_model)] == [UnknownNameError]


def test_what_is_alike_is_computed_together(
    view: FeatureView, small_model: PropEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many questions there are, the trees see all rows of the same prop and maps in one call."""
    seen: list[tuple[PropType, int]] = []
    predict = small_model.predict

    def counted(prop: PropType, evidence: Evidence, map_range: MapRange, **more: Any) -> Any:
        seen.append((prop, evidence.position.size * len(map_range.maps)))
        return predict(prop, evidence, map_range, **more)

    monkeypatch.setattr(small_model, "predict", counted)
    kills = [ask("Faker", "Oner", maps=(1, 3)), ask("Chovy"), ask("Faker"), ask("Rookie", "Newest", maps=(1, 3))]
    look_all([*kills, *(replace(one, prop_type=PropType.ASSISTS) for one in kills)], view, small_model)
    assert seen == [(PropType.KILLS, 12), (PropType.KILLS, 4), (PropType.ASSISTS, 12), (PropType.ASSISTS, 4)]


def alone(request: PropRequest, view: FeatureView, model: PropEnsemble) -> Outlook | RiftlineError:
    """What one question gives or raises."""
    try:
        return look(request, view, model)
    except RiftlineError as error:
        return error


def said(found: Outlook | RiftlineError) -> tuple[object, ...]:
    """All of an outlook or an error, distributions as their bytes."""
    if isinstance(found, RiftlineError):
        return type(found), str(found)
    both = found.forecast.base, found.forecast.calibrated
    bits = [one.pmf.tobytes() for one in both]
    return bits, found.data_tier, found.players, found.inferred, found.warnings, found.at_line(3.5)


def test_what_may_only_be_read_is_answered_from(view: FeatureView, small_model: PropEnsemble) -> None:
    """Arrays that a replica maps from a shard are read-only; a question of one player reads them where they lie."""
    published = publication(PLAYERS)
    for matrix in (published.player_features, published.team_features, published.tournament_features):
        matrix.flags.writeable = False
    mapped = type(view)([published])
    request = ask("Faker", opponent="Gen.G")
    assert said(look(request, mapped, small_model)) == said(look(request, view, small_model))
