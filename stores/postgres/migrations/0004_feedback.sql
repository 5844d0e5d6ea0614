-- What became of a prediction, and its curve. Source: database-schema-design.md, Prediction System Core.
-- Neither has a foreign key to prediction_requests: dropping an old partition of a referenced table is refused while
-- one row still points into it, and asks for every row to be searched. Instead both are partitioned by predicted_at,
-- the moment inside prediction_id (UUIDv7), and leave in the same month by the same policy; the statement that inserts
-- looks the prediction up. user_id has none for the reasons in 0003.

-- One outcome per source: what a source says later corrects what it said before. feedback_id of the source document is
-- left out: prediction and source name the row.
CREATE TABLE prediction_feedback (
    prediction_id UUID NOT NULL,
    predicted_at TIMESTAMPTZ NOT NULL,
    feedback_source TEXT NOT NULL CHECK (feedback_source IN ('manual', 'automated', 'verified')),
    user_id UUID,

    actual_result TEXT NOT NULL CHECK (actual_result IN ('OVER', 'UNDER', 'PUSH')),
    actual_stat_value DOUBLE PRECISION CHECK (actual_stat_value >= 0 AND actual_stat_value < 'Infinity'),
    match_completed_at TIMESTAMPTZ,

    confidence_score DOUBLE PRECISION CHECK (confidence_score BETWEEN 0 AND 1),
    notes TEXT CHECK (length(notes) <= 2000),

    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (prediction_id, predicted_at, feedback_source)
) PARTITION BY RANGE (predicted_at);

CREATE TABLE prediction_feedback_default PARTITION OF prediction_feedback DEFAULT;

CREATE TABLE prediction_curves (
    prediction_id UUID NOT NULL,
    predicted_at TIMESTAMPTZ NOT NULL,

    prop_values DOUBLE PRECISION[] NOT NULL CHECK (cardinality(prop_values) BETWEEN 1 AND 401),
    predictions TEXT[] NOT NULL CHECK (predictions <@ ARRAY['OVER', 'UNDER']),
    confidences DOUBLE PRECISION[] NOT NULL,
    expected_stats DOUBLE PRECISION[] NOT NULL,

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (prediction_id, predicted_at),
    CONSTRAINT prediction_curves_lengths CHECK (
        cardinality(prop_values) = cardinality(predictions)
        AND cardinality(predictions) = cardinality(confidences)
        AND cardinality(confidences) = cardinality(expected_stats)
    )
) PARTITION BY RANGE (predicted_at);

CREATE TABLE prediction_curves_default PARTITION OF prediction_curves DEFAULT;

-- A user's history, page by page. Of the source document's other indexes, (model_version, created_at) and the one on
-- player_names are in 0002; (user_id, prop_type, created_at) would halve a page's work and double this index's, and
-- (prediction, confidence, created_at) serves analytics, which ClickHouse answers: every write would pay for both.
CREATE INDEX prediction_requests_user ON prediction_requests (user_id, created_at DESC, prediction_id DESC)
    WHERE user_id IS NOT NULL;
