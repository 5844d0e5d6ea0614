"""What every embedded server needs: one start at a time, its processes, its socket, its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from stores import embedded_server
from stores.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

SLEEPER = ["/bin/sleep", "600"]


def test_a_program_that_takes_too_long_is_ended() -> None:
    """It is given back as the exit code 124, and a caller is not held beyond its time."""
    assert embedded_server.run(SLEEPER, 0.05) == 124
    assert embedded_server.run([sys.executable, "-c", "raise SystemExit(3)"], 30) == 3


def test_only_processes_of_the_name_and_the_fone_are_its_own(tmp_path: Path) -> None:
    """A server is known by both, and a killed one that nobody has waited for is no longer alive."""
    (tmp_path / "elsewhere").mkdir()
    one, other, stranger = (subprocess.Popen(SLEEPER, cwd=tmp_path / place) for place in ("", "", "elsewhere"))
    try:
        assert {process.pid for process in embedded_server.processes("sleep", tmp_path)} == {one.pid, other.pid}
        assert embedded_server.processes("postgres", tmp_path) == []
        assert embedded_server.processes("sleep", tmp_path, [stranger.pid]) == []
        embedded_server.end_processes("sleep", tmp_path, 0)
        assert [one.wait(), other.wait(), stranger.poll()] == [-signal.SIGKILL, -signal.SIGKILL, None]
    finally:
        for process in (one, other, stranger):
            process.kill()
            process.wait()


def test_a_program_that_is_not_there_is_named_with_its_remedy() -> None:
    """A wheel that is absent, and one without the program, both say what to install or to set."""
    for wheel in ("no_such_wheel", "psutil"):
        with pytest.raises(InvalidError, match=f"{wheel} .* set RIFTLINE_REDIS_URL"):
            embedded_server.program(wheel, "no-such-program", "RIFTLINE_REDIS_URL")


def test_a_socket_fits_by_its_bytes(tmp_path: Path) -> None:
    """The limit is the kernel's and counts bytes; the short place fits always and differs by fone."""
    room = embedded_server.SOCKET_PATH_BYTES - len(os.fsencode(tmp_path)) - 1
    assert embedded_server.fits_socket(tmp_path / ("x" * room))
    assert not embedded_server.fits_socket(tmp_path / ("x" * (room - 1) + "é"))
    short = {embedded_server.short_socket_dir("pg", tmp_path / name) for name in ("a", "b", "a")}
    assert len(short) == 2
