"""Random bytes for ids, drawn ahead: the kernel takes as long for one id as for hundreds."""

from __future__ import annotations

import os

AHEAD = 256


class Noise:
    """Bytes of the kernel's generator, ``size`` at a time. Safe between threads, and a forked process draws its own."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._drawn: list[bytes] = []
        os.register_at_fork(after_in_child=self._drawn.clear)

    def take(self) -> bytes:
        """Some that nobody took before."""
        while True:
            try:
                return self._drawn.pop()  # atomic: no two threads take the same
            except IndexError:
                drawn = os.urandom(AHEAD * self._size)
                self._drawn.extend(drawn[at : at + self._size] for at in range(0, len(drawn), self._size))
