"""Plain functions over arrays as machine code: the one place that compiles, and hides that numba has no types.

A kernel is compiled for one signature where it is first asked for, and kept where RIFTLINE_KERNELS_DIR says, by the
version of the code and the kind of processor, so that the next process finds it (docs/adr/0016). Operations are IEEE's
in the order that is written, none fused and none reordered, and a row is computed by itself: its bits are the same
alone and in a batch. Kernels run without the interpreter's lock, if not said otherwise, and index without a check:
whoever calls one answers for the shapes.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

import numba
from numba import types

from stores.code_version import code_version

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Scalar = TypeVar("Scalar", bound="np.generic")

# a division by zero is infinite or NaN, as in an array; entries that nobody calls would cost a sixth of the compiling
_OPTIONS: Any = {"error_model": "numpy", "no_cfunc_wrapper": True}
_PART: Any = {**_OPTIONS, "no_cpython_wrapper": True}
KEPT_IN = "RIFTLINE_KERNELS_DIR"
_VERSION = code_version()  # of the code that this process imported, not of what lies there when it first compiles
_OF_A_VERSION = re.compile(r"[0-9a-f]{16}")
_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH

_log = logging.getLogger(__name__)


class Kernel(Generic[P, R]):
    """A function over arrays. Called, it gives its machine code, compiled at the first call.

    ``step`` is the same for kernels that call it: it is compiled into each.
    """

    def __init__(self, signature: Any, function: Callable[P, R], *, nogil: bool) -> None:
        self.step: Callable[P, R] = part(function)
        self._signature = signature
        self._function = function
        self._options = {**_OPTIONS, "nogil": nogil}
        self._compiled: Any = None

    def __call__(self) -> Callable[P, R]:
        """The machine code. It refuses arguments of other types than its signature has."""
        if self._compiled is None:
            self._compiled = _compiled(self._signature, self._function, self._options)
        return cast("Callable[P, R]", self._compiled)

    def unchecked(self) -> Callable[P, R]:
        """The same without that check, which also refuses what may only be read, as feature shards publish it.

        Whoever calls it answers for the types too, and that nothing is written to such an array.
        """
        self()
        (only,) = self._compiled.overloads.values()
        return cast("Callable[P, R]", only.entry_point)


def _compiled(signature: Any, function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """The machine code, from the folder where it is kept or put there.

    Each version of our code has a folder of its own: numba looks at the function's own file to see whether its machine
    code is of now, not at those that it calls.
    """
    if kept_in := os.environ.get(KEPT_IN):
        folder = Path(kept_in) / _VERSION
        try:
            _make_room(folder)
            config: Any = numba.config
            config.CACHE_DIR, config.CACHE_LOCATOR_CLASSES = str(folder), "UserProvidedCacheLocator"  # there or nowhere
            return numba.njit(signature, cache=True, **options)(function)
        except Exception as error:  # noqa: BLE001  # a garbled file, a full disk: whatever it is, there is another way
            _log.warning("machine code cannot be kept in %s, this process compiles its own: %r", folder, error)
            shutil.rmtree(folder, ignore_errors=True)
    return numba.njit(signature, **options)(function)


def _make_room(folder: Path) -> None:
    """Make the folder of this version where it is missing, and delete those of others.

    Raises PermissionError where somebody else may write: what lies there is run.
    """
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for other in folder.parent.iterdir():
            if other != folder and _OF_A_VERSION.fullmatch(other.name):
                shutil.rmtree(other, ignore_errors=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & _BY_OTHERS:
        raise PermissionError(f"{folder} is not ours alone; delete it, or name another folder in {KEPT_IN}")


def kernel(signature: Any, *, nogil: bool = True) -> Callable[[Callable[P, R]], Kernel[P, R]]:
    """Turn a function into a kernel of this signature.

    One of a microsecond keeps the interpreter's lock: to get it back can take as long as another thread's turn.
    """
    return lambda function: Kernel(signature, function, nogil=nogil)


def part(function: Callable[P, R]) -> Callable[P, R]:
    """A step of kernels, compiled into each that calls it."""
    return cast("Callable[P, R]", numba.njit(**_PART)(function))


def record_type(of: type[tuple[Any, ...]], *fields: Any) -> Any:
    """How a NamedTuple stands in a signature: ``fields`` are the types of its fields."""
    return types.BaseTuple.from_types(fields, of)  # type: ignore[no-untyped-call]


def plain(array: NDArray[Scalar]) -> NDArray[Scalar]:
    """The array as signatures want it, contiguous in C's order and writeable: itself, or a copy."""
    return array if array.flags.carray else array.copy()
