"""The `riftline models` commands: which versions there are, which one answers, and how that changes."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.markup import escape

from cluster import environment
from cluster.exit_codes import NOT_READY, errors_as_exit_codes
from cluster.model_tables import comparison, show_comparison, show_list, show_version, show_watch
from cluster.show import ProgressSteps, errors, people, print_json
from stores.domain.models import MODEL_NAME, Alias
from stores.errors import RiftlineError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from stores.domain.models import ModelRecord, Transition
    from stores.roles.model_registry import ModelRegistry
    from training.gate_report import GateReport
    from training.watch import WatchReport
    from training.watch_pass import WatchPassReport
    from training.watch_schedule import Verdict

T = TypeVar("T")

app = typer.Typer(
    help="Look at the versions of the model and say which one answers. A VERSION may be given by its alias: champion, "
    "challenger or shadow.",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Version = Annotated[str, typer.Argument(help="A version, or an alias.", metavar="VERSION")]
Reason = Annotated[str, typer.Option(help="Why; kept in the history and the audit trail.")]


@app.command("list", epilog="Examples: riftline models list · riftline models list --json | jq '.[0].model_version'")
def list_models(json: Json = False) -> None:
    """Show every version, the newest first, with its status and alias."""
    with errors_as_exit_codes():
        records, aliases = _ask(_database(), _all_versions)
    if json:
        print_json([{**asdict(one), "alias": aliases.get(_key(one))} for one in records])
    else:
        show_list([(one, aliases.get(_key(one))) for one in records])


@app.command(epilog="Examples: riftline models show champion · riftline models show 20260401.120000 --json")
def show(version: Version, json: Json = False) -> None:
    """Show all that is known of a version: its record, metrics, alias, gate report and history."""
    with errors_as_exit_codes():
        record, alias, history = _ask(_database(), lambda registry: _version(registry, version))
    reports = (one.gates for one in history if one.to_version == record.model_version)
    gates = next((report for report in reports if report is not None), None)
    if json:
        print_json({**asdict(record), "alias": alias, "gates": gates, "history": [asdict(one) for one in history]})
    else:
        show_version(record, alias, gates, history)


@app.command(epilog="Example: riftline models compare champion 20260401.120000")
def compare(
    a: Annotated[str, typer.Argument(help="A version, or an alias.", metavar="A")],
    b: Annotated[str, typer.Argument(help="Another one.", metavar="B")],
    json: Json = False,
) -> None:
    """Put the metrics of two versions side by side."""
    with errors_as_exit_codes():
        one, other = _ask(_database(), lambda registry: _both(registry, a, b))
    metrics = comparison(one, other)
    if json:
        versions = [one.model_version, other.model_version]
        print_json({"versions": versions, "metrics": {name: list(values) for name, values in metrics.items()}})
    else:
        show_comparison(one.model_version, other.model_version, metrics)


@app.command(
    epilog="Examples: riftline models promote 20260401.120000 --reason 'new patch' · "
    "riftline models promote 20260401.120000 --alias shadow · "
    "riftline models promote 20260401.120000 --force --reason 'the champion is broken'"
)
def promote(
    version: Version,
    reason: Reason = "",
    alias: Annotated[Alias, typer.Option(help="What the version becomes.")] = Alias.CHAMPION,
    force: Annotated[bool, typer.Option("--force", help="Override the gates; the audit trail will say so.")] = False,
    json: Json = False,
) -> None:
    """Make a version the champion, which answers, if it passes the gates; or challenger or shadow, without gates.

    Exit code 3 when the gates refuse it: each reason is printed and nothing changes.
    """
    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        settings = Settings.from_env(os.environ)
        url = _database(settings)
        candidate, champion = _ask(url, lambda registry: _contest(registry, version))
        report = None
        if alias is Alias.CHAMPION and (champion is None or _key(champion) != _key(candidate)):
            steps.begin("gates")
            report = judged(settings, candidate, champion, force=force)
        done = {"model_version": candidate.model_version, "alias": alias, "gates": report.to_json() if report else None}
        if report and not is_allowed(report, force=force):
            if json:
                print_json({**done, "promoted": False})
            raise typer.Exit(NOT_READY)
        _ask(url, lambda registry: _promoted(registry, candidate, champion, alias, reason, report, force=force))
    if json:
        print_json({**done, "promoted": True})
    else:
        people.print(f"{candidate.model_name} {candidate.model_version} is the {alias}.", highlight=False)


@app.command(epilog="Example: riftline models rollback --reason 'calibration fell on the new patch'")
def rollback(reason: Reason = "", json: Json = False) -> None:
    """Make the champion of before the champion again; repeated, it goes further back. No gates are asked."""
    with errors_as_exit_codes():
        left, record = _ask(_database(), lambda registry: _rolled_back(registry, reason))
    if json:
        print_json({"model_version": record.model_version, "from_version": left})
    else:
        people.print(f"{record.model_name} {record.model_version} is the champion again, {left} is not.")


@app.command(
    epilog="Examples: riftline models watch · riftline models watch --json · "
    "riftline models watch --retrain (once a day, from a schedule of your own)"
)
def watch(
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train again if the watch says so and there is newer data.")
    ] = False,
    json: Json = False,
) -> None:
    """Look for drift since the champion was trained, settle what was predicted, and say whether to train again.

    The cluster does it by itself once a day (RIFTLINE_WATCH). A version that the gates keep back is no error.
    """
    with errors_as_exit_codes(), ProgressSteps(quiet=json or not retrain) as steps:
        settings = Settings.from_env(os.environ)
        done = _watched_and_trained(settings, steps) if retrain else None
        report = done.watched if done else _watched(settings)
    if json:
        print_json({**report.to_json(), **({"verdict": done.verdict.text} if done else {})})
    else:
        show_watch(report)
        if done:
            people.print(done.verdict.text, highlight=False)


def _watched(settings: Settings) -> WatchReport:
    from stores.clock import utc_now  # noqa: PLC0415
    from training.watch import watch_settings  # noqa: PLC0415

    _database(settings)
    return asyncio.run(watch_settings(settings, utc_now()))


def _watched_and_trained(settings: Settings, steps: ProgressSteps) -> WatchPassReport:
    """A pass of the schedule by hand; one that ends well puts off the next one."""
    environment.enter(settings)
    from cluster.connection import connected  # noqa: PLC0415 — Ray reads the environment when it is imported
    from stores.clock import utc_now  # noqa: PLC0415
    from training.watch_pass import run_pass  # noqa: PLC0415

    url = _database(settings)
    with connected(settings):
        done = run_pass(settings, url, utc_now(), steps.detail)
    asyncio.run(_record(url, done.verdict))
    return done


async def _record(database_url: str, verdict: Verdict) -> None:
    from stores.clock import utc_now  # noqa: PLC0415
    from stores.postgres.audit_log import PostgresAuditLog  # noqa: PLC0415
    from stores.postgres.pool import open_pool  # noqa: PLC0415
    from training.watch_schedule import WatchTrail  # noqa: PLC0415

    pool = await open_pool(database_url, 1)
    try:
        await WatchTrail(PostgresAuditLog(pool)).add(verdict.at(utc_now()))
    finally:
        await pool.close()


def _gate_report(settings: Settings, candidate: ModelRecord, champion: ModelRecord | None) -> GateReport:
    """What the gates say of a candidate."""
    from stores.lake.artifacts import WarehouseArtifacts  # noqa: PLC0415
    from training.gates import judge_versions  # noqa: PLC0415 — loads the tree library

    return judge_versions(candidate, champion, WarehouseArtifacts(settings.lake.warehouse, settings.lake.s3))


def judged(settings: Settings, candidate: ModelRecord, champion: ModelRecord | None, *, force: bool) -> GateReport:
    """The report; with ``force``, gates that cannot be asked are one that did not pass."""
    try:
        return _gate_report(settings, candidate, champion)
    except RiftlineError as error:
        if not force:
            raise
        from training.gate_report import GateCheck, GateReport  # noqa: PLC0415

        reason = f"could not be asked: {error}"
        return GateReport((GateCheck("gates", passed=False, measured=None, bound=None, reason=reason),))


def is_allowed(report: GateReport, *, force: bool) -> bool:
    """Print each reason against, and tell whether the promotion goes on."""
    word = "[bold yellow]overridden:[/]" if force else "[bold red]refused:[/]"
    for failure in report.failures:
        errors.print(f"{word} {escape(failure)}", highlight=False)
    return report.passed or force


def actor() -> str:
    """Who asks, for the audit trail."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _database(settings: Settings | None = None) -> str:
    from cluster.database import start_database  # noqa: PLC0415 — the driver, which `--help` does not need

    return start_database(settings or Settings.from_env(os.environ))


