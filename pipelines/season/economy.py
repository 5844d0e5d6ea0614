"""The other columns of an export: gold, minions, damage, vision and objectives, plausible but of simple making."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from pipelines.season.play import Played
    from pipelines.season.world import Floats, Integers

MINUTES: Final = (10, 15, 20, 25)

# by role, from a sample of 2025 exports
_CS_PER_MINUTE: Final = np.array([7.5, 6.25, 8.43, 9.05, 1.05])
_MONSTER_SHARE: Final = np.array([0.021, 0.888, 0.024, 0.039, 0.006])
_DAMAGE_PER_MINUTE: Final = np.array([558.0, 432.0, 711.0, 731.0, 200.0])
_DAMAGE_TAKEN_PER_MINUTE: Final = np.array([873.0, 1130.0, 643.0, 503.0, 539.0])
_DAMAGE_MITIGATED_PER_MINUTE: Final = np.array([1097.0, 1065.0, 525.0, 330.0, 639.0])
_USUAL_KILLS: Final = np.array([2.7, 3.1, 3.5, 4.4, 0.7])
_OTHER_GOLD: Final = np.array([1460.0, 1300.0, 1500.0, 1690.0, 1670.0])  # towers, plates, monsters, support item
_VISION_PER_MINUTE: Final = np.array([0.93, 1.42, 1.03, 1.06, 3.38])
_WARDS_PLACED_PER_MINUTE: Final = np.array([0.38, 0.33, 0.40, 0.38, 1.75])
_WARDS_KILLED_PER_MINUTE: Final = np.array([0.155, 0.334, 0.216, 0.299, 0.417])
_CONTROL_WARDS_PER_MINUTE: Final = np.array([0.152, 0.285, 0.185, 0.115, 0.510])
# at 10 and at 15 minutes; then the standard deviation of five minutes' lead
_AT: Final = {
    "gold": (np.array([3187, 3395, 3437, 3495, 2349]), np.array([5018, 5149, 5425, 5526, 3637]), 300.0),
    "xp": (np.array([4514, 3647, 4656, 3504, 2346]), np.array([7110, 5807, 7317, 5878, 3458]), 330.0),
    "cs": (np.array([74, 70, 86, 84, 14]), np.array([119, 104, 136, 134, 21]), 7.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class Economy:
    """Columns by their name in the export."""

    counts: dict[str, Integers]  # map, side, role; a team's value is the sum
    rates: dict[str, Floats]  # map, side, role, per minute; a team's value is the sum
    shares: dict[str, Floats]  # map, side, role: of the team; the team has none
    at_minute: dict[str, Floats]  # map, side, role, such as goldat10; NaN where the map was over
    objectives: dict[str, Integers]  # map, side


def draw_economy(rng: np.random.Generator, played: Played) -> Economy:
    """Draw the columns that no answer depends on, consistent with kills, winner and length."""
    minutes = np.broadcast_to((played.length_s / 60.0)[:, None, None], (*played.won.shape, 1))
    damage = _per_minute(rng, _DAMAGE_PER_MINUTE * (1.0 + 0.06 * (played.kills - _USUAL_KILLS)), minutes, 0.22)
    cs = _per_minute(rng, _CS_PER_MINUTE * (0.98 + 0.04 * played.won[:, :, None]), minutes, 0.08)
    monsters = rng.binomial(cs, _MONSTER_SHARE)
    earned = _earned_gold(rng, played, cs)
    passive = np.rint(500.0 + 2.04 * (played.length_s - 110.0)).astype(np.int64)[:, None, None]
    counts = {
        "damagetochampions": damage,
        "total cs": cs,
        "minionkills": cs - monsters,
        "monsterkills": monsters,
        "earnedgold": earned,
        "totalgold": earned + passive,
        "goldspent": np.rint((earned + passive) * rng.uniform(0.88, 0.99, earned.shape)).astype(np.int64),
        "visionscore": _per_minute(rng, _VISION_PER_MINUTE, minutes, 0.16),
        "wardsplaced": _per_minute(rng, _WARDS_PLACED_PER_MINUTE, minutes, 0.20),
        "wardskilled": _per_minute(rng, _WARDS_KILLED_PER_MINUTE, minutes, 0.30),
        "controlwardsbought": _per_minute(rng, _CONTROL_WARDS_PER_MINUTE, minutes, 0.30),
    }
    return Economy(
        counts=counts,
        rates=_rates(rng, counts, minutes),
        shares={
            "damageshare": damage / damage.sum(axis=2, keepdims=True),
            "earnedgoldshare": earned / earned.sum(axis=2, keepdims=True),
        },
        at_minute=_at_minute(rng, played),
        objectives=_objectives(rng, played),
    )


def _per_minute(rng: np.random.Generator, mean: Floats, minutes: Floats, noise: float) -> Integers:
    values = np.maximum(mean, 20.0 * (mean > 100.0)) * minutes
    values = values * np.exp(rng.normal(-(noise**2) / 2, noise, values.shape))
    return np.asarray(np.rint(values), dtype=np.int64)


def _earned_gold(rng: np.random.Generator, played: Played, cs: Integers) -> Integers:
    fights = 300.0 * played.kills + 130.0 * played.assists
    won = 700.0 * (played.won[:, :, None] - 0.5)
    gold = 20.5 * cs + fights + _OTHER_GOLD + won + rng.normal(0.0, 250.0, cs.shape)
    return np.asarray(np.rint(np.maximum(gold, 800.0)), dtype=np.int64)


def _rates(rng: np.random.Generator, counts: dict[str, Integers], minutes: Floats) -> dict[str, Floats]:
    shape = counts["total cs"].shape
    return {
        "dpm": counts["damagetochampions"] / minutes,
        "damagetakenperminute": _DAMAGE_TAKEN_PER_MINUTE * np.exp(rng.normal(-0.03, 0.25, shape)),
        "damagemitigatedperminute": _DAMAGE_MITIGATED_PER_MINUTE * np.exp(rng.normal(-0.08, 0.40, shape)),
        "wpm": counts["wardsplaced"] / minutes,
        "wcpm": counts["wardskilled"] / minutes,
        "vspm": counts["visionscore"] / minutes,
        "earned gpm": counts["earnedgold"] / minutes,
        "cspm": counts["total cs"] / minutes,
    }


def _at_minute(rng: np.random.Generator, played: Played) -> dict[str, Floats]:
    """Values, the lane opponent's and the difference; a lead grows from one moment to the next."""
    columns: dict[str, Floats] = {}
    for name, (at10, at15, sd) in _AT.items():
        lead = np.zeros(played.kills.shape)
        for minute in MINUTES:
            usual = at10 + (at15 - at10) * (minute - 10) / 5.0
            lead = lead + rng.normal(0.0, sd, lead.shape) + 0.7 * sd * (played.won[:, :, None] - 0.5)
            value = np.rint(np.maximum(usual + lead, 0.0))
            value[played.length_s < 60 * minute] = np.nan
            opponent = value[:, ::-1]
            columns[f"{name}at{minute}"] = value
            columns[f"opp_{name}at{minute}"] = opponent
            columns[f"{name}diffat{minute}"] = value - opponent
    return columns


