"""One raw row into one candidate."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.candidates import CANDIDATE_SCHEMA, SOURCE_FIELDS
from pipelines.cleaning import (
    RowRejected,
    clean_row,
    parse_date,
    parse_minutes,
    parse_name,
    parse_patch,
    parse_share,
    present,
    whole,
)
from pipelines.layouts import SPECS, Layout
from stores.errors import RiftlineError

GAME = {
    "gameid": "G1",
    "league": "LCK",
    "date": "2025-04-02 08:11:26",
    "game": "1",
    "gamelength": "1711",
    "result": "1",
}
MODERN = GAME | {
    "patch": "15.06",
    "participantid": "3",
    "side": "Blue",
    "position": "mid",
    "playername": "Faker",
    "playerid": "oe:player:1",
    "teamname": "T1",
    "teamid": "oe:team:1",
    "champion": "Azir",
    "kills": "4",
    "deaths": "1",
    "assists": "7",
    "teamkills": "17",
    "damageshare": "0.25",
    "total cs": "301.0",
    "golddiffat15": "-1234.0",
    "barons": "1",
}
TEAM = MODERN | {"participantid": "100", "position": "team", "playername": "", "champion": "", "barons": "2"}
LEGACY = GAME | {
    "date": "43740.286145833",
    "gamelength": "26.533333333333",
    "patchno": "9.19",
    "playerid": "4",
    "side": "Red",
    "position": "ADC",
    "player": "Yutapon",
    "team": "DetonatioN FocusMe",
    "champion": "Xayah",
    "k": "2",
    "d": "3",
    "a": "4",
    "minionkills": "180",
    "monsterkills": "8",
    "visiblewardclearrate": " ",
}
TOP_TEAM = GAME | {"patch_oe": "15.10", "teamname": "T1", "opponent": "Gen.G", "bans": ["Vi"], "result": 0}


def modern(**changed: object) -> dict[str, object]:
    return clean_row(Layout.MODERN, MODERN | changed)


def test_fields_are_the_schema_in_its_order() -> None:
    """A clean row has the schema's columns in the schema's order, without those that the caller fills."""
    assert [*SOURCE_FIELDS, *modern()] == list(CANDIDATE_SCHEMA)


def test_modern_player_row() -> None:
    """Text of a modern row becomes typed values; objectives of the team stay off a player's row."""
    row = modern()
    assert row["match_id"] == "G1"
    assert row["participant_id"] == 3
    assert (row["kills"], row["deaths"], row["assists"], row["team_kills"]) == (4, 1, 7, 17)
    assert (row["cs"], row["gold_diff_at_15"], row["damage_share"]) == (301, -1234, 0.25)
    assert row["started_at"] == datetime(2025, 4, 2, 8, 11, 26, tzinfo=UTC)
    assert (row["patch_version"], row["duration_seconds"], row["won"]) == ("15.06", 1711, True)
    assert row["barons"] is None


def test_team_row_names_no_player() -> None:
    """A team row has its objectives, and no player, champion or player id."""
    row = clean_row(Layout.MODERN, TEAM | {"playername": "Team", "champion": "x"})
    assert (row["player_name"], row["champion"], row["source_player_id"]) == (None, None, None)
    assert (row["position"], row["barons"], row["team"]) == ("team", 2, "T1")


def test_team_row_may_have_many_assists() -> None:
    """A team's assists are bounded as a team's: a real one had 112."""
    assert clean_row(Layout.MODERN, TEAM | {"assists": "112"})["assists"] == 112


def test_legacy_row() -> None:
    """Minutes become seconds, spreadsheet days five hours behind a UTC time, minions and monsters creeps, ADC bot."""
    row = clean_row(Layout.LEGACY_2018, LEGACY)
    assert (row["duration_seconds"], row["cs"], row["position"], row["participant_id"]) == (1592, 188, "bot", 4)
    assert row["started_at"] == datetime(2019, 10, 2, 11, 52, 3, tzinfo=UTC)
    assert (row["kills"], row["deaths"], row["assists"], row["patch_version"]) == (2, 3, 4, "9.19")
    assert row["source_player_id"] is None


def test_legacy_creeps_need_both_columns() -> None:
    """Half of a creep score is none."""
    assert clean_row(Layout.LEGACY_2018, LEGACY | {"monsterkills": "NULL"})["cs"] is None


