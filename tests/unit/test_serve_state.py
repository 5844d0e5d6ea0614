"""What a replica answers with, from hand-written parts: neither part being away keeps the other from being renewed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from actors.feature_shard import FeatureShard
from serve_apps.placement import Colocated
from serve_apps.state import ServingState, checks
from stores.errors import InvalidError, NotFoundError, RiftlineError, TransientError
from stores.features.tables import PLAYER_SNAPSHOTS
from stores.lake.catalog import IcebergLake
from stores.settings import LakeSettings

if TYPE_CHECKING:
    from pathlib import Path

    from actors.feature_view import FeatureView
    from stores.roles.artifacts import Artifacts as ArtifactsRole
    from stores.roles.model_registry import ModelRegistry


class AwayRegistry:
    """A registry whose database does not answer."""

    async def production(self, _: str) -> None:
        """Fail as the adapter does."""
        raise TransientError("PostgreSQL at db.inner:5432 does not answer")


class EmptyRegistry:
    """A registry without a released model."""

    async def production(self, _: str) -> None:
        """Find nothing."""


class Registry:
    """A registry with a released model."""

    def __init__(self, version: str = "1") -> None:
        self.version = version

    async def production(self, _: str) -> Any:
        """Find it."""
        return SimpleNamespace(model_version=self.version, model_artifact_path="models/1", checksum="0")


class Artifacts:
    """A warehouse that raises what it was made with, or else gives files."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def load(self, *_: str) -> dict[str, bytes]:
        """The files, which nobody reads here."""
        if self.error:
            raise self.error
        return {}


class Feed:
    """A feed that gives what it was made with, once."""

    age_s = 0.0

    def __init__(self, *given: FeatureView | BaseException) -> None:
        self._given = list(given)

    async def newer_than(self, _: FeatureView | None) -> FeatureView | None:
        """The next thing, or nothing newer."""
        given = self._given.pop(0) if self._given else None
        if isinstance(given, BaseException):
            raise given
        return given


VIEW = cast("FeatureView", object())


def _state(registry: Any, feed: Feed, artifacts: Artifacts | None = None) -> ServingState:
    return ServingState(cast("ModelRegistry", registry), Colocated(cast("ArtifactsRole", artifacts)), feed)


async def test_features_are_renewed_while_the_registry_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """An outage of the database does not make the features stale; clients are not told where the database is."""
    state = _state(AwayRegistry(), Feed(VIEW))
    await state.refresh()
    assert state.view is VIEW
    with pytest.raises(TransientError, match="database or the warehouse does not answer") as caught:
        _ = state.model
    assert "db.inner" not in str(caught.value)
    assert "db.inner" in caplog.text


async def test_the_old_view_stays_while_the_shards_are_away() -> None:
    """What was known goes on being answered with, and readiness says that it is not renewed."""
    state = _state(EmptyRegistry(), Feed(VIEW, TransientError("a shard restarts")))
    await state.refresh()
    assert checks(state, ())["features"] == "ok"
    await state.refresh()
    assert state.view is VIEW
    assert checks(state, ())["features"] == "ok, but not renewed: the feature shards or the lake do not answer"
    await state.refresh()
    assert checks(state, ())["features"] == "ok"


@pytest.mark.parametrize(
    ("age_s", "said"),
    [
        (0.0, ()),
        (60.5, ("features unconfirmed for",)),
        (3500.0, ("features unconfirmed for",)),
        (3601.0, ("stale features: players and teams unconfirmed",)),
        (7201.0, ("stale features: players, teams and tournaments unconfirmed",)),
    ],
)
async def test_answers_say_what_is_beyond_its_lifetime(age_s: float, said: tuple[str, ...]) -> None:
    """From the promised freshness on answers say for how long nothing was confirmed, and then what is stale."""
    feed = Feed(VIEW)
    feed.age_s = age_s
    state = _state(EmptyRegistry(), feed)
    await state.refresh()
    assert state.features_age_s >= age_s
    warned = state.warnings()
    assert len(warned) == len(said)
    assert all(one.startswith(begun) for one, begun in zip(warned, said, strict=True))


