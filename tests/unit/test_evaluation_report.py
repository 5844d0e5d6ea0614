"""The report of methods whose truth is known: a true forecast, one too narrow, and one without knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from cluster.evaluation_tables import show_scores
from cluster.show import people
from stores.domain import negative_binomial
from stores.domain.props import MapRange, PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES
from training.baselines import known_games
from training.evaluation.methods import RIFTLINE, ROLLING_MEAN, baseline, model_pmf
from training.evaluation.plots import draw_plots
from training.evaluation.questions import Question, questions_of
from training.evaluation.report import Score, scores_of
from training.scores import crps, log_scores
from training.subsets import MAPS_1_2, ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from training.dataset import TrainingSet

ROWS, SERIES, COUNTS = 6_000, 300, 60
NARROW = "too narrow"
START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")


@pytest.fixture(scope="module")
def question() -> Question:
    """Counts drawn from negative binomials of known means; roles and known games of every kind."""
    rng = np.random.default_rng(20)
    means = rng.uniform(1.0, 8.0, ROWS)
    rows = np.arange(ROWS)
    return Question(
        prop=PropType.KILLS,
        maps=ONE_MAP,
        parts=(rows,),
        actual=stats.nbinom.rvs(4.0, 4.0 / (4.0 + means), random_state=rng),
        lines=np.floor(means) + 0.5,
        position=rows % 5,
        series=(rows % SERIES).astype(str).astype(object),
        known_games=rng.choice([0, 3, 10, 30, 90], ROWS),
    )


@pytest.fixture(scope="module")
def pmfs(question: Question) -> dict[str, NDArray[np.float64]]:
    """The truth under our own name, a Poisson of the true mean, and one distribution for all rows."""
    rng = np.random.default_rng(20)
    means = rng.uniform(1.0, 8.0, ROWS)
    return {
        ROLLING_MEAN: negative_binomial.pmf(np.full(ROWS, question.actual.mean()), np.full(ROWS, 2.0), COUNTS),
        NARROW: negative_binomial.pmf(means, np.full(ROWS, 1e6), COUNTS),
        RIFTLINE: negative_binomial.pmf(means, np.full(ROWS, 4.0), COUNTS),
    }


@pytest.fixture(scope="module")
def scores(question: Question, pmfs: dict[str, NDArray[np.float64]]) -> dict[str, Score]:
    """The report, by method."""
    return {one.method: one for one in scores_of(question, pmfs)}


def test_a_true_forecast_is_seen_to_be_true(scores: dict[str, Score]) -> None:
    """Its intervals cover what they hold, its sure calls come true as often as said, its PIT is flat."""
    ours = scores[RIFTLINE]
    for one in ours.coverage:
        assert one.held >= one.level
        assert one.covered.low - 0.01 < one.held < one.covered.high + 0.01
    for call in ours.selective:
        assert call.right.low - 0.01 < call.said < call.right.high + 0.01
    assert ours.calibration.overall.value < 0.01
    assert ours.pit == pytest.approx([0.05] * 20, abs=0.012)
    assert ours.reliability.said == pytest.approx(ours.reliability.happened, abs=0.03)


def test_a_narrow_forecast_is_found_out(scores: dict[str, Score]) -> None:
    """Its intervals cover less than they hold, its sure calls come true less often than said, its PIT is a bowl."""
    narrow = scores[NARROW]
    for one in narrow.coverage:
        assert one.covered.high < one.held
    assert narrow.selective[-1].right.high < narrow.selective[-1].said
    assert narrow.calibration.overall.low > scores[RIFTLINE].calibration.overall.high
    assert min(narrow.pit[0], narrow.pit[-1]) > 1.5 * narrow.pit[10]


def test_figures_are_those_of_the_rows(
    scores: dict[str, Score], question: Question, pmfs: dict[str, NDArray[np.float64]]
) -> None:
    """Means are plain means, groups those of their rows, differences those of the means; each inside its interval."""
    y, ours = question.actual, scores[RIFTLINE]
    assert (ours.rows, ours.series) == (ROWS, SERIES)
    assert ours.crps.value == pytest.approx(crps(pmfs[RIFTLINE], y).mean())
    assert ours.log_score.value == pytest.approx(log_scores(pmfs[RIFTLINE], y).mean())
    of_rolling = crps(pmfs[ROLLING_MEAN], y).mean()
    assert ours.versus_rolling_mean.crps.value == pytest.approx(100 * (ours.crps.value / of_rolling - 1))
    assert ours.versus_rolling_mean.crps.high < 0 < ours.crps.low < ours.crps.value < ours.crps.high
    assert scores[ROLLING_MEAN].versus_rolling_mean.log_score.value == 0.0
    assert ours.versus_riftline.crps.value == 0.0
    of_narrow = log_scores(pmfs[NARROW], y).mean()
    assert scores[NARROW].versus_riftline.log_score.value == pytest.approx(100 * (of_narrow / ours.log_score.value - 1))
    assert scores[NARROW].versus_riftline.log_score.low > 0
    own = crps(pmfs[RIFTLINE], y)
    assert ours.crps_by_role["mid"].value == pytest.approx(own[question.position == 2].mean())
    for tier, games in {"1": 90, "2": 30, "3": 10, "4": 3, "5": 0}.items():
        assert ours.crps_by_tier[tier].value == pytest.approx(own[question.known_games == games].mean())


def test_the_tables_name_every_method_and_figure(scores: dict[str, Score]) -> None:
    """People read the methods, the figures with their intervals, and the share of sure calls."""
    with people.capture() as captured:
        show_scores("the title", tuple(scores.values()))
    text = captured.get()
    ours = scores[RIFTLINE]
    lines = [line for line in text.splitlines() if line.startswith("│ kills")]
    assert all(sum(f"│ {method} " in line for line in lines) == 4 for method in scores)
    assert f"{ours.crps.value:.4f} [{ours.crps.low:.4f}, {ours.crps.high:.4f}]" in text
    assert f"{100 * ours.selective[-1].right.value:.1f} ({100 * ours.selective[-1].said:.1f})" in text
    assert f"{100 * ours.coverage[1].covered.value:.1f} ({100 * ours.coverage[1].held:.1f})" in text


def test_the_same_report_gives_the_same_pictures(scores: dict[str, Score], tmp_path: Path) -> None:
    """Eight files, byte for byte the same the second time, and none of them tells the day."""
    first, second = (draw_plots(tuple(scores.values()), tmp_path / name) for name in ("a", "b"))
    assert {path.name for path in first} == {
        f"{name}.{suffix}"
        for name in ("reliability", "pit", "crps_by_role", "crps_by_tier")
        for suffix in ("svg", "png")
    }
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert b"dc:date" not in one.read_bytes()
    assert b"<svg" in (tmp_path / "a" / "pit.svg").read_bytes()


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """Fifty series of three maps between two players, with features that the trees can read."""
    rng = np.random.default_rng(21)
    series, game, player = (axis.ravel() for axis in np.meshgrid(range(50), range(3), range(2), indexing="ij"))
    opened = START + series * 24 * HOUR
    return make_rows(
        [f"p{one}" for one in player],
        opened + game * HOUR,
        series_started_at=opened,
        series_id=series.astype(str).astype(object),
        game_number=game + 1,
        kills=rng.poisson(3.0 + player),
        position=player * 3,
        features=rng.uniform(0.0, 20.0, size=(300, len(MODEL_FEATURES))).astype(np.float32),
        draft=rng.uniform(0.5, 1.5, size=(300, len(CHAMPION_FEATURES))).astype(np.float32),
    )


def test_questions_sum_maps_one_and_two_of_the_asked(rows: TrainingSet) -> None:
    """Single maps are all asked rows; sums have one row per player and series, and the line of the summed means."""
    asked = rows.series_started_at >= START + 30 * 24 * HOUR
    means = np.linspace(1.0, 4.0, len(rows))
    one, both = questions_of(rows, PropType.KILLS, asked, means, known_games(rows))
    assert (one.maps, both.maps) == (ONE_MAP, MAPS_1_2)
    assert one.parts[0].tolist() == np.flatnonzero(asked).tolist()
    assert len(both.actual) == 20 * 2
    for at, (first, second) in enumerate(zip(*both.parts, strict=True)):
        assert (rows.game_number[first], rows.game_number[second]) == (1, 2)
        assert rows.series_id[first] == rows.series_id[second] == both.series[at]
        assert rows.player_id[first] == rows.player_id[second]
        assert both.actual[at] == rows.counts[PropType.KILLS][[first, second]].sum()
        assert both.lines[at] == np.floor(means[first] + means[second]) + 0.5
        assert both.known_games[at] == 3 * int(rows.series_id[first])


def test_a_question_without_rows_is_left_out(rows: TrainingSet) -> None:
    """Where only first maps were played there is no sum to ask for."""
    singles = rows.where(rows.game_number == 1)
    asked = np.ones(len(singles), dtype=bool)
    found = questions_of(singles, PropType.KILLS, asked, np.ones(len(singles)), known_games(singles))
    assert [question.maps for question in found] == [ONE_MAP]


@pytest.mark.parametrize("drafted", [False, True], ids=["before the draft", "drafted"])
def test_the_model_says_what_it_serves(rows: TrainingSet, small_model: PropEnsemble, *, drafted: bool) -> None:
    """The report scores the very distributions that answers are made of, for one map and for two."""
    asked = np.ones(len(rows), dtype=bool)
    one, both = questions_of(rows, PropType.KILLS, asked, np.ones(len(rows)), known_games(rows))
    for question, map_range in ((one, MapRange(1, 1)), (both, MapRange(1, 2))):
        found = model_pmf(small_model, rows, question, drafted=drafted)
        assert found.shape == (len(question.actual), question.counts)
        for at in (0, 17):
            maps = [int(part[at]) for part in question.parts]
            means = small_model.map_means(PropType.KILLS, rows.features[maps], rows.draft[maps] if drafted else None)
            (served,) = small_model.forecasts(PropType.KILLS, means, question.position[[at]][:, None], map_range)
            assert found[at] == pytest.approx(served.calibrated.pmf, abs=1e-12)


def test_a_baseline_has_the_best_spread_of_each_role(rows: TrainingSet) -> None:
    """Poisson counts get nearly Poisson's spread, on the known rows alone; a sum has twice the mean and the size."""
    known = rows.series_started_at < START + 30 * 24 * HOUR
    means = 3.0 + (rows.position == 3)
    one, both = questions_of(rows, PropType.KILLS, ~known, means, known_games(rows))
    method = baseline(rows, PropType.KILLS, known, means)
    k = np.arange(both.counts)
    single, double = method(one), method(both)
    assert single[:, : one.counts - 1] @ k[: one.counts - 1] == pytest.approx(means[one.parts[0]])
    variance = double @ k**2 - (double @ k) ** 2
    assert double @ k == pytest.approx(2 * means[both.parts[0]])
    assert (variance / (double @ k) < 1.6).all()
