"""Plain functions over arrays as machine code: the one place that compiles, and hides that numba has no types.

A kernel is compiled for one signature, once per process, where it is first asked for. Nothing is kept on disk
(docs/adr/0016). Operations are IEEE's in the order that is written, none fused and none reordered, and a row is
computed by itself: its bits are the same alone and in a batch. Kernels run without the interpreter's lock and index
without a check: whoever calls one answers for the shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

import numba
from numba import types

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


class Kernel(Generic[P, R]):
    """A function over arrays. Called, it gives its machine code, compiled at the first call.

    ``step`` is the same for kernels that call it: it is compiled into each.
    """

    def __init__(self, signature: Any, function: Callable[P, R]) -> None:
        self.step: Callable[P, R] = part(function)
        self._signature = signature
        self._function = function
        self._compiled: Any = None

    def __call__(self) -> Callable[P, R]:
        """The machine code. It refuses arguments of other types than its signature has."""
        if self._compiled is None:
            self._compiled = numba.njit(self._signature, **_OPTIONS)(self._function)
        return cast("Callable[P, R]", self._compiled)

    def unchecked(self) -> Callable[P, R]:
        """The same without that check, which also refuses what may only be read, as feature shards publish it.

        Whoever calls it answers for the types too, and that nothing is written to such an array.
        """
        self()
        (only,) = self._compiled.overloads.values()
        return cast("Callable[P, R]", only.entry_point)


def kernel(signature: Any) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Turn a function into a kernel of this signature."""
    return lambda function: Kernel(signature, function)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A step of kernels, compiled into each that calls it."""
    return cast("Callable[P, R]", numba.njit(**_PART)(function))


def record_type(of: type[tuple[Any, ...]], *fields: Any) -> Any:
    """How a NamedTuple stands in a signature: ``fields`` are the types of its fields."""
    return types.BaseTuple.from_types(fields, of)  # type: ignore[no-untyped-call]


def plain(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array as signatures want it, contiguous in C's order and writeable: itself, or a copy."""
    return array if array.flags.carray else array.copy()
