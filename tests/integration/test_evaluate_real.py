"""The back-test on real top-league games: trained to March 2026, scored on April and May, beside the baselines."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import numpy as np
import orjson
import polars as pl
import pytest

from cluster.evaluation_tables import show_scores
from pipelines.candidates import CANDIDATE_SCHEMA
from pipelines.cleaning import clean_row
from pipelines.resolve import resolve
from pipelines.silver_rows import to_arrow
from pipelines.snapshots import take_snapshots
from pipelines.sources import read_source
from stores.domain.props import PropType
from stores.lake.tables import PLAYER_PERFORMANCE
from training.boosting import BoostingCluster, BoostingParams
from training.dataset import TrainingSet, build_training_set
from training.evaluation.backtest import Evaluation, evaluate
from training.evaluation.predictions import PREDICTION_SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

    from training.evaluation.report import Score

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]  # 90 s alone, minutes on a machine at work

INGESTED = datetime(2026, 6, 1, tzinfo=UTC)
SINCE, UNTIL = date(2026, 4, 1), date(2026, 6, 1)
EACH = [(prop, maps) for prop in PropType for maps in ("one", "1-2")]


@pytest.fixture(scope="module")
def rows(real_data_dir: Path) -> TrainingSet:
    """The point-in-time rows of the top leagues, from the files to the join."""
    candidates = []
    for name in ("players_2025.parquet", "players_2026.parquet"):
        source = read_source(str(real_data_dir / "lol" / name))
        for row in source.rows:
            origin = {
                "source": source.source,
                "source_sha256": source.sha256,
                "layout": str(source.layout),
                "row_number": row.row_number,
                "ingested_at": INGESTED,
            }
            candidates.append(origin | clean_row(source.layout, row.payload))
    players = resolve(pl.DataFrame(candidates, schema=CANDIDATE_SCHEMA), "test").players
    silver = to_arrow(players, PLAYER_PERFORMANCE.schema)
    gold = take_snapshots(silver)
    return build_training_set(silver, gold.players, gold.teams, gold.tournaments, gold.champions)


@pytest.fixture(scope="module")
def report(rows: TrainingSet, ray_cluster: None) -> Evaluation:  # noqa: ARG001 — the training's
    """The back-test, run once; its table is printed (pytest -s)."""
    made = evaluate(rows, SINCE, UNTIL, BoostingParams(), BoostingCluster())
    show_scores(f"{SINCE} to {UNTIL}", made.scores)
    print(made.fitted.metrics)  # noqa: T201 — the report is the point
    return made


def scores_of(report: Evaluation, prop: PropType, maps: str) -> dict[str, Score]:
    """The scores of all methods on the same rows."""
    return {one.method: one for one in report.scores if (one.prop_type, one.maps) == (prop, maps)}


@pytest.mark.parametrize(("prop", "maps"), EACH)
def test_riftline_beats_the_baselines(report: Evaluation, prop: PropType, maps: str) -> None:
    """On the same rows both proper scores beat each peer's, the rolling mean's beyond doubt; so does the draft ours."""
    scores = scores_of(report, prop, maps)
    ours = scores.pop("riftline")
    drafted = scores.pop("riftline, champions known")
    assert drafted.versus_riftline.crps.high < 0
    assert drafted.versus_riftline.log_score.high < 0
    assert set(scores) == {"position mean", "rolling mean", "xgboost Poisson"}
    for other in scores.values():
        assert other.rows == ours.rows > 1_000
        assert ours.crps.value < other.crps.value
        assert ours.log_score.value < other.log_score.value
        assert ours.accuracy_own_line.value > other.accuracy_own_line.value
    assert ours.versus_rolling_mean.crps.high < 0
    assert ours.versus_rolling_mean.log_score.high < 0


@pytest.mark.parametrize("prop", PropType)
def test_single_maps_are_calibrated(report: Evaluation, prop: PropType) -> None:
    """What is said with p percent comes true in p percent of the cases, within two points on average."""
    assert scores_of(report, prop, "one")["riftline"].calibration.overall.value < 0.02


def test_the_predictions_are_whole_distributions(report: Evaluation, rows: TrainingSet) -> None:
    """Every scored row is in the table of the documented schema, with probabilities that sum to 1."""
    table = report.predictions
    assert table.schema == PREDICTION_SCHEMA
    for column in table.schema.names:
        assert table[column].null_count == 0
    assert table.num_rows == sum(one.rows for one in report.scores if one.method == "riftline")
    for pmf in table["pmf"].to_numpy(zero_copy_only=False):
        assert pmf.min() >= 0
        assert pmf.sum() == pytest.approx(1.0, abs=1e-9)
    asked = rows.series_started_at >= np.datetime64(SINCE)
    singles = table.filter(np.asarray(table["map_first"]) == np.asarray(table["map_last"]))
    assert set(singles["gameid"].to_pylist()) == set(rows.match_id[asked])


def test_the_report_reads_as_json(report: Evaluation) -> None:
    """The report for machines holds every score with its interval around it."""
    scores = orjson.loads(orjson.dumps(report.to_json()))["scores"]
    assert len(scores) == len(EACH) * 5
    for one in scores:
        for name in ("log_score", "crps", "accuracy_own_line", "accuracy_curve"):
            assert one[name]["low"] < one[name]["value"] < one[name]["high"]
