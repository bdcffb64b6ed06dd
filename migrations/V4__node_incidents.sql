-- Incidents of the node stand for those of its components.

PRAGMA user_version = 4;

-- The id of the node's incident that this one is told by.
ALTER TABLE incidents ADD COLUMN covered_by TEXT;

CREATE INDEX idx_incidents_covered ON incidents(service, component)
    WHERE covered_by IS NOT NULL AND closed_at IS NULL;
