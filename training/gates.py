"""The release gates: whether a trained version may answer in the champion's place.

Every refusal names its check and what was measured. A sound candidate that is as good as the champion is refused with
probability 4 · FALSE_REFUSAL at most: each family of checks (calibration, leak, scores, slices) errs that often, as a
whole (Holm 1979). What is measured outright (features, latency, the rolling mean) has no such rate.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from actors.ensemble import TREES, Forecast, PropEnsemble
from stores.domain.props import MapRange, PropType
from stores.errors import InvalidError, NotFoundError
from stores.features.schema import CHAMPION_FEATURES, FEATURE_VERSION, MODEL_FEATURES, POSITIONS
from training.champion_checks import check_champion
from training.gate_report import GateCheck, GateReport
from training.holdout import HOLDOUT_FILE, SUM_TOLERANCE, Holdout
from training.holdout_checks import check_baseline, check_calibration, check_leak

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from stores.domain.models import ModelRecord
    from stores.roles.artifacts import Artifacts

    Cost = Callable[[PropEnsemble, NDArray[np.float32]], float]

LATENCY_ROWS: Final = (1, 100)  # one question, and a large batch
MOST_LATENCY_RATIO: Final = 1.5
LATENCY_ROUNDS: Final = 21  # odd: the median is a round


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A version as it is judged.

    A champion of other features has no ensemble here, and one of before the gates no holdout; a candidate needs both.
    """

    record: ModelRecord
    ensemble: PropEnsemble | None
    holdout: Holdout | None


def processor_seconds(ensemble: PropEnsemble, features: NDArray[np.float32]) -> float:
    """The processor time of this thread that answering these rows takes; a busy neighbour does not count.

    ``features`` has the shape [n, MODEL_FEATURES]; every prop is asked, over one map and over maps 1 and 2,
    before and after the draft.
    """
    begun = time.thread_time()
    _answers(ensemble, features)
    return time.thread_time() - begun


def _answers(ensemble: PropEnsemble, features: NDArray[np.float32]) -> list[Forecast]:
    position = (np.arange(len(features)) % len(POSITIONS))[:, None]
    draft = np.ones((len(features), len(CHAMPION_FEATURES)), dtype=np.float32)
    return [
        forecast
        for prop in PropType
        for maps in (MapRange(1, 1), MapRange(1, 2))
        for known in (None, np.repeat(draft, len(maps.maps), axis=0))
        for means in [ensemble.map_means(prop, np.repeat(features, len(maps.maps), axis=0), known)]
        for forecast in ensemble.forecasts(prop, means, position, maps)
    ]


def _some_features(rows: int) -> NDArray[np.float32]:
    """Features of shape [rows, MODEL_FEATURES], any but always the same."""
    return np.random.default_rng(1).uniform(0.0, 20.0, (rows, len(MODEL_FEATURES))).astype(np.float32)


def judge_versions(candidate: ModelRecord, champion: ModelRecord | None, artifacts: Artifacts) -> GateReport:
    """Judge a registered candidate by the files that serving will load, every byte checked.

    An artefact that cannot be used is a failed check. Raises TransientError while the warehouse does not answer:
    that is no verdict.
    """
    ours, artefact = _read("artefact", candidate, artifacts)
    checks = [artefact, check_features(candidate)]
    theirs = None
    if champion is not None:
        theirs, of_champion = _read("champion's artefact", champion, artifacts)
        checks.append(of_champion)
    if all(check.passed for check in checks) and ours is not None:
        checks += _checks(ours, theirs, processor_seconds)
    return GateReport(tuple(checks))


def judge(candidate: Candidate, champion: Candidate | None, cost: Cost = processor_seconds) -> GateReport:
    """Judge what was read; ``cost`` is what one answer costs an ensemble, by default seconds of the processor."""
    return GateReport((check_features(candidate.record), *_checks(candidate, champion, cost)))


def _checks(candidate: Candidate, champion: Candidate | None, cost: Cost) -> list[GateCheck]:
    """All but the features, which are judged also where no artefact can be read."""
    if candidate.ensemble is None:
        return [
            _refusal("ensemble", "the artefact is of other features or another format than this code's; train again")
        ]
    if candidate.holdout is None:
        return [_refusal("holdout", f"the artefact holds no {HOLDOUT_FILE}, so nothing can be judged; train again")]
    checks = [
        _check_answers(candidate.ensemble),
        *check_baseline(candidate.holdout, candidate.record.training_metrics),
        *check_calibration(candidate.holdout),
        *check_leak(candidate.holdout),
    ]
    if champion is not None and checks[0].passed:
        checks += check_champion(candidate.holdout, champion.holdout)
        checks += _check_latency(candidate.ensemble, champion.ensemble, cost)
    return checks


