"""From evidence to distributions in one piece of machine code.

The steps are those of `PropEnsemble.map_means` and `PropEnsemble.forecasts` in their order, so the bits are the same;
what is saved is all that lies between them, which costs four times as much as they do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numba import types

from actors.compiled_trees import TREE_TABLES, walk_trees
from actors.count_members import OF_DRAFT, Member, combine, fill_members
from actors.count_sums import add_courses, bend
from actors.series_results import NODES, WEIGHTS, fill_course_chances, fill_win_chances
from stores.domain.distribution import ROUNDING
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES, RESULTS
from stores.features.vector import fill_rows
from stores.kernels import kernel, part, record_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.compiled_trees import TreeTables

# Of a line: whether OVER is likelier; the likelier side's probability, its probability before calibration, that of a
# push, in %; the mean; both ends of the interval. The push is left out of the sides.
FIGURES = 7
CURVE_FIGURES = (
    3  # of a line of a curve: whether OVER is likelier; the likelier side's probability and that of OVER, in %
)
DIGITS = 4  # enough to compare, short enough to read; rounding is part of the answer, so it reproduces
_SCALE = 10.0**DIGITS
_GAME_NUMBER = MODEL_FEATURES.index("game_number")
_WIDTH, _MEMBERS, _CHAMPION, _POOL = len(MODEL_FEATURES), len(Member), len(CHAMPION_FEATURES), np.array(OF_DRAFT)


class Parameters(NamedTuple):
    """What a model knows of one prop, before or after the draft (`actors.ensemble` says what is what).

    ``corrects`` tells whether ``draft`` takes part.
    """

    correction: TreeTables
    direct: TreeTables
    draft: TreeTables
    corrects: bool
    structural: NDArray[np.int64]
    weights: NDArray[np.float64]
    rating_weight: float
    roster_weight: float
    spread: float
    sizes: NDArray[np.float64]
    of_maps: float
    of_mates: float
    of_foes: float
    calibration: NDArray[np.float64]
    calibration_of_sums: NDArray[np.float64]


class Range(NamedTuple):
    """A range of ``maps`` maps from ``first`` on, and what can happen in it (`actors.series_results`)."""

    first: int
    maps: int
    sure: bool
    played: NDArray[np.int64]
    won: NDArray[np.bool_]
    course: NDArray[np.int64]
    ways: NDArray[np.int64]
    share: NDArray[np.float64]


class Evidence(NamedTuple):
    """What is known of n series of as many players each: snapshots of shape [n * players, ...], CHAMPION_FEATURES too.

    ``position`` has the shape [n, players], ``same_side`` [players].
    """

    player: NDArray[np.float64]
    team: NDArray[np.float64]
    opponent: NDArray[np.float64]
    league: NDArray[np.float64]
    draft: NDArray[np.float32]
    position: NDArray[np.int64]
    same_side: NDArray[np.bool_]


_FLOAT, _FLAG = types.float64, types.boolean
_VECTOR, _MATRIX = types.Array(_FLOAT, 1, "C"), types.Array(_FLOAT, 2, "C")
_INTEGERS, _TABLE = types.Array(types.int64, 1, "C"), types.Array(types.int64, 2, "C")
_FLAGS, _FLAG_TABLE = types.Array(_FLAG, 1, "C"), types.Array(_FLAG, 2, "C")
_FIGURES = types.UniTuple(_FLOAT, FIGURES)  # type: ignore[no-untyped-call]
_PARAMETERS = record_type(
    Parameters,
    *(TREE_TABLES, TREE_TABLES, TREE_TABLES, _FLAG, _TABLE, _VECTOR, _FLOAT, _FLOAT, _FLOAT),
    *(_MATRIX, _FLOAT, _FLOAT, _FLOAT, _VECTOR, _VECTOR),
)
_RANGE = record_type(Range, types.int64, types.int64, _FLAG, _INTEGERS, _FLAG_TABLE, _INTEGERS, _TABLE, _VECTOR)
_EVIDENCE = record_type(
    Evidence, _MATRIX, _MATRIX, _MATRIX, _MATRIX, types.Array(types.float32, 2, "C"), _TABLE, _FLAGS
)

_fill_rows, _walk_trees, _fill_members, _combine = fill_rows.step, walk_trees.step, fill_members.step, combine.step
_fill_win_chances, _fill_course_chances = fill_win_chances.step, fill_course_chances.step
_add_courses, _bend = add_courses.step, bend.step


@kernel(types.boolean(_PARAMETERS, _RANGE, _EVIDENCE, _MATRIX, _MATRIX, _VECTOR))
def forecast_series(  # noqa: PLR0913, PLR0917 — what is known and what comes out
    model: Parameters,
    span: Range,
    evidence: Evidence,
    base: NDArray[np.float64],
    calibrated: NDArray[np.float64],
    reached: NDArray[np.float64],
) -> bool:
    """Whether all positions are known.

    Fills the pmfs before and after calibration, of shape [n, counts], and of each series the chance that the last map
    of the range is played once the first one is.
    """
    n, players = evidence.position.shape
    rows = np.empty((n * players * span.maps, _WIDTH), np.float32)
    if not _assemble(evidence, span, rows):
        return False
    means = _means(model, rows)
    if model.corrects:
        _correct(model, rows, evidence.draft, span.maps, means)
    chances = _course_chances(model, span, rows, n)
    _sum(model, span, evidence, means.reshape(n, players, span.maps, len(RESULTS)), chances, base)
    _bend(base, model.calibration if players * span.maps == 1 else model.calibration_of_sums, calibrated)
    for at in range(n):
        reached[at] = 0.0
        for course in range(len(span.played)):
            if span.played[course] == span.maps:
                reached[at] += chances[at, course]
    return True


@part
def _assemble(evidence: Evidence, span: Range, rows: NDArray[np.float32]) -> bool:
    """Whether all positions are known; ``rows`` lie by series, player and map. Maps differ in their number alone."""
    position = evidence.position.reshape(evidence.position.size)
    firsts = np.empty((len(position), _WIDTH), np.float32)
    numbers = np.full(len(position), span.first)
    known = _fill_rows(evidence.player, evidence.team, evidence.opponent, evidence.league, position, numbers, firsts)
    for at in range(len(rows)):
        for column in range(_WIDTH):
            rows[at, column] = firsts[at // span.maps, column]
        rows[at, _GAME_NUMBER] = span.first + at % span.maps
    return known


@part
def _sum(  # noqa: PLR0913, PLR0917 — as forecast_series
    model: Parameters,
    span: Range,
    evidence: Evidence,
    means: NDArray[np.float64],
    chances: NDArray[np.float64],
    pmf: NDArray[np.float64],
) -> None:
    """Fill the pmfs of the sums; ``means`` have the shape [n, players, maps, results]."""
    n, players = evidence.position.shape
    sizes = np.empty((n, players, len(RESULTS)))
    for at in range(n):
        for player in range(players):
            for result in range(len(RESULTS)):
                sizes[at, player, result] = model.sizes[evidence.position[at, player], result]
    _add_courses(
        means,
        sizes,
        evidence.same_side,
        span.played,
        span.won,
        chances,
        model.of_maps,
        model.of_mates,
        model.of_foes,
        pmf,
    )


@part
def _means(model: Parameters, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """What the members expect together, of shape [rows, results]."""
    factors, direct = np.empty((len(rows), len(RESULTS))), np.empty((len(rows), len(RESULTS)))
    _predict(model.correction, rows, factors)
    _predict(model.direct, rows, direct)
    members = np.empty((_MEMBERS, len(rows), len(RESULTS)))
    _fill_members(rows, model.structural, factors, direct, members)
    means = np.empty((len(rows), len(RESULTS)))
    _combine(model.weights, members.reshape(_MEMBERS, means.size), means.reshape(means.size))
    return means


@part
def _predict(trees: TreeTables, rows: NDArray[np.float32], predicted: NDArray[np.float64]) -> None:
    _walk_trees(
        trees.nodes,
        trees.roots,
        trees.sums,
        trees.depth,
        trees.features,
        trees.base_score,
        trees.log_link,
        rows,
        predicted,
    )


@part
def _correct(
    model: Parameters, rows: NDArray[np.float32], draft: NDArray[np.float32], maps: int, means: NDArray[np.float64]
) -> None:
    """What champions change, where they are known."""
    seen = np.empty((len(RESULTS) * len(rows), _CHAMPION + len(_POOL) + 2), np.float32)
    for at in range(len(seen)):
        row, result = at % len(rows), at // len(rows)
        for column in range(_CHAMPION):
            seen[at, column] = draft[row // maps, column]
        for column in range(len(_POOL)):
            seen[at, _CHAMPION + column] = rows[row, _POOL[column]]
        seen[at, -2] = means[row, result]
        seen[at, -1] = result
    factors = np.empty((len(seen), 1))
    _predict(model.draft, seen, factors)
    for at in range(len(seen)):
        row, result = at % len(rows), at // len(rows)
        if not np.isnan(draft[row // maps, 0]):
            means[row, result] *= factors[at, 0]


@part
def _course_chances(model: Parameters, span: Range, rows: NDArray[np.float32], n: int) -> NDArray[np.float64]:
    """The chance of each course, of shape [n, courses], seen from the first player's side."""
    win = np.empty(len(rows))
    _fill_win_chances(rows, model.rating_weight, model.roster_weight, win)
    of_first, step = np.empty((n, span.maps)), len(rows) // n
    for at in range(n):
        for offset in range(span.maps):
            of_first[at, offset] = win[at * step + offset]
    chances = np.empty((n, len(span.played)))
    if span.sure:
        for at in range(n):
            chances[at, 0] = of_first[at, 0]
            chances[at, 1] = 1.0 - of_first[at, 0]
    else:
        before = span.first - 1
        _fill_course_chances(
            of_first, model.spread, NODES, WEIGHTS, span.course, before, span.ways, span.share, chances
        )
    return chances


