"""Trains the members that are boosted trees: how many rounds is chosen on newer games, then all games are learnt."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from actors.compiled_trees import CompiledTrees
from actors.count_members import CountMembers, Member, Trees, draft_rows, offsets, result_rows
from training.boosting import TWEEDIE, Labelled, train_rounds, train_until_best

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stores.domain.props import PropType
    from training.boosting import BoostingCluster, BoostingParams
    from training.dataset import TrainingSet

LEAST_DRAFT_ROWS = 2_000  # with fewer known champions the champion member would learn noise
EQUAL_WEIGHTS = tuple(1.0 / len(Member) for _ in Member)
_DRAFT_DEPTH = 2  # a champion matters by itself or with one other thing


@dataclass(frozen=True, slots=True, eq=False)
class ChosenTrees:
    """Trees of one prop that saw the older games only, and the rounds that were best on the newer ones."""

    trees: Mapping[Trees, CompiledTrees]
    rounds: Mapping[Trees, int]


@dataclass(frozen=True, slots=True)
class TreeTrainer:
    """Trains all trees of a prop with the same hyperparameters on the same cluster; ``progress`` hears of each step."""

    params: BoostingParams
    on: BoostingCluster
    progress: Callable[[str], None]

    def choose(self, prop: PropType, fit: TrainingSet, validation: TrainingSet) -> ChosenTrees:
        """Train on ``fit`` until the loss on ``validation`` stops falling."""
        trees: dict[Trees, CompiledTrees] = {}
        rounds: dict[Trees, int] = {}
        for kind in Trees:  # the draft's trees come last: they correct the others
            older, newer = (labelled(rows, prop, kind, trees) for rows in (fit, validation))
            if kind is Trees.DRAFT and not (len(older.counts) >= LEAST_DRAFT_ROWS and len(newer.counts)):
                continue
            self.progress(f"{prop}: choosing the number of {kind} trees")
            chosen = train_until_best(older, newer, params_of(kind, self.params), self.on)
            trees[kind], rounds[kind] = CompiledTrees.of(chosen.trees), chosen.rounds
        return ChosenTrees(trees, rounds)

    def train(self, prop: PropType, rows: TrainingSet, rounds: Mapping[Trees, int]) -> dict[Trees, CompiledTrees]:
        """Train every kind on all rows for its number of rounds."""
        trees: dict[Trees, CompiledTrees] = {}
        for kind, count in rounds.items():
            self.progress(f"{prop}: training {count} {kind} trees on all games")
            data = labelled(rows, prop, kind, trees)
            trees[kind] = CompiledTrees.of(train_rounds(data, count, params_of(kind, self.params), self.on).trees)
        return trees


def params_of(kind: Trees, params: BoostingParams) -> BoostingParams:
    """The hyperparameters of one kind: ``params`` are those of the corrections."""
    if kind is Trees.DIRECT:
        return replace(params, objective=TWEEDIE, seed=params.seed + 1)
    if kind is Trees.DRAFT:
        return replace(params, max_depth=_DRAFT_DEPTH, colsample_bytree=1.0, seed=params.seed + 2)
    return params


def labelled(rows: TrainingSet, prop: PropType, kind: Trees, before: Mapping[Trees, CompiledTrees]) -> Labelled:
    """What trees of a kind learn from: every game with the result that it had."""
    if kind is Trees.DRAFT:
        return _drafted(rows, prop, before)
    offset = None
    if kind is Trees.CORRECTION:
        offset = offsets(prop, rows.features)[np.arange(len(rows)), rows.won.astype(np.int64)]
    return Labelled(result_rows(rows.features, rows.won), rows.counts[prop], offset)


def _drafted(rows: TrainingSet, prop: PropType, trees: Mapping[Trees, CompiledTrees]) -> Labelled:
    """The games whose champions are known; the combination of the other members is the offset."""
    known = ~np.isnan(rows.draft[:, 0])
    features, draft, won = rows.features[known], rows.draft[known], rows.won[known]
    means = CountMembers(prop, trees, EQUAL_WEIGHTS).means(features)
    both = draft_rows(features, draft, means).reshape(2, len(features), -1)
    at = np.arange(len(features))
    result = won.astype(np.int64)
    return Labelled(both[result, at], rows.counts[prop][known], means[at, result])
