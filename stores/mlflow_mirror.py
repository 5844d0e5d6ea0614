"""Training runs mirrored to MLflow, for people who compare models there. The registry stays what everything asks."""

from __future__ import annotations

import math
import os
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.domain.models import ModelRecord
    from stores.settings import MlflowSettings

EXPERIMENT = "riftline"
REPORT_FILE = "model-report.json"
_LOGIN = re.compile(r"//[^/@\s]*@")
_CALM = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # else it tells its makers of each run
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # 7 by default: minutes, while a server is away
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds; 120 by default
}


class MlflowMirror:
    """Each trained version as a run of the experiment `riftline`, named by its version.

    A copy that nothing of Riftline reads. A version that is mirrored twice has two runs; one that failed in the middle
    stays RUNNING there.
    """

    def __init__(self, settings: MlflowSettings) -> None:
        """Raises InvalidError when the library is not installed or the URI is none. Opens nothing."""
        for name, value in _CALM.items():
            os.environ.setdefault(name, value)
        try:
            import mlflow  # noqa: PLC0415 — an extra, and slow to load
        except ImportError as error:
            raise InvalidError(
                "MLFLOW_TRACKING_URI is set and mlflow is not installed; run `pip install riftline[mlflow]` "
                "or unset the variable",
                "MLFLOW_TRACKING_URI",
            ) from error
        try:
            self._client = mlflow.MlflowClient(tracking_uri=settings.tracking_uri)
        except Exception as error:
            raise InvalidError(f"MLFLOW_TRACKING_URI leads nowhere: {_shown(error)}", "MLFLOW_TRACKING_URI") from error

    def record(self, record: ModelRecord, gates: Mapping[str, Any], *, released: bool, code_version: str) -> str:
        """Mirror a registered version; the run's id. ``gates`` is the report of the gates as JSON.

        Raises TransientError when MLflow did not take all of it, for whatever reason.
        """
        try:
            return self._record(record, gates, released=released, code_version=code_version)
        except Exception as error:
            raise TransientError(f"MLflow did not take {record.model_version}: {_shown(error)}") from error

    def _record(self, record: ModelRecord, gates: Mapping[str, Any], *, released: bool, code_version: str) -> str:
        from mlflow.entities import Metric, Param  # noqa: PLC0415 — as above

        at_ms = int(record.trained_at.timestamp() * 1000)
        tags = {
            "model_name": record.model_name,
            "model_version": record.model_version,
            "lake_snapshot_id": str(record.lake_snapshot_id),
            "feature_version": record.feature_version,
            "code_version": code_version,
            "gates": "passed" if gates["passed"] else "failed",
            "released": str(released).lower(),
            "artifact_path": record.model_artifact_path,
            "artifact_checksum": record.checksum,
        }
        metrics = {name: value for name, value in record.training_metrics.items() if _is_number(value)}
        params = {name: value for name, value in record.hyperparameters.items() if not isinstance(value, dict | list)}
        run_id = str(self._client.create_run(self._experiment_id(), at_ms, tags, record.model_version).info.run_id)
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, at_ms, 0) for name, value in metrics.items()],
            params=[Param(name, str(value)) for name, value in params.items()],
        )
        report = orjson.dumps({**asdict(record), "gates": gates}, option=orjson.OPT_INDENT_2, default=str)
        self._client.log_text(run_id, report.decode(), REPORT_FILE)
        self._client.set_terminated(run_id)
        return run_id

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(EXPERIMENT)
        return str(found.experiment_id if found else self._client.create_experiment(EXPERIMENT))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(error: Exception) -> str:
    """The error in one line, without the user and the password that its URL may hold."""
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {_LOGIN.sub('//', first)}"[:500]