@kernel(_FIGURES(_VECTOR, _VECTOR, _FLOAT, _FLOAT), nogil=False)
def read_line(
    base: NDArray[np.float64], calibrated: NDArray[np.float64], line: float, coverage: float
) -> tuple[float, ...]:
    """What two pmfs say of a line, as `CountDistribution` works it out: FIGURES."""
    up_to, from_top, mean = _sums(calibrated)
    base_up_to, base_from_top, _ = _sums(base)
    first, beyond = _pushed(line, len(calibrated))
    over, base_over = _over(up_to, from_top, first, beyond), _over(base_up_to, base_from_top, first, beyond)
    likelier, tail = over >= 0.5, (1.0 - coverage) / 2
    return (
        1.0 if likelier else 0.0,
        _rounded(100.0 * (over if likelier else 1.0 - over)),
        _rounded(100.0 * (base_over if likelier else 1.0 - base_over)),
        _rounded(100.0 * (calibrated[first] if first < beyond else 0.0)),
        _rounded(mean),
        float(_quantile(up_to, tail)),
        float(_quantile(up_to, 1.0 - tail)),
    )


@kernel(_FLOAT(_VECTOR, _VECTOR, _MATRIX), nogil=False)
def read_curve(calibrated: NDArray[np.float64], lines: NDArray[np.float64], figures: NDArray[np.float64]) -> float:
    """The mean; fills CURVE_FIGURES of each line, of shape [3, lines]."""
    up_to, from_top, mean = _sums(calibrated)
    for at in range(len(lines)):
        over = _over(up_to, from_top, *_pushed(lines[at], len(calibrated)))
        likelier = over >= 0.5
        figures[0, at] = 1.0 if likelier else 0.0
        figures[1, at] = _rounded(100.0 * (over if likelier else 1.0 - over))
        figures[2, at] = _rounded(100.0 * over)
    return _rounded(mean)


