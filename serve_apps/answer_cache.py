"""What a replica has worked out of late: the distribution of a question, which answers any line of it.

It holds good as long as view and model are the same: the same question then has the same answer to the bit. Why there
is no second cache behind it, in Redis or PostgreSQL: docs/adr/0020.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from actors.answers import look

if TYPE_CHECKING:
    from actors.answers import Outlook
    from actors.ensemble import PropEnsemble
    from actors.feature_view import FeatureView
    from stores.domain.props import PropRequest

MOST = 4096  # outlooks of some 2 kB
_but_the_line = attrgetter(
    *("player_names", "prop_type", "map_range", "opponent", "tournament", "team", "match_date", "position_roles"),
    *("strict_mode", "champions", "best_of"),
)


class AnswerCache:
    """Outlooks by their questions, the oldest let go first. Belongs to one event loop.

    A question is worked out without waiting for anything, so equal ones that come together are worked out once.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[tuple[object, ...], Outlook] = {}
        self._of: tuple[FeatureView, PropEnsemble] | None = None

    def look(self, request: PropRequest, view: FeatureView, model: PropEnsemble) -> tuple[Outlook, bool]:
        """The outlook, and whether it was there already. Raises as `actors.answers.look`; that is not kept."""
        if self._of is None or self._of[0] is not view or self._of[1] is not model:
            self.clear()
            self._of = view, model
        key = _but_the_line(request)
        found = self._kept.get(key)
        if found is not None:
            return found, True
        outlook = look(request, view, model)
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = outlook
        return outlook, False

    def clear(self) -> int:
        """Forget everything; how much it was."""
        count = len(self._kept)
        self._kept.clear()
        return count
