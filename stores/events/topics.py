"""The topics of the event log, declared once: what they carry, in how many partitions and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from stores.domain.events import LiveMatchEvent, MatchResult, ModelUpdated, PlayerPerformance, PredictionRequested
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stores.domain.events import Event

RETENTION = timedelta(days=7)  # for replay, and for a consumer that was away over a long weekend
DEAD_LETTERS = ".dead-letters"


@dataclass(frozen=True, slots=True)
class Topic:
    """A named log of one kind of event. The number of partitions is for ever: it decides where a key goes."""

    name: str
    event: type[Event] | None  # None: dead letters, which are whatever could not be read
    keyed_by: str
    partitions: int
    retention: timedelta = RETENTION

    @property
    def dead_letters(self) -> Topic:
        """Where its records go that cannot be processed, with the reason."""
        if self.event is None:
            raise InvalidError(f"{self.name} holds dead letters already", "topic")
        return Topic(f"{self.name}{DEAD_LETTERS}", None, self.keyed_by, 1, self.retention)


TOPICS = (
    Topic("live-matches", LiveMatchEvent, "match", 8),
    Topic("player-performance", PlayerPerformance, "player", 8),
    Topic("prediction-requests", PredictionRequested, "player", 8),
    Topic("model-updates", ModelUpdated, "model", 1),
    Topic("match-results", MatchResult, "match", 2),
)
ALL_TOPICS = (*TOPICS, *(topic.dead_letters for topic in TOPICS))

_BY_NAME = {topic.name: topic for topic in ALL_TOPICS}


def topic_named(name: str) -> Topic:
    """The declared topic of this name. Raises InvalidError naming those that there are."""
    topic = _BY_NAME.get(name)
    if topic is None:
        raise InvalidError(
            f"{str(name)[:100]!r} is no topic; give one of {', '.join(topic.name for topic in TOPICS)}, "
            f"or one with {DEAD_LETTERS} behind it",
            "topic",
        )
    return topic


def topics_named(names: Iterable[str]) -> tuple[Topic, ...]:
    """The declared topics of these names, each once. Raises InvalidError for an unknown one or for none at all."""
    topics = tuple(topic_named(name) for name in dict.fromkeys(names))
    if not topics:
        raise InvalidError("no topic is named; give at least one", "topics")
    return topics
