"""The `riftline` command."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 — typer reads the annotations
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path  # noqa: TC003
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cluster import environment
from cluster.exit_codes import IN_PART, NOT_READY, errors_as_exit_codes
from cluster.keys import app as keys_app
from cluster.models import app as models_app
from cluster.operations.commands import app as stores_app
from cluster.show import NO, ProgressSteps, errors, people, print_json, print_table
from stores.errors import InvalidError
from stores.settings import Settings

if TYPE_CHECKING:
    from pipelines.ingest import IngestReport

app = typer.Typer(
    help="Calibrated player-prop predictions for professional League of Legends.\n\n"
    "Everything lives in .riftline of the working directory (RIFTLINE_HOME) and listens on 127.0.0.1.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold a password
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(stores_app, name="stores")
app.add_typer(models_app, name="models")
app.add_typer(keys_app, name="keys")
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Data = Annotated[
    str | None,
    typer.Option(
        envvar="RIFTLINE_DATA",
        metavar="PATH",
        help="Match files: a file, a folder or a URL (CSV, CSV.gz, Parquet). Default: a simulated season.",
    ),
]


def _settings() -> Settings:
    settings = Settings.from_env(os.environ)
    environment.enter(settings)
    return settings


@app.command(epilog="Examples: riftline up · riftline up --data exports/ · RIFTLINE_HTTP_PORT=9000 riftline up")
def up(data: Data = None, json: Json = False) -> None:
    """Bring everything up: stores, cluster, data, model, service. Run it again at any time; it resumes."""
    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        settings = _settings()
        from cluster import head  # noqa: PLC0415 — Ray reads the environment when it is imported

        with ThreadPoolExecutor(1) as beside:  # the head takes as long to start as its libraries take to load here
            starting = beside.submit(head.start, settings)
            from cluster import local  # noqa: PLC0415

            starting.result()
        report = local.up(settings, data, steps)
    places = {
        "api": settings.cluster.base_url,
        "docs": f"{settings.cluster.base_url}/docs",
        "dashboard": f"http://127.0.0.1:{settings.cluster.dashboard_port}",
    }
    if json:
        print_json({**places, "ingest": report.to_json() if report else None})
    else:
        if report:
            _show_ingest(report)
        _show_places(places)
    if report and report.failed:
        raise typer.Exit(IN_PART)


def _show_places(places: dict[str, str]) -> None:
    people.print(f"\nRiftline is running.\n  API        {places['api']}\n  Docs page  {places['docs']}")
    people.print(f"  Dashboard  {places['dashboard']} (its token: `ray get-auth-token`)")
    people.print("  Stop       make stop (or `riftline down`)\n")


@app.command(epilog="Example: riftline down")
def down(json: Json = False) -> None:
    """Stop the service, the cluster and the embedded stores. The data stay."""
    with errors_as_exit_codes():
        settings = _settings()
        from cluster import head  # noqa: PLC0415
        from stores.postgres import embedded as postgres  # noqa: PLC0415
        from stores.redis_store import embedded as redis  # noqa: PLC0415

        stopped = head.stop(settings)
        postgres.stop(settings.postgres.data_dir)
        redis.stop(settings.redis.data_dir)
    if json:
        print_json({"stopped_processes": stopped})
    else:
        people.print(f"Stopped ({stopped} cluster processes, PostgreSQL and Redis). The data stay in {settings.home}.")


@app.command(epilog="Examples: riftline status · riftline status --json | jq .service")
def status(json: Json = False) -> None:
    """Show what runs, what the lake holds and which model answers. Exit code 3 unless the service is ready."""
    with errors_as_exit_codes():
        settings = _settings()
        from cluster.status import read_status, watch_line  # noqa: PLC0415

        found = read_status(settings)
    if json:
        print_json(found)
    else:
        for part in ("cluster", "postgres", "service", "model"):
            people.print(f"{part:<10}{found[part] or 'none'}")
        people.print(f"{'watch':<10}{escape(watch_line(found['watch']))}", highlight=False)
        rows = [(name, table["rows"], table["snapshot"] or "") for name, table in found["lake"].items()]
        print_table("lake", ("table", "rows", "snapshot"), rows)
    if found["service"] != "ready":
        raise typer.Exit(NOT_READY)


@app.command(
    epilog="Examples: riftline ingest --data 2026.csv · riftline ingest --data https://example.org/2026.csv.gz"
)
def ingest(data: Data = None, json: Json = False) -> None:
    """Bring match files into the lake of the running cluster and refresh the features. A known file changes nothing."""
    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        settings = _settings()
        from cluster import local  # noqa: PLC0415
        from cluster.connection import connected  # noqa: PLC0415
        from stores.lake.catalog import IcebergLake  # noqa: PLC0415

        with connected(settings):
            report = local.bring_in(settings, IcebergLake(settings.lake), data, steps)
    if json:
        print_json(report.to_json() if report else {"refreshed": True})
    elif report:
        _show_ingest(report)
    else:
        people.print("No files were given: the features were refreshed from what the lake holds.")
    if report and report.failed:
        raise typer.Exit(IN_PART)


def _show_ingest(report: IngestReport) -> None:
    rows = [(file.source, str(file.outcome), file.layout, file.rows) for file in report.files]
    print_table("files", ("file", "outcome", "layout", "rows"), rows)
    counts = report.silver.counts
    people.print(
        f"{report.silver.rows_in} rows in = {counts.player_rows} player rows + {counts.merged} merged + "
        f"{counts.superseded} superseded + {counts.team_rows} team rows + "
        f"{counts.quarantined + report.silver.rejected} quarantined"
    )
    for file in report.failed:
        errors.print(f"[bold red]failed:[/] {escape(file.source)}: {escape(file.error)}", highlight=False)


@app.command(epilog="Examples: riftline train · riftline train --json · riftline train --tune 30 --budget 60")
def train(
    tune: Annotated[int, typer.Option(min=0, metavar="N", help="Try N hyperparameters first, the default's too.")] = 0,
    budget: Annotated[
        float | None, typer.Option(min=0.1, metavar="MINUTES", help="Try no longer than this; again, it goes on.")
    ] = None,
    json: Json = False,
) -> None:
    """Train on the newest features and release the model. The running service picks it up by itself."""
    with errors_as_exit_codes(), ProgressSteps(quiet=json) as steps:
        if budget is not None and not tune:
            raise InvalidError("a budget is for trying hyperparameters; say how many with --tune", "budget")
        settings = _settings()
        from cluster.connection import connected  # noqa: PLC0415
        from cluster.database import start_database  # noqa: PLC0415
        from stores.clock import utc_now  # noqa: PLC0415
        from training.retrain import retrain  # noqa: PLC0415

        with connected(settings):
            steps.begin("model")
            budget_s = None if budget is None else budget * 60.0
            done = retrain(settings, start_database(settings), utc_now(), steps.detail, tune=tune, budget_s=budget_s)
    from cluster.model_tables import show_release  # noqa: PLC0415

    show_release(done, json=json)
    if not done.released:
        raise typer.Exit(NOT_READY)


@app.command(
    epilog="Examples: riftline evaluate --data lol/ --from 2026-04-01 --to 2026-06-01 --peers --json scores.json "
    "--plots pictures/ --predictions predictions.parquet · "
    "riftline evaluate --data .riftline/season --from 2026-04-01 --to 2026-06-01 · "
    "riftline evaluate --from 2026-01-01 --to 2026-04-01 --ablate"
)
def evaluate(  # noqa: PLR0913, PLR0917 — one argument per option
    since: Annotated[dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day that is scored.")],
    until: Annotated[dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="First day after those scored.")],
    data: Data = None,
    json: Annotated[
        Path | None, typer.Option("--json", help="Write the scores as JSON; - for standard output.")
    ] = None,
    predictions: Annotated[Path | None, typer.Option(help="Write every distribution as Parquet.")] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Fit NGBoost and XGBoostLSS too (see `make peers`).")] = False,
    plots: Annotated[Path | None, typer.Option(metavar="DIR", help="Draw the report as SVG and PNG.")] = None,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="Leave out each member and feature family in turn: fits 15 models, minutes."),
    ] = False,
) -> None:
    """Train on what lies before --from and score [--from, --to), beside baselines and peers on the same rows.

    A simulated season is scored beside its true distributions too, the oracle: `truth/truth.parquet` beside `matches/`.
    """
    to_stdout = str(json) == "-"
    with errors_as_exit_codes(), ProgressSteps(quiet=to_stdout) as steps:
        settings = _settings()
        for path in (None if to_stdout else json, predictions, plots):
            if path and not path.absolute().parent.is_dir():
                raise InvalidError(f"the folder of {path} does not exist; make it first")
        from cluster.backtest import back_test, write_report  # noqa: PLC0415

        report = back_test(settings, data, since.date(), until.date(), steps, peers=peers, ablate=ablate)
        write_report(report, None if to_stdout else json, predictions, plots)
    if to_stdout:
        print_json(report.to_json())
        return
    from cluster.evaluation_tables import show_ablation, show_scores  # noqa: PLC0415

    show_scores(f"{since:%Y-%m-%d} to {until:%Y-%m-%d}", report.scores)
    show_ablation(report.ablation)


@app.command(
    epilog="Examples: riftline predict · riftline predict Faker --prop kills --line 3.5 --maps 1-2 --opponent Gen.G · "
    "riftline predict Faker --maps 1 --champion Azir --best-of 3 --explain"
)
def predict(  # noqa: PLR0913, PLR0917 — one argument per option
    players: Annotated[
        list[str] | None, typer.Argument(help="Players; several mean their sum. Default: anyone.")
    ] = None,
    prop: Annotated[str, typer.Option(help="kills or assists")] = "kills",
    line: Annotated[float | None, typer.Option(help="The line. Default: the fairest half line.")] = None,
    maps: Annotated[str, typer.Option(help="First and last map of the series.", metavar="M-N")] = "1-2",
    opponent: Annotated[str | None, typer.Option(help="The other team.")] = None,
    tournament: Annotated[str | None, typer.Option(help="Short name of the tournament.")] = None,
    strict: Annotated[bool, typer.Option(help="Refuse rather than fall back.")] = False,
    champion: Annotated[list[str] | None, typer.Option(help="What a player plays; one per player, in order.")] = None,
    best_of: Annotated[int | None, typer.Option(metavar="1|3|5", help="Format of the series.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Also show why, and the last maps.")] = False,
    json: Json = False,
) -> None:
    """Ask the running service one question and show its answer and the curve."""
    from cluster.ask import Question, ask, parse_maps, show  # noqa: PLC0415

    with errors_as_exit_codes():
        settings = Settings.from_env(os.environ)
        draft = tuple(champion or ())
        question = Question(
            tuple(players or ()), prop, line, parse_maps(maps), opponent, tournament, strict, draft, best_of, explain
        )
        asked, answer, curve = ask(settings, question)
    if json:
        print_json({"request": asked, "answer": answer, "curve": curve})
    else:
        show(asked, answer, curve)


@app.command(epilog="Examples: riftline doctor · riftline doctor --json")
def doctor(json: Json = False) -> None:
    """Look for what would keep Riftline from running here. Exit code 3 if something would."""
    from cluster.doctor import examine  # noqa: PLC0415

    with errors_as_exit_codes():
        findings = examine(Settings.from_env(os.environ))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        rows: list[tuple[Any, ...]] = [
            ("ok" if one.good else NO, one.check, one.found, "" if one.good else one.remedy) for one in findings
        ]
        print_table("doctor", ("", "check", "found", "remedy"), rows)
    if not all(finding.good for finding in findings):
        raise typer.Exit(NOT_READY)


if __name__ == "__main__":
    app()
