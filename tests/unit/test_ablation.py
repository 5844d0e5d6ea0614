"""Leaving parts out: every column belongs to one family, nothing else changes, and the change is that of the scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from actors.count_members import Member
from actors.ensemble import ModelParameters, PropEnsemble
from actors.series_results import SeriesParameters
from cluster.cli import app
from cluster.evaluation_tables import show_ablation
from cluster.show import people
from stores.domain.props import PropType
from stores.features.schema import CHAMPION_FEATURES, MODEL_FEATURES
from tests.unit.conftest import structural_means
from tests.unit.holdouts import holdout, play, seen
from training.baselines import known_games
from training.evaluation.ablation import FAMILY, MEMBER, Ablated, Ablation
from training.evaluation.backtest import Evaluation
from training.evaluation.families import FAMILIES, left_out
from training.evaluation.methods import RIFTLINE, RIFTLINE_DRAFTED, ROLLING_MEAN, model_pmf
from training.evaluation.oracle import ORACLE
from training.evaluation.predictions import predictions_of
from training.evaluation.questions import questions_of
from training.evaluation.report import scores_of
from training.fitting import FittedModel
from training.prop_fit import fit_prop
from training.scores import crps, log_scores

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from training.dataset import TrainingSet
    from training.evaluation.questions import Question

START = np.datetime64("2026-01-01", "us")
HOUR = np.timedelta64(1, "h")
SERIES, PLAYERS = 60, 4
EVEN = SeriesParameters(rating_weight=0.0, roster_weight=0.0, spread=0.0, formats=(0.2, 0.5, 0.3))


@pytest.fixture(scope="module")
def rows(make_rows: Callable[..., TrainingSet]) -> TrainingSet:
    """Sixty series of two maps between four players, with features that the trees can read."""
    rng = np.random.default_rng(22)
    axes = np.meshgrid(range(SERIES), range(2), range(PLAYERS), indexing="ij")
    series, game, player = (axis.ravel() for axis in axes)
    opened = START + series * 24 * HOUR
    return make_rows(
        [f"p{one}" for one in player],
        opened + game * HOUR,
        series_started_at=opened,
        series_id=series.astype(str).astype(object),
        match_id=np.char.add(np.char.add(series.astype(str), "-"), game.astype(str)).astype(object),
        game_number=game + 1,
        kills=rng.poisson(3.0 + player),
        won=player % 2 == 0,
        position=player % 5,
        features=rng.uniform(0.0, 20.0, size=(len(series), len(MODEL_FEATURES))).astype(np.float32),
        draft=rng.uniform(0.5, 1.5, size=(len(series), len(CHAMPION_FEATURES))).astype(np.float32),
    )


@pytest.fixture(scope="module")
def known(rows: TrainingSet) -> NDArray[np.bool_]:
    """The older forty series."""
    return np.asarray(rows.series_started_at < START + 40 * 24 * HOUR)


@pytest.fixture(scope="module")
def questions(rows: TrainingSet, known: NDArray[np.bool_]) -> list[Question]:
    """Both questions of both props on the newer series."""
    means, games = np.full(len(rows), 3.0), known_games(rows)
    return [one for prop in PropType for one in questions_of(rows, prop, ~known, means, games)]


class Refit:
    """Says what the small model says with the named members weighing nothing, and remembers what it was fitted on."""

    def __init__(self, model: PropEnsemble) -> None:
        self.model = model
        self.asked: list[tuple[TrainingSet, frozenset[Member]]] = []

    def __call__(self, rows: TrainingSet, without: frozenset[Member]) -> PropEnsemble:
        self.asked.append((rows, without))
        props = {
            prop: replace(
                found,
                weights=tuple(
                    0.0 if member in without else weight for member, weight in zip(Member, found.weights, strict=True)
                ),
            )
            for prop, found in self.model.parameters.props.items()
        }
        trees = {prop: self.model.members[prop].trees for prop in props}
        return PropEnsemble(trees, ModelParameters(props, self.model.parameters.series))


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What was said while parts were left out."""
    return []


@pytest.fixture(scope="module")
def refit(small_model: PropEnsemble) -> Refit:
    """Instead of minutes of training."""
    return Refit(small_model)


