"""What every store of time series does: the same points in, the same windows out."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime, timedelta
from itertools import groupby
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest

from stores.domain.measurements import MAX_NUMBER, MAX_TAG_LENGTH, MEASUREMENTS, Point
from stores.domain.series_query import Aggregate, Resolution, SeriesQuery, Window
from stores.downsampling import floor
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from stores.roles.time_series import TimeSeries

    Connect = Callable[[Callable[[], datetime]], Awaitable[TimeSeries]]

pytestmark = pytest.mark.role("time_series")

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
PERCENTILE = 90.0
HOSTILE = [
    '" or true or "',
    "'; DROP TABLE measurements_high; --",
    "a,b=c d",
    "{}$1%s",
    'r["x"] |> drop()',
    "페이커 é 🎮",
]


def _fold(aggregate: Aggregate, points: list[tuple[datetime, float]]) -> float:
    """The aggregate by Python's own means; ``points`` in the order of time."""
    values = [value for _, value in points]
    match aggregate:
        case Aggregate.MEAN:
            return fmean(values)
        case Aggregate.SUM:
            return math.fsum(values)
        case Aggregate.COUNT:
            return float(len(values))
        case Aggregate.LAST:
            return values[-1]
        case Aggregate.PERCENTILE:
            return sorted(values)[math.ceil(PERCENTILE / 100 * len(values)) - 1]
    return {Aggregate.MIN: min, Aggregate.MAX: max}[aggregate](values)


def _expected(query: SeriesQuery, points: Iterable[Point]) -> list[Window]:
    """What the query should answer, computed from the points."""
    step = query.resolution.step or timedelta(microseconds=1)
    chosen = [
        (floor(point.time, query.every), tuple((name, point.tags[name]) for name in query.by), point.time, point)
        for point in points
        if query.since <= floor(point.time, step) < query.until
        and query.tags.items() <= point.tags.items()
        and point.measurement == query.measurement
    ]
    chosen.sort(key=lambda one: one[:3])
    found = []
    for (start, tags), group in groupby(chosen, key=lambda one: one[:2]):
        members = [(time, point) for _, _, time, point in group]
        values = {
            name: _fold(query.aggregate, its)
            for name in query.fields
            if (its := [(time, point.fields[name]) for time, point in members if name in point.fields])
        }
        if values:
            found.append(Window(start, dict(tags), values))
    return found


def _same(found: list[Window], expected: list[Window]) -> None:
    assert [(one.start, one.tags) for one in found] == [(one.start, one.tags) for one in expected]
    for mine, right in zip(found, expected, strict=True):
        assert mine.values == pytest.approx(right.values, rel=1e-12)


def _api(time: datetime, endpoint: str = "/predict/single", **fields: float) -> Point:
    tags = {"endpoint": endpoint, "method": "POST", "status_code": "200", "service": "gateway"}
    return Point("api_metrics", tags, fields or {"response_time": 1.0}, time)


def _query(base: datetime, **changes: Any) -> SeriesQuery:
    given: dict[str, Any] = {
        "measurement": "api_metrics",
        "fields": ("response_time",),
        "since": base,
        "until": base + 2 * HOUR,
        "every": 15 * MINUTE,
    }
    return SeriesQuery(**given | changes)


def _day(base: datetime) -> list[Point]:
    """Three hours of three endpoints at uneven times; one field comes only now and then."""
    points = []
    for number in range(400):
        time = base + number * timedelta(seconds=27, microseconds=number)
        endpoint = ("/predict/single", "/predict/batch", "/health")[number % 3]
        fields = {"response_time": 1 + (number * 37 % 101) / 7}
        if number % 5 == 0:
            fields["request_size"] = float(number)
        points.append(_api(time, endpoint, **fields))
    return points


@pytest.fixture
def base(clock: Callable[[], datetime]) -> datetime:
    """A whole hour that is late enough for every retention and long enough ago for three whole hours."""
    return floor(clock(), HOUR) - 5 * HOUR


async def _written(store: TimeSeries, points: list[Point]) -> list[Point]:
    await store.write(points)
    await store.flush()
    return points


@pytest.mark.parametrize("aggregate", Aggregate)
async def test_points_come_back_in_windows(store: TimeSeries, base: datetime, aggregate: Aggregate) -> None:
    """Each aggregate equals the one computed from the points, by endpoint and over all, whole windows and cut ones."""
    points = await _written(store, _day(base))
    percentile = PERCENTILE if aggregate is Aggregate.PERCENTILE else None
    for changes in (
        {"by": ("endpoint",), "fields": ("response_time", "request_size")},
        {"since": base + 100 * SECOND, "until": base + 90 * MINUTE + 7 * SECOND, "every": 40 * MINUTE},
        {"tags": {"endpoint": "/health", "method": "POST"}, "by": ("method", "endpoint"), "every": 7 * SECOND},
    ):
        query = _query(base, aggregate=aggregate, percentile=percentile, **changes)
        _same(await store.query(query), _expected(query, points))


