"""The ensemble: from features to the distribution of a sum over maps and players."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.ensemble import COUNTS_PER_MAP, MODEL_FILE, ModelParameters, PropEnsemble, PropParameters, sum_of
from stores.domain.props import MAX_MAP, MapRange, PropType
from stores.errors import InvalidError
from stores.features.schema import MODEL_FEATURES

RANGES = [MapRange(first, last) for first, last in combinations_with_replacement(range(1, MAX_MAP + 1), 2)]
KILLS = PropType.KILLS


def some_features(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Rows of features, one number in ten missing."""
    rng = np.random.default_rng(9)
    features = rng.uniform(0.0, 20.0, size=(rows, len(MODEL_FEATURES))).astype(np.float32)
    features[rng.random(features.shape) < 0.1] = np.nan
    return features


def calibrated_by(model: PropEnsemble, table: tuple[float, ...]) -> PropEnsemble:
    """The model without its trees, with another calibration."""
    of_prop = replace(model.parameters.props[KILLS], calibration=table)
    return PropEnsemble({}, ModelParameters({KILLS: of_prop}, model.parameters.map_continuation))


def test_an_artefact_says_the_same_to_the_bit(small_model: PropEnsemble) -> None:
    """Saved and loaded, the trees give the same bits and the parameters are equal; saved again, so are the files."""
    files = small_model.to_files()
    loaded = PropEnsemble.from_files(files)
    assert loaded.parameters == small_model.parameters
    features = some_features(50)
    for prop in PropType:
        assert loaded.means(prop, features).tobytes() == small_model.means(prop, features).tobytes()
    assert loaded.to_files()[MODEL_FILE] == files[MODEL_FILE]


def test_one_row_and_many_rows_agree_to_the_bit(small_model: PropEnsemble) -> None:
    """A single question and a batch see the same means."""
    features = some_features(30)
    together = small_model.means(KILLS, features)
    assert [small_model.means(KILLS, row[None, :])[0] for row in features] == together.tolist()


@pytest.mark.parametrize(("field", "value"), [("feature_version", "f0-other"), ("format", 99)])
def test_a_model_of_other_features_is_refused(small_model: PropEnsemble, field: str, value: object) -> None:
    """An artefact that was made for other features or in another format is not served."""
    files = small_model.to_files()
    files[MODEL_FILE] = orjson.dumps(orjson.loads(files[MODEL_FILE]) | {field: value})
    with pytest.raises(InvalidError, match="train again"):
        PropEnsemble.from_files(files)


@pytest.mark.parametrize("maps", RANGES, ids=lambda one: f"{one.first}-{one.last}")
def test_the_maps_played_follow_the_continuations(small_model: PropEnsemble, maps: MapRange) -> None:
    """Two maps are sure, each later one follows with its chance, and a range begins with a map that is played."""
    goes_on = {after: small_model.parameters.map_continuation[after - 1] for after in range(1, MAX_MAP)}
    expected: dict[int, float] = {}
    reached = 1.0
    for last in range(maps.first, maps.last + 1):
        follows = 0.0 if last == maps.last else 1.0 if last + 1 <= 2 else goes_on[last]
        if follows < 1.0:
            expected[last - maps.first + 1] = reached * (1.0 - follows)
        reached *= follows
    found = small_model.maps_played(maps)
    assert dict(found) == pytest.approx(expected)
    assert sum(probability for _, probability in found) == pytest.approx(1.0, abs=1e-15)


def test_one_map_is_the_plain_distribution(small_model: PropEnsemble) -> None:
    """The forecast of one map is that of sum_pmf, with the given mean."""
    mean = np.array([3.4])
    plain = small_model.sum_pmf(KILLS, mean[None, :], np.array([2]), COUNTS_PER_MAP)[0]
    base = small_model.forecast(KILLS, mean, 2, MapRange(3, 3)).base
    assert base.pmf.tolist() == plain.tolist()
    assert base.mean == pytest.approx(3.4)
    assert float(base.pmf @ np.arange(COUNTS_PER_MAP) ** 2) - base.mean**2 == pytest.approx(3.4 + 3.4**2 / 6.0)


