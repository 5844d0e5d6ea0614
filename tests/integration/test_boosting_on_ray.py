"""xgboost-ray on current xgboost: it trains as xgboost alone does, and survives the death of a training actor."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pytest
import xgboost as xgb
import xgboost_ray.main

from training.boosting import BoostingCluster, BoostingParams, Labelled, train_rounds, train_until_best
from training.xgboost_ray_actors import kept_actors
from training.xgboost_ray_tracker import modern_tracker

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 30
PARAMS = BoostingParams(max_depth=3, eta=0.1, min_child_weight=1.0, subsample=1.0, colsample_bytree=1.0)
DEADLINE_S = 240.0  # actors start within seconds; on a machine at work within a minute
pytestmark = pytest.mark.usefixtures("ray_cluster")


def counts_of(features: NDArray[np.float32], rng: np.random.Generator) -> Labelled:
    """Poisson counts whose mean depends on two of the features."""
    means = np.exp(0.8 + 0.5 * features[:, 0] - 0.3 * np.abs(features[:, 1]))
    return Labelled(features, rng.poisson(means))


@pytest.fixture(scope="module")
def rows() -> Labelled:
    """Some thousand rows with a signal."""
    rng = np.random.default_rng(7)
    return counts_of(rng.normal(size=(6_000, 6)).astype(np.float32), rng)


def poisson_loss(means: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """The Poisson loss without its constant."""
    return float((means - y * np.log(means)).mean())


def plain(rows: Labelled, params: BoostingParams, rounds: int) -> xgb.Booster:
    """The same training without Ray."""
    return xgb.train(params.xgboost(), xgb.DMatrix(rows.features, rows.counts), num_boost_round=rounds)


@pytest.mark.parametrize("actors", [1, 2])
def test_actors_train_what_xgboost_alone_trains(rows: Labelled, actors: int) -> None:
    """The distributed trees say what those of one process say, within the slack of the distributed quantiles."""
    on = BoostingCluster(actors=actors, cpus_per_actor=1)
    trained = train_rounds(rows, ROUNDS, PARAMS, on)
    assert trained.rounds == trained.trees.num_boosted_rounds() == ROUNDS
    ours = np.asarray(trained.trees.inplace_predict(rows.features), dtype=np.float64)
    theirs = np.asarray(plain(rows, PARAMS, ROUNDS).inplace_predict(rows.features), dtype=np.float64)
    assert poisson_loss(ours, rows.counts) == pytest.approx(poisson_loss(theirs, rows.counts), abs=2e-3)
    assert float(np.abs(ours / theirs - 1.0).mean()) < (1e-6 if actors == 1 else 0.02)


def test_training_stops_at_the_best_round(rows: Labelled) -> None:
    """On validation rows the loss that is told is that of the trees that are kept, and no later tree is."""
    validation = counts_of(rows.features[:2_000][::-1].copy(), np.random.default_rng(11))
    greedy = replace(PARAMS, eta=0.5, max_depth=6, early_stopping_rounds=5)
    best = train_until_best(rows, validation, greedy, BoostingCluster(cpus_per_actor=1))
    assert best.rounds == best.trees.num_boosted_rounds() < greedy.max_rounds
    margin = xgb.DMatrix(validation.features, validation.counts)
    told = float(best.trees.eval(margin).rsplit(":", 1)[1])
    assert best.metrics["loss"] == pytest.approx(told, abs=1e-5)


def test_the_context_gives_the_original_functions_back() -> None:
    """xgboost-ray is changed inside the context alone, also when it is left by an error."""

    def functions() -> tuple[object, object]:
        return xgboost_ray.main._start_rabit_tracker, xgboost_ray.main._stop_rabit_tracker  # noqa: SLF001

    before = functions()
    inside: list[object] = []
    with contextlib.suppress(LookupError), modern_tracker():
        inside += functions()
        raise LookupError
    assert functions() == before
    assert len(inside) == 2
    assert not set(inside) & set(before)


def actor_processes(method: str = "") -> list[psutil.Process]:
    """The processes of this driver's Ray that are training actors, or only those inside a call of this method."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "RayXGBoostActor" in title and method in title:
            found.append(process)
    return found


def test_kept_actors_train_the_same_trees_and_then_end(rows: Labelled) -> None:
    """Trainings of several threads and shapes take turns with the same processes, and none is left afterwards."""
    jobs = [(replace(PARAMS, seed=seed, subsample=0.5), actors) for seed in (1, 2, 3) for actors in (1, 2)]
    seen: set[psutil.Process] = set()

    def train(job: tuple[BoostingParams, int]) -> bytes:
        trees = train_rounds(rows, ROUNDS, job[0], BoostingCluster(actors=job[1])).trees
        seen.update(actor_processes())
        return bytes(trees.save_raw())

    alone = train_rounds(rows, ROUNDS, jobs[-2][0], BoostingCluster()).trees.save_raw()
    psutil.wait_procs(actor_processes(), timeout=DEADLINE_S)
    with kept_actors(), ThreadPoolExecutor(2) as at_once:
        trained = list(at_once.map(train, jobs))
    assert trained[-2] == alone
    assert len(set(trained)) == len(jobs)
    assert 3 <= len(seen) < 9  # three by one and three by two actors: fresh ones would be nine
    _, left = psutil.wait_procs(seen, timeout=DEADLINE_S)
    assert not left


