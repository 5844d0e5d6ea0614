"""Getting the programs of real servers onto this machine. What is fetched is kept in ``.servers`` of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.servers.process import MissingServerError

if TYPE_CHECKING:
    from pathlib import Path

WAIT = ("-o", "DPkg::Lock::Timeout=120")  # another install may be under way


def apt(program: Path, *packages: str) -> Path:
    """``program``, installing Debian packages for it as root. Raises MissingServerError where that cannot be."""
    if program.exists():
        return program
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise MissingServerError(f"{program} is missing; install the Debian packages {' '.join(packages)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *WAIT, *packages]
    for command in (["apt-get", "update", "--quiet", *WAIT], install):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not program.exists():
        raise MissingServerError(
            f"{' '.join(packages)} could not be installed:\n{done.stdout[-500:]}{done.stderr[-500:]}"
        )
    return program
