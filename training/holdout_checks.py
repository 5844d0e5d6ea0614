"""What a version's out-of-time predictions must show: true probabilities, no leak, more than a rolling mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from stores.domain.props import PropType
from training.evaluation.ladder import OFFSETS
from training.gate_report import GateCheck
from training.holdout import QUESTIONS, Holdout, HoldoutRows
from training.paired import ClusteredMean, clustered_mean, holm
from training.scores import LEAST_PROBABILITY, calibration_bins, calibration_error, crps, log_scores, over_probabilities
from training.subsets import ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FALSE_REFUSAL: Final = 0.01  # of a sound candidate, by each family of checks: calibration, leak, scores, slices
BINS: Final = 10
MOST_CALIBRATION_ERROR: Final = 0.015
NULL_DRAWS: Final = 4_000  # ten of them lie above the quantile of one of four questions
LEAST_SERIES: Final = 30  # fewer clusters than this have no standard error worth the name
ENTROPY_MARGIN: Final = 0.05  # nats; honest models lie within 0.03 of their own entropy
MOST_GAIN: Final = 0.10  # real models gain 2 to 3% CRPS over the rolling mean, the truth of a simulated season 5 to 7%


def question_name(prop: PropType, maps: str) -> str:
    """The words for a question in a check's name."""
    return f"{prop}, {'one map' if maps == ONE_MAP else f'maps {maps}'}"


def check_baseline(holdout: Holdout, metrics: Mapping[str, object]) -> list[GateCheck]:
    """Better than the player's rolling mean on the same rows, by both scores, and not impossibly better.

    ``metrics`` hold the rolling mean's scores on the same rows, as ``kills_validation_rolling_mean_crps``.
    """
    checks = []
    for prop in PropType:
        rows = holdout.for_question(prop, ONE_MAP)
        for label, score in (("crps", crps), ("log_score", log_scores)):
            bound = metrics.get(f"{prop}_validation_rolling_mean_{label}")
            own = float(score(rows.probabilities(), rows.actual).mean()) if len(rows) else None
            checks.append(_beats(f"baseline: {prop} {label}", own, bound))
            if label == "crps" and checks[-1].passed:
                checks.append(_possible_gain(prop, checks[-1]))
    return checks


def check_calibration(holdout: Holdout) -> list[GateCheck]:
    """The expected calibration error of OVER of every question, as far as it is more than chance shows.

    A true model has an error above 0 in any sample. Its distribution is that of the bins' summed residuals with each
    series' sign drawn at random (wild cluster bootstrap with the null imposed: Cameron, Gelbach & Miller 2008), so the
    bound is its quantile: true models are refused with probability FALSE_REFUSAL over all questions (8 of 550 simulated
    ones on 120 series). Where the sample is large enough for that quantile to lie below MOST_CALIBRATION_ERROR, that is
    the bound.
    """
    checks = []
    for prop, maps in QUESTIONS:
        rows, name = holdout.for_question(prop, maps), f"calibration: {question_name(prop, maps)}"
        series = rows.series_count()
        if series < LEAST_SERIES:
            checks.append(_too_few(name, series))
            continue
        error, by_chance = calibration(rows)
        bound = max(MOST_CALIBRATION_ERROR, by_chance)
        reason = (
            f"expected calibration error {error:.2%}, at most {bound:.2%} "
            f"(a true model stays below {by_chance:.2%} on {series} series)"
        )
        checks.append(GateCheck(name, error <= bound, error, bound, reason))
    return checks


def calibration(rows: HoldoutRows) -> tuple[float, float]:
    """The expected calibration error over seven lines, and what a true model reaches by chance (see above)."""
    pmf = rows.probabilities()
    own = np.floor(pmf @ np.arange(pmf.shape[1])) + 0.5
    _, of_row = np.unique(rows.series_id.astype(str), return_inverse=True)
    ladder = [(own + offset, own + offset > 0) for offset in OFFSETS]
    given = np.concatenate([over_probabilities(pmf, line)[asked] for line, asked in ladder])
    happened = np.concatenate([(rows.actual > line)[asked] for line, asked in ladder])
    series = np.concatenate([of_row[asked] for _, asked in ladder])
    cells = np.bincount(
        series * BINS + calibration_bins(given, BINS), weights=happened - given, minlength=(of_row.max() + 1) * BINS
    )
    residuals = cells.reshape(-1, BINS)
    signs = np.random.default_rng(1).integers(0, 2, (NULL_DRAWS, len(residuals))) * 2.0 - 1.0
    chance = np.abs(signs @ residuals).sum(axis=1) / len(given)
    level = 1.0 - FALSE_REFUSAL / len(QUESTIONS)
    return calibration_error(given, happened, BINS), float(np.quantile(chance, level))


