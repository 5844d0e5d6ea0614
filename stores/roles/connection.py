"""What every connection to a server can do, whatever the server is."""

from __future__ import annotations

from typing import Protocol


class Connection(Protocol):
    """A bounded set of connections to one server. Belongs to the event loop that opened it.

    Opening raises InvalidError when the address or the login is wrong and TransientError when the server does not
    answer in time. Every call ends within the connection's deadline: with its result or with one of our errors, which
    name the server and its address and never a password. A server that comes back is used again without being reopened.
    """

    @property
    def address(self) -> str:
        """What it is and where, for people: ``PostgreSQL at 127.0.0.1:5432/riftline``. No user, no password."""
        ...

    async def ping(self) -> None:
        """Ask the server for nothing. Raises TransientError while it does not answer."""
        ...

    async def close(self) -> None:
        """Give everything back, waiting for calls under way. Idempotent."""
        ...