@pytest.fixture(scope="module")
def found(  # noqa: PLR0917 — fixtures
    rows: TrainingSet,
    known: NDArray[np.bool_],
    questions: list[Question],
    refit: Refit,
    said: list[str],
    small_model: PropEnsemble,
) -> tuple[Ablated, ...]:
    """All parts of the small model, left out in turn."""
    return Ablation(rows, known, questions, refit, said.append).run(small_model)


def test_every_feature_is_in_one_family() -> None:
    """Together the families are the model's row, so that no column is left out twice or never."""
    assert sorted(name for family in FAMILIES.values() for name in family) == sorted(MODEL_FEATURES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_left_out_tells_nothing(
    rows: TrainingSet, known: NDArray[np.bool_], small_model: PropEnsemble, family: str
) -> None:
    """Its columns are constant within a role, all others are as they were, and the model still answers."""
    without = left_out(rows, family, known)
    columns = [MODEL_FEATURES.index(name) for name in FAMILIES[family]]
    others = np.setdiff1d(np.arange(len(MODEL_FEATURES)), columns)
    assert (without.features[:, others] == rows.features[:, others]).all()
    for at in range(PLAYERS):
        of_role = without.features[rows.position == at][:, columns]
        assert np.array_equal(of_role, np.broadcast_to(of_role[0], of_role.shape), equal_nan=True)
    for prop in PropType:
        means = small_model.map_means(prop, without.features, without.draft)
        assert np.isfinite(means.counts).all()
        assert np.isfinite(means.win).all()


def test_the_mean_of_the_role_stands_in_for_members_without_trees(rows: TrainingSet, known: NDArray[np.bool_]) -> None:
    """It is learnt from the known rows alone; without ratings every meeting is even."""
    own, shared = structural_means(PropType.KILLS, rows.features)
    blank, untouched = structural_means(PropType.KILLS, left_out(rows, "own means by result", known).features)
    here = rows.position == 1
    assert blank[here] == pytest.approx(np.broadcast_to(own[here & known].mean(axis=0), (here.sum(), 2)), rel=1e-5)
    assert (untouched == shared).all()
    even = left_out(rows, "ratings", known).features[:, MODEL_FEATURES.index("rating_difference")]
    assert (even == 0).all()


def test_a_member_left_out_weighs_nothing(rows: TrainingSet) -> None:
    """The others are stacked again, as if it had never been there; leaving none out changes nothing."""
    rng = np.random.default_rng(3)
    base = np.column_stack([rows.counts[PropType.KILLS] * 0.2 + 3.0] * 2)
    means = {member: base * rng.uniform(0.8, 1.2, base.shape) for member in Member}
    whole = fit_prop(rows, PropType.KILLS, means, EVEN)
    assert fit_prop(rows, PropType.KILLS, means, EVEN, without=frozenset()) == whole
    for member in Member:
        rest = fit_prop(rows, PropType.KILLS, means, EVEN, without=frozenset({member}))
        assert rest.weights[list(Member).index(member)] == 0.0
        others = {one: mean for one, mean in means.items() if one is not member}
        alone = fit_prop(rows, PropType.KILLS, others, EVEN)
        assert tuple(weight for one, weight in zip(Member, rest.weights, strict=True) if one is not member) == (
            alone.weights
        )
        assert rest.before.sizes == alone.before.sizes


def test_each_part_is_left_out_once_and_from_the_known_rows(
    found: tuple[Ablated, ...], refit: Refit, known: NDArray[np.bool_], questions: list[Question]
) -> None:
    """A model without each member and without each family's columns; the draft needs none of its own."""
    parts = [(one.kind, one.left_out) for one in found[:: len(questions)]]
    members = [*(str(member) for member in Member), "draft"]
    assert parts == [(MEMBER, name) for name in members] + [(FAMILY, name) for name in FAMILIES]
    assert len(found) == len(parts) * len(questions)
    assert [without for _, without in refit.asked] == [frozenset({member}) for member in Member] + [frozenset()] * len(
        FAMILIES
    )
    assert all(len(fitted_on) == known.sum() for fitted_on, _ in refit.asked)
    window = refit.asked[len(Member) + list(FAMILIES).index("own 30 days")][0]
    assert np.isnan(window.features[:, MODEL_FEATURES.index("player_form_z_score")]).all()


def test_people_hear_of_each_part(found: tuple[Ablated, ...], said: list[str]) -> None:
    """A line before each model that is fitted, with how many there are."""
    assert found
    assert len(said) == len(Member) + len(FAMILIES)
    assert said[0] == f"left out 1 of {len(said)}: member hierarchy"
    assert said[-1].startswith(f"left out {len(said)} of {len(said)}: family")


@pytest.mark.parametrize("at", range(4))
def test_the_change_is_that_of_the_mean_scores(  # noqa: PLR0917 — fixtures
    found: tuple[Ablated, ...],
    rows: TrainingSet,
    known: NDArray[np.bool_],
    questions: list[Question],
    small_model: PropEnsemble,
    at: int,
) -> None:
    """For a member, for the draft on the answer with the champions known, and for a family."""
    question = questions[at]
    of = {(one.left_out, one.prop_type, one.maps): one for one in found}

    def percent(rest: NDArray[np.float64], whole: NDArray[np.float64]) -> list[float]:
        scores = ([score(pmf, question.actual).mean() for pmf in (rest, whole)] for score in (crps, log_scores))
        return [100 * (one / other - 1) for one, other in scores]

    whole = model_pmf(small_model, rows, question)
    drafted = model_pmf(small_model, rows, question, drafted=True)
    blank = left_out(rows, "team means", known)
    undirected = Refit(small_model)(rows, frozenset({Member.DIRECT}))
    expected = {
        "draft": percent(whole, drafted),
        "team means": percent(model_pmf(small_model, blank, question), whole),
        "direct": percent(model_pmf(undirected, rows, question), whole),
    }
    for name, changes in expected.items():
        one = of[name, question.prop, question.maps]
        assert one.rows == len(question.actual)
        assert (one.change.crps.value, one.change.log_score.value) == pytest.approx(changes)
        assert one.change.crps.low <= one.change.crps.value <= one.change.crps.high


def test_people_read_every_part(found: tuple[Ablated, ...]) -> None:
    """A table for each question names all parts with their intervals."""
    with people.capture() as captured:
        show_ablation(found)
    text = captured.get()
    assert text.count("with a part left out") == 4
    for one in found:
        figure = one.change.crps
        assert f"│ {one.left_out} " in text
        assert f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]" in text


