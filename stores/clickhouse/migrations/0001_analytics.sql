-- Two layers keep everything single. The deduplication windows hold the tokens of so many inserts: a delivery whose
-- outcome was unknown is recognised when it is repeated, in the tables and in what is aggregated of them. And every
-- key ends with the row's own id, every state is a maximum or a set: what is recorded again under its id merges away.

CREATE TABLE IF NOT EXISTS user_events (
    event_id UUID,
    user_id UUID,
    session_id String,
    event_type LowCardinality(String),
    event_category LowCardinality(String),
    event_action String,
    event_label Nullable(String),
    page_url String,
    page_title Nullable(String),
    referrer Nullable(String),
    user_agent String,
    device_type LowCardinality(String),
    browser LowCardinality(String),
    operating_system LowCardinality(String),
    ip_address IPv6,
    country LowCardinality(String),
    region Nullable(String),
    city Nullable(String),
    custom_data Map(String, String),
    event_time DateTime('UTC'),
    server_time DateTime('UTC') DEFAULT now()
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(event_time)
ORDER BY (user_id, event_time, event_type, event_id)
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100000,
    fsync_after_insert = 1, fsync_part_directory = 1;

-- One row per prediction after merging: the one with the greatest version. It is 0 when the prediction is given; with an
-- outcome it is the time at which that was heard.
CREATE TABLE IF NOT EXISTS prediction_analytics (
    prediction_id UUID,
    user_id UUID,
    model_version LowCardinality(String),
    prop_type LowCardinality(String),
    prop_value Decimal(5, 2),
    prediction LowCardinality(String),
    confidence Decimal(5, 2),
    response_time_ms Float32,
    cache_hit UInt8,
    data_tier UInt8,
    tournament LowCardinality(String),
    player_names Array(String),
    team Nullable(String),
    actual_result Nullable(String),
    was_correct Nullable(UInt8),
    created_at DateTime('UTC'),
    feedback_received_at Nullable(DateTime('UTC')),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(created_at)
ORDER BY (user_id, created_at, model_version, prediction_id)
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS daily_metrics (
    metric_date Date,
    total_users UInt32,
    active_users UInt32,
    new_users UInt32,
    returning_users UInt32,
    total_predictions UInt32,
    successful_predictions UInt32,
    failed_predictions UInt32,
    avg_response_time Float32,
    subscription_revenue Decimal(10, 2),
    api_revenue Decimal(10, 2),
    avg_cpu_usage Float32,
    avg_memory_usage Float32,
    total_requests UInt64,
    top_countries Array(String),
    country_distribution Map(String, UInt32),
    version UInt64
)
ENGINE = ReplacingMergeTree(version)
ORDER BY metric_date
SETTINGS index_granularity = 8192, non_replicated_deduplication_window = 100000,
    fsync_after_insert = 1, fsync_part_directory = 1;

CREATE TABLE IF NOT EXISTS user_activity_hourly_states (
    user_id UUID,
    event_hour DateTime('UTC'),
    event_type LowCardinality(String),
    event_count AggregateFunction(uniqExact, UUID),
    unique_sessions AggregateFunction(uniqExact, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(event_hour)
ORDER BY (user_id, event_hour, event_type)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS user_activity_hourly_writer TO user_activity_hourly_states AS
SELECT
    user_id,
    toStartOfHour(event_time) AS event_hour,
    event_type,
    uniqExactState(event_id) AS event_count,
    uniqExactState(session_id) AS unique_sessions
FROM user_events
GROUP BY user_id, event_hour, event_type;

CREATE VIEW IF NOT EXISTS user_activity_hourly AS
SELECT
    user_id,
    event_hour,
    event_type,
    uniqExactMerge(states.event_count) AS event_count,
    uniqExactMerge(states.unique_sessions) AS unique_sessions
FROM user_activity_hourly_states AS states
GROUP BY user_id, event_hour, event_type;

-- One state per prediction, so that a late outcome finds what it corrects: an outcome is its version and its verdict
-- (1 right, 2 wrong, 0 push) in one number, and the greatest number stays. Repeats, corrections and any order come out
-- the same, in every part and before any merge. Reading them is as quick as reading rows; a map from ids to outcomes
-- in one state per hour is shorter to write and a hundred times slower.
CREATE TABLE IF NOT EXISTS model_performance_hourly_states (
    model_version LowCardinality(String),
    prediction_hour DateTime('UTC'),
    prediction_id UUID,
    confidence SimpleAggregateFunction(max, Decimal(5, 2)),
    response_time_ms SimpleAggregateFunction(max, Float32),
    cache_hit SimpleAggregateFunction(max, UInt8),
    outcome SimpleAggregateFunction(max, UInt64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(prediction_hour)
ORDER BY (model_version, prediction_hour, prediction_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, fsync_part_directory = 1;

CREATE MATERIALIZED VIEW IF NOT EXISTS model_performance_hourly_writer TO model_performance_hourly_states AS
SELECT
    model_version,
    toStartOfHour(created_at) AS prediction_hour,
    prediction_id,
    confidence,
    response_time_ms,
    cache_hit,
    if(version = 0, 0, version * 4 + multiIf(was_correct IS NULL, 0, was_correct = 1, 1, 2)) AS outcome
FROM prediction_analytics;

CREATE VIEW IF NOT EXISTS model_performance_hourly AS
SELECT
    model_version,
    prediction_hour,
    count() AS total_predictions,
    avg(confidence) AS avg_confidence,
    avg(response_time_ms) AS avg_response_time,
    sum(cache_hit) AS cache_hits,
    countIf(outcome % 4 = 1) AS correct_predictions,
    countIf(outcome % 4 = 2) AS incorrect_predictions
FROM model_performance_hourly_states FINAL
GROUP BY model_version, prediction_hour;
