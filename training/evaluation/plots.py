"""The report as pictures: reliability, PIT, CRPS by role and by evidence tier; the same bytes for the same report."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from training.evaluation.ladder import OFFSETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from training.evaluation.bootstrap import Figure
    from training.evaluation.report import Score

FORMATS: dict[str, dict[str, None]] = {
    "svg": {"Date": None},
    "png": {"Software": None},
}  # what would name day or machine
STYLE: dict[Any, Any] = {"svg.hashsalt": "riftline", "font.family": "DejaVu Sans", "font.size": 8}


def draw_plots(scores: Sequence[Score], folder: Path) -> tuple[Path, ...]:
    """Write each picture as SVG and PNG into the folder, and say where; one panel per prop and maps."""
    pictures: dict[str, Callable[[Axes, Sequence[Score]], None]] = {
        "reliability": _reliability,
        "pit": _pit,
        "crps_by_role": lambda axes, of: _by_group(axes, {one.method: one.crps_by_role for one in of}, "role"),
        "crps_by_tier": lambda axes, of: _by_group(axes, {one.method: one.crps_by_tier for one in of}, "evidence tier"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context():
        mpl.rcdefaults()  # not what the user's own style says
        mpl.rcParams.update(STYLE)
        for name, draw in pictures.items():
            canvas = _panels(scores, draw)
            for suffix, metadata in FORMATS.items():
                written.append(folder / f"{name}.{suffix}")
                canvas.savefig(written[-1], dpi=150, metadata=metadata)
    return tuple(written)


def _panels(scores: Sequence[Score], draw: Callable[[Axes, Sequence[Score]], None]) -> Canvas:
    questions = list(dict.fromkeys((one.prop_type, one.maps) for one in scores))
    canvas = Canvas(figsize=(9.0, 3.6 * math.ceil(len(questions) / 2)), layout="constrained")
    grid = canvas.subplots(math.ceil(len(questions) / 2), 2, squeeze=False)
    for axes, (prop, maps) in zip(grid.flat, questions, strict=False):
        draw(axes, [one for one in scores if (one.prop_type, one.maps) == (prop, maps)])
        axes.set_title(f"{prop}, {'one map' if maps == 'one' else f'maps {maps}'}")
        axes.grid(visible=True, alpha=0.3)
    handles, methods = grid.flat[0].get_legend_handles_labels()
    canvas.legend(handles, methods, loc="outside lower center", ncols=len(methods))
    return canvas


def _reliability(axes: Axes, scores: Sequence[Score]) -> None:
    axes.plot([0, 1], [0, 1], color="black", linewidth=0.8, linestyle="--")
    for one in scores:
        axes.plot(one.reliability.said, one.reliability.happened, marker="o", markersize=3, label=one.method)
    axes.set_xlabel(f"probability of OVER given ({len(OFFSETS)} lines around the own)")
    axes.set_ylabel("share that happened")


def _pit(axes: Axes, scores: Sequence[Score]) -> None:
    for one in scores:
        bins = len(one.pit)
        edges = [index / bins for index in range(bins + 1)]
        axes.stairs([share * bins for share in one.pit], edges, baseline=None, label=one.method)
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("PIT of the outcome; flat if the forecast is true")
    axes.set_ylabel("density")


def _by_group(axes: Axes, crps_of: Mapping[str, Mapping[str, Figure]], what: str) -> None:
    """One point per method and group with its interval; groups without rows stay empty."""
    for index, (method, of_group) in enumerate(crps_of.items()):
        seen = [(at, one) for at, one in enumerate(of_group.values()) if not math.isnan(one.value)]
        shift = (index - (len(crps_of) - 1) / 2) * 0.8 / len(crps_of)
        below = [max(one.value - one.low, 0.0) for _, one in seen]
        above = [max(one.high - one.value, 0.0) for _, one in seen]
        axes.errorbar(
            [at + shift for at, _ in seen],
            [one.value for _, one in seen],
            yerr=[below, above],
            fmt="o",
            markersize=3,
            linewidth=1,
            label=method,
        )
    groups = list(next(iter(crps_of.values())))
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlabel(what)
    axes.set_ylabel("CRPS [95% interval]")
