"""Asks the running service over HTTP, as any client would."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
from rich.markup import escape

from cluster.show import people, print_table
from stores.errors import InvalidError, TransientError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.settings import Settings

SHOWN_LINES = 9


@dataclass(frozen=True, slots=True)
class Question:
    """What the command line asks; no player and no line mean that the service's data choose them."""

    players: tuple[str, ...]
    prop: str
    line: float | None
    maps: tuple[int, int]
    opponent: str | None = None
    tournament: str | None = None
    strict: bool = False
    champions: tuple[str, ...] = ()
    best_of: int | None = None
    explain: bool = False


def parse_maps(text: str) -> tuple[int, int]:
    """``1-2`` or ``3`` as first and last map. Raises InvalidError."""
    match = re.fullmatch(r"([1-9])(?:-([1-9]))?", text)
    if not match:
        raise InvalidError(f"--maps {text!r} is no range of maps; give for example 1-2", "--maps")
    return int(match[1]), int(match[2] or match[1])


def ask(settings: Settings, question: Question) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """The request as sent, its answer, and the first player's curve.

    Raises InvalidError with the service's own words, TransientError if it does not answer.
    """
    if len(question.players) > 1 and question.line is None:
        raise InvalidError("several players need a --line: the fairest line is only known for one", "--line")
    base = settings.cluster.base_url
    with httpx.Client(base_url=base, timeout=10) as client:
        players = list(question.players) or [_call(client, "GET", "/players", params={"limit": 1})[0]["name"]]
        first, last = question.maps
        known = _given({name: getattr(question, name) for name in ("opponent", "tournament", "best_of")})
        of_first = {"champion": question.champions[0]} if question.champions else {}
        params = {"prop_type": question.prop, "map_first": first, "map_last": last} | known | of_first
        curve = _call(client, "GET", f"/predict/curve/{quote(players[0], safe='')}", params=params)
        request = {
            "player_names": players,
            "prop_type": question.prop,
            "prop_value": fairest_line(curve) if question.line is None else question.line,
            "map_range": [first, last],
            "strict_mode": question.strict,
            "champions": list(question.champions),
            "explain": question.explain,
        } | known
        return request, _call(client, "POST", "/predict/single", json=request), curve


def fairest_line(curve: Mapping[str, Any]) -> float:
    """The line at which over and under are nearest to even."""
    lines: list[float] = curve["prop_values"]
    return min(zip(lines, curve["over_probabilities"], strict=True), key=lambda pair: abs(pair[1] - 50.0))[0]


def show(request: Mapping[str, Any], answer: Mapping[str, Any], curve: Mapping[str, Any]) -> None:
    """The answer in words, and the curve around the line."""
    who = " + ".join(request["player_names"])
    first, last = request["map_range"]
    people.print(
        f"\n[bold]{escape(who)}[/]: {request['prop_type']} on maps {first} to {last}, line {request['prop_value']}"
    )
    low, high = answer["confidence_interval"]
    people.print(
        f"[bold]{answer['prediction']}[/] with {answer['confidence']:.1f}%"
        f" (before calibration {answer['base_model_confidence']:.1f}%, push {answer['push_probability']:.1f}%)"
    )
    people.print(f"expected {answer['expected_stat']:.2f}, 80% between {low:.0f} and {high:.0f}")
    people.print(f"evidence tier {answer['data_tier']}: {answer['data_tier_meaning']}")
    people.print(f"model {answer['model_version']}, features {answer['feature_version']}, id {answer['prediction_id']}")
    for warning in answer["warnings"]:
        people.print(f"[yellow]note:[/] {escape(warning)}")
    rows = list(zip(curve["prop_values"], curve["over_probabilities"], curve["predictions"], strict=True))
    nearest = min(range(len(rows)), key=lambda index: abs(rows[index][0] - request["prop_value"]))
    start = max(0, min(nearest - SHOWN_LINES // 2, len(rows) - SHOWN_LINES))
    print_table(
        escape(f"curve of {curve['player_name']}"),
        ("line", "over", "", "call"),
        [
            (f"{line:.1f}", f"{over:.1f}%", "█" * round(over / 5), call)
            for line, over, call in rows[start : start + SHOWN_LINES]
        ],
    )
    if answer["explanation"]:
        _show_explanation(answer["explanation"], request["prop_type"])


def _show_explanation(explanation: Mapping[str, Any], prop: str) -> None:
    """The factors beside what is usual, and each player's last maps."""
    people.print(
        f"\n[bold]why[/]: of usual players in an average team {explanation['usual_stat']:.2f} {prop} are expected"
    )
    for one in explanation["factors"]:
        figure = f" ({one['figure']}: {one['value']:.2f}, usual {one['usual']:.2f})" if one["figure"] else ""
        people.print(f"[bold]{one['effect']:+.2f}[/] {one['name']}: {one['meaning']}{figure}", highlight=False)
    for player in explanation["recent_maps"]:
        print_table(
            f"last maps of {escape(player['player'])}",
            ("date", "against", "result", "champion", "kills", "deaths", "assists"),
            [
                (
                    one["played_at"][:10],
                    one["opponent"] or "unknown",
                    "won" if one["won"] else "lost",
                    one["champion"] or "unknown",
                    *(one[stat] for stat in ("kills", "deaths", "assists")),
                )
                for one in player["maps"]
            ],
        )


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _call(client: httpx.Client, method: str, path: str, **more: Any) -> Any:
    try:
        answer = client.request(method, path, **more)
    except httpx.HTTPError as error:
        raise TransientError(
            f"the service at {client.base_url} does not answer; start it with `riftline up`"
        ) from error
    if answer.status_code >= 500:
        raise TransientError(answer.text[:500])
    if answer.status_code >= 400:
        if not answer.headers["content-type"].endswith("json"):  # of the ingress, not of the service
            raise InvalidError(f"{method} {path} was refused with {answer.status_code}")
        problem = answer.json()
        raise InvalidError(problem.get("detail", answer.text), problem.get("field", ""))
    return answer.json()
