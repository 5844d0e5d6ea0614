"""The oracle: a simulated season's truth is found, joined row by row, and no forecast is better on average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cluster.backtest import truth_beside
from cluster.evaluation_tables import show_scores
from cluster.show import people
from pipelines.season import SeasonFiles, write_season
from stores.domain import negative_binomial
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import POSITION_INDEX, POSITIONS
from training.baselines import known_games
from training.evaluation.methods import RIFTLINE, ROLLING_MEAN
from training.evaluation.oracle import ORACLE, read_oracle
from training.evaluation.questions import questions_of
from training.evaluation.report import scores_of
from training.subsets import MAPS_1_2, ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from training.dataset import TrainingSet
    from training.evaluation.questions import Question
    from training.evaluation.report import Score


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> SeasonFiles:
    """Some 150 games and their truth."""
    return write_season(tmp_path_factory.mktemp("season"), games=150)


@pytest.fixture(scope="module")
def rows(season: SeasonFiles, make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """The players' rows of the season's match files, newest first: the truth lies in another order."""
    files = [pl.read_csv(path, infer_schema_length=None) for path in season.csv_files]
    played = pl.concat(files, how="vertical_relaxed").filter(pl.col("position") != "team")
    played = played.sort("date", "gameid", "participantid", descending=True)
    series = played.select(pl.concat_str("league", pl.col("date").str.slice(0, 10), "game", separator=" "))
    return make_rows(
        played["playername"].to_list(),
        played["date"].str.to_datetime("%Y-%m-%d %H:%M:%S").to_numpy(),
        counts={prop: played[str(prop)].to_numpy().astype(np.int64) for prop in PropType},
        match_id=played["gameid"].to_numpy().astype(object),
        series_id=series.to_series().to_numpy().astype(object),
        position=np.array([POSITION_INDEX[name] for name in played["position"]], dtype=np.int64),
    )


@pytest.fixture
def everything(rows: TrainingSet) -> NDArray[np.bool_]:
    """All rows are asked."""
    return np.ones(len(rows), dtype=np.bool_)


def one_map(rows: TrainingSet, prop: PropType, asked: NDArray[np.bool_]) -> Question:
    """The question of single maps."""
    return questions_of(rows, prop, asked, np.full(len(rows), 3.0), known_games(rows))[0]


@pytest.mark.parametrize("prop", PropType)
def test_every_row_gets_its_own_truth(season: SeasonFiles, rows: TrainingSet, prop: PropType) -> None:
    """On any asked part of the rows, the answer is the file's distribution of that player on that map."""
    asked = np.arange(len(rows)) % 3 == 1
    question = one_map(rows, prop, asked)
    found = read_oracle(season.truth_file, rows, asked).answers(question)[ORACLE]
    assert found.shape == (int(asked.sum()), question.counts)
    assert found.sum(axis=1) == pytest.approx(1.0)
    truth = pl.read_parquet(season.truth_file)
    for at in (0, 100, len(found) - 1):
        row = question.parts[0][at]
        (pmf,) = truth.filter(
            pl.col("gameid") == rows.match_id[row],
            pl.col("playername") == rows.player_name[row],
            pl.col("position") == str(POSITIONS[rows.position[row]]),
            pl.col("prop_type") == str(prop),
        )["pmf"]
        assert found[at, :-1] == pytest.approx(pmf.to_numpy()[: question.counts - 1])


@pytest.mark.parametrize("prop", PropType)
def test_the_oracle_beats_what_knows_less(
    season: SeasonFiles, rows: TrainingSet, everything: NDArray[np.bool_], prop: PropType
) -> None:
    """One distribution per role, though fitted on the very outcomes, has regret; the oracle has none."""
    scores = scored(season, rows, everything, prop)
    none, ours = scores[ORACLE].regret, scores[RIFTLINE].regret
    assert none
    assert ours
    assert (none.seen.value, none.expected.value) == (0.0, 0.0)
    assert 0 < ours.expected.low < ours.expected.value < ours.expected.high
    assert ours.seen.value == pytest.approx(100 * (scores[RIFTLINE].crps.value / scores[ORACLE].crps.value - 1))
    assert ours.seen.low < ours.expected.value < ours.seen.high
    assert scores[ORACLE].calibration.overall.low == 0.0


def scored(season: SeasonFiles, rows: TrainingSet, asked: NDArray[np.bool_], prop: PropType) -> dict[str, Score]:
    """The report of the oracle and of one distribution per role under the names that must be there."""
    question = one_map(rows, prop, asked)
    means = np.array([question.actual[question.position == at].mean() for at in range(len(POSITIONS))])
    pmf = negative_binomial.pmf(means[question.position], np.full(len(question.actual), 3.0), question.counts)
    oracle = read_oracle(season.truth_file, rows, asked)
    found = scores_of(question, {ROLLING_MEAN: pmf, RIFTLINE: pmf, **oracle.answers(question)})
    return {one.method: one for one in found}


