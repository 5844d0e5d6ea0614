"""The gates over real artefacts: every way to be unfit is refused by a check that names it, a sound version passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
import xgboost as xgb

from actors.compiled_trees import CompiledTrees
from actors.count_members import Trees, result_rows
from actors.ensemble import MODEL_FILE, PropEnsemble
from stores.domain.checks import check_object
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.domain.props import PropType
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES
from stores.lake.artifacts import WarehouseArtifacts
from tests.unit.holdouts import CUT, DAY, PLAYERS, baseline_scores, holdout, known_games, play, seen
from training.gates import Candidate, judge, judge_versions, latency_ratio
from training.holdout import HOLDOUT_FILE, QUESTIONS, Holdout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tests.unit.holdouts import World
    from training.gate_report import GateReport

SERIES = 250


@dataclass(frozen=True, slots=True)
class Releases:
    """Versions in a warehouse on disk."""

    artifacts: WarehouseArtifacts
    files: dict[str, bytes]
    metrics: dict[str, float]

    def version(self, name: str, said: Holdout | None = None, changes: dict[str, bytes] | None = None) -> ModelRecord:
        """Save and describe a version: an ensemble, what it said of the holdout, and files that are other than that."""
        said_file = {HOLDOUT_FILE: said.to_bytes()} if said else {}
        stored = self.artifacts.save(name, {**self.files, **said_file, **(changes or {})})
        return ModelRecord(
            model_name=MODEL_NAME,
            model_version=name,
            framework="xgboost",
            algorithm="trees",
            hyperparameters={},
            feature_schema={"features": list(MODEL_FEATURES)},
            feature_version=FEATURE_VERSION,
            training_metrics=self.metrics,
            model_artifact_path=stored.path,
            model_size_bytes=stored.size_bytes,
            checksum=stored.checksum,
            lake_snapshot_id=1,
            trained_at=datetime(2026, 6, 1, tzinfo=UTC),
        )

    def judged(self, candidate: ModelRecord, champion: ModelRecord | None = None) -> GateReport:
        """What the gates find."""
        return judge_versions(candidate, champion, self.artifacts)


@pytest.fixture(scope="module")
def world() -> World:
    """Four months of series."""
    return play(1, SERIES)


@pytest.fixture(scope="module")
def own_view(world: World) -> dict[PropType, NDArray[np.float64]]:
    """What a sound training sees of the world's means."""
    return seen(world, 1)


@pytest.fixture(scope="module")
def sound(world: World, own_view: dict[PropType, NDArray[np.float64]]) -> Holdout:
    """What the champion said."""
    return holdout(world, own_view)


@pytest.fixture(scope="module")
def rolling_mean(world: World) -> dict[str, float]:
    """The scores of a baseline that sees the means much less clearly."""
    return baseline_scores(world)


@pytest.fixture
def releases(tmp_path: Path, small_model: PropEnsemble, rolling_mean: dict[str, float]) -> Releases:
    """An empty warehouse."""
    return Releases(WarehouseArtifacts(f"file://{tmp_path}"), small_model.to_files(), rolling_mean)


def refined(view: dict[PropType, NDArray[np.float64]], seed: int, blur: float) -> dict[PropType, NDArray[np.float64]]:
    """The same view with errors of another training's own."""
    rng = np.random.default_rng(seed)
    return {prop: means * np.exp(blur * rng.standard_normal(means.shape)) for prop, means in view.items()}


def named(report: GateReport, prefix: str) -> list[str]:
    """The failures of the checks whose names begin so."""
    return [failure for failure in report.failures if failure.startswith(prefix)]


def test_as_good_a_version_passes(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout
) -> None:
    """Another training of the same: nothing fails, and every kind of check was made."""
    candidate = releases.version("candidate", holdout(world, refined(own_view, 2, 0.02)))
    report = releases.judged(candidate, releases.version("champion", sound))
    assert report.failures == ()
    assert report.passed
    kinds = {check.name.partition(":")[0] for check in report.checks}
    assert kinds == {
        *("artefact", "champion's artefact", "features", "ensemble", "baseline", "calibration"),
        *("leak", "score", "slice", "latency"),
    }
    assert len({check.name for check in report.checks}) == len(report.checks)


