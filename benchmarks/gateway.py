"""All figures of the gateway, one after another, each by its own command with its own defaults.

Needs a running Riftline (`riftline up`). The kills are measured with as many replicas as `benchmarks.kills` is meant
for; afterwards there are as many as the settings say.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import kills, report
from benchmarks.contenders import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = "python -m benchmarks.gateway --only open_loop overload"
PARTS = ("serving", "open_loop", "batches", "curves", "view_reads", "overload", "kills")  # the rough ones last


@contextmanager
def replicas(count: int) -> Iterator[None]:
    """So many replicas of the gateway within the block."""
    riftline = [str(Path(sys.executable).with_name("riftline")), "up"]
    subprocess.run(riftline, cwd=ROOT, check=True, env={**os.environ, "RIFTLINE_GATEWAY_REPLICAS": str(count)})
    try:
        yield
    finally:
        subprocess.run(riftline, cwd=ROOT, check=True)


def main() -> None:
    """Run them. Exit code: the first that is not 0; the others run nevertheless."""
    parser = report.arguments(__doc__, EXAMPLE)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="NAME", help=", ".join(PARTS))
    codes = []
    for name in parser.parse_args().only:
        print(f"\n== benchmarks.{name}", flush=True)
        with replicas(kills.USUAL) if name == "kills" else nullcontext():
            codes.append(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode)
    sys.exit(next((code for code in codes if code), 0))


if __name__ == "__main__":
    main()