def test_the_expected_regret_is_the_mean_over_outcomes_of_the_truth(
    season: SeasonFiles, rows: TrainingSet, everything: NDArray[np.bool_]
) -> None:
    """Outcomes drawn from the truth a thousand times over give the same regret as no outcome at all."""
    scores = scored(season, rows, everything, PropType.KILLS)
    question = one_map(rows, PropType.KILLS, everything)
    means = np.array([question.actual[question.position == at].mean() for at in range(len(POSITIONS))])
    said = np.cumsum(negative_binomial.pmf(means[question.position], np.full(len(rows), 3.0), question.counts), axis=1)
    pmf = read_oracle(season.truth_file, rows, everything).answers(question)[ORACLE]
    true = np.cumsum(pmf, axis=1)
    drawn = np.zeros(2)
    k = np.arange(question.counts)
    for y in k:  # every outcome with its true probability
        drawn += [(pmf[:, y] * ((cdf - (k >= y)) ** 2).sum(axis=1)).sum() for cdf in (said, true)]
    found = scores[RIFTLINE].regret
    assert found is not None
    assert found.expected.value == pytest.approx(100 * (drawn[0] / drawn[1] - 1))


def test_a_sum_over_maps_has_no_oracle(season: SeasonFiles, rows: TrainingSet, everything: NDArray[np.bool_]) -> None:
    """The truth holds single maps; the question of maps 1 and 2 is answered by nobody."""
    oracle = read_oracle(season.truth_file, rows, everything)
    single = one_map(rows, PropType.KILLS, everything)
    assert single.maps == ONE_MAP
    both = type(single)(
        **{name: getattr(single, name) for name in single.__slots__} | {"maps": MAPS_1_2, "parts": single.parts * 2}
    )
    assert oracle.answers(both) == {}


def test_a_row_without_truth_is_an_error_that_says_so(season: SeasonFiles, rows: TrainingSet, tmp_path: Path) -> None:
    """It counts the rows, names the first, and says what to do; rows that are not asked need no truth."""
    truth = pq.read_table(season.truth_file)
    lost = rows.match_id[7]
    part = tmp_path / "truth.parquet"
    pq.write_table(truth.filter(pa.array([one != lost for one in truth["gameid"].to_pylist()])), part)
    with pytest.raises(InvalidError, match=rf"no truth of 10 of {len(rows)} scored rows.* in {lost}.*written with"):
        read_oracle(part, rows, np.ones(len(rows), dtype=np.bool_))
    asked = rows.match_id != lost
    assert len(read_oracle(part, rows, asked).pmfs[PropType.KILLS]) == len(rows) - 10


def test_a_file_that_is_no_truth_is_refused(rows: TrainingSet, tmp_path: Path) -> None:
    """Other bytes, and a table without distributions."""
    asked = np.ones(len(rows), dtype=np.bool_)
    broken = tmp_path / "truth.parquet"
    broken.write_bytes(b"no parquet")
    with pytest.raises(InvalidError, match="cannot be read as truth"):
        read_oracle(broken, rows, asked)
    pq.write_table(pa.table({"gameid": ["a"]}), broken)
    with pytest.raises(InvalidError, match="cannot be read as truth"):
        read_oracle(broken, rows, asked)


def test_the_truth_lies_beside_the_matches(season: SeasonFiles, tmp_path: Path) -> None:
    """The season's folder and its folder of matches both lead to it; other match files have none."""
    matches = season.matches_folder
    for data in (matches, matches.parent):
        assert truth_beside(str(data)) == (str(matches), season.truth_file)
    assert truth_beside(str(season.csv_files[0])) == (str(season.csv_files[0]), None)
    assert truth_beside(str(tmp_path)) == (str(tmp_path), None)
    assert truth_beside("https://example.org/2026.csv.gz") == ("https://example.org/2026.csv.gz", None)


def test_people_read_the_regret_where_the_truth_is_known(
    season: SeasonFiles, rows: TrainingSet, everything: NDArray[np.bool_]
) -> None:
    """A table of its own, seen and expected; without truth there is no such table."""
    scores = scored(season, rows, everything, PropType.ASSISTS)
    with people.capture() as captured:
        show_scores("the title", tuple(scores.values()))
    text = captured.get()
    regret = scores[RIFTLINE].regret
    assert regret is not None
    for figure in (regret.seen, regret.expected):
        assert f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]" in text
    question = one_map(rows, PropType.ASSISTS, everything)
    pmf = negative_binomial.pmf(np.full(len(rows), 5.0), np.full(len(rows), 3.0), question.counts)
    without = scores_of(question, {ROLLING_MEAN: pmf, RIFTLINE: pmf})
    assert [one.regret for one in without] == [None, None]
    with people.capture() as captured:
        show_scores("the title", tuple(without))
    assert "Regret" not in captured.get()
