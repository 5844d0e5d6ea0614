"""What the report says of one method on one question; every headline figure has its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stores.domain.props import DataTier
from stores.features.schema import POSITIONS
from training.evaluation.bootstrap import SeriesBootstrap
from training.evaluation.ladder import OWN, ladder_of
from training.evaluation.methods import RIFTLINE, RIFTLINE_DRAFTED, ROLLING_MEAN
from training.evaluation.oracle import ORACLE
from training.scores import calibration_bins, central_intervals, crps, log_scores, pit_curve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from stores.domain.props import PropType
    from training.evaluation.bootstrap import Figure
    from training.evaluation.ladder import Calibration, Ladder, Selective
    from training.evaluation.questions import Question

INTERVAL_LEVELS = (0.5, 0.8)
PIT_BINS = 20


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the central predictive interval held the outcome, beside the mass that it holds by its own account.

    Counts are discrete: the interval of at least 80% may hold 87%, and then 87% is what a true forecast covers.
    """

    level: float
    held: float
    covered: Figure


@dataclass(frozen=True, slots=True)
class Difference:
    """By how many percent a method's proper scores lie above another's on the same rows; below 0 is better."""

    log_score: Figure
    crps: Figure


@dataclass(frozen=True, slots=True)
class Regret:
    """By how many percent the CRPS lies above the oracle's: as ``seen`` on the outcomes, and as ``expected``.

    The expected regret needs no outcome, so it is free of their noise: a forecast F of the truth G scores Σ (F - G)²
    worse than G on average, which itself scores Σ G (1 - G) (Gneiting and Raftery 2007).
    """

    seen: Figure
    expected: Figure


@dataclass(frozen=True, slots=True)
class Reliability:
    """Ten bins of equal calls of the ladder: what was said on average, and which share happened."""

    said: tuple[float, ...]
    happened: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Score:
    """One method on one question. ``maps`` is ``one`` or ``1-2``; errors and accuracies are shares in [0, 1].

    ``regret`` is None where the truth is not known, and for what knows the champions: the truth is from before the
    draft.
    ``pit`` is the share of outcomes in each twentieth of their forecasts, ``crps_by_role`` and ``crps_by_tier`` are
    those of the rows of a role or an evidence tier (1 is most direct).
    """

    prop_type: PropType
    maps: str
    method: str
    rows: int
    series: int
    log_score: Figure
    crps: Figure
    accuracy_own_line: Figure
    accuracy_curve: Figure
    versus_rolling_mean: Difference
    versus_riftline: Difference
    regret: Regret | None
    calibration: Calibration
    coverage: tuple[Coverage, ...]
    selective: tuple[Selective, ...]
    reliability: Reliability
    pit: tuple[float, ...]
    crps_by_role: dict[str, Figure]
    crps_by_tier: dict[str, Figure]


def scores_of(question: Question, pmfs: Mapping[str, NDArray[np.float64]]) -> list[Score]:
    """The scores of all methods on the same rows and the same bootstrap draws.

    The rolling mean and riftline must be among them: all are compared with both, and with the oracle if it is there.
    """
    bootstrap = SeriesBootstrap(question.series)
    proper = {method: ProperScores.of(question, pmf) for method, pmf in pmfs.items()}
    truths = {method: pmfs.get(ORACLE) for method in pmfs if method != RIFTLINE_DRAFTED}  # it knows what truth does not
    return [_score(question, method, pmf, proper, bootstrap, truths.get(method)) for method, pmf in pmfs.items()]


@dataclass(frozen=True, slots=True, eq=False)
class ProperScores:
    """Both proper scores of each row, of shape [n]."""

    log: NDArray[np.float64]
    crps: NDArray[np.float64]

    @classmethod
    def of(cls, question: Question, pmf: NDArray[np.float64]) -> ProperScores:
        """Those of the distributions of a question's rows, of shape [n, counts]."""
        return cls(log_scores(pmf, question.actual), crps(pmf, question.actual))

    def against(self, other: ProperScores, bootstrap: SeriesBootstrap) -> Difference:
        """The paired differences to another method on the same rows."""
        return Difference(
            bootstrap.difference_percent(self.log, other.log), bootstrap.difference_percent(self.crps, other.crps)
        )


def _score(  # noqa: PLR0913, PLR0917 — what was asked, who answered what, and what it is compared with
    question: Question,
    method: str,
    pmf: NDArray[np.float64],
    proper: Mapping[str, ProperScores],
    bootstrap: SeriesBootstrap,
    truth: NDArray[np.float64] | None,
) -> Score:
    y = question.actual
    own = proper[method]
    ladder = ladder_of(question, pmf)
    right = ladder.right.astype(np.float64)
    return Score(
        prop_type=question.prop,
        maps=question.maps,
        method=method,
        rows=len(y),
        series=bootstrap.series,
        log_score=bootstrap.mean(own.log),
        crps=bootstrap.mean(own.crps),
        accuracy_own_line=bootstrap.mean(right[:, OWN]),
        accuracy_curve=bootstrap.mean(right, ladder.quoted),
        versus_rolling_mean=own.against(proper[ROLLING_MEAN], bootstrap),
        versus_riftline=own.against(proper[RIFTLINE], bootstrap),
        regret=None if truth is None else _regret(question, pmf, truth, bootstrap),
        calibration=ladder.calibration(bootstrap),
        coverage=tuple(_coverage(pmf, y, level, bootstrap) for level in INTERVAL_LEVELS),
        selective=ladder.selective(bootstrap),
        reliability=_reliability(ladder),
        pit=tuple(np.diff(pit_curve(pmf, y, np.linspace(0.0, 1.0, PIT_BINS + 1))).tolist()),
        crps_by_role={
            str(role): bootstrap.mean(own.crps, question.position == at) for at, role in enumerate(POSITIONS)
        },
        crps_by_tier={str(int(tier)): bootstrap.mean(own.crps, _tiers(question) == tier) for tier in DataTier},
    )


def _regret(
    question: Question, pmf: NDArray[np.float64], truth: NDArray[np.float64], bootstrap: SeriesBootstrap
) -> Regret:
    said, true = np.cumsum(pmf, axis=1), np.cumsum(truth, axis=1)
    return Regret(
        seen=bootstrap.difference_percent(crps(pmf, question.actual), crps(truth, question.actual)),
        expected=bootstrap.ratio(100.0 * ((said - true) ** 2).sum(axis=1), (true * (1.0 - true)).sum(axis=1)),
    )


def _coverage(pmf: NDArray[np.float64], y: NDArray[np.int64], level: float, bootstrap: SeriesBootstrap) -> Coverage:
    least, greatest, held = central_intervals(pmf, level)
    seen = np.minimum(y, pmf.shape[1] - 1)  # the last count holds the tail
    covered = (least <= seen) & (seen <= greatest)
    return Coverage(level, float(held.mean()), bootstrap.mean(covered.astype(np.float64)))


def _reliability(ladder: Ladder) -> Reliability:
    said, happened = ladder.over[ladder.quoted], ladder.happened[ladder.quoted]
    bins = calibration_bins(said)
    rows = np.maximum(np.bincount(bins), 1)
    means = (np.bincount(bins, weights=values) / rows for values in (said, happened))
    return Reliability(*(tuple(mean.tolist()) for mean in means))


def _tiers(question: Question) -> NDArray[np.int64]:
    games, index = np.unique(question.known_games, return_inverse=True)
    return np.array([DataTier.of_games(int(one)) for one in games], dtype=np.int64)[index]