def test_a_better_version_passes_and_the_worse_is_refused(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout
) -> None:
    """Who sees the means more clearly passes beside the champion; the other way round, both scores are named."""
    blurred = releases.version("blurred", holdout(world, refined(own_view, 3, 0.15)))
    champion = releases.version("champion", sound)
    assert releases.judged(champion, blurred).failures == ()
    failures = named(releases.judged(blurred, champion), "score: ")
    assert any("CRPS: +" in failure for failure in failures)
    assert any("log score: +" in failure for failure in failures)


def test_the_first_version_has_to_beat_the_rolling_mean(releases: Releases, world: World, sound: Holdout) -> None:
    """Without a champion a sound version passes; one that is worse than the baseline is refused by both scores."""
    assert releases.judged(releases.version("first", sound)).failures == ()
    poor = releases.version("poor", holdout(world, seen(world, 4, blur=0.4)))
    names = {failure.partition(":")[2][1:].split(":")[0] for failure in named(releases.judged(poor), "baseline: ")}
    assert names == {"kills crps", "kills log_score", "assists crps", "assists log_score"}


def test_a_version_without_the_baselines_scores_is_refused(releases: Releases, sound: Holdout) -> None:
    """What it has to beat must be known."""
    record = replace(releases.version("first", sound), training_metrics={})
    assert len(named(releases.judged(record), "baseline: ")) == 4


@pytest.mark.parametrize("size", [1.8, 60.0], ids=["too wide", "too sure"])
def test_a_miscalibrated_version_is_refused(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout, size: float
) -> None:
    """The right means with a wrong spread: the calibration error is named with its bound."""
    candidate = releases.version("candidate", holdout(world, own_view, size=size))
    failures = named(releases.judged(candidate, releases.version("champion", sound)), "calibration: ")
    assert failures
    assert all("a true model stays below" in failure for failure in failures)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_version": "f0-00000000"}, "f0-00000000"),
        ({"feature_schema": {"features": list(MODEL_FEATURES[::-1])}}, "their order"),
        ({"feature_schema": {"features": list(MODEL_FEATURES[1:])}}, MODEL_FEATURES[0]),
        ({"feature_schema": {}}, "train again"),
    ],
)
def test_a_version_of_another_schema_is_refused(
    releases: Releases, sound: Holdout, changes: dict[str, Any], reason: str
) -> None:
    """The registered features are not those of this code: the check says which."""
    record = replace(releases.version("candidate", sound), **changes)
    (failure,) = named(releases.judged(record), "features: ")
    assert reason in failure


def other_features(files: dict[str, bytes]) -> bytes:
    """The description of a model for other features."""
    return orjson.dumps(orjson.loads(files[MODEL_FILE]) | {"feature_version": "f0-00000000"})


def test_trees_of_another_schema_are_refused(releases: Releases, sound: Holdout) -> None:
    """The record says the right features and the files do not."""
    record = releases.version("candidate", sound, {MODEL_FILE: other_features(releases.files)})
    assert named(releases.judged(record), "ensemble: ")


@pytest.mark.parametrize("without", ["assists", "sizes", "numbers"])
def test_a_version_that_does_not_answer_is_refused(
    releases: Releases, small_model: PropEnsemble, sound: Holdout, without: str
) -> None:
    """An ensemble of one prop alone, of too few roles, or of no finite sizes, is named as that."""
    description = orjson.loads(releases.files[MODEL_FILE])
    if without == "assists":
        del description["props"]["assists"]
    else:
        by_result = small_model.parameters.props[PropType.KILLS].before.sizes
        description["props"]["kills"]["before"]["sizes"] = [
            sizes[:2] if without == "sizes" else (-1.0,) * len(sizes) for sizes in by_result
        ]
    record = releases.version("candidate", sound, {MODEL_FILE: orjson.dumps(description)})
    assert named(releases.judged(record, record), "ensemble: ")


