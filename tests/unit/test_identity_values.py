"""Users, sessions, definitions, measures, configurations, calls and events are right once they exist."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID, uuid4

import pytest

from stores.domain.audit import AuditEvent, AuditQuery
from stores.domain.configurations import ConfigType, Configuration
from stores.domain.feature_definitions import DataType, FeatureDefinition, FeatureType
from stores.domain.model_performance import DailyPerformance
from stores.domain.time_ids import new_time_id
from stores.domain.usage import ApiCall
from stores.domain.user_sessions import UserSession, new_session_token, session_id_of
from stores.domain.users import AuthMethod, AuthType, User, UserProfile, check_credentials, identity_key
from stores.errors import InvalidError
from stores.features.definitions import model_feature_definitions
from stores.features.schema import MODEL_FEATURES

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
USER = User(email="faker@example.org", username="Faker", password_hash="$argon2id$x")  # noqa: S106
PROFILE = UserProfile(
    first_name="a", last_name="a", display_name="a", avatar_url="a", riot_account_id="a", summoner_name="a", region="a"
)
METHOD = AuthMethod(auth_type=AuthType.OAUTH_RIOT, provider_id="p", auth_data={})
SESSION = UserSession(
    session_id=session_id_of("t"),
    user_id=UUID(int=1),
    created_at=NOON,
    last_activity_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    device_fingerprint="a",
    user_agent="a",
    location_data={},
)
DEFINITION = FeatureDefinition(
    feature_name="a",
    feature_type=FeatureType.TEXT,
    data_type=DataType.STRING,
    computation_logic="a",
    description="a",
    business_context="a",
    validation_rules={},
    data_quality_checks={},
)
PERFORMANCE = DailyPerformance(model_id=UUID(int=1), metric_date=date(2026, 3, 14))
CONFIGURATION = Configuration(config_key="a", config_value={}, config_type=ConfigType.SECRET, description="a")
CALL = ApiCall(
    usage_id=new_time_id(NOON), endpoint="a", http_method="a", status_code=200, rate_limit_key="a", user_agent="a"
)
EVENT = AuditEvent(
    log_id=new_time_id(NOON),
    action="a",
    success=True,
    resource_type="a",
    event_data={},
    user_agent="a",
    session_id=session_id_of("t"),
    error_message="a",
)
QUERY = AuditQuery(action="a", resource_type="a")
VALUES: tuple[Any, ...] = (
    USER,
    PROFILE,
    METHOD,
    SESSION,
    DEFINITION,
    PERFORMANCE,
    CONFIGURATION,
    CALL,
    EVENT,
    QUERY,
)


def text_fields() -> list[tuple[Any, str]]:
    """Every field of every value that holds a plain text; enumerations are texts of our own."""
    return [
        (value, field.name) for value in VALUES for field in fields(value) if type(getattr(value, field.name)) is str
    ]


def test_the_values_fill_every_text() -> None:
    """The table below is whole: no text field of these classes is left empty by the examples."""
    declared = {
        (type(value).__name__, field.name) for value in VALUES for field in fields(value) if "str" in str(field.type)
    }
    containers = {"dict", "tuple"}
    kept = {
        (type(value).__name__, field.name)
        for value in VALUES
        for field in fields(value)
        if any(container in str(field.type) for container in containers)
    }
    assert {(type(value).__name__, name) for value, name in text_fields()} == declared - kept


@pytest.mark.parametrize("text", ["a\0b@c", "half\ud83c@c", "x" * 65_537 + "@c"], ids=["nul", "surrogate", "long"])
@pytest.mark.parametrize(("value", "field"), text_fields(), ids=lambda part: part if isinstance(part, str) else None)
def test_a_text_that_no_store_holds_is_named(value: Any, field: str, text: str) -> None:
    """NUL, half a surrogate pair and too much text are refused in every text field of every value."""
    with pytest.raises(InvalidError) as caught:
        replace(value, **{field: text})
    assert caught.value.field == field
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "field", "wrong"),
    [
        (USER, "email", "no-at-sign"),
        (USER, "email", "@host"),
        (USER, "email", "name@"),
        (USER, "email", "two words@host"),
        (USER, "email", " a@b"),
        (USER, "email", "\ufdfa" * 100 + "@x"),  # one letter that folds into eighteen
        (USER, "username", ""),
        (USER, "username", "a\u200bb"),
        (USER, "username", "a\nb"),
        (USER, "username", "\ufdfa" * 50),
        (USER, "password_hash", ""),
        (USER, "metadata", []),
        (PROFILE, "timezone", ""),
        (PROFILE, "preferences", None),
        (METHOD, "provider_id", None),
        (METHOD, "auth_data", []),
        pytest.param(SESSION, "session_id", new_session_token(), id="a session's token"),
        (SESSION, "expires_at", NOON),
        (SESSION, "created_at", NOON.replace(tzinfo=None)),
        (SESSION, "ip_address", ip_address("fe80::1%1")),
        (DEFINITION, "dependencies", ("a",) * 1001),
        (DEFINITION, "validation_rules", []),
        (PERFORMANCE, "accuracy", 1.0001),
        (PERFORMANCE, "recall_score", float("nan")),
        (PERFORMANCE, "feature_drift_score", float("inf")),
        (PERFORMANCE, "total_predictions", -1),
        (PERFORMANCE, "over_predictions", 2**63),
        (CONFIGURATION, "config_value", None),
        (CONFIGURATION, "config_value", object()),
        (CALL, "usage_id", uuid4()),
        (CALL, "status_code", 99),
        (CALL, "response_time_ms", float("nan")),
        (CALL, "requests_in_window", 2**31),
        (CALL, "window_start", NOON.replace(tzinfo=None)),
        (EVENT, "log_id", uuid4()),
        pytest.param(EVENT, "session_id", new_session_token(), id="an event's token"),
        (EVENT, "event_data", []),
        (QUERY, "since", NOON.replace(tzinfo=None)),
    ],
)
def test_a_wrong_value_is_named(value: Any, field: str, wrong: Any) -> None:
    """What is out of shape names its field, whichever it is."""
    with pytest.raises(InvalidError) as caught:
        replace(value, **{field: wrong})
    assert caught.value.field == field


def test_counts_of_a_day_fit_together() -> None:
    """No part is more than the whole."""
    for name in ("over_predictions", "under_predictions", "correct_predictions"):
        counts: dict[str, Any] = {"total_predictions": 5, name: 6}
        with pytest.raises(InvalidError) as caught:
            replace(PERFORMANCE, **counts)
        assert caught.value.field == name


def test_a_resource_is_looked_for_by_type_and_id() -> None:
    """An id alone could be of anything, and has no index."""
    with pytest.raises(InvalidError) as caught:
        AuditQuery(resource_id=UUID(int=1))
    assert caught.value.field == "resource_type"


def test_who_logs_in_by_a_password_has_one() -> None:
    """A first method that could not be used is refused; a provider needs no password."""
    password = AuthMethod(auth_type=AuthType.PASSWORD)
    with pytest.raises(InvalidError) as caught:
        check_credentials(replace(USER, password_hash=None), password)
    assert caught.value.field == "password_hash"
    check_credentials(replace(USER, password_hash=None), METHOD)
    check_credentials(USER, password)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Faker", "FAKER"), ("STRASSE", "straße"), ("\uff26aker", "faker"), ("e\u0301", "É"), ("ﬁre", "FIRE")],
)
def test_names_that_look_alike_have_one_key(one: str, other: str) -> None:
    """Case, width, ligatures and composition do not make another name; folding twice changes nothing."""
    assert identity_key(one) == identity_key(other)
    assert identity_key(identity_key(one)) == identity_key(one)


def test_no_secret_is_shown() -> None:
    """Password hashes, providers' tokens and configured values stay out of every representation."""
    secret = {"token": "s3cret"}
    shown = repr((replace(USER, password_hash="s3cret"), replace(METHOD, auth_data=secret)))  # noqa: S106
    shown += repr(replace(CONFIGURATION, config_value=secret))
    assert "s3cret" not in shown


def test_a_token_is_a_secret_and_its_id_is_not() -> None:
    """Tokens differ, hold 256 bits, and lead to an id that does not lead back."""
    tokens = {new_session_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {43}
    assert session_id_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_record_has_the_moment_of_its_id() -> None:
    """The time of a call or an event cannot contradict its id."""
    assert CALL.created_at == EVENT.created_at == NOON


def test_every_feature_of_the_model_has_a_meaning() -> None:
    """In the model's order, each with a sentence, resting only on features that are there."""
    definitions = model_feature_definitions()
    assert tuple(one.feature_name for one in definitions) == MODEL_FEATURES
    assert all(one.description for one in definitions)
    assert {name for one in definitions for name in one.dependencies} <= set(MODEL_FEATURES)
    by_name = {one.feature_name: one for one in definitions}
    assert by_name["player_won_hl4"].validation_rules == {"min": 0, "max": 1}
    assert by_name["expected_kills_by_share"].validation_rules is None
    assert by_name["position"].feature_type is FeatureType.CATEGORICAL
