"""The own-line ladder: what a method says of seven half lines around the player's own, as a bookmaker quotes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from training.scores import over_probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.evaluation.bootstrap import ErrorFigure, Figure, SeriesBootstrap
    from training.evaluation.questions import Question

OFFSETS = (-3, -2, -1, 0, 1, 2, 3)
REGIONS = {"low": (-3, -2), "middle": (-1, 0, 1), "high": (2, 3)}
LEAST_CONFIDENCES = (0.6, 0.7, 0.8, 0.9)
OWN = OFFSETS.index(0)


@dataclass(frozen=True, slots=True)
class Selective:
    """The calls given with at least this confidence: how many, their share of all calls, how many of them came true.

    ``right`` is to be read beside ``said``, the mean confidence they were given with (El-Yaniv and Wiener 2010).
    """

    least_confidence: float
    calls: int
    share: Figure
    right: Figure
    said: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Expected calibration errors of OVER: of all lines, and of those well below, around and well above the own."""

    overall: ErrorFigure
    low: ErrorFigure
    middle: ErrorFigure
    high: ErrorFigure


@dataclass(frozen=True, slots=True, eq=False)
class Ladder:
    """Arrays of the shape [n, 7]: whether there is such a line (above 0), P(OVER), and whether OVER happened."""

    quoted: NDArray[np.bool_]
    over: NDArray[np.float64]
    happened: NDArray[np.bool_]

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the likelier side came true."""
        return np.asarray((self.over >= 0.5) == self.happened)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """The probability of the likelier side."""
        return np.maximum(self.over, 1.0 - self.over)

    def calibration(self, bootstrap: SeriesBootstrap) -> Calibration:
        """How far what was said lies from what was seen."""

        def error(offsets: tuple[int, ...]) -> ErrorFigure:
            among = self.quoted & np.isin(OFFSETS, offsets)
            return bootstrap.calibration_error(self.over, self.happened, among)

        return Calibration(error(OFFSETS), **{region: error(offsets) for region, offsets in REGIONS.items()})

    def selective(self, bootstrap: SeriesBootstrap) -> tuple[Selective, ...]:
        """How right the sure calls are, for each least confidence."""
        quoted = self.quoted.astype(np.float64)
        found = []
        for least in LEAST_CONFIDENCES:
            given = self.quoted & (self.confidence >= least)
            found.append(
                Selective(
                    least_confidence=least,
                    calls=int(given.sum()),
                    share=bootstrap.ratio(given.astype(np.float64), quoted),
                    right=bootstrap.mean(self.right.astype(np.float64), given),
                    said=float(self.confidence[given].mean()) if given.any() else float("nan"),
                )
            )
        return tuple(found)


def ladder_of(question: Question, pmf: NDArray[np.float64]) -> Ladder:
    """The ladder of every row, from distributions of shape [n, counts]."""
    lines = question.lines[:, None] + np.array(OFFSETS)
    over = np.column_stack([over_probabilities(pmf, lines[:, at]) for at in range(len(OFFSETS))])
    return Ladder(lines > 0, over, question.actual[:, None] > lines)
