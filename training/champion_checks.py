"""Whether a candidate is worse than the champion, as a whole or for some players, on the rows that both scored.

How often that errs: a candidate that is as good, or worse by the margin alone, is refused with probability
FALSE_REFUSAL at most by the scores, and as much by the slices. Counted by tests/unit/test_gate_rates.py on 120 series:
none of 1,000 equally good candidates is refused (7 without a margin), and all of 100 whose CRPS is 2% worse are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from stores.domain.props import DataTier
from stores.features.schema import POSITIONS
from training.gate_report import GateCheck
from training.holdout import QUESTIONS, Holdout, HoldoutRows, common
from training.holdout_checks import FALSE_REFUSAL, LEAST_SERIES, question_name
from training.paired import ClusteredMean, clustered_mean, holm
from training.scores import crps, log_scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from stores.domain.props import PropType

COMMON_SERIES: Final = 100  # fewer and a difference of 2% hides in the noise
MARGIN: Final = 0.0025  # of the champion's CRPS, and nats: two seeds of the same training differ by less
LIMIT: Final = 0.02  # as the margin, but refused however uncertain: as much as a model gains over the rolling mean
SLICE_LIMIT: Final = 0.02  # of the champion's CRPS in the slice
ROOKIE_GAMES: Final = 8  # known games; below that the evidence is mostly role and league
POOLED: Final = "other"


@dataclass(frozen=True, slots=True, eq=False)
class _Paired:
    """The common rows of one question with both scores of both versions; arrays have the length n."""

    prop: PropType
    maps: str
    rows: HoldoutRows
    series: int
    crps: tuple[NDArray[np.float64], NDArray[np.float64]]
    log_score: tuple[NDArray[np.float64], NDArray[np.float64]]

    @property
    def name(self) -> str:
        return question_name(self.prop, self.maps)


def check_champion(candidate: Holdout, champion: Holdout | None) -> list[GateCheck]:
    """Not worse than the champion: CRPS and log score of every question, then CRPS of every slice of players.

    A question with fewer than COMMON_SERIES series in common is not comparable; the baseline alone judges it.
    """
    if champion is None:
        reason = "not comparable: the champion left no holdout; the rolling mean alone decides"
        return [GateCheck("score", passed=True, measured=None, bound=None, reason=reason)]
    paired = [_pair(candidate, champion, *question) for question in QUESTIONS]
    enough = [one for one in paired if one.series >= COMMON_SERIES]
    apart = [_not_comparable(one) for one in paired if one.series < COMMON_SERIES]
    return [*apart, *_score_checks(enough), *_slice_checks(enough)]


def _pair(candidate: Holdout, champion: Holdout, prop: PropType, maps: str) -> _Paired:
    of_candidate, of_champion = candidate.for_question(prop, maps), champion.for_question(prop, maps)
    in_candidate, in_champion = common(of_candidate, of_champion)
    rows = of_candidate.at(in_candidate)
    ours, theirs = rows.probabilities(), of_champion.at(in_champion).probabilities()
    y = rows.actual
    both_crps, both_log_scores = (crps(ours, y), crps(theirs, y)), (log_scores(ours, y), log_scores(theirs, y))
    return _Paired(prop, maps, rows, rows.series_count(), both_crps, both_log_scores)


def _score_checks(paired: Sequence[_Paired]) -> list[GateCheck]:
    names, units, differences = [], [], []
    for one in paired:
        for label, (ours, theirs) in (("CRPS", one.crps), ("log score", one.log_score)):
            scale = theirs.mean() if label == "CRPS" else 1.0
            names.append(f"score: {one.name}, {label}")
            units.append(" of the champion's" if label == "CRPS" else " nats")
            differences.append(clustered_mean((ours - theirs) / scale, one.rows.series_id))
    verdicts = zip(names, units, differences, surely_worse(differences), strict=True)
    return [_score_check(name, unit, one, refused=refused) for name, unit, one, refused in verdicts]


def surely_worse(differences: Sequence[ClusteredMean]) -> list[bool]:
    """Which differences (candidate minus champion) are refused: beyond the margin for sure, or beyond the limit at all.

    One test of FALSE_REFUSAL is shared by all of them, after Holm.
    """
    beyond_margin = holm([one.p_above(MARGIN) for one in differences], FALSE_REFUSAL)
    return [sure or one.mean > LIMIT for sure, one in zip(beyond_margin, differences, strict=True)]


def _score_check(name: str, unit: str, difference: ClusteredMean, *, refused: bool) -> GateCheck:
    reason = (
        f"{difference.mean:+.4f}{unit} (standard error {difference.standard_error:.4f} over {difference.clusters} "
        f"series); at most {LIMIT:g}, and not surely above {MARGIN:g} (p = {difference.p_above(MARGIN):.2g})"
    )
    return GateCheck(name, not refused, difference.mean, LIMIT, reason)


def _slice_checks(paired: Sequence[_Paired]) -> list[GateCheck]:
    """One check per way of slicing; a slice is refused that is worse beyond chance and by more than SLICE_LIMIT."""
    found = [one_slice for one in paired for one_slice in _slices(one)]
    refused = holm([one.change.p_above() for one in found], FALSE_REFUSAL)
    checks = []
    for way in dict.fromkeys(one.way for one in found):
        here = [(one, bad) for one, bad in zip(found, refused, strict=True) if one.way == way]
        worse = [one.told for one, bad in here if bad and one.change.mean > SLICE_LIMIT]
        worst = max(one.change.mean for one, _ in here)
        reason = f"CRPS is worse than the champion's: {'; '.join(worse)}" if worse else f"none of {len(here)} is worse"
        checks.append(GateCheck(f"slice: {way}", not worse, worst, SLICE_LIMIT, reason))
    return checks


@dataclass(frozen=True, slots=True)
class _Slice:
    """The change of CRPS in one slice, as a share of the champion's there."""

    way: str
    label: str
    change: ClusteredMean

    @property
    def told(self) -> str:
        return f"{self.label} by {self.change.mean:.1%} over {self.change.clusters} series"


