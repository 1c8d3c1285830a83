CREATE TABLE IF NOT EXISTS "cloakroom_sessions" (
  id BLOB NOT NULL PRIMARY KEY,
  revision INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  owner BLOB,
  record BLOB,
  successor BLOB
) STRICT;

CREATE INDEX IF NOT EXISTS "cloakroom_sessions_owner" ON "cloakroom_sessions" (owner, id) WHERE owner IS NOT NULL;

CREATE TABLE IF NOT EXISTS "cloakroom_sessions_state" (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  version INTEGER NOT NULL,
  sweeper INTEGER NOT NULL,
  swept_until INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS "cloakroom_sessions_log" (
  id INTEGER PRIMARY KEY,
  name BLOB NOT NULL,
  kept_until INTEGER NOT NULL,
  content BLOB NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS "cloakroom_sessions_log_name" ON "cloakroom_sessions_log" (name, id);

INSERT INTO "cloakroom_sessions_state" (id, version, sweeper, swept_until) SELECT 1, 1, 0, 0 FROM (SELECT 1 AS one) AS once WHERE NOT EXISTS (SELECT 1 FROM "cloakroom_sessions_state");