def _check_answers(ensemble: PropEnsemble) -> GateCheck:
    """Every prop is answered, for every role, with probabilities."""
    try:
        with np.errstate(all="ignore"):  # what is no number is refused below
            sums = np.array([one.calibrated.pmf.sum() for one in _answers(ensemble, _some_features(len(POSITIONS)))])
    except (KeyError, IndexError, ValueError) as error:
        return _refusal("ensemble", f"it does not answer every prop and role ({type(error).__name__}: {error})")
    if not (np.abs(sums - 1.0) <= SUM_TOLERANCE).all():  # also refuses NaN
        return _refusal("ensemble", "it answers what is no distribution; train again")
    return GateCheck(
        "ensemble", passed=True, measured=None, bound=None, reason=f"{len(sums)} answers are distributions"
    )


def _refusal(name: str, reason: str) -> GateCheck:
    return GateCheck(name, passed=False, measured=None, bound=None, reason=reason)


def check_features(record: ModelRecord) -> GateCheck:
    """The registered features are those that this code computes, in their order."""
    features = tuple(record.feature_schema.get("features", ()))
    if record.feature_version != FEATURE_VERSION:
        reason = f"trained on features {record.feature_version}, this code computes {FEATURE_VERSION}; train again"
    elif features != MODEL_FEATURES:
        other = sorted(set(features) ^ set(MODEL_FEATURES)) or "their order"
        reason = f"feature_schema differs from what this code computes in {other}; train again"
    else:
        return GateCheck("features", passed=True, measured=None, bound=None, reason=f"features {FEATURE_VERSION}")
    return _refusal("features", reason)


def latency_ratio(candidate: PropEnsemble, champion: PropEnsemble, rows: int, cost: Cost) -> float:
    """The median of what the candidate's answer costs in champion's answers, asked in turn in this process."""
    features = _some_features(rows)
    cost(candidate, features), cost(champion, features)  # the first call of each only warms up
    rounds = [(cost(candidate, features), cost(champion, features)) for _ in range(LATENCY_ROUNDS)]
    ours, theirs = np.median(rounds, axis=0)
    return float(ours / theirs)


def _check_latency(ours: PropEnsemble, theirs: PropEnsemble | None, cost: Cost) -> list[GateCheck]:
    if theirs is None:
        reason = "not comparable: the champion was built for other features"
        return [GateCheck("latency", passed=True, measured=None, bound=MOST_LATENCY_RATIO, reason=reason)]
    checks = []
    for rows in LATENCY_ROWS:
        ratio = latency_ratio(ours, theirs, rows, cost)
        reason = f"{rows} rows cost {ratio:.2f} times what they cost the champion, at most {MOST_LATENCY_RATIO:g}"
        name = f"latency: {rows} row{'s' if rows > 1 else ''}"
        checks.append(GateCheck(name, ratio <= MOST_LATENCY_RATIO, ratio, MOST_LATENCY_RATIO, reason))
    return checks


def _read(name: str, record: ModelRecord, artifacts: Artifacts) -> tuple[Candidate | None, GateCheck]:
    """A version from its files, or nothing, with the check that says why.

    Without an ensemble comes a version of other features than this code computes: its holdout still compares.
    """
    ensemble, reason = None, "every byte is as it was registered"
    try:
        files = artifacts.load(record.model_artifact_path, record.checksum)
        holdout = Holdout.from_bytes(files[HOLDOUT_FILE]) if HOLDOUT_FILE in files else None
        try:
            ensemble = PropEnsemble.from_files(files)
        except InvalidError as error:
            if error.field == TREES:
                raise
            reason = str(error)
    except (InvalidError, NotFoundError) as error:
        return None, _refusal(name, str(error))
    except (ValueError, KeyError, TypeError) as error:  # of JSON, of a missing file or entry, of trees
        return None, _refusal(
            name, f"its files are whole but hold no model ({type(error).__name__}: {error}); train again"
        )
    return Candidate(record, ensemble, holdout), GateCheck(name, passed=True, measured=None, bound=None, reason=reason)
