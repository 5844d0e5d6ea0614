"""The peer: FastAPI, pydantic and Booster.inplace_predict under uvicorn, as an engineer writes it in an afternoon.

It has the same request model, the same trees and the same row of features, all in its process. It leaves out what
Riftline does beside that: no durable record of the answer, no calibration, no chance that a map is not played, no
interval, no spelling suggestions, no refresh of model or features, no batch, one player a question.

    python -m uvicorn benchmarks.peer:create --factory --port 9200
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

import numpy as np
import orjson
import xgboost as xgb
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from scipy.special import betainc

from benchmarks.released import read_released
from serve_apps.wire import PredictionRequest
from stores.domain.props import PropType, Side
from stores.features.vector import assemble
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.released import Released


class Alive(BaseModel):
    """Which worker answers."""

    pid: int


class PeerAnswer(BaseModel):
    """The peer's answer: the likelier side and its probability, the push left out."""

    player: str
    prediction: Side
    confidence: float
    expected_stat: float
    model_version: str


class Peer:
    """Dicts of features and two boosters."""

    def __init__(self, released: Released) -> None:
        shard, described = released.shard, orjson.loads(released.files["model.json"])
        players = list(zip(shard.players, shard.player_features, strict=True))
        players.sort(key=lambda pair: (pair[0].games, pair[0].player_id))  # of namesakes, the one with most games stays
        self._players = {entry.name.casefold(): (entry, row[None, :]) for entry, row in players}
        self._teams = {entry.team_id: row[None, :] for entry, row in zip(shard.teams, shard.team_features, strict=True)}
        ranked = sorted(shard.teams, key=lambda entry: (entry.games, entry.team_id))
        self._team_ids = {entry.name.casefold(): entry.team_id for entry in ranked}
        self._leagues = {
            entry.name: row[None, :] for entry, row in zip(shard.tournaments, shard.tournament_features, strict=True)
        }
        self._sizes = {PropType(name): values["before"]["sizes"] for name, values in described["props"].items()}
        self._boosters = {prop: _booster(released.files[f"{prop}.direct.ubj"]) for prop in self._sizes}
        self._version = released.record.model_version
        self._warm_up()

    def answer(self, request: PredictionRequest) -> PeerAnswer:
        """The negative binomial answer for one player. Raises KeyError for an unknown name."""
        entry, player = self._players[request.player_names[0].casefold()]
        league = self._leagues[entry.tournament]
        average = league[:, : next(iter(self._teams.values())).shape[1]]
        team = self._teams.get(entry.team_id or "", average)
        opponent = self._teams[self._team_ids[request.opponent.casefold()]] if request.opponent else average
        first, last = request.map_range
        maps = np.arange(first, last + 1)
        one, ours, theirs, context = (np.repeat(row, len(maps), axis=0) for row in (player, team, opponent, league))
        rows = assemble(one, ours, theirs, context, np.full(len(maps), entry.position), maps)
        results = np.repeat(np.arange(2, dtype=np.float32), len(maps))  # lost and won: taken as equally likely
        rows = np.column_stack([np.tile(rows, (2, 1)), results])
        mean = float(self._boosters[request.prop_type].inplace_predict(rows).sum()) / 2
        over = _over(request.prop_value, mean, self._sizes[request.prop_type][0][entry.position] * len(maps))
        side = Side.OVER if over >= 0.5 else Side.UNDER
        return PeerAnswer(
            player=entry.name,
            prediction=side,
            confidence=round(100 * max(over, 1 - over), 4),
            expected_stat=round(mean, 4),
            model_version=self._version,
        )

    def _warm_up(self) -> None:
        """Answer one question: the kernels are compiled at the first."""
        entry, _ = next(iter(self._players.values()))
        prop = next(iter(self._sizes))
        self.answer(PredictionRequest(player_names=[entry.name], prop_type=prop, prop_value=0.5, map_range=[1, 1]))


def create() -> FastAPI:
    """The peer as an ASGI app, with the model and the features that Riftline answers with, read once at the start."""

    @contextlib.asynccontextmanager
    async def lifespan(api: FastAPI) -> AsyncIterator[None]:
        api.state.peer = Peer(await asyncio.to_thread(read_released, Settings.from_env(os.environ)))
        yield

    api = FastAPI(title="The peer", lifespan=lifespan)

    @api.get("/health")
    async def health() -> Alive:
        return Alive(pid=os.getpid())

    @api.post("/predict/single")
    async def predict(body: PredictionRequest) -> PeerAnswer:
        try:
            answer: PeerAnswer = api.state.peer.answer(body)
        except KeyError as error:
            raise HTTPException(404, f"unknown name {error}") from None
        return answer

    return api


def _over(line: float, mean: float, size: float) -> float:
    """The probability of more than the line, of what does not push."""
    share = mean / (size + mean)
    over = float(betainc(np.floor(line) + 1, size, share))
    under = 1.0 - (float(betainc(np.ceil(line), size, share)) if line > 0 else 1.0)
    return over / (over + under)


def _booster(raw: bytes) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})
    return booster
