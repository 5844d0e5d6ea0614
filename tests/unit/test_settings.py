"""Settings are read from the environment once, and what is wrong is named."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.errors import InvalidError
from stores.settings import Settings

PORTS = {
    "RIFTLINE_HTTP_PORT": "http_port",
    "RIFTLINE_DASHBOARD_PORT": "dashboard_port",
    "RIFTLINE_GCS_PORT": "gcs_port",
    "RIFTLINE_HAPROXY_METRICS_PORT": "haproxy_metrics_port",
    "RIFTLINE_HAPROXY_STATS_PORT": "haproxy_stats_port",
    "RIFTLINE_FALLBACK_HTTP_PORT": "fallback_http_port",
    "RIFTLINE_FALLBACK_GRPC_PORT": "fallback_grpc_port",
}
COUNTS = {
    "RIFTLINE_FEATURE_SHARDS": "feature_shards",
    "RIFTLINE_GATEWAY_REPLICAS": "gateway_replicas",
    "RIFTLINE_GATEWAY_MAX_REPLICAS": "gateway_max_replicas",
}


def test_with_no_configuration_everything_is_at_home(tmp_path: Path) -> None:
    """The embedded stores all write below the home folder."""
    settings = Settings.from_env({"RIFTLINE_HOME": str(tmp_path)})
    assert settings.home == tmp_path
    assert settings.postgres.data_dir == tmp_path / "postgres"
    assert settings.postgres.url == ""
    assert settings.lake.catalog_uri == f"sqlite:///{tmp_path}/lake/catalog.db"
    assert settings.lake.warehouse == f"file://{tmp_path}/lake/warehouse"


def test_the_default_home_is_absolute() -> None:
    """Processes with other working directories must mean the same folder."""
    assert Settings.from_env({}).home == Path.cwd() / ".riftline"


def test_a_tilde_is_the_users_home() -> None:
    """A shell does not expand it inside a file of variables."""
    assert Settings.from_env({"RIFTLINE_HOME": "~/rift"}).home == Path.home() / "rift"


@pytest.mark.parametrize(("name", "attribute"), [*PORTS.items(), *COUNTS.items()])
def test_numbers_are_read(name: str, attribute: str) -> None:
    """Each variable sets its own number and no other."""
    changed = Settings.from_env({name: "7"}).cluster
    default = Settings.from_env({}).cluster
    for other in (*PORTS.values(), *COUNTS.values()):
        assert getattr(changed, other) == (7 if other == attribute else getattr(default, other))


def test_texts_are_read() -> None:
    """Host and addresses are taken as given."""
    settings = Settings.from_env(
        {
            "RIFTLINE_HTTP_HOST": "0.0.0.0",  # noqa: S104 — only read
            "RIFTLINE_DATABASE_URL": "postgresql://db/riftline",
            "RIFTLINE_CATALOG_URI": "postgresql://db/catalog",
            "RIFTLINE_WAREHOUSE": "s3://lake/warehouse",
        }
    )
    assert settings.cluster.http_host == "0.0.0.0"  # noqa: S104
    assert settings.postgres.url == "postgresql://db/riftline"
    assert settings.lake.catalog_uri == "postgresql://db/catalog"
    assert settings.lake.warehouse == "s3://lake/warehouse"


@pytest.mark.parametrize("text", ["0", "-1", "+1", "1.5", "a", " 1", "1e3", "\u0661", "\u00b2", "9" * 5000])  # noqa: PLR2004, RUF100
@pytest.mark.parametrize("name", [*PORTS, *COUNTS])
def test_a_wrong_number_names_its_variable(name: str, text: str) -> None:
    """What is no positive whole number is refused by the variable's name, shortly."""
    with pytest.raises(InvalidError, match=name) as refused:
        Settings.from_env({name: text})
    assert refused.value.field == name
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("name", PORTS)
def test_a_port_ends_at_65535(name: str) -> None:
    """The largest port is taken, the next number refused."""
    assert getattr(Settings.from_env({name: "65535"}).cluster, PORTS[name]) == 65535
    with pytest.raises(InvalidError, match=name):
        Settings.from_env({name: "65536"})


