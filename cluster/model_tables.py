"""How versions of the model are shown to people: their list, one by itself, and two side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson
from rich.markup import escape

from cluster.show import NO, errors, people, print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from stores.domain.models import Alias, ModelRecord, Transition
    from training.release import Release
    from training.watch import WatchReport

ACCURACIES = ("training_accuracy", "validation_accuracy", "test_accuracy")


def show_release(done: Release, *, json: bool) -> None:
    """What became of a trained version, and every gate that it failed."""
    if json:
        print_json(
            {
                "model_version": done.record.model_version,
                "released": done.released,
                "gates": done.report.to_json(),
                "metrics": dict(done.record.training_metrics),
            }
        )
        return
    name = f"{done.record.model_name} {done.record.model_version}"
    for failure in done.report.failures:
        errors.print(f"[bold yellow]gate:[/] {escape(failure)}", highlight=False)
    if not done.released:
        stays = f"{done.champion.model_version} goes on answering" if done.champion else "nothing answers"
        people.print(f"{name} is registered and not released: {stays}.")
    elif done.report.passed:
        people.print(f"Released {name}.")
    else:
        people.print(f"Released {name} in spite of the gates above: nothing else can answer.")


def show_watch(report: WatchReport) -> None:
    """Each kind of drift beside its threshold, what became of the predictions, and whether to train again."""
    rows = []
    for kind in dict.fromkeys(finding.kind for finding in report.drift.findings):
        of_kind = [finding for finding in report.drift.findings if finding.kind is kind]
        tested = [finding for finding in of_kind if finding.p_value is not None]
        worst = min(tested, key=lambda it: it.p_value or 0.0, default=of_kind[0])
        said = worst.note or f"{worst.name}: {worst.statistic:.2f}, threshold {worst.threshold:.2f}"
        rows.append((str(kind), len(of_kind), sum(it.alarm for it in of_kind), said, worst.n_rows, worst.n_series))
    rate = f"{report.drift.false_alarm_rate:.0%} false alarms"
    print_table(f"drift ({rate})", ("kind", "tested", "alarms", "strongest", "rows", "series"), rows)
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in asdict(report.outcomes).items())
    people.print(f"outcomes: {counts}; {report.days_written} days written")
    people.print(
        f"{report.model_version}: {f'train again ({report.retrain})' if report.retrain else 'no need to train'}"
    )


def flat(value: object, path: str = "") -> dict[str, Any]:
    """The leaves of a JSON object by their paths (``a.b``); a list is a leaf, and so is an object without entries."""
    if not isinstance(value, dict) or (path and not value):
        return {path: value}
    return {
        leaf_path: leaf
        for key, entry in value.items()
        for leaf_path, leaf in flat(entry, f"{path}.{key}" if path else str(key)).items()
    }


def comparison(a: ModelRecord, b: ModelRecord) -> dict[str, tuple[Any, Any]]:
    """Each metric of either version with its value in both, None where one has it not."""
    ours, theirs = (_metrics(one) for one in (a, b))
    return {name: (ours.get(name), theirs.get(name)) for name in ours | theirs}


def _metrics(record: ModelRecord) -> dict[str, Any]:
    accuracies = {name: getattr(record, name) for name in ACCURACIES if getattr(record, name) is not None}
    return flat(dict(record.training_metrics)) | accuracies


def show_list(versions: Sequence[tuple[ModelRecord, Alias | None]]) -> None:
    """One line per version."""
    if not versions:
        people.print("No model is registered yet; run `riftline train`.")
        return
    header = ("model", "version", "status", "alias", "trained", "deployed", "features", "lake snapshot", "KiB")
    rows = [
        (
            one.model_name,
            one.model_version,
            str(one.deployment_status),
            str(alias or ""),
            _minute(one.trained_at),
            _minute(one.deployed_at),
            one.feature_version,
            one.lake_snapshot_id,
            one.model_size_bytes // 1024,
        )
        for one, alias in versions
    ]
    print_table("models", header, rows)


def show_version(
    record: ModelRecord, alias: Alias | None, gates: Mapping[str, Any] | None, history: Sequence[Transition]
) -> None:
    """Every field of the record, and what became of the version."""
    fields = {"alias": alias} | asdict(record)
    rows = [(path, _text(value)) for path, value in flat(fields).items()]
    print_table(f"{record.model_name} {record.model_version}", ("field", "value"), rows)
    if gates is not None:
        _show_gates(gates)
    if history:
        _show_history(history)


def show_comparison(a: str, b: str, metrics: Mapping[str, tuple[Any, Any]]) -> None:
    """One line per metric, with the difference where both are numbers."""
    rows = [(name, _text(ours), _text(theirs), _difference(ours, theirs)) for name, (ours, theirs) in metrics.items()]
    print_table("metrics", ("metric", a, b, "difference"), rows)


def _show_gates(gates: Mapping[str, Any]) -> None:
    checks: Sequence[Mapping[str, Any]] = gates.get("checks", ())
    rows = [
        ("ok" if one["passed"] else NO, one["name"], _text(one["measured"]), _text(one["bound"]), one["reason"])
        for one in checks
    ]
    print_table("gates", ("", "check", "measured", "bound", "reason"), rows)


def _show_history(history: Sequence[Transition]) -> None:
    rows = [
        (
            _minute(one.created_at),
            one.kind,
            one.alias,
            one.from_version or "",
            one.to_version,
            _gates_word(one),
            one.actor,
            one.reason,
        )
        for one in history
    ]
    print_table("history", ("when", "what", "alias", "from", "to", "gates", "who", "why"), rows)


def _gates_word(one: Transition) -> str:
    if one.forced:
        return "forced"
    return "" if one.gates is None else "passed"


def _difference(a: object, b: object) -> str:
    if isinstance(a, int | float) and isinstance(b, int | float):
        return f"{b - a:+.4f}"
    return ""


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return orjson.dumps(value).decode()
    return str(value)


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"
