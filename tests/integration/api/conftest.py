"""The whole app over real embedded servers, a small model and a small world; no Ray and no sockets of its own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from fastapi.testclient import TestClient

from serve_apps.api import ApiSettings, create_api
from serve_apps.destinations import Destinations
from stores.clock import utc_now
from stores.domain.api_keys import ApiKey, Scope, digest_of, new_key, prefix_of
from stores.domain.models import MODEL_NAME, ModelRecord
from stores.domain.users import AuthMethod, AuthType, SubscriptionTier, User, UserProfile
from stores.features.schema import FEATURE_VERSION
from stores.lake.artifacts import WarehouseArtifacts
from stores.postgres import embedded as embedded_postgres
from stores.postgres.api_keys import PostgresApiKeys
from stores.postgres.migrate import migrate
from stores.postgres.models import PostgresModelRegistry
from stores.postgres.pool import open_pool
from stores.postgres.users import PostgresUsers
from stores.redis_store import embedded as embedded_redis
from stores.settings import AccessSettings, WebSettings
from tests.unit.conftest import small_model  # noqa: F401  # a fixture
from tests.unit.small_world import PLAYERS, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from actors.ensemble import PropEnsemble
    from actors.feature_view import FeatureView

VERSION = "2026.06.01"
ORIGIN = "https://app.example"


class OneView:
    """A feed that has one view, once."""

    age_s = 0.0

    async def newer_than(self, known: FeatureView | None) -> FeatureView | None:
        """The view, to whoever knows none."""
        return None if known else world(PLAYERS)


@dataclass(frozen=True, slots=True)
class Api:
    """The running app: its client, and the headers by which its callers are known."""

    client: TestClient
    settings: ApiSettings
    redis_dir: Path
    user: dict[str, str] = field(default_factory=dict)
    other: dict[str, str] = field(default_factory=dict)
    admin: dict[str, str] = field(default_factory=dict)
    nobody: dict[str, str] = field(default_factory=dict)

    def ask(self, headers: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
        """The answer to a valid question, changed as given."""
        said = self.client.post("/predict/single", json=question(**changes), headers=headers or {})
        assert said.status_code == 200, said.text
        answer: dict[str, Any] = said.json()
        return answer


def question(**changes: Any) -> dict[str, Any]:
    """A valid question, changed as given."""
    return {"player_names": ["Faker"], "prop_type": "kills", "prop_value": 3.5, "map_range": [1, 2], **changes}


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder under a short path: a socket's path ends at 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="ra-", dir="/tmp"))
    folder.chmod(0o755)  # the database's own system user passes through
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def settings(home: Path, small_model: PropEnsemble) -> Iterator[ApiSettings]:  # noqa: F811  # the fixture
    """A database with a released model, and an empty Redis."""
    try:
        database_url = embedded_postgres.start(home / "pg")
        redis_url = embedded_redis.start(home / "redis")
        warehouse = f"file://{home}/warehouse"
        asyncio.run(_release(database_url, warehouse, small_model))
        yield ApiSettings(
            database_url=database_url,
            pool_size=4,
            warehouse=warehouse,
            redis_url=redis_url,
            destinations=Destinations(home / "journal"),
            access=AccessSettings(home / "token-secrets", rate_limits="off"),
            web=WebSettings(cors_origins=(ORIGIN,), request_timeout_s=20),
        )
    finally:
        embedded_redis.stop(home / "redis")
        embedded_postgres.stop(home / "pg")


@pytest.fixture(scope="session")
def api(settings: ApiSettings, home: Path) -> Iterator[Api]:
    """The app, started once, with callers of its own."""
    keys = asyncio.run(_callers(settings.database_url))
    headers = [{"Authorization": f"Bearer {key}"} for key in keys]
    with TestClient(create_api(settings, OneView()), raise_server_exceptions=False) as client:
        yield Api(client, settings, home / "redis", *headers)


async def _release(database_url: str, warehouse: str, model: PropEnsemble) -> None:
    stored = WarehouseArtifacts(warehouse).save(VERSION, model.to_files())
    pool = await open_pool(database_url, 1)
    await migrate(pool)
    registry = PostgresModelRegistry(pool)
    await registry.register(
        ModelRecord(
            model_name=MODEL_NAME,
            model_version=VERSION,
            framework="xgboost",
            algorithm="poisson",
            hyperparameters={},
            feature_schema={},
            feature_version=FEATURE_VERSION,
            training_metrics={},
            model_artifact_path=stored.path,
            model_size_bytes=stored.size_bytes,
            checksum=stored.checksum,
            lake_snapshot_id=11,
            trained_at=datetime(2026, 6, 1, tzinfo=UTC),
        )
    )
    await registry.promote(MODEL_NAME, VERSION, force=True, reason="a test")
    await pool.close()


async def _callers(database_url: str) -> list[str]:
    """Keys of two users, of an administrator, and of a program without a user."""
    pool = await open_pool(database_url, 1)
    keys = [
        await _key(pool, await _user(pool, "one"), Scope.PREDICT, Scope.READ),
        await _key(pool, await _user(pool, "other"), Scope.PREDICT, Scope.READ),
        await _key(pool, await _user(pool, "admin"), Scope.ADMIN),
        await _key(pool, None, Scope.PREDICT, Scope.READ),
    ]
    await pool.close()
    return keys


async def _user(pool: Any, name: str) -> UUID:
    user = User(email=f"{name}@example.org", username=name)
    method = AuthMethod(auth_type=AuthType.OAUTH_GOOGLE, provider_id=name, is_primary=True)
    return (await PostgresUsers(pool).create(user, method, UserProfile())).user_id


async def _key(pool: Any, user_id: UUID | None, *scopes: Scope) -> str:
    key = new_key()
    record = ApiKey(
        name="a test",
        prefix=prefix_of(key) or "",
        digest=digest_of(key),
        tier=SubscriptionTier.FREE,
        scopes=scopes,
        created_at=utc_now(),
        api_key_id=uuid4(),
        user_id=user_id,
    )
    await PostgresApiKeys(pool).create(record)
    return key
