-- Predictions by context, and their metrics over time. Source: prediction-service-database.md.
-- Where TimescaleDB is at work in this database they are hypertables with compression, retention and a continuous
-- aggregate. Elsewhere they are native partitions, made and dropped by stores/postgres/partitions.py, and the hourly
-- figures a table that stores/postgres/prediction_metrics.py rolls up.
-- prediction_id is a UUIDv7 as in 0002: created_at is the moment inside it, so the key keeps an id unique.
-- A metric has no foreign key to its prediction: the partitions of both could not be dropped, see 0004.
-- Of the source's indexes, those on the ids of predictions are the keys, and partitions do the work of created_at's.
DO $$
DECLARE
    timescale CONSTANT BOOLEAN := EXISTS (
        SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NOT NULL
    );
BEGIN
    EXECUTE format($table$
        CREATE TABLE predictions (
            prediction_id UUID NOT NULL,
            user_id UUID NOT NULL,
            context_id TEXT NOT NULL CHECK (length(context_id) BETWEEN 1 AND 255),
            prediction_type TEXT NOT NULL CHECK (length(prediction_type) BETWEEN 1 AND 50),
            predictions JSONB NOT NULL,
            confidence DOUBLE PRECISION NOT NULL CHECK (confidence BETWEEN 0 AND 100),
            metadata JSONB CHECK (jsonb_typeof(metadata) = 'object'),
            created_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (prediction_id, created_at)
        ) %s
        $table$, CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (created_at)' END);

    -- One observation per prediction, metric and moment: a write that is repeated is kept once.
    EXECUTE format($table$
        CREATE TABLE prediction_metrics (
            time TIMESTAMPTZ NOT NULL,
            prediction_id UUID NOT NULL,
            user_id UUID NOT NULL,
            metric_name TEXT NOT NULL CHECK (length(metric_name) BETWEEN 1 AND 100),
            metric_value DOUBLE PRECISION NOT NULL
                CHECK (metric_value > '-Infinity' AND metric_value < 'Infinity'),
            tags JSONB CHECK (jsonb_typeof(tags) = 'object'),
            PRIMARY KEY (prediction_id, metric_name, time)
        ) %s
        $table$, CASE WHEN timescale THEN '' ELSE 'PARTITION BY RANGE (time)' END);

    CREATE INDEX predictions_user ON predictions (user_id, created_at DESC, prediction_id DESC);
    CREATE INDEX predictions_context ON predictions (context_id, created_at DESC);
    CREATE INDEX prediction_metrics_user ON prediction_metrics (user_id, time DESC);

    IF timescale THEN  -- follows TimescaleDB's documentation; no server of the tests has it
        PERFORM create_hypertable('predictions', 'created_at', chunk_time_interval => INTERVAL '1 month');
        PERFORM create_hypertable('prediction_metrics', 'time', chunk_time_interval => INTERVAL '1 day');
        ALTER TABLE prediction_metrics SET (
            timescaledb.compress, timescaledb.compress_segmentby = 'prediction_id, metric_name'
        );
        PERFORM add_compression_policy('prediction_metrics', INTERVAL '7 days');
        PERFORM add_retention_policy('prediction_metrics', INTERVAL '30 days');
        CREATE MATERIALIZED VIEW metrics_hourly WITH (timescaledb.continuous) AS
            SELECT time_bucket('1 hour', time) AS bucket, prediction_id, metric_name,
                avg(metric_value) AS avg_value, count(*) AS sample_count
            FROM prediction_metrics GROUP BY 1, 2, 3 WITH NO DATA;
        PERFORM add_continuous_aggregate_policy('metrics_hourly', start_offset => INTERVAL '29 days',
            end_offset => INTERVAL '1 hour', schedule_interval => INTERVAL '1 hour');
    ELSE
        CREATE TABLE predictions_default PARTITION OF predictions DEFAULT;
        CREATE TABLE prediction_metrics_default PARTITION OF prediction_metrics DEFAULT;
        -- Metrics arrive about in order, so an hour is found by a few bytes per megabyte.
        CREATE INDEX prediction_metrics_time ON prediction_metrics
            USING BRIN (time) WITH (pages_per_range = 16, autosummarize = on);

        CREATE TABLE metrics_hourly (
            bucket TIMESTAMPTZ NOT NULL,
            prediction_id UUID NOT NULL,
            metric_name TEXT NOT NULL,
            avg_value DOUBLE PRECISION NOT NULL,
            sample_count BIGINT NOT NULL,
            PRIMARY KEY (prediction_id, metric_name, bucket)
        ) PARTITION BY RANGE (bucket);
        CREATE TABLE metrics_hourly_default PARTITION OF metrics_hourly DEFAULT;

        -- The hours whose figures are out of date. Each writer adds rows of its own, so writers never wait for one
        -- another, and a row that is seen stands for metrics that are seen.
        CREATE TABLE metrics_stale (bucket TIMESTAMPTZ NOT NULL);
        CREATE FUNCTION note_stale_metrics() RETURNS trigger LANGUAGE plpgsql AS $function$
        BEGIN
            INSERT INTO metrics_stale SELECT DISTINCT date_trunc('hour', time, 'UTC') FROM added;
            RETURN NULL;
        END
        $function$;
        CREATE TRIGGER prediction_metrics_stale AFTER INSERT ON prediction_metrics
            REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_stale_metrics();
    END IF;
END
$$;
