"""Why an answer is what it is: effects are those of questions that could be asked, and the answer stays."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.answers import Outlook, look
from actors.explanations import MAX_FACTORS, Explanation, Factor, Family, explain
from actors.feature_view import FeatureView
from stores.domain.props import MapRange, PropRequest, PropType
from stores.features.schema import CONTEXT_FEATURES, MODEL_FEATURES, PLAYER_FEATURES, TEAM_FEATURES
from stores.features.vector import LEAGUE_AVERAGE_TEAM, assemble
from tests.unit.small_world import CHAMPIONS, FAKER, MID, PLAYERS, ask, publication, recent, world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from actors.forecast_kernel import Evidence
    from actors.published import PublishedShard

T1, GEN = range(2)  # rows of the teams
LCK = 0


@pytest.fixture(scope="module")
def view() -> FeatureView:
    """The whole small world."""
    return world(PLAYERS)


def explained(request: PropRequest, view: FeatureView, model: PropEnsemble) -> tuple[Outlook, Explanation]:
    """An answer's outlook and why."""
    outlook = look(request, view, model)
    return outlook, explain(outlook, view, model)


def effects(request: PropRequest, view: FeatureView, model: PropEnsemble) -> dict[Family, Factor]:
    """The factors by name."""
    return {one.name: one for one in explained(request, view, model)[1].factors}


def average_world() -> PublishedShard:
    """All teams are the average of their league, all players the same, and who wins makes more kills."""
    shard = publication(PLAYERS)
    league, players = shard.tournament_features.copy(), shard.player_features.copy()
    players[:] = players[0]
    for stat, counts in (("kills", (6.0, 2.0)), ("assists", (9.0, 3.0))):
        for result, count in zip(("won", "lost"), counts, strict=True):
            players[:, PLAYER_FEATURES.index(f"{stat}_when_{result}")] = count
    league[:, CONTEXT_FEATURES.index("league_kills_when_won")] = 20.0
    league[:, CONTEXT_FEATURES.index("league_kills_when_lost")] = 8.0
    league[:] = league[LCK]
    teams = np.tile(league[LCK, LEAGUE_AVERAGE_TEAM], (2, 1))
    return replace(shard, player_features=players, tournament_features=league, team_features=teams)


def with_team(shard: PublishedShard, team: int, **changes: float) -> FeatureView:
    """The view of a world in which one team's features are so much more than they were."""
    teams = shard.team_features.copy()
    for name, more in changes.items():
        teams[team, TEAM_FEATURES.index(name)] += more
    return FeatureView([replace(shard, team_features=teams)])


@pytest.mark.parametrize("prop", PropType)
@pytest.mark.parametrize(
    ("changes", "sign"),
    [
        ({"rating": 60.0}, -1),  # wins more often
        ({"rating": -60.0}, 1),
        ({"defence": -0.5}, -1),  # allows fewer kills
        ({"defence": 0.5}, 1),
    ],
    ids=["stronger", "weaker", "closed", "open"],
)
def test_a_stronger_opponent_takes_kills_away(
    small_model: PropEnsemble, prop: PropType, changes: dict[str, float], sign: int
) -> None:
    """Where only the opponent differs from the average, its factor alone is told, with the sign that it must have."""
    structural = structural_only(small_model)
    view = with_team(average_world(), GEN, **changes)
    request = replace(ask("Faker", opponent="Gen.G", maps=(1, 1)), prop_type=prop)
    (factor,) = effects(request, view, structural).values()
    assert factor.name is Family.OPPONENT
    assert np.sign(factor.effect) == sign
    assert abs(factor.effect) > 0.05


@pytest.mark.parametrize(("rating", "sign"), [(60.0, 1), (-60.0, -1)])
def test_both_teams_are_those_of_the_first_player(small_model: PropEnsemble, rating: float, sign: int) -> None:
    """Where players of two teams meet, the first one's team is theirs, and the other one the opponent."""
    structural = structural_only(small_model)
    view = with_team(average_world(), T1, rating=rating)
    (own,) = effects(ask("Oner", opponent="Gen.G", maps=(1, 1)), view, structural).values()
    assert (own.name, np.sign(own.effect)) == (Family.TEAM_STRENGTH, sign)
    (other,) = effects(ask("Chovy", opponent="T1", maps=(1, 1)), view, structural).values()
    assert (other.name, np.sign(other.effect)) == (Family.OPPONENT, -sign)
    both = effects(ask("Chovy", "Oner", maps=(1, 1)), view, structural)
    assert set(both) <= {Family.OPPONENT}  # what one gains the other one loses, nearly


