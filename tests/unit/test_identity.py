"""Who a name is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pipelines.identity import MENTION_SCHEMA, identify, name_key, newest_names, one_id_per_brand

START = datetime(2026, 1, 1, tzinfo=UTC)
Mention = tuple[int, str | None, str | None, str | None, float, bool]


def mentions(*rows: Mention) -> pl.DataFrame:
    """Mentions as (subject, source id, name, group, day, of a top-league layout)."""
    return pl.DataFrame(
        [(*row[:4], START + timedelta(days=row[4]), row[5], START) for row in rows],
        schema=MENTION_SCHEMA,
        orient="row",
    )


def ids(*rows: Mention) -> dict[int, str | None]:
    """The id of each subject."""
    return dict(identify(mentions(*rows)).iter_rows())


@pytest.mark.parametrize(
    ("name", "key"),
    [(" Hans Sama ", "hans sama"), ("JoJo", "jojo"), ("  ", None), (None, None), ("ŁUKASZ", "łukasz")],
)
def test_name_key(name: str | None, key: str | None) -> None:
    """Names are compared trimmed and without case, inner spaces kept."""
    frame = pl.DataFrame({"name": [name]}, schema={"name": pl.String})
    assert frame.select(name_key(pl.col("name"))).item() == key


def test_the_source_id_wins() -> None:
    """A given id is taken whatever else bears the name."""
    assert ids((0, "p1", "Faker", None, 0, False), (1, "p2", "Faker", None, 1, False)) == {0: "p1", 1: "p2"}


def test_a_name_takes_the_one_id_that_bears_it() -> None:
    """Case does not part a name from its id, and the id's game may be a later one."""
    assert ids((0, None, "FAKER", None, 0, True), (1, "p1", "Faker", None, 5, False))[0] == "p1"


def test_of_several_bearers_the_latest_before_is_taken() -> None:
    """A shared name means whoever bore it last when the game was played."""
    bearers: list[Mention] = [(0, "p1", "Smash", None, 0, False), (1, "p2", "Smash", None, 10, False)]
    asked: list[Mention] = [(2, None, "Smash", None, 9, True), (3, None, "Smash", None, 10, True)]
    assert ids(*bearers, *asked) == {0: "p1", 1: "p2", 2: "p1", 3: "p2"}


def test_a_namesake_of_the_same_team_comes_first() -> None:
    """The team decides between namesakes who play at the same time."""
    rows: list[Mention] = [
        (0, "p1", "Shanks", "AL", 0, False),
        (1, "p2", "Shanks", "Anubis", 5, False),
        (2, None, "Shanks", "AL", 6, True),
    ]
    assert ids(*rows)[2] == "p1"


def test_a_name_is_learned_from_a_game_of_both_sources() -> None:
    """A top-league spelling means the id that a wide row gave in the same game, not a namesake elsewhere."""
    rows: list[Mention] = [
        (0, "p1", "RKR", "SK", 0, False),
        (0, "p1", "Reeker", "SK", 0, True),
        (1, "p2", "Reeker", "BDS", 1, False),
        (2, None, "Reeker", "other", 3, True),
    ]
    assert ids(*rows)[2] == "p1"


def test_a_tie_takes_the_smaller_id() -> None:
    """Two bearers in one game never make the answer depend on order."""
    rows: list[Mention] = [
        (0, "p2", "X", None, 0, False),
        (1, "p1", "X", None, 0, False),
        (2, None, "X", None, 1, True),
    ]
    assert ids(*rows)[2] == ids(*reversed(rows))[2] == "p1"


def test_an_unborne_name_is_its_own_id() -> None:
    """Without any id the name stands in, in one spelling."""
    assert ids((0, None, " Hans Sama", None, 0, True), (1, None, "HANS SAMA", None, 0, True)) == {
        0: "name:hans sama",
        1: "name:hans sama",
    }


def test_nobody_has_no_id() -> None:
    """A subject that nothing names stays unknown, an id without a name does not."""
    assert ids((0, None, None, None, 0, False), (1, "p1", None, None, 0, False)) == {0: None, 1: "p1"}


def test_the_top_league_spelling_is_asked_first() -> None:
    """A subject with two spellings and no id is known by the top-league one."""
    assert ids((0, None, "RKR", None, 0, False), (0, None, "Reeker", None, 0, True))[0] == "name:reeker"


def test_the_newest_name_is_shown() -> None:
    """An id shows the name of its latest game, of which the top-league spelling comes first."""
    rows = mentions(
        (0, "p1", "Old", None, 0, True),
        (1, "p1", "Knight", None, 5, True),
        (1, "p1", "knight", None, 5, False),
        (2, "p2", None, None, 0, False),
    )
    assert dict(newest_names(rows, identify(rows)).iter_rows()) == {"p1": "Knight"}


def test_a_new_brand_keeps_the_first_id() -> None:
    """Ids that the top-league layouts call by one name are one team, in every row of theirs."""
    rows = mentions(
        (0, "t2", "HANJIN BRION", None, 9, False),
        (0, "t2", "HANJIN BRION", None, 9, True),
        (1, "t1", "OKSavingsBank BRION", None, 3, False),
        (1, "t1", "HANJIN BRION", None, 3, True),
        (2, "t1", "OKSavingsBank BRION", None, 0, False),
        (3, "t3", "HANJIN BRION Challengers", None, 0, False),
        (4, None, "HANJIN BRION", None, 20, True),
    )
    merged = one_id_per_brand(rows)
    assert dict(identify(merged).iter_rows()) == {0: "t1", 1: "t1", 2: "t1", 3: "t3", 4: "t1"}
    assert dict(newest_names(merged, identify(merged)).iter_rows())["t1"] == "HANJIN BRION"


def test_brands_are_followed_over_several_names() -> None:
    """A team renamed twice is one team still."""
    rows = mentions(
        (0, "t1", "A", None, 0, True),
        (1, "t2", "A", None, 1, True),
        (2, "t2", "B", None, 2, True),
        (3, "t3", "B", None, 3, True),
    )
    assert set(one_id_per_brand(rows)["source_id"]) == {"t1"}
