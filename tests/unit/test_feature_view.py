"""A view joins the shards: everything is found wherever the ring put it, and versions are never mixed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from actors.feature_view import FeatureView
from actors.published import ChampionEntry, FeatureSource, PlayerEntry, PublishedShard, TeamEntry, TournamentEntry
from actors.ring import HashRing
from stores.errors import ConflictError, InvalidError, NotFoundError
from stores.features.schema import (
    CHAMPION_FEATURES,
    CONTEXT_FEATURES,
    FEATURE_VERSION,
    PLAYER_FEATURES,
    TEAM_FEATURES,
)
from stores.features.tables import RECENT_MAPS

SOURCE = FeatureSource(7, FEATURE_VERSION, datetime(2026, 5, 31, tzinfo=UTC))
PLAYERS = [PlayerEntry(f"p{at}", f"Player {at}", at % 5, f"t{at % 4}", f"Team {at % 4}", "LCK", at) for at in range(40)]
TEAMS = [TeamEntry(f"t{at}", f"Team {at}", "LCK", at) for at in range(4)]
LEAGUES = [TournamentEntry(name, "16.10", 10) for name in ("LCK", "LPL")]
TOP, MID = 0, 2
CHAMPIONS = [
    ChampionEntry(*one) for one in (("Ahri", MID, 40), ("K'Sante", TOP, 30), ("Ahri", TOP, 2), ("Akali", MID, 9))
]


def shard_of(names: list[str], name: str) -> PublishedShard:
    """The share of one shard; every row is filled with its own number."""
    ring = HashRing(names)
    players = [at for at, one in enumerate(PLAYERS) if ring.owner(one.key) == name]
    teams = [at for at, one in enumerate(TEAMS) if ring.owner(one.key) == name]
    leagues = [at for at, one in enumerate(LEAGUES) if ring.owner(one.key) == name]
    champions = [at for at, one in enumerate(CHAMPIONS) if ring.owner(one.name) == name]
    return PublishedShard(
        shard=name,
        source=SOURCE,
        players=tuple(PLAYERS[at] for at in players),
        player_features=np.outer(players, np.ones(len(PLAYER_FEATURES))),
        recent_maps=pa.table({name: pa.nulls(len(players), kind) for name, kind in RECENT_MAPS.items()}),
        teams=tuple(TEAMS[at] for at in teams),
        team_features=np.outer(teams, np.ones(len(TEAM_FEATURES))),
        tournaments=tuple(LEAGUES[at] for at in leagues),
        tournament_features=np.outer(leagues, np.ones(len(CONTEXT_FEATURES))),
        champions=tuple(CHAMPIONS[at] for at in champions),
        champion_features=np.outer(champions, np.ones(len(CHAMPION_FEATURES))),
    )


@pytest.mark.parametrize("count", [1, 2, 5])
def test_features_are_found_wherever_the_ring_put_them(count: int) -> None:
    """Every name leads to its own row, whatever the number of shards."""
    names = [f"shard-{index}" for index in range(count)]
    view = FeatureView([shard_of(names, name) for name in names])
    assert view.source == SOURCE
    for at, player in enumerate(PLAYERS):
        found = view.players.find(player.name)
        assert found == player
        assert (view.player_features(found.player_id) == at).all()
        assert view.recent_maps(found.player_id) == ()  # of a snapshot that was made without them
    for at, team in enumerate(TEAMS):
        assert (view.team_features(view.teams.find(team.name).team_id) == at).all()
        assert view.has_team(team.team_id)
    for at, league in enumerate(LEAGUES):
        assert (view.context(view.tournaments.find(league.name).name) == at).all()
    assert not view.has_team("t99")
    for at, champion in enumerate(CHAMPIONS):
        row = view.champion(champion.name, champion.position)
        assert row is not None
        assert (row == at).all()


def test_a_champion_is_found_by_name_and_read_by_role() -> None:
    """A name means the champion whatever its role; a role it was never played in has no row; near names are told."""
    view = FeatureView([shard_of(["a"], "a")])
    assert view.champions.find(" ahri ").name == "Ahri"
    ahri_top = view.champion("Ahri", TOP)
    assert ahri_top is not None
    assert ahri_top.tolist() == [2.0] * len(CHAMPION_FEATURES)
    assert view.champion("Akali", TOP) is None
    for typed, meant in (("ksante", "K'Sante"), ("ahrri", "Ahri"), ("Akall", "Akali")):
        with pytest.raises(NotFoundError, match="no champion is called") as caught:
            view.champions.find(typed)
        assert caught.value.suggestions[0] == meant
        assert len(set(caught.value.suggestions)) == len(caught.value.suggestions)


def test_rows_are_mapped_and_not_copied() -> None:
    """The arrays stay where the shard published them."""
    shard = shard_of(["a"], "a")
    view = FeatureView([shard])
    assert np.shares_memory(view.player_features("p3"), shard.player_features)


def test_shards_of_different_snapshots_are_refused() -> None:
    """While one shard is still reading there is no view, rather than one of two moments."""
    first, second = (shard_of(["a", "b"], name) for name in ("a", "b"))
    with pytest.raises(ConflictError):
        FeatureView([first, replace(second, source=replace(SOURCE, lake_snapshot_id=8))])


def test_a_view_of_no_shard_is_refused() -> None:
    """Nothing is no view."""
    with pytest.raises(InvalidError):
        FeatureView([])
