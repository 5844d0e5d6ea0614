"""Gradient-boosted trees on the cluster, by xgboost-ray."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import xgboost_ray

from training.xgboost_ray_tracker import modern_tracker

if TYPE_CHECKING:
    import xgboost as xgb
    from numpy.typing import NDArray


POISSON = "count:poisson"
TWEEDIE = "reg:tweedie"
TWEEDIE_POWER = 1.3  # between Poisson (1) and gamma (2): large counts weigh less, as overdispersed ones should


@dataclass(frozen=True, slots=True)
class BoostingParams:
    """Hyperparameters; shallow trees, since counts of one game are mostly noise. Chosen on 2025, before validation."""

    objective: str = POISSON
    max_depth: int = 3
    eta: float = 0.04
    min_child_weight: float = 60.0
    subsample: float = 0.7
    colsample_bytree: float = 0.4
    reg_lambda: float = 10.0
    max_rounds: int = 600
    early_stopping_rounds: int = 40
    max_bin: int = 64  # finer cuts of noisy means find nothing more
    seed: int = 20260401

    def xgboost(self) -> dict[str, Any]:
        """The same in xgboost's words."""
        return {
            "objective": self.objective,
            "tree_method": "hist",
            "max_bin": self.max_bin,
            "max_depth": self.max_depth,
            "eta": self.eta,
            "min_child_weight": self.min_child_weight,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "reg_lambda": self.reg_lambda,
            "max_delta_step": 0.7,  # xgboost's own default for Poisson, said aloud
            "seed": self.seed,
            **({"tweedie_variance_power": TWEEDIE_POWER} if self.objective == TWEEDIE else {}),
            **({"base_score": 1.0} if self.objective == POISSON else {}),  # Poisson trees correct an offset
        }


@dataclass(frozen=True, slots=True)
class BoostingCluster:
    """How many training actors, with how many cores each; a dead one is restarted this often."""

    actors: int = 1  # the data of ten seasons fit one; more actors only pay off far beyond
    cpus_per_actor: int = 1  # both props train at the same time; a second thread each would wait at every tree
    max_restarts: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Features of shape [n, features] and counts of shape [n]; ``offsets`` of shape [n] are means to be corrected."""

    features: NDArray[np.float32]
    counts: NDArray[np.int64]
    offsets: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class Booster:
    """The trees and how many rounds were kept."""

    trees: xgb.Booster
    rounds: int
    metrics: dict[str, float] = field(default_factory=dict)


def train_until_best(fit: Labelled, validation: Labelled, params: BoostingParams, on: BoostingCluster) -> Booster:
    """Train until the validation loss stops falling, and say after how many rounds it was best."""
    trees = _train(
        fit,
        params,
        on,
        params.max_rounds,
        evals=[(_matrix(validation), "validation")],
        early_stopping_rounds=params.early_stopping_rounds,
    )
    best = int(trees.best_iteration) + 1
    # best_score, not evals_result: after a restart that holds only the rounds since the checkpoint
    return Booster(trees[:best], best, {"loss": float(trees.best_score)})


def train_rounds(rows: Labelled, rounds: int, params: BoostingParams, on: BoostingCluster) -> Booster:
    """Train a fixed number of rounds on all rows."""
    return Booster(_train(rows, params, on, rounds), rounds)


def _train(rows: Labelled, params: BoostingParams, on: BoostingCluster, rounds: int, **extra: Any) -> xgb.Booster:
    with modern_tracker():
        trees: xgb.Booster = xgboost_ray.train(
            params.xgboost(),
            _matrix(rows),
            num_boost_round=rounds,
            verbose_eval=False,
            ray_params=xgboost_ray.RayParams(
                num_actors=on.actors, cpus_per_actor=on.cpus_per_actor, max_actor_restarts=on.max_restarts
            ),
            **extra,
        )
    return trees


def _matrix(rows: Labelled) -> xgboost_ray.RayDMatrix:
    margin = None if rows.offsets is None else np.log(rows.offsets).astype(np.float32)
    return xgboost_ray.RayDMatrix(rows.features, rows.counts.astype(np.float32), base_margin=margin)
