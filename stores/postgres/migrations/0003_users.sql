-- Users, their profiles, ways to log in and sessions. Source: database-schema-design.md, Core User Management.
-- Users and sessions are not partitioned: the unique keys of a partitioned table must hold the partition's column, so
-- neither an email nor a session id could be unique. Sessions end by a purge of what is expired instead.
-- Large partitioned tables (prediction_requests, api_usage, audit_logs) keep user_id without a foreign key: it would
-- make a deletion search and rewrite every old partition, and the trail must outlive its user.
-- The *_key columns hold the names as Riftline folds them; lower() would depend on the database's locale.
CREATE TABLE users (
    user_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    email TEXT NOT NULL CHECK (length(email) BETWEEN 3 AND 255),
    email_key TEXT NOT NULL CONSTRAINT users_email_unique UNIQUE CHECK (length(email_key) BETWEEN 3 AND 255),
    username TEXT NOT NULL CHECK (length(username) BETWEEN 1 AND 50),
    username_key TEXT NOT NULL CONSTRAINT users_username_unique UNIQUE CHECK (length(username_key) BETWEEN 1 AND 50),
    password_hash TEXT CHECK (length(password_hash) BETWEEN 1 AND 255), -- null: logs in by a provider only
    email_verified BOOLEAN NOT NULL DEFAULT FALSE,
    subscription_tier TEXT NOT NULL DEFAULT 'free'
        CHECK (subscription_tier IN ('free', 'premium', 'pro', 'enterprise')),
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_login_at TIMESTAMPTZ,
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    metadata JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),

    created_by UUID,
    updated_by UUID
);

CREATE INDEX users_active ON users (is_active, created_at);
CREATE INDEX users_subscription ON users (subscription_tier);
CREATE INDEX users_metadata ON users USING GIN (metadata);

CREATE TABLE user_profiles (
    user_id UUID PRIMARY KEY REFERENCES users (user_id) ON DELETE CASCADE,
    first_name TEXT CHECK (length(first_name) <= 100),
    last_name TEXT CHECK (length(last_name) <= 100),
    display_name TEXT CHECK (length(display_name) <= 100),
    avatar_url TEXT CHECK (length(avatar_url) <= 2048),
    timezone TEXT NOT NULL DEFAULT 'UTC' CHECK (length(timezone) BETWEEN 1 AND 50),
    language_code TEXT NOT NULL DEFAULT 'en' CHECK (length(language_code) BETWEEN 1 AND 10),
    preferences JSONB NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(preferences) = 'object'),
    riot_account_id TEXT CHECK (length(riot_account_id) <= 100),
    summoner_name TEXT CHECK (length(summoner_name) <= 50),
    region TEXT CHECK (length(region) <= 10),

    profile_visibility TEXT NOT NULL DEFAULT 'public' CHECK (profile_visibility IN ('public', 'friends', 'private')),
    data_sharing_consent BOOLEAN NOT NULL DEFAULT FALSE,
    marketing_consent BOOLEAN NOT NULL DEFAULT FALSE,

    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE user_auth_methods (
    auth_method_id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    auth_type TEXT NOT NULL CHECK (auth_type IN ('password', 'oauth_google', 'oauth_discord', 'oauth_riot')),
    provider_id TEXT CHECK (length(provider_id) BETWEEN 1 AND 255),
    auth_data JSONB CHECK (jsonb_typeof(auth_data) = 'object'),
    is_primary BOOLEAN NOT NULL DEFAULT FALSE,
    is_verified BOOLEAN NOT NULL DEFAULT FALSE,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_used_at TIMESTAMPTZ,

    CONSTRAINT user_auth_methods_one_of_a_type UNIQUE (user_id, auth_type),
    CONSTRAINT user_auth_methods_one_owner UNIQUE (auth_type, provider_id),
    CHECK ((auth_type = 'password') = (provider_id IS NULL))
);

CREATE UNIQUE INDEX user_auth_methods_one_primary ON user_auth_methods (user_id) WHERE is_primary;

-- session_id is the sha256 of the client's secret in hex: who reads this table cannot pose as its users.
CREATE TABLE user_sessions (
    session_id TEXT PRIMARY KEY CHECK (session_id ~ '^[0-9a-f]{64}$'),
    user_id UUID NOT NULL REFERENCES users (user_id) ON DELETE CASCADE,
    device_fingerprint TEXT CHECK (length(device_fingerprint) <= 255),
    ip_address INET,
    user_agent TEXT CHECK (length(user_agent) <= 2048),
    location_data JSONB CHECK (jsonb_typeof(location_data) = 'object'),
    expires_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_activity_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    is_active BOOLEAN NOT NULL DEFAULT TRUE,
    CHECK (expires_at > created_at)
);

-- Of all sessions, not only the active ones: a user's deletion looks for every one.
CREATE INDEX user_sessions_user ON user_sessions (user_id, last_activity_at);
CREATE INDEX user_sessions_expiry ON user_sessions (expires_at);