@pytest.mark.parametrize("file", ["kills.correction.ubj", MODEL_FILE, HOLDOUT_FILE, "manifest.json"])
@pytest.mark.parametrize("cut", [True, False], ids=["cut", "tampered"])
def test_a_changed_file_is_refused(releases: Releases, sound: Holdout, file: str, cut: bool) -> None:
    """A file that is shorter than it was registered, or has one other byte, is named; nothing of it is read."""
    record = releases.version("candidate", sound)
    path = Path(record.model_artifact_path) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) // 2] if cut else content)
    report = releases.judged(record)
    (failure,) = named(report, "artefact: ")
    assert file.removesuffix(".json") in failure
    assert len(report.failures) == 1


@pytest.mark.parametrize("file", [MODEL_FILE, "kills.correction.ubj", HOLDOUT_FILE])
def test_a_file_that_was_stored_cut_is_refused(releases: Releases, sound: Holdout, file: str) -> None:
    """The checksum is right and the content is not: still a failed check, not a traceback."""
    whole = {**releases.files, HOLDOUT_FILE: sound.to_bytes()}[file]
    record = releases.version("candidate", sound, {file: whole[: len(whole) // 2]})
    assert len(named(releases.judged(record), "artefact: ")) == 1


def test_a_missing_artefact_is_refused(releases: Releases, sound: Holdout) -> None:
    """A registered version whose folder is gone."""
    record = releases.version("candidate", sound)
    (Path(record.model_artifact_path) / "manifest.json").unlink()
    assert "missing" in releases.judged(record).failures[0]


def test_a_version_without_a_holdout_is_refused(releases: Releases) -> None:
    """Nothing shows what it is worth."""
    (failure,) = releases.judged(releases.version("candidate")).failures
    assert failure.startswith("holdout: ")


def heavy_model(like: PropEnsemble) -> PropEnsemble:
    """The same parameters with a hundred times the trees."""
    rng = np.random.default_rng(5)
    features = rng.uniform(0.0, 20.0, size=(400, len(MODEL_FEATURES))).astype(np.float32)
    params = {"objective": "count:poisson", "max_depth": 6, "nthread": 1, "seed": 1, "num_parallel_tree": 400}
    quick = {"subsample": 0.5, "colsample_bytree": 0.05, "max_bin": 4}
    won = rng.random(len(features)) < 0.5
    data = xgb.DMatrix(result_rows(features, won), rng.poisson(1.0 + 0.2 * features[:, 0]))
    trees = CompiledTrees.of(xgb.train({**params, **quick}, data, num_boost_round=5))
    members = {prop: {**of_prop.trees, Trees.CORRECTION: trees} for prop, of_prop in like.members.items()}
    return PropEnsemble(members, like.parameters)


def test_a_slower_version_is_refused(releases: Releases, small_model: PropEnsemble, sound: Holdout) -> None:
    """A hundred times the trees: the answer to 100 rows costs more than 1.5 times the champion's."""
    candidate = releases.version("candidate", sound, heavy_model(small_model).to_files())
    failures = named(releases.judged(candidate, releases.version("champion", sound)), "latency: 100 rows")
    assert len(failures) == 1
    assert "times what they cost the champion" in failures[0]


def test_the_ratio_is_that_of_medians_asked_in_turn(small_model: PropEnsemble) -> None:
    """Costs are taken in turn, the first ones only warm up, and one slow answer in three does not count."""
    heavy = PropEnsemble({prop: {} for prop in PropType}, small_model.parameters)
    asked: list[bool] = []

    def cost(ensemble: PropEnsemble, features: NDArray[np.float32]) -> float:
        asked.append(ensemble is heavy)
        assert features.shape == (7, len(MODEL_FEATURES))
        return 100.0 if len(asked) <= 2 or len(asked) % 6 == 1 else 3.0 if ensemble is heavy else 2.0

    assert latency_ratio(heavy, small_model, 7, cost) == pytest.approx(1.5)
    assert asked == [True, False] * (len(asked) // 2)


@pytest.mark.parametrize(("share", "size"), [(0.6, 5.0), (0.6, 400.0), (0.2, 8.0)])
def test_a_version_that_saw_the_outcomes_is_refused(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], share: float, size: float
) -> None:
    """Means drawn towards the outcome, with the spread of before or with one fitted to what was seen."""
    means = {
        prop: (1 - share) * view + share * np.maximum(world.outcomes[prop].mean(axis=0), 0.05)
        for prop, view in own_view.items()
    }
    assert named(releases.judged(releases.version("candidate", holdout(world, means, size=size))), "leak: ")


def test_a_holdout_inside_the_training_is_refused(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]]
) -> None:
    """Series that began by the end of what was trained on are counted: 10 of them, in every question."""
    candidate = releases.version("candidate", holdout(world, own_view, until=CUT + 10 * DAY))
    (failure,) = named(releases.judged(candidate), "leak: time")
    assert f"{10 * PLAYERS * (2 + 1) * 2} rows" in failure


def test_a_version_that_fails_rookies_alone_is_refused(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout
) -> None:
    """Players with fewer than eight known games are overrated by 40%: their slice is named, and no league is."""
    rookies = known_games(np.arange(SERIES)) < 8
    means = {prop: np.where(rookies[:, None], 1.4 * view, view) for prop, view in own_view.items()}
    candidate = releases.version("candidate", holdout(world, means))
    report = releases.judged(candidate, releases.version("champion", sound))
    (failure,) = named(report, "slice: rookies")
    assert "rookies (kills" in failure
    assert not named(report, "slice: league")


def test_few_common_series_are_not_compared(
    releases: Releases, world: World, own_view: dict[PropType, NDArray[np.float64]], sound: Holdout
) -> None:
    """With 60 series in common the champion says nothing, and the rolling mean alone decides."""
    blurred = holdout(world, refined(own_view, 3, 0.15))
    few = Holdout(CUT, {question: rows.at(np.arange(60 * PLAYERS)) for question, rows in sound.questions.items()})
    report = releases.judged(releases.version("candidate", blurred), releases.version("champion", few))
    scores = [check for check in report.checks if check.name.startswith("score: ")]
    assert len(scores) == len(QUESTIONS)
    assert all(check.passed and "not comparable: 60 series" in check.reason for check in scores)


def test_a_champion_of_before_does_not_block(releases: Releases, sound: Holdout) -> None:
    """One without a holdout, or of features that this code does not compute, is not comparable in that alone."""
    candidate = releases.version("candidate", sound)
    assert releases.judged(candidate, releases.version("no-holdout")).failures == ()
    older = releases.version("older", sound, {MODEL_FILE: other_features(releases.files)})
    report = releases.judged(candidate, older)
    assert report.failures == ()
    assert [check.measured for check in report.checks if check.name.startswith("latency")] == [None]
    assert [check for check in report.checks if check.name.startswith("score") and check.measured is not None]


def test_a_tampered_champion_is_no_measure(releases: Releases, sound: Holdout) -> None:
    """Nothing is judged beside a champion that is not what was registered."""
    champion = releases.version("champion", sound)
    (Path(champion.model_artifact_path) / HOLDOUT_FILE).write_bytes(b"better")
    report = releases.judged(releases.version("candidate", sound), champion)
    (failure,) = report.failures
    assert failure.startswith("champion's artefact: ")


def test_too_small_a_holdout_is_refused(releases: Releases, sound: Holdout) -> None:
    """Twenty series show neither calibration nor a leak."""
    few = Holdout(CUT, {question: rows.at(np.arange(20 * PLAYERS)) for question, rows in sound.questions.items()})
    report = releases.judged(releases.version("candidate", few))
    assert len(named(report, "calibration: ")) == len(named(report, "leak: ")) == len(QUESTIONS)


def test_the_report_is_a_document_that_the_stores_take(
    small_model: PropEnsemble, releases: Releases, sound: Holdout
) -> None:
    """It is JSON with finite numbers, small enough to be kept beside a promotion, and read back it is equal."""
    record = releases.version("candidate", sound)
    version = Candidate(record, small_model, sound)
    document = judge(version, version, cost=lambda _, features: float(len(features))).to_json()
    check_object(document, "gates")
    assert orjson.loads(orjson.dumps(document)) == document
    assert document["passed"] is True