def _slices(paired: _Paired) -> Iterator[_Slice]:
    """Every slice that holds enough series; those that do not are pooled within their way of slicing."""
    ours, theirs = paired.crps
    for way, labels in _labels(paired.rows).items():
        pooled = _pool_small(labels, paired.rows.series_id)
        for label in np.unique(pooled).tolist():
            inside = pooled == label
            series = paired.rows.series_id[inside]
            if label and len(set(series)) >= LEAST_SERIES:
                change = clustered_mean((ours - theirs)[inside] / theirs[inside].mean(), series)
                yield _Slice(way, f"{label} ({paired.name})", change)


def _labels(rows: HoldoutRows) -> dict[str, NDArray[np.str_]]:
    """The slice of each row for each way of slicing, of shape [n]; an empty label is no slice."""
    games, of_row = np.unique(rows.games_known, return_inverse=True)
    tiers = np.array([DataTier.of_games(int(known)).name.lower() for known in games], dtype=np.str_)
    return {
        "role": np.array([str(position) for position in POSITIONS])[rows.position],
        "league": rows.league.astype(np.str_),
        "evidence": tiers[of_row],
        "rookies": np.where(rows.games_known < ROOKIE_GAMES, "rookies", ""),
    }


def _pool_small(labels: NDArray[np.str_], series: NDArray[np.object_]) -> NDArray[np.str_]:
    names, of_row = np.unique(labels, return_inverse=True)
    pairs = np.unique(np.column_stack([of_row, np.unique(series.astype(str), return_inverse=True)[1]]), axis=0)
    small = (np.bincount(pairs[:, 0], minlength=len(names)) < LEAST_SERIES) & (names != "")
    return np.where(small[of_row], POOLED, labels)


def _not_comparable(one: _Paired) -> GateCheck:
    reason = (
        f"not comparable: {one.series} series were scored by both, {COMMON_SERIES} are needed; "
        "the rolling mean alone decides"
    )
    return GateCheck(
        f"score: {one.name}", passed=True, measured=float(one.series), bound=float(COMMON_SERIES), reason=reason
    )
