"""The exact distribution of every player's kills and assists before the map, from generating functions.

With x = z - 1, team share w, sizes s (team) and b (player), a player's kill mean m and pool of champions with pick
probabilities p_c and factors f_c:

    kills:    (1 - x w m / s)^-s  *  sum_c p_c (1 - x (1 - w) m f_c / b)^-b
    assists:  (1 - y w M / s)^-s  *  prod over teammates j of  sum_c p_jc (1 - y (1 - w) m_j f_jc / b)^-b
              with y = q x, q the chance to assist a teammate's kill, M the teammates' summed means

Each is taken for a won and a lost map and mixed by the chance to win. Probabilities follow by an inverse Fourier
transform over the roots of unity; what lies beyond `SUPPORT` wraps around: about 1e-6 in all at
most, 5e-8 for the default seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pipelines.season.prematch import SPREADS

if TYPE_CHECKING:
    from pipelines.season.prematch import Prematch, Spread
    from pipelines.season.world import Floats

SUPPORT: Final = 64  # counts 0 to 63; the most ever seen in professional games is 20 kills, 35 assists
_BLOCK: Final = 64  # maps at a time: the work stays in the processor's cache
_NOISE: Final = 1e-12  # of the transform; smaller probabilities are written as zero

Complex = npt.NDArray[np.complex128]


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Probabilities of the counts 0, 1, ...: map, side, role, count."""

    kills: Floats
    assists: Floats


def truth_of(prematch: Prematch) -> Truth:
    """The distribution of every player-game, exact up to the transform's rounding."""
    blocks = [_block(prematch.rows(i, i + _BLOCK)) for i in range(0, len(prematch.win), _BLOCK)]
    return Truth(np.concatenate([b.kills for b in blocks]), np.concatenate([b.assists for b in blocks]))


def _block(prematch: Prematch) -> Truth:
    picks = prematch.pick_probability()
    x = np.exp(-2j * np.pi * np.arange(SUPPORT // 2 + 1) / SUPPORT) - 1.0
    kills: Any = 0.0
    assists: Any = 0.0
    for outcome, spread in enumerate(SPREADS):
        chance = prematch.win if outcome else 1.0 - prematch.win
        weight = chance[:, :, None, None]
        means = prematch.kills[:, :, outcome]
        own = _own_factor(means, picks, prematch.champion_kills, x, spread)
        kills += weight * own * _team_factor(means, x, spread)
        y = prematch.assist_chance[:, :, outcome, :, None] * x
        assists += weight * _assist_transform(means, picks, prematch.champion_kills, y, spread)
    return Truth(_probabilities(kills), _probabilities(assists))


def _assist_transform(means: Floats, picks: Floats, factors: Floats, y: Complex, spread: Spread) -> Complex:
    """Axes of `y`: map, side, role of who assists, frequency."""
    roles = range(means.shape[2])
    transforms = []
    for assister in roles:
        mates = [role for role in roles if role != assister]
        at = y[:, :, assister, None]
        own = _own_factor(means[:, :, mates], picks[:, :, mates], factors[:, :, mates], at, spread)
        team = _team_factor(means[:, :, mates].sum(axis=2, keepdims=True), at, spread)
        transforms.append(own.prod(axis=2) * team[:, :, 0])
    return np.stack(transforms, axis=2)


def _team_factor(means: Floats, x: Complex, spread: Spread) -> Complex:
    """The factor that a team's players share; the last axis is the frequency."""
    return _inverse_power(1.0 - (spread.shared / spread.team_size * means[..., None]) * x, spread.team_size)


def _own_factor(means: Floats, picks: Floats, factors: Floats, x: Complex, spread: Spread) -> Complex:
    """The players' own factors over their champions; the last axis is the frequency."""
    scale = (1.0 - spread.shared) / spread.player_size * means[..., None] * factors
    total: Any = 0.0
    for choice in range(factors.shape[-1]):
        inverse = _inverse_power(1.0 - scale[..., choice, None] * x, spread.player_size)
        total += picks[..., choice, None] * inverse
    return np.asarray(total)


def _inverse_power(base: Complex, power: int) -> Complex:
    """base^-power for a power of two, by squaring."""
    for _ in range(power.bit_length() - 1):
        base = np.square(base)
    return np.reciprocal(base)


def _probabilities(transform: Complex) -> Floats:
    pmf = np.fft.irfft(transform, SUPPORT, axis=-1)
    pmf[pmf < _NOISE] = 0.0
    total: Floats = pmf.sum(axis=-1, keepdims=True)
    return pmf / total