@pytest.mark.parametrize("resolution", [Resolution.MEDIUM, Resolution.LOW])
async def test_coarser_windows_are_exact(
    store: TimeSeries, base: datetime, clock: Callable[[], datetime], resolution: Resolution
) -> None:
    """Folded once or twice, every aggregate but the percentile is the one of the points."""
    points = await _written(store, _day(base))
    await store.downsample(clock())
    for aggregate in set(Aggregate) - {Aggregate.PERCENTILE}:
        by = ("endpoint",)  # each endpoint is one series: of several, `last` may give any one's
        query = _query(base, aggregate=aggregate, resolution=resolution, every=HOUR, by=by, until=base + 4 * HOUR)
        _same(await store.query(query), _expected(query, points))


async def test_downsampling_again_changes_nothing(
    store: TimeSeries, base: datetime, clock: Callable[[], datetime]
) -> None:
    """A second run over the same stretch leaves the same windows."""
    await _written(store, _day(base))
    query = _query(base, aggregate=Aggregate.SUM, resolution=Resolution.MEDIUM)
    await store.downsample(clock())
    first = await store.query(query)
    await store.downsample(clock())
    assert await store.query(query) == first
    assert first


async def test_jobs_at_once_fold_once(
    connect: Connect, store: TimeSeries, base: datetime, clock: Callable[[], datetime]
) -> None:
    """Two processes that make the tables and fold at the same time leave what one would."""
    other = await connect(clock)
    points = await _written(store, _day(base))
    await asyncio.gather(store.ensure(clock()), other.ensure(clock()))
    await asyncio.gather(store.downsample(clock()), other.downsample(clock()))
    query = _query(base, aggregate=Aggregate.COUNT, resolution=Resolution.LOW, every=HOUR)
    _same(await other.query(query), _expected(query, points))


async def test_only_whole_windows_are_folded(store: TimeSeries, base: datetime) -> None:
    """The minute that is still under way is not there, and is whole once it is."""
    await _written(store, [_api(base + number * 30 * SECOND) for number in range(4)])
    query = _query(base, aggregate=Aggregate.COUNT, resolution=Resolution.MEDIUM, every=MINUTE)
    await store.downsample(base + MINUTE + 45 * SECOND)
    assert [window.start for window in await store.query(query)] == [base]
    await store.downsample(base + 2 * MINUTE)
    assert [window.values["response_time"] for window in await store.query(query)] == [2.0, 2.0]


async def test_a_late_point_is_counted_within_the_hour(store: TimeSeries, base: datetime) -> None:
    """Up to an hour late it corrects its minute and its hour; three hours late it is only among the points."""
    await _written(store, [_api(base)])
    await store.downsample(base + HOUR)
    await _written(store, [_api(base + SECOND)])
    await store.downsample(base + HOUR + MINUTE)
    minutes = _query(base, aggregate=Aggregate.COUNT, resolution=Resolution.MEDIUM)
    hours = _query(base, aggregate=Aggregate.COUNT, resolution=Resolution.LOW, every=HOUR)
    for query in (minutes, hours):
        assert [window.values["response_time"] for window in await store.query(query)] == [2.0]
    await _written(store, [_api(base + 3 * HOUR)])
    await store.downsample(base + 4 * HOUR)
    await _written(store, [_api(base + 2 * SECOND)])
    await store.downsample(base + 4 * HOUR + MINUTE)
    for query in (minutes, hours):
        assert [window.values["response_time"] for window in await store.query(query)] == [2.0]
    raw = _query(base, aggregate=Aggregate.COUNT)
    assert [window.values["response_time"] for window in await store.query(raw)] == [3.0]


async def test_an_outage_is_made_good(store: TimeSeries, clock: Callable[[], datetime]) -> None:
    """Whatever came while nobody folded is folded by the next run, days later."""
    start = floor(clock(), HOUR) - timedelta(days=3)
    points = await _written(store, [_api(start + number * 5 * HOUR) for number in range(10)])
    await store.downsample(start + HOUR)
    await store.downsample(clock())
    for resolution, every in ((Resolution.MEDIUM, MINUTE), (Resolution.LOW, HOUR)):
        until = start + timedelta(days=3)
        query = _query(start, aggregate=Aggregate.COUNT, resolution=resolution, every=every, until=until)
        _same(await store.query(query), _expected(query, points))


