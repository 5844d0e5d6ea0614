"""All figures of the gateway, one after another, each by its own command with its own defaults.

Needs a running Riftline (`RIFTLINE_GATEWAY_REPLICAS=4 riftline up`; with one replica only the kills are left out).
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks import report
from benchmarks.contenders import ROOT

EXAMPLE = "python -m benchmarks.gateway --only open_loop overload"
PARTS = ("serving", "open_loop", "batches", "curves", "view_reads", "overload", "kills")  # the rough ones last


def main() -> None:
    """Run them. Exit code: the first that is not 0; the others run nevertheless."""
    parser = report.arguments(__doc__, EXAMPLE)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="NAME", help=", ".join(PARTS))
    codes = []
    for name in parser.parse_args().only:
        print(f"\n== benchmarks.{name}", flush=True)
        codes.append(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode)
    sys.exit(next((code for code in codes if code), 0))


if __name__ == "__main__":
    main()
