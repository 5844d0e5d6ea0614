"""The model as a plain class: features in, the predictive distribution of a count out.

One distribution answers every line, so single, batch and curve agree, and a curve is monotone by construction.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import xgboost as xgb

from stores.domain import negative_binomial
from stores.domain.distribution import CountDistribution
from stores.domain.props import MAX_MAP, MapRange, PropType
from stores.errors import InvalidError
from stores.features.schema import FEATURE_VERSION, MODEL_FEATURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

COUNTS_PER_MAP = 56  # the highest count ever seen on one map is 35; the tail above is below 1e-9
SURE_MAPS = 2  # a series that is asked for has at least two maps; later ones are played with some probability
MODEL_FILE = "model.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class PropParameters:
    """What turns means into distributions for one prop.

    ``sizes`` are the negative binomial sizes by position. ``sum_exponent`` says how the size of a sum over n maps grows
    (size · n^exponent: 1 is independence, 0 one shared factor). ``calibration`` are the calibrated cdf values at evenly
    spaced raw cdf values from 0 to 1.
    """

    sizes: tuple[float, ...]
    sum_exponent: float
    calibration: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelParameters:
    """All of a model but its trees. ``map_continuation[m - 1]`` is the chance that map m is followed by map m + 1."""

    props: dict[PropType, PropParameters]
    map_continuation: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """The distribution before and after calibration."""

    base: CountDistribution
    calibrated: CountDistribution


class PropEnsemble:
    """Immutable once built; safe to share between threads."""

    def __init__(self, boosters: Mapping[PropType, xgb.Booster], parameters: ModelParameters) -> None:
        self._boosters = dict(boosters)
        self.parameters = parameters
        self._knots = {
            prop: np.linspace(0.0, 1.0, len(of_prop.calibration)) for prop, of_prop in parameters.props.items()
        }

    def means(self, prop: PropType, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The expected count per map, of shape [n], for MODEL_FEATURES of shape [n, features]."""
        return np.asarray(self._boosters[prop].inplace_predict(features), dtype=np.float64)

    def forecast(self, prop: PropType, means: NDArray[np.float64], position: int, map_range: MapRange) -> Forecast:
        """The distribution of one player's sum over a map range; ``means`` holds one value per map of the range."""
        return self.forecasts(prop, means[None, :], np.array([position]), map_range)[0]

    def forecasts(
        self, prop: PropType, means: NDArray[np.float64], position: NDArray[np.int64], map_range: MapRange
    ) -> list[Forecast]:
        """As forecast, to the bit, for n players at once: means of shape [n, maps], positions of shape [n]."""
        pmf = np.zeros((len(means), COUNTS_PER_MAP * len(map_range.maps)))
        for maps, probability in self.maps_played(map_range):
            pmf += probability * self.sum_pmf(prop, means[:, :maps], position, pmf.shape[1])
        calibrated = self.calibrate(prop, pmf)
        pairs = zip(map(CountDistribution, pmf), map(CountDistribution, calibrated), strict=True)
        return [Forecast(base, true) for base, true in pairs]

    def calibrate(self, prop: PropType, pmf: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same counts with the cdf that outcomes showed to be true; both of shape [n, counts]."""
        table = self.parameters.props[prop].calibration
        cdf = np.clip(np.interp(np.cumsum(pmf, axis=1), self._knots[prop], table), 0.0, 1.0)
        cdf[:, -1] = 1.0  # what lies above the end belongs to the last count
        return np.diff(np.maximum.accumulate(cdf, axis=1), prepend=0.0, axis=1)

    def sum_pmf(
        self, prop: PropType, means: NDArray[np.float64], position: NDArray[np.int64], counts: int
    ) -> NDArray[np.float64]:
        """Uncalibrated probabilities of sums over maps, of shape [n, counts], from means of shape [n, maps]."""
        of_prop = self.parameters.props[prop]
        sizes = np.asarray(of_prop.sizes)[position] * means.shape[1] ** of_prop.sum_exponent
        return negative_binomial.pmf(means.sum(axis=1), sizes, counts)

    def maps_played(self, map_range: MapRange) -> list[tuple[int, float]]:
        """How many maps of the range are played, and with which probability."""
        sure = max(min(map_range.last, SURE_MAPS) - map_range.first + 1, 1)
        chances = []
        reached = 1.0
        for maps in range(sure, len(map_range.maps)):
            goes_on = self.parameters.map_continuation[map_range.first + maps - 2]
            chances.append((maps, reached * (1.0 - goes_on)))
            reached *= goes_on
        return [*chances, (len(map_range.maps), reached)]

    def to_files(self) -> dict[str, bytes]:
        """The artefact: trees as UBJSON, all else as JSON."""
        description = {
            "format": FORMAT,
            "feature_version": FEATURE_VERSION,
            "features": MODEL_FEATURES,
            "props": {str(prop): asdict(of_prop) for prop, of_prop in self.parameters.props.items()},
            "map_continuation": self.parameters.map_continuation,
        }
        files = {f"{prop}.ubj": bytes(booster.save_raw("ubj")) for prop, booster in self._boosters.items()}
        return {**files, MODEL_FILE: orjson.dumps(description, option=orjson.OPT_INDENT_2)}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> PropEnsemble:
        """Read an artefact. Raises InvalidError if it was made for other features than this code computes."""
        description: dict[str, Any] = orjson.loads(files[MODEL_FILE])
        if description["format"] != FORMAT or description["feature_version"] != FEATURE_VERSION:
            raise InvalidError(
                f"the model was trained on features {description['feature_version']} (format {description['format']}), "
                f"this code computes {FEATURE_VERSION} (format {FORMAT}); train again with `riftline train`"
            )
        parameters = ModelParameters(
            props={PropType(name): _prop(of_prop) for name, of_prop in description["props"].items()},
            map_continuation=tuple(description["map_continuation"]),
        )
        return cls({prop: _booster(files[f"{prop}.ubj"]) for prop in parameters.props}, parameters)


def sum_of(forecasts: Sequence[Forecast]) -> Forecast:
    """The sum over several players, taken as independent."""
    total = forecasts[0]
    for one in forecasts[1:]:
        total = Forecast(total.base.plus(one.base), total.calibrated.plus(one.calibrated))
    return total


def _prop(values: Mapping[str, Any]) -> PropParameters:
    return PropParameters(tuple(values["sizes"]), values["sum_exponent"], tuple(values["calibration"]))


def _booster(raw: bytes) -> xgb.Booster:
    booster = xgb.Booster()
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})  # one request is a few rows: a second thread costs more than it saves
    return booster


assert MAX_MAP == 5  # noqa: S101 — map_continuation has one chance for each map that can follow another
