"""The arithmetic of the races: what is timed, in which order, and what the table says of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.paired import Way, by_callers, chunks, race, show, summary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RATES = st.floats(min_value=1e-3, max_value=1e9)


def test_medians_worst_values_and_ratios_within_each_round() -> None:
    """The ratio is that of the same round, not that of the medians, and to the way that stands beside."""
    rates = {"peer": [10.0, 100.0, 20.0], "bulk": [50.0, 50.0, 50.0], "ours": [30.0, 200.0, 100.0]}
    rows = {row["way"]: row for row in summary(rates, {"peer": "peer", "bulk": "peer", "ours": "bulk"})}
    assert (rows["peer"]["median"], rows["peer"]["worst"], rows["peer"]["ratio"]) == (20.0, 10.0, 1.0)
    assert (rows["bulk"]["ratio"], rows["bulk"]["worst_ratio"]) == (2.5, 0.5)
    assert (rows["ours"]["beside"], rows["ours"]["ratio"], rows["ours"]["worst_ratio"]) == ("bulk", 2.0, 0.6)
    assert rows["ours"]["rates"] == [30.0, 200.0, 100.0]


@given(st.lists(RATES, min_size=1, max_size=9))
def test_a_way_beside_itself_is_as_fast_as_itself(rates: list[float]) -> None:
    """The ratio of the peer to itself is one in every round, and its worst is not above its median."""
    (row,) = summary({"peer": rates}, {"peer": "peer"})
    assert (row["ratio"], row["worst_ratio"]) == (1.0, 1.0)
    assert row["worst"] <= row["median"]


async def test_the_ways_take_turns_and_the_first_round_only_warms_up() -> None:
    """Three ways in two timed rounds run three times each, each round beginning with another way."""
    order: list[str] = []

    def way(name: str) -> Way:
        async def run() -> int:
            order.append(name)
            return 1

        return Way(name, run)

    document = await race("title", "items/s", [way("a"), way("b"), way("c")], rounds=2)
    assert "".join(order) == "abcbcacab"
    assert [len(row["rates"]) for row in document["ways"]] == [2, 2, 2]


async def test_each_run_is_prepared_before_and_checked_after() -> None:
    """A round is prepare, run, check; what the check finds ends the race."""
    steps: list[str] = []

    def step(name: str) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            steps.append(name)
            if steps.count("check") == 2:
                raise AssertionError("one row is missing")

        return note

    async def run() -> int:
        steps.append("run")
        return 1

    with pytest.raises(AssertionError, match="one row is missing"):
        await race("title", "items/s", [Way("way", run, step("prepare"), step("check"))], rounds=5)
    assert steps == ["prepare", "run", "check"] * 2


async def test_the_table_names_what_each_way_stands_beside(capsys: pytest.CaptureFixture[str]) -> None:
    """A row says its number, its figures and the number of its peer."""
    rows = summary(
        {"plain": [10.0], "bulk": [100.0], "ours": [250.0]}, {"plain": "plain", "bulk": "plain", "ours": "bulk"}
    )
    show({"title": "Write", "unit": "rows/s", "rounds": 1, "ways": rows, "load": [0.5, 1.5]})
    printed = capsys.readouterr().out
    assert "Write: rows/s, median (worst) of 1 rounds, load 0.5 before, 1.5 after" in printed
    assert "| 3 | ours | 250 | 250 | 4,000.0 | 2 | 2.50 | 2.50 |" in printed


@given(st.integers(1, 9), st.integers(0, 40))
async def test_callers_share_the_items(callers: int, count: int) -> None:
    """Every item is called with once, never more at a time than there are callers, and as many where there is work."""
    taken: list[int] = []
    under_way, most = 0, 0

    async def call(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        taken.append(item)

    await by_callers(callers, range(count), call)
    assert sorted(taken) == list(range(count))
    assert most == min(callers, count)


@given(st.lists(st.integers()), st.integers(1, 9))
def test_chunks_keep_every_item_in_order(items: list[int], size: int) -> None:
    """Put together again they are the items; all but the last are full."""
    parts = chunks(items, size)
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])
    assert all(parts)
