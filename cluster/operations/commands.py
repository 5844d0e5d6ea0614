"""The `riftline stores` commands."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from dataclasses import asdict
from pathlib import Path  # noqa: TC003
from typing import Annotated

import typer

from cluster.exit_codes import NOT_READY, errors_as_exit_codes
from cluster.show import NO, ProgressSteps, people, print_json, print_table
from stores.settings import Settings

app = typer.Typer(
    help="Look after the stores: PostgreSQL, Redis, ClickHouse, time series, event log and lake.",
    no_args_is_help=True,
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.command(epilog="Examples: riftline stores status · riftline stores status --json | jq '.[].healthy'")
def status(json: Json = False) -> None:
    """Show where each store is and whether it answers. Exit code 3 unless all do."""
    from cluster.operations.all_stores import status_of_all  # noqa: PLC0415

    with errors_as_exit_codes():
        found = asyncio.run(status_of_all(Settings.from_env(os.environ)))
    if json:
        print_json([asdict(one) for one in found])
    else:
        rows = [
            (
                "ok" if one.healthy else NO,
                one.name,
                "embedded" if one.embedded else "server",
                one.address,
                "" if one.latency_ms is None else f"{one.latency_ms:.1f}",
                one.detail,
            )
            for one in found
        ]
        print_table("stores", ("", "store", "kind", "address", "ms", "detail"), rows)
    if not all(one.healthy for one in found):
        raise typer.Exit(NOT_READY)


@app.command(epilog="Example: riftline stores migrate")
def migrate(json: Json = False) -> None:
    """Bring every schema up to date: tables, partitions, buckets, topics. Safe to repeat and from many machines."""
    from cluster.operations.all_stores import migrate_all  # noqa: PLC0415

    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        done = asyncio.run(migrate_all(Settings.from_env(os.environ), steps))
    if json:
        print_json(done)
    else:
        rows = [(name, ", ".join(changes) or "up to date") for name, changes in done.items()]
        print_table("migrated", ("store", "changes"), rows)


@app.command(epilog="Examples: riftline stores backup /backup/riftline · riftline stores backup /backup/r --continuous")
def backup(
    folder: Annotated[Path, typer.Argument(help="A folder that is empty, or holds an earlier backup to replace.")],
    continuous: Annotated[
        bool,
        typer.Option("--continuous", help="Go on saving PostgreSQL's log, so that any later moment can be restored."),
    ] = False,
    json: Json = False,
) -> None:
    """Save everything that only the stores hold, while they are used."""
    from cluster.operations.backup import back_up  # noqa: PLC0415

    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        manifest = asyncio.run(back_up(Settings.from_env(os.environ), folder.resolve(), steps, continuous=continuous))
    if json:
        print_json(manifest)
    else:
        print_table("saved", ("store", "what"), list(manifest["stores"].items()))
        people.print(f"Bring it back by `riftline stores restore {folder}`.")


@app.command(
    epilog="Examples: riftline stores restore /backup/riftline · "
    "riftline stores restore /backup/riftline --until '2026-04-01 12:30:00'"
)
def restore(
    folder: Annotated[Path, typer.Argument(help="The folder of `riftline stores backup`.")],
    until: Annotated[
        dt.datetime | None,
        typer.Option(help="The moment (UTC) to which PostgreSQL goes, of a continuous backup. Default: its end."),
    ] = None,
    json: Json = False,
) -> None:
    """Bring a backup into empty stores. What holds something is never overwritten."""
    from cluster.operations.backup import bring_back  # noqa: PLC0415

    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        moment = until.replace(tzinfo=dt.UTC) if until else None
        restored = asyncio.run(bring_back(Settings.from_env(os.environ), folder.resolve(), moment, steps))
    if json:
        print_json(restored)
    else:
        print_table("restored", ("store", "what"), list(restored.items()))


@app.command(epilog="Example: riftline stores maintain")
def maintain(json: Json = False) -> None:
    """Roll up, fold and drop what is old, and tidy the lake. The service does the first part hourly; run this daily."""
    from cluster.operations.maintain import maintain_all  # noqa: PLC0415

    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        done = asyncio.run(maintain_all(Settings.from_env(os.environ), steps))
    if json:
        print_json(done)
    else:
        print_table("maintained", ("store", "what"), [(name, "\n".join(words)) for name, words in done.items()])


@app.command(epilog="Examples: riftline stores check · riftline stores check --json")
def check(json: Json = False) -> None:
    """Look for what is wrong inside the stores. Exit code 3 if something is."""
    from cluster.operations.all_stores import check_all  # noqa: PLC0415

    with errors_as_exit_codes():
        problems = asyncio.run(check_all(Settings.from_env(os.environ)))
    if json:
        print_json([asdict(one) for one in problems])
    elif problems:
        rows = [(one.store, one.problem, one.remedy) for one in problems]
        print_table("problems", ("store", "problem", "remedy"), rows)
    else:
        people.print("Nothing is wrong in the stores.")
    if problems:
        raise typer.Exit(NOT_READY)
