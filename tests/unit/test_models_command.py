"""`riftline models` without a server: what it compares, shows and refuses."""

from __future__ import annotations

import getpass
import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cluster import models
from cluster.cli import app
from cluster.model_tables import comparison, flat, show_comparison, show_list, show_version
from stores.domain.models import Alias, ModelRecord, Transition, TransitionKind
from stores.errors import TransientError
from stores.settings import Settings
from training.gate_report import GateCheck, GateReport

run = CliRunner().invoke
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
RECORD = ModelRecord(
    model_name="player-props",
    model_version="20260314.120000",
    framework="xgboost",
    algorithm="poisson",
    hyperparameters={"eta": 0.1, "nested": {"[bold]depth": 6}},
    feature_schema={"features": ["kills_mean_10"], "empty": {}},
    feature_version="f1",
    training_metrics={"kills": {"crps": 1.25, "rounds": 80.0}, "note": "first"},
    model_artifact_path="models/1",
    model_size_bytes=123456,
    checksum="ab" * 32,
    lake_snapshot_id=7,
    trained_at=NOON,
    test_accuracy=0.5,
)
REFUSAL = GateReport(
    (
        GateCheck("kills: crps", passed=False, measured=1.3, bound=1.2, reason="1.3 is above [1.2]"),
        GateCheck("features", passed=True, measured=None, bound=None, reason="features f1"),
    )
)
JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.text("ab", min_size=1, max_size=3), inner, min_size=1, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("command", ["list", "show", "compare", "promote", "rollback", "watch"])
def test_help_gives_examples(command: str) -> None:
    """Each command's help ends with a line to copy."""
    told = run(app, ["models", command, "--help"])
    assert told.exit_code == 0
    assert f"riftline models {command}" in " ".join(told.stdout.split("Example")[-1].split())


def test_an_unknown_alias_is_wrong_input() -> None:
    """Before any database is asked."""
    assert run(app, ["models", "promote", "1", "--alias", "king"]).exit_code == 2


@given(st.dictionaries(st.text("ab", min_size=1, max_size=3), JSON, max_size=4))
def test_a_leaf_is_found_by_its_path(document: dict[str, object]) -> None:
    """Every path leads to its value, and as many leaves are told as there are."""

    def leaves(value: object) -> int:
        return sum(map(leaves, value.values())) if isinstance(value, dict) else 1

    told = flat(document)
    assert len(told) == leaves(document)
    for path, leaf in told.items():
        value: object = document
        for key in path.split("."):
            assert isinstance(value, dict)
            value = value[key]
        assert value == leaf


def test_metrics_stand_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    """Each metric of either version is in, with the difference where both have a number."""
    other = replace(RECORD, training_metrics={"kills": {"crps": 1.0}, "rows": 9}, test_accuracy=None)
    metrics = comparison(RECORD, other)
    assert metrics == {
        "kills.crps": (1.25, 1.0),
        "kills.rounds": (80.0, None),
        "note": ("first", None),
        "test_accuracy": (0.5, None),
        "rows": (None, 9),
    }
    show_comparison("a", "b", metrics)
    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert "-0.2500" in lines["kills.crps"]
    assert "-80" not in lines["kills.rounds"]


def test_a_version_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Every field of the record, what the gates said, and who moved it; no text of it is read as markup."""
    moved = Transition(
        model_name="player-props",
        alias=Alias.CHAMPION,
        kind=TransitionKind.PROMOTE,
        from_version="0",
        to_version=RECORD.model_version,
        actor="ana@[red]host",
        reason="new patch",
        gates=REFUSAL.to_json(),
        forced=True,
        created_at=NOON,
    )
    show_version(RECORD, Alias.CHAMPION, moved.gates, [moved])
    told = capsys.readouterr().out
    for field in ModelRecord.__slots__:
        assert field in told
    for text in ("hyperparameters.nested.[bold]depth", "training_metrics.kills.crps", "1.25", "feature_schema.empty"):
        assert text in told
    for text in ("1.3 is above [1.2]", "ana@[red]host", "new patch", "forced"):
        assert text in told


def test_the_list_says_what_to_do_when_it_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """An empty registry is no error and no empty table."""
    show_list([])
    assert "riftline train" in capsys.readouterr().out
    show_list([(RECORD, None), (replace(RECORD, model_version="2"), Alias.SHADOW)])
    assert "shadow" in capsys.readouterr().out


@pytest.mark.parametrize(("force", "word"), [(False, "refused:"), (True, "overridden:")])
def test_each_reason_of_a_refusal_is_printed(capsys: pytest.CaptureFixture[str], force: bool, word: str) -> None:
    """With force it is still told what was overridden."""
    assert models.is_allowed(REFUSAL, force=force) is force
    assert capsys.readouterr().err == f"{word} kills: crps: 1.3 is above [1.2]\n"
    assert models.is_allowed(GateReport(REFUSAL.checks[1:]), force=force)


def test_gates_that_cannot_be_asked_stop_all_but_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the warehouse is away there is no verdict: only force goes on, and its report says why there is none."""

    def away(*_: object) -> GateReport:
        raise TransientError("the warehouse does not answer")

    monkeypatch.setattr(models, "_gate_report", away)
    settings = Settings.from_env({})
    with pytest.raises(TransientError):
        models.judged(settings, RECORD, None, force=False)
    report = models.judged(settings, RECORD, None, force=True)
    assert report.failures == ("gates: could not be asked: the warehouse does not answer",)


def test_the_actor_is_named_even_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run under an id that no user has."""
    monkeypatch.setenv("LOGNAME", "ana")
    assert models.actor() == f"ana@{socket.gethostname()}"

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nameless)
    assert models.actor().startswith("uid ")
