-- Times are milliseconds since 1970-01-01 UTC.
-- A task is an analysis; once it is done, it is also its report. Its files exist only while it has a row.
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    -- uploading, queued, running, done, failed, removing
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    -- The name in lower case.
    search TEXT NOT NULL,
    source TEXT NOT NULL,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    bytes BIGINT NOT NULL DEFAULT 0,
    -- The names of the files, a JSON array.
    names TEXT NOT NULL DEFAULT '[]',
    -- Incremented by each claim: whoever holds an older number may no longer write.
    attempt BIGINT NOT NULL DEFAULT 0,
    -- Claims whose holder or worker was lost.
    failures BIGINT NOT NULL DEFAULT 0,
    holder TEXT,
    lease_until BIGINT,
    packets BIGINT NOT NULL DEFAULT 0,
    read_bytes BIGINT NOT NULL DEFAULT 0,
    summary TEXT,
    problem TEXT
);
CREATE INDEX tasks_by_state ON tasks (state, created);
CREATE INDEX tasks_by_owner ON tasks (owner, created);

-- Tokens are stored as SHA-256 in hexadecimal.
CREATE TABLE shares (
    token TEXT PRIMARY KEY,
    task TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE
);
CREATE INDEX shares_by_task ON shares (task);

CREATE TABLE sessions (
    token TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    csrf TEXT NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX sessions_by_account ON sessions (account, expires);

-- Failed logins of existing accounts.
CREATE TABLE lockouts (
    account TEXT PRIMARY KEY,
    failures BIGINT NOT NULL,
    locked_until BIGINT NOT NULL
);
