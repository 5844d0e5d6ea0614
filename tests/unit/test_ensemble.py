"""The ensemble: from features to the distribution of a sum over maps and players."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.count_members import CountMembers, Trees
from actors.ensemble import COUNTS_PER_MAP, MODEL_FILE, MapMeans, ModelParameters, PropEnsemble, sum_of
from stores.domain import negative_binomial
from stores.domain.props import MAX_MAP, MapRange, PropType
from stores.errors import InvalidError
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from actors.compiled_trees import CompiledTrees
    from actors.ensemble import Forecast

RANGES = [MapRange(first, last) for first, last in combinations_with_replacement(range(1, MAX_MAP + 1), 2)]
KILLS = PropType.KILLS
# priors stand in where a mean by result or a rating is unknown
ALWAYS_KNOWN = [name.endswith(("_when_lost", "_when_won", "_difference")) for name in MODEL_FEATURES]


def some_features(rows: int) -> NDArray[np.float32]:
    """Rows of features, one number in ten missing where one can be."""
    rng = np.random.default_rng(9)
    features = rng.uniform(0.0, 20.0, size=(rows, len(MODEL_FEATURES))).astype(np.float32)
    missing = rng.random(features.shape) < 0.1
    missing[:, ALWAYS_KNOWN] = False
    features[missing] = np.nan
    return features


def some_draft(rows: int) -> NDArray[np.float32]:
    """Champions, of every other row unknown."""
    draft = np.random.default_rng(10).uniform(0.5, 1.5, size=(rows, len(CHAMPION_FEATURES))).astype(np.float32)
    draft[::2] = np.nan
    return draft


def of_maps(win: list[float], lost: list[float], won: list[float]) -> MapMeans:
    """Means of one player's maps."""
    return MapMeans(np.array(win), np.column_stack([lost, won]))


def alone(model: PropEnsemble, means: MapMeans, position: list[int], maps: MapRange, **more: Any) -> Forecast:
    """The forecast of one question about kills."""
    (forecast,) = model.forecasts(KILLS, means, np.array([position]), maps, **more)
    return forecast


def calibrated_by(model: PropEnsemble, table: tuple[float, ...]) -> PropEnsemble:
    """The model without its trees, with another calibration of everything."""
    given = model.parameters.props[KILLS]
    spread = replace(given.before, calibration=table, calibration_of_sums=table)
    of_prop = replace(given, before=spread, after=spread)
    return PropEnsemble({KILLS: {}}, ModelParameters({KILLS: of_prop}, model.parameters.series))


def test_an_artefact_says_the_same_to_the_bit(small_model: PropEnsemble) -> None:
    """Saved and loaded, the trees give the same bits and the parameters are equal; saved again, so are the files."""
    files = small_model.to_files()
    assert set(files) == {MODEL_FILE, *(f"{prop}.{kind}.ubj" for prop in PropType for kind in Trees)}
    loaded = PropEnsemble.from_files(files)
    assert loaded.parameters == small_model.parameters
    features, draft = some_features(50), some_draft(50)
    for prop in PropType:
        before, after = (model.map_means(prop, features, draft) for model in (small_model, loaded))
        assert after.win.tobytes() == before.win.tobytes()
        assert after.counts.tobytes() == before.counts.tobytes()
    assert loaded.to_files() == files


def test_an_artefact_without_a_draft_is_whole(small_model: PropEnsemble) -> None:
    """A training with too few known champions has no trees for them; such a model answers as without a draft."""
    trees: dict[PropType, dict[Trees, CompiledTrees]] = {
        prop: {kind: one for kind, one in members.trees.items() if kind is not Trees.DRAFT}
        for prop, members in small_model.members.items()
    }
    loaded = PropEnsemble.from_files(PropEnsemble(trees, small_model.parameters).to_files())
    features = some_features(20)
    said = loaded.map_means(KILLS, features, some_draft(20)).counts
    assert said.tobytes() == small_model.map_means(KILLS, features).counts.tobytes()


def test_one_row_and_many_rows_agree_to_the_bit(small_model: PropEnsemble) -> None:
    """A single question and a batch see the same chances and means."""
    features, draft = some_features(30), some_draft(30)
    together = small_model.map_means(KILLS, features, draft)
    for row in range(30):
        one = small_model.map_means(KILLS, features[row : row + 1], draft[row : row + 1])
        assert one.win.tobytes() == together.win[row].tobytes()
        assert one.counts.tobytes() == together.counts[row].tobytes()


