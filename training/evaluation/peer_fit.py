"""Fits one peer: `python -I peer_fit.py PEER FOLDER COUNTS PROP...`, in the environment of `make peers`.

Reads FOLDER/rows.npz (features [n, features] and counts [n] of the parts fit, validation and asked), writes
FOLDER/PEER.npz (per prop the distributions of single maps, [asked, COUNTS]) and FOLDER/PEER.json (what was chosen).
It stands alone: nothing of Riftline is installed beside the peers, so it imports numpy and the peer.

Both peers stop on the newest series and are then trained for as many rounds on all rows, as Riftline's own trees are.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module  # the peers are not installed where this file is type-checked
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Features = NDArray[np.floating[Any]]
    Fitted = tuple[NDArray[np.float64], dict[str, object]]

SEED = 20260401
LEAST_PROBABILITY = 1e-12
MAX_ROUNDS = 500
PATIENCE = 20  # rounds


class Rows:
    """One prop's rows: features of shape [n, features], counts of shape [n] but for the asked."""

    def __init__(self, arrays: Any, prop: str) -> None:
        self.fit: Features = arrays["fit_features"]
        self.validation: Features = arrays["validation_features"]
        self.asked: Features = arrays["asked_features"]
        self.fit_counts: NDArray[np.int64] = arrays[f"fit_{prop}"]
        self.validation_counts: NDArray[np.int64] = arrays[f"validation_{prop}"]

    def imputed(self) -> None:
        """Put the column's median in the place of what is missing, for peers that cannot go without."""
        medians = np.nan_to_num(np.nanmedian(self.fit, axis=0))
        self.fit, self.validation, self.asked = (
            np.where(np.isnan(part), medians, part) for part in (self.fit, self.validation, self.asked)
        )

    def everything(self) -> tuple[Features, NDArray[np.int64]]:
        """All rows with known counts."""
        counts = np.concatenate([self.fit_counts, self.validation_counts])
        return np.concatenate([self.fit, self.validation]), counts


class NGBoostForm:
    """One way to say counts by a distribution of NGBoost: of the count itself, or discretised after ``form``.

    Discretised means that a count has the probability between half a count below and half a count above it.
    """

    def __init__(self, law: str, form: Callable[[Any], Any] | None = None) -> None:
        self.law = law
        self.form = form or np.asarray
        self.discretised = law != "Poisson"

    def fit(self, rounds: int, features: Features, y: NDArray[np.int64], *newest: Any) -> Any:
        """The fitted regressor; ``newest`` are features and counts to stop early on."""
        regressor = import_module("ngboost").NGBRegressor(
            Dist=getattr(import_module("ngboost.distns"), self.law),
            n_estimators=rounds,
            learning_rate=0.03,
            minibatch_frac=0.5,
            col_sample=0.3,
            random_state=SEED,
            verbose=False,
        )
        if not newest:
            return regressor.fit(features, self.form(y.astype(float)))
        seen, counts = newest
        return regressor.fit(
            features,
            self.form(y.astype(float)),
            seen,
            self.form(counts.astype(float)),
            early_stopping_rounds=PATIENCE,
        )

    def pmf(self, predicted: Any, counts: int) -> NDArray[np.float64]:
        """Probabilities of 0 … counts-1, of shape [n, counts]."""
        k = np.arange(counts)[:, None]
        if not self.discretised:
            return whole(predicted.pmf(k).T)
        return whole(np.diff(predicted.cdf(self.form(k + 0.5)).T, prepend=0.0, axis=1))


NGBOOST_FORMS = {
    "Poisson": NGBoostForm("Poisson"),
    "Normal of the square root": NGBoostForm("Normal", lambda y: np.sqrt(np.asarray(y) + 0.5)),  # Anscombe 1948
}


