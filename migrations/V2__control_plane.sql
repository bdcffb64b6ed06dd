-- Intent, operations, incidents, audit and tokens.
--
-- Times are UTC text 'YYYY-MM-DD HH:MM:SS.SSS'. A moment is three columns: that text (…_at),
-- milliseconds since boot (…_boot_ms) and the boot they count from (…_boot_id, 32 hex digits).

PRAGMA user_version = 2;

-- Facts about the registry itself.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- Labels the containers that this node's agent makes.
INSERT INTO meta (key, value) VALUES ('instance_id', lower(hex(randomblob(16))));

-- The spec as it was said, in JSON: this is what the code reads. The documented columns (network,
-- user_spec, restart) and the child tables are written beside it with every default filled in.
ALTER TABLE components ADD COLUMN spec TEXT NOT NULL DEFAULT '';
ALTER TABLE components ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
ALTER TABLE components ADD COLUMN generation INTEGER NOT NULL DEFAULT 1;
ALTER TABLE components ADD COLUMN intent_at TEXT NOT NULL DEFAULT '1970-01-01 00:00:00.000';
ALTER TABLE components ADD COLUMN intent_boot_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE components ADD COLUMN intent_boot_id TEXT NOT NULL DEFAULT '00000000000000000000000000000000';
ALTER TABLE components ADD COLUMN orphaned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE components ADD COLUMN container_id TEXT;
ALTER TABLE components ADD COLUMN made_from_revision INTEGER;
ALTER TABLE components ADD COLUMN deployed_revision INTEGER;
ALTER TABLE components ADD COLUMN stopped_instance TEXT;
ALTER TABLE components ADD COLUMN instance TEXT;
ALTER TABLE components ADD COLUMN observed_since_at TEXT;
ALTER TABLE components ADD COLUMN observed_since_boot_ms INTEGER;
ALTER TABLE components ADD COLUMN observed_since_boot_id TEXT;
ALTER TABLE components ADD COLUMN exit_code INTEGER;

-- Components of an older registry said everything explicitly.
UPDATE components SET
    intent_at = updated_at,
    spec = json_object(
        'image', image,
        'network', network,
        'user', nullif(user_spec, ''),
        'restart', restart,
        'ports', json((SELECT json_group_array(p.mapping) FROM component_ports p
            WHERE p.service = components.service AND p.component = components.name)),
        'volumes', json((SELECT json_group_array(v.mapping) FROM component_volumes v
            WHERE v.service = components.service AND v.component = components.name)),
        'cmd', json((SELECT json_group_array(c.arg ORDER BY c.position) FROM component_cmd c
            WHERE c.service = components.service AND c.component = components.name)));

CREATE TABLE component_env (
    service   TEXT NOT NULL,
    component TEXT NOT NULL,
    name      TEXT NOT NULL,
    value     TEXT NOT NULL,
    PRIMARY KEY (service, component, name),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
) STRICT;

-- host_port is the port on the node that was allocated to the route.
CREATE TABLE component_routes (
    service   TEXT NOT NULL,
    component TEXT NOT NULL,
    name      TEXT NOT NULL,
    port      INTEGER NOT NULL,
    mode      TEXT NOT NULL,
    hostname  TEXT NOT NULL DEFAULT '',
    public    INTEGER NOT NULL DEFAULT 0,
    host_port INTEGER,
    PRIMARY KEY (service, component, name),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
) STRICT;

-- Every spec that an operation was ever accepted with: what a revision means.
CREATE TABLE deployed_specs (
    service       TEXT NOT NULL,
    component     TEXT NOT NULL,
    revision      INTEGER NOT NULL,
    spec          TEXT NOT NULL,
    first_used_at TEXT NOT NULL,
    succeeded_at  TEXT,
    PRIMARY KEY (service, component, revision),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
) STRICT;

ALTER TABLE events ADD COLUMN exit_code INTEGER;
ALTER TABLE events ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN operation_id TEXT;
-- Whether the transition counts for flapping.
ALTER TABLE events ADD COLUMN counted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN boot_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN boot_id TEXT NOT NULL DEFAULT '00000000000000000000000000000000';

-- The flap count: one range of one key within one boot.
CREATE INDEX idx_events_flaps ON events(service, component, boot_id, boot_ms) WHERE counted = 1;
-- The newest events of a component and of a service, in order of id.
CREATE INDEX idx_events_component ON events(service, component);
CREATE INDEX idx_events_service ON events(service);

