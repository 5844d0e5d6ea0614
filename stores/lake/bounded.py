"""pyiceberg's catalogs, bounded: no call waits longer than `CALL_TIMEOUT_S` for its server.

pyiceberg sets no timeout anywhere: a catalog that is paused would hold a writer for ever. Named by ``py-catalog-impl``,
so that every client that is given our catalog properties (Ray's tasks) gets them too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from pyiceberg.catalog import MetastoreCatalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.sql import SqlCatalog
from sqlalchemy import create_engine

from stores.lake.warehouse import CALL_TIMEOUT_S

if TYPE_CHECKING:
    from psycopg.abc import PQGen
    from sqlalchemy import Engine

SQLITE_LOCK_TIMEOUT_S = 20.0  # its writers wait in a queue without order


class BoundedSqlCatalog(SqlCatalog):
    """A catalog in SQLite or PostgreSQL. Works through PgBouncer in transaction mode."""

    def __init__(self, name: str, **properties: str) -> None:
        MetastoreCatalog.__init__(self, name, **properties)
        self.engine = _engine(properties["uri"])
        self._init_catalog()


class BoundedRestCatalog(RestCatalog):
    """A REST catalog."""

    def _create_legacy_oauth2_auth_manager(self, session: Any) -> Any:
        """Bound the session here, before it is used for the first time: to fetch a token."""
        session.request = partial(session.request, timeout=CALL_TIMEOUT_S)
        return super()._create_legacy_oauth2_auth_manager(session)


class _Connection(psycopg.Connection[Any]):
    """A connection that is given up when its server does not answer in time."""

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        try:
            return super().wait(gen, interval, CALL_TIMEOUT_S if timeout is None else timeout)
        except psycopg.OperationalError:
            if timeout is None and self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:
                self.pgconn.finish()  # what it may still answer must not be read as the answer to the next question
            raise


def _engine(uri: str) -> Engine:
    if uri.startswith("sqlite"):
        return create_engine(uri, connect_args={"timeout": SQLITE_LOCK_TIMEOUT_S})
    connect = partial(_Connection.connect, uri, connect_timeout=int(CALL_TIMEOUT_S), prepare_threshold=None)
    return create_engine("postgresql+psycopg://", creator=connect, pool_pre_ping=True)