@given(st.text(alphabet=st.characters(exclude_characters="0123456789"), min_size=1))
def test_no_text_passes_as_a_number(text: str) -> None:
    """Any text without a digit is refused, by InvalidError alone."""
    with pytest.raises(InvalidError):
        Settings.from_env({"RIFTLINE_HTTP_PORT": text})


def test_an_empty_variable_is_not_set() -> None:
    """Compose files and shells set what is left out to nothing."""
    names = ("HOME", "DATABASE_URL", "CATALOG_URI", "WAREHOUSE", "HTTP_HOST", "HTTP_PORT", "FEATURE_SHARDS")
    assert Settings.from_env({f"RIFTLINE_{name}": "" for name in names}) == Settings.from_env({})


@pytest.mark.parametrize("sign", ["?", "#"])
def test_a_home_that_no_uri_can_name_is_refused(tmp_path: Path, sign: str) -> None:
    """Such a path would be cut inside the catalog's and the warehouse's URI."""
    with pytest.raises(InvalidError) as refused:
        Settings.from_env({"RIFTLINE_HOME": str(tmp_path / f"a{sign}b")})
    assert refused.value.field == "RIFTLINE_HOME"


def test_passwords_are_never_shown() -> None:
    """Settings may be logged."""
    env = {
        "RIFTLINE_DATABASE_URL": "postgresql://user:hunter2@db/riftline",
        "RIFTLINE_CATALOG_URI": "postgresql://user:hunter2@db/catalog",
    }
    settings = Settings.from_env(env)
    assert "hunter2" in settings.postgres.url
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def test_settings_do_not_change() -> None:
    """They are values, passed down."""
    settings = Settings.from_env({})
    with pytest.raises(FrozenInstanceError):
        settings.home = Path("/")  # type: ignore[misc]


@pytest.mark.parametrize("warehouse", ["nonsense", "http://host/x", "s3://", "s3://key:s3cret@bucket", "file://"])
def test_what_is_no_warehouse_is_refused_and_not_repeated(warehouse: str) -> None:
    """It may hold a key."""
    with pytest.raises(InvalidError) as caught:
        Settings.from_env({"RIFTLINE_WAREHOUSE": warehouse})
    assert caught.value.field == "RIFTLINE_WAREHOUSE"
    assert "s3cret" not in str(caught.value)


def test_the_embedded_server_has_no_replica() -> None:
    """A replica's URL alone would be read as one of the embedded server."""
    with pytest.raises(InvalidError, match="RIFTLINE_DATABASE_URL"):
        Settings.from_env({"RIFTLINE_DATABASE_REPLICA_URL": "postgresql://h/d"})


def test_backups_go_to_the_server_itself() -> None:
    """Where the URL leads through a pooler, another one does not."""
    url, direct = "postgresql://pooler/d", "postgresql://server/d"
    assert Settings.from_env({"RIFTLINE_DATABASE_URL": url}).postgres.direct_url == url
    both = {"RIFTLINE_DATABASE_URL": url, "RIFTLINE_DATABASE_DIRECT_URL": direct}
    assert Settings.from_env(both).postgres.direct_url == direct


def test_access_is_open_local_and_shared_by_default(tmp_path: Path) -> None:
    """No key is required, the machine itself is trusted, and all replicas sign by one file."""
    access = Settings.from_env({"RIFTLINE_HOME": str(tmp_path)}).access
    assert not access.auth_required
    assert access.token_secrets_file == tmp_path / "token-secrets"
    assert access.trusted_proxies == ("127.0.0.0/8", "::1/128")


def test_access_is_read_and_its_secrets_are_not_shown() -> None:
    """Each variable sets its own field."""
    env = {
        "RIFTLINE_AUTH": "required",
        "RIFTLINE_RATE_LIMITS": "off",
        "RIFTLINE_TRUSTED_PROXIES": "127.0.0.1, 10.1.2.3/8",
        "RIFTLINE_TOKEN_SECRETS": "hunter2",
        "RIFTLINE_TOKEN_SECRETS_FILE": "/run/secrets/tokens",
    }
    access = Settings.from_env(env).access
    assert (access.auth_required, access.rate_limits, access.token_secrets) == (True, "off", "hunter2")
    assert access.trusted_proxies == ("127.0.0.1/32", "10.0.0.0/8")
    assert access.token_secrets_file == Path("/run/secrets/tokens")
    assert "hunter2" not in repr(access)


