"""What the commands exit with.

0 done, 1 an error of ours, 2 wrong input, 3 not running or not ready, 4 done in part (some files could not be read).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.markup import escape

from cluster.show import errors
from stores.errors import InvalidError, NotFoundError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG_INPUT, NOT_READY, IN_PART = 2, 3, 4


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Print an error of ours as one line and exit with its code."""
    try:
        yield
    except (InvalidError, NotFoundError) as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(WRONG_INPUT) from None
    except TransientError as error:
        errors.print(f"[bold red]not ready:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(NOT_READY) from None
    except RiftlineError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        raise typer.Exit(1) from None
