-- The registry of models. Source: database-schema-design.md, ml_models.
-- Metrics are DOUBLE PRECISION and texts unbounded: a record is read back as it was written, to the bit.
CREATE TABLE ml_models (
    model_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    model_name TEXT NOT NULL CHECK (model_name <> ''),
    model_version TEXT NOT NULL CHECK (model_version <> ''),
    model_type TEXT NOT NULL,

    framework TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    hyperparameters JSONB NOT NULL,
    feature_schema JSONB NOT NULL,
    feature_version TEXT NOT NULL,
    lake_snapshot_id BIGINT NOT NULL,

    training_accuracy DOUBLE PRECISION,
    validation_accuracy DOUBLE PRECISION,
    test_accuracy DOUBLE PRECISION,
    training_metrics JSONB NOT NULL,

    deployment_status TEXT NOT NULL DEFAULT 'training'
        CHECK (deployment_status IN ('training', 'testing', 'staging', 'production', 'deprecated')),
    deployment_percentage DOUBLE PRECISION NOT NULL DEFAULT 0
        CHECK (deployment_percentage BETWEEN 0 AND 100),

    model_artifact_path TEXT NOT NULL,
    model_size_bytes BIGINT NOT NULL CHECK (model_size_bytes >= 0),
    checksum TEXT NOT NULL,

    trained_at TIMESTAMPTZ NOT NULL,
    deployed_at TIMESTAMPTZ,
    deprecated_at TIMESTAMPTZ,
    created_by UUID,

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),

    UNIQUE (model_name, model_version)
);

-- The law of one: a name has at most one model in production.
CREATE UNIQUE INDEX ml_models_one_production ON ml_models (model_name) WHERE deployment_status = 'production';