def test_machines_read_every_part_and_the_regret(
    found: tuple[Ablated, ...], questions: list[Question], rows: TrainingSet, small_model: PropEnsemble
) -> None:
    """The report as JSON holds the ablation, and of each method its regret where the truth is known."""
    world = play(1, 4)
    held = holdout(world, seen(world, 2))
    single, both = questions[:2]
    pmfs = {ROLLING_MEAN: model_pmf(small_model, rows, single), RIFTLINE: model_pmf(small_model, rows, single)}
    drafted = {RIFTLINE_DRAFTED: model_pmf(small_model, rows, single, drafted=True)}
    scores = scores_of(single, pmfs | drafted | {ORACLE: pmfs[RIFTLINE]})
    scores += scores_of(both, {name: model_pmf(small_model, rows, both) for name in pmfs})
    predictions = predictions_of(rows, single, pmfs[RIFTLINE])
    report = Evaluation(tuple(scores), predictions, FittedModel(small_model, {}, held), {}, found)
    read = orjson.loads(orjson.dumps(report.to_json()))
    assert len(read["ablation"]) == len(found)
    first = read["ablation"][0]
    assert (first["left_out"], first["kind"], first["prop_type"], first["maps"]) == (
        *("hierarchy", "member", "kills", "one"),
    )
    assert set(first["change"]["crps"]) == {"value", "low", "high"}
    regrets = {(one["maps"], one["method"]): one["regret"] for one in read["scores"]}
    assert regrets["one", ORACLE] == regrets["one", RIFTLINE]
    assert set(regrets["one", RIFTLINE]) == {"seen", "expected"}
    assert regrets["1-2", RIFTLINE] is None  # the truth knows single maps
    assert regrets["one", RIFTLINE_DRAFTED] is None  # and is from before the draft


def test_without_ablation_nothing_is_printed() -> None:
    """An empty ablation is no table and no note."""
    with people.capture() as captured:
        show_ablation(())
    assert not captured.get()


def test_the_command_says_how_to_ask() -> None:
    """The option and an example of it, and where the oracle's truth lies."""
    text = " ".join(CliRunner().invoke(app, ["evaluate", "--help"], env={"COLUMNS": "400"}).output.split())
    assert text.count("--ablate") == 2
    assert "truth/truth.parquet" in text
    assert "--data .riftline/season" in text
