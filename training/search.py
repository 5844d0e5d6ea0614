"""Looks for better hyperparameters by random search on Ray Tune, ended early by asynchronous successive halving.

Every trial is scored on folds of time (training.search_folds), the oldest first. The default takes part as the first
trial and stays unless another beats it by more than noise and luck explain.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import ray
import xgboost as xgb
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from stores.domain.props import PropType
from stores.errors import InvalidError, TransientError
from training.boosting import BoostingParams
from training.search_folds import FOLDS, fold_score, folds_by_time, losses_on_fold, paired_gain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from ray.tune.experiment import Trial

    from training.dataset import TrainingSet
    from training.paired import ClusteredMean
    from training.search_folds import Folds

ALPHA = 0.05  # how often a default that is as good as all others is replaced, at most
KEPT: Final = 0.5  # of the trials after each fold; three folds are too few rungs for a harder choice
MAX_FAILURES = 2  # of a trial whose process is lost; it goes on after its last whole fold
LOSSES_FILE = "losses.npz"
_ENVIRONMENT: Final = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the command, not only the search
    "RAY_AIR_NEW_OUTPUT": "0",  # the new output prints to standard output however quiet it is told to be
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the table is ours; nobody reads TensorBoard's
    "TUNE_GLOBAL_CHECKPOINT_S": "1",  # between two saved states; what was told since is lost by a kill, and told again
}


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """How long to search. ``trials`` counts the default; after ``budget_s`` the best so far is taken.

    ``at_once`` trials run at the same time, on one core each.
    """

    trials: int
    budget_s: float | None = None
    seed: int = 20260401
    at_once: int = 2

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise InvalidError(f"{self.trials} trials cannot be searched; give at least 1", "trials")
        if self.budget_s is not None and self.budget_s <= 0:
            raise InvalidError(f"a budget of {self.budget_s:g} s holds no trial; give more than 0", "budget_s")


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """Hyperparameters and their `fold_score` of every fold that they were let into; lower is better."""

    number: int
    params: BoostingParams
    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hyperparameters to train with, and why. ``trials`` are in their order, the default first."""

    best: BoostingParams
    reason: str
    trials: tuple[SearchTrial, ...]
    gain: ClusteredMean | None  # of the best trial over the default, in shares of the rolling mean's CRPS

    def to_json(self) -> dict[str, Any]:
        """A table for the model's record, small enough for it: columns by name, and rows."""
        names = ["number", *search_space(), "max_rounds", "scores"]
        rows = [
            [
                one.number,
                *(getattr(one.params, name) for name in names[1:-1]),
                [round(score, 5) for score in one.scores],
            ]
            for one in self.trials
        ]
        return {"reason": self.reason, "gain": asdict(self.gain) if self.gain else None, "columns": names, "rows": rows}


def search_space() -> dict[str, Any]:
    """What is drawn, and from which ranges; all else is as in `BoostingParams`."""
    return {
        "max_depth": tune.randint(2, 6),
        "eta": tune.loguniform(0.02, 0.1),
        "min_child_weight": tune.loguniform(20.0, 200.0),
        "subsample": tune.uniform(0.5, 1.0),
        "colsample_bytree": tune.uniform(0.15, 0.8),
        "reg_lambda": tune.loguniform(1.0, 50.0),
    }


def trial_params(config: Mapping[str, Any]) -> BoostingParams:
    """The hyperparameters of a point of `search_space`, to four digits. A smaller step gets as many more rounds."""
    default = BoostingParams()
    drawn = {name: type(getattr(default, name))(f"{config[name]:.4g}") for name in search_space()}
    rounds = max(default.max_rounds, round(default.max_rounds * default.eta / drawn["eta"]))
    return replace(default, **drawn, max_rounds=rounds)


def search(
    rows: TrainingSet, plan: SearchPlan, storage: Path, progress: Callable[[str], None] = lambda _: None
) -> SearchResult:
    """Search on the connected cluster. Unless the budget ends it, the same rows, seed and trials give the same result.

    A search that was killed, or whose budget ended, goes on when it is asked for again with the same ``storage``, a
    folder that all nodes see. It holds Ray's own state, which is code when it is read: nobody else may write there.
    Raises InvalidError if there are too few rows, TransientError if the default could not be scored.
    """
    searched = folds_by_time(rows)
    os.environ.update(_ENVIRONMENT)
    folder = storage.absolute() / f"search-{_digest(searched.rows, plan)}"
    progress(f"searching {plan.trials} hyperparameters over {FOLDS} folds of {len(searched.rows)} rows")
    trainable = tune.with_resources(tune.with_parameters(run_trial, searched=searched), {"CPU": 1})
    begun = time.monotonic()
    token = _run.set(_Run(plan, progress, begun))
    try:
        grid = _fit(_tuner(plan, folder, trainable), folder, trainable)
    finally:
        _run.reset(token)
    return _conclude(searched, plan, [grid[at] for at in range(len(grid))])