def test_tiebreaker_is_a_first_map() -> None:
    """The legacy map number T, a tie-breaker, is the only map of its own series."""
    assert clean_row(Layout.LEGACY_2018, LEGACY | {"game": "T"})["game_number"] == 1


def test_top_league_team_row_needs_no_kills() -> None:
    """A top-league team row has position team and no kills, deaths or assists."""
    row = clean_row(Layout.TOP_LEAGUE_TEAMS, TOP_TEAM)
    assert (row["position"], row["kills"], row["opponent"], row["won"]) == ("team", None, "Gen.G", False)
    assert (row["side"], row["participant_id"]) == (None, None)


@pytest.mark.parametrize("nothing", [None, "", " ", "NULL", "NaN", "nan", " NULL ", float("nan")])
def test_missing_values_are_null(nothing: object) -> None:
    """Every way of writing nothing is null, and never zero."""
    assert present(nothing) is None
    row = modern(damageshare=nothing, visionscore=nothing, patch=nothing)
    assert (row["damage_share"], row["vision_score"], row["patch_version"]) == (None, None, None)


def test_unknown_names_are_null_and_ids_kept() -> None:
    """The placeholders for unknown player and team are null; the ids beside them stay."""
    row = modern(playername="unknown player", teamname="Unknown Team")
    assert (row["player_name"], row["team"]) == (None, None)
    assert (row["source_player_id"], row["source_team_id"]) == ("oe:player:1", "oe:team:1")


@pytest.mark.parametrize(
    ("column", "label"),
    [
        ("kills", "kills"),
        ("deaths", "deaths"),
        ("assists", "assists"),
        ("gameid", "match_id (column 'gameid')"),
        ("position", "position"),
        ("date", "started_at (column 'date')"),
        ("league", "tournament (column 'league')"),
        ("result", "won (column 'result')"),
        ("gamelength", "duration_seconds (column 'gamelength')"),
    ],
)
def test_required_values(column: str, label: str) -> None:
    """A player row without one of these values is rejected with its name, null or absent."""
    for payload in (MODERN | {column: ""}, {name: value for name, value in MODERN.items() if name != column}):
        with pytest.raises(RowRejected) as rejected:
            clean_row(Layout.MODERN, payload)
        assert str(rejected.value) == f"{label} is missing"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("kills", "abc", "kills 'abc' is not a count"),
        ("kills", "61", "kills '61' is outside 0 to 60"),
        ("deaths", -1, "deaths -1 is outside 0 to 60"),
        ("assists", "3.5", "assists '3.5' is not a whole number"),
        ("assists", "1_0", "assists '1_0' is not a count"),
        ("assists", "٣", "assists '٣' is not a count"),
        ("kills", True, "kills True is not a count"),
        ("kills", ["1"], "kills ['1'] is not a count"),
        ("kills", "inf", "kills 'inf' is not a whole number"),
        ("teamkills", "151", "team_kills (column 'teamkills') '151' is outside 0 to 150"),
        ("gamelength", "299", "duration_seconds (column 'gamelength') '299' is outside 300 to 7200"),
        ("game", "8", "game_number (column 'game') '8' is outside 1 to 7"),
        ("participantid", "11", "participant_id (column 'participantid') '11' is none of 1 to 10, 100 and 200"),
        ("position", "feeder", "position 'feeder' is not a position"),
        ("position", 7, "position 7 is not a position"),
        ("side", "Green", "side 'Green' is neither Blue nor Red"),
        ("result", "2", "won (column 'result') '2' is neither 1 (won) nor 0 (lost)"),
        ("damageshare", "28.9", "damage_share (column 'damageshare') '28.9' is outside 0 to 1"),
        ("damageshare", "x", "damage_share (column 'damageshare') 'x' is not a share"),
        ("date", "yesterday", "started_at (column 'date') 'yesterday' is not a date"),
        ("patch", "new", "patch_version (column 'patch') 'new' is not a patch such as 15.10"),
        ("playername", "Fa\x00ker", "player_name (column 'playername') 'Fa\\x00ker' holds a control character"),
        ("champion", {"a": 1}, "champion {'a': 1} is not a name"),
    ],
)
def test_reasons_name_field_and_value(column: str, value: object, reason: str) -> None:
    """A value that cannot be true rejects the row, and the reason says which and why."""
    with pytest.raises(RowRejected) as rejected:
        modern(**{column: value})
    assert str(rejected.value) == reason


