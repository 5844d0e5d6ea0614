"""The house keeps its shape: names of our own, no module named like a library, files of one idea each."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from cluster.doctor import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 45


def _modules() -> list[Path]:
    return sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))


def test_no_other_distribution_owns_a_name_of_ours() -> None:
    """Our packages have plain names; a library that shipped one of them would shadow it or be shadowed."""
    owners = metadata.packages_distributions()
    assert {name: owners.get(name, ["riftline"]) for name in PACKAGES} == {name: ["riftline"] for name in PACKAGES}


def test_no_module_is_named_like_a_library() -> None:
    """A module run from its own folder would otherwise shadow the library for every import of the process."""
    libraries = set(metadata.packages_distributions()) - set(PACKAGES) | set(sys.stdlib_module_names)
    ours = {file.stem for file in _modules()} - {"__init__"}
    # nothing runs from inside a package folder, and these are the plain words for what they hold
    assert ours & libraries <= {"calendar", "clock", "migrate"}


def test_files_and_functions_stay_small() -> None:
    """A file holds one idea and a function one step."""
    long_files = [
        f"{file}: {lines}" for file in _modules() if (lines := len(file.read_text().splitlines())) > MAX_FILE_LINES
    ]
    long_functions = [
        f"{file}:{node.name}"
        for file in _modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert not long_files
    assert not long_functions


def test_importing_opens_nothing() -> None:
    """Every module of the ground and the actors can be imported without Ray, a web framework or a connection."""
    names = [
        ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for file in _modules()
        if file.relative_to(ROOT).parts[0] in {"stores", "actors"}
    ]
    code = f"import importlib, sys; [importlib.import_module(name) for name in {names!r}]; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_a_replica_imports_no_driver_that_it_does_not_use() -> None:
    """Each costs a replica that takes over a tenth of a second or more."""
    code = "import sys, serve_apps.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert {"pyiceberg", "sqlalchemy", "psycopg", "influxdb_client", "kafka", "chdb"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("lock", ["requirements/all.txt", "requirements/uv.txt", "requirements/peers.txt"])
def test_the_locks_are_hashed_and_hold_no_address(lock: str) -> None:
    """Every pinned package has a hash, and no line names a host."""
    lines = (ROOT / lock).read_text().splitlines()
    assert not [line for line in lines if "://" in line]
    pins = [line for line in lines if "==" in line and not line.lstrip().startswith("#")]
    assert pins
    assert all(line.endswith("\\") for line in pins)
