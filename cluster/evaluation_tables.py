"""What `riftline evaluate` prints: scores, differences, calibration and sure calls, each a table of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cluster.show import people, print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from training.evaluation.ablation import Ablated
    from training.evaluation.bootstrap import Figure
    from training.evaluation.report import Score

KEYS = ("prop", "maps", "method")


def show_scores(title: str, scores: Sequence[Score]) -> None:
    """The report for people; every interval holds 95% of the bootstrap draws over series."""
    _table(
        f"{title}: scores [95% interval over series]; scores lower, accuracies higher is better",
        scores,
        ("rows", "log score", "CRPS", "own line, % right", "7 lines, % right"),
        _scores,
    )
    _table(
        "Proper scores against the rolling mean and against riftline, in % [95% interval, paired]; below 0 is better",
        scores,
        ("log, rolling mean", "CRPS, rolling mean", "log, riftline", "CRPS, riftline"),
        lambda one: tuple(
            _range(figure, 2)
            for other in (one.versus_rolling_mean, one.versus_riftline)
            for figure in (other.log_score, other.crps)
        ),
    )
    _table(
        "Calibration error of OVER on 7 lines around the own, in points; % inside the interval (mass it holds)",
        scores,
        ("error", "by chance", "low", "middle", "high", "50%", "80%"),
        _calibration,
    )
    _table(
        "Calls given with at least this confidence: % right (% confidence given), share of all calls",
        scores,
        tuple(f">= {100 * one.least_confidence:.0f}%" for one in scores[0].selective),
        _selective,
    )
    known = [one for one in scores if one.regret]
    if known:
        _table(
            "Regret: CRPS above the oracle's, in % [95% interval, paired]; of single maps: the truth knows no sums",
            known,
            ("seen", "expected, without the outcomes' noise"),
            _regret,
        )
    people.print("All intervals, PIT, reliability, roles and evidence tiers are in --json; pictures by --plots.")


def show_ablation(parts: Sequence[Ablated]) -> None:
    """What each part of the model is worth, a table for each question; nothing if none was left out."""
    for prop, maps in dict.fromkeys((one.prop_type, one.maps) for one in parts):
        rows = [
            (one.kind, one.left_out, _range(one.change.crps, 2), _range(one.change.log_score, 2))
            for one in parts
            if (one.prop_type, one.maps) == (prop, maps)
        ]
        print_table(
            f"{prop}, {'one map' if maps == 'one' else f'maps {maps}'}: scores with a part left out, against the whole "
            "model's, in % [95% interval, paired]; above 0 the part helps",
            ("", "left out", "CRPS", "log score"),
            rows,
        )
    if parts:
        people.print(
            "A member is left out of the combination alone: correction still starts from results and hierarchy. draft "
            "is judged with the champions known. A family is constant: missing for trees, the role's mean where a "
            "member without trees reads it, an even meeting for the chance to win."
        )


def _table(
    title: str, scores: Sequence[Score], header: tuple[str, ...], cells: Callable[[Score], tuple[object, ...]]
) -> None:
    rows = [(str(one.prop_type), one.maps, one.method, *cells(one)) for one in scores]
    print_table(title, (*KEYS, *header), rows)


def _scores(one: Score) -> tuple[object, ...]:
    own, curve = (_range(figure, 1, 100) for figure in (one.accuracy_own_line, one.accuracy_curve))
    return one.rows, _range(one.log_score, 4), _range(one.crps, 4), own, curve


def _regret(one: Score) -> tuple[object, ...]:
    return (_range(one.regret.seen, 2), _range(one.regret.expected, 2)) if one.regret else ()


def _calibration(one: Score) -> tuple[object, ...]:
    found = one.calibration
    regions = (_number(figure.value, 2, 100) for figure in (found.low, found.middle, found.high))
    inside = (f"{100 * c.covered.value:.1f} ({100 * c.held:.1f})" for c in one.coverage)
    return _range(found.overall, 2, 100), _number(found.overall.by_chance, 2, 100), *regions, *inside


def _selective(one: Score) -> tuple[object, ...]:
    return tuple(
        f"{_number(100 * call.right.value, 1)} ({_number(100 * call.said, 1)}), {100 * call.share.value:.1f}%"
        for call in one.selective
    )


def _range(figure: Figure, digits: int, times: float = 1.0) -> str:
    low, high = (_number(times * value, digits) for value in (figure.low, figure.high))
    return f"{_number(times * figure.value, digits)} [{low}, {high}]"


def _number(value: float, digits: int, times: float = 1.0) -> str:
    return "none" if math.isnan(value) else f"{times * value:.{digits}f}"