def ngboost(rows: Rows, counts: int) -> Fitted:
    """NGBoost (Duan et al. 2020). It has no negative binomial: what says the newest series best is taken.

    A Normal of the count itself and a Gamma of the count plus 1 were worse than that of the square root for both props.
    """
    rows.imputed()
    losses: dict[str, tuple[float, int]] = {}
    for name, form in NGBOOST_FORMS.items():
        tried = form.fit(MAX_ROUNDS, rows.fit, rows.fit_counts, rows.validation, rows.validation_counts)
        rounds = int(tried.best_val_loss_itr) + 1
        pmf = form.pmf(tried.pred_dist(rows.validation, max_iter=rounds), counts)
        losses[name] = (log_score(pmf, rows.validation_counts), rounds)
    best = min(losses, key=lambda name: losses[name])
    form, rounds = NGBOOST_FORMS[best], losses[best][1]
    final = form.fit(rounds, *rows.everything())
    newest = {name: loss for name, (loss, _) in losses.items()}
    return form.pmf(final.pred_dist(rows.asked), counts), {"distribution": best, "rounds": rounds, "newest": newest}


def xgboostlss(rows: Rows, counts: int) -> Fitted:
    """XGBoostLSS (März 2019) with its negative binomial, both parameters boosted; it takes missing values itself."""
    torch, xgb = import_module("torch"), import_module("xgboost")
    family = import_module("xgboostlss.distributions.NegativeBinomial").NegativeBinomial
    torch.set_num_threads(1)

    def model() -> Any:
        law = family(stabilization="MAD", response_fn_total_count="exp", loss_fn="nll", initialize=True)
        return import_module("xgboostlss.model").XGBoostLSS(law)

    params = {"eta": 0.1, "max_depth": 3, "min_child_weight": 50, "subsample": 0.8, "colsample_bytree": 0.5}
    params |= {"seed": SEED, "nthread": 1}
    fit = xgb.DMatrix(rows.fit, rows.fit_counts.astype(float))
    validation = xgb.DMatrix(rows.validation, rows.validation_counts.astype(float))
    tried = model()
    watched = [(fit, "fit"), (validation, "validation")]
    tried.train(dict(params), fit, MAX_ROUNDS, evals=watched, early_stopping_rounds=PATIENCE, verbose_eval=False)
    rounds = int(tried.booster.best_iteration) + 1
    features, y = rows.everything()
    final = model()
    final.train(dict(params), xgb.DMatrix(features, y.astype(float)), rounds, verbose_eval=False)
    asked = xgb.DMatrix(rows.asked)
    final.set_base_margin(asked)
    found = final.predict(asked, pred_type="parameters")
    size, probability = (torch.tensor(found[name].to_numpy(float))[:, None] for name in ("total_count", "probs"))
    law = torch.distributions.NegativeBinomial(size, probs=probability)
    pmf = law.log_prob(torch.arange(counts, dtype=torch.float64)[None, :]).exp().numpy()
    return whole(pmf), {"distribution": "negative binomial", "rounds": rounds, **params}


def whole(pmf: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same probabilities with sum 1: what lies above the last count is shared out."""
    pmf = np.maximum(np.nan_to_num(pmf), 0.0)
    return np.asarray(pmf / pmf.sum(axis=1, keepdims=True))


def log_score(pmf: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    """Minus the mean log probability of what happened."""
    given = pmf[np.arange(len(y)), np.minimum(y, pmf.shape[1] - 1)]
    return float(-np.log(np.maximum(given, LEAST_PROBABILITY)).mean())


def main() -> None:
    """Entry point."""
    peer, name, counts, *props = sys.argv[1:]
    folder = Path(name)
    fit = {"ngboost": ngboost, "xgboostlss": xgboostlss}[peer]
    with np.load(folder / "rows.npz", allow_pickle=False) as arrays:
        np.random.seed(SEED)  # noqa: NPY002 — the peers draw from it
        fitted = {prop: fit(Rows(arrays, prop), int(counts)) for prop in props}
    np.savez(folder / f"{peer}.npz", allow_pickle=False, **{prop: pmf for prop, (pmf, _) in fitted.items()})
    (folder / f"{peer}.json").write_text(json.dumps({prop: chosen for prop, (_, chosen) in fitted.items()}))


if __name__ == "__main__":
    main()
