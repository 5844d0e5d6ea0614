-- What a model version is to its name, and how it came to be that.
-- The champion has no row here: it is the version in production, which the index ml_models_one_production keeps single,
-- so that no second place can tell otherwise. A row counts while its version is in staging: a program from before this
-- table promotes without looking here.
CREATE TABLE model_aliases (
    model_name TEXT NOT NULL,
    alias TEXT NOT NULL CHECK (alias IN ('challenger', 'shadow')),
    model_version TEXT NOT NULL,
    PRIMARY KEY (model_name, alias),
    UNIQUE (model_name, model_version),
    FOREIGN KEY (model_name, model_version) REFERENCES ml_models (model_name, model_version)
);

-- A rollback goes by this table: the audit trail has the same words, but leaves by whole months, is ordered by the
-- clocks of its writers, and takes events from everyone.
CREATE TABLE model_transitions (
    transition_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_name TEXT NOT NULL,
    alias TEXT NOT NULL CHECK (alias IN ('champion', 'challenger', 'shadow')),
    kind TEXT NOT NULL CHECK (kind IN ('promote', 'rollback')),
    from_version TEXT CHECK (from_version <> to_version),
    to_version TEXT NOT NULL,
    actor TEXT NOT NULL CHECK (length(actor) BETWEEN 1 AND 255),
    reason TEXT NOT NULL CHECK (length(reason) <= 2000),
    gates JSONB CHECK (jsonb_typeof(gates) = 'object'),
    left_alias TEXT CHECK (left_alias IN ('challenger', 'shadow')),
    forced BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    FOREIGN KEY (model_name, from_version) REFERENCES ml_models (model_name, model_version),
    FOREIGN KEY (model_name, to_version) REFERENCES ml_models (model_name, model_version)
);

CREATE INDEX model_transitions_name ON model_transitions (model_name, transition_id);

CREATE FUNCTION refuse_change_of_model() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    deployment CONSTANT TEXT[] := ARRAY[
        'deployment_status', 'deployment_percentage', 'deployed_at', 'deprecated_at', 'updated_at'
    ];
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'ml_models' THEN
        IF to_jsonb(NEW) - deployment = to_jsonb(OLD) - deployment THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% of % is refused: versions and their history never change, only the deployment does',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

CREATE TRIGGER ml_models_immutable BEFORE UPDATE OR DELETE ON ml_models
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_model();
CREATE TRIGGER ml_models_no_truncate BEFORE TRUNCATE ON ml_models
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_model();
CREATE TRIGGER model_transitions_append_only BEFORE UPDATE OR DELETE ON model_transitions
    FOR EACH ROW EXECUTE FUNCTION refuse_change_of_model();
CREATE TRIGGER model_transitions_no_truncate BEFORE TRUNCATE ON model_transitions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_model();