@pytest.mark.parametrize(
    ("name", "text"),
    [("RIFTLINE_AUTH", "maybe"), ("RIFTLINE_RATE_LIMITS", "few"), ("RIFTLINE_TRUSTED_PROXIES", "127.0.0.1,localhost")],
)
def test_wrong_access_names_its_variable(name: str, text: str) -> None:
    """A misspelt rule must not leave the door open."""
    with pytest.raises(InvalidError) as refused:
        Settings.from_env({name: text})
    assert refused.value.field == name


def test_the_web_is_closed_by_default_and_opened_by_name() -> None:
    """No page may ask unless its origin is named; the time of a request ends before HAProxy's."""
    web = Settings.from_env({}).web
    assert (web.cors_origins, web.request_timeout_s) == ((), 9)
    env = {"RIFTLINE_CORS_ORIGINS": "https://a.example/, http://localhost:3000", "RIFTLINE_REQUEST_TIMEOUT_S": "3"}
    web = Settings.from_env(env).web
    assert (web.cors_origins, web.request_timeout_s) == (("https://a.example", "http://localhost:3000"), 3)
    assert Settings.from_env({"RIFTLINE_CORS_ORIGINS": "*"}).web.cors_origins == ("*",)


def test_a_cdn_is_purged_where_it_is_named() -> None:
    """None is by default; its token is shown nowhere."""
    assert Settings.from_env({}).web.cdn_purge_url == ""
    url = "https://api.fastly.com/service/x/purge"
    web = Settings.from_env({"RIFTLINE_CDN_PURGE_URL": url, "RIFTLINE_CDN_TOKEN": "hunter2"}).web
    assert (web.cdn_purge_url, web.cdn_token) == (url, "hunter2")
    assert "hunter2" not in repr(web)


@pytest.mark.parametrize(
    "url", ["api.fastly.com/x", "https://", "https:///x", "https://u:hunter2@cdn/x", "ftp://cdn/x", "https://c:x/"]
)
def test_a_wrong_purge_url_is_named_and_not_repeated(url: str) -> None:
    """It may hold a password, which belongs elsewhere."""
    with pytest.raises(InvalidError) as caught:
        Settings.from_env({"RIFTLINE_CDN_PURGE_URL": url})
    assert caught.value.field == "RIFTLINE_CDN_PURGE_URL"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("origins", ["a.example", "https://", "https://a.example/path", "ftp://a.example", "null"])
def test_a_wrong_origin_is_named(origins: str) -> None:
    """An origin is scheme and host, and perhaps a port."""
    with pytest.raises(InvalidError) as caught:
        Settings.from_env({"RIFTLINE_CORS_ORIGINS": origins})
    assert caught.value.field == "RIFTLINE_CORS_ORIGINS"


def test_the_model_is_placed() -> None:
    """In the gateway by default; elsewhere, in at least and at most so many replicas."""
    assert not Settings.from_env({}).model.composed
    given = {"RIFTLINE_PLACEMENT": "composed", "RIFTLINE_MODEL_REPLICAS": "3", "RIFTLINE_MODEL_MAX_REPLICAS": "5"}
    placed = Settings.from_env(given).model
    assert (placed.composed, placed.replicas, placed.max_replicas) == (True, 3, 5)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"RIFTLINE_PLACEMENT": "elsewhere"}, "RIFTLINE_PLACEMENT"),
        ({"RIFTLINE_MODEL_REPLICAS": "3", "RIFTLINE_MODEL_MAX_REPLICAS": "2"}, "RIFTLINE_MODEL_MAX_REPLICAS"),
        ({"RIFTLINE_GATEWAY_REPLICAS": "3", "RIFTLINE_GATEWAY_MAX_REPLICAS": "2"}, "RIFTLINE_GATEWAY_MAX_REPLICAS"),
    ],
)
def test_a_placement_that_cannot_be_is_named(given: dict[str, str], named: str) -> None:
    """Neither of the two, or fewer at most than at least."""
    with pytest.raises(InvalidError, match=named) as caught:
        Settings.from_env(given)
    assert caught.value.field == named
