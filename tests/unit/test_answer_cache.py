"""What was worked out once answers every line of its question, until view or model are others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import serve_apps.answer_cache as module
from actors.answers import look
from actors.ensemble import PropEnsemble
from serve_apps.answer_cache import AnswerCache
from stores.domain.props import DataTier, PropType
from stores.errors import UnknownNameError
from tests.unit.small_world import FAKER, PLAYERS, ask, world

if TYPE_CHECKING:
    from actors.feature_view import FeatureView


@pytest.fixture(scope="module")
def view() -> FeatureView:
    """The whole small world."""
    return world(PLAYERS)


def test_any_line_of_a_known_question_is_known(view: FeatureView, small_model: PropEnsemble) -> None:
    """The same answer to the bit as without a cache."""
    cache = AnswerCache()
    first, known = cache.look(ask("Faker", maps=(1, 3)), view, small_model)
    assert not known
    for line in (0.5, 3.0, 7.5):
        outlook, known = cache.look(replace(ask("Faker", maps=(1, 3)), prop_value=line), view, small_model)
        assert known
        assert outlook is first
        assert outlook.at_line(line) == look(ask("Faker", maps=(1, 3)), view, small_model).at_line(line)


@pytest.mark.parametrize(
    "other",
    [
        ask("Chovy", maps=(1, 3)),
        replace(ask("Faker", maps=(1, 3)), prop_type=PropType.ASSISTS),
        ask("Faker", maps=(1, 2)),
        replace(ask("Faker", maps=(1, 3)), best_of=5),
        replace(ask("Faker", maps=(1, 3)), opponent="Gen.G"),
        replace(ask("Faker", maps=(1, 3)), champions=("Ahri",)),
    ],
)
def test_another_question_is_another(other: object, view: FeatureView, small_model: PropEnsemble) -> None:
    """Whatever tells two questions apart but the line."""
    cache = AnswerCache()
    cache.look(ask("Faker", maps=(1, 3)), view, small_model)
    outlook, known = cache.look(other, view, small_model)  # type: ignore[arg-type]
    assert not known
    expected = look(other, view, small_model)  # type: ignore[arg-type]
    assert outlook.forecast.calibrated.pmf.tobytes() == expected.forecast.calibrated.pmf.tobytes()


def test_a_new_view_or_model_begins_anew(view: FeatureView, small_model: PropEnsemble) -> None:
    """An answer never comes from features or a model that are no longer served."""
    cache = AnswerCache()
    before, _ = cache.look(ask("Faker"), view, small_model)
    fewer = world((FAKER._replace(games=2), *PLAYERS[1:]))
    after, known = cache.look(ask("Faker"), fewer, small_model)
    assert not known
    assert (before.data_tier, after.data_tier) == (DataTier.DIRECT, DataTier.SPARSE)
    other = PropEnsemble.from_files(small_model.to_files())
    assert not cache.look(ask("Faker"), fewer, other)[1]
    assert cache.look(ask("Faker"), fewer, other)[1]


def test_the_oldest_is_let_go(view: FeatureView, small_model: PropEnsemble) -> None:
    """The memory is bounded."""
    cache = AnswerCache(most=2)
    for name in ("Faker", "Chovy", "Oner"):
        cache.look(ask(name), view, small_model)
    assert [cache.look(ask(name), view, small_model)[1] for name in ("Oner", "Chovy")] == [True, True]
    assert not cache.look(ask("Faker"), view, small_model)[1]
    assert cache.clear() == 2
    assert not cache.look(ask("Faker"), view, small_model)[1]


def test_what_is_wrong_is_not_kept(
    view: FeatureView, small_model: PropEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused question is looked at again each time."""
    cache, asked = AnswerCache(), []

    def counted(*arguments: object) -> object:
        asked.append(arguments)
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "look", counted)
    for _ in range(2):
        with pytest.raises(UnknownNameError):
            cache.look(ask("nobody"), view, small_model)
    assert len(asked) == 2
