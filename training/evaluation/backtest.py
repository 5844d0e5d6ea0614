"""Back-test: train on what lies before a date, score what lies after it, beside the peers on the same rows."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from stores.domain.props import PropType
from stores.errors import InvalidError
from training.baselines import known_games, position_means, rolling_means
from training.evaluation.ablation import Ablation
from training.evaluation.bootstrap import DRAWS, SEED
from training.evaluation.methods import POSITION_MEAN, RIFTLINE, RIFTLINE_DRAFTED, ROLLING_MEAN, baseline, model_pmf
from training.evaluation.oracle import read_oracle
from training.evaluation.peer_rows import peer_rows
from training.evaluation.peers import fit_peers, require_peers
from training.evaluation.poisson_trees import XGBOOST_POISSON, poisson_trees
from training.evaluation.predictions import predictions_of
from training.evaluation.questions import questions_of
from training.evaluation.report import Score, scores_of
from training.fitting import FittedModel, fit_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

    from actors.count_members import Member
    from actors.ensemble import PropEnsemble
    from training.boosting import BoostingCluster, BoostingParams
    from training.dataset import TrainingSet
    from training.evaluation.ablation import Ablated
    from training.evaluation.methods import Method
    from training.evaluation.questions import Question


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The report: scores, the model's predictions (PREDICTION_SCHEMA), what was chosen while fitting, and the ablation.

    The ablation is empty unless it was asked for.
    """

    scores: tuple[Score, ...]
    predictions: pa.Table
    fitted: FittedModel
    peers: Mapping[str, object]
    ablation: tuple[Ablated, ...]

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "scores": [asdict(score) for score in self.scores],
            "fit": self.fitted.metrics,
            "peers": dict(self.peers),
            "ablation": [asdict(part) for part in self.ablation],
            "bootstrap": {"draws": DRAWS, "seed": SEED, "of": "series"},
        }


def evaluate(  # noqa: PLR0913, PLR0917 — what, when, how, where, who is told, and beside what
    rows: TrainingSet,
    since: date,
    until: date,
    params: BoostingParams,
    on: BoostingCluster,
    progress: Callable[[str], None] = lambda _: None,
    *,
    peers: bool = False,
    truth: Path | None = None,
    ablate: bool = False,
) -> Evaluation:
    """Train on series that began before ``since``, score those that began in [since, until).

    ``peers`` brings NGBoost and XGBoostLSS in, which takes minutes; ``truth``, a simulated season's, the oracle;
    ``ablate`` leaves out every part in turn, which fits some 15 models. Raises InvalidError if nothing is to be scored,
    too little is left to train on, the peers are asked for and not installed, or a scored row has no truth.
    """
    known, asked = _known_and_asked(rows, since, until)
    if peers:
        require_peers()
    oracle = read_oracle(truth, rows, asked) if truth else None
    fitted = fit_model(rows.where(known), params, on, progress)
    progress("fitting the peers")
    contenders, chosen = _contenders(rows, known, asked, installed=peers)
    progress("scoring")
    asking = _asked_of(rows, known, asked)
    scores: list[Score] = []
    tables: list[pa.Table] = []
    for question in asking:
        methods = _methods(rows, known, question, contenders[question.prop], fitted.ensemble)
        pmfs = {name: method(question) for name, method in methods.items()}
        scores += scores_of(question, pmfs | (oracle.answers(question) if oracle else {}))
        tables.append(predictions_of(rows, question, pmfs[RIFTLINE]))

    def refit(part: TrainingSet, without: frozenset[Member]) -> PropEnsemble:
        return fit_model(part, params, on, without=without).ensemble

    parts = Ablation(rows, known, asking, refit, progress).run(fitted.ensemble) if ablate else ()
    return Evaluation(tuple(scores), pa.concat_tables(tables), fitted, chosen, parts)


def _known_and_asked(rows: TrainingSet, since: date, until: date) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows are learnt from and which are scored, of shape [rows]."""
    start, end = np.datetime64(since), np.datetime64(until)
    known = rows.series_started_at < start  # by series: its maps are too alike to lie on both sides
    asked = ~known & (rows.series_started_at < end)
    if not asked.any():
        raise InvalidError(f"no game lies between {since} and {until}; the data spans {_span(rows)}", "--from")
    return known, asked


def _asked_of(rows: TrainingSet, known: NDArray[np.bool_], asked: NDArray[np.bool_]) -> list[Question]:
    """Every question of both props; the players' own lines are their rolling means."""
    games = known_games(rows)
    return [
        question
        for prop in PropType
        for question in questions_of(
            rows, prop, asked, rolling_means(rows, prop, position_means(rows, prop, known)), games
        )
    ]


def _methods(
    rows: TrainingSet,
    known: NDArray[np.bool_],
    question: Question,
    contenders: Mapping[str, Method],
    ensemble: PropEnsemble,
) -> dict[str, Method]:
    """All that answer a question, in the order of the report."""
    prop = question.prop
    by_role = position_means(rows, prop, known)
    return {
        POSITION_MEAN: baseline(rows, prop, known, by_role),
        ROLLING_MEAN: baseline(rows, prop, known, rolling_means(rows, prop, by_role)),
        **contenders,
        RIFTLINE: lambda asked: model_pmf(ensemble, rows, asked),
        RIFTLINE_DRAFTED: lambda asked: model_pmf(ensemble, rows, asked, drafted=True),
    }


def _contenders(
    rows: TrainingSet, known: NDArray[np.bool_], asked: NDArray[np.bool_], *, installed: bool
) -> tuple[dict[PropType, dict[str, Method]], dict[str, object]]:
    """The trees of others, and what they chose: xgboost always, those of `.peers` if asked for."""
    split = peer_rows(rows, known, asked)
    contenders = {prop: {XGBOOST_POISSON: poisson_trees(split, prop)} for prop in PropType}
    if not installed:
        return contenders, {}
    fitted, chosen = fit_peers(split)
    return {prop: contenders[prop] | fitted[prop] for prop in PropType}, chosen


def _span(rows: TrainingSet) -> str:
    if not len(rows):
        return "nothing"
    return f"{rows.started_at.min().astype('datetime64[D]')} to {rows.started_at.max().astype('datetime64[D]')}"
