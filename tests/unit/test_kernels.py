"""Machine code: compiled once and for one signature, IEEE's operations, kept, and all of it can be had in advance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from stores.code_version import code_version
from stores.kernels import KEPT_IN, kernel, part, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Sums = Callable[[NDArray[np.float64], NDArray[np.float64]], None]

# in a process of its own: after `warm` every kernel that an answer needs is there, and an answer compiles nothing
WARM = """
import tests.unit.conftest as shared
from actors.answers import look
from actors.ensemble import PropEnsemble
from numba.core import event
from tests.unit.small_world import PLAYERS, ask, world

compiled = []

class Seen(event.Listener):
    def on_start(self, event):
        compiled.append(event.data["dispatcher"])

    def on_end(self, event):
        pass

event.register("numba:compile", Seen())
model = shared.small_model.__wrapped__()
PropEnsemble.warm()
before = len(compiled)
for maps in ((1, 1), (1, 5)):
    look(ask("Faker", "Chovy", maps=maps, champions=("Ahri", "Jinx")), world(PLAYERS), model).at_line(3.5)
print(before > 0, len(compiled) - before)
"""

# whether the machine code of one kernel was found, and what it gives
KEPT = """
import numpy as np
from actors.count_members import combine
from numba.core import event

compiled = []

class Seen(event.Listener):
    def on_start(self, event):
        compiled.append(event)

    def on_end(self, event):
        pass

event.register("numba:compile", Seen())
mean = np.empty(2)
combine()(np.array([0.1, 0.2]), np.array([[0.3, 0.4], [0.5, 0.6]]), mean)
print("compiled" if compiled else "found", mean.tobytes().hex())
"""


@part
def _halved(value: float) -> float:
    return value / 2.0


@kernel("void(float64[::1], float64[::1])")
def _running(values: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
    total = 0.0
    for at in range(len(values)):
        total += _halved(values[at]) / values[at] * values[at]
        sums[at] = total


@pytest.fixture(scope="module")
def running() -> Sums:
    """A kernel of sums in order."""
    return _running()


def test_it_is_compiled_once(running: Sums) -> None:
    """Whoever asks gets the same machine code."""
    assert _running() is running


def test_operations_are_those_that_are_written(running: Sums) -> None:
    """Nothing is fused or reordered, so that Python's own floats give the same bits; 0 / 0 is no error."""
    values = np.random.default_rng(3).lognormal(0.0, 4.0, 1001)
    values[900] = 0.0
    sums = np.empty_like(values)
    running(values, sums)
    total, expected = 0.0, []
    for value in values[:900].tolist():
        total += value / 2.0 / value * value
        expected.append(total)
    assert sums[:900].tolist() == expected
    assert np.isnan(sums[900:]).all()


@pytest.mark.parametrize("values", [np.ones(4)[::2], np.ones(2, dtype=np.float32), np.ones((2, 1))])
def test_nothing_but_its_signature_gets_in(running: Sums, values: NDArray[np.float64]) -> None:
    """Other arrays are refused and not compiled for."""
    with pytest.raises(TypeError, match="No matching definition"):
        running(values, np.empty(2))


def test_a_plain_array_is_itself_or_a_copy() -> None:
    """What is contiguous and writeable stays; all else is copied to be so."""
    values = np.arange(6.0).reshape(2, 3)
    assert plain(values) is values
    fixed = values.copy()
    fixed.flags.writeable = False
    for one in (fixed, np.asfortranarray(values)):
        assert plain(one).flags.carray
        assert plain(one).tolist() == values.tolist()


def test_after_warming_an_answer_compiles_nothing(tmp_path: Path) -> None:
    """A replica that is ready never compiles while somebody waits."""
    assert _in_a_process(WARM, tmp_path).stdout.split() == ["True", "0"]


def test_the_next_process_finds_the_machine_code(tmp_path: Path) -> None:
    """The first compiles and keeps, the second compiles nothing and answers the same to the bit."""
    first, second = (_in_a_process(KEPT, tmp_path).stdout.split() for _ in range(2))
    assert first[0] == "compiled"
    assert second[0] == "found"
    assert first[1:] == second[1:]


@pytest.mark.parametrize("damage", [b"", b"\0" * 500, b"garbled"], ids=["empty", "zeros", "garbled"])
@pytest.mark.parametrize("kind", ["*.nbi", "*.nbc"])
def test_damaged_machine_code_is_compiled_again(tmp_path: Path, kind: str, damage: bytes) -> None:
    """A crash may leave any file behind: the process says so, compiles for itself, and the one after it is well."""
    first = _in_a_process(KEPT, tmp_path).stdout.split()
    for file in tmp_path.rglob(kind):
        file.write_bytes(damage)
    damaged = _in_a_process(KEPT, tmp_path)
    assert damaged.stdout.split() == first
    assert "cannot be kept" in damaged.stderr
    assert _in_a_process(KEPT, tmp_path).stdout.split() == first
    assert _in_a_process(KEPT, tmp_path).stdout.split() == ["found", *first[1:]]


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail() -> None:
    """The process compiles for itself."""
    found = _in_a_process(KEPT, Path("/proc/no-such-folder"))
    assert found.stdout.split()[0] == "compiled"
    assert "cannot be kept" in found.stderr


def test_machine_code_of_other_versions_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    """What no code looks for any more does not stay; a folder that was named by mistake keeps what it has."""
    for name in ("0123456789abcdef", "of-somebody"):
        (tmp_path / name / "actors").mkdir(parents=True)
    _in_a_process(KEPT, tmp_path)
    assert {folder.name for folder in tmp_path.iterdir()} == {code_version(), "of-somebody"}


def test_what_others_may_write_is_not_run(tmp_path: Path) -> None:
    """The process says so and compiles for itself."""
    folder = tmp_path / code_version()
    folder.mkdir()
    folder.chmod(0o777)
    found = _in_a_process(KEPT, tmp_path)
    assert found.stdout.split()[0] == "compiled"
    assert "not ours alone" in found.stderr


def _in_a_process(script: str, kept_in: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, KEPT_IN: str(kept_in)}
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root, env=env)
