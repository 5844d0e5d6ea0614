"""Who wins which map, beside brute force over every course of a series."""

from __future__ import annotations

import itertools
from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.special import expit, logit

from actors.series_results import SeriesParameters
from stores.domain.props import FORMATS, MAX_MAP, MapRange
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.series_results import Results

SERIES = SeriesParameters(rating_weight=0.5, roster_weight=0.25, spread=0.6, formats=(0.2, 0.5, 0.3))
RANGES = [MapRange(first, last) for first, last in combinations_with_replacement(range(1, MAX_MAP + 1), 2)]
each_range = pytest.mark.parametrize("map_range", RANGES, ids=lambda one: f"{one.first}-{one.last}")


def spread_over(spread: float) -> SeriesParameters:
    """Series whose maps share so much."""
    return replace(SERIES, spread=spread)


def evenly(win: float, maps: int) -> NDArray[np.float64]:
    """One question with the same chance on every map, of shape [1, maps]."""
    return np.full((1, maps), win)


def chances_of(
    series: SeriesParameters, win: NDArray[np.float64], map_range: MapRange, best_of: int | None = None
) -> dict[Results, NDArray[np.float64]]:
    """The chances by course, of shape [n] each; the courses' arrays say the same as their results."""
    courses, chances = series.result_chances(win, map_range, best_of)
    for course, played, won in zip(courses.results, courses.played, courses.won, strict=True):
        assert tuple(won[:played].tolist()) == course
        assert won.shape == (len(map_range.maps),)
    return dict(zip(courses.results, chances.T, strict=True))


def courses(best_of: int) -> list[Results]:
    """Every course of a whole series, map by map until one side has the majority."""
    open_: list[Results] = [()]
    over: list[Results] = []
    while open_:
        course = open_.pop()
        wins = (sum(course), len(course) - sum(course))
        if max(wins) == best_of // 2 + 1:
            over.append(course)
        else:
            open_ += [(*course, won) for won in (True, False)]
    return over


def brute_force(
    series: SeriesParameters, win: NDArray[np.float64], map_range: MapRange, best_of: int | None
) -> dict[Results, float]:
    """The chances of the results within the range, by numerical integration over what the maps share.

    Maps before the range have the chance of its first; formats without all sure maps of the range do not come up.
    """
    shares = {best_of: 1.0} if best_of else dict(zip(FORMATS, series.formats, strict=True))
    log_odds = logit(win) * np.sqrt(1.0 + np.pi * series.spread**2 / 8.0)
    of_map = [log_odds[max(at - map_range.first, 0)] for at in range(1, map_range.last + 1)]
    found: dict[Results, float] = {}
    for format_, share in shares.items():
        if format_ < max(map_range.first, min(map_range.last, 2)):
            continue
        for course in {one[: map_range.last] for one in courses(format_)}:
            if len(course) < map_range.first:
                continue

            def density(shared: float, course: Results = course) -> float:
                given_ = [
                    expit((odds + shared) * (1 if won else -1)) for odds, won in zip(of_map, course, strict=False)
                ]
                return float(np.prod(given_) * stats.norm.pdf(shared, scale=series.spread))

            chance = share * integrate.quad(density, -8 * series.spread, 8 * series.spread)[0]
            within = course[map_range.first - 1 :]
            found[within] = found.get(within, 0.0) + chance
    total = sum(found.values())
    return {within: chance / total for within, chance in found.items()}


def test_log_odds_are_the_weighted_differences() -> None:
    """Ratings of equal strength are even; each difference counts by its weight, from either side alike."""
    features = np.zeros((3, len(MODEL_FEATURES)), dtype=np.float32)
    features[1, MODEL_FEATURES.index("rating_difference")] = 2.0
    features[1, MODEL_FEATURES.index("roster_difference")] = -1.0
    features[2] = -features[1]
    even, better, worse = SERIES.win_probability(features)
    assert even == 0.5
    assert better == pytest.approx(1.0 / (1.0 + np.exp(-(0.5 * 2.0 - 0.25))))
    assert worse == pytest.approx(1.0 - better)


@pytest.mark.parametrize(
    ("map_range", "best_of"),
    [(one, best_of) for one in RANGES for best_of in (None, 3, 5) if best_of is None or one.last <= best_of],
    ids=str,
)
def test_chances_are_those_of_all_courses(map_range: MapRange, best_of: int | None) -> None:
    """Each course of the range is as likely as the series that take it; nothing else is possible."""
    win = np.linspace(0.35, 0.7, len(map_range.maps))
    found = chances_of(SERIES, win[None, :], map_range, best_of)
    expected = brute_force(SERIES, win, map_range, best_of)
    assert set(found) == set(expected)
    for course, chance in found.items():
        # a single sure map is not integrated but taken as rated
        assert chance[0] == pytest.approx(expected[course], abs=2e-3 if map_range.last <= 2 else 1e-4)