def check_leak(holdout: Holdout) -> list[GateCheck]:
    """No outcome was seen: all rows began after the training's cut, and no score is better than it can be.

    The expected log score of a true predictive is its entropy (Gneiting & Raftery 2007), so a mean score below it shows
    outcomes that were known. A model that was re-scaled to what it had seen is caught by the second floor: pre-match
    counts vary more than a Poisson count of the same mean, so no honest score lies below that entropy.
    """
    rows_of = {question_name(*question): rows for question, rows in holdout.questions.items()}
    series_of = {name: rows.series_count() for name, rows in rows_of.items()}
    few = [_too_few(f"leak: {name}", series) for name, series in series_of.items() if series < LEAST_SERIES]
    gains = {name: _impossible_gains(rows_of[name]) for name, series in series_of.items() if series >= LEAST_SERIES}
    p_values = [p for own, floor in gains.values() for p in (own.p_above(ENTROPY_MARGIN), floor.p_above())]
    refused = holm(p_values, FALSE_REFUSAL)
    checks = [
        _leak_check(f"leak: {name}", own, floor, passed=not (own_refused or floor_refused))
        for (name, (own, floor)), own_refused, floor_refused in zip(
            gains.items(), refused[::2], refused[1::2], strict=True
        )
    ]
    return [_after_cut(holdout), *few, *checks]


def _impossible_gains(rows: HoldoutRows) -> tuple[ClusteredMean, ClusteredMean]:
    """How much better the log score is than the model's own entropy, and than that of Poisson counts."""
    pmf = rows.probabilities()
    scores = log_scores(pmf, rows.actual)
    return (
        clustered_mean(_entropy(pmf) - scores, rows.series_id),
        clustered_mean(_poisson_entropy(pmf) - scores, rows.series_id),
    )


def _leak_check(name: str, own: ClusteredMean, floor: ClusteredMean, *, passed: bool) -> GateCheck:
    reason = (
        f"the log score is {own.mean:+.3f} nats better than the model's own entropy (beyond chance at most "
        f"{ENTROPY_MARGIN:g}) and {floor.mean:+.3f} better than a Poisson count's (at most 0)"
        f"{'' if passed else ': outcomes were seen, or the distributions are far too wide'}"
    )
    return GateCheck(name, passed, own.mean, ENTROPY_MARGIN, reason)


def _after_cut(holdout: Holdout) -> GateCheck:
    early = sum(int((rows.series_started_at <= holdout.trained_until).sum()) for rows in holdout.questions.values())
    reason = f"{early} rows are of series that began by {holdout.trained_until}, the end of what was trained on"
    return GateCheck("leak: time", not early, float(early), 0.0, reason)


def _entropy(pmf: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(pmf * np.log(np.maximum(pmf, LEAST_PROBABILITY))).sum(axis=1))


def _poisson_entropy(pmf: NDArray[np.float64]) -> NDArray[np.float64]:
    """The entropy in nats of Poisson counts with the same means, read off a fine grid of means, of shape [n]."""
    counts = np.arange(pmf.shape[1])
    means = pmf @ counts
    grid = np.linspace(0.0, means.max(initial=1.0), 300)
    return np.asarray(np.interp(means, grid, _entropy(stats.poisson.pmf(counts, grid[:, None]))))


def _beats(name: str, own: float | None, bound: object) -> GateCheck:
    if own is None:
        return GateCheck(name, passed=False, measured=None, bound=None, reason="the holdout has no rows; train again")
    if not isinstance(bound, int | float) or not np.isfinite(bound):
        reason = "the rolling mean's score is not among the training metrics; train again"
        return GateCheck(name, passed=False, measured=own, bound=None, reason=reason)
    reason = f"{own:.4f} on its holdout, the player's rolling mean has {bound:.4f}; lower is better"
    return GateCheck(name, own < bound, own, float(bound), reason)


def _possible_gain(prop: PropType, beaten: GateCheck) -> GateCheck:
    """Beside a baseline that was beaten: a gain that no honest model ever had."""
    gain = 1.0 - (beaten.measured or 0.0) / (beaten.bound or 1.0)
    reason = f"CRPS is {gain:.1%} better than the rolling mean's, at most {MOST_GAIN:.0%} is possible before a match"
    return GateCheck(f"leak: {prop} gain", gain <= MOST_GAIN, gain, MOST_GAIN, reason)


def _too_few(name: str, series: int) -> GateCheck:
    reason = f"the holdout has {series} series, {LEAST_SERIES} are needed to judge; train on more games"
    return GateCheck(name, passed=False, measured=float(series), bound=float(LEAST_SERIES), reason=reason)