def _tuner(plan: SearchPlan, folder: Path, trainable: Any) -> tune.Tuner:
    if _restorable(folder):
        return tune.Tuner.restore(str(folder), trainable, resume_errored=True)
    default = {name: getattr(BoostingParams(), name) for name in search_space()}
    return tune.Tuner(
        trainable,
        param_space=search_space(),
        tune_config=tune.TuneConfig(
            num_samples=plan.trials,
            search_alg=BasicVariantGenerator([default], max_concurrent=plan.at_once, random_state=plan.seed),
            scheduler=OrderedHalving(),  # type: ignore[no-untyped-call]
            reuse_actors=True,  # a process imports for as long as a short trial trains
        ),
        run_config=tune.RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            verbose=0,
            callbacks=[_Watch()],
            failure_config=tune.FailureConfig(max_failures=MAX_FAILURES),
            # every one: the saved state of a killed search may know an older one only
            checkpoint_config=tune.CheckpointConfig(num_to_keep=None),
        ),
    )


def _restorable(folder: Path) -> bool:
    """Whether a state was saved whole; from anything less Ray would begin another search, of one empty trial."""
    states = sorted(folder.glob("experiment_state-*.json"))
    try:
        return bool(states) and bool(orjson.loads(states[-1].read_bytes())) and tune.Tuner.can_restore(folder)
    except orjson.JSONDecodeError:
        return False


def _fit(tuner: tune.Tuner, folder: Path, trainable: Any) -> tune.ResultGrid:
    try:
        return tuner.fit()
    except _BudgetSpentError:  # as if it had been killed: what is unfinished can go on
        return tune.Tuner.restore(str(folder), trainable).get_results()


def _digest(rows: TrainingSet, plan: SearchPlan) -> str:
    """What a search can only be resumed with: rows, draws, and the versions that make and read them."""
    digest = hashlib.sha256()
    counts = [rows.counts[prop] for prop in PropType]
    for values in (rows.features, rows.won, rows.position, rows.series_started_at, *counts):
        digest.update(np.ascontiguousarray(values).tobytes())
    said = (plan.trials, plan.seed, FOLDS, KEPT, BoostingParams(), ray.__version__, xgb.__version__)
    ranges = [(name, domain.domain_str, type(domain.get_sampler()).__name__) for name, domain in search_space().items()]
    digest.update(repr((said, ranges)).encode())
    return digest.hexdigest()[:16]


def run_trial(config: dict[str, Any], searched: Folds) -> None:
    """One trial, in its own process: a fold at a time, from the first that no earlier process of it finished."""
    params = trial_params(config)
    losses = _losses(tune.get_checkpoint())
    for fold in searched.folds[len(losses) :]:
        losses.append(losses_on_fold(searched.rows, fold, params))
        scores = [fold_score(of_fold, at) for of_fold, at in zip(losses, searched.folds, strict=False)]
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / LOSSES_FILE, *losses)
            tune.report({"scores": scores}, checkpoint=tune.Checkpoint.from_directory(folder))


def _losses(checkpoint: tune.Checkpoint | None) -> list[NDArray[np.float64]]:
    """What the trial lost on each row, of shape [props, n] per fold."""
    if checkpoint is None:
        return []
    with checkpoint.as_directory() as folder, np.load(Path(folder) / LOSSES_FILE, allow_pickle=False) as saved:
        return [saved[name] for name in saved.files]


def halved_after(scores: Sequence[Sequence[float]], folds: int) -> list[int]:
    """After how many folds asynchronous successive halving ends each trial, had they run one after another.

    ``scores`` are those of the folds so far, in the order of trials. A trial goes on if its mean is among the KEPT
    lowest of those that came so far (Li et al. 2020, ASHA, the variant that ends trials). Whoever comes after one that
    has not told yet goes on for now.
    """
    ends = [folds] * len(scores)
    for fold in range(1, folds):
        seen: list[float] = []
        for number, of_trial in enumerate(scores):
            if ends[number] < fold:
                continue
            if len(of_trial) < fold:
                break
            mean = float(np.mean(of_trial[:fold]))
            if seen and mean > np.percentile(seen, 100.0 * KEPT):
                ends[number] = fold
            seen.append(mean)
    return ends