def test_an_unsure_map_is_mixed_in(small_model: PropEnsemble) -> None:
    """Over maps 1 to 3 the expected count is that of two maps and of the third as often as it is played."""
    means = np.array([3.0, 2.0, 4.0])
    forecast = small_model.forecast(KILLS, means, 0, MapRange(1, 3))
    assert forecast.base.mean == pytest.approx(5.0 + 0.55 * 4.0)
    assert len(forecast.base.pmf) == 3 * COUNTS_PER_MAP
    assert forecast.base.pmf.sum() == pytest.approx(1.0)


def test_the_identity_changes_nothing(small_model: PropEnsemble) -> None:
    """A calibration table that is the diagonal gives the distribution back."""
    model = calibrated_by(small_model, tuple(np.linspace(0, 1, 101).tolist()))
    forecast = model.forecast(KILLS, np.array([3.0, 3.5]), 3, MapRange(1, 2))
    assert forecast.calibrated.pmf == pytest.approx(forecast.base.pmf, abs=1e-12)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=30), st.floats(0.05, 30.0))
def test_a_calibrated_cdf_always_rises(table: list[float], mean: float) -> None:
    """Whatever the table, the calibrated cdf is a cdf: it rises, ends at 1, and no probability is negative."""
    model = PropEnsemble({}, ModelParameters({KILLS: PropParameters((5.0,) * 5, 1.0, tuple(table))}, (0.5,) * 4))
    calibrated = model.forecast(KILLS, np.array([mean]), 0, MapRange(1, 1)).calibrated
    assert calibrated.pmf.min() >= 0
    assert calibrated.pmf.sum() == pytest.approx(1.0)


def test_the_calibration_is_the_one_of_the_table(small_model: PropEnsemble) -> None:
    """Where the raw cdf is u, the calibrated one is the table at u."""
    model = calibrated_by(small_model, (0.0, 0.4, 1.0))
    assert model.calibrate(KILLS, np.full((1, 4), 0.25))[0] == pytest.approx([0.2, 0.2, 0.3, 0.3])


@pytest.mark.parametrize("map_range", RANGES)
@pytest.mark.parametrize("knots", [2, 101])
def test_one_forecast_and_many_agree_to_the_bit(small_model: PropEnsemble, map_range: MapRange, knots: int) -> None:
    """A player's distribution, raw and calibrated, is the same alone and among hundreds, as serving and scoring ask."""
    rng = np.random.default_rng(4)
    model = calibrated_by(small_model, tuple((np.linspace(0, 1, knots) ** 1.3).tolist()))
    means, position = rng.uniform(0.05, 15.0, (300, len(map_range.maps))), rng.integers(0, 5, 300)
    together = model.forecasts(KILLS, means, position, map_range)
    for one, of_player, at in zip(together, means, position, strict=True):
        alone = model.forecast(KILLS, of_player, int(at), map_range)
        assert alone.base.pmf.tobytes() == one.base.pmf.tobytes()
        assert alone.calibrated.pmf.tobytes() == one.calibrated.pmf.tobytes()
    raw = np.stack([one.base.pmf for one in together])
    assert [row.tobytes() for row in model.calibrate(KILLS, raw)] == [one.calibrated.pmf.tobytes() for one in together]


def test_two_players_are_convolved(small_model: PropEnsemble) -> None:
    """The sum of two players is the convolution of both, before and after calibration; means add up."""
    one = small_model.forecast(KILLS, np.array([3.0]), 3, MapRange(1, 1))
    two = small_model.forecast(KILLS, np.array([0.6]), 4, MapRange(1, 1))
    both = sum_of([one, two])
    for name in ("base", "calibrated"):
        parts, total = (getattr(one, name), getattr(two, name)), getattr(both, name)
        assert total.pmf.tolist() == np.convolve(parts[0].pmf, parts[1].pmf).tolist()
        assert total.mean == pytest.approx(parts[0].mean + parts[1].mean)
    assert sum_of([one]) is one
