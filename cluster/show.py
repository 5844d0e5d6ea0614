"""What the `riftline` command prints: steps with a progress bar for people, one JSON document for machines."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

PIPE_WIDTH = 140  # of what goes to a file or a program: tables keep their words whole
NO = Text("no", "bold red")
people = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else PIPE_WIDTH)


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document on standard output."""
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2, default=str).decode())  # noqa: T201


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people; numbers are right-aligned."""
    table = Table(title=title, title_justify="left")
    for index, name in enumerate(header):
        number = bool(rows) and isinstance(rows[0][index], int | float)
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    people.print(table)


def _cell(value: object) -> str | Text:
    """Text from outside is never read as markup; what is marked up on purpose comes as `Text`."""
    if isinstance(value, Text):
        return value
    return escape(f"{value:.4f}" if isinstance(value, float) else str(value))


class ProgressSteps:
    """Steps as they pass, on standard error; each is left standing with its seconds when it is done."""

    def __init__(self, *, quiet: bool) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[said]}"),
            console=errors,
            disable=quiet,
        )
        self._task: Any = None
        self._lines = not quiet and not errors.is_terminal
        self._begun = time.monotonic()

    def __enter__(self) -> Self:
        if not self._lines:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is None:
            self._finish()
        self._progress.stop()

    def begin(self, title: str) -> None:
        """A step begins, and the one before is done."""
        self._finish()
        if self._lines:
            errors.print(f"{title} …", highlight=False)
        self._task = self._progress.add_task(title, total=None, said="")

    def detail(self, text: str, done: int = 0, of: int = 0) -> None:
        """What the step does now."""
        if self._task is None:
            self.begin(text)
        if self._lines and (not of or done in {0, of}):
            count = f" {done}/{of}" if of > 1 else ""
            errors.print(f"  {time.monotonic() - self._begun:6.1f} s  {text}{count}", highlight=False)
        self._progress.update(self._task, said=text, total=of or None, completed=done)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, total=1, completed=1, said="done")
