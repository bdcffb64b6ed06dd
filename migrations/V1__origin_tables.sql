-- The documented tables. Their names, columns and defaults are part of the interface: operators
-- and scripts read them with plain SQL. Later migrations add to them and never rename.

PRAGMA user_version = 1;

-- What is deployed together on this node.
CREATE TABLE services (
    name       TEXT PRIMARY KEY,
    active     INTEGER NOT NULL DEFAULT 1,
    created_at TEXT NOT NULL DEFAULT (datetime('now')),
    updated_at TEXT NOT NULL DEFAULT (datetime('now'))
);

-- One row for each container that is wanted. desired_state is written by operators,
-- observed_state by the reconciler, and neither is ever copied into the other.
CREATE TABLE components (
    name           TEXT NOT NULL,
    service        TEXT NOT NULL REFERENCES services(name) ON DELETE CASCADE,
    image          TEXT NOT NULL,
    network        TEXT NOT NULL DEFAULT 'bridge',
    user_spec      TEXT NOT NULL DEFAULT '',
    restart        TEXT NOT NULL DEFAULT 'unless-stopped',
    desired_state  TEXT NOT NULL DEFAULT 'running',
    observed_state TEXT NOT NULL DEFAULT 'unknown',
    version        TEXT NOT NULL DEFAULT '',
    created_at     TEXT NOT NULL DEFAULT (datetime('now')),
    updated_at     TEXT NOT NULL DEFAULT (datetime('now')),
    PRIMARY KEY (service, name)
);

CREATE TABLE component_ports (
    service   TEXT NOT NULL,
    component TEXT NOT NULL,
    mapping   TEXT NOT NULL,
    PRIMARY KEY (service, component, mapping),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
);

CREATE TABLE component_volumes (
    service   TEXT NOT NULL,
    component TEXT NOT NULL,
    mapping   TEXT NOT NULL,
    PRIMARY KEY (service, component, mapping),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
);

-- Arguments after the image, counted from 0.
CREATE TABLE component_cmd (
    service   TEXT NOT NULL,
    component TEXT NOT NULL,
    position  INTEGER NOT NULL,
    arg       TEXT NOT NULL,
    PRIMARY KEY (service, component, position),
    FOREIGN KEY (service, component) REFERENCES components(service, name) ON DELETE CASCADE
);

-- Transitions of observed_state. They outlive their component, hence no foreign key. The id
-- gives the order; the timestamp need not, since clocks are set back.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    service    TEXT NOT NULL,
    component  TEXT NOT NULL,
    prev_state TEXT NOT NULL,
    new_state  TEXT NOT NULL,
    timestamp  TEXT NOT NULL DEFAULT (datetime('now'))
);

CREATE INDEX idx_events_component_time ON events(service, component, timestamp);
