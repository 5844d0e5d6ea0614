"""The peers: how their maps are summed, that they learn what is there to learn, and what is said where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from stores.domain.props import PropType
from stores.errors import InvalidError, RiftlineError
from stores.features.schema import MODEL_FEATURES
from training.evaluation import peers
from training.evaluation.peer_rows import PeerRows, peer_rows
from training.evaluation.peers import fit_peers, independent_maps, require_peers
from training.evaluation.poisson_trees import poisson_pmf, poisson_trees
from training.evaluation.questions import Question
from training.fitting import VALIDATION_SHARE
from training.subsets import MAPS_1_2, ONE_MAP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from training.dataset import TrainingSet

SERIES, MAPS = 400, 4
START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """One player's series of four maps; the mean is the exponential of the first feature, the second has gaps."""
    rng = np.random.default_rng(30)
    series, game = (axis.ravel() for axis in np.meshgrid(range(SERIES), range(MAPS), indexing="ij"))
    features = rng.uniform(0.0, 1.0, size=(SERIES * MAPS, len(MODEL_FEATURES))).astype(np.float32)
    kills = stats.nbinom.rvs(5.0, 5.0 / (5.0 + np.exp(2.0 * features[:, 0])), random_state=rng)
    features[::3, 1] = np.nan
    opened = START + series * 24 * HOUR
    return make_rows(
        ["p"] * len(series),
        opened + game * HOUR,
        series_started_at=opened,
        series_id=series.astype(str).astype(object),
        game_number=game + 1,
        kills=kills,
        features=features,
    )


@pytest.fixture(scope="module")
def split(rows: TrainingSet) -> PeerRows:
    """The last hundred series are asked, those before are known."""
    asked = rows.series_started_at >= START + 300 * 24 * HOUR
    return peer_rows(rows, ~asked, asked)


def question_of(rows: TrainingSet, prop: PropType, *parts: NDArray[np.int64]) -> Question:
    """The sum of the rows of all parts."""
    actual = np.column_stack([rows.counts[prop][part] for part in parts]).sum(axis=1)
    maps = ONE_MAP if len(parts) == 1 else MAPS_1_2
    head = parts[0]
    return Question(
        prop,
        maps,
        parts,
        actual,
        np.full(len(head), 2.5),
        rows.position[head],
        rows.series_id[head],
        rows.position[head],
    )


def test_peers_learn_from_the_rows_before_and_choose_on_the_newest(rows: TrainingSet, split: PeerRows) -> None:
    """No asked row is learnt from, the newest known series are those to choose on, and every asked row is found."""
    assert split.fit.series_started_at.max() < split.validation.series_started_at.min()
    assert split.validation.series_started_at.max() < split.asked.series_started_at.min()
    assert len(split.validation) / (len(split.fit) + len(split.validation)) == pytest.approx(VALIDATION_SHARE, abs=0.01)
    asked = np.flatnonzero(rows.series_started_at >= START + 300 * 24 * HOUR)
    assert (split.asked.features[split.asked_at[asked], 0] == rows.features[asked, 0]).all()


def test_maps_are_summed_as_independent(rows: TrainingSet) -> None:
    """Each sum is the convolution of its two distributions, found through the row of the training set."""
    rng = np.random.default_rng(31)
    pmf = rng.dirichlet(np.ones(56), size=6)
    row_at = np.zeros(len(rows), dtype=np.int64)
    row_at[[10, 20, 11, 21]] = [3, 5, 1, 0]
    method = independent_maps(pmf, row_at)
    sums = method(question_of(rows, PropType.KILLS, np.array([10, 20]), np.array([11, 21])))
    assert sums.shape == (2, 112)
    assert sums[0, :111] == pytest.approx(np.convolve(pmf[3], pmf[1]), abs=1e-12)
    assert sums[1, :111] == pytest.approx(np.convolve(pmf[5], pmf[0]), abs=1e-12)
    assert (sums >= 0).all()
    assert method(question_of(rows, PropType.KILLS, np.array([10]))) == pytest.approx(pmf[[3]])


def test_a_poisson_keeps_its_tail_in_the_last_count() -> None:
    """Below the last count the probabilities are scipy's, and each row sums to 1."""
    found = poisson_pmf(np.array([0.5, 4.0]), 6)
    assert found[1, :5] == pytest.approx([stats.poisson.pmf(k, 4.0) for k in range(5)])
    assert found[1, 5] == pytest.approx(stats.poisson.sf(4, 4.0))
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_poisson_trees_find_the_mean(rows: TrainingSet, split: PeerRows) -> None:
    """On rows never seen they follow the feature that matters; a sum has the mean of both maps."""
    asked = np.flatnonzero(rows.series_started_at >= START + 300 * 24 * HOUR)
    first, second = (asked[rows.game_number[asked] == game] for game in (1, 2))
    method = poisson_trees(split, PropType.KILLS)
    one, other, both = (
        method(question_of(rows, PropType.KILLS, *parts)) for parts in ((first,), (second,), (first, second))
    )
    means = one @ np.arange(56)
    assert np.corrcoef(means, np.exp(2.0 * rows.features[first, 0]))[0, 1] > 0.8
    assert both @ np.arange(112) == pytest.approx(means + other @ np.arange(56))


def test_missing_peers_are_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without their environment the error says how to make it."""
    monkeypatch.setattr(peers, "PEER_PYTHON", tmp_path / "python")
    with pytest.raises(InvalidError, match="make peers"):
        require_peers()


def test_a_peer_that_fails_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, split: PeerRows) -> None:
    """Its last words are in the error: nothing is scored as if it had answered."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'out of memory' >&2\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(peers, "PEER_PYTHON", broken)
    with pytest.raises(RiftlineError, match="out of memory"):
        fit_peers(split)