@given(
    win=st.lists(st.floats(0.02, 0.98), min_size=5, max_size=5),
    spread=st.floats(0.0, 1.5),
    map_range=st.sampled_from(RANGES),
    best_of=st.sampled_from([None, 5]),
)
def test_chances_sum_to_one_and_mirror(
    win: list[float], spread: float, map_range: MapRange, best_of: int | None
) -> None:
    """Whoever is named first: with the other side's chances every course is its own mirror."""
    chances = np.array([win[: len(map_range.maps)]])
    found = chances_of(spread_over(spread), chances, map_range, best_of)
    mirrored = chances_of(spread_over(spread), 1.0 - chances, map_range, best_of)
    assert sum(chance[0] for chance in found.values()) == pytest.approx(1.0, abs=1e-12)
    assert set(found) == set(mirrored)
    for course, chance in found.items():
        assert chance[0] >= 0.0
        assert mirrored[tuple(not won for won in course)][0] == pytest.approx(chance[0], abs=1e-12)


@given(st.floats(0.05, 0.95), st.floats(0.0, 0.6), st.sampled_from([3, 5]))
def test_what_maps_share_leaves_a_single_map_as_rated(win: float, spread: float, best_of: int) -> None:
    """The first map of a whole series is won as often as when it is asked for alone, within 2 in a thousand."""
    map_range = MapRange(1, best_of)
    chances = chances_of(spread_over(spread), evenly(win, best_of), map_range, best_of)
    first = sum(chance[0] for course, chance in chances.items() if course[0])
    assert first == pytest.approx(win, abs=2e-3)
    alone = chances_of(spread_over(spread), evenly(win, 1), MapRange(1, 1), best_of)
    assert alone == {(True,): np.array([win]), (False,): np.array([1.0 - win])}


def test_even_sides_reach_the_third_map_half_the_time() -> None:
    """A best of three between equals that share nothing: 1/4 each way for 2-0, the rest goes the whole way."""
    chances = chances_of(spread_over(0.0), evenly(0.5, 3), MapRange(1, 3), 3)
    assert sum(chance[0] for course, chance in chances.items() if len(course) == 3) == pytest.approx(0.5)
    assert chances[True, True][0] == pytest.approx(0.25)


def test_what_maps_share_makes_series_short() -> None:
    """The more a series has of its own, the likelier a side wins both of its first maps."""
    swept = []
    for spread in (0.0, 0.4, 0.8, 1.2):
        chances = chances_of(spread_over(spread), evenly(0.5, 2), MapRange(1, 2), 3)
        swept.append(chances[True, True][0] + chances[False, False][0])
    assert swept[0] == pytest.approx(0.5)
    assert (np.diff(swept) > 0.01).all()


def test_a_third_map_is_a_tie_before() -> None:
    """That a best of three goes on says the sides are level: the better one is no surer than without the knowledge."""
    (better,) = chances_of(spread_over(1.0), evenly(0.7, 1), MapRange(3, 3), 3)[True,]
    assert 0.5 < better < 0.7
    (even,) = chances_of(spread_over(1.0), evenly(0.5, 1), MapRange(3, 3), 3)[True,]
    assert even == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("map_range", "best_of"), [(MapRange(2, 2), 1), (MapRange(1, 2), 1), (MapRange(3, 3), 1), (MapRange(4, 5), 3)]
)
def test_a_format_without_the_map_is_refused(map_range: MapRange, best_of: int) -> None:
    """Nothing is answered of a map that cannot be played, and the error names the format."""
    with pytest.raises(InvalidError) as caught:
        SERIES.result_chances(evenly(0.5, len(map_range.maps)), map_range, best_of)
    assert caught.value.field == "best_of"


def test_chances_of_other_maps_are_refused() -> None:
    """The chance of each map of the range is needed, and all features to tell it."""
    with pytest.raises(InvalidError, match="each of its maps"):
        SERIES.result_chances(evenly(0.5, 2), MapRange(1, 3))
    with pytest.raises(InvalidError, match="MODEL_FEATURES"):
        SERIES.win_probability(np.zeros((1, 3), dtype=np.float32))


@each_range
def test_a_series_alone_and_among_many_agree_to_the_bit(map_range: MapRange) -> None:
    """However many series are asked at once, each gets the same bits."""
    win = np.random.default_rng(2).uniform(0.05, 0.95, (37, len(map_range.maps)))
    together = chances_of(SERIES, win, map_range)
    for row in range(len(win)):
        alone = chances_of(SERIES, win[row : row + 1], map_range)
        for course, chance in together.items():
            assert alone[course].tobytes() == chance[row : row + 1].tobytes()


def test_only_formats_with_the_map_come_up() -> None:
    """Without a format, map 3 is of best of three and five by their shares, map 4 of best of five alone."""
    reached = {
        course: float(chance[0])
        for course, chance in chances_of(spread_over(0.0), evenly(0.5, 2), MapRange(3, 4)).items()
    }
    # of the series with a map 3: 0.5 * 1/2 of best of three, 0.3 of best of five, of which 3/4 go on to map 4
    three, five = 0.5 * 0.5, 0.3
    fourth = sum(chance for course, chance in reached.items() if len(course) == 2)
    assert fourth == pytest.approx(five * 0.75 / (three + five))
    assert set(itertools.product((True, False), repeat=2)) <= set(reached)