def test_long_values_are_cut_in_reasons() -> None:
    """A reason stays readable however long the value is."""
    for column in ("playername", "kills", "gameid"):
        with pytest.raises(RowRejected) as rejected:
            modern(**{column: "9" * 5000})
        assert len(str(rejected.value)) < 160


def test_extremes_of_real_games_are_kept() -> None:
    """The largest counts ever played pass."""
    row = modern(kills="20", deaths="13", assists="35", gamelength="4280")
    assert (row["kills"], row["deaths"], row["assists"], row["duration_seconds"]) == (20, 13, 35, 4280)


def test_rejection_survives_pickling() -> None:
    """Ray carries a rejection between processes with its reason."""
    copy = pickle.loads(pickle.dumps(RowRejected("kills is missing")))  # noqa: S301 — our own bytes
    assert isinstance(copy, RowRejected)
    assert isinstance(copy, RiftlineError)
    assert str(copy) == "kills is missing"


@pytest.mark.parametrize(
    ("text", "month", "patch"),
    [
        ("15.01", 1, "15.01"),
        ("15.10", 5, "15.10"),
        ("15.1", 5, "15.10"),
        ("15.1", 6, "15.10"),
        ("15.1", 1, "15.01"),
        ("15.2", 2, "15.02"),
        ("15.2", 10, "15.20"),
        ("15.9", 5, "15.09"),
        ("15.3", 12, "15.03"),
        ("25.1", 5, "25.10"),
    ],
)
def test_patch_by_date(text: str, month: int, patch: str) -> None:
    """One digit after the dot is read by the date: .1 in May lost its zero, in January it was never padded."""
    assert parse_patch(text, datetime(2025, month, 15, tzinfo=UTC)) == patch
    assert parse_patch(float(text), datetime(2025, month, 15, tzinfo=UTC)) == patch


def test_patch_beyond_its_year() -> None:
    """A first patch in December before its season is .01; last season's second one in January is .20."""
    assert parse_patch("14.1", datetime(2023, 12, 28, tzinfo=UTC)) == "14.01"
    assert parse_patch("13.2", datetime(2024, 1, 3, tzinfo=UTC)) == "13.20"
    assert parse_patch("9.1", datetime(2019, 1, 20, tzinfo=UTC)) == "9.01"
    assert parse_patch("13.24", datetime(2024, 1, 1, tzinfo=UTC)) == "13.24"


@pytest.mark.parametrize(
    "wrong", ["15", "15.", ".1", "15.0", "15.00", "0.10", "15.100", "150.1", "a.b", "-1.1", "\u0661.\u0661", 15]
)
def test_no_patch(wrong: object) -> None:
    """What is no patch is refused."""
    with pytest.raises(ValueError, match="is not a patch"):
        parse_patch(wrong, datetime(2025, 1, 1, tzinfo=UTC))


@given(season=st.integers(4, 19), number=st.integers(1, 24))
def test_patch_survives_lost_zero_and_lost_padding(season: int, number: int) -> None:
    """Played on its own day, a patch is the same whether padded, unpadded or mangled by a float."""
    played = datetime(2010 + season, 1, 9, tzinfo=UTC) + timedelta(days=14.5 * (number - 1))
    proper = f"{season}.{number:02}"
    assert parse_patch(proper, played) == proper
    assert parse_patch(f"{season}.{number}", played) == proper
    assert parse_patch(float(proper), played) == proper


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2025-01-11 11:11:24", datetime(2025, 1, 11, 11, 11, 24, tzinfo=UTC)),
        ("2025-01-11T11:11:24Z", datetime(2025, 1, 11, 11, 11, 24, tzinfo=UTC)),
        ("2025-01-11T11:11:24+09:00", datetime(2025, 1, 11, 2, 11, 24, tzinfo=UTC)),
        ("2025-01-11", datetime(2025, 1, 11, tzinfo=UTC)),
        ("9/1/2022 7:08", datetime(2022, 9, 1, 7, 8, tzinfo=UTC)),
        ("9/29/2016 22:28:01", datetime(2016, 9, 29, 22, 28, 1, tzinfo=UTC)),
        ("9/1/2022", datetime(2022, 9, 1, tzinfo=UTC)),
        ("43740.286145833", datetime(2019, 10, 2, 6, 52, 3, tzinfo=UTC)),
        (43740, datetime(2019, 10, 2, tzinfo=UTC)),
        (43740.5, datetime(2019, 10, 2, 12, tzinfo=UTC)),
    ],
)
def test_dates(value: object, moment: datetime) -> None:
    """ISO, US and spreadsheet dates become aware UTC times."""
    assert parse_date(value) == moment
    assert parse_date(value).tzinfo is UTC