def test_the_means_are_those_of_series_and_members(small_model: PropEnsemble) -> None:
    """The chance to win comes from the ratings alone, the counts from the members with the fitted weights."""
    features = some_features(20)
    for prop in PropType:
        said = small_model.map_means(prop, features)
        assert said.win.tolist() == small_model.parameters.series.win_probability(features).tolist()
        weights = small_model.parameters.props[prop].weights
        members = CountMembers(prop, small_model.members[prop].trees, weights)
        assert said.counts.tolist() == members.means(features).tolist()


@pytest.mark.parametrize(("field", "value"), [("feature_version", "f0-other"), ("format", 99)])
def test_a_model_of_other_features_is_refused(small_model: PropEnsemble, field: str, value: object) -> None:
    """An artefact that was made for other features or in another format is not served."""
    files = small_model.to_files()
    files[MODEL_FILE] = orjson.dumps(orjson.loads(files[MODEL_FILE]) | {field: value})
    with pytest.raises(InvalidError, match="train again"):
        PropEnsemble.from_files(files)


@pytest.mark.parametrize("position", range(5))
def test_one_map_mixes_its_results(small_model: PropEnsemble, position: int) -> None:
    """The forecast of one map: negative binomials of the role's size in each result, by the chance to win."""
    sizes = np.array(small_model.parameters.props[KILLS].before.sizes)[:, position]
    lost, won = negative_binomial.pmf(np.array([2.0, 4.4]), sizes, COUNTS_PER_MAP)
    forecast = alone(small_model, of_maps([0.6], [2.0], [4.4]), [position], MapRange(2, 2))
    assert forecast.base.pmf == pytest.approx(0.4 * lost + 0.6 * won, abs=1e-15)
    assert forecast.base.mean == pytest.approx(0.4 * 2.0 + 0.6 * 4.4)


def test_an_unsure_map_is_mixed_in(small_model: PropEnsemble) -> None:
    """Over maps 1 to 3 the expected count is that of two maps and of the third as often as it is played."""
    means = of_maps([0.5] * 3, [3.0, 2.0, 4.0], [3.0, 2.0, 4.0])
    model = PropEnsemble(
        {KILLS: {}},
        ModelParameters(
            {KILLS: small_model.parameters.props[KILLS]}, replace(small_model.parameters.series, spread=0.0)
        ),
    )
    of_three = alone(model, means, [0], MapRange(1, 3), best_of=3)
    assert of_three.base.mean == pytest.approx(5.0 + 0.5 * 4.0)
    assert len(of_three.base.pmf) == 3 * COUNTS_PER_MAP
    assert of_three.base.pmf.sum() == pytest.approx(1.0)
    unknown = alone(model, means, [0], MapRange(1, 3))  # two thirds of series with two maps are best of three
    assert unknown.base.mean == pytest.approx(5.0 + 4.0 * (0.5 * 2 / 3 + 1.0 / 3))


def test_opponents_share_no_luck(small_model: PropEnsemble) -> None:
    """Two who win together vary more in sum than two of whom one must lose."""
    means = of_maps([0.5, 0.5], [2.0, 2.0], [6.0, 6.0])
    mates, foes = (
        alone(small_model, means, [1, 1], MapRange(1, 1), same_side=np.array([True, side])).base
        for side in (True, False)
    )
    assert mates.mean == pytest.approx(foes.mean)
    counts = np.arange(len(mates.pmf))
    # means of 2 and 6 together deviate by 4 from their mean of 8, apart by nothing
    assert (mates.pmf - foes.pmf) @ (counts - 8.0) ** 2 > 16.0
    assert alone(small_model, means, [1, 1], MapRange(1, 1)).base.pmf.tolist() == mates.pmf.tolist()


def test_a_format_without_the_map_is_refused(small_model: PropEnsemble) -> None:
    """A best of one has no second map."""
    with pytest.raises(InvalidError, match="best of 1"):
        alone(small_model, of_maps([0.5] * 2, [1.0] * 2, [2.0] * 2), [0], MapRange(1, 2), best_of=1)


def test_the_identity_changes_nothing(small_model: PropEnsemble) -> None:
    """A calibration table that is the diagonal gives the distribution back."""
    model = calibrated_by(small_model, tuple(np.linspace(0, 1, 101).tolist()))
    forecast = alone(model, of_maps([0.4, 0.4], [3.0, 3.5], [4.0, 5.0]), [3], MapRange(1, 2))
    assert forecast.calibrated.pmf == pytest.approx(forecast.base.pmf, abs=1e-12)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=30), st.floats(0.05, 30.0))
