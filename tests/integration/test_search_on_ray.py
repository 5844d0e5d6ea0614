"""The search on Ray: the same again from the same seed, resumed after its driver was killed, ended by its budget."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
import ray

from tests.search_rows import simulate
from training.boosting import BoostingParams
from training.search import SearchPlan, search
from training.search_folds import FOLDS

if TYPE_CHECKING:
    from training.dataset import TrainingSet
    from training.search import SearchResult

SERIES = 240
PLAN = SearchPlan(trials=5, seed=3)
ROOT = Path(__file__).resolve().parents[2]
DRIVER = """
import logging, pathlib, sys, ray
from tests.search_rows import simulate
from training.search import SearchPlan, search
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
storage = pathlib.Path(sys.argv[2])
search(simulate(1, int(sys.argv[3])), SearchPlan(trials=5, seed=3), storage, lambda said: print(said, flush=True))
"""
pytestmark = [pytest.mark.usefixtures("ray_cluster"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def rows() -> TrainingSet:
    """A small simulated season."""
    return simulate(1, SERIES)


@pytest.fixture(scope="module")
def whole(rows: TrainingSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[SearchResult, Path]:
    """A search that nothing disturbed, and its storage."""
    storage = tmp_path_factory.mktemp("whole")
    return search(rows, PLAN, storage), storage


def told(lines: list[str]) -> list[int]:
    """The trials that were told of as finished."""
    return [int(found[1]) for line in lines if (found := re.match(r"trial (\d+) ", line))]


def test_the_search_finds_the_default_or_better(whole: tuple[SearchResult, Path]) -> None:
    """The default comes first and through all folds; every trial is scored; what is chosen is one of them."""
    found, _ = whole
    assert [trial.number for trial in found.trials] == list(range(PLAN.trials))
    assert found.trials[0].params == BoostingParams()
    assert len(found.trials[0].scores) == FOLDS
    assert all(0.5 < score < 1.1 for trial in found.trials for score in trial.scores)
    assert len({trial.params for trial in found.trials}) == PLAN.trials
    assert any(len(trial.scores) < FOLDS for trial in found.trials)
    means = {trial.params: np.mean(trial.scores) for trial in found.trials if len(trial.scores) == FOLDS}
    assert means[found.best] <= means[BoostingParams()]
    assert (found.best == BoostingParams()) is found.reason.startswith("default")


def test_a_finished_search_is_not_run_again(rows: TrainingSet, whole: tuple[SearchResult, Path]) -> None:
    """Asked for once more, it is read from its storage."""
    found, storage = whole
    lines: list[str] = []
    assert search(rows, PLAN, storage, lines.append) == found
    assert told(lines) == []


def test_the_same_seed_gives_the_same_search(
    rows: TrainingSet, whole: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    """One trial at a time or two, the same trials end after the same folds with the same scores, to the bit."""
    alone = SearchPlan(PLAN.trials, seed=PLAN.seed, at_once=1)
    lines: list[str] = []
    assert search(rows, alone, tmp_path, lines.append) == whole[0]
    assert sorted(told(lines)) == list(range(PLAN.trials))


def saved_after(moment: float, storage: Path) -> bool:
    """Whether a state that was written after this moment is there, and whole."""
    states = [state for state in storage.glob("*/experiment_state-*.json") if state.stat().st_mtime > moment]
    with contextlib.suppress(orjson.JSONDecodeError):
        return any(orjson.loads(state.read_bytes()) for state in states)
    return False


@pytest.fixture
def killed(tmp_path: Path) -> list[int]:
    """The trials that a driver finished before it was killed in the middle of its search, the first of them saved."""
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER, address, str(tmp_path), str(SERIES)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        lines, told_at = [], 0.0
        for line in driver.stdout:
            lines.append(line)
            told_at = told_at or (time.time() if told(lines) else 0.0)
            if len(told(lines)) == 3:
                break
        while not saved_after(told_at, tmp_path):
            assert driver.poll() is None
            time.sleep(0.01)
        driver.kill()
        lines += driver.stdout
    assert driver.returncode == -9
    return told(lines)


def test_a_killed_search_goes_on(
    rows: TrainingSet, whole: tuple[SearchResult, Path], killed: list[int], tmp_path: Path
) -> None:
    """Its finished trials are kept, what was not done is run, and the result is that of a search never killed."""
    lines: list[str] = []
    assert search(rows, PLAN, tmp_path, lines.append) == whole[0]
    assert killed[0] not in told(lines)  # what was told within the last second may be told again
    assert sorted({*killed, *told(lines)}) == list(range(PLAN.trials))


def test_a_state_that_was_not_saved_whole_is_begun_anew(
    rows: TrainingSet, whole: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    """A kill while the only state is written costs the search, never the result."""
    search(rows, SearchPlan(PLAN.trials, budget_s=0.001, seed=PLAN.seed), tmp_path)
    (state,) = tmp_path.glob("*/experiment_state-*.json")
    state.write_bytes(state.read_bytes()[:-100])
    assert search(rows, PLAN, tmp_path) == whole[0]


def test_a_budget_ends_the_search_and_another_goes_on(
    rows: TrainingSet, whole: tuple[SearchResult, Path], tmp_path: Path
) -> None:
    """A budget that nothing fits in leaves the default; asked for without one, the search is finished."""
    plan = SearchPlan(PLAN.trials, budget_s=0.001, seed=PLAN.seed)
    found = search(rows, plan, tmp_path)
    assert found.best == BoostingParams()
    assert "budget" in found.reason
    assert search(rows, PLAN, tmp_path) == whole[0]
