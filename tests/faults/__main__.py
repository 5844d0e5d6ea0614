"""Kill servers and writers in the middle of writing, and check that nothing is lost and nothing doubled."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from tests.faults.run import run
from tests.faults.targets import TARGETS


def _tell(text: str) -> None:
    sys.stderr.write(f"\r{text}  ")


def main() -> None:
    """Run every target, print one line each, and exit with 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m tests.faults --kills 25")
    parser.add_argument("--kills", type=int, default=25, help="kills of each target")
    parser.add_argument("--only", choices=sorted(TARGETS), action="append", help="this target; may be repeated")
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument("--json", type=Path, help="write the verdicts here too")
    chosen = parser.parse_args()
    verdicts = {}
    for name in chosen.only or TARGETS:
        verdict = run(TARGETS[name], chosen.kills, chosen.seed, _tell)
        verdicts[name] = verdict
        print(
            f"\r{name}: {verdict.kills} kills, {verdict.acknowledged} acknowledged, {verdict.unknown} unknown, "
            f"{verdict.found} found; {len(verdict.lost)} lost, {len(verdict.doubled)} doubled, "
            f"{len(verdict.refused)} refused and yet there, {len(verdict.strange)} never sent"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps({name: asdict(one) for name, one in verdicts.items()}, indent=2))
    broken = [name for name, verdict in verdicts.items() if not verdict.clean]
    sys.exit(f"broken promises: {', '.join(broken)}" if broken else 0)


if __name__ == "__main__":
    main()