-- Durable permissions to act. seq gives the order in which they take their turns.
CREATE TABLE operations (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    id               TEXT NOT NULL UNIQUE,
    kind             TEXT NOT NULL,
    service          TEXT NOT NULL,
    state            TEXT NOT NULL,
    caller           TEXT NOT NULL,
    message          TEXT NOT NULL DEFAULT '',
    accepted_at      TEXT NOT NULL,
    accepted_boot_ms INTEGER NOT NULL,
    accepted_boot_id TEXT NOT NULL,
    start_by         TEXT NOT NULL,
    finished_at      TEXT
) STRICT;

CREATE INDEX idx_operations_service ON operations(service);

-- desired, revision and generation are pinned: they are those of the moment of acceptance.
CREATE TABLE operation_steps (
    operation_id TEXT NOT NULL REFERENCES operations(id) ON DELETE CASCADE,
    service      TEXT NOT NULL,
    component    TEXT NOT NULL,
    state        TEXT NOT NULL,
    phase        TEXT,
    error        TEXT NOT NULL DEFAULT '',
    desired      TEXT NOT NULL,
    revision     INTEGER NOT NULL,
    generation   INTEGER NOT NULL,
    unchanged    INTEGER NOT NULL DEFAULT 0,
    progress     TEXT NOT NULL DEFAULT '{}',
    finished_at  TEXT,
    PRIMARY KEY (operation_id, component)
) STRICT;

CREATE INDEX idx_steps_open ON operation_steps(service, component)
    WHERE state IN ('waiting', 'running');

CREATE TABLE incidents (
    seq            INTEGER PRIMARY KEY AUTOINCREMENT,
    id             TEXT NOT NULL UNIQUE,
    service        TEXT NOT NULL,
    component      TEXT NOT NULL,
    kind           TEXT NOT NULL,
    opened_at      TEXT NOT NULL,
    opened_boot_ms INTEGER NOT NULL,
    opened_boot_id TEXT NOT NULL,
    told_event     TEXT,
    told_at        TEXT,
    told_boot_ms   INTEGER,
    told_boot_id   TEXT,
    cause          TEXT NOT NULL,
    desired        TEXT NOT NULL,
    observed       TEXT NOT NULL,
    closed_at      TEXT
) STRICT;

CREATE INDEX idx_incidents_key ON incidents(service, component);

-- Messages about incidents, stored before they are sent.
CREATE TABLE alerts (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id  TEXT NOT NULL REFERENCES incidents(id) ON DELETE CASCADE,
    event        TEXT NOT NULL,
    kind         TEXT NOT NULL,
    service      TEXT NOT NULL,
    component    TEXT NOT NULL,
    desired      TEXT NOT NULL,
    observed     TEXT NOT NULL,
    prev         TEXT NOT NULL,
    seen_at      TEXT NOT NULL,
    seen_boot_ms INTEGER NOT NULL,
    seen_boot_id TEXT NOT NULL,
    exit_code    INTEGER,
    reason       TEXT NOT NULL,
    transitions  INTEGER NOT NULL,
    delivered_at TEXT,
    outcome      TEXT
) STRICT;

CREATE INDEX idx_alerts_incident ON alerts(incident_id);
CREATE INDEX idx_alerts_undelivered ON alerts(id) WHERE outcome IS NULL;

-- Who changed what. A record belongs to the transaction of the change that it records.
CREATE TABLE audit (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    at           TEXT NOT NULL,
    caller       TEXT NOT NULL,
    peer         TEXT NOT NULL,
    method       TEXT NOT NULL,
    operation_id TEXT,
    object       TEXT NOT NULL DEFAULT '',
    message      TEXT NOT NULL DEFAULT '',
    outcome      TEXT,
    finished_at  TEXT
) STRICT;

CREATE INDEX idx_audit_operation ON audit(operation_id) WHERE operation_id IS NOT NULL;
CREATE INDEX idx_audit_unfinished ON audit(id) WHERE outcome IS NULL;

-- Bearer tokens of the local provider, by SHA-256; the tokens themselves are never stored.
CREATE TABLE tokens (
    hash       BLOB PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    subject    TEXT NOT NULL,
    roles      TEXT NOT NULL,
    created_at TEXT NOT NULL,
    expires_at TEXT NOT NULL,
    revoked_at TEXT
) STRICT;