def structural_only(model: PropEnsemble) -> PropEnsemble:
    """The small model without its trees, which were taught by noise: the structural member alone."""
    props = {prop: replace(of_prop, weights=(1.0, 0.0, 0.0)) for prop, of_prop in model.parameters.props.items()}
    trees = {prop: model.members[prop].trees for prop in props}
    return type(model)(trees, replace(model.parameters, props=props))


def test_an_effect_is_that_of_the_question_with_an_average_team(view: FeatureView, small_model: PropEnsemble) -> None:
    """Gen.G's effect is the difference to the same question without an opponent, to the digits of an answer."""
    factor = effects(ask(opponent="Gen.G"), view, small_model)[Family.OPPONENT]
    against, without = (look(ask(opponent=one), view, small_model).forecast.calibrated.mean for one in ("Gen.G", None))
    assert factor.effect == pytest.approx(against - without, abs=1e-4)
    assert Family.OPPONENT not in effects(ask(), view, small_model)


def test_the_champion_is_beside_an_unknown_draft(view: FeatureView, small_model: PropEnsemble) -> None:
    """Its effect is the difference to the same question before the draft; before the draft there is none."""
    request = ask(opponent="Gen.G", champions=("Ahri",), maps=(1, 1))
    factor = effects(request, view, small_model)[Family.CHAMPION]
    known, unknown = (
        look(one, view, small_model).forecast.calibrated.mean for one in (request, replace(request, champions=()))
    )
    assert factor.effect == pytest.approx(known - unknown, abs=1e-4)
    assert factor.figure is not None
    assert (factor.figure.value, factor.figure.usual) == (1.2, 1.0)  # CHAMPION_FEATURES of the small world
    assert Family.CHAMPION not in effects(replace(request, champions=()), view, small_model)
    assert CHAMPIONS[0].name == "Ahri"


def test_a_usual_player_has_no_record_to_tell_of(small_model: PropEnsemble) -> None:
    """Where all players of a role are the same nothing of them is told, and the usual count is the expected one."""
    outlook, why = explained(ask("Faker", opponent="Gen.G"), FeatureView([average_world()]), small_model)
    assert {one.name for one in why.factors} <= {Family.RECENT_FORM}  # which is beside his own year
    assert why.usual_stat == pytest.approx(outlook.at_line(0.5).expected_stat, abs=1e-4)


def test_every_column_belongs_to_a_factor(view: FeatureView, small_model: PropEnsemble) -> None:
    """What the model reads changes with at least one family, but for the role and the number of the map."""
    usual, position = view.usual, np.array([MID])
    player, team, opponent, league = (
        view.player_features(FAKER.player_id),
        view.team_features("t:t1"),
        view.team_features("t:gen"),
        view.context("LCK"),
    )
    average = league[LEAGUE_AVERAGE_TEAM]

    def row(*evidence: NDArray[np.float64]) -> NDArray[np.float32]:
        stacked = [one[None, :] for one in evidence]
        (found,) = assemble(stacked[0], stacked[1], stacked[2], stacked[3], position, np.array([1]))
        return np.asarray(found)

    asked = row(player, team, opponent, league)
    swapped = [
        row(usual.player(MID, "LCK"), team, opponent, league),
        row(player, average, opponent, league),
        row(player, team, average, league),
        row(player, team, opponent, usual.league),
    ]
    same = np.all([one == asked for one in swapped], axis=0)
    assert {name for name, kept in zip(MODEL_FEATURES, same, strict=True) if kept} == {"position", "game_number"}
    assert explained(ask(opponent="Gen.G"), view, small_model)[1].factors


@pytest.mark.parametrize(
    "request_",
    [
        ask(),
        ask(opponent="Gen.G", champions=("Ahri",)),
        ask("Faker", "Oner", opponent="Gen.G", maps=(1, 3)),
        ask("Faker", "Chovy", maps=(1, 5)),
        ask("Faker", "Chovy", "Lost"),
        ask("p:smash2", tournament="LPL"),
    ],
)
def test_the_strongest_come_first_and_the_answer_stays(
    view: FeatureView, small_model: PropEnsemble, request_: PropRequest
) -> None:
    """At most six factors by the size of their effect, none of them nothing; the answer is the same to the bit."""
    plain = look(request_, view, small_model)
    outlook, why = explained(request_, view, small_model)
    sizes = [abs(one.effect) for one in why.factors]
    assert 1 <= len(sizes) <= MAX_FACTORS
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0
    assert len({one.name for one in why.factors}) == len(sizes)
    assert all(one.meaning for one in why.factors)
    assert outlook.forecast.calibrated.pmf.tobytes() == plain.forecast.calibrated.pmf.tobytes()
    assert look(request_, view, small_model).at_line(3.5) == plain.at_line(3.5) == outlook.at_line(3.5)
    assert why == explain(outlook, view, small_model)


