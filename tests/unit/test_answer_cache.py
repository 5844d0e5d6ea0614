"""What was worked out once answers every line of its question, until view or model are others."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import serve_apps.answer_cache as module
from actors.answers import Outlook, look, look_all
from actors.ensemble import PropEnsemble
from serve_apps.answer_cache import AnswerCache
from stores.domain.props import DataTier, PropRequest, PropType
from stores.errors import UnknownNameError
from tests.unit.small_world import FAKER, PLAYERS, ask, world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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


class Aside:
    """Makes calls when it is let, and remembers how many there were."""

    def __init__(self) -> None:
        self.calls = 0
        self.free = asyncio.Event()

    async def __call__(self, call: Callable[[], Outlook]) -> Outlook:
        """Make it."""
        self.calls += 1
        await self.free.wait()
        return call()


async def test_equal_questions_wait_for_the_first(view: FeatureView, small_model: PropEnsemble) -> None:
    """Whatever their lines; who gives up leaves it to the others, and afterwards it is known."""
    cache, aside = AnswerCache(), Aside()
    questions = [replace(ask("Faker"), prop_value=line + 0.5) for line in range(5)] + [ask("Chovy")]
    waiting = [asyncio.create_task(cache.look_aside(one, view, small_model, aside)) for one in questions]
    await asyncio.sleep(0)
    waiting.pop(0).cancel()
    aside.free.set()
    found = await asyncio.gather(*waiting)
    assert aside.calls == 2
    assert len({id(outlook) for outlook, _ in found}) == 2
    assert not any(known for _, known in found)
    assert cache.knows(questions[0], view, small_model)
    assert (await cache.look_aside(questions[0], view, small_model, aside)) == (found[0][0], True)
    assert cache.look(questions[0], view, small_model) == (found[0][0], True)


async def test_what_is_late_is_not_kept(view: FeatureView, small_model: PropEnsemble) -> None:
    """An outlook of features that are no longer served goes to who asked for it, and to nobody else."""
    cache, aside = AnswerCache(), Aside()
    late = asyncio.create_task(cache.look_aside(ask("Faker"), view, small_model, aside))
    await asyncio.sleep(0)
    newer = world((FAKER._replace(games=2), *PLAYERS[1:]))
    assert not cache.knows(ask("Faker"), newer, small_model)
    aside.free.set()
    assert (await late)[0].data_tier is DataTier.DIRECT
    outlook, known = await cache.look_aside(ask("Faker"), newer, small_model, aside)
    assert (outlook.data_tier, known, aside.calls) == (DataTier.SPARSE, False, 2)


async def test_what_is_wrong_is_said_to_all_and_not_kept(view: FeatureView, small_model: PropEnsemble) -> None:
    """The next one asks again."""
    cache, aside = AnswerCache(), Aside()
    aside.free.set()
    both = [cache.look_aside(ask("nobody"), view, small_model, aside) for _ in range(2)]
    assert [type(one) for one in await asyncio.gather(*both, return_exceptions=True)] == [UnknownNameError] * 2
    with pytest.raises(UnknownNameError):
        await cache.look_aside(ask("nobody"), view, small_model, aside)
    assert aside.calls == 2


def test_many_are_found_as_each_alone(view: FeatureView, small_model: PropEnsemble) -> None:
    """What is known is not worked out again, equal questions once; what is wrong is told in its place and not kept."""
    cache, asked = AnswerCache(), []

    def work_out(missing: Sequence[PropRequest]) -> list[Outlook | Exception]:
        asked.append([request.player_names for request in missing])
        return list(look_all(missing, view, small_model))

    cache.look(ask("Faker"), view, small_model)
    requests = [ask("Chovy"), ask("nobody"), ask("Faker"), replace(ask("Chovy"), prop_value=9.5)]
    for known in (False, True):
        found = cache.look_all(requests, view, small_model, work_out)
        assert [type(outlook) for outlook, _ in found] == [Outlook, UnknownNameError, Outlook, Outlook]
        assert [one for _, one in found] == [known, False, True, known]
        assert found[0][0] is found[3][0]
    assert asked == [[("Chovy",), ("nobody",)], [("nobody",)]]
