"""What a replica has worked out of late: the distribution of a question, which answers any line of it.

It holds good as long as view and model are the same: the same question then has the same answer to the bit. Why there
is no second cache behind it, in Redis or PostgreSQL: docs/adr/0019.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

from actors.answers import look

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from actors.answers import Outlook, Predictor
    from actors.feature_view import FeatureView
    from stores.domain.props import PropRequest

MOST = 4096  # outlooks of some 2 kB
_but_the_line = attrgetter(
    *("player_names", "prop_type", "map_range", "opponent", "tournament", "team", "match_date", "position_roles"),
    *("strict_mode", "champions", "best_of"),
)


class AnswerCache:
    """Outlooks by their questions, the oldest let go first. Belongs to one event loop.

    A question is worked out without waiting for anything, so equal ones that come together are worked out once. Those
    that wait for a model elsewhere wait for the first of them.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[object, ...], Outlook] = OrderedDict()  # a dict would search for its oldest
        self._waited_for: dict[tuple[object, ...], asyncio.Future[Outlook]] = {}
        self._of: tuple[FeatureView, Predictor] | None = None

    def look(self, request: PropRequest, view: FeatureView, model: Predictor) -> tuple[Outlook, bool]:
        """The outlook, and whether it was there already. Raises as `actors.answers.look`; that is not kept."""
        self._begin(view, model)
        key = _but_the_line(request)
        found = self._kept.get(key)
        if found is not None:
            return found, True
        outlook = look(request, view, model)
        self._keep(key, outlook)
        return outlook, False

    def look_all(
        self,
        requests: Sequence[PropRequest],
        view: FeatureView,
        model: Predictor,
        work_out: Callable[[Sequence[PropRequest]], Sequence[Outlook | Exception]],
    ) -> list[tuple[Outlook | Exception, bool]]:
        """As `look` of each, an error in place of an outlook; ``work_out`` is asked for what is not known, once."""
        self._begin(view, model)
        keys = [_but_the_line(request) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._kept}
        fresh = dict(zip(missing, work_out(list(missing.values())), strict=True)) if missing else {}
        found = [(fresh[key], False) if key in fresh else (self._kept[key], True) for key in keys]
        for key, outlook in fresh.items():
            if not isinstance(outlook, Exception):
                self._keep(key, outlook)
        return found

    async def look_aside(
        self,
        request: PropRequest,
        view: FeatureView,
        model: Predictor,
        aside: Callable[[Callable[[], Outlook]], Awaitable[Outlook]],
    ) -> tuple[Outlook, bool]:
        """As `look`, where ``aside`` makes the call where it may wait. Who gives up leaves it to the others."""
        self._begin(view, model)
        key = _but_the_line(request)
        found = self._kept.get(key)
        if found is not None:
            return found, True
        waited_for = self._waited_for.get(key)
        if waited_for is None:
            waited_for = asyncio.ensure_future(aside(partial(look, request, view, model)))
            self._waited_for[key] = waited_for
            waited_for.add_done_callback(partial(self._arrived, key, self._of))
        return await asyncio.shield(waited_for), False

    def knows(self, request: PropRequest, view: FeatureView, model: Predictor) -> bool:
        """Whether `look` would find the outlook."""
        self._begin(view, model)
        return _but_the_line(request) in self._kept

    def _begin(self, view: FeatureView, model: Predictor) -> None:
        if self._of is None or self._of[0] is not view or self._of[1] is not model:
            self.clear()
            self._waited_for = {}
            self._of = view, model

    def _arrived(self, key: tuple[object, ...], of: object, outlook: asyncio.Future[Outlook]) -> None:
        failed = outlook.cancelled() or outlook.exception() is not None
        if self._of is of:  # else it is of features or a model that are no longer served
            del self._waited_for[key]
            if not failed:
                self._keep(key, outlook.result())

    def _keep(self, key: tuple[object, ...], outlook: Outlook) -> None:
        if len(self._kept) >= self._most:
            self._kept.popitem(last=False)
        self._kept[key] = outlook

    def clear(self) -> int:
        """Forget everything; how much it was."""
        count = len(self._kept)
        self._kept.clear()
        return count
