"""Training runs in a real MLflow store, read back by MLflow's own client; and a mirror that fails."""

from __future__ import annotations

import json
import os
import socket
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.models import MODEL_NAME, ModelRecord
from stores.errors import InvalidError, TransientError
from stores.mlflow_mirror import EXPERIMENT, REPORT_FILE, MlflowMirror
from stores.settings import MlflowSettings, Settings
from training.gate_report import GateCheck, GateReport
from training.release import Release
from training.retrain import mirrored, opened_mirror

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = GateReport((GateCheck("kills: crps", passed=False, measured=1.3, bound=1.2, reason="1.3 is above 1.2"),))
RECORD = ModelRecord(
    model_name=MODEL_NAME,
    model_version="20260314.120000",
    framework="xgboost",
    algorithm="trees",
    hyperparameters={"eta": 0.04, "max_depth": 3, "search": {"trials": [1, 2]}},
    feature_schema={"features": ["kills_mean_10"]},
    feature_version="f1",
    training_metrics={"kills_crps": 1.25, "rows": 12_345},
    model_artifact_path="models/20260314.120000",
    model_size_bytes=123_456,
    checksum="ab" * 32,
    lake_snapshot_id=2**62,
    trained_at=datetime(2026, 3, 14, 12, tzinfo=UTC),
)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file store must be allowed by name; what the mirror sets is taken back."""
    before = dict(os.environ)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    yield
    os.environ.clear()
    os.environ.update(before)


def _settings(uri: str) -> Settings:
    return Settings.from_env({"MLFLOW_TRACKING_URI": uri})


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_is_read_back_by_mlflow(tmp_path: Path) -> None:
    """Parameters, metrics, tags, the artefact's checksum and the report; nested parameters are in the report alone."""
    uri = tmp_path.as_uri()
    mirror = opened_mirror(_settings(uri))
    mirrored(mirror, Release(RECORD, None, REFUSED))
    mlflow: Any = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
    assert (run.info.run_name, run.info.status) == (RECORD.model_version, "FINISHED")
    assert run.info.start_time == RECORD.trained_at.timestamp() * 1000
    assert run.data.params == {"eta": "0.04", "max_depth": "3"}
    assert run.data.metrics == {"kills_crps": 1.25, "rows": 12_345.0}
    tags = {name: value for name, value in run.data.tags.items() if not name.startswith("mlflow.")}
    assert len(tags.pop("code_version")) == 16
    assert tags == {
        "model_name": MODEL_NAME,
        "model_version": RECORD.model_version,
        "lake_snapshot_id": str(2**62),
        "feature_version": "f1",
        "gates": "failed",
        "released": "false",
        "artifact_path": RECORD.model_artifact_path,
        "artifact_checksum": RECORD.checksum,
    }
    report = json.loads((tmp_path / client.download_artifacts(run.info.run_id, REPORT_FILE)).read_text())
    assert report["gates"] == REFUSED.to_json()
    assert report["hyperparameters"] == RECORD.hyperparameters
    assert report["lake_snapshot_id"] == 2**62


def test_runs_share_an_experiment(tmp_path: Path) -> None:
    """The second version finds the first one's."""
    mirror = MlflowMirror(MlflowSettings(tmp_path.as_uri()))
    ids = {mirror.record(RECORD, REFUSED.to_json(), released=True, code_version="c") for _ in range(2)}
    assert len(ids) == 2


def test_a_mirror_that_is_away_costs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """The training is done; neither the error nor the log shows the password."""
    mirror = opened_mirror(_settings(f"http://user:hunter2@127.0.0.1:{_closed_port()}"))
    assert mirror is not None
    mirrored(mirror, Release(RECORD, RECORD, GateReport(())))
    (warning,) = [record for record in caplog.records if record.name == "training.retrain"]
    assert warning.levelname == "WARNING"
    assert "MLflow did not take 20260314.120000" in warning.getMessage()
    assert "hunter2" not in warning.getMessage()
    with pytest.raises(TransientError):
        mirror.record(RECORD, REFUSED.to_json(), released=True, code_version="c")


def test_without_the_library_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before anything is trained, and only where the variable is set."""
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InvalidError, match=r"pip install riftline\[mlflow\]") as refused:
        opened_mirror(_settings(tmp_path.as_uri()))
    assert refused.value.field == "MLFLOW_TRACKING_URI"
    assert opened_mirror(_settings("")) is None


def test_the_uri_is_not_shown() -> None:
    """It may hold a password."""
    settings = _settings("https://user:hunter2@host")
    assert "hunter2" in settings.mlflow.tracking_uri
    assert "hunter2" not in repr(settings)
