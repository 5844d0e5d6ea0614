-- Feature definitions, model performance, configuration, usage and audit.
-- Source: database-schema-design.md, ML Model Management and System Configuration & Operations.
CREATE TABLE feature_definitions (
    feature_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    feature_name TEXT NOT NULL CONSTRAINT feature_definitions_name_unique UNIQUE
        CHECK (length(feature_name) BETWEEN 1 AND 100),
    feature_type TEXT NOT NULL CHECK (feature_type IN ('numerical', 'categorical', 'text', 'vector')),
    data_type TEXT NOT NULL CHECK (data_type IN ('float', 'int', 'string', 'array')),

    computation_logic TEXT,
    dependencies TEXT[] NOT NULL DEFAULT '{}',
    update_frequency TEXT CHECK (update_frequency IN ('real-time', 'hourly', 'daily')),

    validation_rules JSONB CHECK (jsonb_typeof(validation_rules) = 'object'),
    data_quality_checks JSONB CHECK (jsonb_typeof(data_quality_checks) = 'object'),

    description TEXT,
    business_context TEXT,
    created_by UUID REFERENCES users (user_id) ON DELETE SET NULL,

    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    deprecated_at TIMESTAMPTZ,

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CHECK (is_active = (deprecated_at IS NULL))
);

CREATE INDEX feature_definitions_validation ON feature_definitions USING GIN (validation_rules);
CREATE INDEX ml_models_hyperparameters ON ml_models USING GIN (hyperparameters);

-- No foreign key to ml_models: dropping a partition would take its triggers off that table under a lock that stops
-- every reader of models. The writer asks for the model in the same statement, and models are never deleted.
CREATE TABLE model_performance_metrics (
    metric_id UUID NOT NULL DEFAULT gen_random_uuid(),
    model_id UUID NOT NULL,

    metric_date DATE NOT NULL,
    accuracy DOUBLE PRECISION CHECK (accuracy BETWEEN 0 AND 1),
    precision_score DOUBLE PRECISION CHECK (precision_score BETWEEN 0 AND 1),
    recall_score DOUBLE PRECISION CHECK (recall_score BETWEEN 0 AND 1),
    f1_score DOUBLE PRECISION CHECK (f1_score BETWEEN 0 AND 1),
    auc_score DOUBLE PRECISION CHECK (auc_score BETWEEN 0 AND 1),

    total_predictions BIGINT CHECK (total_predictions >= 0),
    over_predictions BIGINT CHECK (over_predictions BETWEEN 0 AND total_predictions),
    under_predictions BIGINT CHECK (under_predictions BETWEEN 0 AND total_predictions),
    correct_predictions BIGINT CHECK (correct_predictions BETWEEN 0 AND total_predictions),

    feature_drift_score DOUBLE PRECISION CHECK (feature_drift_score >= 0),
    target_drift_score DOUBLE PRECISION CHECK (target_drift_score >= 0),
    data_quality_score DOUBLE PRECISION CHECK (data_quality_score BETWEEN 0 AND 1),

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (model_id, metric_date)
) PARTITION BY RANGE (metric_date);

CREATE TABLE model_performance_metrics_default PARTITION OF model_performance_metrics DEFAULT;

-- version counts the writes of an entry: who writes says which one was read, so that no editor undoes another unseen.
CREATE TABLE app_configurations (
    config_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    config_key TEXT NOT NULL CHECK (length(config_key) BETWEEN 1 AND 100),
    config_value JSONB NOT NULL,
    config_type TEXT NOT NULL CHECK (config_type IN ('feature_flag', 'setting', 'secret')),

    environment TEXT NOT NULL DEFAULT 'production' CHECK (length(environment) BETWEEN 1 AND 20),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    version BIGINT NOT NULL DEFAULT 1 CHECK (version >= 1),

    description TEXT,
    last_modified_by UUID REFERENCES users (user_id) ON DELETE SET NULL,

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT app_configurations_key_unique UNIQUE (environment, config_key)
);

-- created_at is the moment inside usage_id and log_id (UUIDv7), so the keys below keep each id unique. It comes first:
-- one index serves the key and the walk through time.
CREATE TABLE api_usage (
    usage_id UUID NOT NULL,
    user_id UUID,
    api_key_id UUID,

    endpoint TEXT NOT NULL CHECK (length(endpoint) BETWEEN 1 AND 255),
    http_method TEXT NOT NULL CHECK (length(http_method) BETWEEN 1 AND 10),
    status_code INTEGER NOT NULL CHECK (status_code BETWEEN 100 AND 599),
    response_time_ms DOUBLE PRECISION CHECK (response_time_ms >= 0),

    rate_limit_key TEXT CHECK (length(rate_limit_key) <= 255),
    requests_in_window INTEGER CHECK (requests_in_window >= 0),
    window_start TIMESTAMPTZ,

    client_ip INET,
    user_agent TEXT CHECK (length(user_agent) <= 2048),
    request_size_bytes BIGINT CHECK (request_size_bytes >= 0),
    response_size_bytes BIGINT CHECK (response_size_bytes >= 0),

    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (created_at, usage_id)
) PARTITION BY RANGE (created_at);

CREATE INDEX api_usage_user ON api_usage (user_id, created_at);

CREATE TABLE api_usage_default PARTITION OF api_usage DEFAULT;

CREATE TABLE audit_logs (
    log_id UUID NOT NULL,
    user_id UUID,

    action TEXT NOT NULL CHECK (length(action) BETWEEN 1 AND 100),
    resource_type TEXT CHECK (length(resource_type) BETWEEN 1 AND 50),
    resource_id UUID,

    event_data JSONB CHECK (jsonb_typeof(event_data) = 'object'),
    ip_address INET,
    user_agent TEXT CHECK (length(user_agent) <= 2048),
    session_id TEXT CHECK (session_id ~ '^[0-9a-f]{64}$'),

    success BOOLEAN NOT NULL,
    error_message TEXT CHECK (length(error_message) <= 10000),

    created_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (created_at, log_id)
) PARTITION BY RANGE (created_at);

CREATE INDEX audit_logs_user ON audit_logs (user_id, created_at, log_id);
CREATE INDEX audit_logs_action ON audit_logs (action, created_at, log_id);
CREATE INDEX audit_logs_resource ON audit_logs (resource_type, resource_id, created_at, log_id);

CREATE TABLE audit_logs_default PARTITION OF audit_logs DEFAULT;

CREATE FUNCTION refuse_change_of_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: the audit trail is append-only', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

-- Every partition inherits the trigger of rows; dropping a partition by policy fires none.
CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
CREATE TRIGGER audit_logs_default_no_truncate BEFORE TRUNCATE ON audit_logs_default
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit();
