"""All settings: frozen values, built once at the top by `Settings.from_env` and passed down.

With no configuration everything lives in `.riftline` under the working directory and needs no server to be installed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from stores.domain.quotas import parse_limits
from stores.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class PostgresSettings:
    """Where PostgreSQL is. ``url`` empty: the embedded server in ``data_dir``; ``replica_url`` empty: no replica.

    ``direct_url`` is the server itself where ``url`` leads through a pooler: backups need it.
    """

    data_dir: Path
    url: str = field(default="", repr=False)  # holds a password
    replica_url: str = field(default="", repr=False)
    direct_url: str = field(default="", repr=False)
    pool_size: int = 4  # a replica's writer sends one batch at a time; the rest is reading


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is: a single node or any node of a cluster. ``url`` empty: the embedded server in ``data_dir``."""

    data_dir: Path
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class ClickHouseSettings:
    """Where ClickHouse is. ``url`` (http or https) empty means its engine in this process, over ``data_dir``.

    ``spill_dir`` keeps the rows that the server has not taken yet.
    """

    data_dir: Path
    spill_dir: Path
    url: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class InfluxSettings:
    """Where InfluxDB 2 is. ``url`` empty means that points are kept in PostgreSQL."""

    url: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    org: str = "riftline"


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """The brokers of Kafka, ``host:port`` with commas. Empty means that the event log is kept in Redis Streams."""

    bootstrap_servers: str = ""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """How an S3 warehouse is reached. Empty fields are found as the AWS tools find them."""

    endpoint: str = ""
    region: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class LakeSettings:
    """Where the Iceberg catalog and its warehouse are, as URIs.

    A catalog is a database (``sqlite:``, ``postgresql:``) or a REST catalog (``http:``, ``https:``); a warehouse is a
    folder (``file:``) or a bucket (``s3:``).
    """

    catalog_uri: str = field(repr=False)  # may hold a password
    warehouse: str
    s3: S3Settings = S3Settings()


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Where the local Ray cluster listens. Ray's workers take 10002 to 19999, so all of these stay below."""

    http_host: str = "127.0.0.1"
    http_port: int = 8000
    dashboard_port: int = 8265
    gcs_port: int = 6380
    haproxy_metrics_port: int = 9123  # 9101, the default, is often taken, and then the ingress dies silently
    haproxy_stats_port: int = 8405
    fallback_http_port: int = 8505  # Serve's own proxy behind HAProxy; two clusters on one port answer for each other
    fallback_grpc_port: int = 9505
    min_cpus: int = 4  # logical; the pipeline is mostly waiting, and two cores must hold shards, gateway and a job
    feature_shards: int = 2
    gateway_replicas: int = 2  # one for each core of a small machine; one may die, or be replaced, and nobody notices
    gateway_max_replicas: int = 0  # more than the above: so many may come with the load

    @property
    def base_url(self) -> str:
        """Where the API listens."""
        return f"http://{self.http_host}:{self.http_port}"


@dataclass(frozen=True, slots=True)
class ModelPlacement:
    """Where the ensemble answers. ``composed``: in a deployment of its own, of at least ``replicas``; not: in the
    gateway. With ``max_replicas`` above that, so many may come with the load.
    """

    composed: bool = False
    replicas: int = 1
    max_replicas: int = 2


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """When the cluster watches the model by itself, and when it is trained again. Not ``enabled``: by hand only."""

    enabled: bool = True
    every_s: int = 86_400  # a day: results come in day by day, and the figures of a day are one row
    retrain_after_days: int = 7  # of age of the champion; leagues play by the week


