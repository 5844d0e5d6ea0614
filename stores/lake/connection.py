"""How the catalog and the warehouse of the settings are reached, and what they are called."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pyiceberg.catalog import Catalog, load_catalog
from sqlalchemy.exc import ArgumentError, DBAPIError

from stores.errors import InvalidError
from stores.lake.translation import Places, translated
from stores.lake.warehouse import CALL_TIMEOUT_S, DEFAULT_REGION, LOCAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stores.settings import LakeSettings, S3Settings

CATALOG_NAME = "riftline"
_WRONG_URI = (
    "RIFTLINE_CATALOG_URI is not a catalog; give sqlite:///file, postgresql://user:password@host/database or "
    "http://user:password@host:port, special characters percent-encoded"
)


def places_of(settings: LakeSettings) -> Places:
    """Where both are, for people: never with user or password."""
    catalog = urlsplit(settings.catalog_uri)
    where = catalog.netloc.rpartition("@")[2] or unquote(catalog.path)
    endpoint = f" on {settings.s3.endpoint}" if settings.s3.endpoint else ""
    return Places(f"{catalog.scheme}://{where}", f"{settings.warehouse}{endpoint}")


def catalog_properties(settings: LakeSettings) -> dict[str, str]:
    """The properties by which any client of pyiceberg opens the same catalog. They may hold passwords.

    Raises InvalidError naming the variable.
    """
    try:
        uri = urlsplit(settings.catalog_uri)
        login = f"{unquote(uri.username or '')}:{unquote(uri.password or '')}"
    except ValueError:
        raise InvalidError(_WRONG_URI, "RIFTLINE_CATALOG_URI") from None
    properties = {"name": CATALOG_NAME, "warehouse": settings.warehouse, **_s3_properties(settings.s3)}
    match uri.scheme.partition("+")[0]:
        case "http" | "https":
            plain = f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path}".rstrip("/")
            properties |= {"py-catalog-impl": "stores.lake.bounded.BoundedRestCatalog", "uri": plain}
            if login != ":":
                properties |= {"credential": login, "oauth2-server-uri": f"{plain}/v1/oauth/tokens"}
        case "postgresql" | "postgres" | "sqlite":
            properties |= {"py-catalog-impl": "stores.lake.bounded.BoundedSqlCatalog", "uri": settings.catalog_uri}
        case _:
            raise InvalidError(_WRONG_URI, "RIFTLINE_CATALOG_URI")
    return properties


def _s3_properties(s3: S3Settings) -> dict[str, str]:
    named = {
        "s3.endpoint": s3.endpoint,
        "s3.region": s3.region or (DEFAULT_REGION if s3.endpoint else ""),
        "s3.access-key-id": s3.access_key,
        "s3.secret-access-key": s3.secret_key,
        "s3.connect-timeout": str(CALL_TIMEOUT_S),
        "s3.request-timeout": str(CALL_TIMEOUT_S),
        "s3.retry-strategy-impl": "stores.lake.warehouse.TwoAttempts",
    }
    return {name: value for name, value in named.items() if value}


def open_catalog(properties: Mapping[str, str], places: Places) -> Catalog:
    """Open the catalog, and make it if it is new.

    Raises TransientError while its server is down and InvalidError for an address or a login that is wrong.
    """
    begun = time.monotonic()
    with translated(places, "the lake"):
        for pause_s in (0.05, 0.1, 0.2):  # several processes may make the tables of a new catalog at once
            try:
                return _load(properties)
            except DBAPIError:
                if time.monotonic() - begun > CALL_TIMEOUT_S:
                    raise
            time.sleep(pause_s)
        return _load(properties)


def _load(properties: Mapping[str, str]) -> Catalog:
    try:
        return load_catalog(**properties)
    except ArgumentError:  # its text may repeat the password
        raise InvalidError(_WRONG_URI, "RIFTLINE_CATALOG_URI") from None


def make_local_folders(settings: LakeSettings) -> None:
    """Make the folders of an embedded lake. Raises InvalidError naming the one that cannot be made."""
    catalog, warehouse = urlsplit(settings.catalog_uri), urlsplit(settings.warehouse)
    folders = []
    if catalog.scheme.partition("+")[0] == "sqlite":  # sqlite:///relative.db, sqlite:////absolute.db
        folders.append(Path(catalog.path.removeprefix("/")).parent)
    if warehouse.scheme == "file":
        folders.append(Path(settings.warehouse.removeprefix(LOCAL)))
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"the lake's folder {folder} cannot be made: {error.strerror}; choose another by RIFTLINE_HOME"
            raise InvalidError(reason, "RIFTLINE_HOME") from error
