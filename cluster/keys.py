"""The `riftline keys` commands: who may ask, by API keys."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cluster.exit_codes import errors_as_exit_codes
from cluster.key_tables import show_keys, show_new_key
from cluster.models import actor
from cluster.show import people, print_json
from stores.clock import utc_now
from stores.domain.api_keys import KEY_MARK, ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.users import SubscriptionTier
from stores.errors import NotFoundError, RiftlineError
from stores.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stores.postgres.pool import Pool
    from stores.roles.api_keys import ApiKeys

T = TypeVar("T")

app = typer.Typer(help="Make, list and revoke the API keys by which programs ask.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


@app.command(
    epilog="Examples: riftline keys create my-bot · riftline keys create dashboard --scope read --expires 90 · "
    "riftline keys create partner --tier enterprise --scope predict --scope read --json"
)
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, in words.", metavar="NAME")],
    tier: Annotated[SubscriptionTier, typer.Option(help="How much may be asked with it.")] = SubscriptionTier.FREE,
    scope: Annotated[list[Scope] | None, typer.Option(help="What for. Default: predict and read.")] = None,
    expires: Annotated[
        int | None, typer.Option(min=1, max=36_500, metavar="DAYS", help="Default: when it is revoked.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and show it, this once: only its digest is kept."""
    with errors_as_exit_codes():
        secret, now = new_key(), utc_now()
        key = ApiKey(
            name=name,
            prefix=prefix_of(secret) or "",
            digest=digest_of(secret),
            tier=tier,
            scopes=tuple(dict.fromkeys(scope or (Scope.PREDICT, Scope.READ))),
            created_at=now,
            expires_at=None if expires is None else now + timedelta(days=expires),
        )
        stored = _ask(Settings.from_env(os.environ), lambda keys: keys.create(key), "api_key_create")
    if json:
        print_json({"key": secret, **_shown(stored)})
    else:
        show_new_key(secret, stored)


@app.command("list", epilog="Examples: riftline keys list · riftline keys list --json | jq '.[0].prefix'")
def list_keys(json: Json = False) -> None:
    """Show every key, the newest first, by the prefix it is known by."""
    with errors_as_exit_codes():
        found = _ask(Settings.from_env(os.environ), lambda keys: keys.list())
    if json:
        print_json([_shown(key) for key in found])
    else:
        show_keys(found, utc_now())


@app.command(epilog="Examples: riftline keys revoke 3fk29x0a · riftline keys revoke rl_live_3fk29x0a --json")
def revoke(
    prefix: Annotated[
        str, typer.Argument(help="As `riftline keys list` shows it, with rl_live_ or without.", metavar="PREFIX")
    ],
    json: Json = False,
) -> None:
    """End a key. Requests with it are refused at once, and after 30 s where Redis does not carry the news."""
    with errors_as_exit_codes():
        settings, meant = Settings.from_env(os.environ), prefix_of(prefix) or prefix.removeprefix(KEY_MARK)
        try:
            key = _ask(settings, lambda keys: keys.revoke(meant, utc_now()), "api_key_revoke")
        except NotFoundError:
            raise NotFoundError(f"there is no API key {meant}; `riftline keys list` shows those there are") from None
        told = asyncio.run(_tell(settings, key))
    if json:
        print_json({**_shown(key), "told": told})
    else:
        people.print(f"{key.prefix} ({key.name}) is revoked.", highlight=False, markup=False)


def _shown(key: ApiKey) -> dict[str, Any]:
    return {name: value for name, value in asdict(key).items() if name != "digest"}


def _ask(settings: Settings, question: Callable[[ApiKeys], Awaitable[T]], action: str = "") -> T:
    """What the store of keys answers; an ``action`` is written down in the audit trail, with who did it."""
    from cluster.database import start_database  # noqa: PLC0415 — the driver, which `--help` does not need
    from stores.postgres.api_keys import PostgresApiKeys  # noqa: PLC0415
    from stores.postgres.pool import open_pool  # noqa: PLC0415

    url = start_database(settings)

    async def ask() -> T:
        pool = await open_pool(url, 1)
        try:
            answer = await question(PostgresApiKeys(pool))
            if isinstance(answer, ApiKey):
                await _write_down(pool, action, answer)
            return answer
        finally:
            await pool.close()

    return asyncio.run(ask())


async def _write_down(pool: Pool, action: str, key: ApiKey) -> None:
    from stores.domain.audit import AuditEvent  # noqa: PLC0415
    from stores.domain.time_ids import new_time_id  # noqa: PLC0415
    from stores.postgres.audit_log import PostgresAuditLog  # noqa: PLC0415

    done = AuditEvent(
        log_id=new_time_id(utc_now()),
        action=action,
        success=True,
        resource_type="api_key",
        resource_id=key.api_key_id,
        event_data={"actor": actor(), "prefix": key.prefix, "name": key.name},
    )
    await PostgresAuditLog(pool).record(done)


async def _tell(settings: Settings, key: ApiKey) -> bool:
    """Tell the replicas that a key changed; whether Redis took the message."""
    from stores.domain.invalidation import Changed, Invalidation  # noqa: PLC0415
    from stores.redis_store import embedded  # noqa: PLC0415
    from stores.redis_store.connection import open_redis  # noqa: PLC0415
    from stores.redis_store.invalidation import RedisInvalidations  # noqa: PLC0415

    url = settings.redis.url or embedded.running_url(settings.redis.data_dir)
    if not url:
        return False
    try:
        connection = await open_redis(url)
    except RiftlineError:
        return False
    try:
        names = (key.prefix, str(key.api_key_id))
        await RedisInvalidations(connection).publish(Invalidation(Changed.API_KEY, names))
    except RiftlineError:
        return False
    finally:
        await connection.close()
    return True
