"""What requests cost, summed in the process: latencies and statuses."""

from __future__ import annotations

import math
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stores.domain.measurements import Point

if TYPE_CHECKING:
    from datetime import datetime

SERVICE = "gateway"
_PER_OCTAVE = 8  # buckets of the histogram are 9% wide
_PERCENTILES = (50, 95, 99)


@dataclass(slots=True)
class Latencies:
    """A histogram of logarithmic buckets: any number of latencies in some dozens of counts."""

    count: int = 0
    total_s: float = 0.0
    response_bytes: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float, response_bytes: int) -> None:
        """Count one request."""
        self.count += 1
        self.total_s += seconds
        self.response_bytes += response_bytes
        self.buckets[math.ceil(math.log2(max(seconds, 1e-6) * 1e6) * _PER_OCTAVE)] += 1

    def percentile_s(self, percent: float) -> float:
        """The latency that so many percent do not exceed, at most 9% too high."""
        wanted, seen = math.ceil(self.count * percent / 100), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return float(2.0 ** (bucket / _PER_OCTAVE) / 1e6)
        return 0.0


class RequestMetrics:
    """The counts since the last `take`."""

    def __init__(self) -> None:
        self._latencies: defaultdict[tuple[str, str, int], Latencies] = defaultdict(Latencies)
        self._since = time.monotonic()

    def note(self, endpoint: str, method: str, status: int, seconds: float, response_bytes: int = 0) -> None:
        """Count one answered request."""
        self._latencies[endpoint, method, status].add(seconds, response_bytes)

    def take(self, now: datetime) -> list[Point]:
        """The counts as points of the moment ``now``; counting begins anew."""
        latencies, since = self._latencies, self._since
        self.__init__()  # type: ignore[misc]  # everything anew
        elapsed_s = max(time.monotonic() - since, 1e-3)
        return [_point(key, found, elapsed_s, now) for key, found in latencies.items()]


def _point(key: tuple[str, str, int], found: Latencies, elapsed_s: float, now: datetime) -> Point:
    endpoint, method, status = key
    tags = {"endpoint": endpoint, "method": method, "status_code": str(status), "service": SERVICE}
    fields = {
        "response_time": 1e3 * found.total_s / found.count,
        **{f"response_time_p{percent}": 1e3 * found.percentile_s(percent) for percent in _PERCENTILES},
        "response_size": float(round(found.response_bytes / found.count)),
        "throughput": found.count / elapsed_s,
        "error_rate": 100.0 if status >= 400 else 0.0,
    }
    return Point("api_metrics", tags, fields, now)