def test_a_calibrated_cdf_always_rises(small_model: PropEnsemble, table: list[float], mean: float) -> None:
    """Whatever the table, the calibrated cdf is a cdf: it rises, ends at 1, and no probability is negative."""
    model = calibrated_by(small_model, tuple(table))
    calibrated = alone(model, of_maps([0.5], [mean], [1.5 * mean]), [0], MapRange(1, 1)).calibrated
    assert calibrated.pmf.min() >= 0
    assert calibrated.pmf.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("drafted", [True, False])
@pytest.mark.parametrize("maps", [1, 2])
def test_the_calibration_is_the_one_of_the_table(small_model: PropEnsemble, maps: int, drafted: bool) -> None:
    """Where the raw cdf is u, the calibrated one is at u the table of one map or of sums, before or after the draft."""
    tables = iter([(0.0, 0.4, 1.0), (0.0, 0.6, 1.0), (0.0, 0.3, 1.0), (0.0, 0.7, 1.0)])
    given = small_model.parameters.props[KILLS]
    before, after = (
        replace(given.before, calibration=next(tables), calibration_of_sums=next(tables)) for _ in range(2)
    )
    of_prop = replace(given, before=before, after=after)
    model = PropEnsemble({KILLS: {}}, ModelParameters({KILLS: of_prop}, small_model.parameters.series))
    half = {(1, False): 0.4, (2, False): 0.6, (1, True): 0.3, (2, True): 0.7}[maps, drafted]
    counts = COUNTS_PER_MAP * maps
    found = model.calibrate(KILLS, np.full((1, counts), 1.0 / counts), drafted=drafted)
    assert np.cumsum(found)[counts // 2 - 1] == pytest.approx(half)
    assert np.cumsum(found)[counts // 4 - 1] == pytest.approx(half / 2)


def test_known_champions_have_a_spread_of_their_own(small_model: PropEnsemble) -> None:
    """After the draft the counts of a result vary by the sizes of after the draft."""
    sizes = np.array(small_model.parameters.props[KILLS].after.sizes)[:, 1]
    lost, won = negative_binomial.pmf(np.array([2.0, 4.4]), sizes, COUNTS_PER_MAP)
    means = replace(of_maps([0.6], [2.0], [4.4]), drafted=True)
    forecast = alone(small_model, means, [1], MapRange(1, 1))
    assert forecast.base.pmf == pytest.approx(0.4 * lost + 0.6 * won, abs=1e-15)


@settings(max_examples=40)
@given(
    map_range=st.sampled_from(RANGES),
    players=st.sampled_from([1, 2, 5, 9, 10]),
    knots=st.sampled_from([2, 101]),
    seed=st.integers(0, 2**32 - 1),
)
def test_one_forecast_and_many_agree_to_the_bit(
    small_model: PropEnsemble, map_range: MapRange, players: int, knots: int, seed: int
) -> None:
    """A question's distribution, raw and calibrated, is the same alone and among others, as serving and scoring ask."""
    rng = np.random.default_rng(seed)
    model = calibrated_by(small_model, tuple((np.linspace(0, 1, knots) ** 1.3).tolist()))
    rows, cells = 7, players * len(map_range.maps)
    win, counts = rng.uniform(0.1, 0.9, rows * cells), rng.uniform(0.05, 15.0, (rows * cells, 2))
    position = rng.integers(0, 5, (rows, players))
    sides = np.concatenate([[True], rng.random(players - 1) < 0.5])
    told: dict[str, Any] = {"same_side": sides, "best_of": None if rng.random() < 0.5 else 5}
    together = model.forecasts(KILLS, MapMeans(win, counts), position, map_range, **told)
    for row, one in enumerate(together):
        own = slice(row * cells, (row + 1) * cells)
        of_one = alone(model, MapMeans(win[own], counts[own]), position[row].tolist(), map_range, **told)
        assert of_one.base.pmf.tobytes() == one.base.pmf.tobytes()
        assert of_one.calibrated.pmf.tobytes() == one.calibrated.pmf.tobytes()


def test_two_series_are_convolved(small_model: PropEnsemble) -> None:
    """The sum of two players is the convolution of both, before and after calibration; means add up."""
    one = alone(small_model, of_maps([0.7], [2.0], [3.0]), [3], MapRange(1, 1))
    two = alone(small_model, of_maps([0.2], [0.4], [0.6]), [4], MapRange(1, 1))
    both = sum_of([one, two])
    for name in ("base", "calibrated"):
        parts, total = (getattr(one, name), getattr(two, name)), getattr(both, name)
        assert total.pmf.tolist() == np.convolve(parts[0].pmf, parts[1].pmf).tolist()
        assert total.mean == pytest.approx(parts[0].mean + parts[1].mean)
    assert sum_of([one]) is one