def test_kept_actors_make_way_for_a_training_of_another_shape(rows: Labelled) -> None:
    """Three of the four cores are laid aside, and the next training wants two: it gets them."""
    with kept_actors():
        for cpus in (3, 2):
            assert train_rounds(rows, ROUNDS, PARAMS, BoostingCluster(cpus_per_actor=cpus)).rounds == ROUNDS


@pytest.mark.parametrize(("cpus", "fewest"), [((3, 3), 1), ((3, 2), 2)])
def test_trainings_for_which_there_is_no_room_at_once_take_turns(
    rows: Labelled, cpus: tuple[int, int], fewest: int
) -> None:
    """Two threads that train without a pause want more than there is: none waits for the other to be done with all."""
    seen: set[psutil.Process] = set()
    ends: list[int] = []

    def train_on(at: int) -> None:
        for _ in range(2):
            assert train_rounds(rows, ROUNDS, PARAMS, BoostingCluster(cpus_per_actor=cpus[at])).rounds == ROUNDS
            seen.update(actor_processes())
            ends.append(at)

    with kept_actors(), ThreadPoolExecutor(2) as at_once:
        list(at_once.map(train_on, (0, 1)))
    assert sorted(ends) == [0, 0, 1, 1]
    assert len(set(ends[:2])) == 2
    assert len(seen) >= fewest
    if cpus[0] == cpus[1]:
        assert len(seen) == 1  # the same actors train for both


def test_a_training_without_room_says_what_to_change(rows: Labelled, monkeypatch: pytest.MonkeyPatch) -> None:
    """More cores than there are: it ends in time, names what it asked for, and leaves nothing reserved."""
    monkeypatch.setenv("RXGB_PLACEMENT_GROUP_TIMEOUT_S", "1")
    with kept_actors():
        with pytest.raises(TimeoutError, match=r"no room for 5 training actors .*fewer actors or CPUs"):
            train_rounds(rows, ROUNDS, PARAMS, BoostingCluster(actors=5))
        assert train_rounds(rows, ROUNDS, PARAMS, BoostingCluster(actors=4)).rounds == ROUNDS


def test_an_actor_that_dies_between_two_trainings_is_replaced(rows: Labelled) -> None:
    """The next training starts another one and is whole, and so is the one after."""
    on = BoostingCluster()
    with kept_actors():
        before = train_rounds(rows, ROUNDS, PARAMS, on).trees.save_raw()
        (idle,) = actor_processes()
        idle.kill()
        idle.wait(DEADLINE_S)
        after = [train_rounds(rows, ROUNDS, PARAMS, on).trees.save_raw() for _ in range(2)]
        (other,) = actor_processes()
    assert other.pid != idle.pid
    assert after == [before, before]


class Killer(threading.Thread):
    """Kills the first training process that has worked for a while."""

    def __init__(self, after_cpu_s: float) -> None:
        super().__init__(daemon=True)
        self._after_cpu_s = after_cpu_s
        self.killed: int | None = None

    def run(self) -> None:
        """Wait for a process to be in the middle of its work, then end it without notice."""
        began: dict[int, float] = {}
        deadline = time.monotonic() + DEADLINE_S
        while self.killed is None and time.monotonic() < deadline:
            for process in actor_processes(".train"):
                used = process.cpu_times().user
                if used - began.setdefault(process.pid, used) >= self._after_cpu_s:
                    process.kill()
                    self.killed = process.pid
                    return
            time.sleep(0.02)


@pytest.mark.timeout(600)  # xgboost-ray itself waits 10 s before it starts again
def test_the_death_of_a_training_actor_costs_no_round() -> None:
    """One of two actors is killed while it trains: a new one goes on from the checkpoint, and the model is whole."""
    rng = np.random.default_rng(3)
    large = counts_of(rng.normal(size=(40_000, 20)).astype(np.float32), rng)
    validation = counts_of(rng.normal(size=(5_000, 20)).astype(np.float32), rng)
    long = replace(PARAMS, eta=0.01, max_depth=6, max_rounds=200, early_stopping_rounds=200)
    killer = Killer(after_cpu_s=0.5)
    killer.start()
    with kept_actors():
        trained = train_until_best(large, validation, long, BoostingCluster(actors=2, cpus_per_actor=1))
    killer.join()
    assert killer.killed is not None
    assert not psutil.pid_exists(killer.killed)
    assert trained.trees.num_boosted_rounds() == trained.rounds > 150
    told = float(trained.trees.eval(xgb.DMatrix(validation.features, validation.counts)).rsplit(":", 1)[1])
    assert trained.metrics["loss"] == pytest.approx(told, abs=1e-5)
    undisturbed = plain(large, long, trained.rounds)
    losses = [
        poisson_loss(np.asarray(trees.inplace_predict(validation.features)), validation.counts)
        for trees in (trained.trees, undisturbed)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=5e-3)
