-- The keys of programs. A key is shown once: only the sha256 of it is kept. It ends in 256 random bits, so that nobody
-- can try them all, and a slow password hash would only make every request dearer.
-- prefix is the part that people see and that a request is looked up by.
CREATE TABLE api_keys (
    api_key_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID REFERENCES users (user_id) ON DELETE CASCADE, -- null: belongs to the operator
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 100),
    prefix TEXT NOT NULL CONSTRAINT api_keys_prefix_unique UNIQUE CHECK (prefix ~ '^[0-9a-z]{8}$'),
    digest TEXT NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    tier TEXT NOT NULL CHECK (tier IN ('free', 'premium', 'pro', 'enterprise')),
    scopes TEXT[] NOT NULL CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['predict', 'read', 'admin']),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    expires_at TIMESTAMPTZ CHECK (expires_at > created_at), -- null: until it is revoked
    revoked_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ
);

CREATE INDEX api_keys_user ON api_keys (user_id);
