"""A row as PostgreSQL copies it: what was encoded is read back to the bit (the server's reading is a contract)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stores.domain.props import MAX_LINE, DataTier, MapRange, Position, PropRequest, PropType, Side
from stores.errors import InvalidError
from stores.postgres.prediction_copy import decode, encode
from tests.examples import a_prediction

if TYPE_CHECKING:
    from datetime import date
    from ipaddress import IPv4Address, IPv6Address

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
PERCENT = st.floats(0, 100)


@given(
    st.integers(0, int(2 * MAX_LINE)),
    st.lists(PERCENT, min_size=3, max_size=3),
    st.lists(TEXTS, min_size=4, max_size=4),
    st.one_of(st.none(), st.dates()),
    st.one_of(st.none(), st.ip_addresses()),
    st.one_of(st.none(), st.uuids()),
)
def test_a_row_is_read_back_to_the_bit(  # noqa: PLR0917  # what varies
    halves: int,
    percents: list[float],
    texts: list[str],
    day: date | None,
    address: IPv4Address | IPv6Address | None,
    user: UUID | None,
) -> None:
    """Every line, every text that the database takes, and every figure."""
    record = a_prediction(
        request=PropRequest(
            ("Faker", "Ünïcode 페이커"),
            PropType.ASSISTS,
            halves / 2,
            MapRange(1, 5),
            opponent=texts[0],
            match_date=day,
            position_roles=(Position.MID, Position.TOP),
            champions=("K'Sante", "Nunu & Willump"),
            best_of=5,
            strict_mode=bool(halves % 2),
        ),
        prediction=Side.UNDER,
        confidence=percents[0],
        base_model_confidence=percents[1],
        confidence_interval=(-percents[2], percents[2]),
        data_tier=DataTier.FALLBACK,
        lake_snapshot_id=-(2**63),
        warnings=tuple(texts[1:]),
        client_ip=address,
        user_id=user,
        user_agent=texts[1],
    )
    assert decode(encode(record)) == record


@pytest.mark.parametrize(
    "wrong",
    [
        {"confidence": 100.1},
        {"push_probability": float("nan")},
        {"expected_stat": float("inf")},
        {"lake_snapshot_id": 2**63},
        {"user_agent": "\ud800"},
        {"warnings": ("fine", "a\0b")},
        {"prediction_id": UUID(int=7)},
        {"prediction_id": UUID(int=7 << 76)},
        {"client_ip": ip_address("::1"), "processing_time_ms": "fast"},
    ],
)
def test_what_the_table_would_refuse_is_refused(wrong: dict[str, object]) -> None:
    """Before it is acknowledged, not when it is delivered."""
    with pytest.raises(InvalidError):
        encode(a_prediction()._replace(**wrong))  # type: ignore[arg-type]
