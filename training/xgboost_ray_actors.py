"""Keeps xgboost-ray's actors from one training to the next.

Each training of xgboost-ray starts three processes and more and ends them, which takes longer than to grow a hundred
trees. While `kept_actors` is open, a training that is done lays them aside and the next takes them up. What fails
while it trains is not kept, and what died meanwhile xgboost-ray finds and replaces as it does in any training.
Actors that are laid aside still hold their cores: they end where a training of another shape has no room.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import ray
import xgboost_ray.main
from ray.util import placement_group, remove_placement_group
from xgboost_ray.main import ENV

from training.xgboost_ray_functions import Replacement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_create_actor = xgboost_ray.main._create_actor  # noqa: SLF001
_create_channels = xgboost_ray.main._create_communication_processes  # noqa: SLF001
_shutdown = xgboost_ray.main._shutdown  # noqa: SLF001
LOOK_FOR_ROOM_S = 0.5  # how often a training that waits for cores asks whether others were laid aside


class _Shape(NamedTuple):
    """What a training asks of a placement group."""

    cpus: float
    gpus: float
    resources: tuple[tuple[str, float], ...]
    actors: int
    strategy: str


@dataclass(slots=True)
class _Group:
    """A placement group, what was asked of it, and its actors by rank that nobody uses."""

    placement: Any
    shape: _Shape
    actors: dict[int, Any] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Waiter:
    """A training without room, and the group that another one of its shape handed to it."""

    shape: _Shape
    group: _Group | None = None


class _Kept:
    """What is laid aside, and the functions of xgboost-ray that take from it. Threads train from one at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turn = threading.Lock()  # of whoever asks Ray for room
        self._channels: list[tuple[Any, Any]] = []
        self._idle: defaultdict[_Shape, list[_Group]] = defaultdict(list)
        self._in_use: dict[Any, _Group] = {}
        self._waiting: list[_Waiter] = []

    def create_channels(self, *args: Any) -> tuple[Any, Any]:
        """The queue and the event between driver and actors."""
        with self._lock:
            if self._channels:
                return self._channels.pop()
        created: tuple[Any, Any] = _create_channels(*args)
        return created

    def create_group(
        self, cpus: float, gpus: float, resources: Mapping[str, float] | None, actors: int, strategy: str
    ) -> Any:
        """A placement group with room for the actors; raises `TimeoutError` where the cluster has none."""
        shape = _Shape(cpus, gpus, tuple(sorted((resources or {}).items())), actors, strategy)
        waiter = _Waiter(shape)
        with self._lock:
            if self._idle[shape]:
                waiter.group = self._idle[shape].pop()
            else:
                self._waiting.append(waiter)
        group = waiter.group or self._new_group(waiter)
        with self._lock:
            self._in_use[group.placement.id] = group
        return group.placement

    def _new_group(self, waiter: _Waiter) -> _Group:
        """Take over the group of a training that ends meanwhile, or reserve the cores once nobody else waits for some.

        Ray would serve first whoever asks for less.
        """
        while waiter.group is None:
            if self._turn.acquire(timeout=LOOK_FOR_ROOM_S):
                try:
                    return self._reserved(waiter)
                finally:
                    self._turn.release()
        with self._lock:
            self._waiting.remove(waiter)
        return waiter.group

    def _reserved(self, waiter: _Waiter) -> _Group:
        """Reserve the cores; whatever is idle while they are wanting makes way."""
        shape = waiter.shape
        bundle = {"CPU": shape.cpus, "GPU": shape.gpus, **dict(shape.resources)}
        placement = placement_group([bundle] * shape.actors, strategy=shape.strategy)
        ready, late, deadline = False, False, time.monotonic() + ENV.PLACEMENT_GROUP_TIMEOUT_S
        try:
            while not (ready or late or waiter.group):
                ready = bool(ray.wait([placement.ready()], timeout=LOOK_FOR_ROOM_S)[0])
                late = time.monotonic() > deadline
                if not ready:
                    self._end_idle()
        finally:
            with self._lock:
                self._waiting.remove(waiter)  # from here on nobody hands it anything
        if ready and waiter.group is None:
            return _Group(placement, shape)
        remove_placement_group(placement)
        if waiter.group is None:
            message = f"no room for {shape.actors} training actors of {bundle} each within"
            message += f" {ENV.PLACEMENT_GROUP_TIMEOUT_S} s: ask for fewer actors or CPUs, or add a node;"
            free = ray.available_resources()  # type: ignore[no-untyped-call]
            raise TimeoutError(f"{message} free now: {free}")
        return waiter.group

    def create_actor(self, rank: int, *args: Any, placement_group: Any = None, **options: Any) -> Any:
        """The actor of this rank: that of the training before, the first time and after its death a new one."""
        with self._lock:
            group = self._in_use.get(placement_group and placement_group.id)
            kept = group.actors.pop(rank, None) if group else None
        return kept or _create_actor(rank, *args, placement_group=placement_group, **options)

    def shutdown(self, actors: Sequence[Any], *, placement_group: Any = None, **rest: Any) -> None:
        """Lay a training that is done aside; one that is not whole ends."""
        with self._lock:
            group = self._in_use.pop(placement_group and placement_group.id, None)
        if group is None or rest["pending_actors"] or None in actors:
            _shutdown(actors, placement_group=placement_group, **rest)
            return
        for actor in actors:
            actor.__ray_call__.remote(_forget)
        group.actors = dict(enumerate(actors))
        with self._lock:
            self._channels.append((rest["queue"], rest["event"]))
            unserved = [waiter for waiter in self._waiting if waiter.group is None]
            alike = next((waiter for waiter in unserved if waiter.shape == group.shape), None)
            if alike is not None:
                alike.group = group
            elif not unserved:
                self._idle[group.shape].append(group)
        if unserved and alike is None:
            _end(group)  # who waits needs its cores

    def _end_idle(self) -> None:
        with self._lock:
            groups = [group for idle in self._idle.values() for group in idle]
            self._idle.clear()
        for group in groups:
            _end(group)

    def end(self) -> None:
        """End what is laid aside, and what trainings left that failed."""
        self._end_idle()
        with self._lock:
            left, self._in_use = list(self._in_use.values()), {}
            channels, self._channels = self._channels, []
        for group in left:
            _end(group)
        for queue, event in channels:
            _shutdown([], queue=queue, event=event, force=True)


def _end(group: _Group) -> None:
    _shutdown(list(group.actors.values()), placement_group=group.placement, force=True)


def _forget(actor: Any) -> None:
    """The rows of a training are of no use to the next."""
    actor._data.clear()  # noqa: SLF001
    actor._local_n.clear()  # noqa: SLF001


_kept = _Kept()
_replacement = Replacement(
    {
        "_create_communication_processes": _kept.create_channels,
        "_create_placement_group": _kept.create_group,
        "_create_actor": _kept.create_actor,
        "_shutdown": _kept.shutdown,
    },
    _kept.end,
)


def kept_actors() -> Replacement:
    """Within this context trainings of the same shape take turns with the same actors; afterwards these end."""
    return _replacement
