"""The connection to InfluxDB 2: one client, one deadline, one translation of its errors."""

# mypy: allow-untyped-calls
# The client has types in some of its modules only.

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
from influxdb_client.client.exceptions import InfluxDBError
from influxdb_client.client.flux_csv_parser import FluxCsvParserException, FluxQueryException
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.organizations_service import OrganizationsService

from stores.errors import InvalidError, NotFoundError, OverloadedError, RiftlineError, TransientError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stores.settings import InfluxSettings

DEADLINE_S = 15.0  # of a whole call; a day folded into minutes takes a few seconds
CONNECT_TIMEOUT_S = 5.0
URL_FIELD, TOKEN_FIELD, ORG_FIELD = "RIFTLINE_INFLUX_URL", "RIFTLINE_INFLUX_TOKEN", "RIFTLINE_INFLUX_ORG"


class InfluxConnection:
    """A `Connection` to one organisation of one InfluxDB. ``client`` is for the adapters of this folder."""

    def __init__(self, client: InfluxDBClientAsync, address: str, org_id: str) -> None:
        self.client = client
        self.org_id = org_id
        self._address = address

    @property
    def address(self) -> str:
        """As `Connection.address`."""
        return self._address

    async def ping(self) -> None:
        """As `Connection.ping`. Also asks for the organisation: a server's /ping answers any token."""
        with translated(self._address):
            await OrganizationsService(self.client.api_client).get_orgs_id_async(self.org_id)

    async def close(self) -> None:
        """As `Connection.close`."""
        if self.client.api_client is not None:
            await self.client.close()


async def open_influx(settings: InfluxSettings, deadline_s: float = DEADLINE_S) -> InfluxConnection:
    """Connect, and find the organisation.

    Raises InvalidError when URL, token or organisation is wrong, TransientError when the server does not answer.
    """
    address = address_of(settings.url)
    if not (settings.token.isascii() and settings.token.isprintable() and settings.token):
        raise InvalidError(f"{TOKEN_FIELD} is not a token; give the one of {address}", TOKEN_FIELD)
    timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=CONNECT_TIMEOUT_S)
    client = InfluxDBClientAsync(settings.url, settings.token, settings.org, timeout=timeout)
    try:
        with translated(address, opening=True):
            org_id = await _org_id(client, address, settings.org)
    except BaseException:
        await client.close()
        raise
    return InfluxConnection(client, address, org_id)


def address_of(url: str) -> str:
    """Where ``url`` leads, for people. Raises InvalidError for what is no URL of an InfluxDB or holds a password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.username is not None or parts.query or parts.fragment:
        raise InvalidError(
            f"{URL_FIELD} is not a URL of InfluxDB; give http://host:8086, the token goes into {TOKEN_FIELD}", URL_FIELD
        )
    return f"InfluxDB at {parts.netloc}{parts.path.rstrip('/')}"


@contextmanager
def translated(address: str, *, opening: bool = False) -> Iterator[None]:
    """Turn the client's errors inside the block into ours. ``opening``: a refused token is a mistake in the settings.

    Every effect of the adapters is idempotent, so a call whose answer was lost counts as not happened.
    """
    try:
        yield
    except RiftlineError:
        raise
    except ApiException as error:
        raise _of_status(error, address, opening=opening) from error
    except (OSError, aiohttp.ClientError, InfluxDBError, FluxQueryException, FluxCsvParserException) as error:
        text = getattr(error, "message", None) or str(error) or type(error).__name__
        raise TransientError(f"{address}: {text}") from error


async def _org_id(client: InfluxDBClientAsync, address: str, name: str) -> str:
    try:
        found = await OrganizationsService(client.api_client).get_orgs_async(org=name)
    except ApiException as error:
        if error.status != 404:
            raise
        found = None
    if found is None or not found.orgs:
        raise InvalidError(f"{address}: there is no organisation {name!r} for this token", ORG_FIELD)
    return str(found.orgs[0].id)


def _of_status(error: ApiException, address: str, *, opening: bool) -> RiftlineError:
    text = f"{address}: {str(error.message)[:500]}"
    match error.status:
        case 401 | 403:
            return InvalidError(text, TOKEN_FIELD) if opening else TransientError(text)  # a token that is being rotated
        case 404:
            return NotFoundError(text)
        case 429 | 503:
            return OverloadedError(text)
        case status if 400 <= status < 500:
            return InvalidError(text)
    return TransientError(text)
