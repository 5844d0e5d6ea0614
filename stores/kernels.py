"""Plain functions over arrays as machine code: the one place that compiles, and hides that numba has no types.

A kernel is compiled for one signature, once per process: by `warm`, or where it is first asked for. Nothing is kept on
disk (docs/adr/0016). Operations are IEEE's in the order that is written, none fused and none reordered, and a row is
computed by itself: its bits are the same alone and in a batch. Kernels run without the interpreter's lock and index
without a check: whoever calls one answers for the shapes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Scalar = TypeVar("Scalar", bound="np.generic")

# a division by zero is infinite or NaN, as in an array; entries that nobody calls would cost a sixth of the compiling
_OPTIONS: Any = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_PART: Any = {**_OPTIONS, "no_cpython_wrapper": True}
_KERNELS: list[Callable[[], object]] = []


def kernel(signature: Any) -> Callable[[Callable[P, R]], Callable[[], Callable[P, R]]]:
    """Turn a function into one that gives its machine code, compiled at the first call."""

    def declared(function: Callable[P, R]) -> Callable[[], Callable[P, R]]:
        @cache
        def machine_code() -> Callable[P, R]:
            return cast("Callable[P, R]", numba.njit(signature, **_OPTIONS)(function))

        _KERNELS.append(machine_code)
        return machine_code

    return declared


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A step of kernels, compiled into each that calls it."""
    return cast("Callable[P, R]", numba.njit(**_PART)(function))


def warm() -> None:
    """Compile every kernel that is imported: some seconds of one core, once per process."""
    for machine_code in _KERNELS:
        machine_code()


def plain(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array as signatures want it, contiguous in C's order and writeable: itself, or a copy."""
    return array if array.flags.carray else array.copy()
