-- Every answer given. Source: database-schema-design.md, prediction_requests, with the corrections of the contract.
-- created_at is the moment inside prediction_id (UUIDv7), so the key that a partitioned table must carry is still
-- unique per prediction_id. Results are DOUBLE PRECISION: rounded to two decimals, an answer could not be computed
-- again to the bit. Lines are whole or half, so NUMERIC holds them exactly.
CREATE TABLE prediction_requests (
    prediction_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    user_id UUID,

    player_names TEXT[] NOT NULL CHECK (cardinality(player_names) > 0),
    prop_type TEXT NOT NULL CHECK (prop_type IN ('kills', 'assists')),
    prop_value NUMERIC(6, 2) NOT NULL CHECK (prop_value >= 0),
    map_range INTEGER[] NOT NULL CHECK (cardinality(map_range) = 2 AND map_range[1] <= map_range[2]),
    opponent TEXT,
    tournament TEXT,
    team TEXT,
    match_date DATE,
    position_roles TEXT[] NOT NULL,
    strict_mode BOOLEAN NOT NULL,

    prediction TEXT NOT NULL CHECK (prediction IN ('OVER', 'UNDER')),
    confidence DOUBLE PRECISION NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    base_model_confidence DOUBLE PRECISION NOT NULL CHECK (base_model_confidence BETWEEN 0 AND 100),
    push_probability DOUBLE PRECISION NOT NULL CHECK (push_probability BETWEEN 0 AND 100),
    expected_stat DOUBLE PRECISION NOT NULL CHECK (expected_stat >= 0),
    confidence_interval DOUBLE PRECISION[] NOT NULL CHECK (cardinality(confidence_interval) = 2),
    data_tier INTEGER NOT NULL CHECK (data_tier BETWEEN 1 AND 5),

    model_version TEXT NOT NULL,
    feature_version TEXT NOT NULL,
    lake_snapshot_id BIGINT NOT NULL,
    processing_time_ms DOUBLE PRECISION NOT NULL,
    cache_hit BOOLEAN NOT NULL,
    warnings TEXT[] NOT NULL,

    client_ip INET,
    user_agent TEXT,
    api_version TEXT,
    request_source TEXT,

    PRIMARY KEY (prediction_id, created_at)
) PARTITION BY RANGE (created_at);

CREATE INDEX prediction_requests_player_names ON prediction_requests USING GIN (player_names);
CREATE INDEX prediction_requests_model_version ON prediction_requests (model_version, created_at);

-- Takes the rows of a month whose partition is not made yet; making it moves them (stores/postgres/partitions.py).
CREATE TABLE prediction_requests_default PARTITION OF prediction_requests DEFAULT;
