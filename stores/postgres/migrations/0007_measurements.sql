-- Time series where no InfluxDB is configured. A series is one field of one measurement with its tags; its points are
-- narrow rows, so that a new field needs no migration and a repeated point is its own row.
CREATE TABLE measurement_series (
    series_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    measurement TEXT NOT NULL,
    field TEXT NOT NULL,
    tags JSONB NOT NULL,
    UNIQUE (measurement, field, tags)
);

-- Points as they came, 7 days. One partition a day (stores/postgres/partitions.py), so that ageing is a drop.
CREATE TABLE measurements_high (
    series_id BIGINT NOT NULL,
    time TIMESTAMPTZ NOT NULL,
    value DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (series_id, time)
) PARTITION BY RANGE (time);
CREATE INDEX measurements_high_time ON measurements_high USING BRIN (time) WITH (pages_per_range = 16);
CREATE TABLE measurements_high_default PARTITION OF measurements_high DEFAULT;

-- Minutes, 90 days. Count and sum instead of a mean: windows can be folded again without an error.
CREATE TABLE measurements_medium (
    series_id BIGINT NOT NULL,
    time TIMESTAMPTZ NOT NULL,
    count BIGINT NOT NULL,
    sum DOUBLE PRECISION NOT NULL,
    min DOUBLE PRECISION NOT NULL,
    max DOUBLE PRECISION NOT NULL,
    last DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (series_id, time)
);
CREATE INDEX measurements_medium_time ON measurements_medium (time);

-- Hours, 2 years.
CREATE TABLE measurements_low (LIKE measurements_medium INCLUDING ALL);
ALTER INDEX measurements_low_time_idx RENAME TO measurements_low_time;