@pytest.mark.parametrize(
    "wrong",
    [
        "29/9/2016 22:28",
        "9/1",
        "9/1/2022 7",
        "9/1/2022 7:99",
        "1/2/3/4",
        "20250111",
        "0",
        "1e400",
        "0001-01-01T00:00+14:00",
        "1999-01-01",
        "9999-12-31 23:59:59-12:00",
        True,
        None,
        ["2025-01-11"],
        "2025-02-30",
        "9/1/22 7:08",
        "9/1/2022 1:2:3:4",
    ],
)
def test_no_dates(wrong: object) -> None:
    """What is no date of a match is refused with a ValueError and never another error."""
    with pytest.raises(ValueError, match=r"is not a date|is outside 2009"):
        parse_date(wrong)


@given(st.datetimes(datetime(2010, 1, 1), datetime(2099, 1, 1)))  # noqa: DTZ001 — hypothesis wants naive bounds
def test_dates_come_back(moment: datetime) -> None:
    """All three ways of writing one time are read as this time."""
    expected = moment.replace(microsecond=0, tzinfo=UTC)
    days = (expected - datetime(1899, 12, 30, tzinfo=UTC)) / timedelta(days=1)
    assert parse_date(expected.strftime("%Y-%m-%d %H:%M:%S")) == expected
    assert parse_date(f"{moment.month}/{moment.day}/{moment.year} {moment:%H:%M:%S}") == expected
    assert parse_date(f"{days:.9f}") == expected


@given(st.integers(-1_000_000, 1_000_000))
def test_whole_numbers_come_back(number: int) -> None:
    """A count is the same as int, float, text and text of a float."""
    parse = whole(-1_000_000, 1_000_000)
    assert {parse(number), parse(float(number)), parse(str(number)), parse(f"{number}.0")} == {number}


@given(st.integers(1138, 4280))
def test_minutes_come_back_as_seconds(seconds: int) -> None:
    """A length written in minutes with twelve digits is exact to the second."""
    assert parse_minutes(f"{seconds / 60:.12f}") == seconds


@given(st.floats(0, 1))
def test_shares_come_back(share: float) -> None:
    """A share is read as written."""
    assert parse_share(repr(share)) == share


@given(st.text(max_size=250))
def test_names_are_tidy_or_refused(text: str) -> None:
    """A name that passes has no outer, double or invisible characters, and passes again unchanged."""
    try:
        name = parse_name(text)
    except ValueError:
        return
    assert name == " ".join(name.split())
    assert name.isprintable()
    assert parse_name(name) == name


def test_names_keep_their_case() -> None:
    """White space collapses, letters stay."""
    assert parse_name("Hanwha \u00a0 Life  eSPORTS") == "Hanwha Life eSPORTS"
    assert parse_name(957) == "957"


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.lists(st.text(max_size=3), max_size=2),
)


@pytest.mark.parametrize("layout", list(Layout))
@given(data=st.data())
def test_any_payload_is_cleaned_or_rejected(layout: Layout, data: st.DataObject) -> None:
    """No payload whatsoever raises anything but RowRejected."""
    payload = {
        "position": data.draw(st.sampled_from(["top", "team"])),
        "date": "2025-01-11 11:11:24",
        **{column: data.draw(ANYTHING) for column in SPECS[layout].columns if column not in {"position", "date"}},
    }
    odd = data.draw(st.sampled_from(sorted(SPECS[layout].columns)))
    payload[odd] = data.draw(ANYTHING)
    try:
        row = clean_row(layout, payload)
    except RowRejected:
        return
    assert row["match_id"]