@dataclass(frozen=True, slots=True)
class MlflowSettings:
    """Where MLflow is. ``tracking_uri`` empty: training runs are mirrored nowhere."""

    tracking_uri: str = field(default="", repr=False)  # may hold a password


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Who may ask and how much. ``rate_limits``: see `stores.domain.quotas.parse_limits`.

    ``token_secrets`` holds the secrets that sign tokens, the current one first, the former ones after commas. Empty:
    the lines of ``token_secrets_file``, which is made with a random one where there is none.
    ``trusted_proxies`` are networks whose X-Forwarded-For is believed and who are not counted themselves.
    """

    token_secrets_file: Path
    token_secrets: str = field(default="", repr=False)
    auth_required: bool = False
    rate_limits: str = ""
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # HAProxy runs on the node of its replicas


@dataclass(frozen=True, slots=True)
class WebSettings:
    """What browsers may do, and how long anyone waits. ``cors_origins`` may ask from a page; ``*`` is every origin.

    ``cdn_purge_url`` is where a CDN takes purges, by ``cdn_token``. Empty: there is no CDN.
    """

    cors_origins: tuple[str, ...] = ()
    request_timeout_s: int = 9  # HAProxy hangs up after 10
    cdn_purge_url: str = ""
    cdn_token: str = field(default="", repr=False)


PORT_VARIABLES = {
    "RIFTLINE_HTTP_PORT": "http_port",
    "RIFTLINE_DASHBOARD_PORT": "dashboard_port",
    "RIFTLINE_GCS_PORT": "gcs_port",
    "RIFTLINE_HAPROXY_METRICS_PORT": "haproxy_metrics_port",
    "RIFTLINE_HAPROXY_STATS_PORT": "haproxy_stats_port",
    "RIFTLINE_FALLBACK_HTTP_PORT": "fallback_http_port",
    "RIFTLINE_FALLBACK_GRPC_PORT": "fallback_grpc_port",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration. ``home`` holds everything that the embedded stores write."""

    home: Path
    postgres: PostgresSettings
    redis: RedisSettings
    clickhouse: ClickHouseSettings
    influx: InfluxSettings
    kafka: KafkaSettings
    lake: LakeSettings
    cluster: ClusterSettings
    access: AccessSettings
    web: WebSettings
    model: ModelPlacement
    watch: WatchSettings
    mlflow: MlflowSettings

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Build the settings from RIFTLINE_* and MLFLOW_TRACKING_URI. Raises InvalidError naming the variable."""
        env = {name: value for name, value in env.items() if value}  # an empty variable is not set
        home = _home(env)
        return cls(
            home=home,
            postgres=_postgres(env, home),
            redis=RedisSettings(data_dir=home / "redis", url=env.get("RIFTLINE_REDIS_URL", "")),
            clickhouse=ClickHouseSettings(
                data_dir=home / "clickhouse",
                spill_dir=home / "spill",
                url=env.get("RIFTLINE_CLICKHOUSE_URL", ""),
            ),
            influx=InfluxSettings(
                url=env.get("RIFTLINE_INFLUX_URL", ""),
                token=env.get("RIFTLINE_INFLUX_TOKEN", ""),
                org=env.get("RIFTLINE_INFLUX_ORG", "riftline"),
            ),
            kafka=KafkaSettings(bootstrap_servers=env.get("RIFTLINE_KAFKA_SERVERS", "")),
            lake=_lake(env, home),
            cluster=_cluster(env),
            access=_access(env, home),
            web=_web(env),
            model=_model(env),
            watch=_watch(env),
            mlflow=MlflowSettings(env.get("MLFLOW_TRACKING_URI", "")),
        )


def _postgres(env: Mapping[str, str], home: Path) -> PostgresSettings:
    url, replica_url = env.get("RIFTLINE_DATABASE_URL", ""), env.get("RIFTLINE_DATABASE_REPLICA_URL", "")
    if replica_url and not url:
        raise InvalidError("a replica is of a server; set RIFTLINE_DATABASE_URL too", "RIFTLINE_DATABASE_REPLICA_URL")
    direct_url = env.get("RIFTLINE_DATABASE_DIRECT_URL", url)
    return PostgresSettings(home / "postgres", url, replica_url, direct_url)


def _lake(env: Mapping[str, str], home: Path) -> LakeSettings:
    return LakeSettings(
        catalog_uri=env.get("RIFTLINE_CATALOG_URI", f"sqlite:///{home}/lake/catalog.db"),
        warehouse=_warehouse(env, f"file://{home}/lake/warehouse"),
        s3=S3Settings(
            endpoint=env.get("RIFTLINE_S3_ENDPOINT", ""),
            region=env.get("RIFTLINE_S3_REGION", ""),
            access_key=env.get("RIFTLINE_S3_ACCESS_KEY", ""),
            secret_key=env.get("RIFTLINE_S3_SECRET_KEY", ""),
        ),
    )


def _cluster(env: Mapping[str, str]) -> ClusterSettings:
    defaults = ClusterSettings()
    return ClusterSettings(
        http_host=env.get("RIFTLINE_HTTP_HOST", defaults.http_host),
        **{field: _port(env, variable, getattr(defaults, field)) for variable, field in PORT_VARIABLES.items()},
        feature_shards=_count(env, "RIFTLINE_FEATURE_SHARDS", defaults.feature_shards),
        **_span(env, "RIFTLINE_GATEWAY", "gateway_", defaults.gateway_replicas, defaults.gateway_max_replicas),
    )


def _model(env: Mapping[str, str]) -> ModelPlacement:
    placement = env.get("RIFTLINE_PLACEMENT", "colocated")
    if placement not in {"colocated", "composed"}:
        raise InvalidError(
            f"RIFTLINE_PLACEMENT={placement[:20]!r} is neither colocated nor composed", "RIFTLINE_PLACEMENT"
        )
    defaults = ModelPlacement()
    counts = _span(env, "RIFTLINE_MODEL", "", defaults.replicas, defaults.max_replicas)
    return ModelPlacement(composed=placement == "composed", **counts)


def _span(env: Mapping[str, str], name: str, field: str, replicas: int, most: int) -> dict[str, int]:
    """How many replicas there are, and how many there may be."""
    replicas = _count(env, f"{name}_REPLICAS", replicas)
    if f"{name}_MAX_REPLICAS" in env:
        most = _count(env, f"{name}_MAX_REPLICAS", most)
        if most < replicas:
            raise InvalidError(
                f"{name}_MAX_REPLICAS={most} is less than {name}_REPLICAS={replicas}", f"{name}_MAX_REPLICAS"
            )
    return {f"{field}replicas": replicas, f"{field}max_replicas": most}


def _access(env: Mapping[str, str], home: Path) -> AccessSettings:
    auth = env.get("RIFTLINE_AUTH", "optional")
    if auth not in {"optional", "required"}:
        raise InvalidError(f"RIFTLINE_AUTH={auth[:20]!r} is neither optional nor required", "RIFTLINE_AUTH")
    rate_limits = env.get("RIFTLINE_RATE_LIMITS", "")
    parse_limits(rate_limits)
    secrets_file = Path(env.get("RIFTLINE_TOKEN_SECRETS_FILE", home / "token-secrets")).expanduser().absolute()
    proxies = env.get("RIFTLINE_TRUSTED_PROXIES", "")
    return AccessSettings(
        token_secrets_file=secrets_file,
        token_secrets=env.get("RIFTLINE_TOKEN_SECRETS", ""),
        auth_required=auth == "required",
        rate_limits=rate_limits,
        trusted_proxies=_networks(proxies) if proxies else AccessSettings(secrets_file).trusted_proxies,
    )


def _web(env: Mapping[str, str]) -> WebSettings:
    name = "RIFTLINE_CORS_ORIGINS"
    origins = tuple(part.strip().rstrip("/") for part in env.get(name, "").split(",") if part.strip())
    for origin in origins:
        scheme, _, host = origin.partition("://")
        if origin != "*" and (scheme not in {"http", "https"} or not host or "/" in host):
            raise InvalidError(f"{name} has {origin[:60]!r}, which is no origin; give https://app.example", name)
    timeout_s = _count(env, "RIFTLINE_REQUEST_TIMEOUT_S", WebSettings().request_timeout_s)
    return WebSettings(origins, timeout_s, *_cdn(env))


def _cdn(env: Mapping[str, str]) -> tuple[str, str]:
    """Where to purge, and by which token. Neither is repeated by an error: each may be the secret."""
    url, token = env.get("RIFTLINE_CDN_PURGE_URL", ""), env.get("RIFTLINE_CDN_TOKEN", "")
    if url and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?", url):
        raise InvalidError(
            "RIFTLINE_CDN_PURGE_URL is no URL to purge at; give https://host/path, the token in RIFTLINE_CDN_TOKEN",
            "RIFTLINE_CDN_PURGE_URL",
        )
    if not re.fullmatch("[!-~]*", token):
        raise InvalidError("RIFTLINE_CDN_TOKEN has characters that no header takes", "RIFTLINE_CDN_TOKEN")
    return url, token


def _networks(text: str) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(part.strip(), strict=False)) for part in text.split(","))
    except ValueError:
        raise InvalidError(
            f"RIFTLINE_TRUSTED_PROXIES={text[:60]!r} is no list of networks; give 127.0.0.1,10.0.0.0/8",
            "RIFTLINE_TRUSTED_PROXIES",
        ) from None


def _watch(env: Mapping[str, str]) -> WatchSettings:
    defaults = WatchSettings()
    return WatchSettings(
        enabled=_switch(env, "RIFTLINE_WATCH", default=defaults.enabled),
        every_s=_count(env, "RIFTLINE_WATCH_EVERY_S", defaults.every_s),
        retrain_after_days=_count(env, "RIFTLINE_RETRAIN_AFTER_DAYS", defaults.retrain_after_days),
    )


def _home(env: Mapping[str, str]) -> Path:
    home = Path(env.get("RIFTLINE_HOME", ".riftline")).expanduser().resolve()
    if set("?#") & set(str(home)):  # they end the path of a URI, and the catalog and the warehouse are named by URIs
        raise InvalidError(f"RIFTLINE_HOME={str(home)!r} holds ? or #; choose another folder", "RIFTLINE_HOME")
    return home


def _warehouse(env: Mapping[str, str], default: str) -> str:
    warehouse = env.get("RIFTLINE_WAREHOUSE", default)
    scheme, _, place = warehouse.partition("://")
    if (
        scheme not in {"file", "s3"} or not place or (scheme == "s3" and "@" in place)
    ):  # never repeated: it may be a key
        raise InvalidError(
            "RIFTLINE_WAREHOUSE is no warehouse; give file:///folder or s3://bucket, its keys in RIFTLINE_S3_…",
            "RIFTLINE_WAREHOUSE",
        )
    return warehouse


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    value = _count(env, name, default)
    if not value < 65536:
        raise InvalidError(f"{name}={value} is not a port; give 1 to 65535", name)
    return value


def _switch(env: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = env.get(name, "on" if default else "off")
    if text not in {"on", "off"}:
        raise InvalidError(f"{name}={text[:20]!r} is neither on nor off", name)
    return text == "on"


def _count(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):  # int() refuses endless digits
        raise InvalidError(f"{name}={text[:20]!r} is not a positive whole number", name)
    return int(text)