def _objectives(rng: np.random.Generator, played: Played) -> dict[str, Integers]:
    won = played.won.astype(bool)
    count = len(won)

    def of_sides(winner: Integers, loser: Integers) -> Integers:
        return np.where(won, winner[:, None], loser[:, None])

    herald, grubs = rng.binomial(1, 0.69, count), rng.binomial(6, 0.595, count)
    drawn = {
        "dragons": of_sides(rng.binomial(4, 0.72, count), rng.binomial(3, 0.47, count)),
        "heralds": of_sides(herald, 1 - herald),
        "void_grubs": of_sides(grubs, 6 - grubs),
        "barons": of_sides(rng.binomial(2, 0.42, count), rng.binomial(1, 0.18, count)),
        "towers": of_sides(6 + rng.binomial(5, 0.66, count), np.minimum(rng.poisson(2.6, count), 9)),
        "turretplates": of_sides(rng.binomial(15, 0.36, count), rng.binomial(15, 0.22, count)),
        "inhibitors": of_sides(1 + rng.binomial(2, 0.35, count), rng.binomial(2, 0.035, count)),
    }
    firsts = {
        "firstblood": _first(rng, won, played.team_kills),
        "firstdragon": _first(rng, won, drawn["dragons"]),
        "firstbaron": _first(rng, won, drawn["barons"]),
        "firsttower": _first(rng, won, drawn["towers"]),
    }
    return firsts | drawn | {f"opp_{name}": values[:, ::-1] for name, values in drawn.items()}


def _first(rng: np.random.Generator, won: Integers, taken: Integers) -> Integers:
    """1 for the side that took the first; the winner in 57% of maps, and never a side that took none."""
    favoured = won == (rng.random(len(won)) < 0.57)[:, None]
    any_taken = taken > 0
    alone = any_taken & ~any_taken[:, ::-1]
    return np.asarray(alone | (any_taken & any_taken[:, ::-1] & favoured), dtype=np.int64)
