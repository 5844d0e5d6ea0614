"""Replaces functions of xgboost-ray 0.1.19, the last release, while somebody needs them replaced."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

import xgboost_ray.main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Replacement:
    """Functions of ``xgboost_ray.main`` are others while this context is open; everything else stays as it is.

    Threads may share it: the last one out puts the functions back, and then calls ``at_end``.
    """

    def __init__(self, functions: Mapping[str, Callable[..., Any]], at_end: Callable[[], None] = lambda: None) -> None:
        self._functions = functions
        self._at_end = at_end
        self._lock = threading.Lock()
        self._users = 0
        self._before: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        with self._lock:
            if self._users == 0:
                self._before = {name: getattr(xgboost_ray.main, name) for name in self._functions}
                _install(self._functions)
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                _install(self._before)
                self._at_end()


def _install(functions: Mapping[str, Callable[..., Any]]) -> None:
    for name, function in functions.items():
        setattr(xgboost_ray.main, name, function)
