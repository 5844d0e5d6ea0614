"""`riftline evaluate`: a back-test on the cluster's lake, or on files of its own that leave the lake alone."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pyarrow.parquet as pq

from cluster import head
from cluster.connection import connected
from cluster.local import simulated_season
from pipelines.ingest import ingest
from pipelines.season.export import is_simulated
from pipelines.sources import discover
from stores.clock import utc_now
from stores.errors import InvalidError
from stores.features.tables import ALL_TABLES
from stores.lake.catalog import IcebergLake
from stores.lake.tables import MATCH_ROWS
from stores.settings import LakeSettings
from training.boosting import BoostingCluster, BoostingParams
from training.evaluation.backtest import Evaluation, evaluate
from training.evaluation.peers import require_peers
from training.retrain import read_training_set

if TYPE_CHECKING:
    from datetime import date

    from cluster.local import Steps
    from stores.roles.lake import Lake
    from stores.settings import Settings


def back_test(  # noqa: PLR0913 — where, what, when, beside what, and who is told
    settings: Settings,
    data: str | None,
    since: date,
    until: date,
    steps: Steps,
    *,
    peers: bool = False,
    ablate: bool = False,
) -> Evaluation:
    """Train before ``since``, score [since, until); the rest as `training.evaluation.backtest.evaluate` has it.

    With ``data`` the files go into a lake of their own under ``evaluations/``, kept so that the next back-test of the
    same bytes starts from it. A simulated season is scored beside its truth, where that lies (`truth_beside`). A
    cluster is started for the run if none is running, and stopped again. Raises InvalidError if one of the files cannot
    be read: scores of a part would pass for scores of the whole.
    """
    if peers:
        require_peers()
    steps.begin("Ray cluster")
    started = head.start(settings)
    try:
        with connected(settings):
            lake, truth = _from_files(settings, data, steps) if data else _from_lake(settings, steps)
            steps.begin("back-test")
            rows, _ = read_training_set(lake)
            params, cluster = BoostingParams(), BoostingCluster()
            say = steps.detail
            return evaluate(rows, since, until, params, cluster, say, peers=peers, truth=truth, ablate=ablate)
    finally:
        if started:
            head.stop(settings)


def _from_files(settings: Settings, data: str, steps: Steps) -> tuple[Lake, Path | None]:
    """A lake of the files' own, and their truth."""
    matches, truth = truth_beside(data)
    folder = settings.home / "evaluations" / _fingerprint(matches)
    lake = IcebergLake(
        LakeSettings(catalog_uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
    )
    steps.begin("data")
    report = ingest(lake, matches, utc_now(), steps.detail)
    if report.failed:
        raise InvalidError(f"{report.failed[0].source}: {report.failed[0].error}", "--data")
    return lake, truth


def _from_lake(settings: Settings, steps: Steps) -> tuple[Lake, Path | None]:
    """The cluster's lake, and the truth of the season that `riftline up` wrote if the lake holds nothing else.

    Where nothing was ever ingested, a lake of the simulated season.
    """
    lake = IcebergLake(settings.lake)
    lake.ensure(ALL_TABLES)
    if lake.snapshot_id(MATCH_ROWS) is None:
        return _from_files(settings, str(simulated_season(settings)), steps)
    sources = set(lake.read(MATCH_ROWS, columns=("source",))["source"].to_pylist())
    simulated = bool(sources) and all(is_simulated(source) for source in sources)
    return lake, truth_beside(str(settings.home / "season"))[1] if simulated else None


def truth_beside(data: str) -> tuple[str, Path | None]:
    """Where the match files of a location lie, and the file of true distributions if they are a simulated season's.

    A season is a folder that holds `matches/` and `truth/truth.parquet`; ``data`` names it or its `matches/`.
    """
    folder = Path(data).absolute()
    season = folder.parent if folder.name == "matches" else folder
    matches, truth = season / "matches", season / "truth" / "truth.parquet"
    return (str(matches), truth) if matches.is_dir() and truth.is_file() else (data, None)


def _fingerprint(data: str) -> str:
    """Tells the bytes of all files at a location from any others; a URL stands for itself."""
    digest = hashlib.sha256()
    for source in discover(data):
        path = Path(source)
        digest.update(hashlib.sha256(path.read_bytes() if path.is_file() else source.encode()).digest())
    return digest.hexdigest()[:16]


def write_report(report: Evaluation, scores: Path | None, predictions: Path | None, plots: Path | None) -> None:
    """The scores as JSON, every distribution as Parquet, the pictures into a folder; each where one is given."""
    if scores:
        scores.write_bytes(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2))
    if predictions:
        pq.write_table(report.predictions, predictions)
    if plots:
        from training.evaluation.plots import draw_plots  # noqa: PLC0415 — a plotting library is a second to load

        draw_plots(report.scores, plots)
