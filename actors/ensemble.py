"""The model as a plain class: features in, the predictive distribution of a count out.

Whether a map is won decides most of a player's count. So every member expects a count for a lost and for a won map; the
chance to win mixes the two. One distribution answers every line, so single, batch and curve agree, and a curve is
monotone by construction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from actors.compiled_trees import CompiledTrees
from actors.count_members import DRAFT_WIDTH, STRUCTURAL, CountMembers, Trees
from actors.count_sums import Cells, Correlations, calibrated, sum_pmf
from actors.forecast_kernel import Parameters, Range, forecast_series, ready_to_read
from actors.series_results import SeriesParameters, is_sure, ways_of
from stores.domain.distribution import CountDistribution
from stores.domain.props import PropType
from stores.errors import InvalidError
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES, POSITIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from actors.forecast_kernel import Evidence
    from stores.domain.props import MapRange

COUNTS_PER_MAP = 56  # the highest count ever seen on one map is 35; the tail above is below 1e-9
MODEL_FILE = "model.json"
TREES = "trees"  # the field of model.json that says how long each file of trees is
FORMAT = 3


@dataclass(frozen=True, slots=True)
class Spread:
    """What turns means into distributions.

    ``sizes`` are the negative binomial sizes by result (lost, won) and position. ``calibration`` are the calibrated cdf
    values of one player's map at evenly spaced raw cdf values from 0 to 1, ``calibration_of_sums`` those of sums.
    """

    sizes: tuple[tuple[float, ...], tuple[float, ...]]
    correlations: Correlations
    calibration: tuple[float, ...]
    calibration_of_sums: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PropParameters:
    """The parameters of one prop: ``weights`` combine the members (actors.count_members.Member).

    Who knows the champions knows more, so the spread around the mean is another one ``after`` the draft.
    """

    weights: tuple[float, ...]
    before: Spread
    after: Spread

    def spread(self, *, drafted: bool) -> Spread:
        """The one before or after the draft."""
        return self.after if drafted else self.before


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """All of a model but its trees."""

    props: dict[PropType, PropParameters]
    series: SeriesParameters


@dataclass(frozen=True, slots=True, eq=False)
class MapMeans:
    """What is expected on a map: the chance to win, of shape [n], and the count when lost and when won, [n, 2].

    ``drafted`` tells whether the champions were known.
    """

    win: NDArray[np.float64]
    counts: NDArray[np.float64]
    drafted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """The distribution before and after calibration."""

    base: CountDistribution
    calibrated: CountDistribution


@dataclass(frozen=True, slots=True, eq=False)
class _Spread:
    """A Spread as arrays: ``sizes`` of shape [positions, 2], ``tables`` of one map and of sums."""

    sizes: NDArray[np.float64]
    correlations: Correlations
    tables: tuple[NDArray[np.float64], NDArray[np.float64]]

    @classmethod
    def of(cls, spread: Spread) -> _Spread:
        tables = np.array(spread.calibration), np.array(spread.calibration_of_sums)
        return cls(np.array(spread.sizes).T.copy(), spread.correlations, tables)


class PropEnsemble:
    """Immutable once built; safe to share between threads, which compute without the interpreter's lock."""

    def __init__(self, trees: Mapping[PropType, Mapping[Trees, CompiledTrees]], parameters: ModelParameters) -> None:
        self.parameters = parameters
        self._spreads = {
            (prop, drafted): _Spread.of(of_prop.spread(drafted=drafted))
            for prop, of_prop in parameters.props.items()
            for drafted in (False, True)
        }
        self.members = {
            prop: CountMembers(prop, dict(trees[prop]), of_prop.weights) for prop, of_prop in parameters.props.items()
        }
        self._for_kernel = cache(self._prepared)

    @staticmethod
    def warm() -> None:
        """Have all machine code that an answer needs: as it was kept, or compiled for some seconds of one core."""
        forecast_series()
        ready_to_read()

    def predict(
        self, prop: PropType, evidence: Evidence, map_range: MapRange, *, drafted: bool, best_of: int | None = None
    ) -> tuple[list[Forecast], list[float]]:
        """Of each series of the evidence the distribution of its sum, and the chance that the last map of the range is
        played once the first one is: to the bit what `map_means` and `forecasts` give, at a quarter of their cost.

        Raises InvalidError if ``best_of`` has not so many maps, or a position is none.
        """
        n, players = evidence.position.shape
        base = np.zeros((n, COUNTS_PER_MAP * players * len(map_range.maps)))
        calibrated, reached = np.empty(base.shape), np.empty(n)
        span = _range(self.parameters.series.formats, map_range, best_of)
        if not _run(self._for_kernel(prop, drafted), span, evidence, base, calibrated, reached):
            raise InvalidError(f"a position is none of the {len(POSITIONS)} in POSITIONS", "position")
        forecasts = [Forecast(CountDistribution(base[at]), CountDistribution(calibrated[at])) for at in range(n)]
        return forecasts, reached.tolist()

    def _prepared(self, prop: PropType, drafted: bool) -> Parameters:
        """All that `predict` needs, checked once: machine code does not look whether shapes fit."""
        trees, spread, series = self.members[prop].trees, self._spreads[prop, drafted], self.parameters.series
        correction, direct = (trees[kind].by_result(len(MODEL_FEATURES)) for kind in (Trees.CORRECTION, Trees.DIRECT))
        draft = trees[Trees.DRAFT].whole(DRAFT_WIDTH) if Trees.DRAFT in trees else None
        calibration, calibration_of_sums = spread.tables
        return Parameters(
            correction=correction,
            direct=direct,
            draft=draft or correction,
            corrects=drafted and draft is not None,
            structural=STRUCTURAL[prop],
            weights=np.array(self.members[prop].weights),
            rating_weight=series.rating_weight,
            roster_weight=series.roster_weight,
            spread=series.spread,
            sizes=spread.sizes,
            of_maps=spread.correlations.maps,
            of_mates=spread.correlations.mates,
            of_foes=spread.correlations.foes,
            calibration=calibration,
            calibration_of_sums=calibration_of_sums,
        )

    def map_means(
        self, prop: PropType, features: NDArray[np.float32], draft: NDArray[np.float32] | None = None
    ) -> MapMeans:
        """What is expected on each map: ``features`` are MODEL_FEATURES, ``draft`` CHAMPION_FEATURES if champions are
        known, both of shape [n, ...].
        """
        counts = self.members[prop].means(features, draft)
        return MapMeans(self.parameters.series.win_probability(features), counts, drafted=draft is not None)

    def sum_pmf(  # noqa: PLR0913 — who, where, when and how far
        self,
        prop: PropType,
        means: MapMeans,
        position: NDArray[np.int64],
        map_range: MapRange,
        *,
        same_side: NDArray[np.bool_] | None = None,
        best_of: int | None = None,
    ) -> NDArray[np.float64]:
        """Uncalibrated probabilities of the sum of players over the played maps of a range, of shape [n, counts].

        ``position`` has the shape [n, players]; the rows of ``means`` lie by question, player and map of the range.
        ``same_side`` of shape [players] tells who plays for the first player's team; all do when it is left out.
        Raises InvalidError if ``best_of`` has not so many maps.
        """
        shape = (*position.shape, len(map_range.maps))
        sides = np.ones(shape[1], dtype=np.bool_) if same_side is None else same_side
        spread = self._spreads[prop, means.drafted]
        cells = Cells(means.counts.reshape(*shape, 2), spread.sizes[position], sides)
        win = means.win.reshape(shape)[:, 0]
        courses, chances = self.parameters.series.result_chances(win, map_range, best_of)
        return sum_pmf(cells, courses, chances, spread.correlations, COUNTS_PER_MAP * shape[1] * shape[2])

    def forecasts(  # noqa: PLR0913 — as sum_pmf
        self,
        prop: PropType,
        means: MapMeans,
        position: NDArray[np.int64],
        map_range: MapRange,
        *,
        same_side: NDArray[np.bool_] | None = None,
        best_of: int | None = None,
    ) -> list[Forecast]:
        """The distributions of n questions, each to the bit what it is when asked alone; arguments as in `sum_pmf`."""
        pmf = self.sum_pmf(prop, means, position, map_range, same_side=same_side, best_of=best_of)
        calibrated = self.calibrate(prop, pmf, drafted=means.drafted)
        pairs = zip(map(CountDistribution, pmf), map(CountDistribution, calibrated), strict=True)
        return [Forecast(base, true) for base, true in pairs]

    def calibrated_pmf(
        self, prop: PropType, means: MapMeans, position: NDArray[np.int64], map_range: MapRange
    ) -> NDArray[np.float64]:
        """As `sum_pmf` of players of one team in a series of unknown format, calibrated."""
        return self.calibrate(prop, self.sum_pmf(prop, means, position, map_range), drafted=means.drafted)

    def calibrate(self, prop: PropType, pmf: NDArray[np.float64], *, drafted: bool) -> NDArray[np.float64]:
        """The same counts with the cdf that outcomes showed to be true; both of shape [n, counts].

        A pmf of more counts than one map has is that of a sum.
        """
        return calibrated(pmf, self._spreads[prop, drafted].tables[pmf.shape[1] != COUNTS_PER_MAP])

    def to_files(self) -> dict[str, bytes]:
        """The artefact: trees as UBJSON, all else as JSON."""
        files = {
            _file(prop, kind): trees.ubjson
            for prop, members in self.members.items()
            for kind, trees in members.trees.items()
        }
        description = {
            "format": FORMAT,
            "feature_version": FEATURE_VERSION,
            "features": MODEL_FEATURES,
            "props": {str(prop): asdict(of_prop) for prop, of_prop in self.parameters.props.items()},
            "series": asdict(self.parameters.series),
            TREES: {name: len(content) for name, content in files.items()},
        }
        return {**files, MODEL_FILE: orjson.dumps(description, option=orjson.OPT_INDENT_2)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> PropEnsemble:
        """Read an artefact.

        Raises InvalidError if it was made for other features than this code computes, or a file of trees is not whole.
        """
        description: dict[str, Any] = orjson.loads(files[MODEL_FILE])
        if description["format"] != FORMAT or description["feature_version"] != FEATURE_VERSION:
            raise InvalidError(
                f"the model was trained on features {description['feature_version']} (format {description['format']}), "
                f"this code computes {FEATURE_VERSION} (format {FORMAT}); train again with `riftline train`"
            )
        props = {PropType(name): _prop(of_prop) for name, of_prop in description["props"].items()}
        series = description["series"]
        parameters = ModelParameters(props, SeriesParameters(**series | {"formats": tuple(series["formats"])}))
        for name, length in description[TREES].items():
            if len(files.get(name, b"")) != length:  # cut trees can end the process that reads them
                raise InvalidError(f"{name} of the model is missing or cut; train again with `riftline train`", TREES)
        trees = {
            prop: {
                kind: CompiledTrees.of_ubjson(files[name])
                for kind in Trees
                if (name := _file(prop, kind)) in description[TREES]
            }
            for prop in props
        }
        return cls(trees, parameters)


_machine_code = cache(forecast_series.unchecked)


def _run(*arguments: Any) -> bool:
    """All that `PropEnsemble.predict` has worked out but the forecast itself."""
    return _machine_code()(*arguments)


@lru_cache(maxsize=256)
def _range(formats: tuple[float, ...], map_range: MapRange, best_of: int | None) -> Range:
    courses, ways = ways_of(formats, map_range, best_of)
    return Range(map_range.first, len(map_range.maps), is_sure(map_range), courses.played, courses.won, *ways)


def sum_of(forecasts: Sequence[Forecast]) -> Forecast:
    """The sum over players of different matches, which are independent."""
    total = forecasts[0]
    for one in forecasts[1:]:
        total = Forecast(total.base.plus(one.base), total.calibrated.plus(one.calibrated))
    return total


def _file(prop: PropType, kind: Trees) -> str:
    return f"{prop}.{kind}.ubj"


def _prop(values: Mapping[str, Any]) -> PropParameters:
    return PropParameters(tuple(values["weights"]), _spread(values["before"]), _spread(values["after"]))


def _spread(values: Mapping[str, Any]) -> Spread:
    lost, won = (tuple(sizes) for sizes in values["sizes"])
    return Spread(
        (lost, won),
        Correlations(**values["correlations"]),
        tuple(values["calibration"]),
        tuple(values["calibration_of_sums"]),
    )