class OrderedHalving(FIFOScheduler):
    """Ends trials by `halved_after`.

    Ray's own ASHAScheduler compares with whoever told first, so that the same seed ends other trials each time, and
    forgets all of them when a search is resumed. This one reads what was told from the trials, which are restored.
    """

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Whether the trial goes on to its next fold."""
        told = {one.trial_id: _scores(one.last_result) for one in tune_controller.get_trials() if not _failed(one)}
        told[trial.trial_id] = _scores(result)
        ids = sorted(told)  # numbered in the order they were drawn
        ends = halved_after([told[one] for one in ids], FOLDS)[ids.index(trial.trial_id)]
        over = len(told[trial.trial_id]) >= ends
        return str(TrialScheduler.STOP if over else TrialScheduler.CONTINUE)


def _scores(result: Mapping[str, Any] | None) -> list[float]:
    return list((result or {}).get("scores", ()))


def _failed(trial: Trial) -> bool:
    return bool(trial.status == trial.ERROR)


class _BudgetSpentError(Exception):
    """The budget ended; what has run so far is kept."""


@dataclass(slots=True)
class _Run:
    """What the callbacks of one search need; a context variable, since Ray saves callbacks and cannot save this."""

    plan: SearchPlan
    progress: Callable[[str], None]
    begun: float
    finished: list[str] = field(default_factory=list)


_run: ContextVar[_Run] = ContextVar("search")


class _Watch(tune.Callback):
    """Tells of every finished trial, and ends the search with its budget."""

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:  # noqa: ARG002
        _tell(trials, trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:  # noqa: ARG002
        _tell(trials, trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:  # noqa: ARG002
        run = _run.get()
        if run.plan.budget_s is not None and time.monotonic() - run.begun > run.plan.budget_s:
            raise _BudgetSpentError


def _tell(trials: list[Trial], trial: Trial) -> None:
    run = _run.get()
    run.finished.append(trial.trial_id)
    done = [one for one in trials if one is trial or one.status in {one.TERMINATED, one.ERROR}]
    whole = [float(np.mean(scores)) for one in done if len(scores := _scores(one.last_result)) == FOLDS]
    scores = _scores(trial.last_result)
    said = f"{np.mean(scores):.4f} after {len(scores)} of {FOLDS} folds" if scores else "failed"
    passed = time.monotonic() - run.begun
    left = passed / len(run.finished) * (run.plan.trials - len(done))
    if run.plan.budget_s is not None:
        left = min(left, run.plan.budget_s - passed)
    best = f"{min(whole):.4f}" if whole else "none yet"
    run.progress(
        f"trial {_number(trial.trial_id)} ({len(done)} of {run.plan.trials}): {said}; "
        f"best {best}; about {max(left, 0.0) / 60:.0f} min left"
    )


def _number(trial_id: str) -> int:
    """The place of a trial among those drawn, from 0."""
    return int(trial_id.rsplit("_", 1)[1])


def _conclude(searched: Folds, plan: SearchPlan, results: list[tune.Result]) -> SearchResult:
    """Choose among the trials that came through all folds."""
    told = {_number(one.metrics["trial_id"]): one for one in results if one.metrics and not one.error}
    told = {number: told[number] for number in sorted(told) if _scores(told[number].metrics)}
    ends = halved_after([_scores(one.metrics) for one in told.values()], FOLDS)
    trials = tuple(
        SearchTrial(number, trial_params(one.config or {}), tuple(_scores(one.metrics)[:end]))
        for (number, one), end in zip(told.items(), ends, strict=True)
    )
    whole = {trial.number: float(np.mean(trial.scores)) for trial in trials if len(trial.scores) == FOLDS}
    if 0 not in whole:
        if plan.budget_s is None:
            raise TransientError("the default hyperparameters could not be scored; search again")
        return SearchResult(BoostingParams(), "default: the budget ended before it was scored itself", trials, None)
    best = min(whole, key=lambda number: whole[number])
    gain = paired_gain(searched, _losses(told[best].checkpoint), _losses(told[0].checkpoint)) if best else None
    params = next(trial.params for trial in trials if trial.number == best)
    beats, reason = verdict(best, gain, len(trials) - 1)
    return SearchResult(params if beats else BoostingParams(), reason, trials, gain)


def verdict(best: int, gain: ClusteredMean | None, others: int) -> tuple[bool, str]:
    """Whether the best of ``others`` trials replaces the default, and why.

    The best of many looks better than it is, so its p-value is multiplied by their number (Bonferroni; Dunn 1961).
    """
    if gain is None:
        return False, f"default: none of {others} others was better"
    p = min(gain.p_above() * others, 1.0)
    said = f"trial {best} gains {gain.mean:.5f} ± {gain.standard_error:.5f} (p {p:.3g}, the best of {others})"
    if p <= ALPHA:
        return True, said
    return False, f"default: {said}, no more than noise"