def ready_to_read() -> None:
    """Have the machine code that lines are read with, as it was kept or compiled now."""
    read_line()
    read_curve()


@part
def _pushed(line: float, end: int) -> tuple[int, int]:
    """The counts that equal the line, as the bounds of a slice: what lies before is under, what is left is over."""
    return min(max(math.ceil(line), 0), end), min(max(math.floor(line) + 1, 0), end)


@part
def _rounded(value: float) -> float:
    return float(np.rint(value * _SCALE) / _SCALE)


@part
def _sums(pmf: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The probability of less than each count, that of each count or more, and the mean."""
    up_to, from_top = np.empty(len(pmf) + 1), np.empty(len(pmf) + 1)
    up_to[0] = from_top[len(pmf)] = mean = 0.0
    for count in range(len(pmf)):
        up_to[count + 1] = up_to[count] + pmf[count]
    for count in range(len(pmf) - 1, -1, -1):
        from_top[count] = from_top[count + 1] + pmf[count]
        mean += count * pmf[count]
    return up_to, from_top, mean


@part
def _quantile(up_to: NDArray[np.float64], probability: float) -> int:
    """The smallest count whose cdf reaches the probability."""
    for count in range(len(up_to) - 1):
        if up_to[count + 1] >= probability - ROUNDING:
            return count
    return len(up_to) - 2


@part
def _over(up_to: NDArray[np.float64], from_top: NDArray[np.float64], first: int, beyond: int) -> float:
    """The probability of what lies above a line, of what does not lie on it."""
    if from_top[beyond] == 0.0:
        return 0.0 if up_to[first] > 0.0 else 0.5
    return 1.0 / (1.0 + float(up_to[first] / from_top[beyond]))