async def test_a_point_written_twice_is_once(store: TimeSeries, base: datetime) -> None:
    """In one batch and over several: the later number stays, and another field of the same moment joins it."""
    await _written(store, [_api(base, response_time=1.0), _api(base, response_time=2.0)])
    await _written(store, [_api(base, request_size=7)])
    await _written(store, [_api(base, response_time=3.0)])
    for aggregate, expected in ((Aggregate.COUNT, (1.0, 1.0)), (Aggregate.SUM, (3.0, 7.0))):
        found = await store.query(_query(base, fields=("response_time", "request_size"), aggregate=aggregate))
        values = {"response_time": expected[0], "request_size": expected[1]}
        assert found == [Window(base, {}, values)]


@pytest.mark.parametrize("value", [*HOSTILE, "x" * MAX_TAG_LENGTH, "🎮" * MAX_TAG_LENGTH])
async def test_any_text_is_only_text(store: TimeSeries, base: datetime, value: str) -> None:
    """A tag's value comes back as it was written, finds its own series and no other, and is run nowhere."""
    await _written(store, [_api(base, value), _api(base, "other")])
    found = await store.query(_query(base, tags={"endpoint": value}, by=("endpoint",), aggregate=Aggregate.COUNT))
    assert found == [Window(base, {"endpoint": value}, {"response_time": 1.0})]
    assert len(await store.query(_query(base, by=("endpoint",)))) == 2


async def test_numbers_come_back_to_the_bit(store: TimeSeries, base: datetime) -> None:
    """The smallest, the largest and those that no decimal is equal to, at microseconds that meet both ends."""
    numbers = [5e-324, 0.1 + 0.2, -1 / 3, float(MAX_NUMBER), -float(MAX_NUMBER), 1e-5, 123456789.123456789]
    await _written(store, [_api(base + n * SECOND, response_time=number) for n, number in enumerate(numbers)])
    query = _query(base, every=SECOND, until=base + MINUTE, aggregate=Aggregate.LAST)
    assert [window.values["response_time"] for window in await store.query(query)] == numbers
    edge = base + timedelta(microseconds=1)
    await _written(store, [_api(edge)])
    assert await store.query(_query(edge, until=edge + timedelta(microseconds=1)))
    assert not await store.query(_query(edge + timedelta(microseconds=1), until=base + SECOND))


async def test_every_measurement_is_kept(store: TimeSeries, base: datetime, clock: Callable[[], datetime]) -> None:
    """Each of the declared ones, with all its fields, in every resolution."""
    points = [
        Point(one.name, {tag.name: "x" for tag in one.tags}, {field.name: 2 for field in one.fields}, base)
        for one in MEASUREMENTS
    ]
    await _written(store, points)
    await store.downsample(clock())
    for one in MEASUREMENTS:
        names = tuple(field.name for field in one.fields)
        for resolution in Resolution:
            query = _query(base, measurement=one.name, fields=names, resolution=resolution, every=HOUR)
            assert await store.query(query) == [Window(base, {}, dict.fromkeys(names, 2.0))], one.name


async def test_many_writers_and_many_points(connect: Connect, store: TimeSeries, base: datetime) -> None:
    """Two processes write thousands of points of the same series at once; each is counted once."""
    other = await connect(lambda: base + HOUR)
    points = [_api(base + number * timedelta(milliseconds=500), f"/{number % 7}") for number in range(5000)]
    halves = (points[:3000], points[2000:][::-1])
    await asyncio.gather(*(one.write(half) for one, half in zip((store, other), halves, strict=True)))
    await asyncio.gather(store.flush(), other.flush())
    query = _query(base, aggregate=Aggregate.COUNT, by=("endpoint",), every=HOUR)
    _same(await store.query(query), _expected(query, points))


async def test_a_wrong_time_is_refused_before_the_queue(store: TimeSeries, clock: Callable[[], datetime]) -> None:
    """Past the retention of points, or further ahead than a clock may be wrong; its neighbours are not queued."""
    for time in (clock() - timedelta(days=7), clock() + HOUR + SECOND):
        with pytest.raises(InvalidError, match="time must be") as caught:
            await store.write([_api(clock()), _api(time)])
        assert caught.value.field == "time"
    await store.flush()
    assert not await store.query(_query(clock() - HOUR, until=clock() + 2 * HOUR))


async def test_an_id_in_a_tag_is_refused(store: TimeSeries, clock: Callable[[], datetime]) -> None:
    """A tag with too many values in a day is named before the server sees the flood."""
    with pytest.raises(InvalidError, match="endpoint") as caught:
        await store.write([_api(clock(), f"/item/{number}") for number in range(1001)])
    assert caught.value.field == "tags.endpoint"


async def test_nothing_is_asked_of_what_is_empty(
    store: TimeSeries, base: datetime, clock: Callable[[], datetime]
) -> None:
    """No points: no windows, nothing to fold, nothing to flush."""
    await store.flush()
    await store.write([])
    await store.downsample(clock())
    for resolution in Resolution:
        assert await store.query(_query(base, resolution=resolution, every=HOUR)) == []
