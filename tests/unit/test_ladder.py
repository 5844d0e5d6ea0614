"""The ladder around the player's own line, counted by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from stores.domain.props import PropType
from training.evaluation.bootstrap import SeriesBootstrap
from training.evaluation.ladder import OFFSETS, OWN, Ladder, ladder_of
from training.evaluation.questions import Question
from training.subsets import ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Sequence


def ladder(over: Sequence[float], happened: Sequence[bool]) -> tuple[Ladder, SeriesBootstrap]:
    """Rows that are quoted one line each, the own one; every row a series of its own."""
    n = len(over)
    quoted = np.zeros((n, len(OFFSETS)), dtype=bool)
    quoted[:, OWN] = True
    said, seen = np.full((n, len(OFFSETS)), 0.99), np.zeros((n, len(OFFSETS)), dtype=bool)
    said[:, OWN], seen[:, OWN] = over, happened
    return Ladder(quoted, said, seen), SeriesBootstrap(np.arange(n).astype(str).astype(object), 50)


def test_sure_calls_are_counted_by_either_side() -> None:
    """Of ten calls, two are given with 90% (one right), four with 80% (three right), and UNDER is a call as well."""
    over = [0.95, 0.05, 0.85, 0.15, 0.75, 0.65, 0.55, 0.5, 0.45, 0.4]
    happened = [True, True, True, False, False, True, False, True, True, False]
    found, bootstrap = ladder(over, happened)
    sixty, seventy, eighty, ninety = found.selective(bootstrap)
    assert [one.calls for one in (sixty, seventy, eighty, ninety)] == [7, 5, 4, 2]
    assert [one.share.value for one in (sixty, ninety)] == pytest.approx([0.7, 0.2])
    assert [one.right.value for one in (sixty, seventy, eighty, ninety)] == pytest.approx([5 / 7, 3 / 5, 3 / 4, 1 / 2])
    assert ninety.said == pytest.approx(0.95)
    assert eighty.said == pytest.approx(0.9)
    assert ninety.right.low <= ninety.right.value <= ninety.right.high


def test_no_sure_call_is_no_accuracy() -> None:
    """Where nothing was sure, nothing is claimed: no call, a share of 0, and no number for how right they were."""
    found, bootstrap = ladder([0.5, 0.52, 0.48], [True, False, True])
    ninety = found.selective(bootstrap)[-1]
    assert (ninety.calls, ninety.share.value) == (0, 0.0)
    assert np.isnan([ninety.right.value, ninety.said]).all()


def test_lines_lie_around_the_own_and_only_above_zero() -> None:
    """A player whose line is 1.5 has lines from 0.5 to 4.5; OVER is the mass above each, against what happened."""
    pmf = np.array([[0.1, 0.2, 0.3, 0.25, 0.1, 0.05]])
    none = np.zeros(1, dtype=np.int64)
    question = Question(
        PropType.KILLS, ONE_MAP, (none,), np.array([3]), np.array([1.5]), none, np.array(["s"], dtype=object), none
    )
    found = ladder_of(question, pmf)
    assert found.quoted.tolist() == [[False, False, True, True, True, True, True]]
    assert found.over[0, 2:] == pytest.approx([0.9, 0.7, 0.4, 0.15, 0.05])
    assert found.happened[0, 2:].tolist() == [True, True, True, False, False]
    assert found.right[0, 2:].tolist() == [True, True, False, True, True]


def test_calibration_is_told_apart_by_region() -> None:
    """A forecast that is true around the own line and 20 points too high well above it shows that there alone."""
    rng = np.random.default_rng(1)
    n = 20_000
    truth = np.broadcast_to(np.linspace(0.7, 0.1, len(OFFSETS)), (n, len(OFFSETS)))
    happened = rng.uniform(size=truth.shape) < truth
    over = truth + np.where(np.array(OFFSETS) > 1, 0.2, 0.0)
    bootstrap = SeriesBootstrap(rng.integers(0, 500, n).astype(str).astype(object), 100)
    found = Ladder(np.ones(truth.shape, dtype=bool), over, happened).calibration(bootstrap)
    assert found.low.value < 0.015
    assert found.middle.value < 0.015
    assert found.high.value == pytest.approx(0.2, abs=0.015)
    assert found.high.low < 0.2 < found.high.high
    assert found.overall.value > found.middle.value