def test_the_trees_are_walked_once(
    view: FeatureView, small_model: PropEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All counterfactuals of an answer are one call; the one before the draft is another where champions are known."""
    calls: list[int] = []
    predict = small_model.predict

    def counted(prop: PropType, evidence: Evidence, map_range: MapRange, **more: Any) -> object:
        calls.append(evidence.position.size * len(map_range.maps))
        return predict(prop, evidence, map_range, **more)

    plain, drafted = (look(ask(champions=one), view, small_model) for one in ((), ("Ahri",)))
    monkeypatch.setattr(small_model, "predict", counted)
    explain(plain, view, small_model)
    assert calls == [2 * (len(Family) + 1)]
    explain(drafted, view, small_model)
    assert sorted(calls[1:]) == [4, 2 * (len(Family) - 1)]


def test_the_factors_are_of_the_whole_sum(view: FeatureView, small_model: PropEnsemble) -> None:
    """Of players whose counts are independent the effects add up, and so do their own figures."""
    one, other, both = (
        explained(ask(*names, opponent="Gen.G", tournament="LCK", maps=(1, 1)), view, small_model)[1]
        for names in (("Faker",), ("p:smash2",), ("Faker", "p:smash2"))
    )
    assert both.usual_stat == pytest.approx(one.usual_stat + other.usual_stat, abs=2e-4)
    records = [next(factor for factor in why.factors if factor.name is Family.OWN_RECORD) for why in (one, other, both)]
    assert records[2].effect == pytest.approx(records[0].effect + records[1].effect, abs=2e-4)
    figures = [record.figure for record in records]
    assert all(figure is not None for figure in figures)
    values = [figure.value for figure in figures if figure]
    assert values[2] == pytest.approx(values[0] + values[1], abs=2e-4)


def test_a_figure_is_told_where_it_is_one_number(view: FeatureView, small_model: PropEnsemble) -> None:
    """Team mates have one team; players of two teams, and what the source never told, have no figure."""
    kills = PLAYER_FEATURES.index("kills_hl40")
    found = effects(ask("Faker", opponent="Gen.G"), view, small_model)
    record = found[Family.OWN_RECORD].figure
    assert record is not None
    assert record.value == pytest.approx(view.player_features(FAKER.player_id)[kills], abs=1e-4)
    assert record.usual == pytest.approx(view.usual.player(MID, "LCK")[kills], abs=1e-4)
    team = TEAM_FEATURES.index("team_kills_hl30")
    mates = effects(ask("Faker", "Oner", opponent="Gen.G"), view, small_model)[Family.TEAM_STRENGTH].figure
    assert mates is not None
    assert mates.value == pytest.approx(view.team_features("t:t1")[team], abs=1e-4)
    assert mates.usual == pytest.approx(view.context("LCK")[team], abs=1e-4)
    foes = effects(ask("Faker", "Chovy"), view, small_model)
    assert foes[Family.TEAM_STRENGTH].figure is None


def test_the_last_maps_are_told_per_player(view: FeatureView, small_model: PropEnsemble) -> None:
    """Those that the shard published, in the order of the players asked."""
    _, why = explained(ask("Newest", "Faker"), view, small_model)
    of_name = {one.name: one for one in PLAYERS}
    assert why.recent_maps == (recent(of_name["Newest"]), recent(of_name["Faker"]))
    assert [len(maps) for maps in why.recent_maps] == [2, 10]


def test_players_without_a_recent_game_are_explained(small_model: PropEnsemble) -> None:
    """What is unknown of a player stays unknown; nothing of the explanation is NaN."""
    shard = publication(PLAYERS)
    players = shard.player_features.copy()
    for name in ("avg_kills_30d", "std_kills_30d", "form_z_score", "vision_per_minute_hl4"):
        players[:, PLAYER_FEATURES.index(name)] = np.nan
    view = FeatureView([replace(shard, player_features=players)])
    _, why = explained(ask(opponent="Gen.G"), view, small_model)
    assert np.isfinite([why.usual_stat, *(one.effect for one in why.factors)]).all()
