"""The commands that read files, beside the running service: what they print, write and return."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from training.evaluation.predictions import PREDICTION_SCHEMA
from training.scores import crps, log_scores

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Riftline


def test_evaluate_scores_beside_the_baselines_and_writes_every_distribution(riftline: Riftline, tmp_path: Path) -> None:
    """The scores can be computed again from the distributions, and the service's own lake is untouched."""
    before = json.loads(riftline.command("status", "--json").stdout)["lake"]
    scores, predictions = tmp_path / "scores.json", tmp_path / "predictions.parquet"
    done = riftline.command(
        *("evaluate", "--data", str(riftline.data), "--from", "2026-03-01", "--to", "2026-06-01"),
        *("--json", str(scores), "--predictions", str(predictions)),
    )
    assert done.returncode == 0, done.stderr
    assert "rolling mean" in done.stdout
    found = {(s["prop_type"], s["maps"], s["method"]): s for s in json.loads(scores.read_text())["scores"]}
    table = pq.read_table(predictions)
    assert table.schema.equals(PREDICTION_SCHEMA)
    for prop in ("kills", "assists"):
        ours = found[prop, "one", "riftline"]
        rows = table.filter((pc.field("prop_type") == prop) & (pc.field("map_first") == pc.field("map_last")))
        pmf, actual = np.array(rows["pmf"].to_pylist()), rows["actual"].to_numpy()
        assert ours["rows"] == found[prop, "one", "rolling mean"]["rows"] == len(actual) > 0
        assert ours["crps"]["value"] == pytest.approx(float(crps(pmf, actual).mean()))
        assert ours["log_score"]["value"] == pytest.approx(float(log_scores(pmf, actual).mean()))
    assert json.loads(riftline.command("status", "--json").stdout)["lake"] == before


def test_evaluate_names_what_cannot_be(riftline: Riftline, tmp_path: Path) -> None:
    """Dates without games and folders that do not exist are exit code 2, before any work is done."""
    empty = riftline.command("evaluate", "--from", "2031-01-01", "--to", "2031-02-01")
    assert empty.returncode == 2
    assert "2031-01-01" in empty.stderr
    lost = riftline.command(
        *("evaluate", "--from", "2026-03-01", "--to", "2026-06-01", "--json", str(tmp_path / "nowhere" / "x.json"))
    )
    assert lost.returncode == 2
    assert "nowhere" in lost.stderr.replace("\n", "")


def test_ingest_prints_its_books_and_fails_in_part_for_a_broken_file(riftline: Riftline, tmp_path: Path) -> None:
    """Known files change nothing; beside them an unreadable file, whatever its name, is exit code 4."""
    for file in riftline.data.glob("*.csv"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "odd[bold]name.csv").write_bytes(b"")
    done = riftline.command("ingest", "--data", str(tmp_path))
    assert done.returncode == 4, done.stderr
    assert "rows in =" in done.stdout
    assert "already known" in done.stdout
    assert "odd[bold]name.csv" in done.stderr
