"""What each part of the model is worth: the change of the proper scores when it is left out and the rest fitted again.

A member is left out of the combination: its weight is 0 and the others are stacked again. What is built on it stays as
it is: `correction` still starts from `results` and `hierarchy`, `draft` is still trained on all. A feature family is
constant for fitting and scoring (`families.left_out`). `draft` is judged on the answer with the champions known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.count_members import Member, Trees
from training.evaluation.bootstrap import SeriesBootstrap
from training.evaluation.families import FAMILIES, left_out
from training.evaluation.methods import model_pmf
from training.evaluation.report import ProperScores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from actors.ensemble import PropEnsemble
    from stores.domain.props import PropType
    from training.dataset import TrainingSet
    from training.evaluation.questions import Question
    from training.evaluation.report import Difference

MEMBER = "member"
FAMILY = "family"


@dataclass(frozen=True, slots=True)
class Ablated:
    """One part left out, on one question: ``change`` is in % of the whole model's scores; above 0 the part helps.

    ``kind`` is ``member`` or ``family``; ``maps`` is ``one`` or ``1-2``.
    """

    prop_type: PropType
    maps: str
    kind: str
    left_out: str
    rows: int
    change: Difference


@dataclass(frozen=True, slots=True, eq=False)
class Ablation:
    """Leaves out one part after the other. ``known`` marks the rows to learn from, of shape [rows].

    ``fit`` makes a model of rows without the members named; ``progress`` hears of each part, fitting takes long.
    """

    rows: TrainingSet
    known: NDArray[np.bool_]
    questions: Sequence[Question]
    fit: Callable[[TrainingSet, frozenset[Member]], PropEnsemble]
    progress: Callable[[str], None]

    def run(self, whole: PropEnsemble) -> tuple[Ablated, ...]:
        """Every member and every family against the whole model, which was fitted on the same rows.

        Fits a model for each member and each family but `draft`, one after the other.
        """
        baseline = [_scores(whole, self.rows, question) for question in self.questions]
        found: list[Ablated] = []
        steps = len(Member) + len(FAMILIES)
        for at, member in enumerate(Member, start=1):
            self.progress(f"left out {at} of {steps}: member {member}")
            found += self._against(baseline, MEMBER, str(member), self.rows, frozenset({member}))
        found += self._without_draft(whole, baseline)
        for at, family in enumerate(FAMILIES, start=len(Member) + 1):
            self.progress(f"left out {at} of {steps}: family {family}")
            found += self._against(baseline, FAMILY, family, left_out(self.rows, family, self.known), frozenset())
        return tuple(found)

    def _against(
        self, baseline: Sequence[ProperScores], kind: str, name: str, rows: TrainingSet, without: frozenset[Member]
    ) -> list[Ablated]:
        rest = self.fit(rows.where(self.known), without)
        return [
            _ablated(question, kind, name, _scores(rest, rows, question), of_whole)
            for question, of_whole in zip(self.questions, baseline, strict=True)
        ]

    def _without_draft(self, whole: PropEnsemble, baseline: Sequence[ProperScores]) -> list[Ablated]:
        """The answer before the draft against that with the champions known; nothing is fitted again."""
        return [
            _ablated(question, MEMBER, str(Trees.DRAFT), undrafted, _scores(whole, self.rows, question, drafted=True))
            for question, undrafted in zip(self.questions, baseline, strict=True)
        ]


def _scores(ensemble: PropEnsemble, rows: TrainingSet, question: Question, *, drafted: bool = False) -> ProperScores:
    return ProperScores.of(question, model_pmf(ensemble, rows, question, drafted=drafted))


def _ablated(question: Question, kind: str, name: str, without: ProperScores, whole: ProperScores) -> Ablated:
    change = without.against(whole, SeriesBootstrap(question.series))
    return Ablated(question.prop, question.maps, kind, name, len(question.actual), change)