def _ask(database_url: str, question: Callable[[ModelRegistry], Awaitable[T]]) -> T:
    from cluster.database import ask_registry  # noqa: PLC0415

    return ask_registry(database_url, question)


def _key(record: ModelRecord) -> tuple[str, str]:
    return record.model_name, record.model_version


async def _all_versions(registry: ModelRegistry) -> tuple[tuple[ModelRecord, ...], dict[tuple[str, str], Alias]]:
    records = await registry.list()
    names = {one.model_name for one in records}
    held = [await registry.aliases(name) for name in sorted(names)]
    return records, {_key(record): alias for of_name in held for alias, record in of_name.items()}


async def _find(registry: ModelRegistry, version: str, held: Mapping[Alias, ModelRecord]) -> ModelRecord:
    named = {str(alias): record for alias, record in held.items()}
    return named.get(version) or await registry.get(MODEL_NAME, version)


async def _version(registry: ModelRegistry, version: str) -> tuple[ModelRecord, Alias | None, tuple[Transition, ...]]:
    held = await registry.aliases(MODEL_NAME)
    record = await _find(registry, version, held)
    alias = next((alias for alias, its in held.items() if _key(its) == _key(record)), None)
    history = await registry.history(MODEL_NAME)
    return record, alias, tuple(one for one in history if record.model_version in {one.from_version, one.to_version})


async def _both(registry: ModelRegistry, a: str, b: str) -> tuple[ModelRecord, ModelRecord]:
    held = await registry.aliases(MODEL_NAME)
    return await _find(registry, a, held), await _find(registry, b, held)


async def _contest(registry: ModelRegistry, version: str) -> tuple[ModelRecord, ModelRecord | None]:
    held = await registry.aliases(MODEL_NAME)
    return await _find(registry, version, held), held.get(Alias.CHAMPION)


async def _promoted(  # noqa: PLR0913, PLR0917 — what, and every word that is kept of it
    registry: ModelRegistry,
    candidate: ModelRecord,
    champion: ModelRecord | None,
    alias: Alias,
    reason: str,
    report: GateReport | None,
    *,
    force: bool,
) -> ModelRecord:
    return await registry.promote(
        candidate.model_name,
        candidate.model_version,
        alias=alias,
        actor=actor(),
        reason=reason,
        gates=report.to_json() if report else None,
        force=force,
        expected_champion=champion.model_version if champion and report else None,  # whom the gates compared with
    )


async def _rolled_back(registry: ModelRegistry, reason: str) -> tuple[str | None, ModelRecord]:
    champion = await registry.production(MODEL_NAME)
    left = champion.model_version if champion else None
    return left, await registry.rollback(MODEL_NAME, actor=actor(), reason=reason, expected_champion=left)