def test_nothing_is_ready_before_it_is_loaded() -> None:
    """Each missing part says what is to be done."""
    found = checks(_state(EmptyRegistry(), Feed()), [("database", "ok")])
    assert found["database"] == "ok"
    assert "riftline train" in found["model"]
    assert "riftline ingest" in found["features"]


BROKEN = [
    (NotFoundError("the model artefact models/1 is missing from the warehouse"), "models/1 is missing"),
    (InvalidError("models/1/kills.ubj was changed after it was registered"), "was changed"),
    (TransientError("s3.inner: 500"), "does not answer"),
    (KeyError("format"), "an error of ours"),
]


@pytest.mark.parametrize(("error", "shown"), BROKEN)
async def test_a_released_model_that_is_broken_is_told(
    error: Exception, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is told to train when a model is released but cannot be loaded; the log says why, once."""
    state = _state(Registry(), Feed(), Artifacts(error))
    for _ in range(3):
        await state.refresh()
    with pytest.raises(TransientError, match=shown) as caught:
        _ = state.model
    assert checks(state, ())["model"] == str(caught.value)
    assert "released yet" not in str(caught.value)
    assert [str(error.args[0]) in record.getMessage() for record in caplog.records] == [True]


async def test_a_broken_release_leaves_the_old_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model before it goes on answering, the newer one's error is shown, and ends when it is repaired."""
    monkeypatch.setattr("serve_apps.placement.PropEnsemble.from_files", dict)
    registry, artifacts = Registry("1"), Artifacts()
    state = _state(registry, Feed(), artifacts)
    await state.refresh()
    registry.version, artifacts.error = "2", InvalidError("models/2 was changed")
    await state.refresh()
    assert state.model.record.model_version == "1"
    assert checks(state, ())["model"] == "ok, but not renewed: models/2 was changed"
    artifacts.error = None
    await state.refresh()
    assert (state.model.record.model_version, checks(state, ())["model"]) == ("2", "ok")


async def test_both_errors_are_kept_and_each_new_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """One part's error does not hide the other's, and a changed error is logged again."""
    other = NotFoundError("the lake's features are f0, this code reads f1; run `riftline ingest`")
    state = _state(Registry(), Feed(other, other, TransientError("lake.inner")), Artifacts(InvalidError("changed")))
    await state.refresh()
    found = checks(state, ())
    assert "changed" in found["model"]
    assert "this code reads f1" in found["features"]
    for _ in range(2):
        await state.refresh()
    said = " ".join(record.getMessage() for record in caplog.records)
    assert [said.count(words) for words in ("changed", "reads f1", "lake.inner")] == [1, 1, 1]


@pytest.mark.parametrize("made", [True, False])
async def test_nothing_is_logged_before_the_first_ingest(
    made: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A lake without features, in the words that a shard really has for it, is a start and no error."""
    place = LakeSettings(f"sqlite:///{tmp_path}/catalog.db", f"file://{tmp_path}/warehouse")
    if made:
        IcebergLake(place).ensure((PLAYER_SNAPSHOTS,))
    with pytest.raises(RiftlineError) as caught:
        FeatureShard("only", place, lambda content: content).newer_than(("only",), None)
    state = _state(EmptyRegistry(), Feed(caught.value, VIEW, caught.value))
    await state.refresh()
    assert state.trouble("features") is None
    assert "riftline ingest" in checks(state, ())["features"]
    assert not [record for record in caplog.records if record.name == "serve_apps.state"]
    await state.refresh()
    await state.refresh()
    assert "holds no features" in caplog.text or "has no table" in caplog.text


async def test_the_loop_survives_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that ends in an unforeseen error does not end the later ones."""
    monkeypatch.setattr("serve_apps.state.POLL_S", 0.0)
    state = _state(EmptyRegistry(), Feed(RuntimeError("a bug"), VIEW, asyncio.CancelledError()))
    with pytest.raises(asyncio.CancelledError):
        await state.keep_fresh()
    assert state.view is VIEW
