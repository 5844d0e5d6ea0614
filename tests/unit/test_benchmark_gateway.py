"""What the gateway's benchmarks conclude from what they saw, and what they ask."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import batches, curves, report
from benchmarks.kills import figures
from benchmarks.latency import Latency
from benchmarks.load import LoadReport
from benchmarks.overload import STEADY_S, WITHIN_S, Probed, every, recovered_after_s
from benchmarks.questions import Player, Supply, draw
from benchmarks.rounds import Round, orders, summary

if TYPE_CHECKING:
    from pathlib import Path

FAST, SLOW = WITHIN_S / 2, WITHIN_S * 2


def _probes(*took: float, begin_s: float = 0.0, every_s: float = 0.1) -> list[Probed]:
    return [Probed(begin_s + at * every_s, took_s, answered=True) for at, took_s in enumerate(took)]


def _report(answers: int, errors: dict[str, int] | None = None, seconds: float = 1.0, overdue: int = 0) -> LoadReport:
    latency = Latency(1.0, 2.0, 3.0, 4.0)
    return LoadReport(seconds, answers, errors or {}, latency, 0.5, overdue, answers, 0.1, ())


def test_recovered_is_when_all_probes_from_there_on_are_in_time() -> None:
    """Slow until 2 s after the end, then in time: 2 s; a probe that is slow again later starts the count anew."""
    slow, fast = [SLOW] * 20, [FAST] * 20
    assert recovered_after_s(_probes(*slow, *fast), 0.0) == pytest.approx(2.0)
    assert recovered_after_s(_probes(*slow, *fast, SLOW, *fast), 0.0) == pytest.approx(4.1)


def test_not_recovered_until_it_is_steady() -> None:
    """A few probes in time are not enough, none at all neither, nor any number before the end of the load."""
    few = int(STEADY_S / 0.1) - 1
    assert recovered_after_s(_probes(*[SLOW] * 5, *[FAST] * few), 0.0) is None
    assert recovered_after_s([], 0.0) is None
    assert recovered_after_s(_probes(*[FAST] * 50), 100.0) is None


def test_a_probe_under_way_at_the_end_counts_and_a_refused_one_is_not_in_time() -> None:
    """Begun before the end and slow, it delays the recovery to the next one; a quick refusal is no answer."""
    hung = Probed(-1.0, 1.5, answered=True)
    assert recovered_after_s([hung, *_probes(*[FAST] * 20, begin_s=0.6)], 0.0) == pytest.approx(0.6)
    refused = [Probed(at * 0.1, FAST, answered=False) for at in range(20)]
    assert recovered_after_s(refused, 0.0) is None
    assert recovered_after_s(_probes(*[FAST] * 20, begin_s=-0.01), 0.0) == 0.0


def test_something_is_done_again_and_again_and_its_error_is_not_swallowed() -> None:
    """The call is made until the block ends; what it raises ends the block."""
    calls: list[int] = []
    with every(0.0, lambda: calls.append(1)):
        while len(calls) < 3:
            pass
    done = len(calls)
    assert done == len(calls) >= 3
    with pytest.raises(ZeroDivisionError), every(0.0, lambda: 1 / 0):
        pass


def test_failures_are_told_by_the_ten_thousand() -> None:
    """Of 20,000 requests three failed, whatever the cause: 1.5 of 10,000. One that hung to the end has failed."""
    found = figures(_report(19_997, {"503": 1, "connection lost": 1}, seconds=10.0, overdue=1))
    assert found["failures"] == {"503": 1, "connection lost": 1, "not answered": 1}
    assert (found["requests"], found["failures_per_10000"], found["answers_per_second"]) == (20_000, 1.5, 1999.7)


def test_each_round_begins_with_the_next_one_and_has_all() -> None:
    """Three in four rounds."""
    assert ["".join(order) for order in orders("abc", 4)] == ["abc", "bca", "cab", "abc"]


def test_a_ratio_is_to_the_peer_of_the_same_round() -> None:
    """Median and worst of the ratios within rounds, to each peer, and the processor's time per answer."""

    def of(name: str, *answers: int) -> list[Round]:
        return [Round(name, _report(count, {"503": 1}), {"gateway": 1.0}, 0.0) for count in answers]

    done = {"ours": of("ours", 100, 400, 300), "a": of("a", 100, 100, 100), "b": of("b", 50, 800, 100)}
    ours, a, _ = summary(done, ("a", "b"))
    assert ours["ratios"] == {"a": (3.0, 1.0), "b": (2.0, 0.5)}
    assert a["ratios"]["a"] == (1.0, 1.0)
    assert (ours["per_second"], ours["errors"], ours["p95_ms"]) == ((300, 100), {"503": 3}, (2.0, 2.0))
    assert ours["cpu_us_per_answer"] == {"gateway": pytest.approx(1e6 / 300, abs=0.1)}


@given(st.lists(st.integers(0, 12), max_size=12))
def test_questions_are_handed_out_once_before_any_comes_again(asked: list[int]) -> None:
    """Whatever was asked of what was handed out, the next ones follow; only when all were asked are some repeated."""
    questions = [b"%d" % number for number in range(20)]
    supply = Supply(questions)
    seen: list[bytes] = []
    for count in asked:
        upcoming = supply.upcoming(12)
        assert len(upcoming) == 12
        seen += upcoming[:count]
        supply.asked(count)
    assert seen == [questions[number % 20] for number in range(len(seen))]
    assert supply.repeated == (len(seen) > 20)


def test_more_asked_than_were_handed_out_were_repeated() -> None:
    """A generator that outran its questions has cycled them, even if others were left."""
    supply = Supply([b"1", b"2", b"3", b"4"])
    supply.upcoming(2)
    supply.asked(3)
    assert supply.repeated
    assert len(supply.upcoming(100)) == 4


def test_batches_hold_every_question_once() -> None:
    """Of 2,500 questions two whole batches are made."""
    made = batches.batches([b'{"n":%d}' % number for number in range(2500)])
    assert [len(orjson.loads(body)["requests"]) for body in made] == [1000, 1000]
    assert [one["n"] for body in made for one in orjson.loads(body)["requests"]] == list(range(2000))


def test_a_curve_asks_for_the_same_distribution_at_all_lines() -> None:
    """Player, prop, maps and opponent are those of the question, whatever letters they hold."""
    (question,) = draw([Player("Ünter/100%", ("A & B",))], 1)
    asked = orjson.loads(question)
    parts = urlsplit("/predict/curve/" + curves.target(question).decode())
    words = parse_qs(parts.query)
    assert unquote(parts.path.removeprefix("/predict/curve/")) == "Ünter/100%"
    assert "/" not in parts.path.removeprefix("/predict/curve/")
    assert words["opponent"] == ["A & B"]
    assert [int(words[name][0]) for name in ("map_first", "map_last")] == asked["map_range"]
    assert words["prop_type"] == [asked["prop_type"]]
    assert [float(line) for line in words["prop_values"]] == list(curves.LINES)
    assert len(curves.LINES) == 25


def test_a_document_is_kept_under_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dataclasses and tuples become JSON that is read again."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    kept = report.write("figure", {"latency": Latency(1.0, 2.0, 3.0, 4.0), "pair": (1.5, 2.5)})
    read = orjson.loads((tmp_path / "results" / "figure.json").read_bytes())
    assert kept == read == {"latency": {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0}, "pair": [1.5, 2.5]}
