"""The matrix of the contract suites: which role holds over which implementation, and by how many cases.

A module names its role (``pytestmark = pytest.mark.role("users")``); the folder's conftest has a parametrised fixture
``implementation`` whose ids are the names of the implementations. `make contract` prints the matrix.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROLE, IMPLEMENTATION = "role", "implementation"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note role and implementation in each item's report."""
    for item in items:
        role = item.get_closest_marker(ROLE)
        params = getattr(item, "callspec", None)
        if role is None or params is None or IMPLEMENTATION not in params.params:
            continue
        item.user_properties += [(ROLE, role.args[0]), (IMPLEMENTATION, str(params.params[IMPLEMENTATION]))]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the matrix: passed cases, and failed or skipped ones beside them."""
    cells: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(outcome, []):
            noted = dict(getattr(report, "user_properties", []))
            if ROLE in noted and IMPLEMENTATION in noted:
                cells[noted[ROLE], noted[IMPLEMENTATION]][outcome] += 1
    if not cells:
        return
    terminalreporter.section("contract: role x implementation, cases passed")
    width = max(len(role) for role, _ in cells)
    for role in sorted({role for role, _ in cells}):
        row = [f"{name} {_cell(counts)}" for (its_role, name), counts in sorted(cells.items()) if its_role == role]
        terminalreporter.write_line(f"{role:<{width}}  {' · '.join(row)}")


def _cell(counts: Counter[str]) -> str:
    others = [f"{counts[outcome]} {outcome}" for outcome in ("failed", "error", "skipped") if counts[outcome]]
    return f"{counts['passed']}" + (f" ({', '.join(others)})" if others else "")
